%% @doc Writes the packets of its queues as JSON lines, and acknowledges them once they are on disk.
%%
%% All consumers of a group subscribe to all queues. The broker assigns a queue to the first one, and to another one
%% when the first one ends. To share the queues, each consumer subscribes to its own share at once, and to the others
%% after `standby' milliseconds.
%%
%% Each packet is written at least once. It is written again if its acknowledgement did not reach the broker.
-module(hep_rabbitmq_consumer).

-behaviour(gen_server).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([start_link/1, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0]).

-type options() :: #{
    file := file:name_all(),
    queues => pos_integer(),
    group => {Number :: pos_integer(), Consumers :: pos_integer()},
    prefetch => 1..65535,
    standby => non_neg_integer(),
    atom() => term()
}.
%% See also the options of {@link hep_rabbitmq_connection}.
%% <dl>
%% <dt>`file'</dt><dd>the file of JSON lines, see {@link hep_rabbitmq_line}</dd>
%% <dt>`queues'</dt><dd>the number of queues, 8 by default; the same for all bridges and consumers</dd>
%% <dt>`group'</dt><dd>the number of this consumer and of all consumers: `{1, 1}' by default. Determines its own
%%   queues</dd>
%% <dt>`prefetch'</dt><dd>the maximum number of unacknowledged messages of a queue, 200 by default</dd>
%% <dt>`standby'</dt><dd>the delay before it subscribes to the queues of the others: 2000 ms by default</dd>
%% </dl>

-define(DEFAULTS, #{queues => 8, group => {1, 1}, prefetch => 200, standby => 2000}).
%% Milliseconds between attempts to open a file.
-define(RETRY, 2000).
%% Messages of one write.
-define(BATCH, 500).

-record(state, {
    options :: options(),
    writer :: hep_rabbitmq_writer:writer() | undefined,
    connection :: pid() | undefined,
    channel :: pid() | undefined,
    %% Lines to write, in reverse, their number, and the number of the last message.
    lines = [] :: [iolist()],
    count = 0 :: non_neg_integer(),
    last = 0 :: non_neg_integer(),
    written = 0 :: non_neg_integer(),
    redelivered = 0 :: non_neg_integer(),
    write_errors = 0 :: non_neg_integer()
}).

-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, maps:merge(?DEFAULTS, Options), []).

