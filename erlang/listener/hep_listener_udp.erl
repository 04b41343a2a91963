%% @private Receives the datagrams of one socket of a {@link hep_listener}, and gives them to its handler.
%%
%% The socket is the listener's, which lends it: a process that ends in any other way than being killed gives it back,
%% open, and what the kernel holds waits for the next one. `{active, N}' bounds what waits in the process while the
%% handler is at work.
-module(hep_listener_udp).

-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What a network may report to a socket that never sends: no reason to end.
-define(TRANSIENT, [econnrefused, ehostunreach, enetunreach, eintr]).
%% In words: room for a batch and its datagrams, so that nothing is moved while it is in hand.
-define(SPACE, [{min_heap_size, 50_000}, {min_bin_vheap_size, 200_000}, {fullsweep_after, 20}]).

-record(state, {
    listener :: pid(),
    %% None before the listener lends it.
    socket :: gen_udp:socket() | undefined,
    batch :: hep_listener_batch:batch(),
    active :: pos_integer()
}).

-spec start_link(hep_listener_batch:shared(), Shard :: pos_integer()) -> gen_server:start_ret().
start_link(Shared, Shard) ->
    gen_server:start_link(?MODULE, {Shared, Shard}, [{spawn_opt, ?SPACE}]).

init({#{listener := Listener, active := Active} = Shared, Shard}) ->
    process_flag(trap_exit, true),
    case hep_listener_batch:start(Shared) of
        {ok, Batch} ->
            ok = hep_listener:borrow(Listener, Shard),
            {ok, #state{listener = Listener, batch = Batch, active = Active}};
        {error, Reason} ->
            {stop, {handler, Reason}}
    end.

handle_call(_, _, State) ->
    {reply, ok, State}.

handle_cast({lent, Socket}, State) ->
    activated(State#state{socket = Socket});
handle_cast(_, State) ->
    {noreply, State}.

handle_info({udp, Socket, Ip, Port, Bytes}, #state{socket = Socket, batch = Before, active = Active} = State) ->
    First = packet(Ip, Port, Bytes, hep_listener_batch:new(Before)),
    Batch = batch(Socket, Active - 1, First),
    {noreply, State#state{batch = hep_listener_batch:flush(Batch)}};
handle_info({udp_passive, Socket}, #state{socket = Socket} = State) ->
    activated(State);
handle_info({udp_error, Socket, Reason}, #state{socket = Socket} = State) ->
    case lists:member(Reason, ?TRANSIENT) of
        true -> {noreply, State};
        false -> {stop, {socket, Reason}, State}
    end;
handle_info({udp_closed, Socket}, #state{socket = Socket} = State) ->
    {stop, {socket, closed}, State};
handle_info({'EXIT', Other, Reason}, #state{socket = Socket} = State) when Reason =/= normal; Other =:= Socket ->
    {stop, Reason, State};
handle_info(_, State) ->
    {noreply, State}.

terminate(Reason, #state{listener = Listener, socket = Socket, batch = Batch}) ->
    _ = Socket =/= undefined andalso given_back(Socket, Listener),
    hep_listener_batch:stop(Reason, Batch).

%% What waits in this process goes with it.
given_back(Socket, Listener) ->
    _ = inet:setopts(Socket, [{active, false}]),
    gen_udp:controlling_process(Socket, Listener).

activated(#state{socket = Socket, active = Active} = State) ->
    case inet:setopts(Socket, [{active, Active}]) of
        ok -> {noreply, State};
        {error, Reason} -> {stop, {socket, Reason}, State}
    end.

%% With what has come in since.
batch(_, 0, Batch) ->
    Batch;
batch(Socket, Left, Batch) ->
    receive
        {udp, Socket, Ip, Port, Bytes} -> batch(Socket, Left - 1, packet(Ip, Port, Bytes, Batch))
    after 0 -> Batch
    end.

packet(Ip, Port, Bytes, Batch) ->
    Meta = hep_listener_batch:meta({hep_listener_batch:ip(Ip), Port}, Bytes, Batch),
    hep_listener_batch:packet(Bytes, Meta, Batch).
