%% @doc The sender with collectors that do not read, collectors that come and go, and several of them.
-module(hep_sender_collector_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep_collectors.hrl").

-import(hep_collectors, [
    packet/1, numbered/1, numbered/2, numbers/1, sized/1, listen/2, listen/3, port/1, free_port/1, accept/1,
    close/1, received/2, frames/2, bytes/2, more/1, whole/1, with_sender/2, with_tls/2, wait_for/3, wait/1,
    fill/2, is_connected/2, is_stuck/1
]).

%%% Collectors that do not read

%% The caller does not notice. Of the waiting packets the oldest are dropped; earlier written ones, and the newest,
%% arrive.
stuck_collector_test_() ->
    {timeout, 120, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], queue => 500, send_timeout => 60000},
        with_sender(Options, fun(Sender) ->
            Connection = accept(Collector),
            {Before, Count} = {fill(Sender, 1), 100000},
            Times = lists:sort([send_timed(Sender, N) || N <- lists:seq(Before + 1, Count)]),
            %% On a busy machine single calls may take longer.
            ?assert(lists:nth(length(Times) * 99 div 100, Times) < 1000),
            #{queued := Queued, dropped := Dropped, sent := Sent, queued_bytes := Bytes} = settled(Sender, Count),
            Size = byte_size(numbered(1, 500)),
            ?assert(Queued > 500 andalso Bytes =< 500 * Size + 65536),
            ?assert(Dropped > 50000),
            Numbers = numbers(frames(Sent + Queued, Connection)),
            %% Only dropped packets are missing, and they are contiguous: the oldest that still waited.
            First = Sent + Queued - 500,
            ?assertEqual(lists:seq(1, First) ++ lists:seq(Count - 499, Count), Numbers),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{dropped := Dropped, queued := 0}, hep_sender:info(Sender))
        end)
    end}.

%% In microseconds. A caller that is faster than the sender retries.
send_timed(Sender, Number) ->
    Packet = numbered(Number, 500),
    case timer:tc(fun() -> hep_sender:send(Sender, Packet) end) of
        {Took, ok} ->
            Took;
        {Took, {error, overloaded}} ->
            erlang:yield(),
            max(Took, send_timed(Sender, Number))
    end.

%% The counters once nothing changes any more: the last packet is in the queue, and the connection is stuck.
settled(Sender, Count) ->
    Info = hep_sender:info(Sender),
    timer:sleep(200),
    case hep_sender:info(Sender) of
        #{queued := Queued, dropped := Dropped, sent := Sent} = Info when Queued + Dropped + Sent =:= Count -> Info;
        _ -> settled(Sender, Count)
    end.

