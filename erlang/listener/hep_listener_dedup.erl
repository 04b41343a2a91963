%% @private Recognises packets that two capture agents saw, for the option `dedup' of {@link hep_listener}. All
%% processes of a listener share its two tables, which belong to the listener's supervisor.
%%
%% A packet is known by a hash of its source, destination and payload. The agent that sends it first owns it for the
%% window: what others send of it is a duplicate, what the owner sends again is a retransmission.
%%
%% New packets go into one table, the current one; both are searched. When the window is over, or the current table has
%% half of `max_entries', the other one is emptied and becomes the current one. So the memory is bounded, and a flood
%% of new packets makes the window shorter, but nothing slower. There is no lock: several processes may empty the table
%% at that moment, and a duplicate of a packet that was just entered may then pass.
-module(hep_listener_dedup).

-include("hep.hrl").

-export([new/1, is_duplicate/5, check/1]).

-export_type([dedup/0, options/0]).

-define(GENERATION, 1).

-type options() :: #{
    window => pos_integer(),
    max_entries => pos_integer(),
    agent => capture_id | source | any
}.

-record(dedup, {
    tables :: {ets:table(), ets:table()},
    %% The start of the generation in milliseconds, times 2, plus the index of its table.
    state :: atomics:atomics_ref(),
    window :: pos_integer(),
    max_entries :: pos_integer(),
    agent :: capture_id | source | any,
    %% Secret: otherwise a sender could choose packets whose entries are slow to find.
    salts :: {binary(), binary()}
}).

-opaque dedup() :: #dedup{} | none.

%% @doc Checks and completes the options.
-spec check(term()) -> {ok, options() | none} | error.
check(none) ->
    {ok, none};
check(#{} = Given) ->
    Options = maps:merge(#{window => 500, max_entries => 100_000, agent => capture_id}, Given),
    case lists:all(fun is_right/1, maps:to_list(Options)) of
        true -> {ok, Options};
        false -> error
    end;
check(_) ->
    error.

is_right({window, Time}) -> is_integer(Time) andalso Time > 0 andalso Time =< 60_000;
is_right({max_entries, Number}) -> is_integer(Number) andalso Number > 1 andalso Number =< 100_000_000;
is_right({agent, Agent}) -> lists:member(Agent, [capture_id, source, any]);
is_right(_) -> false.

%% @doc Creates the tables, owned by the calling process.
-spec new(options() | none) -> dedup().
new(none) ->
    none;
new(#{window := Window, max_entries := Entries, agent := Agent}) ->
    Table = fun() -> ets:new(?MODULE, [public, {write_concurrency, true}, {read_concurrency, true}]) end,
    Atomics = atomics:new(1, []),
    ok = atomics:put(Atomics, ?GENERATION, now_ms() * 2),
    #dedup{
        tables = {Table(), Table()},
        state = Atomics,
        window = Window,
        max_entries = Entries,
        agent = Agent,
        salts = {rand:bytes(16), rand:bytes(16)}
    }.

%% @doc Whether another agent sent the packet within the window. Remembers it if not.
-spec is_duplicate(hep_handler:packet(), binary(), hep_listener_view:glance(), inet:ip_address(), dedup()) -> boolean().
is_duplicate(_, _, _, _, none) ->
    false;
%% Keep-alives of all agents are alike.
is_duplicate(_, _, #{payload := keep_alive}, _, _) ->
    false;
is_duplicate(Packet, Bytes, _, Source, #dedup{agent = Kind} = Dedup) ->
    case facts(Packet, Bytes) of
        {CaptureId, Facts} -> is_known(key(Facts, Dedup), agent(Kind, CaptureId, Source), now_ms(), Dedup);
        none -> false
    end.

%% The capture id; and addresses, ports and payload. Packets without addresses are reports of the agent.
facts(#hep{src_ip = undefined}, _) ->
    none;
facts(#hep{dst_ip = undefined}, _) ->
    none;
facts(#hep{node_id = Id, src_ip = Source, src_port = From, dst_ip = Destination, dst_port = To, payload = Payload}, _) ->
    {Id, {Source, From, Destination, To, Payload}};
facts(_, Bytes) ->
    case hep_multi_parser:parse(Bytes) of
        {ok, State} -> of_chunks(hep:get_chunks(State));
        {error, _, _} -> none
    end.

%% A compressed payload is compared as it was sent.
of_chunks(Chunks) ->
    Source = first([ipv4_source, ipv6_source], Chunks),
    Destination = first([ipv4_destination, ipv6_destination], Chunks),
    case is_binary(Source) andalso is_binary(Destination) of
        true ->
            Ports = {first([source_port], Chunks), first([destination_port], Chunks)},
            Payload = first([payload, compressed_payload], Chunks),
            {first([capture_id], Chunks), {Source, Destination, Ports, Payload}};
        false ->
            none
    end.

first([], _) ->
    undefined;
first([Name | Others], Chunks) ->
    case lists:keyfind(<<(hep_registry:chunk_id(Name)):32>>, 1, Chunks) of
        {_, Value} -> Value;
        false -> first(Others, Chunks)
    end.

%% 64 bits: one packet in 10^14 is taken for another, with a full table. With one hash it would be one in 10^5.
key(Facts, #dedup{salts = {First, Second}}) ->
    erlang:phash2({First, Facts}, 1 bsl 32) bsl 32 bor erlang:phash2({Second, Facts}, 1 bsl 32).

agent(any, _, _) -> any;
agent(capture_id, CaptureId, _) when CaptureId =/= undefined -> CaptureId;
agent(_, _, Source) -> Source.

is_known(Key, Agent, Now, #dedup{window = Window, tables = Tables} = Dedup) ->
    Index = generation(Now, Dedup),
    case find(Key, Now - Window, element(2 - Index, Tables)) of
        none -> is_known(Key, Agent, Now, Index, Dedup);
        Owner -> is_other(Agent, Owner)
    end.

is_known(Key, Agent, Now, Index, #dedup{window = Window, tables = Tables}) ->
    Table = element(1 + Index, Tables),
    case ets:insert_new(Table, {Key, Agent, Now}) of
        true ->
            false;
        false ->
            case find(Key, Now - Window, Table) of
                none ->
                    true = ets:insert(Table, {Key, Agent, Now}),
                    false;
                Owner ->
                    is_other(Agent, Owner)
            end
    end.

find(Key, Since, Table) ->
    case ets:lookup(Table, Key) of
        [{_, Owner, Time}] when Time > Since -> Owner;
        _ -> none
    end.

is_other(any, _) -> true;
is_other(Agent, Owner) -> Agent =/= Owner.

%% The index of the current table, after a change if one is due.
generation(Now, #dedup{state = State, tables = Tables, window = Window, max_entries = Most} = Dedup) ->
    Generation = atomics:get(State, ?GENERATION),
    Index = Generation band 1,
    case Now - (Generation bsr 1) >= Window orelse ets:info(element(1 + Index, Tables), size) >= Most div 2 of
        true -> next(Generation, Now, 1 - Index, Dedup);
        false -> Index
    end.

next(Generation, Now, Index, #dedup{state = State, tables = Tables}) ->
    %% First: otherwise the others would see a full table.
    true = ets:delete_all_objects(element(1 + Index, Tables)),
    case atomics:compare_exchange(State, ?GENERATION, Generation, Now * 2 + Index) of
        ok -> Index;
        Other -> Other band 1
    end.

%% Never negative.
now_ms() ->
    erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, millisecond).
