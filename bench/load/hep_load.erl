%% @doc Puts load on {@link hep_listener}: `sh bench/load/run.sh' prints the tables.
%%
%% Each part runs in a VM of its own. Packets come from the load generator, a program beside it, so
%% that both share the machine's cores. What may not happen (a packet lost where none may be, the
%% order broken, memory that grows in the soak, a crash) ends the VM with 1; speed is printed, never
%% asserted.
-module(hep_load).

-export([main/0]).

%% The packets of `hep_bench', a second.
-define(RATE, 100_000).
-define(SOAK_RATE, 20_000).
-define(HOSTILE_PERCENT, 2).
-define(RECBUF, 4 * 1024 * 1024).
%% Source sockets of the generator: so many that the system spreads them over two shards.
-define(SOCKETS, 32).
-define(CONNECTIONS, 4).

%% How often the highest rate is looked for between one that held and one that did not.
-define(BISECTIONS, 4).

-define(CPU_ROUNDS, 9).
-define(CPU_TARGET, 1.35).

%% Memory is flat when it has not grown by more than a tenth and this.
-define(SLACK, 8 * 1024 * 1024).

-record(config, {
    %% Where the generator and its files are.
    folder :: file:filename(),
    seconds :: pos_integer(),
    packets :: pos_integer(),
    soak :: pos_integer()
}).

%% A listener under load.
-record(run, {
    listener :: pid(),
    port :: inet:port_number(),
    counters :: counters:counters_ref()
}).

%% @doc Runs one part and ends the VM: 0 when all is well, 1 when what may not happen has.
-spec main() -> no_return().
main() ->
    process_flag(trap_exit, true),
    ok = hep_load_system:watch_log(),
    %% The listener warns of dropped datagrams; the tables say how many.
    ok = logger:set_primary_config(level, error),
    [Part, Folder | Numbers] = init:get_plain_arguments(),
    [Seconds, Packets, Soak] = [list_to_integer(Number) || Number <- Numbers],
    Config = #config{folder = Folder, seconds = Seconds, packets = Packets, soak = Soak},
    try
        Checks = part(Part, Config),
        lists:all(fun(IsWell) -> IsWell end, [no_crash() | Checks])
    of
        true -> halt(0);
        false -> halt(1)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "load: ~tp~n", [{Class, Reason, Stack}]),
            halt(1)
    end.

part("udp", Config) ->
    steady(Config) ++ [highest_rate(Shards, Config) || Shards <- [1, 2]];
part("cpu", Config) ->
    [cpu(Rate, Config) || Rate <- [?RATE, ?RATE div 5]];
