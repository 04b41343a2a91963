%% @doc Publishes messages, and keeps count of each until the broker has confirmed it.
%%
%% At most `window' messages are unconfirmed at a time. While the window is full or the broker is blocked or
%% unreachable, messages wait in the {@link hep_rabbitmq_buffer}: on disk, if there is a `spool'. When a connection is
%% lost, its unconfirmed messages are published again, first and in order: the broker may then have them twice, with the
%% same id.
%%
%% {@link info/1}: `received + recovered = confirmed + unroutable + dropped + unconfirmed + waiting', at any time.
-module(hep_rabbitmq_publisher).

-behaviour(gen_server).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([start_link/1, publish/2, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, info/0]).

-type options() :: #{
    window => pos_integer(),
    spool => none | hep_spool:options(),
    in_memory => pos_integer(),
    max_messages => pos_integer(),
    max_bytes => pos_integer(),
    confirm_timeout => pos_integer(),
    queues => pos_integer(),
    on_confirm => {module(), Function :: atom()},
    atom() => term()
}.
%% See also the options of {@link hep_rabbitmq_connection}.
%% <dl>
%% <dt>`window'</dt><dd>the maximum number of unconfirmed messages: 1000 by default. They are lost if this VM is
%%   killed</dd>
%% <dt>`spool'</dt><dd>the disk queue for waiting messages, see {@link hep_spool}: `none' by default</dd>
%% <dt>`in_memory'</dt><dd>with a spool, the maximum number of messages that wait in memory while the broker is slow:
%%   5000 by default. They are also lost if this VM is killed</dd>
%% <dt>`max_messages', `max_bytes'</dt><dd>the limits for messages that wait in memory without a spool, or when its disk
%%   cannot be written: 100,000 and 64 MiB by default</dd>
%% <dt>`confirm_timeout'</dt><dd>the milliseconds without a confirm after which the publisher reconnects: 10,000 by
%%   default. A channel opened before a queue's leader may get no confirms</dd>
%% <dt>`queues'</dt><dd>the number of queues, 8 by default; the same for all bridges and consumers</dd>
%% <dt>`on_confirm'</dt><dd>a function that gets the list of the ids of confirmed messages</dd>
%% </dl>

-type info() :: #{atom() => term()}.
%% <dl>
%% <dt>`received'</dt><dd>messages from the handler</dd>
%% <dt>`recovered'</dt><dd>messages read from the disk once more: they were there at the start, or had been
%%   confirmed when the connection was lost</dd>
%% <dt>`confirmed'</dt><dd>messages that the broker has stored on the majority of the nodes</dd>
%% <dt>`unroutable'</dt><dd>messages for which the broker has no queue; they are lost</dd>
%% <dt>`dropped'</dt><dd>messages that did not fit in memory or on disk, or were unreadable on disk; they are lost</dd>
%% <dt>`unconfirmed', `waiting'</dt><dd>messages published but not confirmed; messages to publish, possibly again</dd>
%% <dt>`on_disk', `spool_errors'</dt><dd>the unconfirmed and waiting messages in the spool; failed
%%   operations on its files</dd>
%% <dt>`published_again'</dt><dd>messages published again after a lost connection or a negative
%%   confirm</dd>
%% <dt>`nacked'</dt><dd>negative confirms: the message is published again; unless the channel was new, possibly after
%%   later ones of its call</dd>
%% <dt>`connects', `blocks', `timeouts'</dt><dd>the number of connections, of blocks by the broker, and of reconnects
%%   due to `confirm_timeout'</dd>
%% <dt>`connected', `blocked'</dt><dd>the current state</dd>
%% </dl>

