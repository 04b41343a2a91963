%% @private Accepts the connections of a {@link hep_listener}.
-module(hep_listener_acceptor).

-export([start_link/3]).
-export([loop/3]).

%% How long to wait when a connection cannot be accepted, in milliseconds.
-define(PAUSE, 100).

-spec start_link(hep_listener_batch:shared(), gen_tcp:socket(), Connections :: pid()) -> {ok, pid()}.
start_link(Shared, Socket, Connections) ->
    {ok, proc_lib:spawn_link(?MODULE, loop, [Shared, Socket, Connections])}.

%% @private
-spec loop(hep_listener_batch:shared(), gen_tcp:socket(), pid()) -> no_return().
loop(Shared, Socket, Connections) ->
    case gen_tcp:accept(Socket) of
        {ok, Connection} ->
            accepted(Connection, Shared, Connections);
        {error, closed} ->
            exit({accept, closed});
        %% It was closed before it was accepted.
        {error, econnaborted} ->
            ok;
        %% No descriptor, no memory, or what the network had to say of the connection: the next one may come.
        {error, Reason} ->
            logger:warning(#{what => hep_listener_cannot_accept, reason => Reason}),
            timer:sleep(?PAUSE)
    end,
    ?MODULE:loop(Shared, Socket, Connections).

%% This is the only process that starts connections, so that no more are started than may be.
accepted(Socket, #{listener := Listener}, Connections) ->
    case hep_listener:admit(Listener) of
        true ->
            {ok, Connection} = supervisor:start_child(Connections, [Socket]),
            ok = hep_listener:admitted(Listener, Connection),
            hep_listener_connection:handover(Connection, Socket);
        false ->
            gen_tcp:close(Socket)
    end.
