%% @doc The demonstration, called by run.sh. First measurements with 1, 2 and 4 consumers, then failures under load:
%% kill -9 of a node, the bridge and a consumer, and a broker that blocks. At the end every confirmed packet must be in
%% a file.
-module(hep_rabbitmq_demo).

-export([main/1]).

%% The number of packets that wait when the consumers start, and the rate of sending them.
-define(BACKLOG, 20_000).
-define(BACKLOG_RATE, 4000).
%% Milliseconds: the run at the rate; the pause after each failure; the longest wait; the data in flight at a kill.
-define(AT_RATE, 4000).
-define(PAUSE, 3000).
-define(PATIENCE, 60_000).
-define(DRAINED, 20_000).
-define(IN_FLIGHT, 1000).
%% Starts the application in a VM.
-define(START, "{ok, _} = application:ensure_all_started(hep_rabbitmq)").
%% Longer than it takes to start four consumers.
-define(STANDBY, 6000).

-spec main([string()]) -> no_return().
main([Work, Top, Rate]) ->
    say("~n== A cluster of three nodes"),
    Started = now_ms(),
    Brokers = hep_rabbitmq_cluster:start(Work),
    say("up after ~b s", [(now_ms() - Started) div 1000]),
    Demo = start_bridge(#{
        work => Work,
        top => Top,
        rate => list_to_integer(Rate),
        brokers => Brokers,
        port => udp_port(),
        templates => hep_rabbitmq_traffic:templates(filename:join(Top, "test/fixtures/captures")),
        sent => [],
        runs => 0,
        files => [],
        consumers => []
    }),
    Result = report(failures(figures(Demo))),
    say("~nTime: ~b s", [(now_ms() - Started) div 1000]),
    halt(case Result of ok -> 0; failed -> 1 end).

%%% Figures

figures(Demo) ->
    say("~n== Figures: ~b waiting packets, then ~b packets/s for ~b s", [
        ?BACKLOG, maps:get(rate, Demo), ?AT_RATE div 1000
    ]),
    say("                                delay in ms     CPU in % of a core"),
    say("consumers    waiting, packets/s    50 %    99 %   brokers  bridge  consumers"),
    lists:foldl(fun figures/2, Demo, [1, 2, 4]).

