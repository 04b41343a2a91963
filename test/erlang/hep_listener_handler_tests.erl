%% @doc The handlers of hep_listener: each kind, slow ones, and crashes.
-module(hep_listener_handler_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/1, until/2, packet/1, number/1]).

%% The maximum number of messages in the queue of a handler process.
-define(WAITING, 1000).

%%% Kinds

kinds_test_() ->
    hep_net:patiently([
        {lists:flatten(io_lib:format("~p, ~s", [Transport, Kind])), fun() ->
            Test = self(),
            listening(#{transport => Transport, handler => Handler(Test)}, fun(Listener, Port) ->
                Sender = sender(Transport, Port),
                say(Sender, [packet(1)]),
                Packets = receive {Tag, P} when Tag =:= Kind -> P; {hep_packets, Listener, P} -> P end,
                ?assertMatch([{_, #{transport := Transport}}], Packets),
                ?assertEqual(1, number(element(1, hd(Packets)))),
                quiet(Sender)
            end)
        end}
     || Transport <- [udp, tcp],
        {Kind, Handler} <- [
            {bare, fun(Test) -> {hep_bare_handler, Test} end},
            {module, fun(Test) -> {hep_fun_handler, #{handle_packets => fun(P, S) -> Test ! {module, P}, {ok, S} end}} end},
            {function, fun(Test) -> fun(P) -> Test ! {function, P} end end},
            {process, fun(Test) -> Test end}
        ]
    ]).

%% A module without arguments.
no_arguments_test() ->
    listening(#{handler => hep_fun_handler}, fun(Listener, Port) ->
        hep_net:udp(Port, [packet(1)]),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 1 end)
    end).

%% Each receiving process has its own state, which it keeps.
state_test_() ->
    hep_net:patiently([{atom_to_list(Transport), fun() -> state(Transport) end} || Transport <- [udp, tcp]]).

state(Transport) ->
    Test = self(),
    Handler = {hep_fun_handler, #{
        init => fun() -> {ok, 0} end,
        handle_packets => fun(Packets, Count) -> {ok, Count + length(Packets)} end,
        handle_error => fun(_, _, Count) -> {ok, Count + 100} end,
        terminate => fun(Reason, Count) -> Test ! {terminated, self(), Reason, Count} end
    }},
    listening(#{transport => Transport, handler => Handler, resync => true}, fun(Listener, Port) ->
        Sender = sender(Transport, Port),
        say(Sender, [packet(1)]),
        say(Sender, [packet(2)]),
        say(Sender, [<<"x">>]),
        until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= 3 end),
        unlink(Listener),
        ok = hep_listener:stop(Listener),
        receive {terminated, _, Reason, Count} -> ?assertEqual({shutdown, 102}, {Reason, Count}) end,
        quiet(Sender)
    end).

%% Without `handle_error/3' invalid packets are only counted.
no_errors_test_() ->
    [
        fun() ->
            listening(#{handler => Handler(self())}, fun(Listener, Port) ->
                hep_net:udp(Port, [<<"x">>, packet(1)]),
                receive {bare, [_]} -> ok end,
                ?assertMatch(#{rejected := #{not_hep := 1}, handler_crashes := 0}, hep_listener:info(Listener))
            end)
        end
     || Handler <- [
            fun(Test) -> {hep_bare_handler, Test} end,
            fun(Test) -> fun(Packets) -> Test ! {bare, Packets} end end
        ]
    ].

errors_to_process_test() ->
    listening(#{}, fun(Listener, Port) ->
        Source = {{127, 0, 0, 1}, hep_net:udp(Port, [<<"x">>])},
        receive
            {hep_error, Listener, Reason, {Bytes, Meta}} ->
                ?assertEqual({not_hep, <<"x">>}, {Reason, Bytes}),
                ?assertMatch(#{source := Source, size := 1, transport := udp, time := _}, Meta)
        end
    end).

%% Every reason has a description.
format_error_test_() ->
    [
        {Sentence, ?_assertEqual(Sentence, hep_handler:format_error(Reason))}
     || {Reason, Sentence} <- [
            {unauthenticated, "no valid authenticate key"},
            {{stream, {35, {truncated, 4}}}, "offset 35: the packet breaks off after 4 bytes"},
            {{stream, {0, not_hep}}, "offset 0: " ++ hep:format_error(not_hep)},
            {{invalid_total_length, 5}, hep:format_error({invalid_total_length, 5})}
        ]
    ] ++ [?_assertError(badarg, hep_handler:format_error(nothing))].

%%% Crashes

crashes_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p: ~p ~p", [Transport, Callback, Kind])),
            {timeout, 120, fun() -> crash(Transport, Callback, Wrong) end}}
     || Transport <- [udp, tcp],
        Callback <- [handle_packets, handle_error],
        {Kind, Wrong} <- wrongs()
    ]).

wrongs() ->
    [
        {error, fun() -> error(wrong) end},
        {throw, fun() -> throw(wrong) end},
        {exit, fun() -> exit(wrong) end},
        {normal, fun() -> exit(normal) end},
        {nonsense, fun() -> wrong end},
        {nearly, fun() -> {ok, wrong, wrong} end}
    ].

%% Only the packets of the current batch are lost. The handler is restarted each time.
crash(Transport, Callback, Wrong) ->
    Test = self(),
    Funs = #{
        init => fun() -> Test ! init, {ok, 0} end,
        handle_packets => fun(Packets, Count) ->
            Numbers = [number(Hep) || {Hep, _} <- Packets],
            Test ! {packets, self(), Numbers, Count},
            case Callback =:= handle_packets andalso lists:member(0, Numbers) of
                true -> Wrong();
                false -> {ok, Count + 1}
            end
        end,
        handle_error => fun(_, _, Count) ->
            Test ! errors,
            case Callback of
                handle_error -> Wrong();
                _ -> {ok, Count}
            end
        end,
        terminate => fun(Reason, _) -> Test ! {terminated, Reason} end
    },
    listening(#{transport => Transport, handler => {hep_fun_handler, Funs}, resync => true}, fun(Listener, Port) ->
        Sender = sender(Transport, Port),
        say(Sender, [packet(1)]),
        Worker = receive {packets, Pid, [1], 0} -> Pid end,
        Lost = [crashed(Callback, Sender, Worker) || _ <- lists:seq(1, 15)],
        say(Sender, [packet(2)]),
        receive {packets, Worker, [2], Count} -> ?assert(Count =< 1) end,
        Sum = lists:sum(Lost),
        %% Each error of the stream is reported twice: at the error, and where the stream is resynchronised.
        Crashes = case {Transport, Callback} of {tcp, handle_error} -> 30; _ -> 15 end,
        ?assertMatch(#{handler_crashes := Crashes, handler_lost := Sum}, hep_listener:info(Listener)),
        quiet(Sender)
    end),
    ?assert(length([init || init <- messages()]) >= 16).

crashed(handle_packets, Sender, Pid) ->
    say(Sender, [packet(0)]),
    receive {packets, Pid, [0], _} -> ok end,
    receive {terminated, _} -> 1 end;
crashed(handle_error, Sender, _) ->
    say(Sender, [<<"x">>, packet(3)]),
    receive errors -> ok end,
    receive {packets, _, [3], _} -> ok end,
    receive {terminated, _} -> 0 end.

messages() ->
    receive Message -> [Message | messages()] after 0 -> [] end.

%% Each crash in a batch of errors counts.
every_crash_counts_test_() ->
    hep_net:quietly(fun() ->
        Test = self(),
        Funs = #{
            handle_packets => fun(_, S) -> Test ! {at_work, self()}, receive go -> {ok, S} end end,
            handle_error => fun(_, _, _) -> error(wrong) end
        },
        listening(#{handler => {hep_fun_handler, Funs}}, fun(Listener, Port) ->
            hep_net:udp(Port, [packet(1)]),
            receive {at_work, Worker} -> ok end,
            hep_net:udp(Port, [<<"x">>, <<"y">>, <<"z">>]),
            Worker ! go,
            until(fun() -> maps:get(handler_crashes, hep_listener:info(Listener)) =:= 3 end)
        end)
    end).

%% If the handler cannot be restarted its process ends. The crash was counted.
failed_restart_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p ~p", [Transport, Kind])), fun() -> no_beginning(Transport, Wrong) end}
     || Transport <- [udp, tcp], {Kind, Wrong} <- [{refused, fun() -> {error, wrong} end} | wrongs()]
    ]).

no_beginning(Transport, Wrong) ->
    Test = self(),
    Turns = counters:new(1, []),
    Funs = #{
        init => fun() ->
            counters:add(Turns, 1, 1),
            case counters:get(Turns, 1) of
                2 -> Wrong();
                Turn -> {ok, Turn}
            end
        end,
        handle_packets => fun
            (_, 1) -> error(wrong);
            (Packets, Turn) -> Test ! {Turn, length(Packets)}, {ok, Turn}
        end
    },
    listening(#{transport => Transport, handler => {hep_fun_handler, Funs}}, fun(Listener, Port) ->
        First = sender(Transport, Port),
        say(First, [packet(1)]),
        until(fun() -> counters:get(Turns, 1) >= 2 end),
        until(fun() -> Transport =:= udp orelse hep_net:connections(Listener) =:= [] end),
        Second = sender(Transport, Port),
        say(Second, [packet(2)]),
        receive {3, 1} -> ok end,
        ?assertMatch(#{handler_crashes := 1, handler_lost := 1}, hep_listener:info(Listener)),
        [quiet(Sender) || Sender <- [First, Second]]
    end).

%% Over UDP, if the handler cannot be started, the listener does not start.
failed_start_test_() ->
    hep_net:quietly([
        fun() ->
            Options = #{port => 0, ip => {127, 0, 0, 1}, handler => {hep_fun_handler, #{init => Wrong}}, shards => Shards},
            ?assertMatch({error, {handler, _}}, hep_listener:start_link(Options))
        end
     || Shards <- [1, 3], Wrong <- [fun() -> {error, wrong} end, fun() -> wrong end]
    ]).

raises_at_once_test_() ->
    hep_net:quietly(fun() ->
        Options = #{port => 0, ip => {127, 0, 0, 1}, handler => {hep_fun_handler, #{init => fun() -> error(wrong) end}}},
        ?assertMatch({error, {handler, {error, wrong, [_ | _]}}}, hep_listener:start_link(Options))
    end).

%% Over TCP, the connection ends.
no_connection_test_() ->
    hep_net:quietly([
        fun() ->
            Handler = {hep_fun_handler, #{init => Wrong}},
            listening(#{transport => tcp, handler => Handler}, fun(Listener, Port) ->
                lists:foreach(
                    fun(_) ->
                        Socket = hep_net:tcp(Port),
                        ?assertMatch({error, _}, gen_tcp:recv(Socket, 0, 10000)),
                        gen_tcp:close(Socket)
                    end,
                    lists:seq(1, 15)
                ),
                until(fun() -> maps:get(connections, hep_listener:info(Listener)) =:= 0 end),
                ?assertMatch(#{accepted := 15}, hep_listener:info(Listener))
            end)
        end
     || {_, Wrong} <- [{refused, fun() -> {error, wrong} end} | wrongs()]
    ]).

%% The socket is closed, and the listener stops, also if `terminate/2' fails.
terminate_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p ~p", [Transport, Kind])), fun() ->
            Handler = {hep_fun_handler, #{terminate => fun(_, _) -> Wrong() end}},
            listening(#{transport => Transport, handler => Handler}, fun(Listener, Port) ->
                Sender = sender(Transport, Port),
                say(Sender, [packet(1)]),
                until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 1 end),
                unlink(Listener),
                ?assertEqual(ok, hep_listener:stop(Listener)),
                quiet(Sender)
            end)
        end}
     || Transport <- [udp, tcp], {Kind, Wrong} <- wrongs()
    ]).

