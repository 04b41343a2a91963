%% @doc Operating-system processes of the demonstration. Each has a log, and a file with its pid, by which run.sh ends
%% it.
-module(hep_rabbitmq_os).

-export([start/4, check/1, kill/1, stop/1, cpu/1, free_ports/1]).

-export_type([process/0]).

-type process() :: #{name := string(), pid := string(), port := port(), file := file:filename()}.

-define(STOP, 15_000).

%% @doc Starts a program; its output goes to a log in the work folder.
-spec start(Work :: file:filename(), Name :: string(), [string()], [{string(), string()}]) -> process().
start(Work, Name, Command, Environment) ->
    File = filename:join([Work, "pids", Name]),
    Log = filename:join(Work, Name ++ ".log"),
    Script = "echo $$ >\"$0\"; log=$1; shift; exec \"$@\" >>\"$log\" 2>&1 </dev/null",
    Port = open_port({spawn_executable, "/bin/sh"}, [
        {args, ["-c", Script, File, Log | Command]}, {env, Environment}, exit_status, in
    ]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    #{name => Name, pid => integer_to_list(Pid), port => Port, file => File}.

%% @doc Raises an error if the program has ended.
-spec check(process()) -> ok.
check(#{port := Port, name := Name}) ->
    receive
        {Port, {exit_status, Status}} -> error({ended, Name, Status})
    after 0 -> ok
    end.

%% @doc kill -9.
-spec kill(process()) -> ok.
kill(Process) -> signal("-9", Process).

%% @doc Stops the program regularly.
-spec stop(process()) -> ok.
stop(Process) -> signal("-TERM", Process).

signal(Signal, #{pid := Pid, port := Port, file := File, name := Name}) ->
    _ = os:cmd("kill " ++ Signal ++ " " ++ Pid),
    receive
        {Port, {exit_status, _}} -> ok = file:delete(File)
    after ?STOP -> error({still_running, Name})
    end.

%% @doc The CPU time of a process in milliseconds, from /proc; 0 without /proc.
-spec cpu(process()) -> non_neg_integer().
cpu(#{pid := Pid}) ->
    case file:read_file(["/proc/", Pid, "/stat"]) of
        {ok, Stat} ->
            [_, Fields] = string:split(Stat, ") ", trailing),
            Numbers = string:lexemes(Fields, " "),
            %% Fields 14 and 15, in hundredths of a second.
            10 * lists:sum([binary_to_integer(lists:nth(Field - 2, Numbers)) || Field <- [14, 15]]);
        {error, _} ->
            0
    end.

%% @doc Free TCP ports on loopback.
-spec free_ports(pos_integer()) -> [inet:port_number()].
free_ports(Count) ->
    Sockets = [element(2, {ok, _} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}])) || _ <- lists:seq(1, Count)],
    Ports = [element(2, {ok, _} = inet:port(Socket)) || Socket <- Sockets],
    lists:foreach(fun gen_tcp:close/1, Sockets),
    Ports.
