%% @doc hep_listener without free descriptors or processes, and with hep_nif unloaded: in a separate
%% VM.
-module(hep_listener_limit_tests).

-include_lib("eunit/include/eunit.hrl").

-export([main/0, main_processes/0, main_unloaded/0]).

%% Enough for the runtime system and some connections.
-define(DESCRIPTORS, 60).
-define(CONNECTIONS, 100).
%% The minimum that the runtime system accepts.
-define(PROCESSES, 1024).

%% The listener waits, counts and logs once, and continues when descriptors are free again.
descriptors_test_() ->
    case os:type() of
        {unix, _} -> {timeout, 120, fun descriptors/0};
        _ -> []
    end.

descriptors() ->
    Program = program("ulimit -n " ++ integer_to_list(?DESCRIPTORS), [], "main"),
    Port = binary_to_integer(line(Program, <<"port ">>)),
    Sockets = [hep_net:tcp(Port) || _ <- lists:seq(1, ?CONNECTIONS)],
    <<"accept_errors">> = line(Program, <<"counted ">>),
    [ok = gen_tcp:close(Socket) || Socket <- Sockets],
    received(Port, Program).

%% The same if no process can be started: connections are closed, the acceptors continue.
processes_test_() ->
    case os:type() of
        {unix, _} -> {timeout, 120, fun no_processes/0};
        _ -> []
    end.

no_processes() ->
    Program = program("true", ["+P", integer_to_list(?PROCESSES)], "main_processes"),
    Port = binary_to_integer(line(Program, <<"port ">>)),
    %% Earlier connections would be accepted.
    <<"processes">> = line(Program, <<"no more ">>),
    Refused = [hep_net:tcp(Port) || _ <- lists:seq(1, 3)],
    [?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 30_000)) || Socket <- Refused],
    <<"accept_errors">> = line(Program, <<"counted ">>),
    received(Port, Program).

%% A listener whose sockets can no longer be read reports this once, and ends: its supervisor restarts it.
unloaded_test_() ->
    case os:type() of
        {unix, _} -> {timeout, 120, fun unloaded/0};
        _ -> []
    end.

unloaded() ->
    Program = program("true", [], "main_unloaded"),
    ?assertEqual(<<"1">>, line(Program, <<"lines ">>)),
    receive {Program, {exit_status, Status}} -> ?assertEqual(0, Status) end.

%% A shell that is replaced by the runtime system.
program(Limit, Flags, Main) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Paths = [filename:dirname(code:which(Module)) || Module <- [hep_listener, ?MODULE]],
    Arguments =
        ["-c", Limit ++ " && exec \"$0\" \"$@\"", Erl, "-noinput"] ++ Flags ++ ["-pa" | Paths] ++
            ["-run", atom_to_list(?MODULE), Main],
    open_port({spawn_executable, os:find_executable("sh")}, [
        {args, Arguments}, {line, 1000}, exit_status, binary, hide
    ]).

received(Port, Program) ->
    Last = hep_net:tcp(Port),
    ok = gen_tcp:send(Last, hep_net:packet(1)),
    ?assertEqual(<<"1">>, line(Program, <<"lines ">>)),
    ok = gen_tcp:close(Last),
    receive {Program, {exit_status, Status}} -> ?assertEqual(0, Status) end.

%% The rest of a line with this beginning; other lines may come first.
line(Program, Begin) ->
    Size = byte_size(Begin),
    receive
        {Program, {data, {eol, <<Begin:Size/binary, Rest/binary>>}}} -> Rest;
        {Program, {data, _}} -> line(Program, Begin);
        {Program, {exit_status, Status}} -> error({ended, Status})
    after 60000 -> error({no_line, Begin})
    end.

%% Runs in the other VM.
main() ->
    main(fun(Listener) ->
        Errors = fun() -> maps:get(accept_errors, hep_listener:info(Listener)) end,
        hep_net:until(fun() -> Errors() > 20 end),
        %% The acceptors pause: none tries more often than every 100 ms.
        {Before, Start} = {Errors(), erlang:monotonic_time(millisecond)},
        receive after 500 -> ok end,
        {After, End} = {Errors(), erlang:monotonic_time(millisecond)},
        true = After - Before =< length(hep_net:acceptors(Listener)) * (1 + (End - Start) div 100),
        io:format("counted accept_errors~n")
    end).

main_processes() ->
    main(fun(Listener) ->
        Idle = all_processes([]),
        io:format("no more processes~n"),
        hep_net:until(fun() -> maps:get(accept_errors, hep_listener:info(Listener)) >= 3 end),
        [exit(Pid, kill) || {Pid, _} <- Idle],
        [receive {'DOWN', Monitor, process, _, _} -> ok end || {_, Monitor} <- Idle],
        io:format("counted accept_errors~n")
    end).

all_processes(Idle) ->
    try spawn_monitor(fun() -> receive never -> ok end end) of
        Process -> all_processes([Process | Idle])
    catch
        error:system_limit -> Idle
    end.

main_unloaded() ->
    Main = self(),
    Reports = hep_net:logged(fun() ->
        Spec = hep_listener:child_spec(#{
            ip => {127, 0, 0, 1}, port => 0, name => {local, ?MODULE}, shards => 2, handler => fun(_) -> Main ! received end
        }),
        {ok, _} = hep_supervisor:start_link([Spec]),
        ok = hep_net:until(fun is_received/0),
        true = code:delete(hep_nif),
        _ = code:purge(hep_nif),
        Before = whereis(?MODULE),
        ok = hep_net:until(fun() -> _ = is_received(), not lists:member(whereis(?MODULE), [Before, undefined]) end),
        ok = hep_net:until(fun is_received/0)
    end),
    io:format("lines ~b~n", [length([1 || #{what := hep_listener_nif_unloaded} <- Reports])]),
    halt(0).

is_received() ->
    try
        _ = hep_net:udp(hep_listener:port(?MODULE), [hep_net:packet(1)]),
        receive received -> true after 10 -> false end
    catch
        %% The listener is restarting.
        exit:_ -> false
    end.

main(Test) ->
    load_all(),
    Main = self(),
    Reports = hep_net:logged(fun() ->
        {ok, Listener} = hep_listener:start_link(#{
            transport => tcp, ip => {127, 0, 0, 1}, port => 0, handler => fun(_) -> Main ! received end
        }),
        io:format("port ~b~n", [hep_listener:port(Listener)]),
        Acceptors = hep_net:acceptors(Listener),
        Test(Listener),
        %% None of them has ended.
        Acceptors = hep_net:acceptors(Listener),
        receive received -> ok end
    end),
    Reasons = [Reason || #{what := hep_listener_accept_failed, reason := Reason} <- Reports],
    %% Without a stack.
    true = lists:all(fun is_atom/1, Reasons),
    io:format("lines ~b~n", [length(Reasons)]),
    halt(0).

%% Modules cannot be loaded without descriptors.
load_all() ->
    Files = filelib:wildcard(filename:join(filename:dirname(code:which(hep_listener)), "*.beam")),
    [{module, _} = code:ensure_loaded(list_to_atom(filename:basename(File, ".beam"))) || File <- Files],
    [_] = hep_net:logged(fun() -> logger:warning(#{what => first}) end),
    io:format("~p~n", [loaded]).
