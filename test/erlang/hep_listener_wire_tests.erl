%% @doc What senders write besides one packet at a time: several packets in a datagram, gzip, keep-alives, truncated
%% packets, greetings and headers of the PROXY protocol.
-module(hep_listener_wire_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_net, [listening/2, until/2, packet/1, number/1, take/1]).
-import(hep_packets, [chunk/2, frame/1]).

%%% Datagrams

datagrams_test_() ->
    <<"HEP3", Rest/binary>> = packet(3),
    Three = <<(packet(1))/binary, (packet(2))/binary, "EEP3", Rest/binary>>,
    V1 = hep_packets:v1(ipv4, 16),
    Junk = <<0, 0, 0, 0>>,
    Gzip = zlib:gzip(packet(2)),
    hep_net:patiently([
        {Name, fun() ->
            listening(#{}, fun(Listener, Port) ->
                hep_net:udp(Port, [Datagram, packet(9)]),
                Got = take(length(Numbers) + 1),
                ?assertEqual(Numbers ++ [9], [number(Hep) || {Hep, _} <- Got]),
                ?assertMatch(#{trailing := Trailing, trailing_bytes := Bytes}, hep_listener:info(Listener))
            end)
        end}
     || {Name, Datagram, Numbers, Trailing, Bytes} <- [
            {"one", packet(1), [1], 0, 0},
            {"three", Three, [1, 2, 3], 0, 0},
            {"three and bytes", <<Three/binary, Junk/binary>>, [1, 2, 3], 1, 4},
            {"one and a byte", <<(packet(1))/binary, "H">>, [1], 1, 1},
            {"a version without a magic behind", <<(packet(1))/binary, V1/binary>>, [1], 1, byte_size(V1)},
            {"gzip", zlib:gzip(packet(1)), [1], 0, 0},
            {"gzip of three", zlib:gzip(Three), [1, 2, 3], 0, 0},
            {"gzip and gzip", <<(zlib:gzip(packet(1)))/binary, (zlib:gzip(packet(2)))/binary>>, [1, 2], 0, 0},
            {"gzip and a packet and bytes", <<(zlib:gzip(packet(1)))/binary, (packet(2))/binary, Junk/binary>>, [1, 2], 1, 4},
            {"gzip and bytes", <<(zlib:gzip(packet(1)))/binary, Junk/binary>>, [1], 1, 4},
            {"gzip in gzip", zlib:gzip(<<(packet(1))/binary, Gzip/binary>>), [1], 1, byte_size(Gzip)},
            %% Four times 65,535 bytes are unpacked.
            {"members up to the limit", members(16#ffff), [1, 2, 3, 4], 1, byte_size(zlib:gzip(padded(5, 16#ffff)))},
            {"members below the limit", members(16#fffe), [1, 2, 3, 4, 5], 0, 0}
        ]
    ]).

%% Five members, each with a packet of this many bytes.
members(Size) ->
    << <<(zlib:gzip(padded(Number, Size)))/binary>> || Number <- [1, 2, 3, 4, 5]>>.

padded(Number, Size) ->
    <<"HEP3", Length:16, Chunks/binary>> = packet(Number),
    Padding = chunk(15, binary:copy(<<" ">>, Size - Length - 6)),
    <<"HEP3", Size:16, Padding/binary, Chunks/binary>>.

%% The second packet is truncated: a separate error.
truncated_second_packet_test() ->
    listening(#{}, fun(Listener, Port) ->
        hep_net:udp(Port, [<<(packet(1))/binary, (binary:part(packet(2), 0, 20))/binary>>]),
        [_] = take(1),
        receive {hep_error, Listener, Reason, {Bytes, _}} -> ?assertEqual({{truncated, 20}, 20}, {Reason, byte_size(Bytes)}) end,
        ?assertMatch(#{rejected := #{truncated := 1}, trailing := 0}, hep_listener:info(Listener))
    end).

broken_gzip_test() ->
    listening(#{}, fun(Listener, Port) ->
        Whole = zlib:gzip(packet(1)),
        hep_net:udp(Port, [binary:part(Whole, 0, 20), packet(2)]),
        ?assertMatch([{_, _}], take(1)),
        receive {hep_error, Listener, Reason, _} -> ?assertMatch({invalid_gzip, truncated}, Reason) end
    end).

keepalive_test_() ->
    Ping = frame([chunk(1, <<0>>), chunk(2, <<0>>), chunk(11, <<0>>), chunk(15, <<"HEP3", 3, 10>>)]),
    [
        fun() ->
            listening(#{view => View}, fun(Listener, Port) ->
                hep_net:udp(Port, [Ping, packet(1), Ping]),
                [_, _, _] = take(3),
                ?assertMatch(#{keepalives := 2, decoded := 3}, hep_listener:info(Listener))
            end)
        end
     || View <- [decode, parse, json, raw]
    ].

lenient_test_() ->
    Whole = packet(12345),
    Cut = binary:part(Whole, 0, byte_size(Whole) - 2),
    [
        fun() ->
            listening(#{view => View, decode => #{lengths => lenient}}, fun(Listener, Port) ->
                hep_net:udp(Port, [Cut, Whole]),
                [{_, First}, {_, Second}] = take(2),
                ?assertMatch(#{cut := {truncated, _}}, First),
                ?assertNot(is_map_key(cut, Second)),
                ?assertMatch(#{cut := 1, decoded := 2, rejected := None} when None =:= #{}, hep_listener:info(Listener))
            end)
        end
     || View <- [decode, json]
    ].

%%% Streams

stream_test_() ->
    hep_net:patiently([
        fun() ->
            listening(#{transport => tcp}, fun(_, Port) ->
                Socket = hep_net:tcp(Port),
                [ok = hep_net:send(Socket, Piece) || Piece <- Pieces],
                ?assertEqual([1, 2, 3], [number(Hep) || {Hep, _} <- take(3)]),
                hep_net:close(Socket)
            end)
        end
     || Start <- [<<>>, <<"HELLO HFP">>, <<"HELLO HFP\r\n">>],
        Packets <- [
            [zlib:gzip(packet(1)), packet(2), zlib:gzip(packet(3))],
            [zlib:gzip([packet(1), packet(2)]), packet(3)]
        ],
        Bytes <- [iolist_to_binary([Start | Packets])],
        Pieces <- [[Bytes], [<<B>> || <<B>> <= Bytes]]
    ]).

max_errors_test() ->
    listening(#{transport => tcp, resync => true, max_errors => 5}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        ok = hep_net:send(Socket, [packet(1), binary:copy(<<"HEP3", 0, 0>>, 5), packet(2)]),
        [_, _] = take(2),
        ?assertMatch(#{errors_closed := 0, connections := 1}, hep_listener:info(Listener)),
        ok = hep_net:send(Socket, <<"HEP3", 0, 0>>),
        ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 30_000)),
        ?assertMatch(
            #{errors_closed := 1, rejected := #{invalid_total_length := 5, too_many_errors := 1}}, hep_listener:info(Listener)
        )
    end).

%% Invalid and unauthenticated packets count as long as no valid one comes between them.
invalid_packets_test_() ->
    Good = hep_packets:frame([hep_packets:chunk(14, <<"good">>), hep_packets:chunk(15, <<"x">>)]),
    hep_net:patiently([
        {lists:flatten(io_lib:format("~p, ~p", [Bad, Resync])), fun() ->
            Options = #{transport => tcp, resync => Resync, max_errors => 5, auth_keys => [<<"good">>]},
            listening(Options, fun(Listener, Port) ->
                Socket = hep_net:tcp(Port),
                %% Over several batches.
                [ok = hep_net:send(Socket, Some) || Some <- [Bad, binary:copy(Bad, 4), [Good, binary:copy(Bad, 5)]]],
                [_] = take(1),
                until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= 11 end, fun() -> hep_listener:info(Listener) end),
                ?assertMatch(#{errors_closed := 0, connections := 1}, hep_listener:info(Listener)),
                ok = hep_net:send(Socket, [Bad, Good]),
                ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 30_000)),
                ?assertMatch(#{errors_closed := 1, received := 12, decoded := 1}, hep_listener:info(Listener))
            end)
        end}
     || Bad <- [<<"HEP3", 7:16, 0>>, packet(1)], Resync <- [false, true]
    ]).

invalid_packets_infinity_test() ->
    listening(#{transport => tcp, max_errors => infinity}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        ok = hep_net:send(Socket, [binary:copy(<<"HEP3", 7:16, 0>>, 500), packet(1)]),
        [_] = take(1),
        ?assertMatch(#{errors_closed := 0, connections := 1, received := 501}, hep_listener:info(Listener)),
        hep_net:close(Socket)
    end).

%%% The PROXY protocol

-define(V2, "\r\n\r\n\0\r\nQUIT\n").

proxy_test_() ->
    V4 = <<?V2, 16#21, 16#11, 17:16, 192, 0, 2, 1, 198, 51, 100, 7, 5060:16, 9060:16, 4, 2:16, 0, 0>>,
    V6 = <<?V2, 16#21, 16#21, 36:16, 16#20010db8:32, 1:96, 2:128, 5060:16, 9060:16>>,
    hep_net:patiently([
        fun() ->
            listening(#{transport => tcp, proxy_protocol => true}, fun(_, Port) ->
                Socket = hep_net:tcp(Port),
                {ok, Own} = inet:sockname(Socket),
                [ok = hep_net:send(Socket, Piece) || Piece <- Pieces],
                [{Hep, #{source := Stated, local_port := Port}}] = take(1),
                ?assertEqual(7, number(Hep)),
                ?assertEqual(case Source of own -> Own; _ -> Source end, Stated),
                hep_net:close(Socket)
            end)
        end
     || {Header, Source} <- [
            {<<"PROXY TCP4 192.0.2.1 198.51.100.7 5060 9060\r\n">>, {{192, 0, 2, 1}, 5060}},
            {<<"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5060 9060\r\n">>, {{192, 0, 2, 1}, 5060}},
            {<<"PROXY UNKNOWN\r\n">>, own},
            {V4, {{192, 0, 2, 1}, 5060}},
            {V6, {{16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, 5060}},
            {<<?V2, 16#20, 0, 0:16>>, own}
        ],
        Bytes <- [<<Header/binary, (packet(7))/binary>>],
        Pieces <- [[Bytes], [<<B>> || <<B>> <= Bytes]]
    ]).

proxy_failed_test_() ->
    hep_net:quietly([
        fun() ->
            listening(#{transport => tcp, proxy_protocol => true, handshake_timeout => 200}, fun(Listener, Port) ->
                Socket = hep_net:tcp(Port),
                ok = hep_net:send(Socket, Bytes),
                ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 30_000)),
                ?assertMatch(#{proxy_failed := 1, received := 0}, hep_listener:info(Listener))
            end)
        end
     || Bytes <- [packet(1), <<"PROXY TCP4 x y 1 2\r\n">>, <<?V2, 16#31, 0, 0:16>>, <<"PROXY ">>, <<>>]
    ]).

%% A connection that ends inside the header is counted; one without any byte, as of a health check, is not.
ended_in_proxy_test_() ->
    hep_net:quietly([fun() ->
        listening(#{transport => tcp, proxy_protocol => true}, fun(Listener, Port) ->
            [
                begin
                    Socket = hep_net:tcp(Port),
                    ok = hep_net:send(Socket, Bytes),
                    hep_net:close(Socket)
                end
             || Bytes <- [<<>>, <<"PROXY TCP4 192.0">>]
            ],
            hep_net:until(fun() ->
                #{accepted := Accepted, connections := Open} = hep_listener:info(Listener),
                {Accepted, Open} =:= {2, 0}
            end),
            ?assertMatch(#{proxy_failed := 1, received := 0}, hep_listener:info(Listener))
        end)
    end]).

%% Bytes that arrive one by one do not extend the time.
slow_proxy_test_() ->
    hep_net:quietly([fun() ->
        listening(#{transport => tcp, proxy_protocol => true, handshake_timeout => 200}, fun(Listener, Port) ->
            Socket = hep_net:tcp(Port),
            ok = hep_net:send(Socket, <<?V2, 16#20, 0, 16#ffff:16>>),
            hep_net:until(fun() -> gen_tcp:send(Socket, <<0>>) =/= ok end),
            ?assertMatch(#{proxy_failed := 1, received := 0, connections := 0}, hep_listener:info(Listener))
        end)
    end]).

proxy_is_for_tcp_test() ->
    [
        ?assertEqual({error, {bad_option, {proxy_protocol, Value}}}, hep_listener_options:check(Options#{proxy_protocol => Value}))
     || {Options, Value} <- [
            {#{handler => self(), transport => udp}, true},
            {#{handler => self(), transport => tcp}, yes}
        ]
    ].

%%% Messages to the handler

messages_test_() ->
    hep_net:quietly([
        {atom_to_list(Transport), fun() ->
            {Server, Client} = hep_net:certificates(),
            Test = self(),
            Funs = #{
                init => fun() -> {ok, []} end,
                handle_packets => fun(Packets, Seen) ->
                    _ = [self() ! Message || Message <- messages() ++ [crash]],
                    _ = erlang:send_after(20, self(), {timer, length(Packets)}),
                    {ok, Seen}
                end,
                handle_info => fun
                    (crash, _) -> error(crash);
                    ({timer, _} = Message, Seen) -> Test ! {seen, self(), lists:reverse([Message | Seen])}, {ok, []};
                    (Message, Seen) -> {ok, [Message | Seen]}
                end,
                terminate => fun(_, Seen) -> Test ! {seen, self(), lists:reverse(Seen)} end
            },
            Tls = case Transport of tls -> Server; _ -> [] end,
            listening(#{transport => Transport, tls => Tls, handler => {hep_fun_handler, Funs}}, fun(Listener, Port) ->
                Socket = sent(Transport, Port, Client, packet(1)),
                %% The crash restarts the handler, and closes no socket.
                Messages = messages(),
                Pid = receive {seen, Worker, Messages} -> Worker end,
                receive {seen, Pid, [{timer, 1}]} -> ok end,
                ?assert(is_process_alive(Pid)),
                ?assertMatch(#{handler_crashes := 1, decoded := 1}, hep_listener:info(Listener)),
                _ = is_port(Socket) orelse Socket =:= none orelse ssl:close(Socket)
            end)
        end}
     || Transport <- [udp, tcp, tls]
    ]).

%% Some are similar to messages of timers and sockets.
messages() ->
    [idle, read, attach, timeout, {timeout, none, hep_listener_shard}, {timeout, none, read}].

sent(udp, Port, _, Bytes) ->
    hep_net:udp(Port, [Bytes]),
    none;
sent(tcp, Port, _, Bytes) ->
    Socket = hep_net:tcp(Port),
    ok = hep_net:send(Socket, Bytes),
    Socket;
sent(tls, Port, Client, Bytes) ->
    {ok, Socket} = hep_net:tls(Port, Client),
    ok = hep_net:send(Socket, Bytes),
    Socket.

%% A handler without handle_info drops them.
dropped_message_test() ->
    listening(#{handler => {hep_bare_handler, self()}}, fun(Listener, Port) ->
        [Worker] = hep_net:workers(Listener),
        Worker ! message,
        hep_net:udp(Port, [packet(1)]),
        receive {hep_packets, _, _} -> ok; {_, [_]} -> ok end,
        ?assertEqual([Worker], hep_net:workers(Listener)),
        ?assertMatch(#{handler_crashes := 0}, hep_listener:info(Listener))
    end).

name_test() ->
    listening(#{name => {local, hep_wire_test}}, fun(_, Port) ->
        hep_net:udp(Port, [packet(1)]),
        ?assertMatch([{_, #{listener := hep_wire_test, local_port := Port}}], take(1))
    end).
