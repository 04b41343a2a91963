%% @doc Dirty schedulers: for large packets, compressed packets, and other long calls.
-module(hep_scheduler_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1]).

-define(PROCESSES, 50).
-define(ROUNDS, 40).

%%% Large packets

ten_thousand_chunks_test_() ->
    {timeout, 30, fun() ->
        Chunks = [{9, Id, <<>>} || Id <- lists:seq(1, 10000)],
        Bytes = frame([chunk(V, I, Value) || {V, I, Value} <- Chunks]),
        {ok, Hep} = hep_answers:check(Bytes),
        ?assertEqual([{{V, I}, {0, <<>>}} || {V, I, _} <- Chunks], Hep#hep.chunks),
        {ok, State} = hep_multi_parser:parse(Bytes),
        ?assertEqual([{<<V:16, I:16>>, Value} || {V, I, Value} <- Chunks], hep:get_chunks(State)),
        ?assertEqual({ok, <<>>}, hep:get_chunk(9, 10000, State)),
        ?assertEqual(not_found, hep:get_chunk(9, 10001, State)),
        ?assertEqual(transformed([]), hep_transform:transform(State)),
        ?assertEqual(
            transformed([{<<"payloadType">>, 1}, {<<"payload">>, <<>>}]),
            hep_transform:transform(Hep)
        )
    end}.

%% The maximum number of generic chunks in a packet.
most_generic_chunks_test_() ->
    {timeout, 30, fun() ->
        Count = (65535 - 6) div 7,
        Bytes = frame([chunk(11, <<N>>) || N <- lists:seq(1, Count)]),
        ?assert(Count > 9000),
        {ok, Hep} = hep_answers:check(Bytes),
        ?assertEqual(Count rem 256, Hep#hep.payload_type),
        {ok, State} = hep_multi_parser:parse(Bytes),
        ?assertEqual(
            transformed([{<<"payloadType">>, N rem 256} || N <- lists:seq(1, Count)]),
            hep_transform:transform(State)
        )
    end}.

transformed(Generic) ->
    [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, Generic}]}].

