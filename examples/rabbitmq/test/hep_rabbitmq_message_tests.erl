-module(hep_rabbitmq_message_tests).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(META, #{source => {{192, 0, 2, 9}, 40000}, time => 1_700_000_000_000_000}).
-define(INVITE, <<"INVITE sip:b@x SIP/2.0\r\nCall-ID: abc@x\r\nCSeq: 1 INVITE\r\n\r\n">>).
-define(RINGING, <<"SIP/2.0 180 Ringing\r\nCall-ID: abc@x\r\nCSeq: 1 INVITE\r\n\r\n">>).

routing_key_test_() ->
    [
        ?_assertEqual(Key, key(Hep))
     || {Key, Hep} <- [
            {<<"v3.sip.2001.INVITE">>, packet(?INVITE)},
            {<<"v3.sip.2001.INVITE">>, packet(?RINGING)},
            {<<"v2.sip.2001.INVITE">>, hep:version(hep_v2, packet(?INVITE))},
            {<<"v1.sip.none.INVITE">>, hep:node_id(undefined, hep:version(hep_v1, packet(?INVITE)))},
            {<<"v3.rtcp.2001.none">>, hep:payload_type(rtcp, packet(<<"{}">>))},
            {<<"v3.99.2001.none">>, hep:payload_type(99, packet(<<"x">>))},
            {<<"v3.sip.none.none">>, hep:node_id(undefined, packet(<<"\r\n">>))}
        ]
    ].

%% Four words of the fixed alphabet, for any method.
hostile_method_test_() ->
    [
        ?_assertEqual(<<"v3.sip.2001.", Word/binary>>, key(packet(<<Method/binary, " sip:b SIP/2.0\r\n\r\n">>)))
     || {Method, Word} <- [
            {<<"A.B">>, <<"other">>},
            %% Not a SIP method.
            {<<"#">>, <<"none">>},
            {<<"*">>, <<"other">>},
            {binary:copy(<<"A">>, 32), binary:copy(<<"A">>, 32)},
            {binary:copy(<<"A">>, 33), <<"other">>},
            {<<"A!">>, <<"other">>},
            {<<"X-Y_z1">>, <<"X-Y_z1">>}
        ]
    ].

%% The packet is the body, byte for byte.
body_test_() ->
    [
        ?_assertMatch({_, #amqp_msg{payload = Packet, props = #'P_basic'{delivery_mode = 2}}}, new(Packet))
     || Packet <- [encoded(packet(?INVITE)), <<(encoded(packet(?INVITE)))/binary, "trailing">>, <<"HEP3", 0, 6>>]
    ].

headers_test() ->
    {_, #amqp_msg{props = #'P_basic'{headers = Headers}}} = new(encoded(packet(?RINGING))),
    ?assertEqual(
        [
            {<<"hep_agent_ip">>, longstr, <<"192.0.2.9">>},
            {<<"hep_agent_port">>, long, 40000},
            {<<"hep_call_id">>, longstr, <<"abc@x">>},
            {<<"hep_capture_id">>, long, 2001},
            {<<"hep_dst_ip">>, longstr, <<"2001:db8::2">>},
            {<<"hep_dst_port">>, long, 5080},
            {<<"hep_method">>, longstr, <<"INVITE">>},
            {<<"hep_payload_type">>, longstr, <<"sip">>},
            {<<"hep_protocol">>, long, 17},
            {<<"hep_received">>, long, 1_700_000_000_000_000},
            {<<"hep_src_ip">>, longstr, <<"2001:db8::1">>},
            {<<"hep_src_port">>, long, 5060},
            {<<"hep_status">>, long, 180},
            {<<"hep_time">>, long, 1756196017250000},
            {<<"hep_version">>, longstr, <<"hep_v3">>}
        ],
        Headers
    ).

%% Long texts, control characters and invalid UTF-8 are left out of the headers, and hashed in the property.
hostile_text_test_() ->
    [
        fun() ->
            {_, #amqp_msg{props = Properties}} = new(encoded(hep:correlation_id(Id, packet(?INVITE)))),
            #'P_basic'{correlation_id = Property, headers = Headers} = Properties,
            ?assertEqual(Expected, case Property of Id -> text; <<"sha256-", _:64/binary>> -> hash end),
            ?assertEqual(IsHeader, lists:keymember(<<"hep_correlation_id">>, 1, Headers))
        end
     || {Id, Expected, IsHeader} <- [
            {<<"call-1">>, text, true},
            {<<"grüße"/utf8>>, text, true},
            {binary:copy(<<"a">>, 255), text, true},
            {binary:copy(<<"a">>, 256), hash, true},
            {binary:copy(<<"a">>, 1025), hash, false},
            {<<"a", 0>>, hash, false},
            {<<"a\nb">>, hash, false},
            {<<255, 254>>, hash, false}
        ]
    ].

%% Packets of a call have the same correlation id, requests and responses, in both directions.
correlation_test() ->
    Same = fun(A, B) -> ?assertEqual(correlation(A), correlation(B)) end,
    ?assertEqual(<<"abc@x">>, correlation(packet(?INVITE))),
    Same(packet(?INVITE), packet(?RINGING)),
    ?assertEqual(<<"c">>, correlation(hep:correlation_id(<<"c">>, packet(?INVITE)))),
    ?assertEqual(<<"abc@x">>, correlation(hep:correlation_id(<<>>, packet(?INVITE)))),
    Log = hep:payload_type(log, packet(<<"x">>)),
    ?assertEqual(<<"2001:db8::1:5060-2001:db8::2:5080">>, correlation(Log)),
    Same(Log, turned(Log)),
    %% A packet that cannot be decoded.
    {_, #amqp_msg{props = #'P_basic'{correlation_id = Agent}}} = new(<<"HEP3", 0, 8, 1, 2>>),
    ?assertEqual(<<"192.0.2.9">>, Agent).

id_test() ->
    Message = hep_rabbitmq_message:with_id(<<"a-1">>, new(encoded(packet(?INVITE)))),
    ?assertEqual(<<"a-1">>, hep_rabbitmq_message:id(Message)).

new(Packet) -> hep_rabbitmq_message:new(Packet, ?META).

key(Hep) -> element(1, new(encoded(Hep))).

correlation(Hep) ->
    {_, #amqp_msg{props = #'P_basic'{correlation_id = Id}}} = new(encoded(Hep)),
    Id.

encoded(Hep) ->
    {ok, Packet} = hep:encode(Hep),
    Packet.

turned(Hep) ->
    Destination = hep:dst_ip(hep:src_ip(Hep), hep:dst_port(hep:src_port(Hep), Hep)),
    hep:src_ip(hep:dst_ip(Hep), hep:src_port(hep:dst_port(Hep), Destination)).

packet(Payload) ->
    lists:foldl(fun(Set, Hep) -> Set(Hep) end, hep:new(), [
        fun(Hep) -> hep:version(hep_v3, Hep) end,
        fun(Hep) -> hep:protocol(17, Hep) end,
        fun(Hep) -> hep:src_ip({16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, Hep) end,
        fun(Hep) -> hep:src_port(5060, Hep) end,
        fun(Hep) -> hep:dst_ip({16#2001, 16#db8, 0, 0, 0, 0, 0, 2}, Hep) end,
        fun(Hep) -> hep:dst_port(5080, Hep) end,
        fun(Hep) -> hep:timestamp({1756, 196017, 250000}, Hep) end,
        fun(Hep) -> hep:node_id(2001, Hep) end,
        fun(Hep) -> hep:payload_type(sip, Hep) end,
        fun(Hep) -> hep:payload(Payload, Hep) end
    ]).
