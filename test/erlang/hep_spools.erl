%% @doc Directories, small disks and VMs for the tests of hep_spool.
-module(hep_spools).

-export([with_dir/1, with_disk/2, files/1, segments/1, open/1, open/2, take_all/1, taken/1]).
-export([killed_vm/2, batch/0, victim/2, start_vm/2, kill/1]).

%% The number of records in a write, and in a take, of the killed VM.
-define(BATCH, 20).

with_dir(Test) ->
    Name = io_lib:format("hep_spool_~s_~b", [os:getpid(), erlang:unique_integer([positive])]),
    Dir = filename:join(filename:basedir(user_cache, "hep_tests"), lists:flatten(Name)),
    ok = filelib:ensure_path(Dir),
    try
        Test(Dir)
    after
        ok = file:del_dir_r(Dir)
    end.

%% A file system in memory with this many megabytes. Mounting needs root.
with_disk(Megabytes, Test) ->
    with_dir(fun(Dir) ->
        Mount = io_lib:format("mount -t tmpfs -o size=~bm tmpfs ~ts && echo mounted", [Megabytes, Dir]),
        case os:type() =:= {unix, linux} andalso os:cmd(Mount) of
            "mounted\n" ->
                try
                    Test(Dir)
                after
                    os:cmd("umount -l " ++ Dir)
                end;
            Other ->
                io:format(user, "skipped: a file system of 10 MB cannot be mounted here (~p)~n", [Other])
        end
    end).

files(Dir) ->
    lists:sort(filelib:wildcard(filename:join(Dir, "*"))).

segments(Dir) ->
    lists:sort(filelib:wildcard(filename:join(Dir, "*.spool"))).

open(Dir) ->
    open(Dir, #{}).

open(Dir, Options) ->
    {ok, Spool} = hep_spool:open(maps:merge(#{dir => Dir, max_bytes => 65536}, Options)),
    Spool.

%% Takes all records and closes the spool.
take_all(Spool) ->
    {Records, Done} = taken(Spool),
    ok = hep_spool:close(Done),
    Records.

taken(Spool) ->
    taken([], Spool).

taken(Before, Spool) ->
    case hep_spool:take(1000, 10000, Spool) of
        {[], Done} -> {lists:append(lists:reverse(Before)), Done};
        {Some, Next} -> taken([Some | Before], hep_spool:ack(length(Some), Next))
    end.

%%% A VM of its own

batch() -> ?BATCH.

%% Runs victim/2 in another VM, kills this VM, and returns its progress: the last reported numbers. It
%% may have finished one more call.
killed_vm(Dir, Delay) ->
    Progress = Dir ++ ".progress",
    {Port, _} = Vm = start_vm(io_lib:format("hep_spools:victim(~0p, ~0p)", [Dir, Progress]), [{line, 200}]),
    hep_net:until(
        fun() -> filelib:file_size(Progress) =:= 16 end, fun() -> no_progress end,
        erlang:monotonic_time(millisecond) + 20000
    ),
    timer:sleep(Delay),
    kill(Vm),
    receive {Port, {exit_status, _}} -> ok end,
    {ok, <<Written:64, Done:64>>} = file:read_file(Progress),
    ok = file:delete(Progress),
    {Written, Done}.

%% Writes two batches for each batch that it takes.
victim(Dir, Progress) ->
    {ok, File} = file:open(Progress, [write, raw, binary]),
    victim(1, 0, File, open(Dir, #{max_bytes => 1 bsl 30})).

victim(Next, Done, File, Spool) ->
    {ok, Written} = hep_spool:write([<<N:64, 0:300/unit:8>> || N <- lists:seq(Next, Next + ?BATCH - 1)], Spool),
    ok = file:pwrite(File, 0, <<(Next + ?BATCH - 1):64, Done:64>>),
    case Next rem (2 * ?BATCH) of
        1 ->
            victim(Next + ?BATCH, Done, File, Written);
        _ ->
            {Taken, Holding} = hep_spool:take(?BATCH, 100000, Written),
            victim(Next + ?BATCH, Done + length(Taken), File, hep_spool:ack(length(Taken), Holding))
    end.

%% A VM with the same code path that evaluates an expression: its port, and its process id.
start_vm(Expression, Options) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Arguments = ["-noinput", "-pa"] ++ [Path || Path <- code:get_path(), Path =/= "."] ++
        ["-eval", lists:flatten(["io:format(\"~s~n\", [os:getpid()]), ", Expression, "."])],
    Port = open_port({spawn_executable, Erl}, [{args, Arguments}, exit_status, stderr_to_stdout | Options]),
    receive
        {Port, {data, {eol, Pid}}} -> {Port, Pid}
    after 20000 -> error(no_vm)
    end.

kill({_, Pid}) ->
    "" = os:cmd("kill -9 " ++ Pid),
    ok.
