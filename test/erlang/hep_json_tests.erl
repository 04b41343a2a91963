%% @doc JSON: every fixture, the golden files, generated records, hostile terms and text.
-module(hep_json_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_prop.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%% The time that version 1 has in the golden files.
-define(NOW, {1700, 0, 123456}).
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
    %% Parsing keeps the NUL bytes behind the text.
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
same_as_decoding(Error, Answer) ->
    ?assertEqual(Error, Answer).

%% Without the time of decoding.
still(#hep{version = 1} = Hep) -> Hep#hep{timestamp = undefined};
still(Hep) -> Hep.

%% The NUL bytes that make the difference are there.
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

all_fixtures_as_an_array_test() ->
    Decoded = [hep:decode(hep_fixtures:bytes(E)) || E <- hep_fixtures:entries(datagram)],
    Heps = [Hep || {ok, Hep} <- Decoded],
    ?assert(length(Heps) > 400),
    Json = hep_json:encode(Heps),
    ?assert(byte_size(Json) > 64 * 1024),
    ?assertEqual({ok, Heps}, hep_json:decode(Json)).

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

%% The name of each packet that has a golden file.
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

%% The place is that in the whole text.
place_in_an_array_test() ->
    Object = hep_json:encode(hep()),
    Wrong = binary:replace(Object, <<"\"version\":3">>, <<"\"version\":9">>),
    Json = <<"[", Object/binary, ",\n", Object/binary, ",\n  ", Wrong/binary, "]">>,
    ?assertMatch({error, {invalid_json, 3, 27, _}}, hep_json:decode(Json)).

%%% Errors

error_test_() ->
    [
        {Expected, fun() ->
            {error, {invalid_json, Line, Column, Message} = Reason} = hep_json:decode(Json),
            ?assertEqual({AtLine, AtColumn, []}, {Line, Column, missing(Expected, Message)}),
            Sentence = hep:format_error(Reason),
            Place = lists:flatten(io_lib:format(" at line ~b, column ~b", [Line, Column])),
            ?assert(lists:suffix(Place, Sentence))
        end}
     || {Json, {AtLine, AtColumn}, Expected} <- [
            {<<>>, {1, 1}, "EOF"},
            {<<" \n\t">>, {2, 2}, "EOF"},
            {<<"null">>, {1, 1}, "array of packets"},
            {<<"{}">>, {1, 1}, "missing field `type`"},
            {<<" {\"type\":\"HEP\"}">>, {1, 2}, "missing field `version`"},
            {<<"\n{\"type\":\"HEP\",\n\"version\":3}">>, {2, 1}, "missing field `payload`"},
            {<<"{\"type\":\n \"SIP\"}">>, {2, 2}, "expected HEP"},
            {<<"{\n\"type\":\"HEP\",\n\"foo\":1}">>, {3, 1}, "unknown field `foo`"},
            {<<"{\"type\":\"HEP\",\n \"type\":\"HEP\"}">>, {2, 2}, "duplicate field `type`"},
            {<<16#ef, 16#bb, 16#bf, "{}">>, {1, 1}, "expected value"},
            {<<"{\"srcPort\":65536}">>, {1, 12}, "65536"},
            {<<"{\"srcPort\":1.5}">>, {1, 12}, "floating point"},
            {<<"{\"srcPort\":01}">>, {1, 13}, "invalid number"},
            {<<"{\"protocolFamily\":3}">>, {1, 19}, "2 or 10"},
            {<<"{\"srcIp\":\"", 255, "\"}">>, {1, 11}, "UTF-8"}
        ]
    ].

missing(Expected, Message) ->
    case binary:match(Message, list_to_binary(Expected)) of
        nomatch -> Message;
        _ -> []
    end.

%%% Hostile text

hostile_text_test_() ->
    [
        {Name, {timeout, 30, fun() ->
            Answer = hep_json:decode(Json),
            ?assert(is_answer(Answer)),
            ?assertMatch({error, {invalid_json, _, _, _}}, Answer)
        end}}
     || {Name, Json} <- [
            {"nested arrays", binary:copy(<<"[">>, 1_000_000)},
            {"nested arrays, closed", nested(<<"[">>, <<>>, <<"]">>, 1_000_000)},
            {"nested objects", binary:copy(<<"{\"payload\":">>, 100_000)},
            {"nested in an unknown field", <<"{\"x\":", (binary:copy(<<"[">>, 1_000_000))/binary>>},
            {"nested in a known unknown", <<"{\"x\":", (nested(<<"[">>, <<>>, <<"]">>, 1_000_000))/binary, "}">>},
            {"nested in bytes", <<"{\"correlationId\":", (binary:copy(<<"[">>, 100_000))/binary>>},
            {"nested objects in bytes", <<"{\"groupId\":", (binary:copy(<<"{\"a\":">>, 100_000))/binary>>},
            {"nested in the type", <<"{\"payload\":{\"type\":", (binary:copy(<<"[">>, 100_000))/binary>>},
            {"nested chunks", <<"{\"vendorChunks\":", (binary:copy(<<"[">>, 100_000))/binary>>},
            {"long number", changed("\"srcPort\":5060", ["\"srcPort\":1", binary:copy(<<"0">>, 100_000)])},
            {"long fraction", changed("\"srcPort\":5060", ["\"srcPort\":1.", binary:copy(<<"0">>, 100_000)])},
            {"huge exponent", changed("\"srcPort\":5060", "\"srcPort\":1e999999")},
            {"tiny exponent", changed("\"srcPort\":5060", "\"srcPort\":1e-999999")},
            {"negative", changed("\"srcPort\":5060", "\"srcPort\":-1")},
            {"2^64", changed("\"captureId\":7", "\"captureId\":18446744073709551616")},
            {"2^64 as MAC", changed("\"vendorChunks\"", "\"srcMacAddress\":18446744073709551616,\"vendorChunks\"")},
            {"huge place", changed("\"payload\"", "\"chunkOrder\":[18446744073709551615],\"payload\"")},
            {"place beyond 2^64", changed("\"payload\"", "\"chunkOrder\":[1e30],\"payload\"")},
            {"NaN", changed("\"srcPort\":5060", "\"srcPort\":NaN")},
            {"invalid UTF-8", changed("text", <<255>>)},
            {"UTF-8 of a surrogate", changed("text", <<16#ed, 16#a0, 16#80>>)},
            {"overlong UTF-8", changed("text", <<16#c0, 16#80>>)},
            {"cut UTF-8", changed("text", <<16#e2, 16#82>>)},
            {"invalid UTF-8 in a name", <<"{\"", 255, "\":1}">>},
            {"invalid UTF-8 in an unknown field", <<"{\"x\":\"", 255, "\"}">>},
            {"high surrogate", changed("text", "\\ud800")},
            {"high surrogate, then text", changed("text", "\\ud800text")},
            {"two high surrogates", changed("text", "\\ud800\\ud800")},
            {"low surrogate", changed("text", "\\udc00")},
            {"wrong escape", changed("text", "\\x41")},
            {"NUL in text", changed("text", <<0>>)},
            {"NUL behind", <<(json())/binary, 0>>},
            {"NUL before", <<0, (json())/binary>>},
            {"newline in text", changed("text", "\n")},
            {"two packets", <<(json())/binary, (json())/binary>>},
            {"comment", <<"/* */", (json())/binary>>},
            {"comma at the end", changed("}}", "},}")},
            {"base64 with wrong padding", changed("\"data\"", "\"encoding\":\"base64\",\"data\"", "text", "/w")},
            {"base64 of the URL alphabet", changed("\"data\"", "\"encoding\":\"base64\",\"data\"", "text", "__8=")},
            {"base64 with a newline", changed("\"data\"", "\"encoding\":\"base64\",\"data\"", "text", "/w=\\n=")},
            {"duplicate data", changed("\"data\"", "\"data\":\"\",\"data\"")},
            {"null of a fact", changed("\"vendorChunks\"", "\"vlanId\":null,\"vendorChunks\"")},
            {"address with a zone", changed("192.0.2.1", "fe80::1%1")},
            {"year 10000", changed("2023-", "10000-")},
            {"chunk order with a gap", changed("\"payload\"", "\"chunkOrder\":[0,1],\"payload\"")},
            {"duplicate field", changed("\"srcPort\":5060", "\"srcPort\":5060,\"srcPort\":1")},
            {"duplicate fact", changed("\"vendorChunks\"", "\"vlanId\":1,\"vlanId\":2,\"vendorChunks\"")},
            {"duplicate chunks", changed("\"vendorChunks\"", "\"vendorChunks\":[],\"vendorChunks\"")},
            {"duplicate payload", changed("\"payload\"", "\"payload\":{\"type\":1,\"data\":\"\"},\"payload\"")},
            {"duplicate type", changed("\"type\":\"HEP\"", "\"type\":\"HEP\",\"type\":\"HEP\"")},
            {"array as payload", changed("{\"type\":\"SIP\",\"data\":\"text\"}", "[1,null,\"text\"]")},
            {"array as chunk", changed("\"vendorChunks\":[]", "\"vendorChunks\":[[1,2,null,\"\"]]")},
            {"a small raw time", changed("\"captureId\"", "\"rawTimestamp\":[1,2],\"captureId\"")},
            {"microseconds without a time", changed("\"2023-11-14T22:13:20.000Z\"", "null")}
        ]
    ].

%% Either is an answer, as long as it is a documented one.
doubtful_text_test_() ->
    [
        {Name, ?_assert(is_answer(hep_json:decode(Json)))}
     || {Name, Json} <- [
            {"a leap second", changed("22:13:20", "22:13:60")},
            {"an hour too many", changed("22:13:20", "25:13:20")}
        ]
    ].

%% What is not as written but means something.
other_ways_to_write_test_() ->
    [
        {Name, ?_assertEqual({ok, Expected}, hep_json:decode(Json))}
     || {Name, Json, Expected} <- [
            {"nothing but the least", <<"{\"payload\":{\"data\":\"\",\"type\":1},\"version\":3,\"type\":\"HEP\"}">>, hep:new()},
            {"white space", <<"\r\n\t ", (changed(",", " ,\n"))/binary, "\n">>, hep()},
            {"type in small letters", changed("SIP", "sip"), hep()},
            {"type as a number", changed("\"SIP\"", "1"), hep()},
            {"surrogate pair", changed("text", "\\ud83d\\ude00"), (hep())#hep{payload = <<"😀"/utf8>>}},
            {"NUL escaped", changed("text", "\\u0000"), (hep())#hep{payload = <<0>>}},
            {"another time zone", changed("22:13:20.000Z", "23:13:20.000+01:00"), hep()},
            {"another spelling of an address", changed("192.0.2.1", "2001:DB8:0:0::1"), (hep())#hep{
                src_ip = {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}
            }}
        ]
    ].

nested(Open, Middle, Close, Depth) ->
    <<(binary:copy(Open, Depth))/binary, Middle/binary, (binary:copy(Close, Depth))/binary>>.

hep() ->
    #hep{
        version = 3,
        protocol_family = 2,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5062,
        timestamp = {1700, 0, 5},
        node_id = 7,
        payload = <<"text">>
    }.

packet() ->
    {ok, Packet} = hep:encode(hep()),
    iolist_to_binary(Packet).

json() ->
    {ok, Json} = hep_json:from_packet(packet()),
    Json.

%% The JSON with something else in a place, that must be there.
changed(What, Other) ->
    changed(json(), What, Other).

changed(What, Other, What2, Other2) ->
    changed(changed(What, Other), What2, Other2).

changed(Json, What, Other) ->
    Changed = binary:replace(Json, list_to_binary(What), iolist_to_binary(Other), [global]),
    ?assertNotEqual(Json, Changed),
    Changed.

is_answer({ok, Heps}) when is_list(Heps) ->
    lists:all(fun hep_answers:is_hep/1, Heps);
is_answer({ok, Hep}) ->
    hep_answers:is_hep(Hep);
is_answer({error, {invalid_json, Line, Column, Message}}) ->
    is_integer(Line) andalso Line >= 1 andalso is_integer(Column) andalso Column >= 0 andalso
        is_binary(Message) andalso is_list(unicode:characters_to_list(Message));
is_answer(_) ->
    false.

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

%% Versions 1 and 2 have shorter headers than the chunks that they are parsed into.
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

%% A chunk whose value cannot be taken is a packet's in no way.
parsed_but_not_decodable_test_() ->
    [
        ?_assertError(badarg, hep_json:encode({hep, Version, [{<<0:16, Id:16>>, Value}]}))
     || Version <- [1, 2, 3],
        {Id, Value} <- [{1, <<99>>}, {1, <<2:16>>}, {3, <<1>>}, {7, <<1>>}, {16, <<"no deflate">>}, {18, <<1>>}]
    ].

%% A megabyte in a packet of a few kilobytes.
inflated_test() ->
    Payload = binary:copy(<<"0123456789abcdef">>, 65536),
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

%%% Hostile terms

hostile_term_test_() ->
    Hep = hep(),
    [
        {lists:flatten(io_lib:format("~P", [Arguments, 9])), ?_assertError(badarg, apply(hep_json, Function, Arguments))}
     || {Function, Arguments} <-
            [
                {Function, [Term]}
             || Function <- [encode, from_packet, decode],
                Term <- [foo, 1, 1.0, {}, #{}, self(), fun() -> ok end, <<1:3>>, {hep}, {hep, 3, foo}]
            ] ++
                [{decode, [[]]}, {decode, ["{}"]}, {from_packet, ["HEP3"]}, {from_packet, [[]]}] ++
                [{encode, [<<>>]}, {encode, [{hep, 4, []}]}, {encode, [{hep, 3, [foo]}]}] ++
                [{encode, [{hep, 3, [{<<0:32>>, foo}]}]}, {encode, [{hep, 3, [{<<0:31>>, <<>>}]}]}] ++
                [
                    {from_packet, [packet(), Options]}
                 || Options <- [
                        #{foo => 1}, #{v2_order => 1}, #{max_inflated => -1}, #{max_inflated => 1 bsl 64},
                        #{1 => 2}, #{v2_style => c}, foo, [], [{capture_id, keep}]
                    ]
                ] ++
                [
                    {encode, [setelement(Field, Hep, Wrong)]}
                 || Field <- lists:seq(1, tuple_size(Hep)),
                    Wrong <- [foo, -1, 1 bsl 64, 1.0, {}, {1, 2, 3, 4, 5}, [foo], [{{0, 1}, foo}], <<1:3>>]
                ]
    ].

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
    ?CHECK(Hep, record(), hep_json:decode(hep_json:encode(Hep)) =:= {ok, normal(Hep)}).

prop_array_comes_back() ->
    ?CHECK(
        Heps,
        list(record()),
        hep_json:decode(hep_json:encode(Heps)) =:= {ok, [normal(Hep) || Hep <- Heps]}
    ).

%% In one step or in two, with whatever options.
prop_packet_in_one_step() ->
    ?CHECK(
        {Packet, Options},
        {any_packet(), options()},
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

%% A byte changed, or some of them left out.
prop_damaged_text() ->
    ?CHECK(
        {Hep, Place, Length, Byte},
        {record(), non_neg_integer(), oneof([0, 1, 1, 2, 10]), oneof([<<>>, binary(1), binary(4)])},
        begin
            Json = hep_json:encode(Hep),
            Start = (Place * 7919) rem byte_size(Json),
            End = min(Start + Length, byte_size(Json)),
            <<Before:Start/binary, _:(End - Start)/binary, After/binary>> = Json,
            Answer = hep_json:decode(<<Before/binary, Byte/binary, After/binary>>),
            is_answer(Answer) andalso is_answer(hep_json:decode(Before))
        end
    ).

%% Every field in its range.
record() ->
    ?LET(
        {Version, Family, [Protocol, SrcPort, DstPort], [Src, Dst], Time, Id, Type, Payload, Chunks},
        {
            integer(1, 3),
            oneof([undefined, 2, 10]),
            vector(3, optional(uint(16))),
            vector(2, optional(address())),
            optional(timestamp()),
            optional(uint(32)),
            uint(8),
            octets(),
            list(record_chunk())
        },
        #hep{
            version = Version,
            protocol_family = Family,
            protocol = Protocol,
            src_ip = Src,
            src_port = SrcPort,
            dst_ip = Dst,
            dst_port = DstPort,
            timestamp = Time,
            node_id = Id,
            payload_type = Type,
            payload = Payload,
            chunks = Chunks
        }
    ).

optional(Type) -> oneof([undefined, Type, Type, Type]).

uint(Bits) -> oneof([integer(0, 1 bsl Bits - 1), integer(0, 20), 0, 1 bsl Bits - 1]).

address() ->
    oneof([
        ?LET(Octets, vector(4, uint(8)), list_to_tuple(Octets)),
        ?LET(Segments, vector(8, oneof([0, uint(16)])), list_to_tuple(Segments)),
        {0, 0, 0, 0, 0, 65535, uint(16), uint(16)},
        {0, 0, 0, 0, 0, 0, uint(16), uint(16)}
    ]).

timestamp() ->
    ?LET(
        {Seconds, Micros},
        {uint(32), oneof([integer(0, 999999), 999999, 1000000, uint(32)])},
        {Seconds div 1000000, Seconds rem 1000000, Micros}
    ).

octets() -> oneof([binary(), utf8(), <<>>, <<0>>, <<"\"\\/\b\f\n\r\t\d">>]).

%% Generic chunks of any width, those with a field of their own too, and vendors'.
record_chunk() ->
    ?LET(
        {Vendor, Id, Value, Form},
        {oneof([0, 0, 0, uint(16)]), oneof([integer(0, 50), 101, uint(16)]), value(), oneof([bare, sized])},
        case Form of
            bare -> {{Vendor, Id}, Value};
            sized -> {{Vendor, Id}, {byte_size(Value), Value}}
        end
    ).

value() ->
    ?LET(Width, oneof([1, 2, 4, 8, 16, any]),
        case Width of
            any -> octets();
            _ -> binary(Width)
        end).

%% Reading gives chunks in one form.
normal(#hep{chunks = Chunks} = Hep) ->
    Hep#hep{chunks = [{Key, sized(Value)} || {Key, Value} <- Chunks]}.

sized({Length, Value}) -> {Length, Value};
sized(Value) -> {byte_size(Value), Value}.

any_packet() ->
    oneof([
        ?LET(Chunks, list({uint(16), uint(16), octets()}), frame([chunk(V, I, B) || {V, I, B} <- Chunks])),
        ?LET(Chunks, list({integer(0, 50), value()}), frame([chunk(I, B) || {I, B} <- Chunks])),
        ?LET(
            {Version, Length, Family, Rest},
            {integer(1, 2), oneof([16, 28, 40, 52, byte()]), oneof([2, 10, 30]), binary(60)},
            <<Version, Length, Family, Rest/binary>>
        ),
        binary()
    ]).

options() ->
    ?LET(
        Options,
        list(
            oneof([
                {header_length, oneof([strict, ignore])},
                {v2_order, oneof([auto, big, little])},
                {capture_id, oneof([keep, repair])},
                {max_inflated, uint(64)}
            ])
        ),
        maps:from_list(Options)
    ).
