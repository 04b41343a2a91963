%% @doc Headers of the PROXY protocol: both versions, truncated at every byte, and malformed.
-module(hep_listener_proxy_tests).

-include_lib("eunit/include/eunit.hrl").

-define(SIGNATURE, "\r\n\r\n\0\r\nQUIT\n").

valid() ->
    V4 = <<192, 0, 2, 1, 198, 51, 100, 7, 5060:16, 9060:16>>,
    V6 = <<16#2001:16, 16#db8:16, 0:80, 1:16, 16#2001:16, 16#db8:16, 0:80, 2:16, 5060:16, 9060:16>>,
    Tlvs = <<16#04, 3:16, "abc", 16#20, 0:16>>,
    [
        {<<"PROXY TCP4 192.0.2.1 198.51.100.7 5060 9060\r\n">>, {{192, 0, 2, 1}, 5060}},
        {<<"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n">>, {{255, 255, 255, 255}, 65535}},
        {<<"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n">>, {{0, 0, 0, 0}, 0}},
        {<<"PROXY TCP6 2001:db8::1 2001:db8::2 5060 9060\r\n">>, {{16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, 5060}},
        {<<"PROXY UNKNOWN\r\n">>, unknown},
        {line(107), unknown},
        {block(16#21, 16#11, V4), {{192, 0, 2, 1}, 5060}},
        {block(16#21, 16#12, V4), {{192, 0, 2, 1}, 5060}},
        {block(16#21, 16#11, <<V4/binary, Tlvs/binary>>), {{192, 0, 2, 1}, 5060}},
        {block(16#21, 16#21, V6), {{16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, 5060}},
        {block(16#21, 16#22, <<V6/binary, Tlvs/binary>>), {{16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, 5060}},
        {block(16#21, 16#31, <<0:(216 * 8)>>), unknown},
        {block(16#21, 16#00, Tlvs), unknown},
        {block(16#20, 16#00, <<>>), unknown},
        {block(16#20, 16#11, V4), unknown},
        {block(16#21, 16#11, <<V4/binary, 0:((65535 - 12) * 8)>>), {{192, 0, 2, 1}, 5060}}
    ].

%% A line of this many bytes.
line(Size) ->
    Start = <<"PROXY UNKNOWN ">>,
    <<Start/binary, (binary:copy(<<"x">>, Size - byte_size(Start) - 2))/binary, "\r\n">>.

block(Command, Family, Rest) ->
    <<?SIGNATURE, Command, Family, (byte_size(Rest)):16, Rest/binary>>.

valid_test_() ->
    [
        fun() ->
            Size = byte_size(Header),
            ?assertEqual({ok, Source, Size}, hep_listener_proxy:read(Header)),
            ?assertEqual({ok, Source, Size}, hep_listener_proxy:read(<<Header/binary, "HEP3">>)),
            [
                ?assertEqual(more, hep_listener_proxy:read(binary:part(Header, 0, At)))
             || At <- lists:seq(0, min(Size - 1, 300)) ++ [Size - 1]
            ]
        end
     || {Header, Source} <- valid()
    ].

invalid_test_() ->
    V4 = <<192, 0, 2, 1, 198, 51, 100, 7, 5060:16, 9060:16>>,
    [
        ?_assertEqual({error, Reason}, hep_listener_proxy:read(Header))
     || {Reason, Headers} <- [
            {missing, [
                <<"HEP3">>, <<0>>, <<"P", 0>>, <<"PROXY\r\n">>, <<"proxy ">>, <<"\r\n\r\n", 1>>,
                <<"\r\n\r\n", 0, "\r\nQUIT\r">>
            ]},
            {invalid, [
                <<"PROXY \r\n">>,
                <<"PROXY TCP4\r\n">>,
                <<"PROXY TCP5 192.0.2.1 198.51.100.7 5060 9060\r\n">>,
                <<"PROXY UDP4 192.0.2.1 198.51.100.7 5060 9060\r\n">>,
                <<"PROXY TCP4 192.0.2 198.51.100.7 5060 9060\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.256 5060 9060\r\n">>,
                <<"PROXY TCP4 2001:db8::1 2001:db8::2 5060 9060\r\n">>,
                <<"PROXY TCP6 192.0.2.1 198.51.100.7 5060 9060\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 65536 9060\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 5060 -1\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 05060 9060\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 +5060 9060\r\n">>,
                <<"PROXY TCP4  192.0.2.1 198.51.100.7 5060 9060\r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 5060 9060 \r\n">>,
                <<"PROXY TCP4 192.0.2.1 198.51.100.7 5060\r\n">>,
                line(108),
                binary:copy(<<"PROXY ">>, 18),
                <<?SIGNATURE, 16#11>>,
                <<?SIGNATURE, 16#31, 16#11, 12:16, V4/binary>>,
                block(16#22, 16#11, V4),
                block(16#21, 16#13, V4),
                block(16#21, 16#41, V4),
                block(16#21, 16#11, binary:part(V4, 0, 11)),
                block(16#21, 16#21, <<V4/binary, 0:(23 * 8)>>),
                block(16#21, 16#31, <<0:(215 * 8)>>)
            ]}
        ],
        Header <- Headers
    ].
