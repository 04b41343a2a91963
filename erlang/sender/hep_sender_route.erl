%% @private
%% A queue of `hep_sender' and the targets that take from it: one target, or with `failover' all of them. Runs in the
%% sender's process, which passes on the messages of connections and timers.
-module(hep_sender_route).

-export([routes/1, in/2, connection_event/3, connection_ended/3, spool_event/4, timeout/3, has_connection/2, stop/1]).
%% For the tests.
-export([give_back/2]).
-export([position/1, has_passed/2, totals/1, targets/1]).
%% For the strategy `balance'.
-export([is_up/1, has_target/1, has_room/1, others_up/2, release/1]).

-export_type([route/0, packet/0, entry/0]).

%% The interval for reporting dropped packets, and the timeout for connections to end, in milliseconds.
-define(REPORT, 1000).
-define(GRACE, 2000).
%% The size of one write to the spool.
-define(SPOOL_WRITE, 1024 * 1024).

-record(target, {
    %% Its position in the option `targets'.
    id :: pos_integer(),
    address :: hep_sender:target(),
    state = down :: up | connecting | down,
    connection :: pid() | undefined,
    %% Runs while the target is down.
    timer :: reference() | undefined,
    %% Packets passed to the connection but not yet written.
    under_way = [] :: [entry()],
    source = queue :: queue | spool,
    %% Attempts since the last stable connection, and the start of the current one.
    attempts = 0 :: non_neg_integer(),
    since :: integer() | undefined,
    connections = 0 :: non_neg_integer(),
    sent = 0 :: non_neg_integer(),
    sent_bytes = 0 :: non_neg_integer(),
    dropped = 0 :: non_neg_integer(),
    last_error :: undefined | term()
}).

