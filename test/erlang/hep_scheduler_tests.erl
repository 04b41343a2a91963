%% @doc Large packets, compressed ones, which are inflated on dirty schedulers, and what else those are for.
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

%%% Normal schedulers stay free

%% What a normal scheduler does not take on.
too_much_test_() ->
    {Long, Dear} = {many(2001), <<0:(64 * 1024 + 1)/unit:8>>},
    {ok, {hep, 3, Chunks}} = hep_multi_parser:parse(Long),
    {ok, Hep} = hep:decode(Long),
    Text = (hep:new())#hep{payload = Dear, timestamp = {1, 2, 3}},
    [
        {lists:flatten(io_lib:format("~s/~b ~P", [Function, length(Arguments), Arguments, 8])),
            ?_assertEqual(dirty, apply(hep_nif, Function, Arguments))}
     || {Function, Arguments} <-
            on_packet(Long) ++ on_packet(compressed()) ++ on_record(Hep) ++ on_chunks(Chunks) ++
                [
                    {encode, [Text, [{compress, zlib}]]},
                    {record_to_json, [Text]},
                    {chunks_to_json, [3, [{<<0:16, 15:16>>, Dear}]]},
                    {from_json, [json(8 * 1024 + 1)]}
                ] ++ on_chunks([{<<9:16, 1:16>>, unaligned(60000)} || _ <- lists:seq(1, 2000)]),
        %% Those look into no compressed payload.
        not (Arguments =:= [compressed(), hep_registry:keys()]),
        not (Arguments =:= [compressed(), hep_registry:names()]),
        %% Nor into vendors' values.
        not (Function =:= transform andalso length(hd(Arguments)) =:= 2000)
    ].

%% The most that one does take on: the best of a few runs, however busy the machine is. (Of values that are larger than
%% any packet's one is copied before they are refused.)
most_test_() ->
    {Many, Huge} = {many(2000), unaligned(4 * 1024 * 1024)},
    {ok, {hep, 3, Chunks}} = hep_multi_parser:parse(Many),
    {ok, Hep} = hep:decode(Many),
    Text = binary:copy(<<1>>, 65535 - 12),
    [
        {timeout, 30,
            {lists:flatten(io_lib:format("~s/~b ~P", [Function, length(Arguments), Arguments, 8])), fun() ->
                Times = [time_of(Function, Arguments) || _ <- lists:seq(1, 5)],
                ?assert(lists:min(Times) < 20000)
            end}}
     || {Function, Arguments} <-
            lists:append([on_packet(P) || P <- [Many, frame(chunk(15, Text))]]) ++
                lists:append([on_record(R) || R <- [Hep, Hep#hep{payload = Text}]]) ++
                on_record(Hep#hep{chunks = [{{9, 1}, unaligned(60000)} || _ <- lists:seq(1, 2000)]}) ++
                on_chunks(Chunks) ++
                on_chunks([{<<9:16, 1:16>>, Huge}, {<<9:16, 1:16>>, Huge}]) ++
                [{from_json, [json(8 * 1024)]}]
    ].

time_of(Function, Arguments) ->
    element(1, timer:tc(hep_nif, Function, Arguments)).

%% To read JSON is charged to the process that has it read.
charged_test() ->
    Json = json(8 * 1024),
    {reductions, Before} = process_info(self(), reductions),
    ?assertMatch({ok, _}, hep_nif:from_json(Json)),
    {reductions, After} = process_info(self(), reductions),
    ?assert(After - Before > 1000).

%% Binaries beyond a datagram do not even get to the functions for normal schedulers, where they might be copied.
straight_to_dirty_test_() ->
    Large = unaligned(16 * 1024 * 1024),
    Hep = (hep:new())#hep{payload = Large},
    [
        {lists:flatten(io_lib:format("~p", [Call])), fun() ->
            Called = [Function || {hep_nif, Function, _} <- calls(Call)],
            ?assertMatch([_], Called),
            ?assertEqual("_dirty", string:find(atom_to_list(hd(Called)), "_dirty"))
        end}
     || Call <- [
            fun() -> hep:decode(Large) end,
            fun() -> hep:decode(Large, #{v2_order => big}) end,
            fun() -> hep:encode(Hep) end,
            fun() -> hep:encode(Hep, #{v2_style => c}) end,
            fun() -> hep_multi_parser:parse(Large) end,
            fun() -> hep_transform:from_packet(Large) end,
            fun() -> hep_json:from_packet(Large) end,
            fun() -> hep_json:encode(Hep) end,
            fun() -> hep_json:decode(Large) end
        ]
    ].

%% The functions of hep_nif that are called.
calls(Call) ->
    _ = hep_nif:module_info(),
    _ = erlang:trace_pattern({hep_nif, '_', '_'}, true, [local]),
    {Pid, Monitor} = spawn_monitor(fun() -> receive go -> _ = Call(), exit(done) end end),
    1 = erlang:trace(Pid, true, [call]),
    Pid ! go,
    receive {'DOWN', Monitor, _, _, done} -> ok end,
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    _ = erlang:trace_pattern({hep_nif, '_', '_'}, false, [local]),
    traced(Pid).

traced(Pid) ->
    receive {trace, Pid, call, Called} -> [Called | traced(Pid)]
    after 0 -> []
    end.

on_packet(Packet) ->
    [
        {decode, [Packet]},
        {decode, [Packet, []]},
        {packet_to_json, [Packet, []]},
        {parse, [Packet, hep_registry:keys()]},
        {transform_packet, [Packet, hep_registry:names()]}
    ].

on_record(Hep) ->
    [
        {encode, [Hep]},
        {encode, [Hep, []]},
        {record_to_json, [Hep]},
        {transform_record, [Hep, hep_registry:names()]}
    ].

on_chunks(Chunks) ->
    [
        {chunks_to_json, [3, Chunks]},
        {transform, [Chunks, hep_registry:names(), hep_registry:keys()]}
    ].

many(Count) ->
    frame([chunk(9, Id, <<Id:16>>) || Id <- lists:seq(1, Count)]).

compressed() ->
    frame(chunk(16, zlib:compress(<<0:(256 * 1024)/unit:8>>))).

%% A binary that does not begin at a byte's border.
unaligned(Size) ->
    <<_:1, Binary:Size/binary, _/bitstring>> = <<0:1, 0:Size/unit:8, 0:7>>,
    Binary.

%% Packets as JSON, of so many bytes.
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

%% An inflated payload is given back with the packet.
inflated_payloads_are_collected_test() ->
    Bytes = frame(chunk(16, zlib:compress(binary:copy(<<0>>, 256 * 1024)))),
    Before = binary_memory(),
    [{ok, _} = hep:decode(Bytes) || _ <- lists:seq(1, 100)],
    ?assert(binary_memory() - Before < 4 * 1024 * 1024).

binary_memory() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    erlang:memory(binary).
