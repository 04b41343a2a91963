%% @doc hep_listener over TCP and TLS: what both have in common.
-module(hep_listener_stream_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [until/1, until/2, packet/1, number/1, take/1, send/2, close/1]).
-import(hep_packets, [chunk/2, frame/1]).

%% Both transports, with the options of the listener and of a client.
streams_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, Client}) ->
        hep_net:quietly([
            {lists:flatten(io_lib:format("~p: ~s", [maps:get(transport, Options), Name])), {timeout, 120, fun() ->
                Test(Options, fun(Port) -> connected(Options, Port, Client) end)
            end}}
         || Options <- [#{transport => tcp}, #{transport => tls, tls => Server}], {Name, Test} <- tests()
        ])
    end}.

tests() ->
    [
        {hep_fixtures:file(Entry), fun(Options, Connect) -> captured(Entry, Options, Connect) end}
     || Entry <- hep_fixtures:entries(stream)
    ] ++
        [
            {"cut at every byte", fun cut/2},
            {"byte by byte", fun bytes/2},
            {"order", fun order/2},
            {"what is received", fun meta/2},
            {"memory", fun memory/2},
            {"a quiet connection keeps nothing", fun quiet/2},
            {"closed in mid-frame", fun closed/2},
            {"HEP after bytes that are not", fun resynced/2},
            {"keys", fun keys/2},
            {"max_connections", fun max_connections/2},
            {"idle", fun idle/2},
            {"busy is not idle", fun busy/2},
            {"bytes put the idle time off", fun steady/2},
            {"keep-alive probes", fun keepalive/2},
            {"a connection that sends nothing", fun nothing/2},
            {"a connection's process is killed", fun killed/2},
            {"the acceptors are killed", fun acceptor/2},
            {"stopped with open connections", fun stopped/2},
            {"closed before it is accepted", fun early/2},
            {"the system's messages", fun system/2},
            {"many connections", fun many/2}
        ].

listening(Options, More, Test) ->
    hep_net:listening(maps:merge(Options, More), Test).

