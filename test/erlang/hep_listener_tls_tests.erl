%% @doc hep_listener over TLS: versions, certificates, failed handshakes.
-module(hep_listener_tls_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [until/1, packet/1, number/1, take/1]).

tls_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, Client}) ->
        hep_net:quietly({inparallel, [
            {Name, {timeout, 120, fun() -> Test(Server, Client) end}}
         || {Name, Test} <- [
                {"TLS 1.2", fun(S, C) -> version('tlsv1.2', S, C) end},
                {"TLS 1.3", fun(S, C) -> version('tlsv1.3', S, C) end},
                {"older versions", fun older/2},
                {"versions of one's own", fun versions/2},
                {"files", fun files/2},
                {"a client that does not trust", fun distrust/2},
                {"clients with certificates", fun client_certificates/2},
                {"HEP without TLS", fun plain/2},
                {"a client that goes away", fun gone/2},
                {"clients that stall", fun stalls/2},
                {"max_handshakes", fun max_handshakes/2},
                {"a connection that nobody hands over", fun abandoned/2},
                {"stopped while a client stalls", fun stopped/2},
                {"a client that does not read", fun unread/2},
                {"no log shows what is secret", fun secrets/2}
            ]
        ]})
    end}.

%% Secrets do not appear in the states that reports and crashes show: of the listener, its connections and supervisors.
secrets(Server, Client) ->
    lists:foreach(
        fun({Transport, Options}) ->
            Given = Options#{transport => Transport, auth_keys => [<<"open-sesame">>]},
            hep_net:listening(Given, fun(Listener, Port) ->
                Socket = connected(Transport, Port, Client),
                Key = hep_packets:chunk(14, <<"open-sesame">>),
                ok = hep_net:send(Socket, [packet(1), hep_packets:frame([Key])]),
                [_] = take(1),
                Processes = hep_net:processes(Listener) -- hep_net:acceptors(Listener),
                ?assertEqual(1, length(hep_net:connections(Listener))),
                hidden([sys:get_status(Process) || Process <- Processes]),
                hidden([process_info(Acceptor) || Acceptor <- hep_net:acceptors(Listener)]),
                hidden(hep_listener:child_spec(Given#{handler => self()})),
                hep_net:close(Socket)
            end)
        end,
        [{tcp, #{}}, {tls, #{tls => [{password, "open-sesame"} | Server]}}]
    ),
    hep_net:listening(#{auth_keys => fun() -> [<<"open-sesame">>] end}, fun(Listener, _) ->
        hidden([sys:get_status(Process) || Process <- hep_net:processes(Listener)])
    end),
    Wrong = fun() -> ["open-sesame"] end,
    ?assertEqual({error, {bad_option, {auth_keys, Wrong}}}, hep_listener:start_link(#{handler => self(), auth_keys => Wrong})),
    %% The supervisor can still start it.
    #{start := {M, F, A}} = hep_listener:child_spec(#{
        transport => tls, tls => Server, auth_keys => [<<"open-sesame">>], port => 0, handler => self()
    }),
    {ok, Started} = apply(M, F, A),
    ok = hep_listener:stop(Started).

connected(tcp, Port, _) -> hep_net:tcp(Port);
connected(tls, Port, Client) -> {ok, Socket} = hep_net:tls(Port, Client), Socket.

hidden(Term) ->
    ?assertEqual(nomatch, string:find(lists:flatten(io_lib:format("~p", [Term])), "open-sesame")).

listening(Server, Test) ->
    listening(Server, #{}, Test).

listening(Server, Options, Test) ->
    hep_net:listening(Options#{transport => tls, tls => Server}, Test).

%% A client that is accepted.
heard(Listener, Port, Client) ->
    {ok, Socket} = hep_net:tls(Port, Client),
    #{decoded := Before} = hep_listener:info(Listener),
    ok = ssl:send(Socket, packet(Before + 1)),
    ?assertMatch([{_, #{transport := tls}}], take(1)),
    Socket.

failed(Listener, Count) ->
    until(fun() -> maps:get(handshakes_failed, hep_listener:info(Listener)) =:= Count end),
    until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end).

version(Version, Server, Client) ->
    listening(Server, fun(Listener, Port) ->
        Socket = heard(Listener, Port, [{versions, [Version]} | Client]),
        ?assertEqual({ok, [{protocol, Version}]}, ssl:connection_information(Socket, [protocol])),
        ok = ssl:close(Socket),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertMatch(#{accepted := 1, handshakes_failed := 0}, hep_listener:info(Listener))
    end).

%% A client hello of TLS 1.1, built by hand: the client's OTP may not support it.
older(Server, _) ->
    listening(Server, fun(Listener, Port) ->
        Body = <<3, 2, 0:256, 0, 2:16, 16#002f:16, 1, 0>>,
        Hello = <<22, 3, 1, (4 + byte_size(Body)):16, 1, (byte_size(Body)):24, Body/binary>>,
        Socket = hep_net:tcp(Port),
        ok = gen_tcp:send(Socket, Hello),
        %% An alert: fatal, protocol version.
        ?assertMatch({ok, <<21, 3, _, 2:16, 2, 70>>}, gen_tcp:recv(Socket, 7, 10000)),
        failed(Listener, 1),
        gen_tcp:close(Socket)
    end).

versions(Server, Client) ->
    listening([{versions, ['tlsv1.2']} | Server], fun(Listener, Port) ->
        ?assertMatch({error, _}, hep_net:tls(Port, [{versions, ['tlsv1.3']} | Client])),
        failed(Listener, 1),
        ok = ssl:close(heard(Listener, Port, [{versions, ['tlsv1.2']} | Client]))
    end).

%% Certificate and key as files, the usual form.
files(Server, Client) ->
    Folder = filename:join(["/tmp", "hep_listener_tls_tests." ++ os:getpid()]),
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    {Kind, Key} = proplists:get_value(key, Server),
    Names = [CertFile, KeyFile] = [filename:join(Folder, Name) || Name <- ["cert.pem", "key.pem"]],
    Certificate = public_key:pem_encode([{'Certificate', proplists:get_value(cert, Server), not_encrypted}]),
    ok = file:write_file(CertFile, Certificate),
    ok = file:write_file(KeyFile, public_key:pem_encode([{Kind, Key, not_encrypted}])),
    try
        listening([{certfile, CertFile}, {keyfile, KeyFile}], fun(Listener, Port) ->
            ok = ssl:close(heard(Listener, Port, Client))
        end),
        %% Invalid certificates are reported at the start.
        ok = file:write_file(CertFile, "no certificate"),
        Wrong = [{certfile, CertFile}, {keyfile, KeyFile}],
        ?assertEqual(
            {error, {bad_option, {tls, Wrong}}},
            hep_listener:start_link(#{transport => tls, port => 0, handler => self(), tls => Wrong})
        )
    after
        [ok = file:delete(Name) || Name <- Names],
        ok = file:del_dir(Folder)
    end.

%% Options that change how the connection reads, and options that no handshake accepts.
wrong_options_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, _}) ->
        [
            {lists:flatten(io_lib:format("~p", [Option])),
                ?_assertEqual(
                    {error, {bad_option, {tls, [Option | Server]}}},
                    hep_listener:start_link(#{transport => tls, port => 0, handler => self(), tls => [Option | Server]})
                )}
         || Option <- [
                list, binary, {mode, list}, {packet, 4}, {active, true}, {header, 2}, {handshake, hello}, {versions, [tls]},
                {versions, []}, {verify, maybe_later}, {cacertfile, "nowhere.pem"}, {ciphers, none}, {depth, -1}, tls, 5
            ]
        ]
    end}.

distrust(Server, Client) ->
    listening(Server, fun(Listener, Port) ->
        {_, Stranger} = hep_net:certificates(),
        ?assertMatch({error, _}, hep_net:tls(Port, Stranger)),
        failed(Listener, 1),
        ok = ssl:close(heard(Listener, Port, Client))
    end).

client_certificates(Server, Client) ->
    listening([{verify, verify_peer}, {fail_if_no_peer_cert, true} | Server], fun(Listener, Port) ->
        Nobody = [Option || {Name, _} = Option <- Client, Name =/= cert, Name =/= key],
        %% With TLS 1.3 the client may notice it later.
        _ = hep_net:tls(Port, Nobody),
        failed(Listener, 1),
        ok = ssl:close(heard(Listener, Port, Client)),
        ?assertMatch(#{received := 1}, hep_listener:info(Listener))
    end).

plain(Server, Client) ->
    listening(Server, fun(Listener, Port) ->
        lists:foreach(
            fun(Count) ->
                Socket = hep_net:tcp(Port),
                ok = gen_tcp:send(Socket, packet(1)),
                failed(Listener, Count),
                gen_tcp:close(Socket)
            end,
            lists:seq(1, 20)
        ),
        ok = ssl:close(heard(Listener, Port, Client)),
        ?assertMatch(#{received := 1, decoded := 1, accepted := 21}, hep_listener:info(Listener))
    end).

%% Before and during the handshake.
gone(Server, Client) ->
    listening(Server, fun(Listener, Port) ->
        lists:foreach(
            fun(N) ->
                Socket = hep_net:tcp(Port),
                until(fun() -> maps:get(handshakes, hep_listener:info(Listener)) =:= 1 end),
                _ = N rem 2 =:= 0 andalso gen_tcp:send(Socket, <<22, 3, 1, 100:16, 1, 2>>),
                _ = N rem 3 =:= 0 andalso inet:setopts(Socket, [{linger, {true, 0}}]),
                gen_tcp:close(Socket),
                until(fun() -> maps:get(handshakes_failed, hep_listener:info(Listener)) =:= N end),
                until(fun() -> maps:get(handshakes, hep_listener:info(Listener)) =:= 0 end)
            end,
            lists:seq(1, 12)
        ),
        ok = ssl:close(heard(Listener, Port, Client))
    end).

%% Silent clients count as handshakes, not as connections. They are closed at their timeout.
stalls(Server, Client) ->
    Options = #{max_connections => 1, max_handshakes => 6, handshake_timeout => 2000, acceptors => 2},
    listening(Server, Options, fun(Listener, Port) ->
        Stalled = [hep_net:tcp(Port) || _ <- lists:seq(1, 5)],
        until(fun() -> maps:get(handshakes, hep_listener:info(Listener)) =:= 5 end),
        %% The others do not wait.
        Socket = heard(Listener, Port, Client),
        ?assertMatch(#{handshakes_failed := 0, connections := 1, refused := 0}, hep_listener:info(Listener)),
        [?assertEqual({error, closed}, gen_tcp:recv(S, 0, 30000)) || S <- Stalled],
        until(fun() -> maps:get(handshakes, hep_listener:info(Listener)) =:= 0 end),
        ?assertMatch(#{handshakes_failed := 5, connections := 1}, hep_listener:info(Listener)),
        ok = ssl:send(Socket, packet(2)),
        ?assertMatch([_], take(1)),
        ok = ssl:close(Socket)
    end).

%% Beyond the maximum, a new handshake takes the place of the oldest.
max_handshakes(Server, Client) ->
    listening(Server, #{max_handshakes => 2, handshake_timeout => 60_000}, fun(Listener, Port) ->
        Stall = fun(Number) ->
            Socket = hep_net:tcp(Port),
            until(fun() -> maps:get(accepted, hep_listener:info(Listener)) =:= Number end),
            Socket
        end,
        [First, Second] = [Stall(Number) || Number <- [1, 2]],
        ?assertMatch(#{handshakes := 2, handshakes_failed := 0}, hep_listener:info(Listener)),
        Good = heard(Listener, Port, Client),
        ?assertMatch({error, _}, end_of(First)),
        ?assertMatch(
            #{accepted := 3, refused := 0, handshakes := 1, handshakes_failed := 1}, hep_listener:info(Listener)
        ),
        ok = ssl:close(Good),
        [gen_tcp:close(Socket) || Socket <- [First, Second]]
    end).

%% The acceptor was killed meanwhile.
abandoned(_, _) ->
    hep_net:listening(#{transport => tcp}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        {ok, Connection} = supervisor:start_child(hep_net:child(Listener, connections), [Socket]),
        Monitor = monitor(process, Connection),
        %% A message does not change the timeout.
        Connection ! stray,
        receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual({shutdown, abandoned}, Reason) end
    end).

%% No process is killed, and none is waited for.
stopped(Server, _) ->
    listening(Server, fun(Listener, Port) ->
        Sockets = [hep_net:tcp(Port) || _ <- lists:seq(1, 5)],
        until(fun() -> length(hep_net:connections(Listener)) =:= 5 end),
        Monitors = [monitor(process, Connection) || Connection <- hep_net:connections(Listener)],
        unlink(Listener),
        ok = hep_listener:stop(Listener),
        [receive {'DOWN', M, process, _, Reason} -> ?assertEqual(shutdown, Reason) end || M <- Monitors],
        [?assertEqual({error, closed}, end_of(Socket)) || Socket <- Sockets]
    end).

%% Since OTP 27 an alert may come first.
end_of(Socket) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, <<21, _/binary>>} -> end_of(Socket);
        End -> End
    end.

%% It does not reply that the connection is closed, either.
unread(Server, Client) ->
    listening(Server, #{idle_timeout => 100}, fun(Listener, Port) ->
        {ok, Socket} = hep_net:tls(Port, Client),
        [Connection] = hep_net:connections(Listener),
        Monitor = monitor(process, Connection),
        ok = sys:suspend(element(1, connection_of(Socket))),
        receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual({shutdown, idle_timeout}, Reason) end,
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertMatch(#{idle_closed := 1}, hep_listener:info(Listener)),
        ok = sys:resume(element(1, connection_of(Socket))),
        _ = ssl:close(Socket)
    end).

%% The processes of a client's connection: a list up to OTP 28, fields of the socket since OTP 29.
connection_of(Socket) ->
    list_to_tuple([Pid || Pid <- lists:flatten(tuple_to_list(Socket)), is_pid(Pid)]).
