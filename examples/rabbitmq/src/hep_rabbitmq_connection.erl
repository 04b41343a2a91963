%% @doc Keeps a connection with one channel to one of the broker's nodes, for the process that starts it.
%%
%% When the connection is lost, it tries the next node, at first without a pause, then with growing pauses. The owner
%% gets `{hep_rabbitmq_connection, Event}':
%% <dl>
%% <dt>`{up, Channel}'</dt><dd>a new channel; the function `setup' has been called with it</dd>
%% <dt>`{down, Reason}'</dt><dd>the channel is lost</dd>
%% <dt>`blocked', `unblocked'</dt><dd>the broker stops reading publications because it lacks memory or disk space</dd>
%% </dl>
%% Connecting may take seconds. It happens in this process, so that the owner is never blocked.
-module(hep_rabbitmq_connection).

-behaviour(gen_server).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([start_link/1, reconnect/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, event/0]).

-type options() :: #{
    nodes := [{Host :: string(), inet:port_number()}],
    username => binary(),
    password => binary(),
    virtual_host => binary(),
    tls => [ssl:tls_client_option()],
    setup := fun((Channel :: pid()) -> term()),
    atom() => term()
}.
-type event() :: {up, pid()} | {down, term()} | blocked | unblocked.

%% Milliseconds.
-define(CONNECT, 5000).
-define(CLOSE, 1000).
-define(FIRST_PAUSE, 50).
-define(LONGEST_PAUSE, 5000).
%% Seconds; a connection counts as lost after twice this time without data.
-define(HEARTBEAT, 5).

-record(state, {
    owner :: pid(),
    options :: options(),
    nodes :: [{string(), inet:port_number()}],
    failures = 0 :: non_neg_integer(),
    connection :: pid() | undefined,
    channel :: pid() | undefined
}).

-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link(?MODULE, {self(), Options}, []).

%% @doc Closes the connection and opens another one.
-spec reconnect(pid()) -> ok.
reconnect(Pid) ->
    gen_server:cast(Pid, reconnect).

init({Owner, #{nodes := Nodes} = Options}) ->
    process_flag(trap_exit, true),
    self() ! connect,
    {ok, #state{owner = Owner, options = Options, nodes = Nodes}}.

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(reconnect, #state{channel = undefined} = State) -> {noreply, State};
handle_cast(reconnect, State) -> {noreply, lost(reconnect, State)}.

handle_info(connect, State) ->
    {noreply, connect(State)};
handle_info({'DOWN', _, process, Pid, Reason}, #state{connection = Connection, channel = Channel} = State) when
    Pid =:= Connection; Pid =:= Channel
->
    {noreply, lost(Reason, State)};
handle_info(#'connection.blocked'{}, State) ->
    {noreply, notify(blocked, State)};
handle_info(#'connection.unblocked'{}, State) ->
    {noreply, notify(unblocked, State)};
handle_info(_, State) ->
    {noreply, State}.

terminate(_Reason, State) ->
    close(State).

%%% Connecting

connect(#state{nodes = [Node | _], options = #{setup := Setup} = Options} = State) ->
    try
        {ok, Connection} = amqp_connection:start(parameters(Node, Options)),
        _ = monitor(process, Connection),
        opened(Setup, State#state{connection = Connection})
    catch
        error:{badmatch, {error, Reason}} -> failed(Reason, State);
        exit:Reason -> failed(Reason, State)
    end.

opened(Setup, #state{connection = Connection, nodes = [Node | _]} = State) ->
    try
        ok = amqp_connection:register_blocked_handler(Connection, self()),
        {ok, Channel} = amqp_connection:open_channel(Connection),
        _ = monitor(process, Channel),
        _ = Setup(Channel),
        logger:notice("RabbitMQ: connected to ~ts", [name(Node)]),
        notify({up, Channel}, State#state{channel = Channel, failures = 0})
    catch
        error:{badmatch, {error, Reason}} -> failed(Reason, State);
        exit:Reason -> failed(Reason, State)
    end.

parameters({Host, Port}, Options) ->
    Defaults = #amqp_params_network{},
    #amqp_params_network{
        host = Host,
        port = Port,
        username = maps:get(username, Options, Defaults#amqp_params_network.username),
        password = password(Options, Defaults#amqp_params_network.password),
        virtual_host = maps:get(virtual_host, Options, Defaults#amqp_params_network.virtual_host),
        ssl_options = maps:get(tls, Options, none),
        heartbeat = ?HEARTBEAT,
        connection_timeout = ?CONNECT
    }.

%% Read for each connection, so that no state contains it and no log shows it.
password(Options, Default) ->
    case os:getenv("RABBITMQ_PASSWORD") of
        false -> maps:get(password, Options, Default);
        Password -> list_to_binary(Password)
    end.

failed(Reason, #state{nodes = [Node | _], failures = Failures} = State) ->
    Pause = pause(Failures),
    logger:warning("RabbitMQ: no connection to ~ts (~0p), next node in ~b ms", [name(Node), Reason, Pause]),
    close(State),
    retry(Pause, State#state{failures = Failures + 1}).

lost(Reason, #state{nodes = [Node | _]} = State) ->
    logger:warning("RabbitMQ: lost the connection to ~ts: ~0p", [name(Node), Reason]),
    close(State),
    retry(pause(0), notify({down, Reason}, State)).

retry(Pause, #state{nodes = [Node | Others]} = State) ->
    _ = erlang:send_after(Pause, self(), connect),
    State#state{nodes = Others ++ [Node], connection = undefined, channel = undefined}.

%% Random, so that clients do not reconnect at the same time.
pause(Failures) ->
    Most = min(?LONGEST_PAUSE, ?FIRST_PAUSE bsl min(Failures, 16)),
    Most div 2 + rand:uniform(Most div 2).

close(#state{connection = undefined}) ->
    ok;
close(#state{connection = Connection}) ->
    try
        _ = amqp_connection:close(Connection, ?CLOSE),
        ok
    catch
        exit:_ -> ok
    end.

notify(Event, #state{owner = Owner} = State) ->
    Owner ! {?MODULE, Event},
    State.

name({Host, Port}) -> io_lib:format("~ts:~b", [Host, Port]).
