%% @doc The sender when it or its callers are killed, when names change, and its secrets.
-module(hep_sender_fault_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_collectors.hrl").

-import(hep_collectors, [
    numbered/1, numbers/1, sized/1, listen/2, listen/3, port/1, free_port/1, received/2, with_sender/2, wait_for/3,
    wait/1
]).

%%% Callers that are killed

%% Some are killed between the count and the message: the count of packets on the way is corrected after a while.
killed_callers_test_() ->
    {timeout, 120, fun() ->
        Collector = listen(udp, ?V4),
        with_sender(#{targets => [{?V4, port(Collector)}], queue => 50}, fun(Sender) ->
            Packet = sized(100),
            lists:foreach(
                fun(_) ->
                    Callers = [spawn(fun() -> send_on(Sender, Packet) end) || _ <- lists:seq(1, 20)],
                    erlang:yield(),
                    [exit(Caller, kill) || Caller <- Callers]
                end,
                lists:seq(1, 1000)
            ),
            wait(fun() -> room(Sender) =:= 50 end)
        end)
    end}.

send_on(Sender, Packet) ->
    _ = hep_sender:send(Sender, Packet),
    send_on(Sender, Packet).

%% The number of packets that the suspended sender accepts.
room(Sender) ->
    ok = hep_sender:flush(Sender, ?PATIENCE),
    timer:sleep(100),
    true = erlang:suspend_process(Sender),
    try
        length([sent || _ <- lists:seq(1, 60), hep_sender:send(Sender, sized(6)) =:= ok])
    after
        true = erlang:resume_process(Sender)
    end.

%% The same with fixed counts: too high or too low, by packets or by bytes alone.
wrong_counts_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(udp, ?V4),
        with_sender(#{targets => [{?V4, port(Collector)}], queue => 50}, fun(Sender) ->
            {ok, Shared} = hep_sender_inbox:find(Sender),
            [
                begin
                    count(Number, Change, Shared),
                    Is =:= none andalso ?assertEqual({error, overloaded}, hep_sender:send(Sender, sized(6))),
                    wait(fun() -> room(Sender) =:= 50 end)
                end
             || {Number, Change, Is} <- [{1, 50, none}, {2, 1 bsl 40, none}, {1, -7, more}]
            ]
        end)
    end}.

%% The row contains only one reference: the atomics.
count(Number, Change, Shared) ->
    [Counters] = [Element || Element <- tuple_to_list(Shared), is_reference(Element)],
    atomics:add(Counters, Number, Change).

%% A caller that was suspended between count and message has no effect on others when it continues.
slow_caller_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(udp, ?V4),
        with_sender(#{targets => [{?V4, port(Collector)}], queue => 50}, fun(Sender) ->
            {ok, Shared} = hep_sender_inbox:find(Sender),
            count(1, 5, Shared),
            wait(fun() -> room(Sender) =:= 50 end),
            [Sender ! {packet, sized(6), 0, none} || _ <- lists:seq(1, 5)],
            wait(fun() -> room(Sender) =:= 50 end)
        end)
    end}.

%%% A sender that is killed

killed_sender_test() ->
    hep_collectors:quietly(fun killed_sender/0).

