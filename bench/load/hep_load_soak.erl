%% @doc UDP for minutes, with hostile packets between good ones: all of them counted, memory flat.
-module(hep_load_soak).

-include("hep_load.hrl").

-export([soak/1]).

-import(hep_load_report, [title/2, row/3, must/3, digits/1]).
-import(hep_load_run, [listener/1, close/1, send/6, datagrams/2, count/2, lost/2]).

-define(SOAK_RATE, 20_000).
-define(HOSTILE_PERCENT, 2).

soak(#config{soak = Seconds} = Config) ->
    title("Soak: ~b packets/s for ~b s, ~b % of them hostile", [?SOAK_RATE, Seconds, ?HOSTILE_PERCENT]),
    Run = listener(#{transport => udp, recbuf => ?RECBUF}),
    hep_load_report:memory("before", hep_load_system:memory()),
    Sample = fun(Second, Samples) ->
        [Memory | _] = Next = hep_load_run:sample(Second, Samples),
        _ = Second rem 30 =:= 0 andalso hep_load_report:memory(io_lib:format("~b s", [Second]), Memory),
        Next
    end,
    Sending = [{hostile, ?HOSTILE_PERCENT} | datagrams(?SOAK_RATE, Seconds)],
    {Sent, Samples} = send(udp, Sending, Run, Sample, [], Config),
    Flat = [must(Label, Text, IsFlat) || {Label, Text, IsFlat} <- hep_load_report:flat(Samples)],
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
    Reasons = hep_load_run:info(rejected, Run),
    Rejected = lists:sum(maps:values(Reasons)),
    row("sent, lost", "~ts, ~ts", [digits(Count), digits(Lost)]),
    row("dropped by the kernel", "~tp", [hep_load_run:info(dropped, Run)]),
    row("sent hostile", "~b mutated, ~b truncated, ~b wrong lengths, ~b bombs", [
        Mutated, Truncated, Length, Bombs
    ]),
    row("rejected", "~ts", [digits(Rejected)]),
    maps:foreach(fun(Reason, Number) -> row(["  ", atom_to_list(Reason)], "~ts", [digits(Number)]) end, Reasons),
    IsCounted = Rejected =:= count(errors, Run) andalso Rejected + count(packets, Run) =:= hep_load_run:info(received, Run),
    Wanted = io_lib:format("~ts to ~ts wanted", [digits(Least), digits(Most)]),
    must("rejected what was sent broken", Wanted, IsCounted andalso Rejected >= Least andalso Rejected =< Most).
