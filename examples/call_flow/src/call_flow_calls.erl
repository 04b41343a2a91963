%% @doc Packets grouped by call, in ETS, with limits on calls, messages per call, bytes and age. One process writes; any
%% process reads through the tables of {@link tables/1}.
%%
%% Each change of a call gives it the next number, `seq'. The order of these numbers has three uses: a page asks
%% for the changes since a number, the call that has had no packet for longest is evicted first, and a page can forget
%% calls below the lowest number.
-module(call_flow_calls).

-include_lib("hep/include/hep.hrl").

-export([new/1, add/3, expire/2, stats/1, tables/1, bytes/1, slim/1]).
-export([changes/3, ids/1, call/2, packets/2, packet/3, related/2, cached/3]).

-export_type([calls/0, tables/0, entry/0, call/0, key/0]).

-type entry() :: {hep:hep(), #{source := {inet:ip_address(), inet:port_number()}, time := integer(), atom() => term()}}.
%% A packet, with the sender's address and the time of receipt in microseconds.

-type call() :: #{
    id := pos_integer(),
    key := key(),
    seq := pos_integer(),
    stored := pos_integer(),
    ignored := non_neg_integer(),
    flow := hep_flow:call()
}.
%% `ignored' counts the packets beyond the maximum per call.

-type key() :: hep_flow:key() | {hep:uint8(), inet:ip_address() | undefined, inet:ip_address() | undefined}.
%% Packets with neither Call-ID nor correlation id are grouped by payload type and addresses.

-record(tables, {
    %% {Id, Key, Seq, Stored, Ignored, Bytes, Changed, Flow}
    calls :: ets:table(),
    %% {Key, Id}
    keys :: ets:table(),
    %% {Seq, Id}
    order :: ets:table(),
    %% {{Id, Number}, Hep, Meta}
    packets :: ets:table(),
    %% {{OtherKey, Id}}: calls that name another call, such as a B-leg. Not a bag: inserting into a bag slows down
    %% as more calls name the same one
    links :: ets:table(),
    %% {Id, Seq, Value}: values of a call that readers computed
    cache :: ets:table()
}).

-record(calls, {
    tables :: #tables{},
    limits :: call_flow_config:limits(),
    seq = 0 :: non_neg_integer(),
    last_id = 0 :: non_neg_integer(),
    count = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    evicted = #{calls => 0, bytes => 0, age => 0} :: #{calls | bytes | age => non_neg_integer()},
    ignored = 0 :: non_neg_integer()
}).

-opaque calls() :: #calls{}.
-opaque tables() :: #tables{}.

%% The approximate memory of a packet and its table entry without payload and chunks.
-define(OVERHEAD, 800).
%% And of a call.
-define(CALL_OVERHEAD, 3000).
%% The maximum number of calls that a packet can name, and of packets in a call that are read for it.
-define(LINKS, 8).
%% Calls shown with a call.
-define(RELATED, 16).

%%% For the process that writes

-spec new(call_flow_config:limits()) -> calls().
new(Limits) ->
    Table = fun(Type) -> ets:new(call_flow_calls, [Type, protected, {read_concurrency, true}]) end,
    #calls{
        limits = Limits,
        tables = #tables{
            calls = Table(set),
            keys = Table(set),
            order = Table(ordered_set),
            packets = Table(ordered_set),
            links = Table(ordered_set),
            cache = ets:new(call_flow_cache, [set, public, {read_concurrency, true}])
        }
    }.

