%% @doc JSON: all fixtures, the golden files, arrays, large packets, generated records.
-module(hep_json_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_prop.hrl").

-import(hep_generators, [any_record/0, decode_options/0, packet_or_bytes/0]).

-import(hep_json_texts, [hep/0, is_answer/1, packet/0, still/1]).
-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%% The time of version 1 in the golden files.
-define(NOW, {1800, 0, 123456}).
-define(CASES, 500).

%%% Fixtures

fixture_test_() ->
    [{hep_fixtures:file(E), fun() -> fixture(E) end} || E <- hep_fixtures:entries(datagram)].

fixture(Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    fixture(Entry, Bytes, hep:decode(Bytes)),
    [
        same_as_decoding(hep:decode(Bytes, Options), hep_json:from_packet(Bytes, Options))
     || {Options, _} <- hep_fixtures:options(Entry)
    ].

fixture(Entry, Bytes, {ok, Hep}) ->
    ?assertEqual({ok, Hep}, hep_json:decode(hep_json:encode(Hep))),
    same_as_decoding({ok, Hep}, hep_json:from_packet(Bytes)),
    same_as_decoding({ok, Hep}, hep_json:from_packet(Bytes, #{})),
    {ok, State} = hep_multi_parser:parse(Bytes),
    %% Parsing keeps the NUL bytes after the text.
    case hep_fixtures:has_rule("Q10", Entry) andalso payload(State) =/= Hep#hep.payload of
        true ->
            {ok, Kept} = hep_json:decode(hep_json:encode(State)),
            ?assertEqual(still(Hep#hep{payload = payload(State)}), still(Kept));
        false ->
            same_as_decoding({ok, Hep}, {ok, hep_json:encode(State)})
    end;
fixture(_Entry, Bytes, {error, Reason}) ->
    ?assertEqual({error, Reason}, hep_json:from_packet(Bytes)).

payload(State) ->
    case hep:get_chunk(0, 15, State) of
        {ok, Payload} -> Payload;
        _ -> <<>>
    end.

same_as_decoding({ok, #hep{version = 1} = Hep}, {ok, Json}) ->
    {ok, Read} = hep_json:decode(Json),
    ?assertEqual(still(Hep), still(Read)),
    ?assertEqual(Json, hep_json:encode(Read));
same_as_decoding({ok, Hep}, Json) ->
    ?assertEqual({ok, hep_json:encode(Hep)}, Json);
same_as_decoding({ok, Hep, Reason}, Answer) ->
    ?assertMatch({ok, _, Reason}, Answer),
    same_as_decoding({ok, Hep}, {ok, element(2, Answer)});
same_as_decoding(Error, Answer) ->
    ?assertEqual(Error, Answer).

%% The NUL bytes that differ are present.
padding_of_a_parsed_packet_test() ->
    Entries = [E || E <- hep_fixtures:entries(datagram), hep_fixtures:has_rule("Q10", E)],
    Padded = [
        E
     || E <- Entries,
        Bytes <- [hep_fixtures:bytes(E)],
        {ok, #hep{payload = Payload}} <- [hep:decode(Bytes)],
        {ok, State} <- [hep_multi_parser:parse(Bytes)],
        payload(State) =/= Payload
    ],
    ?assert(length(Padded) >= 6).

all_fixtures_as_an_array_test_() ->
    {timeout, 60, fun() ->
        Decoded = [hep:decode(hep_fixtures:bytes(E)) || E <- hep_fixtures:entries(datagram)],
        Heps = [Hep || {ok, Hep} <- Decoded],
        ?assert(length(Heps) > 400),
        Json = hep_json:encode(Heps),
        ?assert(byte_size(Json) > 64 * 1024),
        ?assertEqual({ok, Heps}, hep_json:decode(Json))
    end}.

%%% Golden files

golden_test_() ->
    Files = golden_files(),
    [?_assert(length(Files) >= 12) | [{File, fun() -> golden(File) end} || File <- Files]].

golden(File) ->
    Packet = filename:rootname(File) ++ ".bin",
    Hep = hep_packets:decoded(hep_fixtures:bytes(Packet)),
    Fixed =
        case Hep of
            #hep{version = 1} -> Hep#hep{timestamp = ?NOW};
            _ -> Hep
        end,
    Expected = hep_fixtures:bytes(filename:join("json", File)),
    ?assertEqual(Expected, <<(hep_json:encode(Fixed))/binary, "\n">>),
    ?assertEqual({ok, Fixed}, hep_json:decode(Expected)).

%% The names of the packets with a golden file.
golden_files() ->
    Packets = [filename:rootname(File) || File <- hep_fixtures:files()],
    [File || Packet <- Packets, File <- [Packet ++ ".json"], is_golden(File)].

is_golden(File) ->
    try hep_fixtures:bytes(filename:join("json", File)) of
        Bytes -> is_binary(Bytes)
    catch
        error:{badmatch, {error, enoent}} -> false
    end.

%%% Arrays

array_test() ->
    {ok, State} = hep_multi_parser:parse(packet()),
    Object = hep_json:encode(hep()),
    ?assertEqual(<<"[]">>, hep_json:encode([])),
    ?assertEqual(<<"[", Object/binary, "]">>, hep_json:encode([hep()])),
    ?assertEqual(<<"[", Object/binary, ",", Object/binary, "]">>, hep_json:encode([hep(), State])),
    ?assertEqual({ok, []}, hep_json:decode(<<" [ ] ">>)),
    ?assertEqual({ok, [hep()]}, hep_json:decode(hep_json:encode([hep()]))),
    ?assertEqual({ok, [hep(), hep()]}, hep_json:decode(hep_json:encode([hep(), State]))).

wrong_array_test_() ->
    [
        ?_assertError(badarg, hep_json:encode(List))
     || List <- [[hep() | hep()], [hep(), foo], [[hep()]], [hep(), (hep())#hep{src_port = 65536}]]
    ] ++
        [
            ?_assertMatch({error, {invalid_json, 1, _, _}}, hep_json:decode(Json))
         || Json <- [<<"[1]">>, <<"[[]]">>, <<"[null]">>, <<"[">>, <<"[,]">>, <<"[{}]">>]
        ].

%% The position counts in the whole text.
position_in_an_array_test() ->
    Object = hep_json:encode(hep()),
    Wrong = binary:replace(Object, <<"\"version\":3">>, <<"\"version\":9">>),
    Json = <<"[", Object/binary, ",\n", Object/binary, ",\n  ", Wrong/binary, "]">>,
    ?assertMatch({error, {invalid_json, 3, 27, _}}, hep_json:decode(Json)).

%%% Large payloads

large_test_() ->
    Text = binary:copy(<<"0123456789abcdef">>, 65536),
    [
        {Name, {timeout, 30, fun() -> large(Payload) end}}
     || {Name, Payload} <- [
            {"text", Text},
            {"UTF-8", binary:copy(<<"ü\""/utf8>>, 350_000)},
            {"control characters", binary:copy(<<0>>, 1_000_000)},
            {"not UTF-8", <<Text/binary, 255>>}
        ]
    ].

large(Payload) ->
    Hep = (hep())#hep{payload = Payload},
    Json = hep_json:encode(Hep),
    ?assert(byte_size(Json) > byte_size(Payload)),
    ?assertEqual({ok, Hep}, hep_json:decode(Json)),
    ?assertEqual({ok, [Hep, Hep]}, hep_json:decode(hep_json:encode([Hep, Hep]))).

%% Versions 1 and 2 have shorter headers than the chunks of their parsed packets.
large_parsed_test_() ->
    Time = <<1_700_000_000:32, 5:32, 7:16, 0:16>>,
    [
        {lists:flatten(io_lib:format("version ~b, ~b bytes", [Version, Size])), fun() ->
            Packet = <<Header/binary, (binary:copy(<<"x">>, Size - byte_size(Header)))/binary>>,
            {ok, State} = hep_multi_parser:parse(Packet),
            ?assertEqual(Version, hep:get_version(State)),
            Json = hep_json:encode(State),
            same_as_decoding(hep:decode(Packet), {ok, Json}),
            same_as_decoding(hep_json:decode(Json), hep_json:from_packet(Packet))
        end}
     || {Version, Header} <- [
            {1, hep_packets:v1(ipv4, 16)},
            {1, hep_packets:v1(ipv6, 40)},
            {2, hep_packets:v2(ipv4, 28, Time, <<>>)},
            {2, hep_packets:v2(ipv6, 52, Time, <<>>)}
        ],
        Size <- [65000, 65440, 65507, 65535, 65536, 200_000]
    ].

%% A chunk with an invalid value is invalid in every view.
parsed_but_not_decodable_test_() ->
    [
        ?_assertError(badarg, hep_json:encode({hep, Version, [{<<0:16, Id:16>>, Value}]}))
     || Version <- [1, 2, 3],
        {Id, Value} <- [{1, <<99>>}, {1, <<2:16>>}, {3, <<1>>}, {7, <<1>>}, {16, <<"no deflate">>}]
    ].

%% 256 KiB from a packet of a few kilobytes.
inflated_test() ->
    Payload = binary:copy(<<"0123456789abcdef">>, 16384),
    Packet = frame([chunk(16, zlib:compress(Payload))]),
    {ok, Json} = hep_json:from_packet(Packet),
    ?assertEqual({ok, (hep:new())#hep{payload = Payload}}, hep_json:decode(Json)),
    {ok, State} = hep_multi_parser:parse(Packet),
    ?assertEqual(Json, hep_json:encode(State)),
    Limited = #{max_inflated => byte_size(Payload) - 1},
    ?assertMatch({error, {invalid_chunk, 0, 16, _, _}}, hep_json:from_packet(Packet, Limited)),
    ?assertEqual({ok, Json}, hep_json:from_packet(Packet, #{max_inflated => byte_size(Payload)})).

many_chunks_test() ->
    Packet = frame([chunk(9, 9, <<>>) || _ <- lists:seq(1, 10_000)]),
    {ok, Json} = hep_json:from_packet(Packet),
    Hep = hep_packets:decoded(Packet),
    {ok, State} = hep_multi_parser:parse(Packet),
    ?assertEqual(Json, hep_json:encode(Hep)),
    ?assertEqual(Json, hep_json:encode(State)),
    ?assertEqual({ok, Hep}, hep_json:decode(Json)).

%%% Options

options_test_() ->
    Id = frame([chunk(12, <<7:16, 0:16>>)]),
    Length = hep_packets:v1(ipv4, 99),
    Time = <<1_000_000:32, 2_000_000:32, 1:16, 0:16>>,
    Order = hep_packets:v2(ipv4, 28, Time),
    NodeId = fun(Packet, Options) -> (read(Packet, Options))#hep.node_id end,
    [
        ?_assertEqual(7 bsl 16, NodeId(Id, #{})),
        ?_assertEqual(7 bsl 16, NodeId(Id, #{capture_id => keep})),
        ?_assertEqual(7, NodeId(Id, #{capture_id => repair})),
        ?_assertEqual({error, {invalid_header_length, 99}}, hep_json:from_packet(Length)),
        ?_assertEqual({error, {invalid_header_length, 99}}, hep_json:from_packet(Length, #{header_length => strict})),
        ?_assertMatch(#hep{version = 1}, read(Length, #{header_length => ignore})),
        ?_assertEqual(1, NodeId(Order, #{v2_order => big})),
        ?_assertEqual(256, NodeId(Order, #{v2_order => little}))
    ].

read(Packet, Options) ->
    {ok, Json} = hep_json:from_packet(Packet, Options),
    {ok, Hep} = hep_json:decode(Json),
    ?assertEqual({ok, still(Hep)}, {ok, still(element(2, hep:decode(Packet, Options)))}),
    Hep.

%%% Properties

property_test_() ->
    {inparallel, [
        {timeout, 120, {atom_to_list(Name), fun() -> hep_prop:holds(?MODULE, Name, ?CASES) end}}
     || Name <- [
            prop_record_comes_back,
            prop_array_comes_back,
            prop_packet_in_one_step,
            prop_any_term,
            prop_any_text,
            prop_damaged_text
        ]
    ]}.

prop_record_comes_back() ->
    ?CHECK(Hep, any_record(), hep_json:decode(hep_json:encode(Hep)) =:= {ok, normal(Hep)}).

prop_array_comes_back() ->
    ?CHECK(
        Heps,
        list(any_record()),
        hep_json:decode(hep_json:encode(Heps)) =:= {ok, [normal(Hep) || Hep <- Heps]}
    ).

%% In one step or in two, with any options.
prop_packet_in_one_step() ->
    ?CHECK(
        {Packet, Options},
        {packet_or_bytes(), decode_options()},
        case {hep:decode(Packet, Options), hep_json:from_packet(Packet, Options)} of
            {{ok, #hep{version = 1} = Hep}, {ok, Json}} ->
                {ok, Read} = hep_json:decode(Json),
                still(Read) =:= still(Hep);
            {{ok, Hep}, {ok, Json}} ->
                Json =:= hep_json:encode(Hep);
            {Error, Answer} ->
                Error =:= Answer
        end
    ).

prop_any_term() ->
    ?CHECK(
        {Term, Other, Field},
        {term(), term(), integer(2, 13)},
        lists:all(fun is_allowed/1, [
            fun() -> true = is_binary(hep_json:encode(Term)) end,
            fun() -> true = is_binary(hep_json:encode([Term])) end,
            fun() -> true = is_binary(hep_json:encode([hep() | Term])) end,
            fun() -> true = is_binary(hep_json:encode({hep, Term, Other})) end,
            fun() -> true = is_binary(hep_json:encode({hep, 3, [{Term, Other}]})) end,
            fun() -> true = is_binary(hep_json:encode(setelement(Field, hep(), Term))) end,
            fun() -> true = is_binary(hep_json:encode((hep())#hep{chunks = [{Term, Other}]})) end,
            fun() -> true = is_answer(hep_json:decode(Term)) end,
            fun() -> {A, _} = hep_json:from_packet(Term), true = is_atom(A) end,
            fun() -> {A, _} = hep_json:from_packet(packet(), Term), true = is_atom(A) end
        ])
    ).

is_allowed(Call) ->
    try
        _ = Call(),
        true
    catch
        error:badarg -> true
    end.

prop_any_text() ->
    ?CHECK(Bytes, binary(), is_answer(hep_json:decode(Bytes))).

%% A byte is changed, or some bytes are missing.
prop_damaged_text() ->
    ?CHECK(
        {Hep, Place, Length, Byte},
        {any_record(), non_neg_integer(), oneof([0, 1, 1, 2, 10]), oneof([<<>>, binary(1), binary(4)])},
        begin
            Json = hep_json:encode(Hep),
            Start = (Place * 7919) rem byte_size(Json),
            End = min(Start + Length, byte_size(Json)),
            <<Before:Start/binary, _:(End - Start)/binary, After/binary>> = Json,
            Answer = hep_json:decode(<<Before/binary, Byte/binary, After/binary>>),
            is_answer(Answer) andalso is_answer(hep_json:decode(Before))
        end
    ).

%% Reading returns all chunks in the same form.
normal(#hep{chunks = Chunks} = Hep) ->
    Hep#hep{chunks = [{Key, sized(Value)} || {Key, Value} <- Chunks]}.

sized({Length, Value}) -> {Length, Value};
sized(Value) -> {byte_size(Value), Value}.
