%% @private Owns the sockets of a {@link hep_listener} and answers its calls: the listening socket of TCP and TLS, or
%% the sockets of UDP, which the shards read. It runs no user code, so it can always end at once and free the port, even
%% while a handler is busy.
%%
%% It also assigns the places of connections. It monitors their processes, so a killed connection frees its place.
-module(hep_listener_owner).

-behaviour(gen_server).

-export([start_link/1, call/2, info/1, enter/2, nif_unloaded/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% Attempts to open a port that is in use, and the milliseconds between them: a killed owner may still hold it.
-define(ATTEMPTS, 50).
-define(ATTEMPT, 20).
%% How long callers wait for a restarting owner, in attempts and milliseconds.
-define(RESTARTS, 500).
-define(RESTART, 10).

-record(state, {
    shared :: hep_listener_batch:shared(),
    %% In a function, to hide it from logs: a TLS socket contains its options.
    sockets :: fun(() -> [hep_listener_socket:socket()] | hep_listener_transport:listening()),
    port :: inet:port_number(),
    %% The kernel's last drop count of each UDP socket.
    drops = [] :: [non_neg_integer() | undefined],
    handshakes = #{} :: #{pid() => {Order :: integer(), reference()}},
    connections = #{} :: #{pid() => reference()}
}).

-spec start_link(hep_listener_batch:shared()) -> gen_server:start_ret().
start_link(Shared) ->
    gen_server:start_link(?MODULE, Shared, []).

%% @doc Calls the owner; waits while it is being restarted.
-spec call(fun(() -> pid() | undefined), term()) -> term().
call(Owner, Request) ->
    call(Owner, Request, ?RESTARTS).

call(Owner, Request, Attempts) ->
    Pid = Owner(),
    try gen_server:call(Pid, Request, infinity)
    catch
        exit:{Reason, _} when Attempts > 1, Reason =:= noproc orelse Reason =:= killed ->
            timer:sleep(?RESTART),
            call(Owner, Request, Attempts - 1)
    end.

%% @doc Like `hep_listener:info/1', for the listener's own processes.
-spec info(hep_listener_batch:shared()) -> hep_listener:info().
info(#{table := Table}) ->
    call(fun() -> pid(owner, Table) end, info).

%% @doc Takes a place for the calling process, for its TLS handshake or its open connection; `false' if all are
%% taken.
-spec enter(handshake | open, hep_listener_batch:shared()) -> boolean().
enter(Phase, #{table := Table}) ->
    call(fun() -> pid(owner, Table) end, {enter, Phase}).

%% @doc Ends the listener, since its sockets cannot be read any more. Its supervisor starts it again, with the library
%% that is loaded then.
-spec nif_unloaded(hep_listener_batch:shared()) -> ok.
nif_unloaded(#{table := Table}) ->
    gen_server:cast(pid(owner, Table), nif_unloaded).

pid(Key, Table) ->
    case hep_listener_table:get(Key, Table) of
        {ok, Pid} -> Pid;
        undefined -> undefined
    end.

%%% Callbacks

init(#{transport := Transport, handler := Handler} = Shared) ->
    process_flag(trap_exit, true),
    case has_ended(Handler) orelse retry(fun() -> open(Shared) end, ?ATTEMPTS) of
        true -> {stop, {handler, noproc}};
        {ok, Sockets, Port} -> {ok, opened(Sockets, Port, Shared)};
        {error, Reason} -> {stop, {listen, Transport, Reason}}
    end.

has_ended(Handler) when is_pid(Handler) ->
    _ = monitor(process, Handler),
    not is_process_alive(Handler);
has_ended(_) ->
    false.

opened(Sockets, Port, #{table := Table} = Shared) ->
    ok = hep_listener_table:put(port, Port, Table),
    ok = hep_listener_table:put(sockets, Sockets, Table),
    ok = hep_listener_table:put(owner, self(), Table),
    State = #state{shared = Shared, sockets = hep_secret:hide(Sockets), port = Port},
    State#state{drops = drops(State), connections = connections(pid(connections, Table))}.

%% Connections that survived the previous owner. Those in a handshake are not known: they take a place again.
connections(undefined) ->
    #{};
connections(Supervisor) ->
    try supervisor:which_children(Supervisor) of
        Children -> maps:from_list([{Pid, monitor(process, Pid)} || {_, Pid, _, _} <- Children, is_pid(Pid)])
    catch
        exit:_ -> #{}
    end.

handle_call(port, _, #state{port = Port} = State) ->
    {reply, Port, State};
handle_call(info, _, State) ->
    Polled = poll_drops(State),
    {reply, all(Polled), Polled};
handle_call({enter, Phase}, {Pid, _}, State) ->
    {Entered, Next} = entered(Phase, Pid, left(Pid, State)),
    {reply, Entered, Next};
handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(nif_unloaded, #state{shared = #{listener := Listener}} = State) ->
    logger:error(#{
        what => hep_listener_nif_unloaded, listener => Listener, reason => "hep_nif was deleted or purged: do not unload it"
    }),
    {stop, {shutdown, nif_unloaded}, State};
handle_cast(_, State) ->
    {noreply, State}.

handle_info({'DOWN', _, process, Pid, Reason}, #state{shared = #{handler := Pid, listener := Listener}} = State) ->
    Report = #{what => hep_listener_handler_ended, listener => Listener, handler => Pid, reason => Reason},
    logger:log(level(Reason), Report),
    {stop, {shutdown, {handler, Reason}}, State};
handle_info({'DOWN', _, process, Pid, _}, State) ->
    {noreply, left(Pid, State)};
handle_info({'EXIT', Port, Reason}, State) when is_port(Port) ->
    {stop, {socket, Reason}, State};
handle_info(_, State) ->
    {noreply, State}.

level(normal) -> notice;
level(shutdown) -> notice;
level({shutdown, _}) -> notice;
level(_) -> error.

terminate(_, #state{shared = #{transport := Transport}, sockets = Sockets}) ->
    close(Transport, Sockets()).

%%% Places

entered(handshake, Pid, Before) ->
    #state{handshakes = Some} = State = with_room(Before),
    Place = {erlang:unique_integer([monotonic]), monitor(process, Pid)},
    {true, count(accepted, State#state{handshakes = Some#{Pid => Place}})};
entered(open, Pid, #state{connections = Some, shared = #{max_connections := Most}} = State) when
    map_size(Some) < Most
->
    Entered = State#state{connections = Some#{Pid => monitor(process, Pid)}},
    case State#state.shared of
        #{transport := tcp} -> {true, count(accepted, Entered)};
        %% Already counted at the start of its handshake.
        #{transport := tls} -> {true, Entered}
    end;
entered(_, _, State) ->
    {false, count(refused, State)}.

%% A new handshake takes the place of the oldest, which has most likely stalled.
with_room(#state{handshakes = Some, shared = #{max_handshakes := Most}} = State) when map_size(Some) < Most ->
    State;
with_room(#state{handshakes = Some} = State) ->
    {_, Oldest} = lists:min([{Order, Pid} || {Pid, {Order, _}} <- maps:to_list(Some)]),
    exit(Oldest, kill),
    count(handshakes_failed, left(Oldest, State)).

count(Counter, #state{shared = #{counters := Counters}} = State) ->
    hep_listener_counters:add(Counter, 1, Counters),
    State.

left(Pid, #state{handshakes = Handshakes, connections = Connections} = State) ->
    State#state{handshakes = removed(Pid, Handshakes), connections = removed(Pid, Connections)}.

removed(Pid, Places) ->
    case maps:take(Pid, Places) of
        {{_Order, Monitor}, Others} ->
            demonitor(Monitor, [flush]),
            Others;
        {Monitor, Others} ->
            demonitor(Monitor, [flush]),
            Others;
        error ->
            Places
    end.

%%% Sockets

%% Opens the port of the previous owner.
open(#{table := Table} = Shared) ->
    case hep_listener_table:get(port, Table) of
        {ok, Port} -> listen(Shared#{port := Port});
        undefined -> listen(Shared)
    end.

listen(#{transport := udp} = Shared) -> hep_listener_socket:open(Shared);
listen(Shared) -> hep_listener_transport:listen(Shared).

retry(Open, Attempts) ->
    case Open() of
        {error, eaddrinuse} when Attempts > 1 ->
            timer:sleep(?ATTEMPT),
            retry(Open, Attempts - 1);
        Result ->
            Result
    end.

close(udp, Sockets) -> lists:foreach(fun hep_listener_socket:close/1, Sockets);
close(Transport, Socket) -> hep_listener_transport:close(Transport, Socket).

%%% The result of info/1

all(#state{shared = #{counters := Counters} = Shared, port = Port} = State) ->
    Always = maps:merge(maps:with([transport, ip, view], Shared), hep_listener_counters:all(Counters)),
    own(Always#{port => Port}, State).

own(Always, #state{shared = #{transport := udp}, sockets = Sockets, drops = Drops}) ->
    Own = Always#{shards => length(Drops), recbuf => hep_listener_socket:recbuf(hd(Sockets()))},
    case lists:member(undefined, Drops) of
        true -> Own#{dropped := undefined};
        false -> Own
    end;
own(Always, #state{handshakes = Handshakes, connections = Connections}) ->
    (maps:remove(dropped, Always))#{handshakes => map_size(Handshakes), connections => map_size(Connections)}.

%% Counts the kernel's drops since the last call.
poll_drops(#state{drops = Before} = State) ->
    Now = drops(State),
    New = lists:sum([hep_listener_socket:new_drops(Old, Count) || {Old, Count} <- lists:zip(Before, Now)]),
    hep_listener_counters:add(dropped, New, maps:get(counters, State#state.shared)),
    State#state{drops = Now}.

drops(#state{shared = #{transport := udp}, sockets = Sockets}) ->
    [hep_listener_socket:drops(Socket) || Socket <- Sockets()];
drops(_) ->
    [].