%% The other limit.
queue_bytes_test() ->
    Options = #{transport => tcp, targets => [{?V4, free_port(tcp)}], queue_bytes => 65535 * 3},
    with_sender(Options, fun(Sender) ->
        [ok = hep_sender:send(Sender, sized(60000)) || _ <- [1, 2]],
        [begin ok = hep_sender:send(Sender, sized(60000)), hep_sender:info(Sender) end || _ <- lists:seq(1, 8)],
        ?assertMatch(#{queued := 3, queued_bytes := 180000, dropped := 7}, hep_sender:info(Sender)),
        ok = hep_sender:send(Sender, sized(6)),
        ?assertMatch(#{queued := 4, queued_bytes := 180006, dropped := 7}, hep_sender:info(Sender)),
        ok = hep_sender:send(Sender, sized(65535)),
        ?assertMatch(#{queued := 4, queued_bytes := 185541, dropped := 8}, hep_sender:info(Sender))
    end).

%% The connection to a collector that does not read for too long is closed, and a new one is tried.
send_timeout_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            Options = #{send_timeout => 200, backoff => {10, 50}, queue => 1000, batch_bytes => 200000},
            with_sender(with_tls(Transport, Options#{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                First = accept(Collector),
                until_down(Sender, fun() -> hep_sender:send(Sender, sized(65000)) end),
                ?assertMatch(#{targets := [#{last_error := Reason}]} when Reason =:= timeout; Reason =:= closed,
                    hep_sender:info(Sender)),
                Second = accept(Collector),
                ?assertEqual([sized(65000)], frames(1, Second)),
                close(First)
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% Sends until the first target has been down once.
until_down(Sender, Send) ->
    wait(fun() ->
        _ = Send(),
        #{targets := [#{last_error := Reason} | _]} = hep_sender:info(Sender),
        Reason =/= undefined
    end).

%% Stopping a sender with a stuck collector closes its socket.
stop_while_stuck_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            with_sender(with_tls(Transport, #{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                Connection = accept(Collector),
                [ok = hep_sender:send(Sender, sized(65000)) || _ <- lists:seq(1, 500)],
                Sockets = [Socket || Socket <- erlang:ports(), is_connected(Socket, port(Collector))],
                ?assertMatch([_], Sockets),
                wait(fun() -> is_stuck(Sender) end),
                {Took, ok} = timer:tc(fun() -> hep_sender:stop(Sender) end),
                ?assert(Took < 4000000),
                wait(fun() -> [S || S <- Sockets, erlang:port_info(S) =/= undefined] =:= [] end),
                close(Connection)
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% Written packets arrive after the sender has ended.
flush_and_stop_test_() ->
    [
        {lists:concat([Transport, " ", Size]), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            with_sender(with_tls(Transport, #{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                Connection = accept(Collector),
                Packets = [sized(Size + N) || N <- lists:seq(1, 20)],
                [ok = hep_sender:send(Sender, Packet) || Packet <- Packets],
                ok = hep_sender:flush(Sender, ?PATIENCE),
                ok = hep_sender:stop(Sender),
                ?assertEqual(Packets, frames(20, Connection)),
                ?assertEqual(closed, more(Connection))
            end)
        end}}
     || Transport <- [tcp, tls], Size <- [20, 65000]
    ].

%%% Collectors that come and go

absent_collector_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Port = free_port(tcp),
            Options = #{targets => [{?V4, Port}], backoff => {5, 20}},
            with_sender(with_tls(Transport, Options), fun(Sender) ->
                [ok = hep_sender:send(Sender, numbered(N)) || N <- lists:seq(1, 50)],
                wait_for(Sender, 1, #{state => down, last_error => econnrefused}),
                ?assertMatch(#{queued := 50, sent := 0, dropped := 0}, hep_sender:info(Sender)),
                ?assertEqual({error, timeout}, hep_sender:flush(Sender, 10)),
                Collector = listen(Transport, ?V4, Port),
                ?assertEqual(lists:seq(1, 50), numbers(received(50, Collector))),
                ok = hep_sender:flush(Sender, ?PATIENCE),
                wait_for(Sender, 1, #{state => up, reconnects => 0})
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% Over UDP the error of an earlier datagram is reported; no process ends because of it.
absent_collector_udp_test_() ->
    {timeout, 60, fun() ->
        Port = free_port(udp),
        with_sender(#{targets => [{?V4, Port}], backoff => {5, 20}}, fun(Sender) ->
            until_down(Sender, fun() -> hep_sender:send(Sender, numbered(0)) end),
            ?assertMatch(#{targets := [#{last_error := econnrefused}]}, hep_sender:info(Sender)),
            Collector = listen(udp, ?V4, Port),
            ok = hep_sender:send(Sender, numbered(1)),
            ?assertEqual(1, last_number(Collector)),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assert(is_process_alive(Sender))
        end)
    end}.

last_number(Collector) ->
    case numbers(received(1, Collector)) of
        [0] -> last_number(Collector);
        [Number] -> Number
    end.

unknown_name_test() ->
    with_sender(#{targets => [{"no-such-host.invalid", 9060}], backoff => {5, 20}}, fun(Sender) ->
        ok = hep_sender:send(Sender, packet(1)),
        wait_for(Sender, 1, #{state => down}),
        #{targets := [#{last_error := Reason}], queued := 1} = hep_sender:info(Sender),
        ?assert(lists:member(Reason, [nxdomain, timeout, eai_again, formerr]), Reason)
    end).

%% The collector closes connections at any byte. Each connection begins with a complete packet, and has only complete
%% ones.
closed_connections_test_() ->
    {timeout, 120, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}, queue => 2000},
        with_sender(Options, fun(Sender) ->
            Feeder = spawn_link(fun() -> feed(Sender, 1) end),
            Cut = [cut(Collector, Bytes) || Bytes <- [1, 3, 5, 6, 7, 500, 4001, 70000, 1 bsl 20, 0, 123]],
            Connection = accept(Collector),
            unlink(Feeder),
            exit(Feeder, kill),
            ok = hep_sender:send(Sender, numbered(0)),
            Last = until(0, Connection),
            [?assertEqual(lists:usort(N), N) || N <- [Last | [numbers(whole(Bytes)) || Bytes <- Cut]]],
            #{targets := [#{reconnects := Reconnects}]} = hep_sender:info(Sender),
            %% The sender may not have noticed a connection that was closed at once.
            ?assert(Reconnects > 0 andalso Reconnects =< length(Cut), Reconnects)
        end)
    end}.

%% Sends packets of many sizes, until it is killed.
feed(Sender, Number) ->
    _ = hep_sender:send(Sender, numbered(Number, Number * 7 rem 3000)),
    Number rem 50 =:= 0 andalso timer:sleep(1),
    feed(Sender, Number + 1).

cut(Collector, Count) ->
    Connection = {_, Socket} = accept(Collector),
    Bytes = bytes(Count, Connection),
    ok = inet:setopts(Socket, [{linger, {true, 0}}]),
    close(Connection),
    Bytes.

%% The numbers before this one.
until(Number, Connection) ->
    case numbers(frames(1, Connection)) of
        [Number] -> [];
        [Other] -> [Other | until(Number, Connection)]
    end.

%% A half written frame is sent completely on the next connection.
half_written_frame_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}, queue => 1000},
        with_sender(Options, fun(Sender) ->
            First = {_, Socket} = accept(Collector),
            %% More than all buffers hold.
            Count = 400,
            [ok = hep_sender:send(Sender, numbered(N, 60000)) || N <- lists:seq(1, Count)],
            wait(fun() -> is_stuck(Sender) end),
            #{sent := Written} = hep_sender:info(Sender),
            ok = inet:setopts(Socket, [{linger, {true, 0}}]),
            close(First),
            %% The interrupted batch comes again, and nothing after it is missing.
            Numbers = numbers(frames(Count - Written, accept(Collector))),
            ?assertEqual(lists:seq(Written + 1, Count), Numbers)
        end)
    end}.

%% A datagram that the system rejects is dropped, and delays nothing.
emsgsize_test() ->
    Collector = listen(udp, ?V4),
    with_sender(#{targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, numbered(1)),
        %% Bypasses the check of the size, since the system's limit is as large.
        Sender ! {packet, <<0:65508/unit:8>>, 65508, none},
        ok = hep_sender:send(Sender, numbered(2)),
        ?assertEqual([1, 2], numbers(received(2, Collector))),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertMatch(
            #{sent := 2, dropped := 1, targets := [#{state := up, last_error := emsgsize}]},
            hep_sender:info(Sender)
        )
    end).

%% A collector that accepts connections and closes them at once is not flooded.
backoff_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {20, 200}},
        with_sender(Options, fun(Sender) ->
            Times = [begin close(accept(Collector)), erlang:monotonic_time(millisecond) end || _ <- lists:seq(1, 7)],
            Pauses = lists:zipwith(fun erlang:'-'/2, tl(Times), lists:droplast(Times)),
            %% At least half of each, except for rounding.
            Least = [9, 19, 39, 79, 99, 99],
            ?assertEqual([], [Wrong || {Pause, L} = Wrong <- lists:zip(Pauses, Least), Pause < L]),
            wait_for(Sender, 1, #{last_error => closed})
        end)
    end}.

%% HEP has no acknowledgements: data from a collector is discarded.
talking_collector_test() ->
    Collector = listen(tcp, ?V4),
    with_sender(#{transport => tcp, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        {_, Socket} = Connection = accept(Collector),
        [ok = gen_tcp:send(Socket, <<0:(1 bsl 20)/unit:8>>) || _ <- lists:seq(1, 20)],
        ok = hep_sender:send(Sender, numbered(1)),
        ?assertEqual([1], numbers(frames(1, Connection)))
    end).

%% Killing the process of a connection ends this connection only.
killed_connection_test() ->
    Collector = listen(tcp, ?V4),
    Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}},
    with_sender(Options, fun(Sender) ->
        First = accept(Collector),
        wait_for(Sender, 1, #{state => up}),
        {links, Links} = process_info(Sender, links),
        [Process] = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
        exit(Process, kill),
        ok = hep_sender:send(Sender, numbered(1)),
        ?assertEqual([1], numbers(frames(1, accept(Collector)))),
        wait_for(Sender, 1, #{state => up, reconnects => 1, last_error => killed}),
        close(First)
    end).

%%% Several targets

all_targets_test_() ->
    {timeout, 60, fun() ->
        [Here, There] = Collectors = [listen(tcp, ?V4), listen(tcp, ?V6)],
        Absent = free_port(tcp),
        Options = #{
            transport => tcp,
            targets => [{?V4, port(Here)}, {?V4, Absent}, {?V6, port(There)}],
            backoff => {5, 20},
            queue => 10
        },
        with_sender(Options, fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 3]],
            Send = fun(N) -> ok = hep_sender:send(Sender, numbered(N)), [N] end,
            Connections = [accept(Collector) || Collector <- Collectors],
            [
                ?assertEqual([N], numbers(frames(1, Connection)))
             || N <- lists:seq(1, 30), Send(N) =:= [N], Connection <- Connections
            ],
            %% The absent collector delays no other, and has its own queue.
            wait(fun() -> maps:get(sent, hep_sender:info(Sender)) =:= 60 end),
            #{targets := [First, Second, Third], dropped := 20, queued := 10} = hep_sender:info(Sender),
            ?assertMatch(#{sent := 30, dropped := 0, queued := 0}, First),
            ?assertMatch(#{sent := 0, dropped := 20, queued := 10}, Second),
            ?assertMatch(#{sent := 30, dropped := 0, queued := 0}, Third),
            Late = listen(tcp, ?V4, Absent),
            ?assertEqual(lists:seq(21, 30), numbers(received(10, Late)))
        end)
    end}.

failover_test_() ->
    {timeout, 60, fun() ->
        {Port1, Collector2} = {free_port(tcp), listen(tcp, ?V4)},
        Options = #{
            transport => tcp,
            strategy => failover,
            targets => [{?V4, Port1}, {?V4, port(Collector2)}],
            backoff => {5, 20}
        },
        with_sender(Options, fun(Sender) ->
            Second = accept(Collector2),
            Send = fun(N) -> ok = hep_sender:send(Sender, numbered(N)) end,
            %% To the first target, ...
            Send(1),
            ?assertEqual([1], numbers(frames(1, Second))),
            Collector1 = listen(tcp, ?V4, Port1),
            First = accept(Collector1),
            wait_for(Sender, 1, #{state => up}),
            %% ... to the second, ...
            Send(2),
            ?assertEqual([2], numbers(frames(1, First))),
            close(Collector1),
            close(First),
            wait_for(Sender, 1, #{state => down}),
            %% ... and to the first again.
            Send(3),
            ?assertEqual([3], numbers(frames(1, Second))),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            #{targets := [T1, T2], sent := 3, dropped := 0, strategy := failover} = hep_sender:info(Sender),
            ?assertEqual([1, 2], [maps:get(sent, T) || T <- [T1, T2]]),
            %% Without any target, packets wait in the shared queue.
            close(Collector2),
            close(Second),
            wait_for(Sender, 2, #{state => down}),
            Send(4),
            ?assertMatch(#{queued := 1, targets := [#{queued := 0}, #{queued := 0}]}, hep_sender:info(Sender)),
            ?assertEqual([4], numbers(received(1, listen(tcp, ?V4, Port1))))
        end)
    end}.

%% A collector that does not read counts as down after the timeout. No waiting packet is lost.
failover_from_stuck_test_() ->
    {timeout, 60, fun() ->
        [Stuck, Good] = [listen(tcp, ?V4), listen(tcp, ?V4)],
        Options = #{
            transport => tcp,
            strategy => failover,
            targets => [{?V4, port(Stuck)}, {?V4, port(Good)}],
            send_timeout => 500,
            backoff => {20000, 20000}
        },
        with_sender(Options, fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 2]],
            Count = 400,
            [ok = hep_sender:send(Sender, numbered(N, 60000)) || N <- lists:seq(1, Count)],
            wait_for(Sender, 1, #{state => down, last_error => timeout}),
            #{targets := [#{sent := Written} | _]} = hep_sender:info(Sender),
            ?assertEqual(lists:seq(Written + 1, Count), numbers(frames(Count - Written, accept(Good))))
        end)
    end}.

failover_udp_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(udp, ?V4),
        Options = #{
            strategy => failover,
            targets => [{?V4, free_port(udp)}, {?V4, port(Collector)}],
            backoff => {20000, 20000}
        },
        with_sender(Options, fun(Sender) ->
            until_down(Sender, fun() -> hep_sender:send(Sender, numbered(0)) end),
            ok = hep_sender:send(Sender, numbered(1)),
            ?assertEqual(1, last_number(Collector))
        end)
    end}.
