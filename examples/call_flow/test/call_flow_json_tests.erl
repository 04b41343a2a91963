-module(call_flow_json_tests).

-include_lib("eunit/include/eunit.hrl").

values_test() ->
    Cases = [
        {<<"a">>, <<"\"a\"">>},
        {[1, -2, 1.5, true, false, null, undefined], <<"[1,-2,1.5,true,false,null,null]">>},
        {#{a => ok, <<"b">> => []}, <<"{\"a\":\"ok\",\"b\":[]}">>},
        {{json, <<"[1]">>}, <<"[1]">>},
        {<<"\"\\\r\n\t", 0, 31, 127>>, <<"\"\\\"\\\\\\r\\n\\t\\u0000\\u001f\\u007f\"">>},
        {<<16#FC/utf8, 16#1F600/utf8, "</script>">>, <<"\"", 16#FC/utf8, 16#1F600/utf8, "</script>\"">>},
        {<<255, "a", 16#C3>>, <<"\"", 16#FFFD/utf8, "a", 16#FFFD/utf8, "\"">>}
    ],
    ?assertEqual([], [{Value, encoded(Value)} || {Value, Json} <- Cases, encoded(Value) =/= Json]).

%% For any bytes, the text is valid JSON, and valid UTF-8 is kept.
any_bytes_are_json_test() ->
    rand:seed(exsss, 1),
    All = [rand:bytes(rand:uniform(40)) || _ <- lists:seq(1, 2000)],
    Texts = call_flow_fixture:decode(encoded(All)),
    lists:foreach(fun({Bytes, Text}) -> is_same(Bytes, Text) end, lists:zip(All, Texts)).

is_same(Bytes, Text) ->
    ?assert(is_binary(Text)),
    case unicode:characters_to_binary(Bytes) of
        Bytes -> ?assertEqual(Bytes, Text);
        _ -> ?assertNotEqual(nomatch, string:find(Text, <<16#FFFD/utf8>>))
    end.

text_is_utf8_test() ->
    ?assertEqual(<<"a", 16#FFFD/utf8, "b", 16#FFFD/utf8, 16#FFFD/utf8>>, call_flow_text:utf8([<<"a">>, <<255>>, <<"b">>, <<16#E2, 16#82>>])).

encoded(Value) ->
    iolist_to_binary(call_flow_json:encode(Value)).
