%% @doc Memory, CPU time and logged errors of this VM.
-module(hep_load_system).

-export([memory/0, peak/0, cpu_us/0, waited_ms/0, watch_log/0, errors_logged/0]).
-export([log/2]).

-export_type([memory/0]).

%% Bytes: of the VM, of its binaries, and resident.
-type memory() :: #{total := non_neg_integer(), binary := non_neg_integer(), rss := non_neg_integer()}.

-spec memory() -> memory().
memory() ->
    #{total => erlang:memory(total), binary => erlang:memory(binary), rss => status("VmRSS")}.

status(Name) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, Name ++ ":\\s*(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(KiB) * 1024.

%% @doc CPU time of all threads, in microseconds, from the scheduler, which counts nanoseconds: `statistics(runtime)'
%% misses threads that run for less than a tick of the kernel.
-spec cpu_us() -> non_neg_integer().
cpu_us() ->
    lists:sum([Ran || {Ran, _} <- schedstats()]) div 1000.

%% @doc The total time in which threads were ready to run but had no core. A large value means that other programs
%% used the cores.
-spec waited_ms() -> non_neg_integer().
waited_ms() ->
    lists:sum([Waited || {_, Waited} <- schedstats()]) div 1_000_000.

schedstats() ->
    [
        begin
            [Ran, Waited | _] = string:lexemes(Text, " "),
            {binary_to_integer(Ran), binary_to_integer(Waited)}
        end
     || File <- filelib:wildcard("/proc/self/task/*/schedstat"), {ok, Text} <- [file:read_file(File)]
    ].

%% @doc The maximum of resident memory since the last call, in bytes.
-spec peak() -> non_neg_integer().
peak() ->
    Peak = status("VmHWM"),
    ok = file:write_file("/proc/self/clear_refs", "5"),
    Peak.

%% @doc Starts to count logged errors.
-spec watch_log() -> ok.
watch_log() ->
    ok = persistent_term:put(?MODULE, counters:new(1, [])),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => error}).

-spec errors_logged() -> non_neg_integer().
errors_logged() ->
    counters:get(persistent_term:get(?MODULE), 1).

%% @private A handler of logger.
log(_Event, _Config) ->
    counters:add(persistent_term:get(?MODULE), 1, 1).
