%% @doc Several collectors, each in a separate VM: the CPU time of a packet in the sender and in the collectors, how
%% evenly packets are spread, and what the loss of a collector costs.
-module(hep_load_nodes).

-include("hep.hrl").
-include("hep_load.hrl").

-export([all/1]).

-import(hep_load_report, [title/2, row/3, must/3, digits/1]).

%% How long a run lasts, in seconds; in the runs with a loss, the collector is killed after a third, and started again
%% after two.
-define(SECONDS, 9).
%% Calls at any time; each lasts a second.
-define(CALLS, 1000).
%% Capture agents behind the simulated load balancer.
-define(AGENTS, 32).

all(#config{rate = Rate, seconds = Seconds} = Config) ->
    Short = Config#config{seconds = min(Seconds, ?SECONDS)},
    title("Several nodes: ~ts packets/s for each of them, for ~b s", [digits(Rate), Short#config.seconds]),
    row("", "CPU of a packet: sender, nodes; shares; lost", []),
    Idle = idle(Short),
    Strategies = [{all, 1}, {balance, 1}, {balance, 2}, {balance, 4}],
    _ = [cost(udp, Strategy, Nodes, Idle, Short) || {Strategy, Nodes} <- Strategies],
    Lost = lists:sum([cost(tcp, Strategy, Nodes, Idle, Short) || {Strategy, Nodes} <- Strategies]),
    lists:foreach(fun source_hashing/1, [2, 4]),
    [must("TCP: lost", Lost, Lost =:= 0) | lists:append([loss(Transport, 4, Short) || Transport <- [tcp, udp]])].

%%% Cost

%% What the packets cost without sending, in microseconds each.
idle(#config{rate = Rate, seconds = Seconds}) ->
    Before = hep_load_system:cpu_us(),
    Count = produce(Rate, Seconds * 1000 div 3, fun(_) -> ok end),
    (hep_load_system:cpu_us() - Before) / Count.

cost(Transport, Strategy, Count, Idle, #config{rate = EachRate, seconds = Seconds}) ->
    Rate = EachRate * Count,
    Nodes = [hep_load_node:start(Transport, 0, {count, any}) || _ <- lists:seq(1, Count)],
    Sender = sender(Transport, Strategy, Nodes),
    Cpu = fun() -> [hep_load_system:cpu_us() | [hep_load_node:cpu_us(Node) || Node <- Nodes]] end,
    Before = Cpu(),
    Packets = produce(Rate, Seconds * 1000, fun(Packet) -> ok = hep_sender:send(Sender, Packet) end),
    ok = hep_sender:flush(Sender, 30_000),
    Received = received(Packets, Nodes),
    [Own | Others] = lists:zipwith(fun erlang:'-'/2, Cpu(), Before),
    Lost = Packets - lists:sum(Received),
    row(io_lib:format("~ts, ~ts, ~b", [Transport, Strategy, Count]), "~.2f us, ~.2f us; ~ts; ~b", [
        Own / Packets - Idle, lists:sum(Others) / Packets, shares(Received), Lost
    ]),
    ok = hep_sender:stop(Sender),
    lists:foreach(fun hep_load_node:stop/1, Nodes),
    Lost.

shares(Counts) ->
    lists:join(", ", [io_lib:format("~.1f %", [100 * Count / max(1, lists:sum(Counts))]) || Count <- Counts]).

%% A load balancer that chooses a node by the source of a datagram. Each call is seen by two agents.
source_hashing(Count) ->
    Node = fun(Agent) -> erlang:phash2({{192, 0, 2, Agent}, 9060}, Count) end,
    Agents = [Node(Agent) || Agent <- lists:seq(1, ?AGENTS)],
    Pairs = [{A, B} || A <- Agents, B <- Agents],
    Split = length([Pair || {A, B} = Pair <- Pairs, A =/= B]),
    row(io_lib:format("source hashing, ~b agents, ~b", [?AGENTS, Count]), "~ts; calls on two nodes: ~b %", [
        shares([length([A || A <- Agents, A =:= N]) || N <- lists:seq(0, Count - 1)]), 100 * Split div length(Pairs)
    ]).

%%% Loss

loss(Transport, Count, #config{folder = Folder, rate = Rate, seconds = Seconds}) ->
    title("~ts, ~ts packets/s: one of ~b nodes is killed, and started again ~b s later", [
        Transport, digits(Rate), Count, Seconds div 3
    ]),
    Logs = [filename:absname(filename:join(Folder, io_lib:format("node-~b.log", [N]))) || N <- lists:seq(1, Count)],
    _ = [file:delete(Log) || Log <- Logs],
    Nodes = [First | Others] = [hep_load_node:start(Transport, 0, {log, Log}) || Log <- Logs],
    Sender = sender(Transport, balance, Nodes),
    Third = Seconds * 1000 div 3,
    %% In the middle of calls.
    Again = again(Transport, First, hd(Logs), Third div 1000 * 1000 + 500, Third),
    Packets = produce(Rate, Seconds * 1000, fun(Packet) -> ok = hep_sender:send(Sender, Packet) end),
    ok = hep_sender:flush(Sender, 30_000),
    Restarted = receive {Again, Node} -> Node end,
    _ = received(Packets, [Restarted | Others]),
    lists:foreach(fun hep_load_node:stop/1, [Restarted | Others]),
    Counters = hep_sender:info(Sender),
    ok = hep_sender:stop(Sender),
    lost(Packets, [numbers(Log) || Log <- Logs], Rate, Counters).

%% Kills a node and starts another one on its port. Its owner is the calling process.
again(Transport, Node, Log, After, Down) ->
    Caller = self(),
    spawn_link(fun() ->
        timer:sleep(After),
        ok = hep_load_node:kill(Node),
        timer:sleep(Down),
        Caller ! {self(), hep_load_node:start(Transport, hep_load_node:port(Node), {log, Log})},
        receive stop -> ok end
    end).

lost(Packets, Numbers, Rate, #{sent := Sent, dropped := Dropped, queued := Queued, targets := [Target | _]}) ->
    Arrived = lists:append(Numbers),
    Unique = length(lists:usort(Arrived)),
    Calls = [lists:usort([call(Number, Rate) || Number <- Some]) || Some <- Numbers],
    Split = length(lists:append(Calls)) - length(lists:usort(lists:append(Calls))),
    row("packets, connections after the first", "~ts, ~b", [digits(Packets), maps:get(reconnects, Target)]),
    row("lost", "~ts: ~.3f % (~.1f ms of the killed node's share)", [
        digits(Packets - Unique), 100 * (Packets - Unique) / Packets,
        1000 * (Packets - Unique) / (Rate / length(Numbers))
    ]),
    row("arrived twice", "~ts", [digits(length(Arrived) - Unique)]),
    row("calls, on more than one node", "~ts, ~ts", [digits(length(lists:usort(lists:append(Calls)))), digits(Split)]),
    [must("accepted, not sent, not counted", Packets - Sent - Dropped - Queued, Packets =:= Sent + Dropped + Queued)].

numbers(Log) ->
    {ok, Bytes} = file:read_file(Log),
    [Number || <<Number:32>> <= Bytes].

%%% Packets

sender(Transport, Strategy, Nodes) ->
    {ok, Sender} = hep_sender:start_link(#{
        transport => Transport,
        strategy => Strategy,
        targets => [{{127, 0, 0, 1}, hep_load_node:port(Node)} || Node <- Nodes],
        queue => 100_000,
        backoff => {100, 1000}
    }),
    ok = up(Sender),
    Sender.

up(Sender) ->
    #{targets := Targets} = hep_sender:info(Sender),
    case [Target || #{state := State} = Target <- Targets, State =/= up] of
        [] ->
            ok;
        _ ->
            timer:sleep(10),
            up(Sender)
    end.

%% Passes packets to the function, at a rate. The number of a packet is its capture id.
produce(Rate, Milliseconds, Send) ->
    {ok, Packet} = hep:decode(hep_bench:v3_packet()),
    produce(0, Packet, Rate, erlang:monotonic_time(microsecond), Milliseconds, Send).

produce(From, Packet, Rate, Start, Milliseconds, Send) ->
    Passed = min(erlang:monotonic_time(microsecond) - Start, Milliseconds * 1000),
    To = Rate * Passed div 1_000_000,
    lists:foreach(
        fun(Number) ->
            Call = integer_to_binary(call(Number, Rate)),
            Id = {{0, hep_registry:chunk_id(correlation_id)}, <<"call-", Call/binary>>},
            Send(Packet#hep{node_id = Number, chunks = [Id]})
        end,
        lists:seq(From, To - 1)
    ),
    case Passed < Milliseconds * 1000 of
        true ->
            timer:sleep(1),
            produce(To, Packet, Rate, Start, Milliseconds, Send);
        false ->
            To
    end.

call(Number, Rate) ->
    Number rem ?CALLS + ?CALLS * (Number div Rate).

%% What the nodes have received, once it is all or nothing more comes.
received(Packets, Nodes) ->
    received(Packets, [], Nodes).

received(Packets, Before, Nodes) ->
    case [hep_load_node:received(Node) || Node <- Nodes] of
        Received when Received =:= Before ->
            Received;
        Received ->
            lists:sum(Received) < Packets andalso timer:sleep(300),
            case lists:sum(Received) of
                Packets -> Received;
                _ -> received(Packets, Received, Nodes)
            end
    end.