%% @doc `written', `redelivered' (lines), `write_errors' and `connected'.
-spec info(gen_server:server_ref()) -> #{atom() => term()}.
info(Consumer) ->
    gen_server:call(Consumer, info).

init(Options) ->
    process_flag(trap_exit, true),
    {ok, #state{options = Options}, {continue, open}}.

handle_continue(open, State) ->
    {noreply, open(State)}.

handle_call(info, _, #state{written = Written, redelivered = Redelivered, write_errors = Errors} = State) ->
    Info = #{
        written => Written,
        redelivered => Redelivered,
        write_errors => Errors,
        connected => State#state.channel =/= undefined
    },
    next({reply, Info, State});
handle_call(_, _, State) ->
    next({reply, {error, unknown_call}, State}).

handle_cast(_, State) ->
    next({noreply, State}).

handle_info(timeout, State) ->
    {noreply, flush(State)};
handle_info({'EXIT', Connection, Reason}, #state{connection = Connection} = State) ->
    {stop, Reason, State};
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info(Message, State) ->
    next({noreply, event(Message, State)}).

%% Writes when the mailbox has no more messages.
next(Result) ->
    State = element(tuple_size(Result), Result),
    case State#state.count of
        0 -> Result;
        Count when Count >= ?BATCH -> setelement(tuple_size(Result), Result, flush(State));
        _ -> erlang:append_element(Result, 0)
    end.

%% Messages of a lost channel are delivered again.
event({#'basic.deliver'{}, _}, #state{channel = undefined} = State) ->
    State;
event({#'basic.deliver'{delivery_tag = Number, redelivered = Redelivered}, Message}, State) ->
    #state{lines = Lines, count = Count, redelivered = Before} = State,
    Line = hep_rabbitmq_line:new(Redelivered, Message, os:system_time(microsecond)),
    State#state{
        lines = [Line | Lines],
        count = Count + 1,
        last = Number,
        redelivered = Before + case Redelivered of true -> 1; false -> 0 end
    };
%% The queue was deleted, or lost its leader: a new connection declares it again.
event(#'basic.cancel'{}, #state{connection = Connection} = State) when is_pid(Connection) ->
    ok = hep_rabbitmq_connection:reconnect(Connection),
    State;
event({hep_rabbitmq_connection, {up, Channel}}, #state{options = #{standby := Standby} = Options} = State) ->
    _ = erlang:send_after(Standby, self(), {standby, Channel}),
    {Own, _} = shares(Options),
    ok = subscribe(Channel, Own),
    State#state{channel = Channel};
event({standby, Channel}, #state{channel = Channel, options = Options} = State) ->
    {_, Others} = shares(Options),
    ok = subscribe(Channel, Others),
    State;
event({hep_rabbitmq_connection, {down, _}}, State) ->
    forgotten(State#state{channel = undefined});
event(open, State) ->
    open(State);
event(_, State) ->
    State.

%% The broker redelivers unacknowledged messages.
forgotten(State) ->
    State#state{lines = [], count = 0}.

terminate(_, State) ->
    #state{writer = Writer} = flush(State),
    Writer =:= undefined orelse hep_rabbitmq_writer:close(Writer).

%%% The queues

setup(Channel, #{queues := Queues, prefetch := Prefetch}) ->
    ok = hep_rabbitmq_topology:declare(Channel, Queues),
    #'basic.qos_ok'{} = amqp_channel:call(Channel, #'basic.qos'{prefetch_count = Prefetch}).

subscribe(Channel, Queues) ->
    try
        lists:foreach(
            fun(Queue) ->
                #'basic.consume_ok'{} = amqp_channel:subscribe(Channel, #'basic.consume'{queue = Queue}, self())
            end,
            Queues
        )
    catch
        %% The channel has ended; the message `down' follows.
        exit:_ -> ok
    end.

shares(#{queues := Count, group := {Number, Consumers}}) ->
    Numbered = lists:enumerate(hep_rabbitmq_topology:queues(Count)),
    IsOwn = fun({Position, _}) -> Position rem Consumers =:= Number rem Consumers end,
    {Own, Others} = lists:partition(IsOwn, Numbered),
    {[Queue || {_, Queue} <- Own], [Queue || {_, Queue} <- Others]}.

%%% The file

%% Connects only with an open file, so a consumer that cannot write leaves the queues to the others.
open(#state{options = #{file := File} = Options} = State) ->
    case hep_rabbitmq_writer:open(File) of
        {ok, Writer} ->
            Setup = fun(Channel) -> setup(Channel, Options) end,
            {ok, Connection} = hep_rabbitmq_connection:start_link(Options#{setup => Setup}),
            State#state{writer = Writer, connection = Connection};
        {error, Reason} ->
            unwritable(Reason, State)
    end.

flush(#state{count = 0} = State) ->
    State;
flush(#state{lines = Lines, count = Count, writer = Writer, channel = Channel} = State) ->
    #state{last = Last, written = Before} = State,
    case hep_rabbitmq_writer:write(lists:reverse(Lines), Writer) of
        {ok, After} ->
            ok = amqp_channel:cast(Channel, #'basic.ack'{delivery_tag = Last, multiple = true}),
            forgotten(State#state{writer = After, written = Before + Count});
        {error, Reason} ->
            ok = hep_rabbitmq_writer:close(Writer),
            unwritable(Reason, disconnected(State))
    end.

disconnected(#state{connection = Connection} = State) ->
    unlink(Connection),
    ok = gen_server:stop(Connection),
    forgotten(State#state{connection = undefined, channel = undefined, writer = undefined}).

unwritable(Reason, #state{options = #{file := File}, write_errors = Errors} = State) ->
    logger:error("~ts cannot be written: ~ts", [File, file:format_error(Reason)]),
    _ = erlang:send_after(?RETRY, self(), open),
    State#state{write_errors = Errors + 1}.
