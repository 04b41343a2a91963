%% @private Receives the datagrams of one socket of a {@link hep_listener}, and gives them to its handler.
%%
%% The socket is the owner's: this process only reads it, so that nothing that the kernel holds is lost with it, and the
%% port is free as soon as the owner has ended, whatever the handler is at here.
-module(hep_listener_shard).

-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What a network may report to a socket that never sends: no reason to end.
-define(TRANSIENT, [econnrefused, ehostunreach, enetunreach, eintr]).
%% How often the table is looked at while the owner opens the port again, in milliseconds.
-define(REOPENED, 10).
%% In words: room for a batch and its datagrams, so that no garbage collection runs while a batch is processed.
-define(SPACE, [{min_heap_size, 50_000}, {min_bin_vheap_size, 200_000}, {fullsweep_after, 20}]).

-record(state, {
    shared :: hep_listener_batch:shared(),
    shard :: pos_integer(),
    socket :: hep_listener_socket:socket() | undefined,
    batch :: hep_listener_batch:batch()
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

%% The socket of the present owner.
handle_continue(attach, #state{shared = #{table := Table}, shard = Shard} = State) ->
    {ok, Sockets} = hep_listener_table:get(sockets, Table),
    read(State#state{socket = lists:nth(Shard, Sockets)}).

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({'$socket', Socket, _, _}, #state{socket = Socket} = State) ->
    read(State);
handle_info(read, State) ->
    read(State);
handle_info(attach, State) ->
    {noreply, State, {continue, attach}};
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info(_, State) ->
    {noreply, State}.

terminate(Reason, #state{batch = Batch}) ->
    hep_listener_batch:stop(Reason, Batch).

%% A batch, and the messages that have come meanwhile before the next one.
read(#state{shared = #{active := Most}, batch = Before} = State) ->
    {Next, Batch} = datagrams(Most, State#state.socket, hep_listener_batch:new(Before)),
    read(Next, State#state{batch = hep_listener_batch:flush(Batch)}).

read(more, State) ->
    self() ! read,
    {noreply, State};
read(wait, State) ->
    {noreply, State};
read({error, closed}, State) ->
    _ = erlang:send_after(?REOPENED, self(), attach),
    {noreply, State#state{socket = undefined}};
read({error, Reason}, State) ->
    {stop, {socket, Reason}, State}.

datagrams(0, _, Batch) ->
    {more, Batch};
datagrams(Left, Socket, Batch) ->
    case hep_listener_socket:recv(Socket) of
        {ok, {Ip, Port}, Bytes} ->
            Meta = hep_listener_batch:meta({hep_listener_batch:ip(Ip), Port}, Bytes, Batch),
            datagrams(Left - 1, Socket, hep_listener_batch:packet(Bytes, Meta, Batch));
        {wait, _} ->
            {wait, Batch};
        {error, Reason} = Error ->
            case lists:member(Reason, ?TRANSIENT) of
                true -> datagrams(Left - 1, Socket, Batch);
                false -> {Error, Batch}
            end
    end.
