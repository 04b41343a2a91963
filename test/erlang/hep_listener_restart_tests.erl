%% @doc hep_listener: killed, restarted, and stopped while its handler is busy.
-module(hep_listener_restart_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/1, until/2, packet/1, number/1]).

-define(PORTS, 1000).

%%% Killed whole

%% With a supervisor that allows one restart. The restart succeeds: no process of the listener holds the port, although
%% the handler is busy and does not end.
busy_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, Client}) ->
        hep_net:quietly([
            {lists:flatten(io_lib:format("~p", [maps:with([transport, shards, handler], Options)])), fun() ->
                busy(Options, Client)
            end}
         || Options <- [
                #{transport => udp}, #{transport => udp, shards => 3}, #{transport => tcp},
                #{transport => tls, tls => Server}
            ]
        ])
    end}.

busy(#{transport := Transport} = Options, Client) ->
    Port = listening(Options, fun(_, Chosen) -> Chosen end),
    supervised(1, Options#{port => Port, handler => waiting_handler()}, fun(Supervisor) ->
        {Sender, Busy} = at_work(Transport, Port, Client),
        [{_, Listener, _, _}] = supervisor:which_children(Supervisor),
        exit(Listener, kill),
        until(fun() -> is_restarted(Supervisor, Listener) end, fun() -> supervisor:which_children(Supervisor) end),
        {Next, Other} = at_work(Transport, Port, Client),
        ?assert(Busy =/= Other),
        [Pid ! go || Pid <- [Busy, Other]],
        [quiet(S) || S <- [Sender, Next]]
    end).

is_restarted(Supervisor, Before) ->
    case supervisor:which_children(Supervisor) of
        [{_, Pid, _, _}] when is_pid(Pid), Pid =/= Before -> true;
        _ -> false
    end.

%% The handler has a packet, and waits. A datagram may still go to a closing socket.
at_work(Transport, Port, Client) ->
    Sender = sender(Transport, Port, Client),
    {Sender, hep_net:wait_for(fun() ->
        ok = say(Sender, packet(0)),
        receive {busy, Pid} -> {true, Pid} after 100 -> false end
    end)}.

waiting_handler() ->
    Test = self(),
    fun(_) -> Test ! {busy, self()}, receive go -> ok end end.

%%% The port

%% Restarted after a stop or a kill, on the same port.
reopened_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p ~p", [End, Options])), {timeout, 300, fun() -> reopened(End, Options) end}}
     || End <- [stop, kill], Options <- [#{transport => udp}, #{transport => udp, shards => 2}, #{transport => tcp}]
    ]).

reopened(End, Options) ->
    Port = listening(Options, fun(_, Chosen) -> Chosen end),
    Before = erlang:memory(processes),
    lists:foreach(
        fun(_) ->
            {ok, Listener} = hep_listener:start_link(Options#{port => Port, ip => {127, 0, 0, 1}, handler => self()}),
            unlink(Listener),
            ended(End, Listener)
        end,
        lists:seq(1, ?PORTS)
    ),
    until(fun() -> erlang:memory(processes) < Before + 10_000_000 end, fun() -> {Before, erlang:memory()} end).

ended(stop, Listener) ->
    ok = hep_listener:stop(Listener);
ended(kill, Listener) ->
    Monitor = monitor(process, Listener),
    exit(Listener, kill),
    receive {'DOWN', Monitor, process, Listener, killed} -> ok end.

%% After a stop, others can use the port at once.
free_test_() ->
    hep_net:patiently([
        fun() ->
            Port = listening(#{transport => Transport}, fun(_, Chosen) -> Chosen end),
            {ok, Socket} = Module:Open(Port, [{ip, {127, 0, 0, 1}}]),
            ok = Module:close(Socket)
        end
     || {Transport, Module, Open} <- [{udp, gen_udp, open}, {tcp, gen_tcp, listen}], _ <- lists:seq(1, 50)
    ]).

%%% The owner

%% The handler's batch is not interrupted, and the shard continues with the socket of the next owner.
owner_killed_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        listening(#{handler => counting_handler()}, fun(Listener, Port) ->
            hep_net:udp(Port, [packet(0)]),
            Shard = receive {packets, Pid, [0]} -> Pid end,
            Owner = hep_net:child(Listener, owner),
            exit(Owner, kill),
            until(fun() -> is_other(hep_net:child(Listener, owner), Owner) end),
            ?assertMatch(#{port := Port, received := 1}, hep_listener:info(Listener)),
            %% Before the shard notices that its socket is closed.
            hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 20)]),
            Shard ! go,
            ?assertEqual(lists:seq(1, 20), numbers(20, Shard)),
            ?assertEqual([Shard], hep_net:workers(Listener)),
            ?assertMatch(#{received := 21}, hep_listener:info(Listener))
        end)
    end}).