%% @doc Adds packets. `Now' is the monotonic time in seconds.
-spec add([entry()], Now :: integer(), calls()) -> calls().
add(Entries, Now, Calls) ->
    lists:foldl(fun(Entry, Before) -> bound(add_entry(Entry, Now, Before)) end, Calls, Entries).

add_entry({Hep, Meta}, Now, #calls{tables = Tables, seq = Last, limits = #{messages := Max}} = Calls) ->
    Key = key(Hep),
    Seq = Last + 1,
    Size = bytes(Hep),
    case ets:lookup(Tables#tables.keys, Key) of
        [] ->
            #calls{last_id = LastId, count = Count, bytes = Total} = Calls,
            Id = LastId + 1,
            Bytes = Size + ?CALL_OVERHEAD,
            true = ets:insert(Tables#tables.keys, {Key, Id}),
            store(Id, 1, Hep, Meta, Tables),
            changed({Id, Key, Seq, 1, 0, Bytes, Now, hep_flow:add(Hep, hep_flow:new())}, Tables),
            Calls#calls{seq = Seq, last_id = Id, count = Count + 1, bytes = Total + Bytes};
        [{_, Id}] ->
            [{_, _, Before, Stored, Ignored, Bytes, _, Flow}] = ets:lookup(Tables#tables.calls, Id),
            true = ets:delete(Tables#tables.order, Before),
            Call = {Id, Key, Seq, Stored, Ignored, Bytes, Now, hep_flow:add(Hep, Flow)},
            add_packet(Hep, Meta, Size, Stored < Max, Call, Calls#calls{seq = Seq})
    end.

add_packet(Hep, Meta, Size, true, {Id, _, _, Stored, _, Bytes, _, _} = Call, #calls{tables = Tables, bytes = Total} = Calls) ->
    store(Id, Stored + 1, Hep, Meta, Tables),
    changed(setelement(6, setelement(4, Call, Stored + 1), Bytes + Size), Tables),
    Calls#calls{bytes = Total + Size};
add_packet(_, _, _, false, {_, _, _, _, Ignored, _, _, _} = Call, #calls{tables = Tables, ignored = All} = Calls) ->
    changed(setelement(5, Call, Ignored + 1), Tables),
    Calls#calls{ignored = All + 1}.

key(#hep{payload_type = Type, src_ip = Source, dst_ip = Destination} = Hep) ->
    case hep_flow:key(Hep) of
        undefined -> {Type, Source, Destination};
        Key -> binary:copy(Key)
    end.

store(Id, Number, Hep, Meta, #tables{packets = Packets, links = Links}) ->
    true = ets:insert(Packets, {{Id, Number}, Hep, Meta}),
    %% Only the first messages count, which limits the links, too.
    Number =< ?LINKS andalso lists:foreach(fun(Other) -> ets:insert(Links, {{Other, Id}}) end, named(Hep)),
    ok.

named(Hep) ->
    lists:sublist(hep_flow:links(Hep), ?LINKS).

changed({Id, _, Seq, _, _, _, _, _} = Call, #tables{calls = Calls, order = Order}) ->
    true = ets:insert(Calls, Call),
    true = ets:insert(Order, {Seq, Id}),
    ok.

bound(#calls{count = Count, bytes = Bytes, limits = #{calls := MaxCalls, bytes := MaxBytes}} = Calls) ->
    if
        Count > MaxCalls -> bound(evict(calls, Calls));
        Bytes > MaxBytes, Count > 1 -> bound(evict(bytes, Calls));
        true -> Calls
    end.

%% @doc Evicts calls without a packet for longer than the maximum age.
-spec expire(Now :: integer(), calls()) -> calls().
expire(Now, #calls{tables = #tables{order = Order, calls = Table}, limits = #{age := Age}} = Calls) ->
    case ets:first(Order) of
        '$end_of_table' ->
            Calls;
        Seq ->
            case ets:lookup_element(Table, ets:lookup_element(Order, Seq, 2), 7) < Now - Age of
                true -> expire(Now, evict(age, Calls));
                false -> Calls
            end
    end.

%% The call is deleted first: a reader that caches a value checks afterwards whether the call still exists.
evict(Reason, #calls{tables = Tables, count = Count, bytes = Total, evicted = Evicted} = Calls) ->
    Seq = ets:first(Tables#tables.order),
    [{_, Id}] = ets:take(Tables#tables.order, Seq),
    [{_, Key, _, Stored, _, Bytes, _, _}] = ets:take(Tables#tables.calls, Id),
    true = ets:delete(Tables#tables.cache, Id),
    true = ets:delete(Tables#tables.keys, Key),
    lists:foreach(fun(Number) -> unlink_packet(Id, Number, Tables) end, lists:seq(1, Stored)),
    Calls#calls{count = Count - 1, bytes = Total - Bytes, evicted = maps:update_with(Reason, fun(N) -> N + 1 end, Evicted)}.

unlink_packet(Id, Number, #tables{packets = Packets, links = Links}) ->
    [{_, Hep, _}] = ets:take(Packets, {Id, Number}),
    Number =< ?LINKS andalso lists:foreach(fun(Other) -> ets:delete(Links, {Other, Id}) end, named(Hep)),
    ok.

-spec stats(calls()) -> #{calls := non_neg_integer(), bytes := non_neg_integer(), ignored := non_neg_integer(), evicted := map()}.
stats(#calls{count = Count, bytes = Bytes, ignored = Ignored, evicted = Evicted}) ->
    #{calls => Count, bytes => Bytes, ignored => Ignored, evicted => Evicted}.

-spec tables(calls()) -> tables().
tables(#calls{tables = Tables}) -> Tables.

%% @doc The approximate memory of a packet.
-spec bytes(hep:hep()) -> pos_integer().
bytes(#hep{payload = Payload, chunks = Chunks}) ->
    lists:foldl(fun(Chunk, Bytes) -> Bytes + 64 + byte_size(value(Chunk)) end, ?OVERHEAD + byte_size(Payload), Chunks).

value({_, {_, Value}}) -> Value;
value({_, Value}) -> Value.

%% @doc A packet to keep: without the sender's key, and copied from its receive buffer.
-spec slim(hep:hep()) -> hep:hep().
slim(#hep{payload = Payload, chunks = Chunks} = Hep) ->
    Kept =
        case binary:referenced_byte_size(Payload) > 2 * byte_size(Payload) + 256 of
            true -> binary:copy(Payload);
            false -> Payload
        end,
    hep:auth_key(undefined, Hep#hep{payload = Kept, chunks = [copied(Chunk) || Chunk <- Chunks]}).

copied({Id, {Length, Value}}) -> {Id, {Length, binary:copy(Value)}};
copied({Id, Value}) -> {Id, binary:copy(Value)}.

%%% For readers

%% @doc The calls that changed after a number, in the order of their changes, at most `Limit'. `seq' is the number to
%% continue from, `oldest' the lowest one of all calls.
-spec changes(Since :: non_neg_integer(), Limit :: pos_integer(), tables()) ->
    #{ids := [pos_integer()], seq := non_neg_integer(), oldest := non_neg_integer(), more := boolean()}.
changes(Since, Limit, #tables{order = Order}) ->
    {Ids, Seq, More} = changes(ets:next(Order, Since), Since, Limit, Order, []),
    Oldest =
        case ets:first(Order) of
            '$end_of_table' -> Seq + 1;
            First -> First
        end,
    #{ids => Ids, seq => Seq, oldest => Oldest, more => More}.

changes('$end_of_table', Last, _, _, Ids) ->
    {lists:reverse(Ids), Last, false};
changes(_, Last, 0, _, Ids) ->
    {lists:reverse(Ids), Last, true};
changes(Seq, _, Left, Order, Ids) ->
    %% The call may have changed again.
    Found = [Id || {_, Id} <- ets:lookup(Order, Seq)],
    changes(ets:next(Order, Seq), Seq, Left - 1, Order, Found ++ Ids).

%% @doc All calls, most recently changed first.
-spec ids(tables()) -> [pos_integer()].
ids(#tables{order = Order}) ->
    ets:foldl(fun({_, Id}, Ids) -> [Id | Ids] end, [], Order).

-spec call(pos_integer(), tables()) -> {ok, call()} | not_found.
call(Id, #tables{calls = Calls}) ->
    case ets:lookup(Calls, Id) of
        [{_, Key, Seq, Stored, Ignored, _, _, Flow}] ->
            {ok, #{id => Id, key => Key, seq => Seq, stored => Stored, ignored => Ignored, flow => Flow}};
        [] ->
            not_found
    end.

%% @doc The packets of a call, each with its number.
-spec packets(pos_integer(), tables()) -> [{Number :: pos_integer(), hep:hep(), map()}].
packets(Id, #tables{packets = Packets}) ->
    ets:select(Packets, [{{{Id, '$1'}, '$2', '$3'}, [], [{{'$1', '$2', '$3'}}]}]).

-spec packet(pos_integer(), pos_integer(), tables()) -> {ok, entry()} | not_found.
packet(Id, Number, #tables{packets = Packets}) ->
    case ets:lookup(Packets, {Id, Number}) of
        [{_, Hep, Meta}] -> {ok, {Hep, Meta}};
        [] -> not_found
    end.

%% @doc The calls that a call names, and those that name it or the same call, at most `?RELATED'.
-spec related(pos_integer(), tables()) -> [pos_integer()].
related(Id, Tables) ->
    lists:sublist(related([Id], [], Tables) -- [Id], ?RELATED).

