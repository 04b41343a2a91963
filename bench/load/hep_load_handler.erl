%% @doc Counts the packets of a {@link hep_listener}, and checks their order on streams.
%%
%% The load generator writes the number of a packet on its connection into the capture id.
-module(hep_load_handler).

-behaviour(hep_handler).

-include("hep.hrl").

-export([new/0, count/2, add/3]).
-export([init/1, handle_packets/2, handle_error/3, terminate/2]).

-export_type([count/0]).

-type count() :: packets | batches | out_of_order | errors | started | forwarded | refused.

-record(state, {
    counters :: counters:counters_ref(),
    %% The next number; `any' where packets may overtake each other.
    next :: non_neg_integer() | any,
    %% The process that gets the delays of packets, and the delays in microseconds.
    delays :: {pid(), [integer()]} | undefined,
    %% The sender that forwards the packets.
    sender :: hep_sender:sender() | undefined,
    %% The file for the number of each packet.
    log :: file:fd() | undefined
}).

-define(COUNTS, #{packets => 1, batches => 2, out_of_order => 3, errors => 4, started => 5, forwarded => 6, refused => 7}).

%% @doc Creates the counters that the handlers of a listener share.
-spec new() -> counters:counters_ref().
new() ->
    counters:new(map_size(?COUNTS), [write_concurrency]).

%% @doc Returns a counter: packets, calls with packets, packets out of order, calls with an error,
%% started handlers, packets that the sender accepted, and packets that it rejected.
-spec count(count(), counters:counters_ref()) -> integer().
count(What, Counters) ->
    counters:get(Counters, map_get(What, ?COUNTS)).

%% @doc Adds to a count.
-spec add(count(), non_neg_integer(), counters:counters_ref()) -> ok.
add(What, Number, Counters) ->
    counters:add(Counters, map_get(What, ?COUNTS), Number).

%% The task: `{count, First}'; or `{report_delays, Pid}', which sends `{delays, Delays}' to it in the end; or
%% `{forward, Sender}'; or `{log, File}', which appends the number of each packet to a file, as 32 bits.
init({Counters, {count, First}}) ->
    add(started, 1, Counters),
    {ok, #state{counters = Counters, next = First}};
init({Counters, {report_delays, Pid}}) ->
    {ok, #state{counters = Counters, next = any, delays = {Pid, []}}};
init({Counters, {forward, Sender}}) ->
    add(started, 1, Counters),
    {ok, #state{counters = Counters, next = any, sender = Sender}};
init({Counters, {log, Path}}) ->
    {ok, File} = file:open(Path, [append, raw]),
    {ok, #state{counters = Counters, next = any, log = File}}.

handle_packets(Packets, #state{counters = Counters, next = Next} = State) ->
    add(batches, 1, Counters),
    add(packets, length(Packets), Counters),
    forward(Packets, State),
    log(Packets, State),
    {ok, delays(Packets, State#state{next = in_order(Packets, Next, Counters)})}.

handle_error(_Reason, _Raw, #state{counters = Counters} = State) ->
    add(errors, 1, Counters),
    {ok, State}.

terminate(_Reason, #state{delays = {Pid, Delays}}) ->
    Pid ! {delays, Delays},
    ok;
terminate(_Reason, _State) ->
    ok.

forward(_, #state{sender = undefined}) ->
    ok;
forward(Packets, #state{sender = Sender, counters = Counters}) ->
    lists:foreach(
        fun({Hep, _}) ->
            case hep_sender:send(Sender, Hep) of
                ok -> add(forwarded, 1, Counters);
                {error, _} -> add(refused, 1, Counters)
            end
        end,
        Packets
    ).

log(_, #state{log = undefined}) -> ok;
log(Packets, #state{log = File}) -> ok = file:write(File, [<<Number:32>> || {#hep{node_id = Number}, _} <- Packets]).

%% The generator writes the time into the packet.
delays(_, #state{delays = undefined} = State) ->
    State;
delays(Packets, #state{delays = {Pid, Delays}} = State) ->
    Now = os:system_time(microsecond),
    New = [Now - microseconds(Hep#hep.timestamp) || {Hep, _} <- Packets],
    State#state{delays = {Pid, New ++ Delays}}.

microseconds({Mega, Seconds, Micro}) ->
    (Mega * 1_000_000 + Seconds) * 1_000_000 + Micro.

in_order(_, any, _) ->
    any;
in_order([{#hep{node_id = Next}, _} | Packets], Next, Counters) ->
    in_order(Packets, Next + 1, Counters);
in_order([{#hep{node_id = Other}, _} | Packets], _, Counters) ->
    add(out_of_order, 1, Counters),
    in_order(Packets, Other + 1, Counters);
in_order([], Next, _) ->
    Next.
