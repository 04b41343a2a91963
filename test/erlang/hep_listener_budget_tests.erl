%% @doc The budget of inflated bytes: which process waits, which one continues, and the budget of a killed process.
-module(hep_listener_budget_tests).

-include_lib("eunit/include/eunit.hrl").

budget_test_() ->
    {foreach,
        fun() ->
            {ok, Pid} = hep_listener_budget:start_link(100, fun(_) -> ok end),
            Pid
        end,
        fun(Pid) ->
            unlink(Pid),
            exit(Pid, kill)
        end,
        [
            fun(Pid) -> {atom_to_list(Name), fun() -> Test(Pid, fun() -> Pid end) end} end
         || {Name, Test} <- [
                {all_is_taken, fun all_is_taken/2},
                {in_order, fun in_order/2},
                {killed, fun killed/2},
                {killed_waiting, fun killed_waiting/2},
                {shut_down_waiting, fun shut_down_waiting/2},
                {nothing_to_give, fun nothing_to_give/2}
            ]
        ]}.

all_is_taken(Pid, Budget) ->
    ok = hep_listener_budget:take(100, Budget),
    ?assertEqual(0, free(Pid)),
    Other = taker(1, Budget),
    ?assertEqual(waits, state(Other)),
    ok = hep_listener_budget:give_back(Budget),
    ?assertEqual(has, state(Other)),
    ?assertEqual(99, free(Pid)).

%% A small request does not overtake a large one, which could otherwise wait forever.
in_order(Pid, Budget) ->
    ok = hep_listener_budget:take(60, Budget),
    Large = taker(50, Budget),
    ?assertEqual(waits, state(Large)),
    Small = taker(10, Budget),
    ?assertEqual(waits, state(Small)),
    ok = hep_listener_budget:give_back(Budget),
    ?assertEqual([has, has], [state(Large), state(Small)]),
    ?assertEqual(40, free(Pid)).

killed(Pid, Budget) ->
    Takers = [taker(10, Budget) || _ <- lists:seq(1, 10)],
    ?assertEqual([has], lists:usort([state(Taker) || Taker <- Takers])),
    ?assertEqual(0, free(Pid)),
    [exit(Taker, kill) || Taker <- Takers],
    ok = hep_listener_budget:take(100, Budget),
    ?assertEqual(0, free(Pid)).

killed_waiting(Pid, Budget) ->
    ok = hep_listener_budget:take(100, Budget),
    First = taker(100, Budget),
    Second = taker(50, Budget),
    ?assertEqual([waits, waits], [state(First), state(Second)]),
    exit(First, kill),
    %% Before anything is free: otherwise it would be given to the ended process, and come back with its end.
    hep_net:until(fun() -> waiting(Pid) =:= 1 end),
    ok = hep_listener_budget:give_back(Budget),
    ?assertEqual(has, state(Second)),
    ?assertEqual(50, free(Pid)).

shut_down_waiting(_, Budget) ->
    ok = hep_listener_budget:take(100, Budget),
    Taker = taker(1, Budget),
    Monitor = monitor(process, Taker),
    ?assertEqual(waits, state(Taker)),
    Taker ! {'EXIT', self(), shutdown},
    receive {'DOWN', Monitor, process, Taker, Reason} -> ?assertEqual(shutdown, Reason) after 5000 -> error(waits) end.

nothing_to_give(Pid, Budget) ->
    ok = hep_listener_budget:give_back(Budget),
    ok = hep_listener_budget:give_back(fun() -> undefined end),
    ok = hep_listener_budget:take(10, Budget),
    ok = hep_listener_budget:give_back(Budget),
    ok = hep_listener_budget:give_back(Budget),
    ?assertEqual(100, free(Pid)).

%% The budget is restarted while a process waits.
restarted_test() ->
    process_flag(trap_exit, true),
    {ok, First} = hep_listener_budget:start_link(10, fun(_) -> ok end),
    Table = ets:new(budget, [public]),
    ets:insert(Table, {budget, First}),
    Budget = fun() -> [{budget, Pid}] = ets:lookup(Table, budget), Pid end,
    ok = hep_listener_budget:take(10, Budget),
    Taker = taker(5, Budget),
    ?assertEqual(waits, state(Taker)),
    ets:insert(Table, {budget, undefined}),
    exit(First, kill),
    receive {'EXIT', First, killed} -> ok end,
    {ok, Second} = hep_listener_budget:start_link(10, fun(_) -> ok end),
    ets:insert(Table, {budget, Second}),
    receive {Taker, has} -> ok after 5000 -> error(waits) end,
    ok = hep_listener_budget:give_back(Budget),
    ?assertEqual(5, free(Second)),
    unlink(Second),
    exit(Second, kill),
    process_flag(trap_exit, false).

%% A process that takes a part, and keeps it.
taker(Bytes, Budget) ->
    Parent = self(),
    spawn_link(fun() ->
        unlink(Parent),
        ok = hep_listener_budget:take(Bytes, Budget),
        Parent ! {self(), has},
        receive never -> ok end
    end).

%% Each process replies after its earlier requests.
state(Taker) ->
    receive {Taker, has} -> has after 50 -> waits end.

free(Pid) ->
    element(2, sys:get_state(Pid)).

waiting(Pid) ->
    queue:len(element(4, sys:get_state(Pid))).
