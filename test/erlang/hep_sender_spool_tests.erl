%% @doc The sender's spool: collectors that come and go, slow ones, restarts, full and failing disks, a killed VM.
%% Everything sent is received or counted, and arrives in order.
-module(hep_sender_spool_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep_collectors.hrl").

-export([victim/2]).

-import(hep_collectors, [
    numbered/1, numbered/2, numbers/1, listen/2, listen/3, port/1, free_port/1, accept/1, close/1, frames/2, received/2,
    with_sender/2, with_tls/2, wait/1
]).
-import(hep_spools, [with_dir/1, with_disk/2]).

%%% Outages

%% Sent while no collector listens, also by way of the disk: all arrive, in order, and new packets after them.
absent_collector_test_() ->
    {timeout, 60, [{atom_to_list(Transport), fun() -> absent(Transport) end} || Transport <- [tcp, tls]]}.

absent(Transport) ->
    with_dir(fun(Dir) ->
        Port = free_port(Transport),
        with_sender(with_tls(Transport, options(Dir, [Port], #{})), fun(Sender) ->
            send(1, 500, Sender),
            wait(fun() -> counters(Sender) =:= {0, 0, 500, 0} end),
            Collector = listen(Transport, ?V4, Port),
            Connection = accept(Collector),
            send(501, 600, Sender),
            ?assertEqual(lists:seq(1, 600), numbers(frames(600, Connection))),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            wait(fun() -> counters(Sender) =:= {600, 0, 0, 0} end),
            ?assertMatch(#{spool_errors := 0, spool_dropped := 0, spool_recovered := 0}, hep_sender:info(Sender)),
            close(Connection),
            close(Collector)
        end)
    end).

%% The collector stops and comes back during continuous sending. Unread packets are lost unnoticed: HEP has no
%% acknowledgements. The counters match the sent packets, and packets arrive in order, with repetitions of a batch.
restarting_collector_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            with_sender(options(Dir, [Port], #{transport => tcp}), fun(Sender) ->
                Arrived = lists:append([
                    begin
                        send(1000 * Round + 1, 1000 * Round + 500, Sender),
                        Collector = listen(tcp, ?V4, Port),
                        Connection = accept(Collector),
                        Numbers = numbers(frames(100 * Round, Connection)),
                        close(Connection),
                        close(Collector),
                        send(1000 * Round + 501, 1000 * Round + 1000, Sender),
                        Numbers
                    end
                 || Round <- lists:seq(1, 4)
                ]),
                Collector = listen(tcp, ?V4, Port),
                Connection = accept(Collector),
                Last = until_number(5000, Connection),
                wait(fun() -> counters(Sender) =:= {4000, 0, 0, 0} end),
                ?assert(is_in_order(Arrived ++ Last)),
                close(Connection),
                close(Collector)
            end)
        end)
    end}.

until_number(Number, Connection) ->
    case numbers(frames(1, Connection)) of
        [Number] -> [Number];
        [Other] -> [Other | until_number(Number, Connection)]
    end.

%% Each number is the next one, a later one (lost), or at most a batch back.
is_in_order([Number, Next | Others]) when Next > Number -> is_in_order([Next | Others]);
is_in_order([Number, Next | Others]) -> Number - Next < 4000 andalso is_in_order([max(Number, Next) | Others]);
is_in_order(_) -> true.

%% With a collector that does not read, the queue in memory stays below its limit, and nothing is lost.
slow_collector_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Collector = listen(tcp, ?V4),
            Options = options(Dir, [port(Collector)], #{transport => tcp, queue => 1000, spool_rate => infinity}, 1 bsl 28),
            with_sender(Options, fun(Sender) ->
                Connection = accept(Collector),
                [
                    begin
                        [ok = hep_sender:send(Sender, numbered(N + Part, 1000)) || N <- lists:seq(0, 199)],
                        %% Without the spool it would stay full.
                        wait(fun() -> maps:get(queued, hep_sender:info(Sender)) < 700 end)
                    end
                 || Part <- lists:seq(1, 20000, 200)
                ],
                #{spooled := Spooled} = hep_sender:info(Sender),
                ?assert(Spooled > 1000),
                ?assertEqual(lists:seq(1, 20000), numbers(frames(20000, Connection))),
                wait(fun() -> counters(Sender) =:= {20000, 0, 0, 0} end),
                close(Connection)
            end),
            close(Collector)
        end)
    end}.

%% A closed port over UDP: ICMP reports it after one or two datagrams of each attempt.
udp_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(udp),
            with_sender(options(Dir, [Port], #{backoff => {500, 500}}), fun(Sender) ->
                send(1, 300, Sender),
                wait(fun() -> element(3, counters(Sender)) > 250 end),
                Collector = listen(udp, ?V4, Port),
                wait(fun() -> counters(Sender) =:= {300, 0, 0, 0} end),
                Numbers = numbers(received(250, Collector)),
                ?assertEqual(Numbers, lists:usort(Numbers)),
                close(Collector)
            end)
        end)
    end}.

%% One target is down: it has its own spool, and the other one gets its packets at once.
all_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Collector = listen(tcp, ?V4),
            Absent = free_port(tcp),
            with_sender(options(Dir, [port(Collector), Absent], #{transport => tcp}), fun(Sender) ->
                send(1, 100, Sender),
                ?assertEqual(lists:seq(1, 100), numbers(received(100, Collector))),
                wait(fun() -> counters(Sender) =:= {100, 0, 100, 0} end),
                #{targets := [#{spooled := 0}, #{spooled := 100}]} = hep_sender:info(Sender),
                ?assertEqual({error, timeout}, hep_sender:flush(Sender, 100)),
                Second = listen(tcp, ?V4, Absent),
                ?assertEqual(lists:seq(1, 100), numbers(received(100, Second))),
                ok = hep_sender:flush(Sender, ?PATIENCE),
                close(Second)
            end),
            close(Collector)
        end)
    end}.

