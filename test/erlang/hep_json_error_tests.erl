%% @doc JSON: errors and their positions, hostile text, hostile terms.
-module(hep_json_error_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_json_texts, [changed/2, changed/3, changed/4, hep/0, is_answer/1, json/0, packet/0]).

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

%% Any documented result is correct.
ambiguous_text_test_() ->
    [
        {Name, ?_assert(is_answer(hep_json:decode(Json)))}
     || {Name, Json} <- [
            {"a leap second", changed("22:13:20", "22:13:60")},
            {"an hour too many", changed("22:13:20", "25:13:20")}
        ]
    ].

%% Valid JSON in another form than the written one.
other_spellings_test_() ->
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
