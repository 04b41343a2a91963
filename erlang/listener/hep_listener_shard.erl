%% @private Receives the datagrams of one socket of a {@link hep_listener}, and passes them to its handler.
%%
%% The socket belongs to the owner; this process only reads it. So datagrams in the kernel survive a crash of this
%% process, and the port is free as soon as the owner has ended, even while a handler is busy here. The process reads on
%% when the handler has returned; meanwhile, datagrams wait in the kernel.
%%
%% Waking up for a datagram costs far more than reading it. Under load, this process sleeps for `max_delay' between its
%% reads, then reads everything that has arrived. It waits for the socket's message instead when too few datagrams
%% arrive for a pause to pay, or so many that the kernel's buffer could overflow in a pause. The first datagram after
%% a silence is read at once.
-module(hep_listener_shard).

-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% Errors that a network may report to a socket that never sends: the shard continues.
-define(TRANSIENT, [econnrefused, ehostunreach, enetunreach]).
%% The interval for polling the table while the owner reopens the port, in milliseconds.
-define(REOPENED, 10).
%% The waiting time, in milliseconds, when the system lacks memory to read.
-define(NO_MEMORY, 100).
%% The maximum size of one read.
-define(BYTES, 1_048_576).
%% With fewer datagrams per pause, waking up for each is cheaper (`make load', part cpu).
-define(LEAST, 4).
%% The buffer space that a datagram below 1.3 KB takes on Linux; the part of the buffer that a pause may fill.
-define(KERNEL_SIZE, 2304).
-define(PART, 4).
%% In words: room for a batch and its datagrams, so that no garbage collection runs while a batch is processed.
-define(SPACE, [{min_heap_size, 50_000}, {min_bin_vheap_size, 200_000}, {fullsweep_after, 20}]).

-record(state, {
    shared :: hep_listener_batch:shared(),
    shard :: pos_integer(),
    socket :: hep_listener_socket:socket() | undefined,
    batch :: hep_listener_batch:batch(),
    %% The next read: a timer, or the socket's message.
    timer :: reference() | undefined,
    wait :: hep_listener_socket:wait() | undefined,
    %% Too few datagrams for pauses, pauses, too many for pauses. The datagrams since a time, in microseconds.
    flow = few :: few | some | many,
    count = 0 :: non_neg_integer(),
    since = 0 :: integer(),
    %% The number of datagrams per pause that is sure to fit the kernel's buffer.
    most = 0 :: non_neg_integer()
}).

-spec start_link(hep_listener_batch:shared(), Shard :: pos_integer()) -> gen_server:start_ret().
start_link(Shared, Shard) ->
    gen_server:start_link(?MODULE, {Shared, Shard}, [{spawn_opt, ?SPACE}]).

init({Shared, Shard}) ->
    process_flag(trap_exit, true),
    case hep_listener_batch:start(Shared) of
        {ok, Batch} -> {ok, #state{shared = Shared, shard = Shard, batch = Batch}, {continue, attach}};
        {error, Reason} -> {stop, {handler, Reason}}
    end.

%% Gets the socket of the current owner.
handle_continue(attach, #state{shared = #{table := Table}, shard = Shard} = State) ->
    {ok, Sockets} = hep_listener_table:get(sockets, Table),
    Socket = lists:nth(Shard, Sockets),
    read(State#state{socket = Socket, most = most(hep_listener_socket:recbuf(Socket)), flow = few}).

most(undefined) -> 0;
most(Size) -> Size div ?KERNEL_SIZE div ?PART.

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({timeout, Timer, ?MODULE}, #state{timer = Timer} = State) ->
    read(State#state{timer = undefined});
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info({?MODULE, attach}, State) ->
    {noreply, State, {continue, attach}};
handle_info(Message, #state{socket = Socket, wait = Wait} = State) ->
    case hep_listener_socket:awaited(Message, {Wait, Socket}) of
        ready -> read(State);
        {error, Reason} -> failed(Reason, State);
        other -> other(Message, State)
    end.

%% A message of a closed socket, or one that is no longer awaited.
other({'$socket', _, _, _}, State) -> {noreply, State};
other(Message, #state{batch = Batch} = State) -> {noreply, State#state{batch = hep_listener_batch:info(Message, Batch)}}.

terminate(Reason, #state{batch = Batch}) ->
    hep_listener_batch:stop(Reason, Batch).

%%% When to read

%% The timer's message comes after those in the mailbox, so that a flood of datagrams cannot starve them.
pause(Milliseconds, State) ->
    {noreply, State#state{timer = start_timer(Milliseconds), wait = undefined}}.

%% A timer of 0 would take a millisecond.
start_timer(0) ->
    Timer = make_ref(),
    self() ! {timeout, Timer, ?MODULE},
    Timer;
start_timer(Milliseconds) ->
    erlang:start_timer(Milliseconds, self(), ?MODULE).

wait(#state{socket = Socket} = State) ->
    case hep_listener_socket:wait(Socket) of
        ready -> pause(0, State);
        {wait, Wait} -> {noreply, State#state{wait = Wait}};
        {error, Reason} -> failed(Reason, State)
    end.

read(#state{shared = #{batch_packets := Most}, socket = Socket, batch = Before} = State) ->
    case hep_listener_socket:read(Socket, Most, ?BYTES) of
        {Left, Datagrams} when is_list(Datagrams) ->
            Batch = lists:foldl(fun add/2, hep_listener_batch:new(Before), Datagrams),
            read(Left, length(Datagrams), State#state{batch = hep_listener_batch:flush(Batch)});
        {error, Reason} ->
            failed(Reason, State)
    end.

add({Source, Bytes}, Batch) ->
    hep_listener_batch:datagram(Bytes, Source, Batch).

read(more, New, #state{count = Count} = State) ->
    pause(0, State#state{count = Count + New});
read(all, _, #state{shared = #{max_delay := 0}} = State) ->
    wait(State);
read(all, New, #state{shared = #{max_delay := Delay}, count = Before, since = Since} = State) ->
    Now = erlang:monotonic_time(microsecond),
    Count = Before + New,
    Pause = Delay * 1000,
    case Now - Since of
        Passed when Passed >= Pause -> flows(flow(Count * Pause div Passed, State), New, Now, State);
        %% Enough for a full pause before its end.
        _ when State#state.flow =:= few, Count >= ?LEAST -> flows(flow(Count, State), New, Now, State);
        _ -> wait(State#state{count = Count})
    end.

%% The mode for this number of datagrams per pause.
flow(Count, _) when Count < ?LEAST -> few;
flow(Count, #state{most = Most}) when Count > Most -> many;
flow(_, _) -> some.

flows(some, _, Now, #state{shared = #{max_delay := Delay}} = State) ->
    pause(Delay, State#state{flow = some, count = 0, since = Now});
flows(Flow, New, Now, State) ->
    wait(State#state{flow = Flow, count = New, since = Now}).

%%% Errors

failed(closed, State) ->
    _ = erlang:send_after(?REOPENED, self(), {?MODULE, attach}),
    {noreply, State#state{wait = undefined}};
failed(nif_unloaded, #state{shared = Shared} = State) ->
    ok = hep_listener_owner:nif_unloaded(Shared),
    {noreply, State#state{wait = undefined}};
failed(Reason, State) when Reason =:= enomem; Reason =:= enobufs ->
    pause(?NO_MEMORY, State);
failed(Reason, State) ->
    case lists:member(Reason, ?TRANSIENT) of
        true -> pause(0, State);
        false -> {stop, {socket, Reason}, State}
    end.
