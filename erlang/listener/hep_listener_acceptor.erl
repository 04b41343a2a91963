%% @private Accepts connections of a {@link hep_listener} and starts a process for each. The TLS handshake runs in that
%% process, so no connection waits for another. Several acceptors share one listening socket.
-module(hep_listener_acceptor).

-export([start_link/1]).
-export([loop/1]).

%% Waiting times, in milliseconds: after the listening socket was closed, and after a failed accept.
-define(REOPENED, 10).
-define(PAUSE, 100).

-spec start_link(hep_listener_batch:shared()) -> {ok, pid()}.
start_link(Shared) ->
    {ok, proc_lib:spawn_link(?MODULE, loop, [Shared])}.

%% @private Gets the listening socket of the current owner.
-spec loop(hep_listener_batch:shared()) -> no_return().
loop(#{table := Table} = Shared) ->
    {ok, Socket} = hep_listener_table:get(sockets, Table),
    accept(Socket, Shared).

accept(Listening, #{transport := Transport} = Shared) ->
    case hep_listener_transport:accept(Transport, Listening) of
        {ok, Socket} ->
            connected(start(Socket, Shared), Socket, Listening, Shared);
        {error, closed} ->
            pause(?REOPENED),
            ?MODULE:loop(Shared);
        %% The connection was closed before it was accepted.
        {error, econnaborted} ->
            accept(Listening, Shared);
        %% No descriptor, no memory, or an error of the network: the next one may be accepted.
        {error, Reason} ->
            failed(Reason, Shared)
    end.

failed(Reason, Shared) ->
    hep_listener_batch:accept_failed(Reason, Shared),
    pause(?PAUSE),
    ?MODULE:loop(Shared).

%% Without the module `timer', which cannot be loaded when no descriptor is left.
pause(Time) ->
    receive after Time -> ok end.

start(Socket, #{table := Table}) ->
    case hep_listener_table:get(connections, Table) of
        {ok, Connections} ->
            try
                supervisor:start_child(Connections, [Socket])
            catch
                %% It is being restarted.
                exit:{Reason, _} -> {error, Reason}
            end;
        undefined ->
            {error, noproc}
    end.

connected({ok, Connection}, Socket, Listening, #{transport := Transport} = Shared) ->
    %% If the connection is already closed, its process ends there.
    _ = hep_listener_transport:handover(Transport, Socket, Connection),
    hep_listener_connection:start(Connection),
    accept(Listening, Shared);
%% For example, the maximum number of processes is reached.
connected({error, Reason}, Socket, _, #{transport := Transport} = Shared) ->
    hep_listener_transport:close(Transport, Socket, 0),
    failed(reason(Reason), Shared).

%% Without the stack.
reason({'EXIT', {Reason, [_ | _]}}) -> Reason;
reason(Reason) -> Reason.
