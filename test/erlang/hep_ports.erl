%% @doc Shared by the suites of the port program: servers, programs, processes, and the results of NIF and port.
-module(hep_ports).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-export([
    alike/2, all_alike/2, each_of/2, each_of/3, ended/1, exit_of/1, in_batch/1, in_folder/1,
    is_running/1, nif/1, os_pid/1, quietly/1, script/2, signal/2, wait/1, wait/2, with_port/1,
    with_port/2, with_script/3, with_script_now/3
]).

%%% Comparing

alike(Port, Request) ->
    ?assertEqual({Request, untimed(nif(Request))}, {Request, untimed(port(Port, Request))}).

all_alike(Port, Requests) ->
    lists:all(
        fun(Request) ->
            {Nif, Program} = {untimed(nif(Request)), untimed(port(Port, Request))},
            Nif =:= Program orelse begin io:format("~p~nNIF ~p~nport ~p~n", [Request, Nif, Program]), false end
        end,
        Requests
    ).

port(Port, Request) ->
    [What | Arguments] = tuple_to_list(Request),
    answered(Request, fun() -> apply(hep_port, What, [Port | Arguments]) end).

nif(Request) ->
    answered(Request, fun() -> call(Request) end).

call({parse, Packet}) -> hep_multi_parser:parse(Packet);
call({decode, Packet}) -> hep:decode(Packet);
call({decode, Packet, Options}) -> hep:decode(Packet, Options);
call({encode, Hep}) -> hep:encode(Hep);
call({encode, Hep, Options}) -> hep:encode(Hep, Options);
call({transform, Packet}) -> hep_transform:transform(Packet);
call({to_json, Packet}) when is_binary(Packet) -> hep_json:from_packet(Packet);
call({to_json, Packet}) -> {ok, hep_json:encode(Packet)};
call({from_json, Json}) -> hep_json:decode(Json);
call(_) -> erlang:error(badarg).

answered(Request, Call) ->
    try
        {Request, Call()}
    catch
        error:badarg -> {Request, badarg}
    end.

in_batch(Answered) ->
    case untimed(Answered) of
        badarg -> {error, badarg};
        Answer -> Answer
    end.

%% Without the time of decoding.
untimed({{to_json, Packet}, {error, _} = Error}) when is_binary(Packet) -> Error;
untimed({{to_json, Packet}, {ok, Json}}) when is_binary(Packet) -> still(hep_json:decode(Json));
%% Another test covers records that cannot be encoded.
untimed({{to_json, _}, {error, Reason}}) when is_tuple(Reason) -> badarg;
untimed({_Request, Answer}) -> still(Answer).

still({ok, #hep{version = 1} = Hep}) ->
    {ok, Hep#hep{timestamp = undefined}};
still({ok, {hep, 1, Chunks}}) ->
    {ok, {hep, 1, [Chunk || {<<0:16, Id:16>>, _} = Chunk <- Chunks, Id =/= 9, Id =/= 10]}};
still(Answer) ->
    Answer.

%%% Processes

%% The results of this many processes.
each_of(Count, Call) ->
    each_of(Count, Call, 30000).

each_of(Count, Call, Time) ->
    Workers = [spawn_monitor(fun() -> exit({answer, Call(Number)}) end) || Number <- lists:seq(1, Count)],
    Deadline = erlang:monotonic_time(millisecond) + Time,
    [
        receive
            {'DOWN', Monitor, process, Pid, {answer, Answer}} -> Answer;
            {'DOWN', Monitor, process, Pid, Other} -> {crashed, Other}
        after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
            true = demonitor(Monitor, [flush]),
            exit(Pid, kill),
            hangs
        end
     || {Pid, Monitor} <- Workers
    ].

exit_of(Pid) ->
    receive {'EXIT', Pid, Reason} -> Reason
    after 10000 -> error({still_there, Pid})
    end.

wait(Condition) -> wait(Condition, 500).

wait(Condition, 0) -> error({not_reached, Condition});
wait(Condition, Times) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(10), wait(Condition, Times - 1)
    end.

%% The operating system's process id of the server's program; none during a restart.
os_pid(Server) ->
    os_pid(Server, 500).

os_pid(Server, Times) ->
    case os_pids(Server) of
        [] when Times > 0 -> timer:sleep(10), os_pid(Server, Times - 1);
        [_ | _] = Pids -> lists:last(Pids)
    end.

os_pids(Server) ->
    [
        Pid
     || Port <- erlang:ports(),
        erlang:port_info(Port, connected) =:= {connected, Server},
        {os_pid, Pid} <- [erlang:port_info(Port, os_pid)]
    ].

%% The program may just have ended.
signal(Name, OsPid) ->
    _ = os:cmd(lists:concat(["kill -", Name, " ", OsPid])),
    ok.

is_running(OsPid) ->
    os:cmd(lists:concat(["kill -0 ", OsPid, " 2>&1"])) =:= "".

ended(OsPid) ->
    wait(fun() -> not is_running(OsPid) end).

%%% Servers

with_port(Test) ->
    with_port(#{}, Test).

with_port(Options, Test) ->
    {timeout, 60, fun() -> with_port_now(Options, Test) end}.

with_port_now(Options, Test) ->
    {ok, Port} = hep_port:start_link(Options),
    try
        Test(Port)
    after
        unlink(Port),
        exit(Port, kill)
    end.

with_script(Text, Options, Test) ->
    {timeout, 30, fun() -> with_script_now(Text, Options, Test) end}.

with_script_now(Text, Options, Test) ->
    in_folder(fun(Folder) -> with_port_now(Options#{program => script(Folder, Text)}, Test) end).

script(Folder, Text) ->
    File = filename:join(Folder, "program"),
    ok = file:write_file(File, ["#!/bin/sh\n", Text, "\n"]),
    ok = file:change_mode(File, 8#755),
    File.

in_folder(Test) ->
    Name = lists:concat(["hep-test-", os:getpid(), "-", erlang:unique_integer([positive])]),
    Folder = filename:join(os:getenv("TMPDIR", "/tmp"), Name),
    ok = file:make_dir(Folder),
    try
        Test(Folder)
    after
        ok = file:del_dir_r(Folder)
    end.

%% Exits are messages, and are not logged.
quietly(Test) ->
    {timeout, 30, fun() ->
        Modules = [gen_server, supervisor, proc_lib],
        Trapping = process_flag(trap_exit, true),
        ok = logger:set_module_level(Modules, none),
        try
            Test()
        after
            ok = logger:unset_module_level(Modules),
            process_flag(trap_exit, Trapping),
            flush_exits()
        end
    end}.

flush_exits() ->
    receive {'EXIT', _, _} -> flush_exits()
    after 0 -> ok
    end.
