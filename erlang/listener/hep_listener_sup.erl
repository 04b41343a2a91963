%% @private The supervisors of a {@link hep_listener}.
%%
%% ```
%% the listener (one_for_one)
%%  |- budget        how much may be inflated at a time               UDP, TCP, TLS
%%  |- owner         the sockets, info/1, the places of connections   UDP, TCP, TLS
%%  |- shards        simple_one_for_one, a process per socket         UDP
%%  |- connections   simple_one_for_one, temporary                    TCP, TLS
%%  |- acceptors     one_for_one                                      TCP, TLS
%%  '- reporter      events and log lines every 10 seconds            UDP, TCP, TLS
%% '''
%%
%% The strategy is one_for_one because no child holds a reference that becomes stale when another restarts: they find
%% each other in a table ({@link hep_listener_table}) that belongs to the listener. A killed owner is replaced at once;
%% with rest_for_one it would have to wait for slow handlers of shards and connections. Connections survive it.
%%
%% The list shows the order of starting; stopping is in reverse. A TCP listener closes its port before it ends the
%% connections; a UDP listener ends the shards before it closes their sockets. Shards and connections are
%% simple_one_for_one, which ends all of them at the same time: busy handlers share the time of `shutdown'.
-module(hep_listener_sup).

-behaviour(supervisor).

-export([start_link/1, start_link/2, start_shards/1, stop/1, child/2]).
-export([init/1]).

%% The restart intensity and period: far above what single crashes reach, and soon exceeded when a process cannot start
%% at all.
-define(INTENSITY, 1000).
-define(PERIOD, 10).

%% @doc Starts a listener and all its processes.
%%
%% The children are started here and not by the supervisor's `init/1', so that an error is only returned: `init/1' would
%% also send the caller an exit signal.
-spec start_link(hep_listener_batch:options()) -> {ok, pid()} | {error, Reason :: term()}.
start_link(Options) ->
    Tag = make_ref(),
    case start_top(Options, {top, self(), Tag, maps:get(dedup, Options)}) of
        {ok, Listener} ->
            {Table, Dedup} = receive {Tag, Created} -> Created end,
            Shared = Options#{
                listener => Listener,
                table => Table,
                dedup => Dedup,
                counters => hep_listener_counters:new(),
                limits => hep_listener_log:new()
            },
            case start_children(Listener, children(Shared)) of
                ok ->
                    {ok, Listener};
                {error, _} = Error ->
                    unlink(Listener),
                    stop(Listener),
                    receive {'EXIT', Listener, _} -> Error after 0 -> Error end
            end;
        {error, _} = Error ->
            Error
    end.

start_top(#{name := Name}, Arguments) -> supervisor:start_link(Name, ?MODULE, Arguments);
start_top(_, Arguments) -> supervisor:start_link(?MODULE, Arguments).

start_children(_, []) ->
    ok;
start_children(Listener, [Child | Others]) ->
    try supervisor:start_child(Listener, Child) of
        {ok, _} -> start_children(Listener, Others);
        {error, Error} -> {error, reason(Error)}
    catch
        exit:Reason -> {error, Reason}
    end.

%% Removes the supervisor's wrapping from the reason.
reason({Reason, Child}) when element(1, Child) =:= child -> reason(Reason);
reason({shutdown, {failed_to_start_child, _, Reason}}) -> reason(Reason);
reason(Reason) -> Reason.

%% @doc Starts a supervisor below a listener.
-spec start_link(shards | connections | acceptors, hep_listener_batch:shared()) -> supervisor:startlink_ret().
start_link(Kind, Shared) ->
    supervisor:start_link(?MODULE, {Kind, Shared}).

%% @doc Starts the supervisor of the shards, and the shards.
-spec start_shards(hep_listener_batch:shared()) -> {ok, pid()} | {error, Reason :: term()}.
start_shards(#{shards := Shards} = Shared) ->
    case start_link(shards, Shared) of
        {ok, Supervisor} -> start_shards(lists:seq(1, Shards), Supervisor);
        {error, _} = Error -> Error
    end.

start_shards([], Supervisor) ->
    {ok, Supervisor};
start_shards([Shard | Others], Supervisor) ->
    case supervisor:start_child(Supervisor, [Shard]) of
        {ok, _} ->
            start_shards(Others, Supervisor);
        {error, _} = Error ->
            unlink(Supervisor),
            stop(Supervisor),
            Error
    end.

%% @doc Stops the listener. For the process that started it.
-spec stop(pid()) -> ok.
stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive
        {'DOWN', Monitor, process, Supervisor, _} -> ok
    end.

%% @doc Finds a child of a listener, unless it is being restarted.
-spec child(hep_listener:listener(), owner | shards | connections | acceptors | reporter) -> pid() | undefined.
child(Listener, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Listener)) of
        {Id, Pid, _, _} when is_pid(Pid) -> Pid;
        _ -> undefined
    end.

children(#{transport := udp} = Shared) ->
    [budget(Shared), owner(Shared), shards(Shared), reporter(Shared)];
children(Shared) ->
    [budget(Shared), supervisor(connections, Shared), owner(Shared), supervisor(acceptors, Shared), reporter(Shared)].

%% Ends, and the listener with it, when the handler process has ended.
owner(Shared) ->
    #{id => owner, start => {hep_listener_owner, start_link, [Shared]}, restart => transient, significant => true}.

budget(#{inflate_budget := Bytes, table := Table}) ->
    Register = fun(Pid) -> hep_listener_table:put(budget, Pid, Table) end,
    #{id => budget, start => {hep_listener_budget, start_link, [Bytes, Register]}}.

reporter(Shared) ->
    #{id => reporter, start => {hep_listener_reporter, start_link, [Shared]}, shutdown => brutal_kill}.

shards(Shared) ->
    #{id => shards, start => {?MODULE, start_shards, [Shared]}, type => supervisor}.

supervisor(Kind, Shared) ->
    #{id => Kind, start => {?MODULE, start_link, [Kind, Shared]}, type => supervisor}.

init({top, Caller, Tag, Dedup}) ->
    Caller ! {Tag, {hep_listener_table:new(), hep_listener_dedup:new(Dedup)}},
    {ok, {(flags(one_for_one))#{auto_shutdown => any_significant}, []}};
init({shards, #{shutdown := Shutdown} = Shared}) ->
    Shard = #{id => shard, start => {hep_listener_shard, start_link, [Shared]}, shutdown => Shutdown},
    {ok, {flags(simple_one_for_one), [Shard]}};
init({connections, #{table := Table, shutdown := Shutdown} = Shared}) ->
    ok = hep_listener_table:put(connections, self(), Table),
    Connection = #{
        id => connection,
        start => {hep_listener_connection, start_link, [Shared]},
        restart => temporary,
        shutdown => Shutdown
    },
    {ok, {flags(simple_one_for_one), [Connection]}};
init({acceptors, #{acceptors := Acceptors} = Shared}) ->
    {ok,
        {flags(one_for_one), [
            #{id => Acceptor, start => {hep_listener_acceptor, start_link, [Shared]}, shutdown => brutal_kill}
         || Acceptor <- lists:seq(1, Acceptors)
        ]}}.

flags(Strategy) ->
    #{strategy => Strategy, intensity => ?INTENSITY, period => ?PERIOD}.
