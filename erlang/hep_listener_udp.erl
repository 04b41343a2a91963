%% @private Reads the datagrams of one socket of a {@link hep_listener}, and gives them to its handler.
%%
%% The socket belongs to the listener: when this process ends, what the kernel holds waits for the next one. Datagrams
%% are read when the handler is done with those before, so that none wait in the process.
-module(hep_listener_udp).

-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What a network may report to a socket that never sends: no reason to end.
-define(TRANSIENT, [econnrefused, ehostunreach, enetunreach, eintr]).

-record(state, {
    socket :: socket:socket(),
    intake :: hep_listener_intake:intake(),
    %% The largest batch, and how many datagrams are read before another message is looked at.
    active :: pos_integer(),
    read_packets :: pos_integer()
}).

-spec start_link(hep_listener_intake:shared(), socket:socket()) -> gen_server:start_ret().
start_link(Shared, Socket) ->
    gen_server:start_link(?MODULE, {Shared, Socket}, [{spawn_opt, [{fullsweep_after, 20}]}]).

init({#{active := Active, read_packets := ReadPackets} = Shared, Socket}) ->
    process_flag(trap_exit, true),
    case hep_listener_intake:start(Shared) of
        {ok, Intake} ->
            self() ! read,
            {ok, #state{socket = Socket, intake = Intake, active = Active, read_packets = ReadPackets}};
        {error, Reason} ->
            {stop, {handler, Reason}}
    end.

handle_call(_, _, State) ->
    {reply, ok, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info(read, State) ->
    turn(State#state.read_packets, State);
handle_info({'$socket', Socket, select, _}, #state{socket = Socket} = State) ->
    turn(State#state.read_packets, State);
handle_info({'$socket', Socket, abort, {_, Reason}}, #state{socket = Socket} = State) ->
    {stop, {socket, Reason}, State};
handle_info({'EXIT', _, normal}, State) ->
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State};
handle_info(_, State) ->
    {noreply, State}.

terminate(Reason, #state{intake = Intake}) ->
    hep_listener_intake:stop(Reason, Intake).

turn(Left, State) when Left =< 0 ->
    self() ! read,
    {noreply, State};
turn(Left, #state{socket = Socket, active = Active, intake = Intake} = State) ->
    {Result, Read} = batch(Socket, Active, Intake),
    Next = State#state{intake = hep_listener_intake:deliver(Read)},
    case Result of
        more -> turn(Left - Active, Next);
        empty -> {noreply, Next};
        {error, Reason} -> {stop, {socket, Reason}, Next}
    end.

batch(_, 0, Intake) ->
    {more, Intake};
batch(Socket, Left, Intake) ->
    case socket:recvfrom(Socket, 0, [], nowait) of
        {ok, {#{addr := Ip, port := Port}, Datagram}} ->
            %% The socket's buffer has room for the largest.
            Bytes = hep_stream:own(Datagram),
            Meta = hep_listener_intake:meta({hep_listener_intake:ip(Ip), Port}, Bytes, Intake),
            batch(Socket, Left - 1, hep_listener_intake:packet(Bytes, Meta, Intake));
        {select, _} ->
            {empty, Intake};
        {error, Reason} ->
            case lists:member(Reason, ?TRANSIENT) of
                true -> batch(Socket, Left - 1, Intake);
                false -> {{error, Reason}, Intake}
            end
    end.