%% Connections stay open, and are still counted.
connections_survive_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        listening(#{transport => tcp, handler => counting_handler(), max_connections => 2}, fun(Listener, Port) ->
            Socket = hep_net:tcp(Port),
            ok = gen_tcp:send(Socket, packet(0)),
            Connection = receive {packets, Pid, [0]} -> Pid end,
            Owner = hep_net:child(Listener, owner),
            exit(Owner, kill),
            until(fun() -> is_other(hep_net:child(Listener, owner), Owner) end),
            ok = gen_tcp:send(Socket, packet(1)),
            Connection ! go,
            ?assertEqual([1], numbers(1, Connection)),
            ?assertMatch(#{connections := 1, accepted := 1, port := Port}, hep_listener:info(Listener)),
            Second = hep_net:tcp(Port),
            until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 2 end),
            Third = hep_net:tcp(Port),
            ?assertEqual({error, closed}, gen_tcp:recv(Third, 0, 30000)),
            [gen_tcp:close(S) || S <- [Socket, Second, Third]],
            until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end)
        end)
    end}).

%% Before the supervisor of the connections is started again, an accepted connection is closed and counted; the
%% acceptors continue.
no_supervisor_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        listening(#{transport => tcp}, fun(Listener, Port) ->
            Acceptors = hep_net:acceptors(Listener),
            [Owner, Connections] = [hep_net:child(Listener, Id) || Id <- [owner, connections]],
            ok = sys:suspend(Listener),
            Monitor = monitor(process, Connections),
            exit(Connections, kill),
            receive {'DOWN', Monitor, process, Connections, _} -> ok end,
            Closed = hep_net:tcp(Port),
            ?assertEqual({error, closed}, gen_tcp:recv(Closed, 0, 30000)),
            until(fun() -> maps:get(accept_errors, gen_server:call(Owner, info)) =:= 1 end),
            ok = sys:resume(Listener),
            ?assertEqual(Acceptors, hep_net:acceptors(Listener)),
            until(fun() -> is_other(hep_net:child(Listener, connections), Connections) end),
            Socket = hep_net:tcp(Port),
            ok = gen_tcp:send(Socket, packet(7)),
            ?assertMatch([_], hep_net:take(1)),
            ok = gen_tcp:close(Socket)
        end)
    end}).

is_other(Pid, Before) -> is_pid(Pid) andalso Pid =/= Before.

%% Reports the numbers of its packets, and waits at number 0.
counting_handler() ->
    Test = self(),
    fun(Packets) ->
        Numbers = [number(Hep) || {Hep, _} <- Packets],
        Test ! {packets, self(), Numbers},
        lists:member(0, Numbers) andalso receive go -> ok end
    end.

numbers(Left, _) when Left =< 0 -> [];
numbers(Left, Pid) ->
    receive {packets, Pid, Numbers} -> Numbers ++ numbers(Left - length(Numbers), Pid)
    after 30000 -> [{missing, Left}]
    end.

