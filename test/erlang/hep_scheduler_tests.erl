%% @doc Large packets, and compressed ones, which are inflated on dirty schedulers.
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

%% As many generic chunks as a packet can hold.
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

%% Other processes run on while a payload is inflated over and over.
normal_schedulers_stay_free_test_() ->
    {timeout, 30, fun() ->
        Bytes = frame(chunk(16, zlib:compress(binary:copy(<<0>>, 1024 * 1024)))),
        Busy = erlang:system_info(schedulers_online) + 2,
        Inflate = fun Again() -> {ok, _} = hep:decode(Bytes), Again() end,
        Processes = [spawn_link(Inflate) || _ <- lists:seq(1, Busy)],
        Ticks = [element(1, timer:tc(fun() -> timer:sleep(1) end)) || _ <- lists:seq(1, 50)],
        [begin unlink(P), exit(P, kill) end || P <- Processes],
        ?assert(lists:nth(25, lists:sort(Ticks)) < 100000)
    end}.

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

%% An inflated payload is given back with the packet.
inflated_payloads_are_collected_test() ->
    Bytes = frame(chunk(16, zlib:compress(binary:copy(<<0>>, 1024 * 1024)))),
    Before = binary_memory(),
    [{ok, _} = hep:decode(Bytes) || _ <- lists:seq(1, 100)],
    ?assert(binary_memory() - Before < 4 * 1024 * 1024).

binary_memory() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    erlang:memory(binary).
