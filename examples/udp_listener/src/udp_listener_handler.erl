%% @doc Prints each packet as transformed by {@link hep_transform:transform/1}, and the reasons of errors.
-module(udp_listener_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2, handle_error/3]).

%% @doc The argument: processes that receive `{printed, Source, ok | error}' for each datagram.
init(Observers) ->
    {ok, Observers}.

%% The listener's view is `transform'.
handle_packets(Packets, Observers) ->
    lists:foreach(fun({Packet, Meta}) -> print({ok, Packet}, Meta, Observers) end, Packets),
    {ok, Observers}.

handle_error(Reason, {_Bytes, Meta}, Observers) ->
    print({error, Reason}, Meta, Observers),
    {ok, Observers}.

print({Outcome, _} = Result, #{source := {Ip, Port} = Source, size := Size}, Observers) ->
    From = [inet:ntoa(Ip), $:, integer_to_list(Port)],
    io:put_chars(udp_listener_print:packet(From, Size, Result)),
    lists:foreach(fun(Observer) -> Observer ! {printed, Source, Outcome} end, Observers).