killed_sender() ->
    {ok, Sender} = hep_sender:start_link(#{targets => [{?V4, free_port(udp)}]}),
    unlink(Sender),
    Monitor = monitor(process, Sender),
    exit(Sender, kill),
    receive {'DOWN', Monitor, _, _, killed} -> ok end,
    ?assertEqual({error, not_running}, hep_sender:send(Sender, numbered(1))),
    %% The packets that it left go to the next sender.
    with_sender(#{targets => [{?V4, free_port(udp)}]}, fun(Next) ->
        ?assertEqual([Next], [Pid || {{hep_sender_inbox, Pid}, _} <- persistent_term:get()])
    end).

%% No state that another process can read contains the key.
secret_test() ->
    Key = <<"a key that nobody sees">>,
    with_sender(#{auth_key => Key, targets => [{?V4, free_port(udp)}]}, fun(Sender) ->
        Tables = [ets:tab2list(Table) || Table <- ets:all(), ets:info(Table, owner) =:= Sender],
        ?assertMatch([[_]], Tables),
        Shown = io_lib:format("~p", [{Tables, persistent_term:get(), sys:get_status(Sender)}]),
        ?assertEqual(nomatch, string:find(Shown, Key))
    end).

%%% Names that move

%% Packets go to the old address until the new one is known, also while the name is unknown.
moving_name_test_() ->
    {timeout, 60, fun() ->
        with_names(fun() ->
            Name = "collector.hep.test",
            First = listen(udp, {127, 0, 0, 1}),
            Port = port(First),
            Second = listen(udp, {127, 0, 0, 2}, Port),
            ok = inet_db:add_host({127, 0, 0, 1}, [Name]),
            Options = #{targets => [{Name, Port}], resolve_every => 50},
            with_sender(Options, fun(Sender) ->
                ok = hep_sender:send(Sender, numbered(1)),
                ?assertEqual([1], numbers(received(1, First))),
                ok = inet_db:del_host({127, 0, 0, 1}),
                timer:sleep(200),
                ok = hep_sender:send(Sender, numbered(2)),
                ?assertEqual([2], numbers(received(1, First))),
                ok = inet_db:add_host({127, 0, 0, 2}, [Name]),
                wait(fun() ->
                    ok = hep_sender:send(Sender, numbered(3)),
                    arrived(Second)
                end),
                %% It was never down.
                ?assertMatch(#{targets := [#{state := up, reconnects := 0}], dropped := 0}, hep_sender:info(Sender))
            end),
            ok = inet_db:del_host({127, 0, 0, 2})
        end)
    end}.

%% An address is kept while the name still has it.
added_address_test_() ->
    {timeout, 60, fun() ->
        with_names(fun() ->
            Name = "collector.hep.test",
            First = listen(udp, {127, 0, 0, 1}),
            ok = inet_db:add_host({127, 0, 0, 1}, [Name]),
            with_sender(#{targets => [{Name, port(First)}], resolve_every => 20}, fun(Sender) ->
                ok = hep_sender:send(Sender, numbered(1)),
                [_] = received(1, First),
                Socket = [S || S <- erlang:ports(), hep_collectors:is_connected(S, port(First))],
                timer:sleep(300),
                ?assertEqual(Socket, [S || S <- erlang:ports(), hep_collectors:is_connected(S, port(First))])
            end),
            ok = inet_db:del_host({127, 0, 0, 1})
        end)
    end}.

%% Names are looked up in the VM's own table of hosts only.
with_names(Test) ->
    Lookup = inet_db:res_option(lookup),
    ok = inet_db:set_lookup([file]),
    try
        Test()
    after
        ok = inet_db:set_lookup(Lookup)
    end.

arrived({udp, Socket}) ->
    element(1, gen_udp:recv(Socket, 0, 100)) =:= ok.

%%% Parts of a route

%% Each delay is shortened at random, by up to half.
jitter_test() ->
    [
        begin
            Delays = [hep_sender_connection:delay(Attempts, {100, 30000}) || _ <- lists:seq(1, 1000)],
            ?assert(lists:min(Delays) > Longest div 2),
            ?assert(lists:max(Delays) =< Longest),
            ?assert(length(lists:usort(Delays)) > 20)
        end
     || {Attempts, Longest} <- [{0, 100}, {1, 200}, {4, 1600}, {9, 30000}, {1000, 30000}]
    ].

%% With failover a target gives back a batch when an older one already waits, or a newer one.
given_back_test() ->
    Entry = fun(Number) -> {1, {Number, <<"x">>, none}} end,
    Batch = fun(From, To) -> [Entry(Number) || Number <- lists:seq(From, To)] end,
    New = hep_sender_queue:new(100, 1000),
    [
        begin
            {{0, 0}, Queue} = lists:foldl(
                fun({From, To}, {{0, 0}, Q}) -> hep_sender_route:give_back(Batch(From, To), Q) end, {{0, 0}, New}, Order
            ),
            ?assertEqual({Batch(1, 9), New}, hep_sender_queue:batch(1000, Queue))
        end
     || Order <- [
            [{7, 9}, {4, 6}, {1, 3}],
            [{7, 9}, {1, 3}, {4, 6}],
            [{1, 3}, {7, 9}, {4, 6}],
            [{1, 3}, {4, 6}, {7, 9}],
            [{4, 6}, {1, 3}, {7, 9}],
            [{4, 6}, {7, 9}, {1, 3}]
        ]
    ].