%% A handler that crashes on every packet, and in `terminate/2', logs ten lines per second; the others are counted.
logged_test_() ->
    [{atom_to_list(Where), {timeout, 120, fun() -> logged(Where) end}} || Where <- [handler, transform, filter]].

logged(Where) ->
    Crash = fun(_, _) -> error(crash) end,
    Options =
        case Where of
            handler -> #{handler => {hep_fun_handler, #{handle_packets => Crash, terminate => Crash}}};
            transform -> #{view => {transform, [hep_wild_transform]}};
            filter -> #{filter => #{function => fun(_) -> error(crash) end}}
        end,
    Packet = wild(<<"error">>),
    Reports = hep_net:logged(fun() ->
        listening(Options#{transport => tcp, batch_bytes => 1}, fun(Listener, Port) ->
            Socket = hep_net:tcp(Port),
            ok = hep_net:send(Socket, binary:copy(Packet, 1000)),
            until(fun() -> maps:get(handler_crashes, hep_listener:info(Listener)) =:= 1000 end),
            %% The next second has its own lines.
            until(fun() ->
                ok = hep_net:send(Socket, Packet),
                timer:sleep(100),
                maps:get(handler_crashes, hep_listener:info(Listener)) >= 1015
            end),
            hep_net:close(Socket)
        end)
    end),
    Crashes = [hep_handler_crashed, hep_transform_crashed, hep_filter_crashed],
    LeftOut = [Number || #{what := What, left_out := Number} <- Reports, lists:member(What, Crashes)],
    ?assert(length(LeftOut) >= 10),
    ?assert(length(LeftOut) < 200),
    ?assert(lists:sum(LeftOut) > 800).

%% A transform that raises loses its packet only, which counts as a crash of the handler.
transform_crashes_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p: ~s", [Transport, What])), fun() -> transform_crashes(Transport, What) end}
     || Transport <- [udp, tcp], What <- [<<"error">>, <<"throw">>, <<"exit">>, <<"nonsense">>]
    ]).

transform_crashes(Transport, What) ->
    listening(#{transport => Transport, view => {transform, [hep_wild_transform]}}, fun(Listener, Port) ->
        Sender = sender(Transport, Port),
        Sizes = [byte_size(wild(What)), byte_size(wild(<<"a">>))],
        lists:foreach(
            fun(Round) ->
                say(Sender, [wild(What), wild(<<"a">>)]),
                ?assertMatch([{[{<<"hep">>, _}], _}], hep_net:take(1)),
                Twice = 2 * Round,
                Bytes = Round * lists:sum(Sizes),
                ?assertMatch(
                    #{
                        received := Twice, decoded := Twice, bytes := Bytes, versions := #{3 := Twice},
                        handler_crashes := Round, handler_lost := Round
                    },
                    hep_listener:info(Listener)
                )
            end,
            lists:seq(1, 15)
        ),
        quiet(Sender)
    end).

%% The sum is right if the process ends during a batch.
killed_in_transform_test_() ->
    hep_net:quietly(fun() ->
        listening(#{transport => tcp, view => {transform, [hep_wild_transform]}}, fun(Listener, Port) ->
            Sender = sender(tcp, Port),
            say(Sender, [wild(<<"a">>), wild(<<"kill">>)]),
            until(fun() -> ended(hep_listener:info(Listener)) end),
            %% Neither did a handler get them.
            ?assertMatch(#{received := 0, decoded := 0}, hep_listener:info(Listener)),
            quiet(Sender)
        end)
    end).

ended(#{accepted := Accepted, connections := Open}) -> {Accepted, Open} =:= {1, 0}.

wild(What) ->
    hep_packets:frame([hep_packets:chunk(7, 1, What)]).

%%% Slow ones

%% Packets wait in the kernel, not in the process, and arrive when the handler continues.
slow_test_() ->
    [{atom_to_list(Transport), {timeout, 120, fun() -> slow(Transport) end}} || Transport <- [udp, tcp]].

slow(Transport) ->
    Test = self(),
    Handler = fun(Packets) ->
        Test ! {self(), [number(Hep) || {Hep, _} <- Packets]},
        get(free) =:= true orelse receive go -> put(free, true) end
    end,
    Count = case Transport of udp -> 200; tcp -> 100000 end,
    listening(#{transport => Transport, handler => Handler, active => 4, batch_packets => 4}, fun(_, Port) ->
        Sender = sender(Transport, Port),
        say(Sender, [packet(0)]),
        Worker = receive {Pid, [0]} -> Pid end,
        spawn_link(fun() -> say(Sender, [packet(N) || N <- lists:seq(1, Count)]), Test ! said end),
        Transport =:= udp andalso receive said -> ok end,
        Waiting = [waiting(Worker) || _ <- lists:seq(1, 50)],
        %% The messages of the socket, and the message to wait.
        ?assert(lists:max(Waiting) =< 6),
        Worker ! go,
        ?assertEqual(lists:seq(1, Count), numbers(Count)),
        quiet(Sender)
    end).

waiting(Pid) ->
    {message_queue_len, Waiting} = process_info(Pid, message_queue_len),
    receive after 2 -> Waiting end.

numbers(Count) when Count =< 0 -> [];
numbers(Count) ->
    receive
        {Pid, Numbers} when is_pid(Pid), is_list(Numbers) -> Numbers ++ numbers(Count - length(Numbers))
    after 15000 -> [{missing, Count}]
    end.

%% A process that does not read its messages makes the listener wait.
process_test_() ->
    [{atom_to_list(Transport), {timeout, 120, fun() -> process(Transport) end}} || Transport <- [udp, tcp]].

process(Transport) ->
    Test = self(),
    Process = spawn_link(fun() -> receive go -> passing(Test) end end),
    listening(#{transport => Transport, handler => Process, active => 1, batch_packets => 1}, fun(Listener, Port) ->
        Sender = sender(Transport, Port),
        Sent = waited(Sender, Process, 1),
        until(fun() -> waiting(Process) =:= ?WAITING end),
        %% The listener's process waits, and has sent no more than the limit.
        [Worker] = hep_net:workers(Listener) ++ hep_net:connections(Listener),
        say(Sender, [packet(Sent + N) || N <- lists:seq(1, 50)]),
        [?assertEqual(?WAITING, waiting(Process)) || _ <- lists:seq(1, 20)],
        ?assert(waiting(Worker) < 5),
        ?assertMatch(#{handler_lost := 0}, hep_listener:info(Listener)),
        Process ! go,
        ?assertEqual(lists:seq(1, Sent + 50), numbers(Sent + 50)),
        quiet(Sender)
    end),
    unlink(Process),
    exit(Process, kill).

%% Sends single packets, each in a message of its own, until no more are received.
waited(Sender, Process, Number) ->
    say(Sender, [packet(Number)]),
    until(fun() -> {message_queue_len, L} = process_info(Process, message_queue_len), L >= min(Number, ?WAITING) end),
    case Number of
        ?WAITING -> Number;
        _ -> waited(Sender, Process, Number + 1)
    end.

passing(Test) ->
    receive
        {hep_packets, _, Packets} -> Test ! {self(), [number(Hep) || {Hep, _} <- Packets]}, passing(Test)
    end.

%% It waits for a process that reads nothing, and can still be stopped.
stuck_process_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        Process = spawn_link(fun() -> receive go -> ok end end),
        [Process ! stuff || _ <- lists:seq(1, ?WAITING)],
        listening(#{handler => Process, shards => 4}, fun(Listener, Port) ->
            [hep_net:udp(Port, [packet(N)]) || N <- lists:seq(1, 64)],
            Workers = hep_net:workers(Listener),
            until(fun() -> maps:get(received, hep_listener:info(Listener)) >= 4 end),
            Monitors = [monitor(process, Worker) || Worker <- Workers],
            unlink(Listener),
            ok = hep_listener:stop(Listener),
            [receive {'DOWN', M, process, _, Reason} -> ?assertEqual(shutdown, Reason) end || M <- Monitors]
        end),
        unlink(Process),
        exit(Process, kill)
    end}).

%% The listener ends with the process.
process_ends_test_() ->
    hep_net:quietly([
        {lists:flatten(io_lib:format("~p ~p", [Transport, Reason])), fun() ->
            Process = spawn(fun() -> receive {exit, R} -> exit(R) end end),
            process_flag(trap_exit, true),
            listening(#{transport => Transport, handler => Process}, fun(Listener, _) ->
                Process ! {exit, Reason},
                receive {'EXIT', Listener, Ended} -> ?assertEqual({shutdown, Reason}, {Ended, Reason}) end
            end),
            process_flag(trap_exit, false)
        end}
     || Transport <- [udp, tcp], Reason <- [normal, wrong]
    ]).

%% The log has the reason: the listener's own exit reason is always `shutdown'.
process_ends_logged_test() ->
    process_flag(trap_exit, true),
    Process = spawn(fun() -> receive {exit, R} -> exit(R) end end),
    Reports = hep_net:logged(fun() ->
        listening(#{handler => Process}, fun(Listener, _) ->
            Process ! {exit, wrong},
            receive {'EXIT', Listener, _} -> ok end
        end)
    end),
    process_flag(trap_exit, false),
    ?assertMatch([#{handler := Process, reason := wrong}], [R || #{what := hep_listener_handler_ended} = R <- Reports]).

process_ends_busy_test_() ->
    hep_net:quietly(fun() ->
        Process = spawn(fun() -> receive {hep_packets, _, _} -> ok end end),
        process_flag(trap_exit, true),
        listening(#{handler => Process}, fun(Listener, Port) ->
            hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 200)]),
            receive {'EXIT', Listener, _} -> ok end
        end),
        process_flag(trap_exit, false)
    end).

%%% Senders

sender(udp, Port) ->
    {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
    {udp, Socket, Port};
sender(tcp, Port) ->
    {tcp, hep_net:tcp(Port), Port}.

say({udp, Socket, Port}, Packets) ->
    [ok = gen_udp:send(Socket, {127, 0, 0, 1}, Port, Packet) || Packet <- Packets];
say({tcp, Socket, _}, Packets) ->
    ok = gen_tcp:send(Socket, Packets).

quiet({udp, Socket, _}) -> gen_udp:close(Socket);
quiet({tcp, Socket, _}) -> gen_tcp:close(Socket).
