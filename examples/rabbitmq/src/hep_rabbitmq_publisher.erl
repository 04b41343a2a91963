%% @doc Publishes messages, and counts every one until the broker has confirmed it.
%%
%% At most `window' messages are unconfirmed at a time. While the window is full or the broker is blocked or gone,
%% messages wait in the buffer. When a connection is lost, its unconfirmed messages are published again, first and in
%% order: the broker may then have them twice, with one id.
%%
%% {@link info/1}: `received = confirmed + unroutable + dropped + unconfirmed + waiting', at any time.
-module(hep_rabbitmq_publisher).

-behaviour(gen_server).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([start_link/1, publish/2, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, info/0]).

-type options() :: #{
    window => pos_integer(),
    max_messages => pos_integer(),
    max_bytes => pos_integer(),
    queues => pos_integer(),
    on_confirm => {module(), Function :: atom()},
    atom() => term()
}.
%% And those of {@link hep_rabbitmq_connection}.
%% <dl>
%% <dt>`window'</dt><dd>the most unconfirmed messages: 1000 by default. They are lost when this VM is killed</dd>
%% <dt>`max_messages', `max_bytes'</dt><dd>the limits of the buffer, 100,000 and 64 MiB by default</dd>
%% <dt>`queues'</dt><dd>the number of queues, 8 by default; the same for all bridges and consumers</dd>
%% <dt>`on_confirm'</dt><dd>a function that gets the list of the ids of confirmed messages</dd>
%% </dl>

-type info() :: #{atom() => term()}.
%% <dl>
%% <dt>`received'</dt><dd>messages that the publisher got</dd>
%% <dt>`confirmed'</dt><dd>messages that the broker has, on disk and on the majority of the nodes</dd>
%% <dt>`unroutable'</dt><dd>messages that the broker has no queue for; they are lost</dd>
%% <dt>`dropped'</dt><dd>messages that did not fit the buffer; they are lost</dd>
%% <dt>`unconfirmed', `waiting'</dt><dd>published and not confirmed, not published</dd>
%% <dt>`published_again'</dt><dd>messages published once more, after a lost connection or a negative confirm</dd>
%% <dt>`nacked'</dt><dd>negative confirms: the message is published again, after later ones of its call</dd>
%% <dt>`connects', `blocks'</dt><dd>how often the publisher was connected, and blocked by the broker</dd>
%% <dt>`connected', `blocked'</dt><dd>whether it is</dd>
%% </dl>

-define(DEFAULTS, #{window => 1000, max_messages => 100_000, max_bytes => 64 * 1024 * 1024, queues => 8}).
%% Milliseconds: how long a stopped publisher waits for confirms; the pause before the new connection that follows a
%% negative one.
-define(LAST_CONFIRMS, 5000).
-define(PAUSE, 200).

-record(state, {
    options :: options(),
    connection :: pid(),
    channel :: pid() | undefined,
    blocked = false :: boolean(),
    %% After a negative confirm, until there is a new connection.
    paused = false :: boolean() | reconnecting,
    %% Ids of messages are that of this process with a number.
    id :: binary(),
    number = 1 :: pos_integer(),
    %% Messages with the position of their first publication.
    position = 1 :: pos_integer(),
    window :: hep_rabbitmq_window:window({pos_integer(), hep_rabbitmq_message:message()}),
    %% Messages to publish again, oldest first, then those that were never published.
    again = [] :: [{pos_integer(), hep_rabbitmq_message:message()}],
    buffer :: hep_rabbitmq_buffer:buffer(),
    %% The ids of messages without a queue; their confirm follows.
    returned = #{} :: #{binary() => true},
    counters :: #{atom() => non_neg_integer()}
}).

%%% The API

-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, maps:merge(?DEFAULTS, Options), []).

%% @doc Takes messages over. Does not wait for the broker.
-spec publish([hep_rabbitmq_message:message()], gen_server:server_ref()) -> ok.
publish(Messages, Publisher) ->
    gen_server:call(Publisher, {publish, Messages}, infinity).

-spec info(gen_server:server_ref()) -> info().
info(Publisher) ->
    gen_server:call(Publisher, info).

%%% The server