%% All targets are down: the first one that is up gets the spool.
failover_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Ports = [free_port(tcp), free_port(tcp)],
            Options = options(Dir, Ports, #{transport => tcp, strategy => failover}),
            with_sender(Options, fun(Sender) ->
                send(1, 100, Sender),
                wait(fun() -> counters(Sender) =:= {0, 0, 100, 0} end),
                Second = listen(tcp, ?V4, lists:last(Ports)),
                ?assertEqual(lists:seq(1, 100), numbers(received(100, Second))),
                wait(fun() -> counters(Sender) =:= {100, 0, 0, 0} end),
                close(Second)
            end)
        end)
    end}.

%%% Limits

%% Beyond `max_bytes' the oldest packets are lost and counted.
full_spool_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            with_sender(options(Dir, [Port], #{transport => tcp}), fun(Sender) ->
                [begin send_large(N, Sender), N rem 100 =:= 0 andalso idle(Sender) end || N <- lists:seq(1, 3000)],
                wait(fun() -> element(2, counters(Sender)) =:= 0 end),
                {0, 0, Spooled, Dropped} = counters(Sender),
                ?assertEqual(3000, Spooled + Dropped),
                ?assert(Dropped > 0),
                #{spool_dropped := Dropped, spool_bytes := Bytes} = hep_sender:info(Sender),
                ?assert(Bytes =< 1 bsl 20),
                Collector = listen(tcp, ?V4, Port),
                ?assertEqual(lists:seq(Dropped + 1, 3000), numbers(received(Spooled, Collector))),
                wait(fun() -> counters(Sender) =:= {Spooled, 0, 0, Dropped} end),
                close(Collector)
            end)
        end)
    end}.

send_large(Number, Sender) ->
    ok = hep_sender:send(Sender, numbered(Number, 1000)).

%% Waits until the packets are on disk.
idle(Sender) ->
    wait(fun() -> maps:get(queued, hep_sender:info(Sender)) =:= 0 end).

%% The spool becomes shorter by `spool_rate', whatever the rate of new packets.
rate_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            with_sender(options(Dir, [Port], #{transport => tcp, spool_rate => 20}), fun(Sender) ->
                send(1, 1000, Sender),
                wait(fun() -> counters(Sender) =:= {0, 0, 1000, 0} end),
                Start = erlang:monotonic_time(millisecond),
                Collector = listen(tcp, ?V4, Port),
                Connection = accept(Collector),
                _ = frames(4, Connection),
                {Sent, _, _, 0} = counters(Sender),
                ?assert(Sent =< 20 * (erlang:monotonic_time(millisecond) - Start) div 1000 + 5),
                send(1001, 1500, Sender),
                %% As many as arrived, and a few from the spool.
                _ = frames(500, Connection),
                {More, _, _, 0} = counters(Sender),
                ?assert(More =< 20 * (erlang:monotonic_time(millisecond) - Start) div 1000 + 510),
                close(Connection),
                close(Collector)
            end)
        end)
    end}.

%%% Restarts

