%% @private
%% What a queue of `hep_sender' knows about its spool: the write and the take that are under way, the counters, and how
%% many spooled packets may be sent now. Runs in the sender's process.
%%
%% The packets of a queue are, from the oldest: those that a target is writing, those that a target gave back while
%% there were younger ones in the spool, the spool, the write under way, and the queue in memory.
-module(hep_sender_backlog).

-export([open/2, owner/1, info/1, is_empty/1]).
-export([is_ready/1, write/2, written/3, put_back/2, returned/1]).
-export([take/2, taken/2, ack/3, rewind/1, settled/1, timeout/2]).
-export([arrived/2, update/2, waiting/1, counters/1, has_passed/2, close/4]).

-export_type([backlog/0]).

%% The delay before the next write after an error, and the interval in which the rate is kept, in milliseconds.
-define(RETRY, 1000).
-define(INTERVAL, 100).

-record(backlog, {
    process :: pid(),
    info :: hep_spool:info(),
    writing = [] :: [hep_sender_route:entry()],
    %% Older than the spool.
    returned = [] :: [hep_sender_route:entry()],
    %% A take: `waiting' for the spool's answer, or `taken' by a target.
    take = none :: none | waiting | taken,
    retry :: reference() | undefined,
    %% The number of the last packet that came out of the spool.
    last = -1 :: integer(),
    %% Packets a second on top of those that arrive, and the packets that may be sent in this interval.
    rate :: pos_integer() | infinity,
    credit = 0 :: number(),
    arrived = 0 :: non_neg_integer(),
    since = 0 :: integer(),
    timer :: reference() | undefined
}).

-opaque backlog() :: #backlog{}.

%% Opens the spools of the queues with these targets, for the calling process. There are none without the option
%% `spool'.
-spec open([[hep_sender:target()]], map()) -> {ok, [backlog() | undefined]} | {error, hep_spool:reason()}.
open([Targets | Others], #{spool := #{dir := Dir} = Spool, spool_rate := Rate} = Options) ->
    case hep_sender_spool:start_link(Spool#{dir := filename:join(Dir, folder(Targets))}) of
        {ok, Pid, Info} ->
            Backlog = #backlog{process = Pid, info = Info, rate = Rate, since = now_ms() - ?INTERVAL},
            opened(Backlog, open(Others, Options));
        {error, _} = Error ->
            Error
    end;
open(Queues, _) ->
    {ok, [undefined || _ <- Queues]}.

opened(Backlog, {ok, Others}) -> {ok, [Backlog | Others]};
opened(_, Error) -> Error.

folder([{Host, Port}]) ->
    [uri_string:quote(hep_sender_connection:host(Host)), $_, integer_to_list(Port)];
folder(_) ->
    "failover".

-spec owner(backlog()) -> pid().
owner(#backlog{process = Pid}) -> Pid.

-spec info(backlog()) -> hep_spool:info().
info(#backlog{info = Info}) -> Info.

%% Whether no packet is older than those of the queue in memory.
-spec is_empty(backlog()) -> boolean().
is_empty(#backlog{info = #{records := 0}, writing = [], returned = [], take = none}) -> true;
is_empty(#backlog{}) -> false.

-spec update(hep_spool:info(), backlog()) -> backlog().
update(Info, Backlog) -> Backlog#backlog{info = Info}.

%%% Writing

%% Whether packets can be written now.
-spec is_ready(backlog()) -> boolean().
is_ready(#backlog{writing = [], retry = undefined}) -> true;
is_ready(#backlog{}) -> false.

-spec write([hep_sender_route:entry()], backlog()) -> backlog().
write(Entries, #backlog{process = Pid, writing = []} = Backlog) ->
    ok = hep_sender_spool:write(Pid, Entries),
    Backlog#backlog{writing = Entries}.

%% Returns the packets that were not written. After an error, the next write is delayed.
-spec written(non_neg_integer(), ok | {error, term()}, backlog()) -> {[hep_sender_route:entry()], backlog()}.
written(_, ok, Backlog) ->
    {[], Backlog#backlog{writing = []}};
written(Count, {error, _}, #backlog{writing = Entries} = Backlog) ->
    Timer = erlang:start_timer(?RETRY, self(), spool),
    {lists:nthtail(Count, Entries), Backlog#backlog{writing = [], retry = Timer}}.

%% Keeps packets that a target gave back and that are older than the spool. Two targets may do so, in any order.
-spec put_back([hep_sender_route:entry()], backlog()) -> backlog().
put_back(Entries, #backlog{returned = Returned} = Backlog) ->
    Backlog#backlog{returned = lists:keymerge(2, Entries, Returned)}.

-spec returned(backlog()) -> {[hep_sender_route:entry()], backlog()}.
returned(#backlog{returned = Returned} = Backlog) -> {Returned, Backlog#backlog{returned = []}}.

%%% Reading

%% Asks for the oldest packets, unless a take is under way or the rate does not allow it yet.
-spec take(MaxBytes :: pos_integer(), backlog()) -> backlog().
take(_, #backlog{info = #{records := 0}} = Backlog) ->
    Backlog;
take(MaxBytes, #backlog{take = none} = Backlog) ->
    allowed(MaxBytes, credited(now_ms(), Backlog));
take(_, Backlog) ->
    Backlog.

allowed(MaxBytes, #backlog{process = Pid, credit = Credit} = Backlog) when Credit >= 1 ->
    ok = hep_sender_spool:take(Pid, min(trunc(Credit), 16#ffff), MaxBytes),
    Backlog#backlog{take = waiting};
allowed(_, #backlog{timer = undefined, since = Since} = Backlog) ->
    Delay = max(1, Since + ?INTERVAL - now_ms()),
    Backlog#backlog{timer = erlang:start_timer(Delay, self(), spool)};
allowed(_, Backlog) ->
    Backlog.

%% Unused credit is not kept: a target that was away must not get all at once.
credited(_, #backlog{rate = infinity} = Backlog) ->
    Backlog#backlog{credit = 16#ffff};
credited(Now, #backlog{since = Since, rate = Rate, credit = Left, arrived = Arrived} = Backlog) when
    Now - Since >= ?INTERVAL
->
    Credit = min(Left, 1) + Rate * ?INTERVAL / 1000 + Arrived,
    Backlog#backlog{since = Now, credit = Credit, arrived = 0};
credited(_, Backlog) ->
    Backlog.

%% Records packets that arrived while a target was up: this many more may be sent, so that the spool becomes empty
%% at any rate of new packets.
-spec arrived(non_neg_integer(), backlog()) -> backlog().
arrived(Count, #backlog{arrived = Before} = Backlog) ->
    Backlog#backlog{arrived = Before + Count}.

%% A target writes the packets that were taken.
-spec taken(pos_integer(), backlog()) -> backlog().
taken(Count, #backlog{credit = Credit} = Backlog) ->
    Backlog#backlog{take = taken, credit = Credit - Count}.

%% This many of the taken packets were sent. `Last' is the number of the last one.
-spec ack([hep_sender_route:entry()], last | more, backlog()) -> backlog().
ack([], more, Backlog) ->
    Backlog;
ack(Entries, Which, #backlog{process = Pid, last = Before} = Backlog) ->
    ok = hep_sender_spool:ack(Pid, length(Entries), Which),
    Last = lists:foldl(fun({_, {Number, _, _}}, _) -> Number end, Before, Entries),
    Backlog#backlog{
        last = max(Before, if Last =:= 0 -> -1; true -> Last end),
        take = if Which =:= last -> waiting; true -> taken end
    }.

%% The taken packets that are left become the oldest of the spool again.
-spec rewind(backlog()) -> backlog().
rewind(#backlog{process = Pid} = Backlog) ->
    ok = hep_sender_spool:rewind(Pid),
    Backlog#backlog{take = waiting}.

-spec settled(backlog()) -> backlog().
settled(Backlog) -> Backlog#backlog{take = none}.

-spec timeout(reference(), backlog()) -> backlog().
timeout(Timer, #backlog{retry = Timer} = Backlog) -> Backlog#backlog{retry = undefined};
timeout(Timer, #backlog{timer = Timer} = Backlog) -> Backlog#backlog{timer = undefined};
timeout(_, Backlog) -> Backlog.

%%% Counting

%% The counters of `hep_sender:info/1'.
-spec counters(backlog() | undefined) -> #{atom() => non_neg_integer()}.
counters(undefined) ->
    #{spooled => 0, spool_bytes => 0, spool_recovered => 0, spool_dropped => 0, spool_errors => 0};
counters(#backlog{info = Info}) ->
    #{records := Records, bytes := Bytes, recovered := Recovered, dropped := Dropped, errors := Errors} = Info,
    #{
        spooled => Records,
        spool_bytes => Bytes,
        spool_recovered => Recovered,
        spool_dropped => Dropped,
        spool_errors => Errors
    }.

%% The packets in memory.
-spec waiting(backlog() | undefined) -> [hep_sender_route:entry()].
waiting(undefined) ->
    [];
waiting(#backlog{writing = Writing, returned = Returned}) ->
    Returned ++ Writing.

%% Whether the packets up to this number are neither here nor in the spool.
-spec has_passed(non_neg_integer(), backlog()) -> boolean().
has_passed(Position, #backlog{info = #{records := Records}, last = Last, take = Take} = Backlog) ->
    lists:all(fun({_, {Number, _, _}}) -> Number > Position end, waiting(Backlog)) andalso
        (Last >= Position orelse (Records =:= 0 andalso Take =:= none)).

%%% The end

%% Writes all packets in memory into the spool, in order: those of a target, those that are here, and those of the
%% queue. Closes the spool.
-spec close([hep_sender_route:entry()], [hep_sender_route:entry()], Timeout :: non_neg_integer(), backlog()) -> ok.
close(UnderWay, Queue, Timeout, #backlog{process = Pid, writing = Writing, returned = Returned}) ->
    Left =
        case Writing of
            [] ->
                [];
            _ ->
                receive
                    {spool, Pid, {written, Count, _}, _} -> lists:nthtail(Count, Writing)
                after Timeout -> []
                end
        end,
    hep_sender_spool:close(Pid, lists:keymerge(2, UnderWay, Returned), Left ++ Queue, Timeout).

now_ms() ->
    erlang:monotonic_time(millisecond).