figures(Count, Demo) ->
    Filled = send(#{rate => ?BACKLOG_RATE, count => ?BACKLOG}, Demo),
    Consuming = start_consumers(Count, Filled),
    ok = drained(Consuming),
    Before = {now_ms(), cpus(Consuming)},
    #{rate := Rate} = Consuming,
    Sent = send(#{rate => Rate, count => Rate * ?AT_RATE div 1000}, Consuming),
    After = {now_ms(), cpus(Sent)},
    ok = drained(Sent),
    Stopped = stop_consumers(Sent),
    row(Count, Filled, Sent, Before, After),
    Stopped.

row(Count, #{sent := Waiting}, #{sent := Sent} = Demo, {Start, Before}, {End, After}) ->
    Written = maps:from_list([{Number, Time} || #{number := Number, written := Time} <- lines(own_files(Demo))]),
    {Latest, _} = lists:split(length(Sent) - length(Waiting), Sent),
    {Backlog, _} = lists:split(?BACKLOG, Waiting),
    Times = [maps:get(Number, Written) || {Number, _} <- Backlog, is_map_key(Number, Written)],
    Delays = lists:sort([maps:get(Number, Written) - Time || {Number, Time} <- Latest, is_map_key(Number, Written)]),
    [Brokers, Bridge, Consumers] = [
        round(100 * (B - A) / (End - Start)) || {A, B} <- lists:zip(Before, After)
    ],
    say("~9b   ~19b   ~5b   ~5b   ~7b  ~6b  ~9b", [
        Count,
        length(Times) * 1_000_000 div max(1, lists:max(Times) - lists:min(Times)),
        percentile(50, Delays),
        percentile(99, Delays),
        Brokers,
        Bridge,
        Consumers
    ]).

percentile(Percent, Sorted) ->
    lists:nth(max(1, length(Sorted) * Percent div 100), Sorted) div 1000.

%% The files of the running consumers.
own_files(#{consumers := Consumers}) -> [File || {_, File} <- Consumers].

cpus(#{brokers := Brokers, bridge := Bridge, consumers := Consumers}) ->
    Sum = fun(Processes) -> lists:sum([hep_rabbitmq_os:cpu(Process) || Process <- Processes]) end,
    [Sum([Process || #{process := Process} <- Brokers]), Sum([Bridge]), Sum([Process || {Process, _} <- Consumers])].

%%% Failures

failures(#{rate := Rate, brokers := Brokers, templates := Templates, port := Port, sent := Before} = Demo) ->
    say("~n== Failures, at ~b packets/s with 3 consumers", [Rate]),
    Consuming = #{consumers := [{Consumer, _} | _]} = start_consumers(3, Demo),
    ok = drained(Consuming),
    Sender = hep_rabbitmq_traffic:start(next(Demo), #{rate => Rate, count => infinity}, Port, Templates),
    timer:sleep(?PAUSE),
    [#{process := Node, node := Name} | Others] = Brokers,
    say("kill -9 ~s: the node that the bridge is connected to", [Name]),
    ok = hep_rabbitmq_os:kill(Node),
    timer:sleep(2 * ?PAUSE),
    say("the broker blocks publishers for ~b s: a memory alarm", [?PAUSE div 1000]),
    ok = hep_rabbitmq_cluster:alarm(on, Others),
    timer:sleep(?PAUSE),
    {Killed, Restarted} = kill_bridge(Consuming#{brokers := Others}),
    ok = hep_rabbitmq_cluster:alarm(off, Others),
    say("the broker does not block any more", []),
    timer:sleep(?PAUSE),
    say("kill -9 consumer1: the others get its queues"),
    ok = hep_rabbitmq_os:kill(Consumer),
    timer:sleep(?PAUSE),
    Sent = hep_rabbitmq_traffic:stop(Sender),
    ok = settled(),
    Restarted#{sent := lists:reverse(Sent, Before), killed => Killed, last => counted()}.

%% The counters of a killed bridge are lost, so they are read right before.
kill_bridge(#{bridge := Bridge} = Demo) ->
    Counted = counted(),
    At = os:system_time(microsecond),
    #{on_disk := OnDisk} = Counted,
    say("kill -9 bridge, with ~b packets on disk, and a new one", [OnDisk]),
    ok = hep_rabbitmq_os:kill(Bridge),
    Restarted = start_bridge(Demo),
    {Counted#{at => At, to => os:system_time(microsecond)}, Restarted}.

%% The bridge's counters of lost packets.
counted() ->
    #{dropped := Kernel} = call(bridge, hep_listener, info, [hep_rabbitmq_listener]),
    Publisher = publisher(),
    #{dropped := Dropped, unroutable := Unroutable, unconfirmed := Unconfirmed, waiting := Waiting} = Publisher,
    #{received := Received, recovered := Recovered, confirmed := Confirmed, on_disk := OnDisk} = Publisher,
    Publisher#{
        lost => Kernel + Dropped + Unroutable,
        in_memory => Unconfirmed + Waiting - OnDisk,
        difference => Received + Recovered - (Confirmed + Unroutable + Dropped + Unconfirmed + Waiting)
    }.

%%% The report

report(#{sent := Sent, templates := Templates, killed := Killed, last := Last} = Demo) ->
    say("~n== Result"),
    Confirmed = await_confirmed(Demo),
    Times = maps:from_list(Sent),
    Result = hep_rabbitmq_check:check(#{
        sent => lists:sort(maps:keys(Times)),
        json => fun(Number) ->
            {ok, Json} = hep_json:from_packet(hep_rabbitmq_traffic:packet(Number, maps:get(Number, Times), Templates)),
            Json
        end,
        call => fun hep_rabbitmq_traffic:call/1,
        confirmed => Confirmed,
        lines => lines(maps:get(files, Demo))
    }),
    say("sent ~b, confirmed by the broker ~b, written ~b", [
        length(Sent), maps:get(confirmed, Result), maps:get(packets, Result)
    ]),
    say("written more than once: ~b; ~b of them marked as redelivered, ~b published twice by the bridge", [
        maps:get(duplicates, Result),
        maps:get(duplicates, Result) - maps:get(unmarked, Result),
        maps:get(unmarked, Result)
    ]),
    Lost = lost(Result, Times, Killed, Last),
    say("the bridges: blocked ~b and ~b times, negative confirms ~b and ~b, timeouts ~b and ~b, recovered from disk ~b and ~b", [
        maps:get(Name, Counters) || Name <- [blocks, nacked, timeouts, recovered], Counters <- [Killed, Last]
    ]),
    verdict([
        {"confirmed, but never written", maps:get(confirmed_missing, Result)},
        {"written with other content than sent", maps:get(changed, Result)},
        {"written after a later packet of the call", maps:get(disordered, Result)},
        {"difference in the bridge's counters", [Number || #{difference := Number} <- [Killed, Last], Number =/= 0]}
        | Lost
    ]).

%% Packets without a line: sent before the kill of the bridge, before the new bridge was ready, or later. The killed
%% bridge had packets in memory, and some were on their way to it.
lost(#{missing := Missing}, Times, #{at := At, to := To} = Killed, #{lost := LostLater}) ->
    #{lost := Counted, in_memory := Held} = Killed,
    Sent = [{maps:get(Number, Times), Number} || Number <- Missing],
    Down = [Number || {Time, Number} <- Sent, Time > At - ?IN_FLIGHT * 1000, Time =< To],
    Earlier = [Number || {Time, Number} <- Sent, Time =< At - ?IN_FLIGHT * 1000],
    Later = [Number || {Time, Number} <- Sent, Time > To],
    say("lost ~b:", [length(Missing)]),
    say("  ~b sent from ~b ms before the kill of the bridge until there was a new one: UDP has no acknowledgements", [
        length(Down), ?IN_FLIGHT
    ]),
    say("  ~b sent earlier: the killed bridge had ~b in memory that were not confirmed, and counted ~b as lost", [
        length(Earlier), Held, Counted
    ]),
    say("  ~b sent later: the new bridge counts ~b", [length(Later), LostLater]),
    [
        {"lost before the kill and neither held nor counted", more_than(Held + Counted, Earlier)},
        {"lost after the kill and not counted", more_than(LostLater, Later)}
    ].

more_than(Most, Numbers) when length(Numbers) =< Most -> [];
more_than(_, Numbers) -> Numbers.

verdict(Checks) ->
    Results = [
        case Wrong of
            [] ->
                say("ok      none ~s", [Text]),
                ok;
            _ ->
                say("FAILED  ~b ~s, the first: ~0p", [length(Wrong), Text, lists:sublist(Wrong, 3)]),
                failed
        end
     || {Text, Wrong} <- Checks
    ],
    case lists:member(failed, Results) of
        true -> failed;
        false -> ok
    end.

%% Waits until all confirmed messages are in the files; gives up after a while, and the check reports the missing ones.
await_confirmed(#{work := Work, files := Files}) ->
    Confirmed = [Id || Id <- file_lines(filename:join(Work, "confirmed"))],
    _ = wait(
        fun() ->
            Ids = sets:from_list([id(Line) || File <- Files, Line <- file_lines(File)], [{version, 2}]),
            lists:all(fun(Id) -> sets:is_element(Id, Ids) end, Confirmed)
        end,
        now_ms() + ?PATIENCE
    ),
    Confirmed.

id(<<"{\"id\":\"", Line/binary>>) -> hd(binary:split(Line, <<"\"">>)).

lines(Files) ->
    [hep_rabbitmq_check:line(Line) || File <- Files, Line <- file_lines(File)].

%% The last element is the text after the last line break: empty, or a line that kill -9 truncated.
file_lines(File) ->
    case file:read_file(File) of
        {ok, Bytes} -> lists:droplast(binary:split(Bytes, <<"\n">>, [global]));
        {error, enoent} -> []
    end.

%%% Traffic

%% Sends, and waits until the broker has confirmed everything. `sent' is in reverse.
send(Amount, #{port := Port, templates := Templates, sent := Before} = Demo) ->
    Sent = hep_rabbitmq_traffic:stop(hep_rabbitmq_traffic:start(next(Demo), Amount, Port, Templates)),
    ok = settled(),
    Demo#{sent := lists:reverse(Sent, Before)}.

next(#{sent := []}) -> 1;
next(#{sent := [{Last, _} | _]}) -> Last + 1.

settled() ->
    until(settled, fun() ->
        First = publisher(),
        timer:sleep(200),
        Second = publisher(),
        Wanted = (maps:with([received], First))#{unconfirmed => 0, waiting => 0},
        maps:with([unconfirmed, waiting, received], Second) =:= Wanted
    end).

%% Waits until the consumers have written everything that was confirmed. If they do not, the check at the end fails.
drained(#{work := Work, files := Files}) ->
    Confirmed = length(file_lines(filename:join(Work, "confirmed"))),
    IsDrained = fun() -> lists:sum([length(file_lines(File)) || File <- Files]) >= Confirmed end,
    wait(IsDrained, now_ms() + ?DRAINED) orelse say("some confirmed packets are not written after ~b ms", [?DRAINED]),
    ok.

%%% The processes

start_bridge(#{work := Work, port := Port} = Demo) ->
    Options = #{
        listener => #{ip => {127, 0, 0, 1}, port => Port},
        spool => #{dir => filename:join(Work, "spool")},
        confirm_timeout => 2000,
        on_confirm => {hep_rabbitmq_demo_log, confirmed}
    },
    Process = start_vm("bridge", {bridge, Options}, [{"CONFIRMED", filename:join(Work, "confirmed")}], ?START, Demo),
    until(bridge_connected, fun() -> maps:get(connected, publisher()) end),
    Demo#{bridge => Process}.

publisher() -> call(bridge, hep_rabbitmq_publisher, info, [hep_rabbitmq_publisher]).

%% Each run of consumers has its own files.
start_consumers(Count, #{work := Work, runs := Runs, files := Files} = Demo) ->
    Started = [
        begin
            Name = "consumer" ++ integer_to_list(Number),
            File = filename:join(Work, lists:concat([Name, "-", Runs, ".jsonl"])),
            Options = #{file => File, group => {Number, Count}, standby => ?STANDBY},
            {start_vm(Name, {consumer, Options}, [], "ok", Demo), File}
        end
     || Number <- lists:seq(1, Count)
    ],
    %% All begin at once, when their VMs have started.
    Nodes = [node_of(Name) || {#{name := Name}, _} <- Started],
    until(consumers_started, fun() -> [pang || Node <- Nodes, net_adm:ping(Node) =:= pang] =:= [] end),
    _ = [{ok, {ok, _}} = Result || Result <- erpc:multicall(Nodes, application, ensure_all_started, [hep_rabbitmq])],
    Demo#{runs := Runs + 1, consumers := Started, files := [File || {_, File} <- Started] ++ Files}.

stop_consumers(#{consumers := Consumers} = Demo) ->
    lists:foreach(fun({Process, _}) -> hep_rabbitmq_os:stop(Process) end, Consumers),
    Demo#{consumers := []}.

%% A small VM with the application's configuration, which evaluates an expression.
start_vm(Name, Part, Environment, Expression, #{work := Work, top := Top, brokers := Brokers}) ->
    Config = filename:join(Work, Name ++ ".config"),
    Broker = #{nodes => [{"127.0.0.1", Port} || #{port := Port} <- Brokers]},
    Terms = [{hep_rabbitmq, [{broker, Broker}, Part]}, {kernel, [{logger_level, notice}]}],
    ok = file:write_file(Config, io_lib:format("~p.~n", [Terms])),
    hep_rabbitmq_os:start(
        Work,
        Name,
        [
            os:find_executable("erl"), "-noinput", "+S", "1:1", "+sbwt", "none", "-start_epmd", "false",
            "-sname", Name ++ "@localhost", "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-config", Config,
            "-pa", filename:join(Top, "ebin"), filename:dirname(code:which(?MODULE)),
            "-eval", Expression
        ],
        Environment
    ).

call(Name, Module, Function, Arguments) ->
    erpc:call(node_of(Name), Module, Function, Arguments, 10_000).

node_of(Name) -> list_to_atom(lists:concat([Name, "@localhost"])).

%%% Helpers

udp_port() ->
    {ok, Socket} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    Port.

%% Also true if the process is not there yet.
until(Name, Condition) ->
    case wait(Condition, now_ms() + ?PATIENCE) of
        true -> ok;
        false -> error({timeout, Name})
    end.

wait(Condition, Deadline) ->
    IsMet =
        try
            Condition()
        catch
            %% Any error of a starting process.
            _:_ -> false
        end,
    case IsMet orelse now_ms() > Deadline of
        true ->
            IsMet;
        false ->
            timer:sleep(200),
            wait(Condition, Deadline)
    end.

now_ms() -> erlang:monotonic_time(millisecond).

say(Text) -> say(Text, []).

say(Format, Arguments) -> io:format(Format ++ "~n", Arguments).