part("tcp", Config) ->
    stream(tcp, #{}, [], Config);
part("tls", Config) ->
    ok = ssl:start(),
    {Options, Trusted} = hep_load_generator:certificates(Config#config.folder),
    stream(tls, #{tls => Options}, [{trust, Trusted}], Config);
part("soak", Config) ->
    soak(Config).

%%% UDP

steady(#config{seconds = Seconds} = Config) ->
    Run = open(#{transport => udp, recbuf => ?RECBUF}, any),
    title("UDP: ~b packets/s for ~b s, decoded, counted", [?RATE, Seconds]),
    row("receive buffer", "~ts bytes asked for, ~tp got", [digits(?RECBUF), told(recbuf, Run)]),
    Before = hep_load_system:memory(),
    Waited = hep_load_system:waited_ms(),
    {Sent, Samples} = send(udp, datagrams(?RATE, Seconds), Run, fun sample/2, [], Config),
    Check = none_lost(Sent, Run),
    row("the VM waited for a core", "~ts ms", [digits(hep_load_system:waited_ms() - Waited)]),
    row("dropped by the kernel", "~ts; the listener tells ~tp", [digits(dropped(Run)), told(dropped, Run)]),
    row("packets in a call of the handler", "~.1f", [count(packets, Run) / max(1, count(batches, Run))]),
    memory("before", Before),
    memory("the most during", most(Samples)),
    close(Run),
    erlang:garbage_collect(),
    memory("after", hep_load_system:memory()),
    %% In so short a time the system has not settled: told, not asserted.
    [row(Label, "~ts: ~ts", [Text, verdict(IsFlat)]) || {Label, Text, IsFlat} <- flat(Samples)],
    [Check].

%% Upward by a quarter until packets are lost (or the generator cannot), then between.
highest_rate(Shards, Config) ->
    Seconds = trial_seconds(Config),
    title("UDP: the highest rate without loss on ~b shard(s), in one of two runs of ~b s", [Shards, Seconds]),
    Highest = upward(0, ?RATE, fun(Rate) -> holds(Rate, Shards, Config) end),
    row("highest", "~ts packets/s", [digits(Highest)]),
    true.

upward(Held, Rate, Holds) ->
    case Holds(Rate) of
        true -> upward(Rate, Rate * 5 div 4, Holds);
        false -> between(Held, Rate, ?BISECTIONS, Holds);
        {generator, Limit} -> Limit
    end.

between(Held, _, 0, _) ->
    Held;
between(Held, Lost, Steps, Holds) ->
    Rate = (Held + Lost) div 2,
    case Holds(Rate) of
        true -> between(Rate, Lost, Steps - 1, Holds);
        false -> between(Held, Rate, Steps - 1, Holds);
        {generator, Limit} -> max(Held, Limit)
    end.

%% Others on the machine may take the time that a run needed: only what loses twice is too much.
holds(Rate, Shards, Config) ->
    holds(Rate, Shards, 2, Config).

holds(Rate, Shards, Tries, Config) ->
    Run = open(#{transport => udp, recbuf => ?RECBUF, shards => Shards}, any),
    Sending = datagrams(Rate, trial_seconds(Config)),
    Before = hep_load_system:waited_ms(),
    {#{sent := Packets, seconds := Took} = Sent, _} = send(udp, Sending, Run, fun nothing/2, none, Config),
    Lost = lost(Sent, Run),
    Reached = round(Packets / Took),
    close(Run),
    Waited = hep_load_system:waited_ms() - Before,
    row(
        [digits(Rate), " packets/s"],
        "~ts sent, ~ts lost, ~ts ms without a core",
        [digits(Number) || Number <- [Reached, Lost, Waited]]
    ),
    if
        Lost > 0, Tries > 1 -> holds(Rate, Shards, Tries - 1, Config);
        Lost > 0 -> false;
        Reached * 20 < Rate * 19 -> {generator, Reached};
        true -> true
    end.

trial_seconds(#config{seconds = Seconds}) -> min(5, Seconds).

datagrams(Rate, Seconds) ->
    [{rate, Rate}, {packets, Rate * Seconds}, {sockets, ?SOCKETS}].

%%% CPU time

cpu(Rate, Config) ->
    Seconds = min(3, Config#config.seconds),
    title("CPU time of a packet at ~b packets/s, medians of ~b runs of ~b s in turns", [
        Rate, ?CPU_ROUNDS, Seconds
    ]),
    {Bare, Listener} = lists:unzip([
        {bare_cpu(Rate, Seconds, Config), listener_cpu(Rate, Seconds, Config)}
     || _ <- lists:seq(1, ?CPU_ROUNDS)
    ]),
    row("gen_udp, packets thrown away", "~ts", [spread(Bare)]),
    row("hep_listener, decoded", "~ts", [spread(Listener)]),
    Ratio = typical_time(Listener) / typical_time(Bare),
    row("ratio", "~.2f, at most ~.2f: ~ts", [Ratio, ?CPU_TARGET, verdict(Ratio =< ?CPU_TARGET)]),
    true.

spread(Runs) ->
    {Times, Lost} = lists:unzip(Runs),
    io_lib:format("~.2f us (~.2f to ~.2f), ~ts lost", [
        median(Times), lists:min(Times), lists:max(Times), digits(lists:sum(Lost))
    ]).

typical_time(Runs) ->
    median([Time || {Time, _} <- Runs]).

listener_cpu(Rate, Seconds, Config) ->
    Run = open(#{transport => udp, recbuf => ?RECBUF}, any),
    Result = cpu_of_packet(Rate, Seconds, Run, Config),
    close(Run),
    Result.

bare_cpu(Rate, Seconds, Config) ->
    Counters = hep_load_handler:new(),
    Loop = spawn_link(fun() -> bare(Counters) end),
    Loop ! {port, self()},
    Run = #run{listener = Loop, port = receive {Loop, Port} -> Port end, counters = Counters},
    Result = cpu_of_packet(Rate, Seconds, Run, Config),
    exit(Loop, kill),
    receive {'EXIT', Loop, killed} -> Result end.

%% In microseconds, of a packet that was received; and how many were not.
cpu_of_packet(Rate, Seconds, Run, Config) ->
    Before = hep_load_system:cpu_ms(),
    {Sent, _} = send(udp, datagrams(Rate, Seconds), Run, fun nothing/2, none, Config),
    {(hep_load_system:cpu_ms() - Before) * 1000 / count(packets, Run), lost(Sent, Run)}.

-define(ACTIVE, 100).

%% What nobody can do without: a socket's messages, thrown away.
bare(Counters) ->
    {ok, Socket} = gen_udp:open(0, [
        binary, {ip, {127, 0, 0, 1}}, {recbuf, ?RECBUF}, {active, ?ACTIVE}
    ]),
    bare(Socket, Counters).

bare(Socket, Counters) ->
    receive
        {udp, Socket, _, _, _} ->
            bare(Socket, Counters);
        {udp_passive, Socket} ->
            ok = inet:setopts(Socket, [{active, ?ACTIVE}]),
            hep_load_handler:add(packets, ?ACTIVE, Counters),
            bare(Socket, Counters);
        {port, From} ->
            {ok, Port} = inet:port(Socket),
            From ! {self(), Port},
            bare(Socket, Counters)
    end.

%%% TCP and TLS

stream(Transport, Options, Trust, #config{packets = Packets} = Config) ->
    title("~ts: ~ts packets on ~b connections, frames cut at random", [
        string:uppercase(atom_to_list(Transport)), digits(Packets), ?CONNECTIONS
    ]),
    Run = open(Options#{transport => Transport}, 0),
    Before = hep_load_system:memory(),
    Sending = [{packets, Packets}, {connections, ?CONNECTIONS} | Trust],
    {Sent, Samples} = send(Transport, Sending, Run, fun sample/2, [], Config),
    #{sent := Count, seconds := Took} = Sent,
    Checks = [
        none_lost(Sent, Run),
        must("out of order", count(out_of_order, Run), count(out_of_order, Run) =:= 0),
        must("handlers", count(started, Run), count(started, Run) =:= ?CONNECTIONS)
    ],
    Megabytes = told(bytes, Run) / Took / 1_000_000,
    row("speed", "~ts packets/s, ~.1f MB/s", [digits(round(Count / Took)), Megabytes]),
    row("packets in a call of the handler", "~.1f", [count(packets, Run) / max(1, count(batches, Run))]),
    memory("before", Before),
    memory("the most during", most([Before | Samples])),
    close(Run),
    Checks.

%%% Soak

soak(#config{soak = Seconds} = Config) ->
    title("Soak: ~b packets/s for ~b s, ~b % of them hostile", [?SOAK_RATE, Seconds, ?HOSTILE_PERCENT]),
    Run = open(#{transport => udp, recbuf => ?RECBUF}, any),
    memory("before", hep_load_system:memory()),
    Sample = fun(Second, Samples) ->
        [Memory | _] = Next = sample(Second, Samples),
        _ = Second rem 30 =:= 0 andalso memory(io_lib:format("~b s", [Second]), Memory),
        Next
    end,
    Sending = [{hostile, ?HOSTILE_PERCENT} | datagrams(?SOAK_RATE, Seconds)],
    {Sent, Samples} = send(udp, Sending, Run, Sample, [], Config),
    Flat = [must(Label, Text, IsFlat) || {Label, Text, IsFlat} <- flat(Samples)],
    Check = accounted(Sent, Run),
    close(Run),
    [Check | Flat].

%% Most mutated packets are still packets; of the other hostile ones none is. Where datagrams were lost, the hostile
%% ones are taken to be among them as often as the others, give or take a twentieth.
accounted(#{sent := Count, mutated := Mutated} = Sent, Run) ->
    #{truncated := Truncated, wrong_length := Length, bomb := Bombs} = Sent,
    Lost = lost(Sent, Run),
    Broken = Truncated + Length + Bombs,
    Least =
        case Lost of
            0 -> Broken;
            _ -> round(Broken * (Count - Lost) / Count * 0.95)
        end,
    Most = Broken + Mutated,
    Reasons = told(rejected, Run),
    Rejected = lists:sum(maps:values(Reasons)),
    row("sent, lost, dropped by the kernel", "~ts, ~ts, ~ts", [digits(N) || N <- [Count, Lost, dropped(Run)]]),
    row("sent hostile", "~b mutated, ~b truncated, ~b wrong lengths, ~b bombs", [
        Mutated, Truncated, Length, Bombs
    ]),
    row("rejected", "~ts", [digits(Rejected)]),
    maps:foreach(fun(Reason, Number) -> row(["  ", atom_to_list(Reason)], "~ts", [digits(Number)]) end, Reasons),
    IsCounted = Rejected =:= count(errors, Run) andalso Rejected + count(packets, Run) =:= told(received, Run),
    Wanted = io_lib:format("~ts to ~ts wanted", [digits(Least), digits(Most)]),
    must("rejected what was sent broken", Wanted, IsCounted andalso Rejected >= Least andalso Rejected =< Most).

%%% A listener, and packets for it

open(Options, First) ->
    Counters = hep_load_handler:new(),
    {ok, Listener} = hep_listener:start_link(Options#{
        ip => {127, 0, 0, 1}, port => 0, handler => {hep_load_handler, {Counters, First}}
    }),
    #run{listener = Listener, port = hep_listener:port(Listener), counters = Counters}.

close(#run{listener = Listener}) ->
    ok = hep_listener:stop(Listener),
    receive {'EXIT', Listener, normal} -> ok end.

count(What, #run{counters = Counters}) ->
    hep_load_handler:count(What, Counters).

told(What, #run{listener = Listener}) ->
    maps:get(What, hep_listener:info(Listener)).

%% Waits until what was sent has arrived, or nothing comes any more.
send(Transport, Options, #run{port = Port} = Run, EverySecond, Sum, #config{folder = Folder}) ->
    Generator = hep_load_generator:start(Transport, Port, Folder, Options),
    {Sent, _} = Result = hep_load_generator:result(Generator, EverySecond, Sum),
    arrived(maps:get(sent, Sent), 0, Run),
    Result.

arrived(Sent, Before, Run) ->
    case arrived(Run) of
        Now when Now =:= Sent; Now =:= Before -> ok;
        Now ->
            timer:sleep(300),
            arrived(Sent, Now, Run)
    end.

arrived(Run) ->
    count(packets, Run) + count(errors, Run).

lost(#{sent := Sent}, Run) ->
    Sent - arrived(Run).

dropped(#run{port = Port}) ->
    hep_load_system:dropped(Port).

none_lost(#{sent := Count, seconds := Took} = Sent, Run) ->
    row("sent", "~ts in ~.2f s", [digits(Count), Took]),
    row("received", "~ts", [digits(arrived(Run))]),
    must("lost", digits(lost(Sent, Run)), lost(Sent, Run) =:= 0).

no_crash() ->
    Ended = ended(),
    Logged = hep_load_system:errors_logged(),
    Text = io_lib:format("~b, ~b", [length(Ended), Logged]),
    must("crashes, errors logged", Text, Ended =:= [] andalso Logged =:= 0).

ended() ->
    receive
        {'EXIT', _, normal} -> ended();
        {'EXIT', _, Reason} -> [Reason | ended()]
    after 0 -> []
    end.

%%% Memory

nothing(_, Sum) -> Sum.

%% The latest first.
sample(_, Samples) -> [hep_load_system:memory() | Samples].

most([First | Samples]) ->
    Larger = fun(_, Bytes, Others) -> max(Bytes, Others) end,
    lists:foldl(fun(Sample, Most) -> maps:merge_with(Larger, Sample, Most) end, First, Samples).

memory(When, #{total := Total, binary := Binary, rss := Rss}) ->
    MiB = [Bytes / 1024 / 1024 || Bytes <- [Total, Binary, Rss]],
    row("memory " ++ When, "total ~.1f, binaries ~.1f, resident ~.1f MiB", MiB).

%% A minute (of a short run, a quarter) does not count; then the last quarter is held against the first.
flat(Latest) ->
    Samples = lists:nthtail(min(60, length(Latest) div 4), lists:reverse(Latest)),
    Quarter = max(1, length(Samples) div 4),
    {First, _} = lists:split(Quarter, Samples),
    Last = lists:nthtail(length(Samples) - Quarter, Samples),
    [flat(Kind, typical(Kind, First), typical(Kind, Last)) || Kind <- [total, binary, rss]].

flat(Kind, First, Last) ->
    MiB = [Bytes / 1024 / 1024 || Bytes <- [First, Last]],
    {["memory flat: ", atom_to_list(Kind)], io_lib:format("~.1f, then ~.1f MiB", MiB), Last =< First * 1.1 + ?SLACK}.

typical(Kind, Samples) ->
    median([map_get(Kind, Sample) || Sample <- Samples]).

median(Numbers) ->
    lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

%%% The tables

title(Format, Arguments) ->
    io:format("~n" ++ Format ++ "~n", Arguments).

row(Label, Format, Arguments) ->
    io:format("  ~-36ts ~ts~n", [Label, io_lib:format(Format, Arguments)]).

%% What may not be otherwise.
must(Label, Number, IsWell) when is_integer(Number) ->
    must(Label, digits(Number), IsWell);
must(Label, Text, IsWell) ->
    row(Label, "~ts: ~ts", [Text, asserted(IsWell)]),
    IsWell.

asserted(true) -> "ok";
asserted(false) -> "FAILED".

verdict(true) -> "ok";
verdict(false) -> "short".

%% 1234567 as 1,234,567.
digits(Number) when Number >= 1000 ->
    io_lib:format("~ts,~3..0b", [digits(Number div 1000), Number rem 1000]);
digits(Number) ->
    integer_to_list(Number).
