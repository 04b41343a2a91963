%% @doc What the system and the runtime tell about this VM: memory, CPU time, dropped datagrams, logged errors.
-module(hep_load_system).

-export([memory/0, cpu_ms/0, waited_ms/0, dropped/1, watch_log/0, errors_logged/0]).
-export([log/2]).

-export_type([memory/0]).

%% Bytes: of the VM, of its binaries, and what is resident.
-type memory() :: #{total := non_neg_integer(), binary := non_neg_integer(), rss := non_neg_integer()}.

-spec memory() -> memory().
memory() ->
    #{total => erlang:memory(total), binary => erlang:memory(binary), rss => rss()}.

rss() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s*(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(KiB) * 1024.

%% @doc CPU time of all threads, of user and system.
-spec cpu_ms() -> non_neg_integer().
cpu_ms() ->
    {Milliseconds, _} = statistics(runtime),
    Milliseconds.

%% @doc How long the threads were ready to run and had no core, in sum. Much of it means that others
%% had the cores.
-spec waited_ms() -> non_neg_integer().
waited_ms() ->
    Waited = [
        begin
            [_Ran, Nanoseconds | _] = string:lexemes(Text, " "),
            binary_to_integer(Nanoseconds)
        end
     || File <- filelib:wildcard("/proc/self/task/*/schedstat"), {ok, Text} <- [file:read_file(File)]
    ],
    lists:sum(Waited) div 1_000_000.

%% @doc Datagrams that the kernel dropped at the UDP sockets of a port.
-spec dropped(inet:port_number()) -> non_neg_integer().
dropped(Port) ->
    Pattern = io_lib:format("^ *\\d+: [0-9A-F]+:~4.16.0B .* (\\d+) *$", [Port]),
    {ok, Sockets} = file:read_file("/proc/net/udp"),
    case re:run(Sockets, Pattern, [global, multiline, {capture, [1], list}]) of
        {match, Drops} -> lists:sum([list_to_integer(Drop) || [Drop] <- Drops]);
        nomatch -> 0
    end.

%% @doc From now on errors that are logged are counted.
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