-record(route, {
    queue :: hep_sender_queue:queue(),
    %% The packets added so far; also the number of the last one.
    last = 0 :: non_neg_integer(),
    %% In the order of the options.
    targets :: [#target{}],
    batch_bytes :: pos_integer(),
    backoff :: {Least :: pos_integer(), Most :: pos_integer()},
    %% The arguments for starting connections.
    connection_options :: map(),
    %% With the option `spool'.
    backlog :: hep_sender_backlog:backlog() | undefined,
    %% Whether targets of other routes take the packets while this one has none.
    others_up = false :: boolean(),
    dropped = 0 :: non_neg_integer(),
    %% Dropped packets not yet reported, and the timer of the report.
    unreported = {0, 0} :: hep_sender_queue:dropped(),
    report :: reference() | undefined
}).

-opaque route() :: #route{}.

-type packet() :: {Size :: non_neg_integer(), Frame :: iodata(), hep_sender_balance:place() | none}.
-type entry() ::
    {Size :: non_neg_integer(), {Number :: non_neg_integer(), Frame :: iodata(), hep_sender_balance:place() | none}}.
%% A packet in a queue.

%% Creates the routes of the options for the calling process, and starts to connect.
-spec routes(map()) -> {ok, [route()]} | {error, hep_spool:reason()}.
routes(#{targets := Addresses, strategy := Strategy} = Options) ->
    Targets = [
        #target{id = Id, address = Address}
     || {Id, Address} <- lists:zip(lists:seq(1, length(Addresses)), Addresses)
    ],
    Shared =
        case Strategy of
            failover -> [Targets];
            _ -> [[Target] || Target <- Targets]
        end,
    case hep_sender_backlog:open([addresses(Some) || Some <- Shared], Options) of
        {ok, Backlogs} -> {ok, [new(Some, Backlog, Options) || {Some, Backlog} <- lists:zip(Shared, Backlogs)]};
        {error, _} = Error -> Error
    end.

new(Targets, Backlog, #{queue := Packets, queue_bytes := Bytes} = Options) ->
    Shared = connection_options(Options),
    #route{
        queue = hep_sender_queue:new(Packets, Bytes),
        backlog = Backlog,
        targets = [start(Target, Shared) || Target <- Targets],
        batch_bytes = maps:get(batch_bytes, Options),
        backoff = maps:get(backoff, Options),
        connection_options = Shared
    }.

connection_options(Options) ->
    Tls = maps:get(tls, Options, []),
    Common = maps:with([transport, connect_timeout, send_timeout, resolve_every, sndbuf], Options),
    Common#{sender => self(), tls => fun() -> Tls end}.

%%% Packets

%% Adds packets to the queue, and passes a batch on if a target is ready.
-spec in([packet()], route()) -> route().
in(Packets, #route{queue = Queue, last = Before} = Route) ->
    {Entries, Last} = lists:mapfoldl(
        fun({Size, Frame, Place}, Number) -> {{Size, {Number + 1, Frame, Place}}, Number + 1} end, Before, Packets
    ),
    {Dropped, Longer} = hep_sender_queue:in(Entries, Queue),
    pump(arrived(length(Packets), dropped(Dropped, Route#route{queue = Longer, last = Last}))).

arrived(Count, #route{backlog = Backlog, targets = Targets} = Route) when Backlog =/= undefined ->
    case lists:keymember(up, #target.state, Targets) of
        true -> Route#route{backlog = hep_sender_backlog:arrived(Count, Backlog)};
        false -> Route
    end;
arrived(_, Route) ->
    Route.

%% Passes the next batch to the first target that is up, unless it is still writing the last one.
pump(#route{targets = Targets} = Before) ->
    Route = spill(Before),
    case lists:keyfind(up, #target.state, Targets) of
        #target{under_way = []} = Target -> next_of(Route#route.backlog, Target, Route);
        _ -> Route
    end.

%% The oldest packets: see `hep_sender_backlog'.
next_of(undefined, Target, Route) ->
    next(Target, Route);
next_of(Backlog, Target, #route{batch_bytes = Bytes} = Route) ->
    case {hep_sender_backlog:is_empty(Backlog), hep_sender_backlog:returned(Backlog)} of
        {true, _} -> next(Target, Route);
        {false, {[], _}} -> Route#route{backlog = hep_sender_backlog:take(Bytes, Backlog)};
        {false, {Returned, Other}} -> pass(Returned, queue, Target, Route#route{backlog = Other})
    end.

next(Target, #route{queue = Queue, batch_bytes = Bytes} = Route) ->
    case hep_sender_queue:batch(Bytes, Queue) of
        {[], _} ->
            Route;
        {Batch, Rest} ->
            pass(Batch, queue, Target, Route#route{queue = Rest})
    end.

pass(Batch, Source, #target{connection = Connection} = Target, Route) ->
    ok = hep_sender_connection:batch(Connection, [Frame || {_, {_, Frame, _}} <- Batch]),
    change(Target#target{under_way = Batch, source = Source}, Route).

%% Writes packets to the spool if they cannot be sent soon, or not before others.
spill(#route{backlog = undefined} = Route) ->
    Route;
spill(#route{backlog = Backlog, queue = Queue} = Route) ->
    IsNeeded = hep_sender_queue:is_half_full(Queue) orelse is_waiting(has_target(Route), Route),
    case IsNeeded andalso hep_sender_backlog:is_ready(Backlog) andalso hep_sender_queue:batch(?SPOOL_WRITE, Queue) of
        {[_ | _] = Entries, Rest} ->
            Route#route{queue = Rest, backlog = hep_sender_backlog:write(Entries, Backlog)};
        _ ->
            Route
    end.

%% Whether new packets have to wait for older ones, or for a target. With `balance' they rather go to another one.
is_waiting(true, #route{backlog = Backlog}) -> not hep_sender_backlog:is_empty(Backlog);
is_waiting(false, #route{others_up = OthersUp}) -> not OthersUp.

%% Whether a target is up, or may be so at once.
-spec has_target(route()) -> boolean().
has_target(#route{targets = Targets}) ->
    lists:any(
        fun
            (#target{state = up}) -> true;
            (#target{state = connecting, attempts = 0, connections = 0}) -> true;
            (_) -> false
        end,
        Targets
    ).

dropped({0, 0}, Route) ->
    Route;
dropped(Dropped, #route{report = undefined} = Route) ->
    dropped(Dropped, Route#route{report = erlang:start_timer(?REPORT, self(), report)});
dropped({Packets, Bytes}, #route{dropped = Before, unreported = {Count, Sum}} = Route) ->
    Route#route{dropped = Before + Packets, unreported = {Count + Packets, Sum + Bytes}}.

%%% The spool

%% Handles an answer of a spool. Ignores those of other routes.
-spec spool_event(pid(), Answer, hep_spool:info(), route()) -> route() when
    Answer :: {written, non_neg_integer(), ok | {error, term()}} | {taken, [entry()]} | settled.
spool_event(Pid, Answer, Info, #route{backlog = Backlog} = Route) when Backlog =/= undefined ->
    case hep_sender_backlog:owner(Backlog) of
        Pid ->
            Before = hep_sender_backlog:info(Backlog),
            Updated = Route#route{backlog = hep_sender_backlog:update(Info, Backlog)},
            hep_sender_events:spool(Before, Info, addresses(Route#route.targets), common(Route)),
            pump(answered(Answer, Updated));
        _ ->
            Route
    end;
spool_event(_, _, _, Route) ->
    Route.

answered({written, Count, Result}, #route{backlog = Backlog, queue = Queue} = Route) ->
    {Others, Next} = hep_sender_backlog:written(Count, Result, Backlog),
    {Dropped, Longer} = hep_sender_queue:put_back(Others, Queue),
    dropped(Dropped, Route#route{backlog = Next, queue = Longer});
answered({taken, []}, Route) ->
    settled(Route);
answered({taken, Entries}, #route{backlog = Backlog, targets = Targets} = Route) ->
    case lists:keyfind(up, #target.state, Targets) of
        #target{under_way = []} = Target ->
            Taken = hep_sender_backlog:taken(length(Entries), Backlog),
            pass(Entries, spool, Target, Route#route{backlog = Taken});
        _ ->
            Route#route{backlog = hep_sender_backlog:rewind(Backlog)}
    end;
answered(settled, Route) ->
    settled(Route).

settled(#route{backlog = Backlog} = Route) ->
    Route#route{backlog = hep_sender_backlog:settled(Backlog)}.

%% This many packets of the target's batch were written.
done(Count, #target{under_way = UnderWay} = Target, Route) ->
    {Done, Others} = lists:split(Count, UnderWay),
    change(Target#target{under_way = Others}, acknowledged(Done, Others, Target, Route)).

acknowledged(Done, Others, #target{source = spool}, #route{backlog = Backlog} = Route) when Done =/= [] ->
    Which = if Others =:= [] -> last; true -> more end,
    Route#route{backlog = hep_sender_backlog:ack(Done, Which, Backlog)};
acknowledged(_, _, _, Route) ->
    Route.

%%% Targets

%% Handles an event of a connection. Ignores connections of other routes.
-spec connection_event(pid(), up | {sent, non_neg_integer()} | {refused, term()}, route()) -> route().
connection_event(Connection, Event, Route) ->
    at(Connection, #target.connection, fun(Target) -> event(Event, Target, Route) end, Route).

%% Handles the end of a connection; likewise.
-spec connection_ended(pid(), Reason :: term(), route()) -> route().
connection_ended(Connection, Reason, Route) ->
    at(Connection, #target.connection, fun(Target) -> down(reason(Reason), Target, Route) end, Route).

%% Handles a timeout of a route; likewise.
-spec timeout(reference(), connect | report | spool, route()) -> route().
timeout(Timer, connect, #route{connection_options = Options} = Route) ->
    at(Timer, #target.timer, fun(Target) -> change(start(Target, Options), Route) end, Route);
timeout(Timer, spool, #route{backlog = Backlog} = Route) when Backlog =/= undefined ->
    pump(Route#route{backlog = hep_sender_backlog:timeout(Timer, Backlog)});
timeout(_, spool, Route) ->
    Route;
timeout(Timer, report, #route{report = Timer, unreported = Dropped, targets = Targets} = Route) ->
    hep_sender_events:dropped(Dropped, queue_full, addresses(Targets), common(Route)),
    Route#route{report = undefined, unreported = {0, 0}};
timeout(_, report, Route) ->
    Route.

-spec has_connection(pid(), route()) -> boolean().
has_connection(Pid, #route{targets = Targets}) ->
    lists:keymember(Pid, #target.connection, Targets).

%% Changes the target whose field has this value, then sends if possible.
at(Value, Field, Change, #route{targets = Targets} = Route) ->
    case lists:keyfind(Value, Field, Targets) of
        false -> Route;
        Target -> pump(Change(Target))
    end.

change(#target{id = Id} = Target, #route{targets = Targets} = Route) ->
    Route#route{targets = lists:keyreplace(Id, #target.id, Targets, Target)}.

start(#target{address = Address, attempts = Attempts} = Target, Options) ->
    {ok, Connection} = hep_sender_connection:start_link(Options#{target => Address, attempt => Attempts}),
    Target#target{state = connecting, connection = Connection, timer = undefined}.

event(up, #target{connections = Connections} = Target, Route) ->
    hep_sender_events:up(Target#target.address, common(Route)),
    change(Target#target{state = up, connections = Connections + 1, since = now_ms()}, Route);
event({sent, Count}, #target{sent = Sent, sent_bytes = Bytes, under_way = UnderWay} = Target, Route) ->
    Written = size_of(lists:sublist(UnderWay, Count)),
    done(Count, Target#target{sent = Sent + Count, sent_bytes = Bytes + Written}, Route);
event({refused, Reason}, #target{under_way = [{Size, _} | _], dropped = Dropped} = Target, Route) ->
    hep_sender_events:dropped({1, Size}, Reason, [Target#target.address], common(Route)),
    done(1, Target#target{dropped = Dropped + 1, last_error = Reason}, Route).

%% The connection's unwritten packets go back to the queue.
down(Reason, #target{state = State} = Target, #route{backoff = Backoff} = Route) ->
    State =:= up andalso hep_sender_events:down(Target#target.address, Reason, common(Route)),
    Attempts = attempts(Target, Backoff),
    Down = Target#target{
        state = down,
        connection = undefined,
        timer = erlang:start_timer(hep_sender_connection:delay(Attempts, Backoff), self(), connect),
        under_way = [],
        attempts = Attempts + 1,
        last_error = Reason
    },
    given_back(Target, change(Down, Route)).

given_back(#target{under_way = []}, Route) ->
    Route;
given_back(#target{source = spool}, #route{backlog = Backlog} = Route) ->
    Route#route{backlog = hep_sender_backlog:rewind(Backlog)};
given_back(#target{under_way = UnderWay}, #route{backlog = Backlog, queue = Queue} = Route) ->
    case Backlog =:= undefined orelse hep_sender_backlog:is_empty(Backlog) of
        true ->
            {Dropped, Longer} = give_back(UnderWay, Queue),
            dropped(Dropped, Route#route{queue = Longer});
        false ->
            Route#route{backlog = hep_sender_backlog:put_back(UnderWay, Backlog)}
    end.

%% Keeps the order: another target may have given back an older batch before.
-spec give_back([entry()], hep_sender_queue:queue()) ->
    {hep_sender_queue:dropped(), hep_sender_queue:queue()}.
give_back(Batch, Queue) ->
    give_back(Batch, [], Queue).

give_back([], _, Queue) ->
    {{0, 0}, Queue};
give_back([{_, {Number, _, _}} | _] = Batch, Older, Queue) ->
    case hep_sender_queue:oldest(Queue) of
        {value, {_, {Before, _, _}}} when Before < Number ->
            {Some, Rest} = hep_sender_queue:batch(1, Queue),
            give_back(Batch, Older ++ Some, Rest);
        _ ->
            hep_sender_queue:put_back(Older ++ Batch, Queue)
    end.

%%% The strategy `balance'

-spec is_up(route()) -> boolean().
is_up(#route{targets = Targets}) ->
    lists:keymember(up, #target.state, Targets).

%% Whether the queue takes more from others, so that it drops nothing.
-spec has_room(route()) -> boolean().
has_room(#route{queue = Queue}) ->
    not hep_sender_queue:is_half_full(Queue).

%% Records whether targets of other routes are up.
-spec others_up(boolean(), route()) -> route().
others_up(Is, #route{others_up = Is} = Route) -> Route;
others_up(Is, Route) -> pump(Route#route{others_up = Is}).

%% Takes the oldest packets in memory, but those that are being written.
-spec release(route()) -> {[entry()], route()}.
release(#route{backlog = undefined} = Route) ->
    from_queue(Route);
release(#route{backlog = Backlog, queue = Queue} = Route) ->
    case hep_sender_backlog:returned(Backlog) of
        {[], _} ->
            from_queue(Route);
        {Returned, Other} ->
            {Some, Others} = lists:split(min(length(Returned), hep_sender_queue:half(Queue)), Returned),
            {Some, Route#route{backlog = hep_sender_backlog:put_back(Others, Other)}}
    end.

from_queue(#route{queue = Queue, batch_bytes = Bytes} = Route) ->
    {Entries, Rest} = hep_sender_queue:batch(hep_sender_queue:half(Queue), Bytes, Queue),
    {Entries, Route#route{queue = Rest}}.

reason({shutdown, Reason}) -> Reason;
reason(Reason) -> Reason.

%% A collector that accepts connections and closes them at once gets the same delay as one that accepts none.
attempts(#target{state = up, since = Since, attempts = Attempts}, {_, Most}) ->
    case now_ms() - Since >= Most of
        true -> 0;
        false -> Attempts
    end;
attempts(#target{attempts = Attempts}, _) ->
    Attempts.

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% Events

addresses(Targets) -> [Address || #target{address = Address} <- Targets].

%% The metadata of all events.
common(#route{connection_options = Options}) -> maps:with([sender, transport], Options).

%%% The end

%% Ends all connections. With a spool, the packets that wait are written to it.
-spec stop([route()]) -> ok.
stop(Routes) ->
    Connected = [
        Target
     || #route{targets = Targets} <- Routes, #target{connection = Pid} = Target <- Targets, is_pid(Pid)
    ],
    Ending = [
        {Pid, monitor(process, Pid), end_connection(Target)}
     || #target{connection = Pid} = Target <- Connected
    ],
    Deadline = now_ms() + ?GRACE,
    lists:foreach(fun({Connection, Monitor, _}) -> await(Connection, Monitor, Deadline) end, Ending),
    lists:foreach(fun keep/1, [Route || #route{backlog = Backlog} = Route <- Routes, Backlog =/= undefined]).

%% What a connection did not report as written may come again.
keep(#route{targets = Targets} = Before) ->
    #route{backlog = Backlog, queue = Queue} = Route = lists:foldl(fun last_events/2, Before, Targets),
    UnderWay = lists:append([Entries || #target{source = queue, under_way = Entries} <- Route#route.targets]),
    {Waiting, _} = hep_sender_queue:batch(16#ffffffffffff, Queue),
    hep_sender_backlog:close(lists:keysort(2, UnderWay), Waiting, ?GRACE, Backlog).

last_events(#target{connection = Connection, id = Id} = Target, Route) when is_pid(Connection) ->
    receive
        {connection, Connection, Event} when Event =/= up ->
            Next = event(Event, Target, Route),
            last_events(lists:keyfind(Id, #target.id, Next#route.targets), Next)
    after 0 ->
        Route
    end;
last_events(_, Route) ->
    Route.

%% Only established connections need time to end.
end_connection(#target{state = up, connection = Connection}) -> exit(Connection, shutdown);
end_connection(#target{connection = Connection}) -> exit(Connection, kill).

await(Connection, Monitor, Deadline) ->
    receive
        {'DOWN', Monitor, process, Connection, _} -> ok
    after max(0, Deadline - now_ms()) ->
        exit(Connection, kill),
        ok
    end.

%%% Counters

%% The number of packets added so far.
-spec position(route()) -> non_neg_integer().
position(#route{last = Last}) -> Last.

%% Whether all packets up to this number were sent or dropped.
-spec has_passed(Position :: non_neg_integer(), route()) -> boolean().
has_passed(Position, #route{backlog = Backlog, targets = Targets} = Route) ->
    Waiting = [Number || #target{under_way = [{_, {Number, _, _}} | _]} <- Targets],
    has_passed(Position, Waiting, Route) andalso
        (Backlog =:= undefined orelse hep_sender_backlog:has_passed(Position, Backlog)).

has_passed(Position, Waiting, #route{queue = Queue}) ->
    case hep_sender_queue:oldest(Queue) of
        {value, {_, {Number, _, _}}} -> lists:min([Number | Waiting]) > Position;
        empty -> Waiting =:= [] orelse lists:min(Waiting) > Position
    end.

%% The packets in memory that wait or are being written, and their bytes.
queued(#route{queue = Queue, targets = Targets, backlog = Backlog}) ->
    UnderWay = [Entries || #target{source = queue, under_way = Entries} <- Targets],
    Entries = lists:append([hep_sender_backlog:waiting(Backlog) | UnderWay]),
    {hep_sender_queue:packets(Queue) + length(Entries), hep_sender_queue:bytes(Queue) + size_of(Entries)}.

%% The counters of the queue and of all its targets.
-spec totals(route()) -> #{atom() => non_neg_integer()}.
totals(#route{targets = Targets, dropped = Dropped, backlog = Backlog} = Route) ->
    {Queued, Bytes} = queued(Route),
    #{spool_dropped := Lost} = Spool = hep_sender_backlog:counters(Backlog),
    Spool#{
        queued => Queued,
        queued_bytes => Bytes,
        sent => sum(fun(#target{sent = Sent}) -> Sent end, Targets),
        sent_bytes => sum(fun(#target{sent_bytes = SentBytes}) -> SentBytes end, Targets),
        dropped => Lost + Dropped + sum(fun(#target{dropped = Refused}) -> Refused end, Targets)
    }.

%% The counters of each target. If a queue has a single target, its counters count for the target.
-spec targets(route()) -> [hep_sender:target_info()].
targets(#route{targets = [Target]} = Route) ->
    [maps:merge(describe(Target), totals(Route))];
targets(#route{targets = Targets}) ->
    [describe(Target) || Target <- Targets].

describe(#target{under_way = UnderWay, connections = Connections} = Target) ->
    #{
        target => Target#target.address,
        state => Target#target.state,
        queued => length(UnderWay),
        queued_bytes => size_of(UnderWay),
        sent => Target#target.sent,
        sent_bytes => Target#target.sent_bytes,
        dropped => Target#target.dropped,
        reconnects => max(0, Connections - 1),
        last_error => Target#target.last_error
    }.

size_of(Entries) ->
    sum(fun({Size, _}) -> Size end, Entries).

sum(Number, List) ->
    lists:sum([Number(Element) || Element <- List]).