largest_packet_test() ->
    Payload = << <<N>> || N <- lists:seq(1, 65535 - 6 - 7 - 6) >>,
    Bytes = frame([chunk(11, <<5>>), chunk(15, Payload)]),
    ?assertEqual(65535, byte_size(Bytes)),
    ?assertMatch({ok, #hep{payload = Payload, payload_type = 5}}, hep_answers:check(Bytes)),
    ?assertEqual(
        {ok, {hep, 3, [{<<0:16, 11:16>>, <<5>>}, {<<0:16, 15:16>>, Payload}]}},
        hep_multi_parser:parse(Bytes)
    ).

%%% Normal schedulers stay free

%% Calls that are too long for a normal scheduler.
too_much_test_() ->
    {Long, Text} = {many(2001), <<0:(64 * 1024 + 1)/unit:8>>},
    {ok, {hep, 3, Chunks}} = hep_multi_parser:parse(Long),
    {ok, Hep} = hep:decode(Long),
    WithText = (hep:new())#hep{payload = Text, timestamp = {1, 2, 3}},
    Compressed = [
        {Function, Arguments}
     || {Function, Arguments} <- on_packet(compressed()), lists:member(Function, [decode, packet_to_json])
    ],
    [
        {name(Call), ?_assertEqual([Function], dirty(Call))}
     || {Function, _} = Call <-
            on_packet(Long) ++ on_record(Hep) ++ on_chunks(Chunks) ++ Compressed ++
                [
                    {encode, [WithText, [{compress, zlib}], 0]},
                    {record_to_json, [WithText, 0]},
                    {chunks_to_json, [3, [{<<0:16, 15:16>>, Text}], 0]},
                    {from_json, [json(8 * 1024 + 1), 0]}
                ]
    ].

%% Both schedulers return the same results.
same_answers_test_() ->
    {ok, {hep, 3, Chunks}} = hep_multi_parser:parse(many(3)),
    {ok, Decoded} = hep:decode(many(3)),
    Hep = Decoded#hep{timestamp = {1, 2, 3}},
    Calls = on_packet(many(3)) ++ on_record(Hep) ++ on_chunks(Chunks) ++ [{from_json, [json(100), 0]}],
    [
        {name(Call), fun() ->
            Large = {Function, lists:droplast(Arguments) ++ [16#10000]},
            ?assertEqual([], dirty(Call)),
            ?assertEqual([Function], dirty(Large)),
            ?assertEqual(apply(hep_nif, Function, Arguments), answer(Large))
        end}
     || {Function, Arguments} = Call <- Calls
    ].

answer({Function, Arguments}) -> apply(hep_nif, Function, Arguments).

%% Both schedulers raise the same errors.
badarg_test() ->
    ?assertError(badarg, hep_nif:decode(<<>>, [x], 0)),
    ?assertError(badarg, hep_nif:decode(<<>>, [x], 16#10000)),
    ?assertError(badarg, hep_nif:parse(x, {}, 0)),
    ?assertError(badarg, hep_nif:parse(x, {}, 16#10000)).

%% The longest calls on a normal scheduler: the best of a few runs, since the machine may be busy.
most_test_() ->
    Many = many(2000),
    {ok, {hep, 3, Chunks}} = hep_multi_parser:parse(Many),
    {ok, Hep} = hep:decode(Many),
    Text = binary:copy(<<1>>, 65535 - 12),
    [
        {timeout, 30,
            {name(Call), fun() ->
                ?assertEqual([], dirty(Call)),
                Times = [time_of(Call) || _ <- lists:seq(1, 5)],
                ?assert(lists:min(Times) < 20000)
            end}}
     || Call <-
            lists:append([on_packet(P) || P <- [Many, frame(chunk(15, Text))]]) ++
                lists:append([on_record(R) || R <- [Hep, Hep#hep{payload = Text}]]) ++
                on_chunks(Chunks) ++ [{from_json, [json(8 * 1024), 0]}]
    ].

time_of({Function, Arguments}) ->
    element(1, timer:tc(hep_nif, Function, Arguments)).

%% Reading JSON is charged to the calling process.
charged_test() ->
    Json = json(8 * 1024),
    {reductions, Before} = process_info(self(), reductions),
    ?assertMatch({ok, _}, hep_nif:from_json(Json, byte_size(Json))),
    {reductions, After} = process_info(self(), reductions),
    ?assert(After - Before > 1000).

%% A normal scheduler does not touch binaries larger than a datagram, since unaligned ones would be copied.
large_binaries_test_() ->
    Large = unaligned(1024 * 1024),
    Key = <<0:16, 1:16>>,
    {ok, {hep, 3, [{Parsed, _}]}} = hep_multi_parser:parse(frame(chunk(1, <<2>>))),
    Hep = (hep:new())#hep{timestamp = {1, 2, 3}},
    [
        {lists:flatten(io_lib:format("~p", [Call])), ?_assertMatch([_], dirty(Call))}
     || Call <- [
            fun() -> hep:decode(Large) end,
            fun() -> hep:decode(Large, #{v2_order => big}) end,
            fun() -> hep_multi_parser:parse(Large) end,
            fun() -> hep_transform:from_packet(Large) end,
            fun() -> hep_json:from_packet(Large) end,
            fun() -> hep_json:decode(Large) end,
            fun() -> hep:encode(Hep, #{auth_key => Large}) end,
            fun() -> hep_generic_transform:transform(1, Large) end
        ] ++
            [
                fun() -> Call(With) end
             || With <- [
                    Hep#hep{payload = Large},
                    Hep#hep{chunks = [{{0, 18}, Large}]},
                    Hep#hep{chunks = [{{0, 18}, {2, Large}}]},
                    Hep#hep{chunks = [x, {{9, 1}, {0, <<>>}}, {{0, 18}, Large} | x]}
                ],
                Call <- [
                    fun hep:encode/1,
                    fun(H) -> hep:encode(H, #{v2_style => c}) end,
                    fun hep_json:encode/1
                ]
            ] ++
            [
                fun() -> hep_transform:transform(Hep#hep{chunks = Chunks}) end
             || Chunks <- [[{{0, 18}, Large}], [{{0, 18}, {2, Large}}]]
            ] ++
            [
                fun() -> Call({hep, 3, Chunks}) end
             || Chunks <- [[{Key, Large}], [{Large, <<>>}], [{Parsed, <<2>>}, {Key, Large}]],
                Call <- [fun hep_transform:transform/1, fun hep_json:encode/1]
            ]
    ].

%% Calls with small binaries stay on a normal scheduler.
small_binaries_test_() ->
    {ok, State} = hep_multi_parser:parse(many(3)),
    {hep, 3, Chunks} = State,
    Own = {hep, 3, [{binary:copy(Key), Value} || {Key, Value} <- Chunks]},
    [
        ?_assertEqual([], dirty(Call))
     || Call <- [
            fun() -> hep_transform:transform(State) end,
            fun() -> hep_transform:transform(Own) end,
            fun() -> hep_json:encode(Own) end
        ]
    ].

%% Gzip members, which may hold tens of thousands of empty blocks: even with a few bytes of input.
member_test() ->
    <<First:20/binary, Rest/binary>> = zlib:gzip(frame(chunk(15, <<"payload">>))),
    ?assertEqual([unpack], dirty({unpack, [First]})),
    {partial, Member, Step} = hep_nif:unpack(First),
    ?assertEqual([unpack_more], dirty({unpack_more, [Member, Step, Rest]})).

name({Function, Arguments}) ->
    lists:flatten(io_lib:format("~s/~b ~P", [Function, length(Arguments), Arguments, 8])).

%% The functions of hep_nif that a call runs on a dirty scheduler: its id is 0 in a trace.
dirty({Function, Arguments}) ->
    dirty(fun() -> apply(hep_nif, Function, Arguments) end);
dirty(Call) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        receive go -> ok end,
        try Call() of _ -> exit(done) catch error:_ -> exit(done) end
    end),
    1 = erlang:trace(Pid, true, [running, scheduler_id]),
    Pid ! go,
    receive {'DOWN', Monitor, _, _, done} -> ok end,
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    [Function || {in, {hep_nif, Function, _}, 0} <- traced(Pid)].

traced(Pid) ->
    receive {trace, Pid, Event, Where, Scheduler} -> [{Event, Where, Scheduler} | traced(Pid)]
    after 0 -> []
    end.

on_packet(Packet) ->
    [
        {decode, [Packet, [], 0]},
        {packet_to_json, [Packet, [], 0]},
        {parse, [Packet, hep_registry:keys(), 0]},
        {transform_packet, [Packet, hep_registry:names(), 0]}
    ].

on_record(Hep) ->
    [
        {encode, [Hep, [], 0]},
        {record_to_json, [Hep, 0]},
        {transform_record, [Hep, hep_registry:names(), 0]}
    ].

on_chunks(Chunks) ->
    [
        {chunks_to_json, [3, Chunks, 0]},
        {transform, [Chunks, hep_registry:names(), hep_registry:keys(), 0]}
    ].

many(Count) ->
    frame([chunk(9, Id, <<Id:16>>) || Id <- lists:seq(1, Count)]).

compressed() ->
    frame(chunk(16, zlib:compress(<<0:(256 * 1024)/unit:8>>))).

%% A binary that does not begin at a byte boundary.
unaligned(Size) ->
    <<_:1, Binary:Size/binary, _/bitstring>> = <<0:1, 0:Size/unit:8, 0:7>>,
    Binary.

%% Packets as JSON, of this many bytes.
json(Size) ->
    Packet = <<"{\"type\":\"HEP\",\"version\":3,\"srcPort\":1,\"payload\":{\"type\":1,\"data\":\"\"}}">>,
    Count = (Size - 2) div (byte_size(Packet) + 1),
    Array = iolist_to_binary([$[, lists:join($,, lists:duplicate(Count, Packet)), $]]),
    <<Array/binary, (binary:copy(<<" ">>, Size - byte_size(Array)))/binary>>.

%%% Compressed packets

compressed_while_others_decode_test_() ->
    {timeout, 60, fun() ->
        Text = binary:copy(<<"INVITE sip:bob@192.0.2.2 SIP/2.0\r\n">>, 2000),
        Packets = [
            {frame(chunk(16, zlib:compress(Text))), Text},
            {frame(chunk(16, zlib:gzip(Text))), Text},
            {frame(chunk(16, zlib:zip(Text))), Text},
            {frame(chunk(15, <<"plain">>)), <<"plain">>},
            {<<(hep_packets:v1(ipv4, 16))/binary, "fixed">>, <<"fixed">>}
        ],
        Decode = fun() ->
            [
                {ok, #hep{payload = Payload}} = decode(Round, Bytes)
             || Round <- lists:seq(1, ?ROUNDS), {Bytes, Payload} <- Packets
            ]
        end,
        Processes = [spawn_monitor(Decode) || _ <- lists:seq(1, ?PROCESSES)],
        Reasons = [receive {'DOWN', Ref, process, Pid, R} -> R end || {Pid, Ref} <- Processes],
        ?assertEqual([normal], lists:usort(Reasons))
    end}.

decode(Round, Bytes) when Round rem 2 =:= 0 -> hep:decode(Bytes);
decode(_, Bytes) -> hep:decode(Bytes, #{max_inflated => 100000}).

zip_bomb_test_() ->
    {timeout, 60, [
        {atom_to_list(Name), fun() ->
            Value = Compress(binary:copy(<<0>>, 50 * 1024 * 1024)),
            Bytes = frame(chunk(16, Value)),
            ?assert(byte_size(Bytes) < 65536),
            Before = binary_memory(),
            Expected = {error, {invalid_chunk, 0, 16, byte_size(Value), Value}},
            [?assertEqual(Expected, hep:decode(Bytes)) || _ <- lists:seq(1, 50)],
            ?assert(binary_memory() - Before < 4 * 1024 * 1024)
        end}
     || {Name, Compress} <- [
            {zlib, fun zlib:compress/1}, {gzip, fun zlib:gzip/1}, {raw, fun zlib:zip/1}
        ]
    ]}.

%% An inflated payload is freed with its packet.
inflated_payloads_are_collected_test() ->
    Bytes = frame(chunk(16, zlib:compress(binary:copy(<<0>>, 256 * 1024)))),
    Before = binary_memory(),
    [{ok, _} = hep:decode(Bytes) || _ <- lists:seq(1, 100)],
    ?assert(binary_memory() - Before < 4 * 1024 * 1024).

binary_memory() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    erlang:memory(binary).
