%% The publisher with this process as the channel: its publications, their order, and its counters.
-module(hep_rabbitmq_publisher_tests).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("eunit/include/eunit.hrl").

-export([confirmed/1]).

-define(WINDOW, 5).
-define(TIMEOUT, 100).

publisher_test_() ->
    {foreach, fun start/0, fun stop/1, [
        fun(Context) -> {Name, fun() -> Test(Context) end} end
     || {Name, Test} <- [
            {"window", fun window/1},
            {"a lost connection", fun lost/1},
            {"a lost connection with messages on disk", fun lost_with_disk/1},
            {"blocked", fun blocked/1},
            {"negative confirms", fun nacked/1},
            {"no queue", fun unroutable/1},
            {"no confirms", fun timeout/1},
            {"one call", fun one_call/1},
            {"stopped and started", fun restarted/1}
        ]
    ]}.

%% Random events. Without negative confirms, the order is kept, too.
random_test_() ->
    {timeout, 120, [
        {lists:flatten(io_lib:format("~p, negative confirms: ~p", [Seed, Nacks])),
            {setup, fun start/0, fun stop/1, fun(Context) -> fun() -> random(Seed, Nacks, Context) end end}}
     || Seed <- lists:seq(1, 10), Nacks <- [true, false]
    ]}.

%%% Tests

