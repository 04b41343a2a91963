%% @doc UDP: CPU time per packet, the highest rates, and the delay of packets.
-module(hep_load_udp).

-include("hep_load.hrl").

-export([cpu/1, rates/1, delay/1]).

-import(hep_load_report, [title/2, row/3, verdict/1, digits/1, median/1]).
-import(hep_load_run, [listener/1, listener/2, close/1, send/4, send/6, datagrams/2, count/2, lost/2]).

%% Packets per second, and the maximum ratio to the CPU time of the bare loop.
-define(CPU, [{200, 2.0}, {20_000, 0.45}, {100_000, 0.40}]).
-define(CPU_ROUNDS, 5).
-define(CPU_SECONDS, 5).

-define(STEADY_RATE, 300_000).
%% The number of steps between a rate that held and one that did not.
-define(BISECTIONS, 4).
-define(FIRST_RATE, 100_000).
-define(TRIAL_SECONDS, 5).

-define(DELAY_RATE, 1000).
-define(DELAY_MOST, 3000).
%% Packets per second with a pause between them.
-define(SILENT_RATE, 5).

%%% CPU time

cpu(Config) ->
    lists:foreach(fun({Rate, Most}) -> cpu(Rate, Most, Config) end, ?CPU),
    [].

cpu(Rate, Most, Config) ->
    Seconds = min(?CPU_SECONDS, Config#config.seconds),
    title("CPU time of the VM for a packet at ~ts packets/s, medians of ~b runs of ~b s in turns", [
        digits(Rate), ?CPU_ROUNDS, Seconds
    ]),
    Kinds = [
        {"gen_udp, packets thrown away", fun hep_load_run:bare/0},
        {"hep_listener, decoded, 1 ms", fun() -> listener(udp(#{max_delay => 1})) end},
        {"hep_listener, decoded, at once", fun() -> listener(udp(#{max_delay => 0})) end}
    ],
    Rounds = [[cpu_of_packet(Rate, Seconds, Open(), Config) || {_, Open} <- Kinds] || _ <- lists:seq(1, ?CPU_ROUNDS)],
    Columns = [[lists:nth(Column, Round) || Round <- Rounds] || Column <- [1, 2, 3]],
    [row(Label, "~ts", [spread(Runs)]) || {{Label, _}, Runs} <- lists:zip(Kinds, Columns)],
    [Bare, Delayed, AtOnce] = [median([Time || {Time, _} <- Runs]) || Runs <- Columns],
    row("ratio", "~.2f, at most ~.2f: ~ts", [Delayed / Bare, Most, verdict(Delayed / Bare =< Most)]),
    row("ratio at once", "~.2f", [AtOnce / Bare]).

spread(Runs) ->
    {Times, Lost} = lists:unzip(Runs),
    io_lib:format("~.2f us (~.2f to ~.2f), ~ts lost", [
        median(Times), lists:min(Times), lists:max(Times), digits(lists:sum(Lost))
    ]).

%% In microseconds per received packet; and the number of lost packets.
cpu_of_packet(Rate, Seconds, Run, Config) ->
    Before = hep_load_system:cpu_us(),
    Sent = send(udp, datagrams(Rate, Seconds), Run, Config),
    Result = {(hep_load_system:cpu_us() - Before) / count(packets, Run), lost(Sent, Run)},
    close(Run),
    Result.

udp(Options) ->
    Options#{transport => udp, recbuf => ?RECBUF}.

%%% Rates

rates(Config) ->
    Kinds = [
        {"gen_udp, packets thrown away", fun hep_load_run:bare/0},
        {"hep_listener, 1 shard", fun() -> listener(udp(#{})) end},
        {"hep_listener, 2 shards", fun() -> listener(udp(#{shards => 2})) end}
    ],
    steady(Config),
    lists:foreach(fun({Label, Open}) -> highest_rate(Label, Open, Config) end, Kinds),
    [].

%% A machine may be too slow for the generator at the same time: a row, not a failure.
steady(#config{seconds = Seconds} = Config) ->
    title("UDP: ~ts packets/s for ~b s on one shard, decoded, counted", [digits(?STEADY_RATE), Seconds]),
    Run = listener(udp(#{})),
    row("receive buffer", "~ts bytes asked for, ~tp got", [digits(?RECBUF), hep_load_run:info(recbuf, Run)]),
    Before = hep_load_system:memory(),
    Waited = hep_load_system:waited_ms(),
    Cpu = hep_load_system:cpu_us(),
    Sending = datagrams(?STEADY_RATE, Seconds),
    {#{sent := Count, seconds := Took} = Sent, Samples} =
        send(udp, Sending, Run, fun hep_load_run:sample/2, [], Config),
    row("sent", "~ts in ~.2f s, ~ts a second", [digits(Count), Took, digits(round(Count / Took))]),
    Lost = lost(Sent, Run),
    row("lost", "~ts, none wanted: ~ts", [digits(Lost), verdict(Lost =:= 0)]),
    row("the listener says", "~tp dropped by the kernel", [hep_load_run:info(dropped, Run)]),
    row("CPU time of a packet", "~.2f us", [(hep_load_system:cpu_us() - Cpu) / count(packets, Run)]),
    row("the VM waited for a core", "~ts ms", [digits(hep_load_system:waited_ms() - Waited)]),
    row("packets in a call of the handler", "~.1f", [count(packets, Run) / max(1, count(batches, Run))]),
    hep_load_report:memory("before", Before),
    hep_load_report:memory("the most during", hep_load_report:most([Before | Samples])),
    close(Run).

%% Increases the rate by a quarter until packets are lost (or the generator cannot send faster), then bisects.
highest_rate(Label, Open, Config) ->
    Seconds = min(?TRIAL_SECONDS, Config#config.seconds),
    title("UDP: the highest rate without loss, in one of two runs of ~b s: ~ts", [Seconds, Label]),
    Holds = fun(Rate) -> holds(Rate, Seconds, Open, 2, Config) end,
    row("highest", "~ts", [highest(upward(0, ?FIRST_RATE, Holds))]).

highest({generator, Rate}) -> [digits(Rate), " packets/s, as much as the generator sends"];
highest(Rate) -> [digits(Rate), " packets/s"].

upward(Held, Rate, Holds) ->
    case Holds(Rate) of
        true -> upward(Rate, Rate * 5 div 4, Holds);
        false -> between(Held, Rate, ?BISECTIONS, Holds);
        {generator, _} = Limit -> Limit
    end.

between(Held, _, 0, _) ->
    Held;
between(Held, Lost, Steps, Holds) ->
    Rate = (Held + Lost) div 2,
    case Holds(Rate) of
        true -> between(Rate, Lost, Steps - 1, Holds);
        false -> between(Held, Rate, Steps - 1, Holds);
        {generator, _} = Limit -> Limit
    end.

%% Other programs may interrupt a run: only a loss in two runs counts.
holds(Rate, Seconds, Open, Tries, Config) ->
    Run = Open(),
    #{sent := Packets, seconds := Took} = Sent = send(udp, datagrams(Rate, Seconds), Run, Config),
    Lost = lost(Sent, Run),
    Reached = round(Packets / Took),
    close(Run),
    row([digits(Rate), " packets/s"], "~ts sent, ~ts lost", [digits(Reached), digits(Lost)]),
    if
        Lost > 0, Tries > 1 -> holds(Rate, Seconds, Open, Tries - 1, Config);
        Lost > 0 -> false;
        Reached * 20 < Rate * 19 -> {generator, Reached};
        true -> true
    end.

%%% Delay

delay(Config) ->
    lists:foreach(fun(MaxDelay) -> delay(MaxDelay, Config) end, [1, 0]),
    [].

delay(MaxDelay, Config) ->
    Seconds = min(10, Config#config.seconds),
    title("UDP: from the generator to the handler, max_delay ~b ms", [MaxDelay]),
    Busy = delays(?DELAY_RATE, Seconds, MaxDelay, Config),
    Late = hep_load_report:percentile(99, Busy),
    row([digits(?DELAY_RATE), " packets/s"], "~ts", [delays(Busy)]),
    row("99 %", "at most ~ts us: ~ts", [digits(?DELAY_MOST), verdict(Late =< ?DELAY_MOST)]),
    Silent = delays(?SILENT_RATE, Seconds, MaxDelay, Config),
    row("after a silence of 200 ms", "~ts", [delays(Silent)]),
    %% As if all packets were sent at once.
    Flowing = delays(20_000, min(3, Seconds), MaxDelay, Config),
    row("20,000 packets/s", "~ts", [delays(Flowing)]).

delays(Rate, Seconds, MaxDelay, Config) ->
    Run = listener(udp(#{max_delay => MaxDelay}), {report_delays, self()}),
    Sent = send(udp, [{stamp, true} | datagrams(Rate, Seconds)], Run, Config),
    0 = lost(Sent, Run),
    close(Run),
    receive {delays, Delays} -> Delays end.

delays(Delays) ->
    io_lib:format("median ~b us, 99 % ~b us, most ~b us", [
        median(Delays), hep_load_report:percentile(99, Delays), lists:max(Delays)
    ]).
