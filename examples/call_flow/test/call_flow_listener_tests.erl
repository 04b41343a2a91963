%% @doc HEP over TCP and TLS reaches the page's data, as over UDP.
-module(call_flow_listener_tests).

-include_lib("eunit/include/eunit.hrl").

-import(call_flow_fixture, [fetch/1, json/1, until/1]).

transports_test_() ->
    {setup, fun start/0, fun({_, Stop}) -> Stop() end, fun({Client, _}) ->
        [
            {timeout, 60, {"tcp", fun() -> arrives(tcp, 2, gen_tcp, []) end}},
            {timeout, 60, {"tls", fun() -> arrives(tls, 3, ssl, Client) end}}
        ]
    end}.

start() ->
    {Server, Client} = certificates(),
    Loopback = #{ip => {127, 0, 0, 1}, port => 0},
    ok = call_flow_fixture:start(#{
        listeners => [Loopback, Loopback#{transport => tcp}, Loopback#{transport => tls, tls => Server}]
    }),
    {Client, fun() -> call_flow_fixture:stop(ok) end}.

%% A call in two writes, the first of which ends within a packet.
arrives(Transport, Number, Module, Options) ->
    CallId = <<"over-", (atom_to_binary(Transport))/binary>>,
    Messages = [call_flow_fixture:invite(CallId), call_flow_fixture:response(CallId, 486, <<"Busy Here">>)],
    Bytes = iolist_to_binary([encoded(call_flow_fixture:sip(Message)) || Message <- Messages]),
    Port = hep_listener:port(call_flow:listener(Number)),
    {ok, Socket} = Module:connect({127, 0, 0, 1}, Port, [binary, {active, false} | Options], 5000),
    ok = Module:send(Socket, binary:part(Bytes, 0, 100)),
    ok = Module:send(Socket, binary:part(Bytes, 100, byte_size(Bytes) - 100)),
    ?assert(until(fun() -> row(CallId) =/= none andalso maps:get(<<"packets">>, row(CallId)) =:= 2 end)),
    #{<<"id">> := Id} = Row = row(CallId),
    ?assertMatch(#{<<"state">> := <<"rejected">>, <<"status">> := 486}, Row),
    {ok, {Ip, From}} = sockname(Module, Socket),
    Sender = iolist_to_binary(io_lib:format("~s:~b", [inet:ntoa(Ip), From])),
    #{<<"sender">> := SentBy, <<"transport">> := Over} = json("/api/message/" ++ integer_to_list(Id) ++ "/1"),
    ?assertEqual({Sender, atom_to_binary(Transport)}, {SentBy, Over}),
    Metric = io_lib:format("call_flow_received_total{transport=\"~s\",port=\"~b\"} 2", [Transport, Port]),
    ?assert(until(fun() -> has_line(Metric) end)),
    %% Bytes that are not HEP are counted, and the connection is closed.
    ok = Module:send(Socket, <<"GET / HTTP/1.1\r\n\r\n">>),
    ?assertEqual({error, closed}, Module:recv(Socket, 0, 5000)),
    Rejected = io_lib:format("call_flow_rejected_total{reason=\"not_hep\",transport=\"~s\",port=\"~b\"} 1", [Transport, Port]),
    ?assert(until(fun() -> has_line(Rejected) end)).

sockname(gen_tcp, Socket) -> inet:sockname(Socket);
sockname(ssl, Socket) -> ssl:sockname(Socket).

has_line(Line) ->
    {200, _, Body} = fetch("/metrics"),
    lists:member(iolist_to_binary(Line), binary:split(Body, <<"\n">>, [global])).

encoded(Hep) ->
    {ok, Packet} = hep:encode(Hep),
    Packet.

row(Key) ->
    #{<<"calls">> := Calls} = json("/api/state"),
    case [Row || #{<<"key">> := Found} = Row <- Calls, Found =:= Key] of
        [Row] -> Row;
        [] -> none
    end.

%% Options of both sides, for 127.0.0.1.
certificates() ->
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    Name = {extensions, [{'Extension', {2, 5, 29, 17}, false, [{iPAddress, <<127, 0, 0, 1>>}]}]},
    Chain = #{root => Key, intermediates => [], peer => Key},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain#{peer => [Name | Key]}, client_chain => Chain}),
    {Server, [{verify, verify_peer} | Client]}.
