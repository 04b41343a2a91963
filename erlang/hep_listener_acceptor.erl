%% @private Accepts the connections of a {@link hep_listener}.
-module(hep_listener_acceptor).

-export([start_link/3]).
-export([loop/3]).

%% How long to wait when there is no descriptor for a connection, in milliseconds.
-define(PAUSE, 100).

-spec start_link(hep_listener_intake:shared(), gen_tcp:socket(), Connections :: pid()) -> {ok, pid()}.
start_link(Shared, Socket, Connections) ->
    {ok, proc_lib:spawn_link(?MODULE, loop, [Shared, Socket, Connections])}.

%% @private
-spec loop(hep_listener_intake:shared(), gen_tcp:socket(), pid()) -> no_return().
loop(Shared, Socket, Connections) ->
    case gen_tcp:accept(Socket) of
        {ok, Connection} ->
            accepted(Connection, Shared, Connections);
        {error, Reason} when Reason =:= emfile; Reason =:= enfile; Reason =:= system_limit; Reason =:= enomem ->
            logger:warning(#{what => hep_listener_cannot_accept, reason => Reason}),
            timer:sleep(?PAUSE);
        %% It was closed before it was accepted.
        {error, econnaborted} ->
            ok;
        {error, Reason} ->
            exit({accept, Reason})
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
