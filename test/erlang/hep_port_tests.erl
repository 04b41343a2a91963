%% @doc The port program returns the same results as the NIF, and works without it.
-module(hep_port_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_ports, [alike/2, all_alike/2, in_batch/1, nif/1, os_pid/1, with_port/1]).
-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%% Runs in another VM.
-export([calls_without_nif/0]).

-define(LONGEST, (64 * 1024 * 1024)).

%%% NIF and port answer alike

fixtures_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            [fixture(Port, hep_fixtures:bytes(Entry), Entry) || Entry <- hep_fixtures:entries()]
        end)}.

fixture(Port, Bytes, Entry) ->
    Asked = [Options || {Options, _} <- hep_fixtures:options(Entry)],
    lists:foreach(
        fun(Options) -> alike(Port, {decode, Bytes, Options}) end,
        [#{}, #{header_length => ignore}, #{lengths => lenient}, #{v2_order => little, capture_id => repair} | Asked]
    ),
    [alike(Port, Request) || Request <- [{decode, Bytes}, {parse, Bytes}, {to_json, Bytes}]],
    [views(Port, Hep) || Options <- [#{} | Asked], {ok, Hep} <- [hep:decode(Bytes, Options)]],
    [views(Port, State) || {ok, State} <- [hep_multi_parser:parse(Bytes)]],
    [alike(Port, {from_json, Json}) || {ok, Json} <- [hep_json:from_packet(Bytes)]].

views(Port, #hep{} = Hep) ->
    Timed = Hep#hep{timestamp = {1700, 123456, 654321}},
    [alike(Port, {What, P}) || What <- [transform, to_json], P <- [Hep, Timed]],
    alike(Port, {encode, Timed}),
    [
        alike(Port, {encode, Timed, Options})
     || Options <- [
            #{},
            #{v2_style => c},
            #{compress => zlib},
            #{compress => gzip, auth_key => <<"key">>}
        ]
    ];
views(Port, State) ->
    [alike(Port, {What, State}) || What <- [transform, to_json]].

property_test_() ->
    [
        {timeout, 60,
            {atom_to_list(Name),
                with_port(fun(Port) ->
                    Options = [quiet, {numtests, Cases}, {max_size, 40}],
                    ?assertEqual(true, proper:counterexample(property(Name, Port), Options))
                end)}}
     || {Name, Cases} <- [{any_bytes, 1000}, {any_options, 500}, {any_record, 1500}, {any_term, 500}, {batch, 200}]
    ].

property(any_bytes, Port) ->
    ?FORALL(
        Bytes,
        any_bytes(),
        all_alike(Port, [{decode, Bytes}, {parse, Bytes}, {to_json, Bytes}, {from_json, Bytes}])
    );
property(any_options, Port) ->
    ?FORALL(
        {Bytes, Options},
        {any_bytes(), any_options()},
        all_alike(Port, [{decode, Bytes, Options}, {encode, record(3), Options}])
    );
property(any_record, Port) ->
    ?FORALL(
        {Hep, Options},
        {any_record(), encode_options()},
        all_alike(Port, [{encode, Hep}, {encode, Hep, Options}, {transform, Hep}, {to_json, Hep}])
    );
property(any_term, Port) ->
    ?FORALL({Term, Other}, {any_term(), any_term()}, all_alike(Port, requests(Term, Other)));
property(batch, Port) ->
    ?FORALL(
        {Bytes, Hep, Term},
        {any_bytes(), any_record(), any_term()},
        begin
            Requests = [{parse, Bytes}, {encode, Hep}, {transform, Hep}, {from_json, Bytes} | requests(Term, Bytes)],
            Answers = lists:zip(Requests, hep_port:batch(Port, Requests)),
            [in_batch(nif(R)) || R <- Requests] =:= [in_batch(A) || A <- Answers]
        end
    ).

%% Any term in every position.
requests(Term, Other) ->
    Hep = record(3),
    [{What, Term} || What <- [parse, decode, encode, transform, from_json]] ++
        [{to_json, Term} || not is_list(Term)] ++
        [{decode, <<"HEP3", 6:16>>, Term}, {decode, Term, Other}] ++
        [{encode, Hep, Term}, {encode, Term, #{}}] ++
        [
            {What, Packet}
         || What <- [encode, transform, to_json],
            Packet <- [
                Hep#hep{src_ip = Term},
                Hep#hep{timestamp = {1, 2, 3}, src_port = Term},
                Hep#hep{payload = Term},
                Hep#hep{chunks = Term},
                Hep#hep{chunks = [{Term, Other}]}
            ]
        ] ++
        [
            {What, {hep, Version, Chunks}}
         || What <- [transform, to_json],
            {Version, Chunks} <- [{3, Term}, {Term, []}, {3, [{Term, Other}]}]
        ].

any_term() ->
    oneof([
        term(),
        oneof([
            'ä',
            list_to_atom([8364]),
            -1,
            1 bsl 31,
            1 bsl 64,
            -(1 bsl 64),
            -0.0,
            "abc",
            [1 | 2],
            #{a => "abc"},
            <<1:3>>,
            self(),
            make_ref(),
            fun erlang:abs/1,
            fun() -> ok end
        ])
    ]).

any_bytes() ->
    ?LET(
        {Start, Rest},
        {oneof([<<>>, <<"HEP3">>, <<"EEP3">>, <<1>>, <<2, 16, 2>>, <<"{\"type\":\"HEP\",">>]), binary()},
        oneof([<<Start/binary, Rest/binary>>, frame(Rest), frame([chunk(15, Rest), chunk(8, 3, Start)])])
    ).

any_options() ->
    ?LET(
        Pairs,
        list({
            oneof([header_length, v2_order, capture_id, max_inflated, v2_style, compress, auth_key, atom()]),
            oneof([strict, ignore, auto, big, little, keep, repair, c, zlib, gzip, none, binary(), integer(), term()])
        }),
        maps:from_list(Pairs)
    ).

encode_options() ->
    oneof([
        #{},
        #{v2_style => c},
        #{compress => zlib},
        #{compress => gzip},
        ?LET(Key, binary(), #{auth_key => Key, compress => none})
    ]).

record(Version) ->
    (hep_encoding:hep(3))#hep{version = Version}.

%% Usually valid: up to two fields are replaced.
any_record() ->
    ?LET(
        {Version, Changes},
        {oneof([1, 2, 3, 3, hep_v2, hep_v3]), list(change())},
        lists:foldl(
            fun({Position, Value}, Hep) -> setelement(Position, Hep, Value) end,
            record(Version),
            lists:sublist(Changes, 2)
        )
    ).

change() ->
    oneof([
        {#hep.version, oneof([0, 4, undefined, hep_v1, term()])},
        {#hep.protocol_family, oneof([10, ipv4, ipv6, undefined, 3, term()])},
        {#hep.protocol, oneof([undefined, integer(0, 300)])},
        {#hep.src_ip, oneof([undefined, address(), term()])},
        {#hep.dst_ip, oneof([undefined, address(), term()])},
        {#hep.src_port, oneof([undefined, integer(-1, 70000)])},
        {#hep.timestamp, {integer(-1, 5000), integer(0, 1000001), integer(0, 1000000)}},
        {#hep.node_id, oneof([undefined, integer(0, 1 bsl 33)])},
        {#hep.payload_type, oneof([sip, rtcp, xx, integer(-1, 256)])},
        {#hep.payload, oneof([binary(), term()])},
        {#hep.chunks, list(oneof([{{0, integer(0, 50)}, binary()}, {{8, integer(0, 70000)}, {integer(0, 9), binary()}}]))}
    ]).

address() ->
    oneof([
        ?LET(Bytes, vector(4, byte()), list_to_tuple(Bytes)),
        ?LET(Segments, vector(8, integer(0, 65536)), list_to_tuple(Segments))
    ]).

%% A record that cannot be encoded has no JSON: hep_json raises, and so must the port.
json_of_an_invalid_record_test_() ->
    with_port(fun(Port) -> ?assertError(badarg, hep_port:to_json(Port, (record(3))#hep{src_port = x})) end).

%% Atoms beyond ASCII come back unchanged.
atoms_test_() ->
    with_port(fun(Port) ->
        [
            alike(Port, {encode, (record(3))#hep{src_ip = Atom}})
         || Atom <- ['', 'a b', list_to_atom([228]), list_to_atom([8364]), list_to_atom(lists:duplicate(255, 8364))]
        ]
    end).

%% So do the terms that may contain a list of small integers, some of them negative.
wrong_values_test_() ->
    with_port(fun(Port) ->
        [
            alike(Port, {encode, Hep})
         || Wrong <- [
                [-1, 2],
                #{a => [-1, 2]},
                #{[-1, 2] => "ab", "ab" => #{}},
                [[-1, 2] | x],
                [x | {[-1]}],
                ["ab" | #{a => "ab"}],
                [1 | 2],
                {[-1], [[-1, -256]]}
            ],
            Hep <- [(record(3))#hep{src_ip = Wrong}, (record(3))#hep{chunks = Wrong}, Wrong]
        ]
    end).

%% Terms of every kind, and however deep, get the NIF's answer.
strange_terms_test_() ->
    with_port(fun(Port) ->
        Program = os_pid(Port),
        Deep = lists:foldl(fun(_, Term) -> {Term} end, x, lists:seq(1, 200000)),
        Terms = [Deep, fun erlang:abs/255, fun() -> Port end, self(), make_ref(), hd(erlang:ports()), <<1:3>>, 1 bsl 5000],
        [
            alike(Port, {encode, Hep})
         || Term <- Terms, Hep <- [Term, (record(3))#hep{src_ip = Term}, (record(3))#hep{chunks = [Term]}]
        ],
        ?assertEqual(Program, os_pid(Port))
    end).

big_packets_test_() ->
    with_port(fun(Port) ->
        Full = frame(chunk(15, binary:copy(<<"x">>, 65535 - 12))),
        ?assertEqual(65535, byte_size(Full)),
        Inflated = frame(chunk(16, zlib:compress(<<0:(256 * 1024)/unit:8>>))),
        Beyond = frame(chunk(16, zlib:compress(<<0:(256 * 1024 + 1)/unit:8>>))),
        ?assertMatch({ok, #hep{payload = <<0:(256 * 1024)/unit:8>>}}, hep_port:decode(Port, Inflated)),
        [
            alike(Port, {What, Packet})
         || What <- [decode, parse, to_json], Packet <- [Full, <<Full/binary, 0>>, Inflated, Beyond]
        ],
        Fixed = <<(hep_packets:v1(ipv4, 16))/binary, (binary:copy(<<"x">>, 65507 - 16))/binary>>,
        {ok, Parsed} = hep_multi_parser:parse(Fixed),
        [alike(Port, {What, Parsed}) || What <- [transform, to_json]],
        {ok, Hep} = hep:decode(Inflated),
        [alike(Port, {What, Hep#hep{timestamp = {1, 2, 3}}}) || What <- [transform, to_json, encode]]
    end).

%% More than a packet, aligned to bytes or not.
many_bytes_test_() ->
    with_port(fun(Port) ->
        [many_bytes(Port, Large) || Large <- [fun aligned/1, fun unaligned/1]]
    end).

many_bytes(Port, Large) ->
    Parsed = {hep, 3, [{<<0:16, 15:16>>, Large(60000)} || _ <- lists:seq(1, 20)]},
    [alike(Port, {What, Parsed}) || What <- [transform, to_json]],
    Hep = record(3),
    Chunked = Hep#hep{chunks = [{{9, 1}, Large(60000)} || _ <- lists:seq(1, 20)]},
    Long = Hep#hep{chunks = [{{9, 1}, {60000, Large(60000)}} || _ <- lists:seq(1, 20)]},
    Paid = Hep#hep{chunks = [{{0, 17}, Large(1100000)}], payload = Large(2000000)},
    [alike(Port, {What, H}) || What <- [encode, transform, to_json], H <- [Chunked, Long, Paid]],
    Key = #{auth_key => Large(1100000)},
    [alike(Port, {encode, H, Key}) || H <- [Hep, Hep#hep{payload = Large(2000000)}]].

aligned(Size) ->
    <<0:Size/unit:8>>.

unaligned(Size) ->
    <<_:1, Binary:Size/binary, _/bitstring>> = <<0:1, 0:Size/unit:8, 0:7>>,
    Binary.

%%% Batches

batch_test_() ->
    with_port(fun(Port) ->
        Packet = frame(chunk(15, <<"hello">>)),
        {ok, State} = hep_multi_parser:parse(Packet),
        {ok, Hep} = hep:decode(Packet),
        {ok, Json} = hep_json:from_packet(Packet),
        Requests = [
            {decode, Packet},
            foo,
            {parse, Packet},
            {parse, not_a_binary},
            {decode, <<"x">>},
            {decode, x},
            {decode, Packet, #{no_such => option}},
            {batch, []},
            {encode, (record(3))},
            {encode, (record(1))#hep{payload_type = 5}},
            {transform, State},
            {transform, Hep},
            {transform, x},
            {to_json, Packet},
            {from_json, Json},
            {from_json, <<"{">>},
            {},
            {nothing, Packet}
        ],
        Answers = hep_port:batch(Port, Requests),
        Answered = lists:zip(Requests, Answers),
        ?assertEqual([in_batch(nif(R)) || R <- Requests], [in_batch(A) || A <- Answered]),
        ?assertEqual([], hep_port:batch(Port, [])),
        ?assertEqual([{error, badarg}], hep_port:batch(Port, [foo])),
        Many = [{parse, <<I:32>>} || I <- lists:seq(1, 20000)],
        ?assertEqual([{error, invalid_packet, P} || {parse, P} <- Many], hep_port:batch(Port, Many)),
        [?assertError(badarg, hep_port:batch(Port, Wrong)) || Wrong <- [x, #{}, [foo | bar]]]
    end).

longest_frame_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            %% The number, and the length of the request.
            Around = byte_size(term_to_binary({decode, <<>>, []})) + 8 + 4,
            Longest = <<0:(?LONGEST - Around)/unit:8>>,
            ?assertEqual({error, not_hep}, hep_port:decode(Port, Longest)),
            {error, {too_large, Size}} = hep_port:decode(Port, <<Longest/binary, 0:64>>),
            ?assert(Size > ?LONGEST andalso Size =< ?LONGEST + 8),
            ?assertMatch({error, {too_large, _}}, hep_port:batch(Port, [{parse, Longest}, {parse, <<>>}])),
            ?assertEqual({error, not_hep}, hep_port:decode(Port, <<>>))
        end)}.

%% A program with a smaller maximum frame, so that its results soon exceed it.
answer_beyond_the_longest_frame_test_() ->
    hep_ports:with_script("exec " ++ hep_nif_path:program() ++ " 1000", #{}, fun(Port) ->
        Empty = frame([chunk(9, Id, <<>>) || Id <- lists:seq(1, 100)]),
        Addresses = [chunk(3, <<192, 0, 2, 1>>) || _ <- lists:seq(1, 40)],
        {ok, Transformable} = hep_multi_parser:parse(frame(Addresses)),
        {ok, Base64} = hep_multi_parser:parse(frame(chunk(15, binary:copy(<<255>>, 900)))),
        [
            ?assertMatch({_, {error, {too_large, Bytes}}} when Bytes >= 900, {Request, Answer})
         || {Request, Answer} <- [
                {parse, hep_port:parse(Port, Empty)},
                {decode, hep_port:decode(Port, Empty)},
                {transform, hep_port:transform(Port, Transformable)},
                {to_json, hep_port:to_json(Port, Base64)}
            ]
        ],
        ?assertMatch(
            [{error, {too_large, _}}, {error, not_hep}], hep_port:batch(Port, [{decode, Empty}, {decode, <<>>}])
        )
    end).

%%% Without the NIF

nif_is_never_loaded_test_() ->
    {timeout, 30, fun() ->
        Paths = lists:usort([filename:dirname(code:which(Module)) || Module <- [hep_port, hep_packets, ?MODULE]]),
        {ok, Peer, _} = peer:start_link(#{
            connection => standard_io,
            args => ["-kernel", "logger_level", "none"] ++ lists:append([["-pa", Path] || Path <- Paths])
        }),
        try
            ?assertEqual(ok, peer:call(Peer, ?MODULE, calls_without_nif, [], 20000)),
            ?assertEqual(false, peer:call(Peer, code, is_loaded, [hep_nif])),
            ?assertMatch({file, _}, peer:call(Peer, code, is_loaded, [hep_port]))
        after
            peer:stop(Peer)
        end
    end}.

%% @private
calls_without_nif() ->
    {ok, Port} = hep_port:start_link(#{}),
    Packet = frame([chunk(11, <<1>>), chunk(15, <<"hello">>), chunk(8, 1, <<"x">>)]),
    {ok, Hep} = hep_port:decode(Port, Packet),
    {ok, Hep} = hep_port:decode(Port, Packet, #{capture_id => repair}),
    {ok, State} = hep_port:parse(Port, Packet),
    {error, invalid_packet, x} = hep_port:parse(Port, x),
    {ok, <<_/binary>>} = hep_port:encode(Port, Hep),
    {ok, <<_/binary>>} = hep_port:encode(Port, hep:payload_type(rtcp, hep:version(hep_v3, Hep)), #{compress => zlib}),
    [_] = hep_port:transform(Port, Hep),
    [_] = hep_port:transform(Port, State),
    {ok, Json} = hep_port:to_json(Port, Packet),
    {ok, _} = hep_port:to_json(Port, Hep),
    {ok, _} = hep_port:to_json(Port, State),
    {ok, Hep} = hep_port:from_json(Port, Json),
    {error, Reason} = hep_port:from_json(Port, <<"{">>),
    [{ok, Hep}, {error, badarg}] = hep_port:batch(Port, [{decode, Packet}, foo]),
    sip = hep:payload_type(Hep),
    hep_v3 = hep:version(Hep),
    _ = hep:vendor(Hep),
    [_ | _] = hep:format_error(Reason),
    [_ | _] = hep:format_error(not_hep),
    {ok, <<"hello">>} = hep:get_chunk(0, 15, State),
    badarg = try hep_port:decode(Port, x) catch error:E1 -> E1 end,
    badarg = try hep_port:decode(Port, Packet, #{foo => 1}) catch error:E2 -> E2 end,
    hep_port:stop(Port).

format_error_test_() ->
    [
        ?_assertEqual(Text, hep_port:format_error(Error))
     || {Error, Text} <- [
            {{bad_option, {timeout, 0}}, "the option timeout is 0: expected milliseconds, at least 1"},
            {{bad_option, {no_such, 1}}, "unknown option no_such"},
            {{bad_option, []}, "the options are []: expected a map (in Elixir, a keyword list)"},
            {timeout, "the program did not answer in time"},
            {{too_large, 7}, "the request or its answer has 7 bytes or more, which exceeds max_frame"},
            {{truncated, 4}, "truncated: the packet ends at byte 4, before the end of its header or its total length"}
        ]
    ] ++ [?_assertError(badarg, hep_port:format_error(no_reason))].