-define(DEFAULTS, #{
    window => 1000,
    spool => none,
    in_memory => 5000,
    max_messages => 100_000,
    max_bytes => 64 * 1024 * 1024,
    confirm_timeout => 10_000,
    queues => 8
}).
%% Milliseconds: how long a stopped publisher waits for confirms; the pause before reconnecting after a
%% negative one.
-define(LAST_CONFIRMS, 5000).
-define(PAUSE, 200).
%% The number of checks per `confirm_timeout'.
-define(CHECKS, 5).
%% A new channel has at most one unconfirmed message per call until this many messages are confirmed: RabbitMQ may
%% reject the first message for a queue and accept the next one, while a new leader of the queue is elected.
-define(UNPROVEN, 100).

-record(state, {
    options :: options(),
    connection :: pid(),
    channel :: pid() | undefined,
    blocked = false :: boolean(),
    %% After a negative confirm, until the next connection.
    paused = false :: boolean() | reconnecting,
    %% The ids of messages are that of this process with a number.
    id :: binary(),
    number = 1 :: pos_integer(),
    %% The position of the next publication, and the unconfirmed messages with the position of their first one.
    position = 1 :: pos_integer(),
    window :: hep_rabbitmq_window:window(entry()),
    %% The number of confirms that the channel still needs, and the calls with an unconfirmed message until then.
    unproven = ?UNPROVEN :: non_neg_integer(),
    calls = #{} :: #{binary() | undefined => true},
    %% Messages to publish next, oldest first, most of them for the second time. They are older than those in the
    %% buffer.
    again = [] :: [entry()],
    buffer :: hep_rabbitmq_buffer:buffer(),
    %% The messages that were taken from the disk: the first position, their number, and the number of unconfirmed ones.
    taken = none :: none | {First :: pos_integer(), Count :: pos_integer(), Left :: pos_integer()},
    %% The time of the last confirm, in milliseconds, or of the first unconfirmed message after that.
    progress = 0 :: integer(),
    %% The ids of messages without a queue; their confirm follows.
    returned = #{} :: #{binary() => true},
    counters :: #{atom() => non_neg_integer()}
}).

-type entry() :: {Position :: pos_integer(), disk | memory, hep_rabbitmq_message:message()}.

%%% The API

-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, maps:merge(?DEFAULTS, Options), []).

%% @doc Accepts messages. Does not wait for the broker.
-spec publish([hep_rabbitmq_message:message()], gen_server:server_ref()) -> ok.
publish(Messages, Publisher) ->
    gen_server:call(Publisher, {publish, Messages}, infinity).

-spec info(gen_server:server_ref()) -> info().
info(Publisher) ->
    gen_server:call(Publisher, info).

%%% The server

init(#{queues := Queues} = Options) ->
    process_flag(trap_exit, true),
    case hep_rabbitmq_buffer:open(Options) of
        {ok, Buffer} ->
            Self = self(),
            Setup = fun(Channel) -> setup(Channel, Self, Queues) end,
            {ok, Connection} = hep_rabbitmq_connection:start_link(Options#{setup => Setup}),
            Names = [
                received, recovered, confirmed, unroutable, dropped, published_again, nacked, connects, blocks, timeouts
            ],
            {ok, schedule_check(#state{
                options = Options,
                connection = Connection,
                id = binary:encode_hex(crypto:strong_rand_bytes(8)),
                window = hep_rabbitmq_window:new(),
                buffer = Buffer,
                counters = maps:from_keys(Names, 0)
            })};
        {error, Reason} ->
            {stop, Reason}
    end.

setup(Channel, Publisher, Queues) ->
    ok = hep_rabbitmq_topology:declare(Channel, Queues),
    #'confirm.select_ok'{} = amqp_channel:call(Channel, #'confirm.select'{}),
    ok = amqp_channel:register_confirm_handler(Channel, Publisher),
    ok = amqp_channel:register_return_handler(Channel, Publisher).

handle_call({publish, Messages}, _, State) ->
    {reply, ok, go_on(received(Messages, State))};
handle_call(info, _, State) ->
    {reply, info_map(State), State};
handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State};
handle_info(Message, State) ->
    {noreply, go_on(event(Message, State))}.

event(#'basic.ack'{delivery_tag = Number, multiple = Multiple}, #state{window = Window} = State) ->
    {Entries, Others} = hep_rabbitmq_window:take(Number, Multiple, Window),
    confirmed(Entries, progressed(proven(Entries, State#state{window = Others})));
event(#'basic.nack'{delivery_tag = Number, multiple = Multiple}, #state{window = Window, again = Again} = State) ->
    {Entries, Others} = hep_rabbitmq_window:take(Number, Multiple, Window),
    Next = State#state{window = Others, again = lists:merge(Again, Entries), paused = true},
    count(nacked, length(Entries), count(published_again, length(Entries), Next));
event({#'basic.return'{}, #amqp_msg{props = #'P_basic'{message_id = Id}}}, #state{returned = Returned} = State) ->
    State#state{returned = Returned#{Id => true}};
%% RabbitMQ 3.10: a channel that is older than a queue's leader rejects all messages until it is closed.
event(reconnect, #state{connection = Connection} = State) ->
    ok = hep_rabbitmq_connection:reconnect(Connection),
    State;
event(check_confirms, State) ->
    schedule_check(check_confirms(State));
event({hep_rabbitmq_connection, {up, Channel}}, State) ->
    count(connects, 1, progressed(State#state{channel = Channel, blocked = false, unproven = ?UNPROVEN, calls = #{}}));
event({hep_rabbitmq_connection, {down, _}}, State) ->
    disconnected(State);
event({hep_rabbitmq_connection, blocked}, State) ->
    count(blocks, 1, State#state{blocked = true});
event({hep_rabbitmq_connection, unblocked}, State) ->
    progressed(State#state{blocked = false});
event(_, State) ->
    State.

schedule_check(#state{options = #{confirm_timeout := Timeout}} = State) ->
    _ = erlang:send_after(max(1, Timeout div ?CHECKS), self(), check_confirms),
    State.

check_confirms(#state{window = Window, channel = Channel, blocked = Blocked, progress = Progress} = State) ->
    #state{options = #{confirm_timeout := Timeout}, connection = Connection} = State,
    IsWaiting = Channel =/= undefined andalso not Blocked andalso hep_rabbitmq_window:size(Window) > 0,
    case erlang:monotonic_time(millisecond) - Progress of
        Passed when IsWaiting, Passed >= Timeout ->
            ok = hep_rabbitmq_connection:reconnect(Connection),
            count(timeouts, 1, progressed(State));
        _ when IsWaiting ->
            State;
        _ ->
            progressed(State)
    end.

progressed(State) -> State#state{progress = erlang:monotonic_time(millisecond)}.

%% All confirms of a channel arrive before its end is reported. Messages from the disk are read again; the others are
%% put before the waiting messages, unless the disk has older ones.
disconnected(#state{window = Window, again = Again} = State) ->
    Unconfirmed = hep_rabbitmq_window:messages(Window),
    {FromDisk, InMemory} = lists:partition(fun({_, Origin, _}) -> Origin =:= disk end, lists:merge(Again, Unconfirmed)),
    Rewound = rewind([Position || {Position, _, _} <- FromDisk], State),
    Next = Rewound#state{channel = undefined, paused = false, window = hep_rabbitmq_window:new(), returned = #{}},
    count(published_again, length(Unconfirmed), put_back(InMemory, Next)).

%% The spool is rewound to the first unconfirmed message.
rewind(_, #state{taken = none} = State) ->
    State;
rewind([Oldest | _] = Unconfirmed, #state{taken = {First, Count, _}, buffer = Buffer} = State) ->
    Done = Oldest - First,
    Rewound = hep_rabbitmq_buffer:rewind(hep_rabbitmq_buffer:ack(Done, Buffer)),
    count(recovered, Count - Done - length(Unconfirmed), State#state{taken = none, buffer = Rewound}).

put_back(Entries, #state{buffer = Buffer} = State) ->
    case hep_rabbitmq_buffer:on_disk(Buffer) of
        0 ->
            Messages = [Message || {_, _, Message} <- Entries],
            State#state{again = [], buffer = hep_rabbitmq_buffer:in_front(Messages, Buffer)};
        _ ->
            State#state{again = Entries}
    end.

proven(_, #state{unproven = 0} = State) ->
    State;
proven(Entries, #state{unproven = Unproven, calls = Calls} = State) ->
    case max(0, Unproven - length(Entries)) of
        0 ->
            State#state{unproven = 0, calls = #{}};
        Left ->
            Confirmed = [hep_rabbitmq_message:call(Message) || {_, _, Message} <- Entries],
            State#state{unproven = Left, calls = maps:without(Confirmed, Calls)}
    end.

confirmed(Entries, #state{returned = Returned, options = Options} = State) ->
    Ids = [hep_rabbitmq_message:id(Message) || {_, _, Message} <- Entries],
    {Unroutable, Confirmed} = lists:partition(fun(Id) -> is_map_key(Id, Returned) end, Ids),
    case Options of
        #{on_confirm := {Module, Function}} -> Module:Function(Confirmed);
        #{} -> ok
    end,
    Counted = count(unroutable, length(Unroutable), count(confirmed, length(Confirmed), State)),
    done(length([disk || {_, disk, _} <- Entries]), Counted#state{returned = maps:without(Unroutable, Returned)}).

%% This many messages from the disk are done. When all are, the next ones can be taken.
done(0, State) ->
    State;
done(Number, #state{taken = {_, Count, Number}, buffer = Buffer} = State) ->
    State#state{taken = none, buffer = hep_rabbitmq_buffer:ack(Count, Buffer)};
done(Number, #state{taken = {First, Count, Left}} = State) ->
    State#state{taken = {First, Count, Left - Number}}.

%% Stopped: the last messages are published, and their confirms are awaited. The others go to the disk.
terminate(_, State) ->
    _ = erlang:send_after(?LAST_CONFIRMS, self(), last_confirms),
    last_confirms(State).

last_confirms(#state{channel = undefined} = State) ->
    stopped(State);
last_confirms(State) ->
    case info_map(State) of
        #{unconfirmed := 0, waiting := 0} ->
            stopped(State);
        #{} ->
            receive
                last_confirms -> stopped(State);
                {'EXIT', _, _} -> stopped(State);
                Message -> last_confirms(go_on(event(Message, State)))
            end
    end.

stopped(State) ->
    #state{again = Again, buffer = Buffer} = disconnected(State),
    case hep_rabbitmq_buffer:close(hep_rabbitmq_buffer:in([Message || {_, _, Message} <- Again], Buffer)) of
        0 -> ok;
        Lost -> logger:error("RabbitMQ: stopped with ~b messages that are not confirmed", [Lost])
    end.

%%% Publishing

received(Messages, #state{id = Process, number = First, buffer = Buffer} = State) ->
    Numbered = lists:enumerate(First, Messages),
    WithIds = [
        hep_rabbitmq_message:with_id(<<Process/binary, $-, (integer_to_binary(Number))/binary>>, Message)
     || {Number, Message} <- Numbered
    ],
    Next = State#state{number = First + length(Messages), buffer = hep_rabbitmq_buffer:in(WithIds, Buffer)},
    count(received, length(Messages), Next).

%% Publishes waiting messages, as far as the window allows. Without the broker they go to the disk.
go_on(#state{channel = Channel, blocked = Blocked, buffer = Buffer} = State) when Channel =:= undefined; Blocked ->
    State#state{buffer = hep_rabbitmq_buffer:store(Buffer)};
go_on(#state{paused = reconnecting} = State) ->
    State;
%% No new message is published before the rejected ones, so only messages of one window can change their order.
go_on(#state{paused = true, window = Window} = State) ->
    case hep_rabbitmq_window:size(Window) of
        0 ->
            _ = erlang:send_after(?PAUSE, self(), reconnect),
            State#state{paused = reconnecting};
        _ ->
            State
    end;
go_on(#state{window = Window, options = #{window := Limit}} = State) ->
    case Limit - hep_rabbitmq_window:size(Window) of
        0 -> State;
        Free -> publish_next(Free, State)
    end.

publish_next(_, #state{again = [Entry | Others]} = State) ->
    case is_call_open(Entry, State) of
        true -> State;
        false -> go_on(publish_entry(Entry, State#state{again = Others}))
    end;
publish_next(Free, #state{buffer = Buffer, position = First} = State) ->
    case hep_rabbitmq_buffer:out(Free, Buffer) of
        {_, [], Same} ->
            State#state{buffer = Same};
        {Origin, Messages, Others} ->
            Count = length(Messages),
            Taken = case Origin of disk -> {First, Count, Count}; memory -> State#state.taken end,
            Entries = [{Position, Origin, Message} || {Position, Message} <- lists:enumerate(First, Messages)],
            go_on(State#state{buffer = Others, position = First + Count, taken = Taken, again = Entries})
    end.

is_call_open({_, _, invalid}, _) -> false;
is_call_open({_, _, Message}, #state{calls = Calls}) -> is_map_key(hep_rabbitmq_message:call(Message), Calls).

%% Written by another version of this example.
publish_entry({_, disk, invalid}, State) ->
    done(1, count(dropped, 1, State));
publish_entry({_, _, {Key, Content} = Message} = Entry, #state{channel = Channel, window = Window} = State) ->
    Method = #'basic.publish'{exchange = hep_rabbitmq_topology:exchange(), routing_key = Key, mandatory = true},
    ok = amqp_channel:cast(Channel, Method, Content),
    opened(Message, State#state{window = hep_rabbitmq_window:add(Entry, Window)}).

opened(_, #state{unproven = 0} = State) -> State;
opened(Message, #state{calls = Calls} = State) -> State#state{calls = Calls#{hep_rabbitmq_message:call(Message) => true}}.

%%% Helpers

count(Name, Number, #state{counters = Counters} = State) ->
    State#state{counters = maps:update_with(Name, fun(Old) -> Old + Number end, Counters)}.

info_map(#state{counters = Counters, window = Window, again = Again, buffer = Buffer} = State) ->
    #{waiting := Waiting, on_disk := OnDisk} = Buffered = hep_rabbitmq_buffer:info(Buffer),
    Sums = maps:merge_with(fun(_, Own, Other) -> Own + Other end, Counters, Buffered),
    Done = case State#state.taken of none -> 0; {_, Count, Left} -> Count - Left end,
    Sums#{
        on_disk => OnDisk - Done,
        unconfirmed => hep_rabbitmq_window:size(Window),
        waiting => length(Again) + Waiting,
        connected => State#state.channel =/= undefined,
        blocked => State#state.blocked
    }.