%% A stopped sender writes its queue to disk; the next one finds all packets, and sends them first.
restart_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            Options = options(Dir, [Port], #{transport => tcp}),
            with_sender(Options, fun(Sender) -> send(1, 300, Sender) end),
            with_sender(Options, fun(Sender) ->
                ?assertMatch(#{spooled := 300, spool_recovered := 300}, hep_sender:info(Sender)),
                send(301, 400, Sender)
            end),
            with_sender(Options, fun(Sender) ->
                send(401, 500, Sender),
                Collector = listen(tcp, ?V4, Port),
                ?assertEqual(lists:seq(1, 500), numbers(received(500, Collector))),
                ok = hep_sender:flush(Sender, ?PATIENCE),
                wait(fun() -> counters(Sender) =:= {500, 0, 0, 0} end),
                ?assertMatch(#{spool_recovered := 400}, hep_sender:info(Sender)),
                close(Collector)
            end)
        end)
    end}.

%% Stopped while its target is slow: the current batch and the queue come first after the restart.
restart_slow_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Collector = listen(tcp, ?V4),
            Options = options(Dir, [port(Collector)], #{transport => tcp, sndbuf => 4096}),
            with_sender(Options, fun(Sender) ->
                Stuck = accept(Collector),
                Number = hep_collectors:fill(Sender, 1),
                put(last, Number),
                put(stuck, Stuck)
            end),
            Last = get(last),
            close(get(stuck)),
            with_sender(Options, fun(Sender) ->
                #{spool_recovered := Recovered} = hep_sender:info(Sender),
                ?assert(Recovered > 0),
                ?assertEqual(lists:seq(Last - Recovered + 1, Last), numbers(received(Recovered, Collector))),
                close(Collector),
                _ = Sender
            end)
        end)
    end}.

%% Stopped while younger packets than those of the batch under way are on disk: the order is kept.
restart_in_order_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Collector = listen(tcp, ?V4),
            Options = options(Dir, [port(Collector)], #{transport => tcp, sndbuf => 4096, queue => 1000}, 1 bsl 28),
            {ok, Sender} = hep_sender:start_link(Options),
            Stuck = accept(Collector),
            First = hep_collectors:fill(Sender, 1),
            Last = First + 600,
            send(First + 1, Last, Sender),
            wait(fun() -> maps:get(spooled, hep_sender:info(Sender)) >= 500 end),
            %% The batch under way is in memory.
            #{queued := Queued, spooled := Spooled} = hep_sender:info(Sender),
            ?assert(Queued > 0),
            ok = hep_sender:stop(Sender),
            close(Stuck),
            with_sender(Options, fun(Next) ->
                #{spool_recovered := Recovered} = hep_sender:info(Next),
                ?assert(Recovered >= Queued + Spooled),
                ?assertEqual(lists:seq(Last - Recovered + 1, Last), numbers(received(Recovered, Collector)))
            end),
            close(Collector)
        end)
    end}.

