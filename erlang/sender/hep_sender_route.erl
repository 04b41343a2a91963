%% @private
%% A queue of `hep_sender' and the targets that take from it: one target, or with failover all of them. Runs in the
%% sender's process, which passes on the messages of connections and timers.
-module(hep_sender_route).

-export([routes/1, in/2, connection_event/3, connection_ended/3, timeout/3, has_connection/2, stop/1]).
%% For the tests.
-export([delay/2, give_back/2]).
-export([position/1, has_passed/2, totals/1, targets/1]).

-export_type([route/0]).

%% The interval for reporting dropped packets, and the timeout for connections to end, in milliseconds.
-define(REPORT, 1000).
-define(GRACE, 2000).

-record(target, {
    %% Its position in the option `targets'.
    id :: pos_integer(),
    address :: hep_sender:target(),
    state = down :: up | connecting | down,
    connection :: pid() | undefined,
    %% Runs while the target is down.
    timer :: reference() | undefined,
    %% Packets passed to the connection but not yet written.
    under_way = [] :: [hep_sender_queue:entry()],
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
    %% The entries are `{Number, Frame}'.
    queue :: hep_sender_queue:queue(),
    %% The packets added so far; also the number of the last one.
    last = 0 :: non_neg_integer(),
    %% In the order of the options.
    targets :: [#target{}],
    batch_bytes :: pos_integer(),
    backoff :: {Least :: pos_integer(), Most :: pos_integer()},
    %% The arguments for starting connections.
    connection_options :: map(),
    dropped = 0 :: non_neg_integer(),
    %% Dropped packets not yet reported, and the timer of the report.
    unreported = {0, 0} :: hep_sender_queue:dropped(),
    report :: reference() | undefined
}).

-opaque route() :: #route{}.

%% Creates the routes of the options for the calling process, and starts to connect.
-spec routes(map()) -> [route()].
routes(#{targets := Addresses, strategy := Strategy} = Options) ->
    Targets = [
        #target{id = Id, address = Address}
     || {Id, Address} <- lists:zip(lists:seq(1, length(Addresses)), Addresses)
    ],
    Shared =
        case Strategy of
            all -> [[Target] || Target <- Targets];
            failover -> [Targets]
        end,
    [new(Some, Options) || Some <- Shared].

new(Targets, #{queue := Packets, queue_bytes := Bytes} = Options) ->
    Shared = connection_options(Options),
    #route{
        queue = hep_sender_queue:new(Packets, Bytes),
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
-spec in([{Size :: non_neg_integer(), Frame :: iodata()}], route()) -> route().
in(Frames, #route{queue = Queue, last = Before} = Route) ->
    {Entries, Last} = lists:mapfoldl(
        fun({Size, Frame}, Number) -> {{Size, {Number + 1, Frame}}, Number + 1} end, Before, Frames
    ),
    {Dropped, Longer} = hep_sender_queue:in(Entries, Queue),
    pump(dropped(Dropped, Route#route{queue = Longer, last = Last})).

%% Passes the next batch to the first target that is up, unless it is still writing the last one.
pump(#route{targets = Targets} = Route) ->
    case lists:keyfind(up, #target.state, Targets) of
        #target{under_way = []} = Target -> next(Target, Route);
        _ -> Route
    end.

next(#target{connection = Connection} = Target, #route{queue = Queue, batch_bytes = Bytes} = Route) ->
    case hep_sender_queue:batch(Bytes, Queue) of
        {[], _} ->
            Route;
        {Batch, Rest} ->
            ok = hep_sender_connection:batch(Connection, [Frame || {_, {_, Frame}} <- Batch]),
            change(Target#target{under_way = Batch}, Route#route{queue = Rest})
    end.

dropped({0, 0}, Route) ->
    Route;
dropped(Dropped, #route{report = undefined} = Route) ->
    dropped(Dropped, Route#route{report = erlang:start_timer(?REPORT, self(), report)});
dropped({Packets, Bytes}, #route{dropped = Before, unreported = {Count, Sum}} = Route) ->
    Route#route{dropped = Before + Packets, unreported = {Count + Packets, Sum + Bytes}}.

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
-spec timeout(reference(), connect | report, route()) -> route().
timeout(Timer, connect, #route{connection_options = Options} = Route) ->
    at(Timer, #target.timer, fun(Target) -> change(start(Target, Options), Route) end, Route);
timeout(Timer, report, #route{report = Timer, unreported = Dropped, targets = Targets} = Route) ->
    notify_dropped(Dropped, queue_full, Targets, Route),
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
    notify(up, #{}, Target, Route),
    change(Target#target{state = up, connections = Connections + 1, since = now_ms()}, Route);
event({sent, Count}, #target{under_way = UnderWay, sent = Sent, sent_bytes = Bytes} = Target, Route) ->
    {Written, Others} = lists:split(Count, UnderWay),
    change(Target#target{under_way = Others, sent = Sent + Count, sent_bytes = Bytes + size_of(Written)}, Route);
event({refused, Reason}, #target{under_way = [{Size, _} | Others], dropped = Dropped} = Target, Route) ->
    notify_dropped({1, Size}, Reason, [Target], Route),
    change(Target#target{under_way = Others, dropped = Dropped + 1, last_error = Reason}, Route).

%% The connection's unwritten packets go back to the queue.
down(Reason, #target{state = State, under_way = UnderWay} = Target, #route{queue = Queue, backoff = Backoff} = Route) ->
    State =:= up andalso notify(down, #{reason => Reason}, Target, Route),
    Attempts = attempts(Target, Backoff),
    Down = Target#target{
        state = down,
        connection = undefined,
        timer = erlang:start_timer(delay(Attempts, Backoff), self(), connect),
        under_way = [],
        attempts = Attempts + 1,
        last_error = Reason
    },
    {Dropped, Longer} = give_back(UnderWay, Queue),
    dropped(Dropped, change(Down, Route#route{queue = Longer})).

%% Keeps the order: another target may have given back an older batch before.
-spec give_back([hep_sender_queue:entry()], hep_sender_queue:queue()) ->
    {hep_sender_queue:dropped(), hep_sender_queue:queue()}.
give_back(Batch, Queue) ->
    give_back(Batch, [], Queue).

give_back([], _, Queue) ->
    {{0, 0}, Queue};
give_back([{_, {Number, _}} | _] = Batch, Older, Queue) ->
    case hep_sender_queue:oldest(Queue) of
        {value, {_, {Before, _}}} when Before < Number ->
            {Some, Rest} = hep_sender_queue:batch(1, Queue),
            give_back(Batch, Older ++ Some, Rest);
        _ ->
            hep_sender_queue:put_back(Older ++ Batch, Queue)
    end.

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

%% Doubles with each attempt; subtracts a random part, up to half.
-spec delay(Attempts :: non_neg_integer(), {Least :: pos_integer(), Most :: pos_integer()}) -> pos_integer().
delay(Attempts, {Least, Most}) ->
    Longest = min(Most, Least bsl min(Attempts, 31)),
    Longest div 2 + rand:uniform(Longest - Longest div 2).

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% Events

notify(What, Reason, #target{address = Address}, Route) ->
    Metadata = maps:merge((metadata(Route))#{target => Address}, Reason),
    hep_telemetry:execute([hep, sender, What], #{count => 1}, Metadata).

notify_dropped({Packets, Bytes}, Reason, Targets, Route) ->
    Addresses = [Address || #target{address = Address} <- Targets],
    Metadata = (metadata(Route))#{targets => Addresses, reason => Reason},
    hep_telemetry:execute([hep, sender, dropped], #{count => Packets, bytes => Bytes}, Metadata).

metadata(#route{connection_options = #{sender := Sender, transport := Transport}}) ->
    #{sender => Sender, transport => Transport}.

%%% The end

%% Ends all connections.
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
    lists:foreach(fun({Connection, Monitor, _}) -> await(Connection, Monitor, Deadline) end, Ending).

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
has_passed(Position, #route{queue = Queue, targets = Targets}) ->
    Waiting = [Number || #target{under_way = [{_, {Number, _}} | _]} <- Targets],
    case hep_sender_queue:oldest(Queue) of
        {value, {_, {Number, _}}} -> lists:min([Number | Waiting]) > Position;
        empty -> Waiting =:= [] orelse lists:min(Waiting) > Position
    end.

%% The packets that wait or are being written.
queued(#route{queue = Queue, targets = Targets}) ->
    hep_sender_queue:packets(Queue) + sum(fun(#target{under_way = UnderWay}) -> length(UnderWay) end, Targets).

%% The counters of the queue and of all its targets.
-spec totals(route()) -> #{queued | queued_bytes | sent | sent_bytes | dropped => non_neg_integer()}.
totals(#route{queue = Queue, targets = Targets, dropped = Dropped} = Route) ->
    UnderWay = sum(fun(#target{under_way = Entries}) -> size_of(Entries) end, Targets),
    #{
        queued => queued(Route),
        queued_bytes => hep_sender_queue:bytes(Queue) + UnderWay,
        sent => sum(fun(#target{sent = Sent}) -> Sent end, Targets),
        sent_bytes => sum(fun(#target{sent_bytes = Bytes}) -> Bytes end, Targets),
        dropped => Dropped + sum(fun(#target{dropped = Refused}) -> Refused end, Targets)
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