related([Id | Ids], Done, Tables) when length(Done) =< ?RELATED ->
    case lists:member(Id, Done) of
        true -> related(Ids, Done, Tables);
        false -> related(Ids ++ neighbours(Id, Tables), [Id | Done], Tables)
    end;
related(_, Done, _) ->
    lists:usort(Done).

neighbours(Id, #tables{keys = Keys, links = Links} = Tables) ->
    case call(Id, Tables) of
        {ok, #{key := Key}} ->
            First = [packet(Id, Number, Tables) || Number <- lists:seq(1, ?LINKS)],
            Named = lists:usort(lists:append([named(Hep) || {ok, {Hep, _}} <- First])),
            [Other || Name <- Named, {_, Other} <- ets:lookup(Keys, Name)] ++
                lists:append([linked(ets:next(Links, {Name, 0}), Name, Links, ?RELATED) || Name <- [Key | Named]]);
        not_found ->
            []
    end.

linked({Name, Id} = Link, Name, Links, Left) when Left > 0 ->
    [Id | linked(ets:next(Links, Link), Name, Links, Left - 1)];
linked(_, _, _, _) ->
    [].

%% @doc A value that the function computes for a call; computed again when the call has changed.
-spec cached(pos_integer(), fun((call()) -> Value), tables()) -> {ok, Value} | not_found.
cached(Id, Compute, #tables{cache = Cache, calls = Calls} = Tables) ->
    case call(Id, Tables) of
        {ok, #{seq := Seq} = Call} ->
            case ets:lookup(Cache, Id) of
                [{_, Seq, Value}] ->
                    {ok, Value};
                _ ->
                    Value = Compute(Call),
                    true = ets:insert(Cache, {Id, Seq, Value}),
                    _ = ets:member(Calls, Id) orelse ets:delete(Cache, Id),
                    {ok, Value}
            end;
        not_found ->
            not_found
    end.