connected(#{transport := tcp}, Port, _) ->
    hep_net:tcp(Port);
connected(#{transport := tls}, Port, Client) ->
    {ok, Socket} = hep_net:tls(Port, Client),
    Socket.

%%% Dividing

captured(#{<<"frames">> := null} = Entry, Options, Connect) ->
    <<Version, _/binary>> = Bytes = hep_fixtures:bytes(Entry),
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        _ = send(Socket, Bytes),
        Error = {stream, {0, {unframed_version, Version}}},
        receive {hep_error, Listener, Error, {<<>>, #{size := 0}}} -> ok end,
        ?assertMatch({error, _}, receive_all(Socket)),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertMatch(#{received := 1, bytes := 0, rejected := #{unframed_version := 1}}, hep_listener:info(Listener)),
        close(Socket)
    end);
captured(Entry, Options, Connect) ->
    Bytes = hep_fixtures:bytes(Entry),
    Garbage = maps:get(<<"garbage">>, Entry, []),
    Skipped = lists:sum([Length || [_, Length] <- Garbage]),
    Rest = [{stream, {At, {truncated, Length}}} || #{<<"rest">> := [At, Length]} <- [Entry]],
    Read = [P || {_, Packet} <- hep_fixtures:packets(Entry, Bytes), {ok, P} <- [hep:decode(Packet)]],
    listening(Options, #{resync => true}, fun(Listener, Port) ->
        Socket = Connect(Port),
        [ok = send(Socket, Piece) || Piece <- pieces(Bytes)],
        ?assertEqual(Read, [Hep || {Hep, _} <- take(length(Read))]),
        close(Socket),
        [receive {hep_error, Listener, Error, {<<>>, _}} -> ok end || Error <- Rest],
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        Resyncs = length(Garbage),
        ?assertMatch(#{resyncs := Resyncs, skipped_bytes := Skipped, accepted := 1}, hep_listener:info(Listener))
    end).

%% In pieces of different sizes.
pieces(Bytes) -> pieces(Bytes, 1).

pieces(Bytes, Size) when byte_size(Bytes) =< Size -> [Bytes];
pieces(Bytes, Size) ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | pieces(Rest, Size * 3 rem 1009 + 1)].

receive_all(Socket) ->
    Receive = if is_port(Socket) -> fun gen_tcp:recv/3; true -> fun ssl:recv/3 end,
    case Receive(Socket, 0, 15000) of
        {ok, _} -> receive_all(Socket);
        Error -> Error
    end.

cut(Options, Connect) ->
    listening(Options, #{}, fun(_, Port) ->
        Socket = Connect(Port),
        Packet = packet(1),
        lists:foreach(
            fun(At) ->
                <<Left:At/binary, Right/binary>> = Packet,
                ok = send(Socket, [packet(2), Left]),
                [{Before, _}] = take(1),
                ok = send(Socket, Right),
                [{Hep, _}] = take(1),
                ?assertEqual([2, 1], [number(Before), number(Hep)])
            end,
            lists:seq(0, byte_size(Packet) - 1)
        ),
        close(Socket)
    end).

bytes(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        [ok = send(Socket, <<Byte>>) || _ <- lists:seq(1, 5), <<Byte>> <= packet(1)],
        ?assertEqual(5, length(take(5))),
        Bytes = 5 * byte_size(packet(1)),
        ?assertMatch(#{received := 5, decoded := 5, bytes := Bytes, rejected := None} when None =:= #{}, hep_listener:info(Listener)),
        close(Socket)
    end).

order(Options, Connect) ->
    listening(Options, #{}, fun(_, Port) ->
        Socket = Connect(Port),
        Numbers = lists:seq(1, 5000),
        spawn_link(fun() -> ok = send(Socket, [packet(N) || N <- Numbers]) end),
        ?assertEqual(Numbers, [number(Hep) || {Hep, _} <- take(5000)]),
        close(Socket)
    end).

meta(#{transport := Transport} = Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        {ok, Source} = if is_port(Socket) -> inet:sockname(Socket); true -> ssl:sockname(Socket) end,
        Before = erlang:system_time(microsecond),
        ok = send(Socket, packet(1)),
        [{_, #{time := Time} = Meta}] = take(1),
        ?assertEqual(
            #{
                source => Source,
                time => Time,
                size => byte_size(packet(1)),
                transport => Transport,
                listener => Listener,
                local_port => Port
            },
            Meta
        ),
        ?assert(Time >= Before andalso Time =< erlang:system_time(microsecond)),
        close(Socket)
    end).

%%% Memory

%% A packet does not keep the whole read in memory.
memory(Options, Connect) ->
    listening(Options, #{}, fun(_, Port) ->
        Socket = Connect(Port),
        Packet = frame([chunk(15, binary:copy(<<"x">>, 500))]),
        spawn_link(fun() -> ok = send(Socket, lists:duplicate(2000, Packet)) end),
        Most = lists:max([binary:referenced_byte_size(hep:payload(Hep)) || {Hep, _} <- take(2000)]),
        ?assert(Most =< 2 * byte_size(Packet)),
        close(Socket)
    end).

%% A busy connection that stops in the middle of a frame.
quiet(Options, Connect) ->
    Handler = fun(_) -> ok end,
    listening(Options, #{handler => Handler}, fun(Listener, Port) ->
        Socket = Connect(Port),
        Packet = frame([chunk(15, binary:copy(<<"x">>, 50000))]),
        spawn_link(fun() -> ok = send(Socket, [lists:duplicate(40, Packet), binary:part(Packet, 0, 100)]) end),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 40 end),
        [Connection] = hep_net:connections(Listener),
        until(fun() -> held(Connection) < 4096 end, fun() -> process_info(Connection, binary) end),
        ok = send(Socket, binary:part(Packet, 100, byte_size(Packet) - 100)),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 41 end),
        close(Socket)
    end).

held(Pid) ->
    {binary, Binaries} = process_info(Pid, binary),
    lists:sum([Size || {_, Size, _} <- lists:usort(Binaries)]).

%%% What is wrong

%% The sender closes the connection, or (TCP) resets it.
closed(#{transport := Transport} = Options, Connect) ->
    [
        listening(Options, #{resync => Resync}, fun(Listener, Port) ->
            Socket = Connect(Port),
            ok = send(Socket, [packet(1), binary:part(packet(2), 0, 20)]),
            ?assertMatch([_], take(1)),
            Transport =:= tcp andalso (ok = inet:setopts(Socket, [{linger, {true, Linger}}])),
            close(Socket),
            Offset = byte_size(packet(1)),
            receive {hep_error, Listener, Error, {<<>>, _}} -> ?assertEqual({stream, {Offset, {truncated, 20}}}, Error) end,
            until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
            ?assertMatch(#{received := 2, decoded := 1, rejected := #{truncated := 1}}, hep_listener:info(Listener)),
            %% The next connection starts afresh.
            Next = Connect(Port),
            ok = send(Next, packet(3)),
            ?assertMatch([_], take(1)),
            close(Next)
        end)
     || Resync <- [true, false], Linger <- [5, 0]
    ].

%% A sender that begins in the middle of a frame: the connection ends, or continues at the next packet.
resynced(Options, Connect) ->
    Bytes = [binary:part(packet(0), 20, 20), packet(1), <<"garbage">>, packet(2)],
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        ok = send(Socket, Bytes),
        receive {hep_error, Listener, Error, {<<>>, _}} -> ?assertEqual({stream, {0, not_hep}}, Error) end,
        ?assertMatch({error, _}, receive_all(Socket)),
        ?assertEqual([], hep_net:flushed()),
        ?assertMatch(#{received := 1, decoded := 0, rejected := #{not_hep := 1}, resyncs := 0}, hep_listener:info(Listener)),
        close(Socket)
    end),
    listening(Options, #{resync => true}, fun(Listener, Port) ->
        Socket = Connect(Port),
        ok = send(Socket, Bytes),
        ?assertEqual([1, 2], [number(Hep) || {Hep, _} <- take(2)]),
        At = 20 + byte_size(packet(1)),
        [
            receive {hep_error, Listener, Error, {<<>>, _}} -> ?assertEqual({stream, Expected}, Error) end
         || Expected <- [{0, not_hep}, {20, {resync, 20}}, {At, not_hep}, {At + 7, {resync, 7}}]
        ],
        ?assertMatch(
            #{received := 4, decoded := 2, rejected := #{not_hep := 2}, resyncs := 2, skipped_bytes := 27, connections := 1},
            hep_listener:info(Listener)
        ),
        close(Socket)
    end).

keys(Options, Connect) ->
    listening(Options, #{auth_keys => [<<"key">>]}, fun(Listener, Port) ->
        Socket = Connect(Port),
        Wrong = frame([chunk(14, <<"no">>)]),
        ok = send(Socket, [Wrong, frame([chunk(14, <<"key">>)])]),
        ?assertMatch([_], take(1)),
        receive {hep_error, Listener, unauthenticated, {Wrong, _}} -> ok end,
        ?assertMatch(#{received := 2, decoded := 1, unauthenticated := 1, connections := 1}, hep_listener:info(Listener)),
        close(Socket)
    end).

%%% Connections

max_connections(#{transport := Transport} = Options, Connect) ->
    listening(Options, #{max_connections => 3}, fun(Listener, Port) ->
        [First | _] = Sockets = [Connect(Port) || _ <- lists:seq(1, 3)],
        [ok = send(Socket, packet(1)) || Socket <- Sockets],
        take(3),
        Further = Connect(Port),
        ?assertMatch({error, _}, receive_all(Further)),
        %% A TLS connection is refused after its handshake, so it is accepted first.
        Accepted = case Transport of tcp -> 3; tls -> 4 end,
        ?assertMatch(#{connections := 3, accepted := Accepted, refused := 1}, hep_listener:info(Listener)),
        close(First),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 2 end),
        Last = Connect(Port),
        ok = send(Last, packet(2)),
        ?assertMatch([{_, #{transport := Transport}}], take(1)),
        Next = Accepted + 1,
        ?assertMatch(#{connections := 3, accepted := Next, refused := 1}, hep_listener:info(Listener)),
        [close(Socket) || Socket <- [Further, Last | tl(Sockets)]]
    end).

%% Other messages, such as those of sys, do not extend the time.
idle(Options, Connect) ->
    listening(Options, #{idle_timeout => 200}, fun(Listener, Port) ->
        Socket = Connect(Port),
        ok = send(Socket, [packet(1), <<"HE">>]),
        ?assertMatch([_], take(1)),
        [Connection] = hep_net:connections(Listener),
        until(fun() ->
            Connection ! stray,
            gen_server:cast(Connection, stray),
            try sys:get_state(Connection) catch exit:_ -> ended end,
            maps:get(idle_closed, hep_listener:info(Listener)) =:= 1
        end),
        ?assertMatch({error, _}, receive_all(Socket)),
        receive {hep_error, Listener, {stream, {_, {truncated, 2}}}, _} -> ok end,
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        close(Socket)
    end).

%% A handler that takes longer than idle_timeout, while more data arrives.
busy(Options, Connect) ->
    Test = self(),
    Handler = fun(Packets) -> [Test ! {self(), number(Hep)} || {Hep, _} <- Packets], receive go -> ok end end,
    listening(Options, #{idle_timeout => 100, handler => Handler}, fun(Listener, Port) ->
        Socket = Connect(Port),
        ok = send(Socket, packet(1)),
        Connection = receive {Pid, 1} -> Pid end,
        ok = send(Socket, packet(2)),
        %% Both the timeout and the packet are waiting.
        until(fun() -> process_info(Connection, message_queue_len) >= {message_queue_len, 2} end),
        Connection ! go,
        receive {Connection, 2} -> ok end,
        ?assertMatch(#{idle_closed := 0}, hep_listener:info(Listener)),
        Connection ! go,
        until(fun() -> maps:get(idle_closed, hep_listener:info(Listener)) =:= 1 end),
        close(Socket)
    end).

%% A connection that sends a byte or a packet at a time, for longer than idle_timeout.
steady(Options, Connect) ->
    Timeout = 2000,
    listening(Options, #{idle_timeout => Timeout, handler => fun(_) -> ok end}, fun(Listener, Port) ->
        Sockets = [Connect(Port), Connect(Port)],
        End = erlang:monotonic_time(millisecond) + 2 * Timeout,
        Bytes = [binary:copy(packet(1), 1000), packet(1)],
        sending(End, lists:zip(Sockets, Bytes)),
        ?assertMatch(#{idle_closed := 0, connections := 2}, hep_listener:info(Listener)),
        until(fun() -> maps:get(idle_closed, hep_listener:info(Listener)) =:= 2 end),
        [close(Socket) || Socket <- Sockets]
    end).

sending(End, [{First, <<Byte, Rest/binary>>}, {Second, Packet}]) ->
    ok = send(First, <<Byte>>),
    ok = send(Second, Packet),
    receive after 10 -> ok end,
    erlang:monotonic_time(millisecond) > End orelse sending(End, [{First, Rest}, {Second, Packet}]).

%% Enabled for the accepted socket, on Linux with its own times.
keepalive(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 1 end),
        {ok, Client} = if is_port(Socket) -> inet:sockname(Socket); true -> ssl:sockname(Socket) end,
        [Accepted] = [P || P <- erlang:ports(), inet:peername(P) =:= {ok, Client}],
        ?assertEqual({ok, [{keepalive, true}]}, inet:getopts(Accepted, [keepalive])),
        case os:type() of
            {unix, linux} ->
                Given = [{raw, 6, Option, <<Value:32/native>>} || {Option, Value} <- [{4, 60}, {5, 15}, {6, 4}]],
                ?assertEqual({ok, Given}, inet:getopts(Accepted, [{raw, 6, Option, 4} || Option <- [4, 5, 6]]));
            _ ->
                ok
        end,
        close(Socket)
    end).

nothing(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        Socket = Connect(Port),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 1 end),
        close(Socket),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertEqual([], hep_net:flushed()),
        ?assertMatch(#{received := 0, accepted := 1, handshakes_failed := 0}, hep_listener:info(Listener))
    end).

%% The other connections continue.
killed(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        First = Connect(Port),
        ok = send(First, packet(1)),
        take(1),
        [Connection] = hep_net:connections(Listener),
        Second = Connect(Port),
        exit(Connection, kill),
        ?assertMatch({error, _}, receive_all(First)),
        ok = send(Second, packet(2)),
        ?assertMatch([_], take(1)),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 1 end),
        [close(Socket) || Socket <- [First, Second]]
    end).

%% Accepted connections continue; one that is just being accepted may be lost.
acceptor(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        First = Connect(Port),
        ok = send(First, packet(1)),
        take(1),
        [exit(Acceptor, kill) || Acceptor <- hep_net:acceptors(Listener)],
        until(fun() ->
            try
                Next = Connect(Port),
                ok = send(Next, packet(2)),
                receive {hep_packets, Listener, [_]} -> close(Next) =:= ok after 1000 -> false end
            catch
                error:{badmatch, {error, _}} -> false
            end
        end),
        ok = send(First, packet(3)),
        ?assertEqual([3], [number(Hep) || {Hep, _} <- take(1)]),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 1 end),
        close(First)
    end).

%% Each handler is terminated, and each sender notices.
stopped(Options, Connect) ->
    Test = self(),
    Funs = #{
        init => fun() -> Test ! began, {ok, Test} end,
        terminate => fun(Reason, Told) -> Told ! {terminated, Reason} end
    },
    listening(Options, #{handler => {hep_fun_handler, Funs}}, fun(Listener, Port) ->
        Sockets = [Connect(Port) || _ <- lists:seq(1, 20)],
        [receive began -> ok end || _ <- Sockets],
        ?assertEqual(20, length(hep_net:connections(Listener))),
        Monitors = [monitor(process, Connection) || Connection <- hep_net:connections(Listener)],
        unlink(Listener),
        ok = hep_listener:stop(Listener),
        [receive {terminated, Reason} -> ?assertEqual(shutdown, Reason) end || _ <- Sockets],
        [receive {'DOWN', M, process, _, Reason} -> ?assertEqual(shutdown, Reason) end || M <- Monitors],
        [?assertMatch({error, _}, receive_all(Socket)) || Socket <- Sockets],
        ?assertMatch({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, Port, [])),
        [close(Socket) || Socket <- Sockets]
    end).

%% Senders that connect and disconnect leave no processes or descriptors.
early(Options, Connect) ->
    listening(Options, #{}, fun(Listener, Port) ->
        lists:foreach(
            fun(N) ->
                Socket = hep_net:tcp(Port),
                N rem 2 =:= 0 andalso (ok = inet:setopts(Socket, [{linger, {true, 0}}])),
                close(Socket)
            end,
            lists:seq(1, 100)
        ),
        Last = Connect(Port),
        ok = send(Last, packet(1)),
        take(1),
        close(Last),
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertEqual([], hep_net:connections(Listener))
    end).

%% A connection under full load replies to sys.
system(Options, Connect) ->
    listening(Options, #{handler => fun(_) -> ok end}, fun(Listener, Port) ->
        Socket = Connect(Port),
        Bytes = binary:copy(packet(1), 100),
        Sender = spawn_link(fun() -> (fun Send() -> ok = send(Socket, Bytes), Send() end)() end),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) > 5000 end),
        [Connection] = hep_net:connections(Listener),
        [?assertEqual(state, element(1, sys:get_state(Connection, 10000))) || _ <- lists:seq(1, 20)],
        unlink(Sender),
        exit(Sender, kill),
        close(Socket)
    end).

many(#{transport := Transport} = Options, Connect) ->
    Count = case Transport of tcp -> 1000; tls -> 100 end,
    Before = descriptors(),
    listening(Options, #{}, fun(Listener, Port) ->
        Sockets = [Connect(Port) || _ <- lists:seq(1, Count)],
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= Count end),
        [ok = send(Socket, packet(N)) || {N, Socket} <- lists:enumerate(Sockets)],
        ?assertEqual(lists:seq(1, Count), lists:sort([number(Hep) || {Hep, _} <- take(Count)])),
        [close(Socket) || Socket <- Sockets],
        until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
        ?assertMatch(#{accepted := Count, refused := 0, handshakes_failed := 0}, hep_listener:info(Listener)),
        ?assertEqual([], hep_net:connections(Listener))
    end),
    until(fun() -> descriptors() =< Before + 10 end, fun() -> {Before, descriptors()} end).

%% The open descriptors of this VM, on systems that list them.
descriptors() ->
    case file:list_dir("/proc/self/fd") of
        {ok, Names} -> length(Names);
        {error, _} -> 0
    end.

%%% TCP

families_test_() ->
    hep_net:patiently([
        {lists:flatten(io_lib:format("~p to ~p", [Family, Ip])), fun() ->
            hep_net:listening(#{transport => tcp, ip => Ip}, fun(_, Port) ->
                Socket = hep_net:tcp(Family, Port),
                {ok, {Address, Source}} = inet:sockname(Socket),
                ok = send(Socket, packet(7)),
                ?assertMatch([{_, #{source := {Address, Source}}}], take(1)),
                ?assertEqual(hep_net:loopback(Family), Address),
                close(Socket)
            end)
        end}
     || {Ip, Family} <- [
            {{127, 0, 0, 1}, inet}, {{0, 0, 0, 0}, inet}, {{0, 0, 0, 0, 0, 0, 0, 1}, inet6},
            {{0, 0, 0, 0, 0, 0, 0, 0}, inet6}, {{0, 0, 0, 0, 0, 0, 0, 0}, inet}
        ]
    ]).