window(Context) ->
    up(Context),
    publish(5, Context),
    publish(2, Context),
    ?assertEqual([1, 2, 3, 4, 5], published(Context)),
    ?assertMatch(#{received := 7, unconfirmed := 5, waiting := 2, confirmed := 0}, info(Context)),
    ack(2, true, Context),
    ?assertEqual([6, 7], published(Context)),
    ack(4, false, Context),
    ack(7, true, Context),
    ?assertMatch(#{unconfirmed := 0, waiting := 0, confirmed := 7, on_disk := 0}, info(Context)).

%% All unconfirmed messages are published again, before the new ones.
lost(Context) ->
    up(Context),
    publish(4, Context),
    ?assertEqual([1, 2, 3, 4], published(Context)),
    ack(2, false, Context),
    down(Context),
    ?assertMatch(#{on_disk := 3, waiting := 3, unconfirmed := 0, published_again := 3}, info(Context)),
    publish(1, Context),
    up(Context),
    ?assertEqual([1, 3, 4, 5], published(Context)),
    ack(4, true, Context),
    ?assertMatch(#{confirmed := 5, on_disk := 0, recovered := 0, connects := 2}, info(Context)).

%% Confirmed out of order: messages that the spool cannot skip are published again, and counted.
lost_with_disk(Context) ->
    publish(8, Context),
    ?assertMatch(#{on_disk := 8, waiting := 8, connected := false}, info(Context)),
    up(Context),
    ?assertEqual([1, 2, 3, 4, 5], published(Context)),
    ack(2, true, Context),
    ack(4, false, Context),
    ?assertMatch(#{on_disk := 5, unconfirmed := 2, waiting := 3}, info(Context)),
    down(Context),
    ?assertMatch(#{recovered := 1, confirmed := 3, waiting := 6, on_disk := 6}, info(Context)),
    up(Context),
    ?assertEqual([3, 4, 5, 6, 7], published(Context)),
    ack(5, true, Context),
    ?assertEqual([8], published(Context)).

blocked(Context) ->
    up(Context),
    publish(1, Context),
    event(blocked, Context),
    publish(2, Context),
    ?assertEqual([1], published(Context)),
    ?assertMatch(#{on_disk := 2, blocked := true, blocks := 1}, info(Context)),
    ack(1, false, Context),
    event(unblocked, Context),
    ?assertEqual([2, 3], published(Context)).

%% No new messages before the rejected ones, which keep their order.
nacked(Context) ->
    up(Context),
    publish(5, Context),
    publish(1, Context),
    ?assertEqual([1, 2, 3, 4, 5], published(Context)),
    nack(4, false, Context),
    nack(2, false, Context),
    ack(5, true, Context),
    ?assertEqual([], published(Context)),
    ?assertMatch(#{nacked := 2, confirmed := 3, waiting := 3}, info(Context)),
    down(Context),
    up(Context),
    ?assertEqual([2, 4, 6], published(Context)).

unroutable(#{publisher := Publisher} = Context) ->
    up(Context),
    publish(2, Context),
    receive
        {'$gen_cast', {cast, _, Message, _, _}} -> Publisher ! {#'basic.return'{}, Message}
    end,
    ack(2, true, Context),
    ?assertMatch(#{unroutable := 1, confirmed := 1, unconfirmed := 0}, info(Context)).

%% A new channel gets one message of a call at a time, and the other calls wait.
one_call(Context) ->
    up(Context),
    publish([{1, a}, {2, b}, {3, a}, {4, c}], Context),
    ?assertEqual([1, 2], published(Context)),
    ack(2, false, Context),
    ?assertEqual([], published(Context)),
    ack(1, false, Context),
    ?assertEqual([3, 4], published(Context)),
    %% Rejected: no message of the call overtakes it.
    publish([{5, a}], Context),
    nack(3, false, Context),
    ack(4, false, Context),
    ?assertEqual([], published(Context)),
    down(Context),
    up(Context),
    ?assertEqual([3], published(Context)),
    ack(1, false, Context),
    ?assertEqual([5], published(Context)),
    ack(2, false, Context),
    %% After 100 confirms the limit ends.
    lists:foreach(
        fun(Number) ->
            publish([{Number, a}], Context),
            ?assertEqual([Number], published(Context)),
            ack(Number - 3, false, Context)
        end,
        lists:seq(6, 103)
    ),
    publish([{104, a}, {105, a}], Context),
    ?assertEqual([104, 105], published(Context)).

%% Only while a confirm is missing, and the broker does not block.
timeout(Context) ->
    Timeouts = fun() -> maps:get(timeouts, info(Context)) end,
    up(Context),
    ?assertEqual(0, after_timeout(Timeouts)),
    publish(1, Context),
    ?assertNotEqual(0, after_timeout(Timeouts)),
    event(blocked, Context),
    Blocked = Timeouts(),
    ?assertEqual(Blocked, after_timeout(Timeouts)),
    event(unblocked, Context),
    ack(1, false, Context),
    Acknowledged = Timeouts(),
    ?assertEqual(Acknowledged, after_timeout(Timeouts)).

after_timeout(Timeouts) ->
    timer:sleep(3 * ?TIMEOUT),
    Timeouts().

%% Unconfirmed messages are published after the restart, with the same ids.
restarted(Context) ->
    up(Context),
    publish(3, Context),
    First = [Id || {_, Id} <- taken(Context)],
    down(Context),
    stop_publisher(Context),
    Again = start(Context),
    ?assertMatch(#{recovered := 3, received := 0, waiting := 3}, info(Again)),
    up(Again),
    ?assertEqual(First, [Id || {_, Id} <- taken(Again)]),
    stop_publisher(Again).

%%% Random events

random(Seed, Nacks, Context) ->
    _ = rand:seed(exsss, Seed),
    up(Context),
    %% The messages that the channel has not confirmed, with their tags; the next tag; all publications, in
    %% reverse; all confirmed messages.
    Start = #{up => true, open => [], next => 1, published => [], confirmed => []},
    #{published := Published, confirmed := Confirmed} = random(300, Nacks, Start, Context),
    #{received := Received} = info(Context),
    ?assertEqual([], lists:seq(1, Received) -- Confirmed),
    Nacks orelse ?assertEqual(lists:seq(1, Received), first(lists:reverse(Published))).

random(0, _, State, Context) ->
    event(unblocked, Context),
    finish(more(State, Context), Context);
random(Left, Nacks, Before, Context) ->
    State = step(rand:uniform(12), Nacks, Before, Context),
    balanced(info(Context)),
    random(Left - 1, Nacks, more(State, Context), Context).

step(Dice, _, State, Context) when Dice =< 4 ->
    publish(rand:uniform(4), Context),
    State;
step(5, _, #{up := true} = State, Context) ->
    down(Context),
    State#{up := false, open := []};
step(5, _, State, Context) ->
    reconnected(State, Context);
step(6, _, State, Context) ->
    event(blocked, Context),
    State;
step(7, _, State, Context) ->
    event(unblocked, Context),
    State;
step(_, _, #{up := Up, open := Open} = State, _) when not Up; Open =:= [] ->
    State;
step(8, true, #{open := Open} = State, Context) ->
    {Tag, _} = Message = lists:nth(rand:uniform(length(Open)), Open),
    nack(Tag, false, Context),
    State#{open := Open -- [Message]};
step(Dice, _, #{open := Open, confirmed := Confirmed} = State, Context) ->
    {Tag, _} = lists:nth(rand:uniform(length(Open)), Open),
    Multiple = Dice > 10,
    ack(Tag, Multiple, Context),
    {Done, Others} = lists:partition(fun({Other, _}) -> Other =:= Tag orelse (Multiple andalso Other < Tag) end, Open),
    State#{open := Others, confirmed := [Number || {_, Number} <- Done] ++ Confirmed}.

reconnected(State, Context) ->
    up(Context),
    State#{up := true, open := [], next := 1}.

%% Reconnects and confirms until nothing is left.
finish(#{open := Open, confirmed := Confirmed} = State, Context) ->
    case info(Context) of
        #{unconfirmed := 0, waiting := 0} = Info ->
            balanced(Info),
            State;
        #{} when Open =:= [] ->
            down(Context),
            finish(more(reconnected(State, Context), Context), Context);
        #{} ->
            [ack(Tag, false, Context) || {Tag, _} <- Open],
            Next = State#{open := [], confirmed := [Number || {_, Number} <- Open] ++ Confirmed},
            finish(more(Next, Context), Context)
    end.

%% Publications since the last check.
more(#{open := Open, next := Next, published := Published} = State, Context) ->
    Numbers = published(Context),
    State#{
        open := Open ++ lists:enumerate(Next, Numbers),
        next := Next + length(Numbers),
        published := lists:reverse(Numbers, Published)
    }.

%% Without repetitions.
first(Numbers) ->
    {First, _} = lists:foldl(
        fun
            (Number, {First, Seen}) when is_map_key(Number, Seen) -> {First, Seen};
            (Number, {First, Seen}) -> {[Number | First], Seen#{Number => true}}
        end,
        {[], #{}},
        Numbers
    ),
    lists:reverse(First).

balanced(#{received := Received, recovered := Recovered, confirmed := Confirmed, dropped := Dropped} = Info) ->
    #{unroutable := Unroutable, unconfirmed := Unconfirmed, waiting := Waiting} = Info,
    ?assertEqual({Received + Recovered, Info}, {Confirmed + Unroutable + Dropped + Unconfirmed + Waiting, Info}).

%%% The publisher

start() ->
    start(#{dir => string:trim(os:cmd("mktemp -d"))}).

%% A closed port: this process acts as the connection.
start(#{dir := Dir} = Context) ->
    {ok, Publisher} = hep_rabbitmq_publisher:start_link(#{
        nodes => [{"127.0.0.1", 1}],
        window => ?WINDOW,
        in_memory => ?WINDOW,
        spool => #{dir => Dir},
        confirm_timeout => ?TIMEOUT,
        on_confirm => {?MODULE, confirmed}
    }),
    Context#{publisher => Publisher}.

confirmed(_) -> ok.

stop(#{dir := Dir} = Context) ->
    stop_publisher(Context),
    ok = file:del_dir_r(Dir).

stop_publisher(#{publisher := Publisher} = Context) ->
    case is_process_alive(Publisher) of
        true ->
            down(Context),
            ok = gen_server:stop(Publisher);
        false ->
            ok
    end.

up(Context) -> event({up, self()}, Context).

down(Context) -> event({down, test}, Context).

event(Event, #{publisher := Publisher}) -> Publisher ! {hep_rabbitmq_connection, Event}.

ack(Tag, Multiple, #{publisher := Publisher}) -> Publisher ! #'basic.ack'{delivery_tag = Tag, multiple = Multiple}.

nack(Tag, Multiple, #{publisher := Publisher}) -> Publisher ! #'basic.nack'{delivery_tag = Tag, multiple = Multiple}.

info(#{publisher := Publisher}) -> hep_rabbitmq_publisher:info(Publisher).

%% Messages whose body is their number, each of its own call or of the given ones.
publish(Count, Context) when is_integer(Count) ->
    #{received := Received} = info(Context),
    publish([{Number, Number} || Number <- lists:seq(Received + 1, Received + Count)], Context);
publish(Numbers, #{publisher := Publisher}) ->
    Messages = [
        {<<"key">>, #amqp_msg{props = #'P_basic'{correlation_id = term_to_binary(Call)}, payload = integer_to_binary(Number)}}
     || {Number, Call} <- Numbers
    ],
    ok = hep_rabbitmq_publisher:publish(Messages, Publisher).

published(Context) -> [Number || {Number, _} <- taken(Context)].

%% When the publisher replies, it has handled all earlier messages.
taken(Context) ->
    _ = info(Context),
    casts().

casts() ->
    receive
        {'$gen_cast', {cast, #'basic.publish'{}, Message, _, _}} ->
            #amqp_msg{props = #'P_basic'{message_id = Id}, payload = Number} = Message,
            [{binary_to_integer(Number), Id} | casts()]
    after 0 -> []
    end.
