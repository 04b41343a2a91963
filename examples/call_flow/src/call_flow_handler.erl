%% @doc The listeners' handler: counts the packets and passes them to the store and the recorder, without waiting for
%% either.
-module(call_flow_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

%% @doc The argument: the queues of the processes that get the packets.
-spec init([call_flow_queue:queue()]) -> {ok, [call_flow_queue:queue()]}.
init(Queues) ->
    {ok, Queues}.

-spec handle_packets([{hep:hep(), hep_handler:meta()}], Queues) -> {ok, Queues} when Queues :: [call_flow_queue:queue()].
handle_packets(Packets, Queues) ->
    call_flow_metrics:count(Packets),
    Entries = [{call_flow_calls:slim(Hep), maps:with([source, time, transport], Meta)} || {Hep, Meta} <- Packets],
    Bytes = lists:sum([call_flow_calls:bytes(Hep) || {Hep, _} <- Entries]),
    lists:foreach(fun(Queue) -> call_flow_queue:push(Entries, Bytes, Queue) end, Queues),
    {ok, Queues}.
