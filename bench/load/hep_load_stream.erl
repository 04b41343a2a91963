%% @doc TCP and TLS: packets per second, CPU time per packet, and the order of packets.
-module(hep_load_stream).

-include("hep_load.hrl").

-export([tcp/1, tls/1]).

-import(hep_load_report, [title/2, row/3, must/3, digits/1]).
-import(hep_load_run, [count/2]).

-define(CONNECTIONS, 4).

tcp(Config) ->
    stream(tcp, #{}, [], Config).

tls(Config) ->
    ok = ssl:start(),
    {Options, Trusted} = hep_load_generator:certificates(Config#config.folder),
    stream(tls, #{tls => Options}, [{trust, Trusted}], Config).

stream(Transport, Options, Trust, #config{packets = Packets} = Config) ->
    title("~ts: ~ts packets on ~b connections, frames cut at random", [
        string:uppercase(atom_to_list(Transport)), digits(Packets), ?CONNECTIONS
    ]),
    Run = hep_load_run:listener(Options#{transport => Transport}, {count, 0}),
    Before = hep_load_system:memory(),
    Cpu = hep_load_system:cpu_us(),
    Sending = [{packets, Packets}, {connections, ?CONNECTIONS} | Trust],
    {Sent, Samples} = hep_load_run:send(Transport, Sending, Run, fun hep_load_run:sample/2, [], Config),
    #{sent := Count, seconds := Took} = Sent,
    Spent = hep_load_system:cpu_us() - Cpu,
    Checks = [
        hep_load_run:none_lost(Sent, Run),
        must("out of order", count(out_of_order, Run), count(out_of_order, Run) =:= 0),
        must("handlers", count(started, Run), count(started, Run) =:= ?CONNECTIONS)
    ],
    Megabytes = hep_load_run:info(bytes, Run) / Took / 1_000_000,
    row("speed", "~ts packets/s, ~.1f MB/s", [digits(round(Count / Took)), Megabytes]),
    row("CPU time of a packet", "~.2f us", [Spent / Count]),
    row("packets in a call of the handler", "~.1f", [count(packets, Run) / max(1, count(batches, Run))]),
    hep_load_report:memory("before", Before),
    hep_load_report:memory("the most during", hep_load_report:most([Before | Samples])),
    hep_load_run:close(Run),
    Checks.
