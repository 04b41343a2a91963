-module(forwarder_filter_tests).

-include_lib("eunit/include/eunit.hrl").

keep_alive_test_() ->
    [
        ?_assert(is_dropped([keep_alive], sip, Payload))
     || Payload <- [<<>>, <<"\r\n\r\n">>, <<0, 0, 0, 0>>, <<" \n">>]
    ] ++ [?_assertNot(is_dropped([keep_alive], sip, <<"\r\nINVITE sip:a SIP/2.0\r\n">>))].

method_test_() ->
    Rules = [{method, <<"OPTIONS">>}],
    Response = <<"SIP/2.0 200 OK\r\nTo: <sip:a>\r\nCSeq: 12 OPTIONS\r\nContent-Length: 0\r\n\r\n">>,
    [
        ?_assert(is_dropped(Rules, sip, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>)),
        ?_assert(is_dropped(Rules, sip, Response)),
        ?_assert(is_dropped(Rules, sip, binary:replace(Response, <<"CSeq: ">>, <<"cseq\t:">>))),
        ?_assertNot(is_dropped(Rules, sip, binary:replace(Response, <<"12 OPTIONS">>, <<"12 INVITE">>))),
        ?_assertNot(is_dropped(Rules, sip, <<"SIP/2.0 200 OK\r\n\r\n">>)),
        ?_assertNot(is_dropped(Rules, sip, <<"INVITE sip:a SIP/2.0\r\nCSeq: 12 OPTIONS\r\n\r\n">>)),
        ?_assertNot(is_dropped(Rules, log, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>))
    ].

payload_type_test_() ->
    Rules = [{payload_type, log}, {payload_type, 99}],
    [
        ?_assert(is_dropped(Rules, log, <<"x">>)),
        ?_assert(is_dropped(Rules, 99, <<"x">>)),
        ?_assertNot(is_dropped(Rules, sip, <<"x">>)),
        ?_assertNot(is_dropped([], sip, <<"\r\n">>))
    ].

is_dropped(Rules, Type, Payload) ->
    forwarder_filter:is_dropped(hep:payload_type(Type, hep:payload(Payload, hep:new())), Rules).
