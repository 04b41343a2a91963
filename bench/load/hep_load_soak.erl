%% @doc UDP with hostile packets, TCP and TLS at the same time, for minutes. A sender forwards all packets to a
%% collector that is killed every minute. Each lost packet must be counted, and memory must stay flat.
-module(hep_load_soak).

-include("hep_load.hrl").

-export([soak/1]).

-import(hep_load_report, [title/2, row/3, must/3, digits/1]).
-import(hep_load_run, [listener/2, send/6, datagrams/2, count/2, info/2, lost/2]).

-define(HOSTILE_PERCENT, 2).
%% The interval between kills of the collector, in milliseconds: a minute, or a quarter of a short run.
-define(MINUTE, 60_000).
%% Packets per second over TCP, and over TLS.
-define(STREAM_PACKETS, 2000).
-define(CONNECTIONS, 4).

soak(#config{soak = Seconds, rate = Rate} = Config) ->
    title("Soak: UDP with ~s packets/s for ~b s, ~b % of them hostile; TCP and TLS with ~s packets/s each", [
        digits(Rate), Seconds, ?HOSTILE_PERCENT, digits(?STREAM_PACKETS)
    ]),
    Every = min(?MINUTE, Seconds * 250),
    {Collector, Port} = hep_load_collector:start(Every),
    {ok, Sender} = hep_sender:start_link(#{transport => tcp, targets => [{{127, 0, 0, 1}, Port}], backoff => {100, 1000}}),
    Udp = listener(#{transport => udp, recbuf => ?RECBUF}, {forward, Sender}),
    Streams = [{Transport, start(Transport, Sender, Config)} || Transport <- [tcp, tls]],
    hep_load_report:memory("before", hep_load_system:memory()),
    Sending = [{hostile, ?HOSTILE_PERCENT} | datagrams(Rate, Seconds)],
    {Sent, Samples} = send(udp, Sending, Udp, fun sample/2, [], Config),
    Ended = [{Transport, Run, stop(Stream, Run)} || {Transport, {Run, Stream}} <- Streams],
    Runs = [Udp | [Run || {_, Run, _} <- Ended]],
    %% One after the other: each prints its rows.
    Arrived = [rejected(Sent, Udp), received(Sent, Udp) | [none_lost(Stream) || Stream <- Ended]],
    Forwarded = forwarded(Runs, Sender, Collector),
    hep_load_report:memory("the most during", hep_load_report:most(Samples)),
    %% Before the first kill the sender's queue was never full.
    Flat = [must(Label, Text, IsFlat) || {Label, Text, IsFlat} <- hep_load_report:flat(Samples, Every div 1000)],
    lists:foreach(fun hep_load_run:close/1, Runs),
    ok = hep_sender:stop(Sender),
    Arrived ++ Forwarded ++ Flat.

sample(Second, Samples) ->
    [Memory | _] = Next = hep_load_run:sample(Second, Samples),
    _ = Second rem 30 =:= 0 andalso hep_load_report:memory(io_lib:format("~b s", [Second]), Memory),
    Next.

%%% Streams beside the datagrams

%% Opens new connections every second, until it is stopped.
start(Transport, Sender, Config) ->
    {Options, Trust} = tls(Transport, Config),
    Run = listener(Options#{transport => Transport}, {forward, Sender}),
    Sending = [{packets, ?STREAM_PACKETS}, {connections, ?CONNECTIONS} | Trust],
    Connect = fun() ->
        Generator = hep_load_generator:start(Transport, hep_load_run:port(Run), Config#config.folder, Sending),
        {#{sent := Sent}, none} = hep_load_generator:result(Generator, fun hep_load_run:nothing/2, none),
        Sent
    end,
    {Run, spawn_link(fun() -> stream(Connect, 0) end)}.

tls(tcp, _) ->
    {#{}, []};
tls(tls, #config{folder = Folder}) ->
    ok = ssl:start(),
    {Options, Trusted} = hep_load_generator:certificates(Folder),
    {#{tls => Options}, [{trust, Trusted}]}.

stream(Connect, Sum) ->
    receive
        {stop, From} -> From ! {self(), Sum}
    after 1000 ->
        stream(Connect, Sum + Connect())
    end.

%% A TLS connection closes before the listener has handled all packets.
stop(Stream, Run) ->
    Stream ! {stop, self()},
    Sent = receive {Stream, Sum} -> Sum end,
    hep_load_run:wait(Sent, Run),
    Sent.

none_lost({Transport, Run, Sent}) ->
    Lost = Sent - count(packets, Run),
    must(io_lib:format("~s: of ~ts packets lost", [Transport, digits(Sent)]), Lost, Lost =:= 0).

%%% Accounts

%% Each datagram was received, or dropped by the kernel.
received(#{sent := Sent, seconds := Took} = Tally, Udp) ->
    Lost = lost(Tally, Udp),
    Dropped = info(dropped, Udp),
    row("udp: sent in, a second", "~.1f s, ~ts", [Took, digits(round(Sent / Took))]),
    row("udp: sent, lost, dropped by kernel", "~ts, ~ts, ~ts", [digits(Sent), digits(Lost), digits(Dropped)]),
    must("udp: lost and not counted", Lost - Dropped, Lost =:= Dropped).

%% Most mutated packets are still valid; the other hostile packets are not. If datagrams were lost, the share of hostile
%% ones among them is assumed to be the same, within a twentieth.
rejected(#{sent := Count, mutated := Mutated} = Sent, Run) ->
    #{truncated := Truncated, wrong_length := Length, bomb := Bombs} = Sent,
    Lost = lost(Sent, Run),
    Broken = Truncated + Length + Bombs,
    Least =
        case Lost of
            0 -> Broken;
            _ -> round(Broken * (Count - Lost) / Count * 0.95)
        end,
    Most = Broken + Mutated,
    Reasons = info(rejected, Run),
    Rejected = lists:sum(maps:values(Reasons)),
    row("sent hostile", "~b mutated, ~b truncated, ~b wrong lengths, ~b bombs", [
        Mutated, Truncated, Length, Bombs
    ]),
    row("rejected", "~ts", [digits(Rejected)]),
    maps:foreach(fun(Reason, Number) -> row(["  ", atom_to_list(Reason)], "~ts", [digits(Number)]) end, Reasons),
    IsCounted = Rejected =:= count(errors, Run) andalso Rejected + count(packets, Run) =:= info(received, Run),
    Wanted = io_lib:format("~ts to ~ts wanted", [digits(Least), digits(Most)]),
    must("rejected what was sent broken", Wanted, IsCounted andalso Rejected >= Least andalso Rejected =< Most).

%% The sender accepted or rejected the handlers' packets; it wrote or dropped the accepted ones. Packets that were
%% in the sockets when the collector was killed are lost: HEP has no acknowledgements.
forwarded(Runs, Sender, Collector) ->
    Flushed = hep_sender:flush(Sender, 30_000),
    #{sent := Sent, dropped := Dropped, queued := Queued, refused := Refusals, targets := [Target]} = hep_sender:info(Sender),
    #{kills := Kills, received := Received} = hep_load_collector:stop(Collector),
    [Packets, Taken, Refused] = [lists:sum([count(What, Run) || Run <- Runs]) || What <- [packets, forwarded, refused]],
    row("collector killed, connected again", "~b times, ~b times", [Kills, maps:get(reconnects, Target)]),
    row("forwarded: taken, refused", "~ts, ~ts", [digits(Taken), digits(Refused)]),
    row("sent, dropped, queued", "~ts, ~ts, ~b", [digits(Sent), digits(Dropped), Queued]),
    row("collector: received, before kills", "~ts", [digits(Received)]),
    [
        must("flushed at the end", atom_to_list(Flushed =:= ok), Flushed =:= ok),
        must("handled, not forwarded, not counted", Packets - Taken - Refused, Packets =:= Taken + Refused),
        must("refused, not counted", Refused - sum(Refusals), Refused =:= sum(Refusals)),
        must("taken, not sent, not counted", Taken - Sent - Dropped - Queued, Taken =:= Sent + Dropped + Queued)
    ].

sum(Refusals) -> lists:sum(maps:values(Refusals)).