%%% The handler's module

%% A purge kills processes that run old code. They are restarted with the new code.
purged_test_() ->
    hep_net:quietly([{atom_to_list(Transport), fun() -> purged(Transport) end} || Transport <- [udp, tcp]]).

purged(Transport) ->
    Test = self(),
    load_handler(1),
    supervised(1, #{transport => Transport, handler => {hep_purged_handler, Test}}, fun(Supervisor) ->
        [{_, Listener, _, _}] = supervisor:which_children(Supervisor),
        First = sender(Transport, hep_listener:port(Listener), []),
        ok = say(First, packet(1)),
        Worker = receive {1, Pid} -> Pid end,
        Monitor = monitor(process, Worker),
        load_handler(2),
        true = code:purge(hep_purged_handler),
        receive {'DOWN', Monitor, process, Worker, killed} -> ok end,
        Second = sender(Transport, hep_listener:port(Listener), []),
        ok = say(Second, packet(2)),
        Next = receive {2, P} -> P end,
        Next ! go,
        ?assertMatch([{_, Listener, _, _}], supervisor:which_children(Supervisor)),
        [quiet(Sender) || Sender <- [First, Second]]
    end),
    true = code:delete(hep_purged_handler),
    _ = code:purge(hep_purged_handler).

%% Sends its number and its pid to the test, and waits in its own code.
load_handler(Number) ->
    Lines = [
        "-module(hep_purged_handler).",
        "-export([init/1, handle_packets/2]).",
        "init(Test) -> {ok, Test}.",
        lists:flatten(io_lib:format("handle_packets(_, Test) -> Test ! {~b, self()}, receive go -> {ok, Test} end.", [Number]))
    ],
    Forms = [
        begin
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, Form} = erl_parse:parse_form(Tokens),
            Form
        end
     || Line <- Lines
    ],
    {ok, Module, Binary} = compile:forms(Forms),
    {module, Module} = code:load_binary(Module, "hep_purged_handler.erl", Binary).

%%% Stopping

%% A busy handler gets its time to end, and no more.
shutdown_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p, ~p", [Transport, Shutdown])), fun() -> shutdown(Transport, Shutdown) end}
     || Transport <- [udp, tcp], Shutdown <- [brutal_kill, 50]
    ]).

shutdown(Transport, Shutdown) ->
    Options = #{transport => Transport, handler => waiting_handler(), shutdown => Shutdown},
    listening(Options, fun(Listener, Port) ->
        {Sender, Busy} = at_work(Transport, Port, []),
        Monitor = monitor(process, Busy),
        unlink(Listener),
        {Time, ok} = timer:tc(fun() -> hep_listener:stop(Listener) end),
        receive {'DOWN', Monitor, process, Busy, killed} -> ok end,
        ?assert(Time < 30_000_000),
        quiet(Sender)
    end).