%% The VM is killed: the packets on disk arrive, in order and without a gap.
killed_vm_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            Progress = Dir ++ ".progress",
            Call = io_lib:format("~s:victim(~0p, ~0p)", [?MODULE, options(Dir, [Port], #{transport => tcp}, 1 bsl 28), Progress]),
            {Vm, _} = Killed = hep_spools:start_vm(Call, [{line, 200}]),
            wait(fun() -> filelib:file_size(Progress) =:= 8 end),
            timer:sleep(100),
            hep_spools:kill(Killed),
            receive {Vm, {exit_status, _}} -> ok end,
            {ok, <<Spooled:64>>} = file:read_file(Progress),
            ok = file:delete(Progress),
            with_sender(options(Dir, [Port], #{transport => tcp, spool_rate => infinity}), fun(Sender) ->
                #{spool_recovered := Recovered} = hep_sender:info(Sender),
                ?assert(Recovered >= Spooled),
                Collector = listen(tcp, ?V4, Port),
                Numbers = numbers(received(Recovered, Collector)),
                ?assertEqual(lists:seq(1, Recovered), Numbers),
                wait(fun() -> counters(Sender) =:= {Recovered, 0, 0, 0} end),
                close(Collector)
            end)
        end)
    end}.

%% Sends, and reports the number of packets in the spool.
victim(Options, Progress) ->
    {ok, Sender} = hep_sender:start_link(Options),
    {ok, File} = file:open(Progress, [write, raw, binary]),
    victim(1, File, Sender).

victim(Number, File, Sender) ->
    _ = [hep_sender:send(Sender, numbered(N)) || N <- lists:seq(Number, Number + 99)],
    idle(Sender),
    #{spooled := Spooled} = hep_sender:info(Sender),
    ok = file:pwrite(File, 0, <<Spooled:64>>),
    victim(Number + 100, File, Sender).

%%% The disk

%% A file system of 10 MB: errors are counted, the queue in memory keeps working, and all packets arrive in order,
%% except those counted as dropped.
full_disk_test_() ->
    {timeout, 60, fun() ->
        with_disk(10, fun(Dir) ->
            Port = free_port(tcp),
            Options = options(Dir, [Port], #{transport => tcp, queue => 500}, 1 bsl 28),
            with_sender(Options, fun(Sender) ->
                [begin send_large(N, Sender), N rem 100 =:= 0 andalso pause(Sender) end || N <- lists:seq(1, 12000)],
                #{spool_errors := Errors, spool_dropped := 0, queued := Queued, spooled := Spooled, dropped := Dropped} =
                    hep_sender:info(Sender),
                ?assert(Errors > 0),
                ?assert(Dropped > 0),
                ?assertEqual(12000, Spooled + Queued + Dropped),
                Collector = listen(tcp, ?V4, Port),
                Numbers = numbers(received(12000 - Dropped, Collector)),
                ?assertEqual(Numbers, lists:usort(Numbers)),
                wait(fun() -> counters(Sender) =:= {12000 - Dropped, 0, 0, Dropped} end),
                close(Collector)
            end)
        end)
    end}.

%% Waits until the queue is empty, or the disk full.
pause(Sender) ->
    wait(fun() ->
        #{queued := Queued, spool_errors := Errors} = hep_sender:info(Sender),
        Queued =:= 0 orelse Errors > 0
    end).

%% The directory is removed: errors are counted, and the packets are sent from memory.
directory_lost_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Port = free_port(tcp),
            with_sender(options(Dir, [Port], #{transport => tcp}), fun(Sender) ->
                send(1, 10, Sender),
                idle(Sender),
                Folder = filename:join(Dir, "127.0.0.1_" ++ integer_to_list(Port)),
                {ok, [_ | _]} = file:list_dir(Folder),
                ok = file:del_dir_r(Folder),
                ok = file:write_file(Folder, <<>>),
                %% More than fits into the open segment.
                [send_large(N, Sender) || N <- lists:seq(11, 200)],
                wait(fun() -> maps:get(spool_errors, hep_sender:info(Sender)) > 0 end),
                Collector = listen(tcp, ?V4, Port),
                Connection = accept(Collector),
                Last = until_number(200, Connection),
                ?assertEqual(Last, lists:usort(Last)),
                wait(fun() ->
                    {Sent, 0, 0, Dropped} = counters(Sender),
                    Sent =:= length(Last) andalso Sent + Dropped =:= 200
                end),
                close(Connection),
                close(Collector)
            end)
        end)
    end}.

%% Errors at the start are those of hep_spool.
start_test() ->
    hep_collectors:quietly(fun() -> with_dir(fun wrong_directories/1) end).

wrong_directories(Dir) ->
    File = filename:join(Dir, "file"),
    ok = file:write_file(File, <<>>),
    Options = options(File, [9], #{}),
    process_flag(trap_exit, true),
    {error, {spool, _, enotdir} = Error} = hep_sender:start_link(Options),
    ?assertNotEqual(nomatch, string:find(hep_sender:format_error(Error), "not a directory")),
    with_sender(options(Dir, [9], #{}), fun(_) ->
        {error, {spool, Path, locked} = Locked} = hep_sender:start_link(options(Dir, [9], #{})),
        ?assertNotEqual(nomatch, string:find(hep_sender:format_error(Locked), Path)),
        ?assertNotEqual(nomatch, string:find(hep_sender:format_error(Locked), "another process"))
    end),
    process_flag(trap_exit, false),
    receive {'EXIT', _, _} -> ok after 0 -> ok end.

options_test() ->
    Options = options("x", [9], #{}),
    [
        ?assertEqual({error, {bad_option, {Name, Value}}}, hep_sender:start_link(Options#{Name => Value}))
     || {Name, Value} <- [
            {spool, x},
            {spool, #{}},
            {spool, #{dir => "x", max_bytes => 1048575}},
            {spool, #{dir => "x", rate => 1}},
            {spool_rate, 0},
            {spool_rate, 1.5}
        ]
    ],
    ?assertEqual(
        {error, {bad_option, {spool_rate, 10}}},
        hep_sender:start_link((maps:remove(spool, Options))#{spool_rate => 10})
    ).

%%% Helpers

options(Dir, Ports, More) ->
    options(Dir, Ports, More, 1 bsl 20).

options(Dir, Ports, More, MaxBytes) ->
    maps:merge(
        #{
            targets => [{?V4, Port} || Port <- Ports],
            backoff => {20, 50},
            spool => #{dir => Dir, max_bytes => MaxBytes}
        },
        More
    ).

send(From, To, Sender) ->
    [ok = hep_sender:send(Sender, numbered(N)) || N <- lists:seq(From, To)].

%% Sent, queued, spooled, dropped.
counters(Sender) ->
    #{sent := Sent, queued := Queued, spooled := Spooled, dropped := Dropped} = hep_sender:info(Sender),
    {Sent, Queued, Spooled, Dropped}.
