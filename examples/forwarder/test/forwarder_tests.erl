%% The application from end to end: datagrams in, version 3 over TLS out, to a collector in this test.
-module(forwarder_tests).

-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 10000).

forwarder_test_() ->
    {timeout, 60, fun() ->
        Forwarder = start(),
        try
            versions(Forwarder),
            filtered(Forwarder),
            refused(Forwarder)
        after
            stop(Forwarder)
        end
    end}.

start() ->
    {ok, _} = application:ensure_all_started(ssl),
    {ServerTls, Root} = certificates(),
    {ok, Collector} = hep_listener:start_link(#{
        transport => tls, ip => {127, 0, 0, 1}, port => 0, tls => ServerTls, handler => self(), auth_keys => [<<"secret">>]
    }),
    ok = application:load(forwarder),
    Environment = [
        {listener, #{ip => {127, 0, 0, 1}, port => 0}},
        {sender, #{
            transport => tls,
            targets => [{"localhost", hep_listener:port(Collector)}],
            tls => [{cacerts, [Root]}],
            auth_key => <<"secret">>,
            capture_id => 2001
        }},
        {drop, [keep_alive, {method, <<"OPTIONS">>}]}
    ],
    ok = application:set_env([{forwarder, Environment}]),
    {ok, _} = application:ensure_all_started(forwarder),
    {ok, Socket} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    #{collector => Collector, socket => Socket, port => hep_listener:port(forwarder_listener)}.

stop(#{collector := Collector, socket := Socket}) ->
    ok = application:stop(forwarder),
    ok = hep_listener:stop(Collector),
    gen_udp:close(Socket).

%% All versions leave as version 3, with the key.
versions(Forwarder) ->
    Payload = <<"INVITE sip:a SIP/2.0\r\n\r\n">>,
    Packets = [packet(Version, Payload) || Version <- [hep_v1, hep_v2, hep_v3]],
    [send(Packet, Forwarder) || Packet <- Packets],
    Forwarded = received(length(Packets), Forwarder),
    [
        begin
            ?assertEqual(hep_v3, hep:version(Hep)),
            ?assertEqual(<<"secret">>, hep:auth_key(Hep)),
            ?assertEqual(Payload, hep:payload(Hep)),
            ?assertEqual(sip, hep:payload_type(Hep)),
            ?assertEqual({{192, 0, 2, 1}, 5060}, {hep:src_ip(Hep), hep:src_port(Hep)}),
            ?assertEqual({{192, 0, 2, 2}, 5080}, {hep:dst_ip(Hep), hep:dst_port(Hep)}),
            ?assertEqual(17, hep:protocol(Hep)),
            ?assertEqual(ipv4, hep:protocol_family(Hep))
        end
     || Hep <- Forwarded
    ],
    %% Values that version 1 lacks come from the listener's clock and the sender's options.
    ?assertEqual([2001, 7, 7], [hep:node_id(Hep) || Hep <- Forwarded]),
    [{Now, _, _}, Time, Time] = [hep:timestamp(Hep) || Hep <- Forwarded],
    ?assertEqual({1756, 196017, 250000}, Time),
    ?assertEqual(element(1, os:timestamp()), Now).

%% Packets dropped by the filter are not forwarded.
filtered(Forwarder) ->
    Passing = <<"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n">>,
    Dropped = [<<"OPTIONS sip:a SIP/2.0\r\n\r\n">>, <<"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n">>, <<"\r\n\r\n">>],
    [send(packet(hep_v2, Payload), Forwarder) || Payload <- Dropped ++ [Passing]],
    ?assertEqual([Passing], [hep:payload(Hep) || Hep <- received(1, Forwarder)]).

%% Invalid packets are counted.
refused(Forwarder) ->
    gen_udp:send(maps:get(socket, Forwarder), {127, 0, 0, 1}, maps:get(port, Forwarder), <<"garbage">>),
    send(packet(hep_v3, <<"x">>), Forwarder),
    ?assertEqual([<<"x">>], [hep:payload(Hep) || Hep <- received(1, Forwarder)]),
    ?assertMatch(#{rejected := #{not_hep := 1}}, hep_listener:info(forwarder_listener)).

packet(Version, Payload) ->
    Fields = [
        fun(Hep) -> hep:version(Version, Hep) end,
        fun(Hep) -> hep:protocol(17, Hep) end,
        fun(Hep) -> hep:src_ip({192, 0, 2, 1}, Hep) end,
        fun(Hep) -> hep:src_port(5060, Hep) end,
        fun(Hep) -> hep:dst_ip({192, 0, 2, 2}, Hep) end,
        fun(Hep) -> hep:dst_port(5080, Hep) end,
        fun(Hep) when Version =:= hep_v1 -> Hep;
           (Hep) -> hep:timestamp({1756, 196017, 250000}, hep:node_id(7, Hep))
        end
    ],
    lists:foldl(fun(Field, Hep) -> Field(Hep) end, hep:payload(Payload, hep:new()), Fields).

send(Hep, #{socket := Socket, port := Port}) ->
    {ok, Datagram} = hep:encode(Hep),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, Port, Datagram).

%% The next packets that the collector receives, in batches of any size.
received(0, _) ->
    [];
received(Count, #{collector := Collector} = Forwarder) ->
    receive
        {hep_packets, Collector, Batch} ->
            [Hep || {Hep, #{transport := tls}} <- Batch] ++ received(Count - length(Batch), Forwarder)
    after ?TIMEOUT ->
        error({nothing, hep_listener:info(forwarder_listener), hep_sender:info(forwarder_sender)})
    end.

%% A certificate for localhost, and that of its CA.
certificates() ->
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    SubjectAltName = {'Extension', {2, 5, 29, 17}, false, [{dNSName, "localhost"}]},
    Chain = #{root => Key, intermediates => [], peer => [{extensions, [SubjectAltName]} | Key]},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
    {Server, hd(proplists:get_value(cacerts, Client))}.