%% Within this time it ends its call, and its `terminate/2' is called. New connections are refused meanwhile.
shutdown_waits_test_() ->
    hep_net:quietly([{atom_to_list(Transport), fun() -> waited_for(Transport) end} || Transport <- [udp, tcp]]).

waited_for(Transport) ->
    Test = self(),
    Funs = #{
        handle_packets => fun(_, State) -> Test ! {busy, self()}, receive go -> {ok, State} end end,
        terminate => fun(Reason, _) -> Test ! {terminated, Reason} end
    },
    Options = #{transport => Transport, handler => {hep_fun_handler, Funs}, shutdown => infinity},
    listening(Options, fun(Listener, Port) ->
        {Sender, Busy} = at_work(Transport, Port, []),
        unlink(Listener),
        {_, Stopping} = spawn_monitor(fun() -> ok = hep_listener:stop(Listener) end),
        Transport =:= tcp andalso
            until(fun() -> {error, econnrefused} =:= gen_tcp:connect({127, 0, 0, 1}, Port, [], 5000) end),
        Busy ! go,
        receive {'DOWN', Stopping, process, _, Reason} -> ?assertEqual(normal, Reason) end,
        receive {terminated, shutdown} -> ok end,
        quiet(Sender)
    end).

%% All shards get the request to end at the same time: a free shard ends while another one is busy.
parallel_test_() ->
    hep_net:quietly([{integer_to_list(Nth), fun() -> parallel(Nth) end} || Nth <- [1, 2]]).

parallel(Nth) ->
    Test = self(),
    Handle = fun(_, State) -> Test ! {busy, self()}, receive go -> {ok, State} end end,
    Options = #{shards => 2, handler => {hep_fun_handler, #{handle_info => Handle}}, shutdown => infinity},
    listening(Options, fun(Listener, _) ->
        Shards = hep_net:workers(Listener),
        [Shard ! message || Shard <- Shards],
        [receive {busy, Shard} -> ok end || Shard <- Shards],
        unlink(Listener),
        {_, Stopping} = spawn_monitor(fun() -> ok = hep_listener:stop(Listener) end),
        First = lists:nth(Nth, Shards),
        [Other] = Shards -- [First],
        Monitor = monitor(process, First),
        First ! go,
        receive {'DOWN', Monitor, process, First, shutdown} -> ok end,
        ?assert(is_process_alive(Other)),
        Other ! go,
        receive {'DOWN', Stopping, process, _, normal} -> ok end
    end).

%% If a process cannot be restarted the listener ends, and its supervisor is notified.
gives_up_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        Starts = counters:new(1, []),
        Init = fun() ->
            counters:add(Starts, 1, 1),
            case counters:get(Starts, 1) of 1 -> {ok, none}; _ -> {error, broken} end
        end,
        process_flag(trap_exit, true),
        {ok, Listener} = hep_listener:start_link(#{
            ip => {127, 0, 0, 1}, port => 0, handler => {hep_fun_handler, #{init => Init}}
        }),
        exit(hd(hep_net:workers(Listener)), kill),
        receive {'EXIT', Listener, Reason} -> ?assertEqual(shutdown, Reason) end,
        process_flag(trap_exit, false)
    end}).

%% With each kind of name.
names_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Name])), fun() ->
            listening(#{transport => Transport, name => Name}, fun(Listener, Port) ->
                ?assertEqual(Port, hep_listener:port(Ref)),
                ?assertMatch(#{port := Port}, hep_listener:info(Ref)),
                unlink(Listener),
                ?assertEqual(ok, hep_listener:stop(Ref)),
                ?assertExit({noproc, _}, hep_listener:info(Ref))
            end)
        end}
     || Transport <- [udp, tcp],
        {Name, Ref} <- [
            {{local, hep_listener_l}, hep_listener_l},
            {{global, {hep, listener}}, {global, {hep, listener}}},
            {{via, global, hep_via}, {via, global, hep_via}}
        ]
    ].

%%% Senders

supervised(Intensity, Options, Test) ->
    Spec = hep_listener:child_spec(maps:merge(#{ip => {127, 0, 0, 1}, port => 0}, Options)),
    {ok, Supervisor} = hep_supervisor:start_link(Intensity, [Spec]),
    try Test(Supervisor) after hep_supervisor:stop(Supervisor) end.

sender(udp, Port, _) ->
    {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
    {udp, Socket, Port};
sender(tcp, Port, _) ->
    hep_net:tcp(Port);
sender(tls, Port, Client) ->
    {ok, Socket} = hep_net:tls(Port, Client),
    Socket.

say({udp, Socket, Port}, Packet) -> gen_udp:send(Socket, {127, 0, 0, 1}, Port, Packet);
say(Socket, Packet) -> hep_net:send(Socket, Packet).

quiet({udp, Socket, _}) -> gen_udp:close(Socket);
quiet(Socket) -> hep_net:close(Socket).
