%% @doc Compares the port program with the NIF: `sh bench/run.sh' prints the table.
%%
%% The candidates are measured in turns; each run is 6400 packets, including the caller's garbage collection. The
%% medians of all rounds count; the ratio is computed for each round. Speed is printed, never asserted.
-module(hep_port_bench).

-include("hep.hrl").

-export([main/0]).

-define(RUNS, 25).
-define(TOGETHER, 64).
-define(TURNS, 100).

%% @doc Ends the VM: with 0 when everything was measured, with 1 when a result was wrong.
-spec main() -> no_return().
main() ->
    try
        {ok, Port} = hep_port:start_link(#{}),
        Packet = packet(),
        check(Port, Packet),
        print(ways(Port, Packet)),
        hep_port:stop(Port)
    of
        ok -> halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "bench: ~tp~n", [{Class, Reason, Stack}]),
            halt(1)
    end.

%% The candidates; each handles `?TOGETHER * ?TURNS' packets.
ways(Port, Packet) ->
    Packets = lists:duplicate(?TOGETHER, {decode, Packet}),
    One = fun() -> {ok, #hep{}} = hep_port:decode(Port, Packet) end,
    [
        {"NIF", fun() -> repeat(fun() -> {ok, #hep{}} = hep:decode(Packet) end, ?TOGETHER * ?TURNS) end},
        {"port, one call", fun() -> repeat(One, ?TOGETHER * ?TURNS) end},
        {"port, 64 pipelined", fun() ->
            Callers = [spawn_monitor(fun() -> repeat(One, ?TURNS) end) || _ <- lists:seq(1, ?TOGETHER)],
            [receive {'DOWN', Monitor, process, Pid, normal} -> ok end || {Pid, Monitor} <- Callers]
        end},
        {"port, 64 in a batch", fun() ->
            repeat(fun() -> [{ok, #hep{}} | _] = hep_port:batch(Port, Packets) end, ?TURNS)
        end}
    ].

check(Port, Packet) ->
    {ok, #hep{}} = Answer = hep:decode(Packet),
    Answer = hep_port:decode(Port, Packet),
    [Answer, Answer] = hep_port:batch(Port, [{decode, Packet}, {decode, Packet}]),
    ok.

%% 690 bytes, 13 chunks, as in `hep_bench'.
packet() ->
    Chunks = [
        chunk(Id, Value)
     || {Id, Value} <- [
            {1, <<2>>},
            {2, <<17>>},
            {3, <<192, 0, 2, 1>>},
            {4, <<192, 0, 2, 2>>},
            {7, <<5060:16>>},
            {8, <<5062:16>>},
            {9, <<1_700_123_456:32>>},
            {10, <<654_321:32>>},
            {11, <<1>>},
            {12, <<2002:32>>},
            {14, <<"myhep">>},
            {17, <<"384827629822018851@pc1.example.org">>}
        ]
    ],
    Head = iolist_to_binary(Chunks),
    Payload = binary:copy(<<"x">>, 690 - 12 - byte_size(Head)),
    <<"HEP3", 690:16, Head/binary, (chunk(15, Payload))/binary>>.

chunk(Id, Value) ->
    <<0:16, Id:16, (6 + byte_size(Value)):16, Value/binary>>.

%%% Times

%% Microseconds per packet, in a new process with the default heap.
run({_, Way}) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        Start = erlang:monotonic_time(),
        _ = Way(),
        exit({took, erlang:monotonic_time() - Start})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {took, Native}} ->
            erlang:convert_time_unit(Native, native, nanosecond) / 1000 / (?TOGETHER * ?TURNS)
    end.

repeat(_, 0) ->
    ok;
repeat(Call, Times) ->
    _ = Call(),
    repeat(Call, Times - 1).

median(Numbers) ->
    lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

%%% The table

print(Ways) ->
    _ = [run(Way) || Way <- Ways],
    Rounds = [[run(Way) || Way <- Ways] || _ <- lists:seq(1, ?RUNS)],
    io:format("~-22ts ~12ts ~10ts~n", ["decode v3", "us a packet", "by the NIF"]),
    lists:foreach(
        fun({Number, {Name, _}}) ->
            Times = [lists:nth(Number, Round) || Round <- Rounds],
            Ratios = [lists:nth(Number, Round) / hd(Round) || Round <- Rounds],
            io:format("~-22ts ~12.2f ~9.1fx~n", [Name, median(Times), median(Ratios)])
        end,
        lists:zip(lists:seq(1, length(Ways)), Ways)
    ),
    io:format(
        "~nMedians of ~b runs of ~b packets, in turns. The program runs beside the VM; pipelined~n"
        "means that ~b processes have a call under way each.~n",
        [?RUNS, ?TOGETHER * ?TURNS, ?TOGETHER]
    ).