init(#{queues := Queues, window := Window} = Options) ->
    process_flag(trap_exit, true),
    Self = self(),
    Setup = fun(Channel) -> setup(Channel, Self, Queues) end,
    {ok, Connection} = hep_rabbitmq_connection:start_link(Options#{setup => Setup}),
    Names = [received, confirmed, unroutable, dropped, published_again, nacked, connects, blocks],
    {ok, #state{
        options = Options,
        connection = Connection,
        id = binary:encode_hex(crypto:strong_rand_bytes(8)),
        window = hep_rabbitmq_window:new(Window),
        buffer = hep_rabbitmq_buffer:new(Options),
        counters = maps:from_keys(Names, 0)
    }}.

setup(Channel, Publisher, Queues) ->
    ok = hep_rabbitmq_topology:declare(Channel, Queues),
    #'confirm.select_ok'{} = amqp_channel:call(Channel, #'confirm.select'{}),
    ok = amqp_channel:register_confirm_handler(Channel, Publisher),
    ok = amqp_channel:register_return_handler(Channel, Publisher).

handle_call({publish, Messages}, _, State) ->
    {reply, ok, go_on(lists:foldl(fun receive_message/2, State, Messages))};
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
    {Messages, Others} = hep_rabbitmq_window:take(Number, Multiple, Window),
    confirmed([hep_rabbitmq_message:id(Message) || {_, Message} <- Messages], State#state{window = Others});
event(#'basic.nack'{delivery_tag = Number, multiple = Multiple}, #state{window = Window, again = Again} = State) ->
    {Messages, Others} = hep_rabbitmq_window:take(Number, Multiple, Window),
    count(nacked, length(Messages), State#state{window = Others, again = lists:merge(Again, Messages), paused = true});
event({#'basic.return'{}, #amqp_msg{props = #'P_basic'{message_id = Id}}}, #state{returned = Returned} = State) ->
    State#state{returned = Returned#{Id => true}};
%% RabbitMQ 3.10: a channel that was opened before a queue had a new leader rejects all messages for ever.
event(reconnect, #state{connection = Connection} = State) ->
    ok = hep_rabbitmq_connection:reconnect(Connection),
    State;
event({hep_rabbitmq_connection, {up, Channel}}, State) ->
    count(connects, 1, State#state{channel = Channel, blocked = false});
event({hep_rabbitmq_connection, {down, _}}, State) ->
    disconnected(State);
event({hep_rabbitmq_connection, blocked}, State) ->
    count(blocks, 1, State#state{blocked = true});
event({hep_rabbitmq_connection, unblocked}, State) ->
    State#state{blocked = false};
event(_, State) ->
    State.

%% All confirms of a channel come before the news of its end.
disconnected(#state{window = Window, again = Again, options = #{window := Limit}} = State) ->
    State#state{
        channel = undefined,
        paused = false,
        window = hep_rabbitmq_window:new(Limit),
        again = lists:merge(Again, hep_rabbitmq_window:messages(Window)),
        returned = #{}
    }.

confirmed(Ids, #state{returned = Returned, options = Options} = State) ->
    {Unroutable, Confirmed} = lists:partition(fun(Id) -> is_map_key(Id, Returned) end, Ids),
    case Options of
        #{on_confirm := {Module, Function}} -> Module:Function(Confirmed);
        #{} -> ok
    end,
    Counted = count(unroutable, length(Unroutable), count(confirmed, length(Confirmed), State)),
    Counted#state{returned = maps:without(Unroutable, Returned)}.

%% Stopped: the last messages are published, and their confirms are awaited.
terminate(_, State) ->
    _ = erlang:send_after(?LAST_CONFIRMS, self(), last_confirms),
    last_confirms(State).

last_confirms(#state{channel = undefined} = State) ->
    stopped(State);
last_confirms(State) ->
    case pending(State) of
        0 ->
            stopped(State);
        _ ->
            receive
                last_confirms -> stopped(State);
                {'EXIT', _, _} -> stopped(State);
                Message -> last_confirms(go_on(event(Message, State)))
            end
    end.

stopped(State) ->
    case pending(State) of
        0 -> ok;
        Lost -> logger:error("RabbitMQ: stopped with ~b messages that are not confirmed", [Lost])
    end.

pending(State) ->
    #{unconfirmed := Unconfirmed, waiting := Waiting} = info_map(State),
    Unconfirmed + Waiting.

%%% Publishing

receive_message(Message, #state{id = Process, number = Number, buffer = Buffer} = State) ->
    Id = <<Process/binary, $-, (integer_to_binary(Number))/binary>>,
    {Dropped, Added} = hep_rabbitmq_buffer:in(hep_rabbitmq_message:with_id(Id, Message), Buffer),
    count(received, 1, count(dropped, Dropped, State#state{number = Number + 1, buffer = Added})).

%% Publishes what waits, as far as the window allows.
go_on(#state{channel = Channel, blocked = Blocked} = State) when Channel =:= undefined; Blocked ->
    State;
go_on(#state{paused = reconnecting} = State) ->
    State;
%% Nothing new is published before the rejected messages, so only messages of one window can change their order.
go_on(#state{paused = true, window = Window} = State) ->
    case hep_rabbitmq_window:size(Window) of
        0 ->
            _ = erlang:send_after(?PAUSE, self(), reconnect),
            State#state{paused = reconnecting};
        _ ->
            State
    end;
go_on(#state{window = Window} = State) ->
    case hep_rabbitmq_window:is_full(Window) of
        true -> State;
        false -> publish_next(State)
    end.

publish_next(#state{again = [{Position, Message} | Others]} = State) ->
    go_on(count(published_again, 1, publish_message(Position, Message, State#state{again = Others})));
publish_next(#state{buffer = Buffer, position = Position} = State) ->
    case hep_rabbitmq_buffer:out(Buffer) of
        {empty, _} -> State;
        {Message, Others} ->
            Next = State#state{buffer = Others, position = Position + 1},
            go_on(publish_message(Position, Message, Next))
    end.

publish_message(Position, {Key, Content} = Message, #state{channel = Channel, window = Window} = State) ->
    Method = #'basic.publish'{exchange = hep_rabbitmq_topology:exchange(), routing_key = Key, mandatory = true},
    ok = amqp_channel:cast(Channel, Method, Content),
    State#state{window = hep_rabbitmq_window:add({Position, Message}, Window)}.

%%% Helpers

count(Name, Number, #state{counters = Counters} = State) ->
    State#state{counters = maps:update_with(Name, fun(Old) -> Old + Number end, Counters)}.

info_map(#state{counters = Counters, window = Window, again = Again, buffer = Buffer} = State) ->
    Counters#{
        unconfirmed => hep_rabbitmq_window:size(Window),
        waiting => length(Again) + hep_rabbitmq_buffer:size(Buffer),
        connected => State#state.channel =/= undefined,
        blocked => State#state.blocked
    }.
