%% @doc hep_listener over TLS: what ssl stores for a listening socket, and the log of failed handshakes.
-module(hep_listener_handshake_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [until/1, until/2, packet/1, take/1]).

sessions_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, Client}) ->
        hep_net:quietly([
            {Name, {timeout, 120, fun() -> Test(Server, Client) end}}
         || {Name, Test} <- [
                {"stateless tickets", fun(S, C) -> tickets(stateless, true, S, C) end},
                {"stateful tickets", fun(S, C) -> tickets(stateful, true, S, C) end},
                {"no tickets", fun(S, C) -> tickets(disabled, false, S, C) end},
                {"tickets after the owner's end", fun restarted/2},
                {"sessions of TLS 1.2", fun sessions/2},
                {"ALPN", fun alpn/2},
                {"no protocol in common", fun no_protocol/2}
            ]
        ])
    end}.

listening(Server, Test) ->
    hep_net:listening(#{transport => tls, tls => Server}, Test).

%% A client gets tickets soon after the first handshake, and resumes its session with one. It may try tickets of earlier
%% tests first.
tickets(Kind, IsResumed, Server, Client) ->
    listening([{session_tickets, Kind}, {versions, ['tlsv1.3']} | Server], fun(Listener, Port) ->
        Options = [{session_tickets, auto}, {versions, ['tlsv1.3']} | Client],
        ?assertEqual(false, talked(Port, Options)),
        case IsResumed of
            true -> until(fun() -> talked(Port, Options) end);
            false -> [?assertEqual(false, talked(Port, Options)) || _ <- lists:seq(1, 5)]
        end,
        #{decoded := Count} = Info = hep_listener:info(Listener),
        ?assertMatch(#{handshakes_failed := 0, accepted := Count}, Info)
    end).

%% Whether the session was resumed. Waits until the packet is received, so that the client has read the server's data.
talked(Port, Options) ->
    {ok, Socket} = hep_net:tls(Port, Options),
    {ok, [{session_resumption, IsResumed}]} = ssl:connection_information(Socket, [session_resumption]),
    ok = ssl:send(Socket, packet(1)),
    take(1),
    {error, timeout} = ssl:recv(Socket, 1, 50),
    ok = ssl:close(Socket),
    IsResumed.

%% A resumed session soon has the id of the first one. The server may store none.
sessions(Server, Client) ->
    [
        listening([{versions, ['tlsv1.2']}, {reuse_sessions, Reuse} | Server], fun(Listener, Port) ->
            Options = [{versions, ['tlsv1.2']} | Client],
            First = session(Port, Options),
            case Reuse of
                true -> until(fun() -> session(Port, Options) =:= First end);
                false -> [?assertNotEqual(First, session(Port, Options)) || _ <- lists:seq(1, 5)]
            end,
            ?assertMatch(#{handshakes_failed := 0}, hep_listener:info(Listener))
        end)
     || Reuse <- [true, false]
    ].

session(Port, Options) ->
    {ok, Socket} = hep_net:tls(Port, Options),
    {ok, [{session_id, Id}]} = ssl:connection_information(Socket, [session_id]),
    ok = ssl:send(Socket, packet(1)),
    take(1),
    ok = ssl:close(Socket),
    Id.

%% Tickets of an earlier listener are no error.
restarted(Server, Client) ->
    listening([{session_tickets, stateful}, {versions, ['tlsv1.3']} | Server], fun(Listener, Port) ->
        Options = [{session_tickets, auto}, {versions, ['tlsv1.3']} | Client],
        until(fun() -> talked(Port, Options) end),
        Owner = hep_net:child(Listener, owner),
        exit(Owner, kill),
        until(fun() -> is_pid(hep_net:child(Listener, owner)) andalso hep_net:child(Listener, owner) =/= Owner end),
        until(fun() -> talked(Port, Options) end),
        ?assertMatch(#{handshakes_failed := 0}, hep_listener:info(Listener))
    end).

alpn(Server, Client) ->
    listening([{alpn_preferred_protocols, [<<"hep">>, <<"h2">>]} | Server], fun(Listener, Port) ->
        [
            begin
                {ok, Socket} = hep_net:tls(Port, [{alpn_advertised_protocols, Advertised} | Client]),
                ?assertEqual({ok, Chosen}, ssl:negotiated_protocol(Socket)),
                ok = ssl:send(Socket, packet(1)),
                ?assertMatch([_], take(1)),
                ok = ssl:close(Socket)
            end
         || {Advertised, Chosen} <- [{[<<"h2">>, <<"hep">>], <<"hep">>}, {[<<"h2">>], <<"h2">>}]
        ],
        ?assertMatch(#{handshakes_failed := 0}, hep_listener:info(Listener))
    end).

no_protocol(Server, Client) ->
    listening([{alpn_preferred_protocols, [<<"hep">>]} | Server], fun(Listener, Port) ->
        ?assertMatch({error, _}, hep_net:tls(Port, [{alpn_advertised_protocols, [<<"sip">>]} | Client])),
        until(fun() -> maps:get(handshakes_failed, hep_listener:info(Listener)) =:= 1 end)
    end).

%%% What is logged

%% One line for a failed handshake; of many at once, the limit of lines, and the number of suppressed ones.
log_test_() ->
    {timeout, 120, fun() ->
        {Server, Client} = hep_net:certificates(),
        {_, Stranger} = hep_net:certificates(),
        Reports = hep_net:logged(fun() ->
            listening(Server, fun(Listener, Port) ->
                [fails(Port) || _ <- lists:seq(1, 40)],
                {error, _} = hep_net:tls(Port, [{log_level, none} | Stranger]),
                until(fun() -> maps:get(handshakes_failed, hep_listener:info(Listener)) =:= 41 end),
                %% The next second has its own lines.
                until(
                    fun() ->
                        fails(Port),
                        timer:sleep(100),
                        maps:get(handshakes_failed, hep_listener:info(Listener)) >= 50
                    end
                ),
                {ok, Socket} = hep_net:tls(Port, Client),
                ok = ssl:close(Socket)
            end)
        end),
        {Ours, Others} = lists:partition(fun(Report) -> maps:get(what, Report, none) =:= hep_listener_handshake_failed end, Reports),
        ?assertEqual([], Others),
        ?assert(length(Ours) >= 10),
        ?assertMatch([#{source := {{127, 0, 0, 1}, _}, reason := _, left_out := 0, listener := _} | _], Ours),
        %% Each is logged or counted.
        LeftOut = lists:sum([maps:get(left_out, Report) || Report <- Ours]),
        ?assert(length(Ours) + LeftOut =< 50)
    end}.

fails(Port) ->
    Socket = hep_net:tcp(Port),
    ok = gen_tcp:send(Socket, packet(1)),
    _ = gen_tcp:recv(Socket, 0, 10000),
    gen_tcp:close(Socket).

limits_test_() ->
    {timeout, 60, fun() ->
        Limits = hep_listener_log:new(),
        Log = fun(N) -> hep_listener_log:notice(handshake_failed, #{what => N}, Limits) end,
        Reports = hep_net:logged(fun() ->
            lists:foreach(Log, lists:seq(1, 30)),
            %% A line of another kind.
            hep_listener_log:warning(accept_failed, #{what => other}, Limits),
            hep_listener_log:warning(accept_failed, #{what => other}, Limits),
            timer:sleep(1100),
            Log(31),
            Log(32)
        end),
        Whats = [What || #{what := What} <- Reports],
        ?assertEqual(1, length([other || other <- Whats])),
        ?assertEqual(32, lists:last(Whats)),
        %% All within the first second, unless the machine is too slow.
        Count = length([N || N <- Whats, is_integer(N), N =< 30]),
        ?assert(Count >= 10),
        %% Each suppressed line is reported once.
        ?assertEqual([30 - Count, 0], [Number || #{what := N, left_out := Number} <- Reports, N =:= 31 orelse N =:= 32])
    end}.

%% The lines of each kind within its period.
kinds_test_() ->
    [
        fun() ->
            Limits = hep_listener_log:new(),
            Start = erlang:monotonic_time(millisecond),
            Reports = hep_net:logged(fun() ->
                [hep_listener_log:Level(Kind, #{what => N}, Limits) || N <- lists:seq(1, 30)]
            end),
            %% A slow machine may need more than one period.
            ?assert(length(Reports) =:= Most orelse erlang:monotonic_time(millisecond) - Start >= 1000, length(Reports))
        end
     || {Level, Kind, Most} <- [
            {notice, handshake_failed, 10}, {notice, proxy_failed, 10}, {error, handler_crashed, 10}, {warning, accept_failed, 1}
        ]
    ].
