%% @doc Receives HEP over UDP, TCP and TLS.
%%
%% ```
%% 1> {ok, Listener} = hep_listener:start_link(#{port => 9060, handler => fun(Packets) -> io:format("~p~n", [Packets]) end}).
%% 2> hep_listener:info(Listener).
%% #{received => 12,decoded => 12,dropped => 0,...}
%% '''
%%
%% It belongs under your supervisor ({@link child_spec/1}); the application `hep' starts nothing. {@link hep_handler}
%% says what a handler is and gets.
%%
%% <b>UDP.</b> One process per shard reads the socket, decodes and calls the handler. It reads on when the handler is
%% done, by `{active, N}': a slow handler leaves datagrams in the kernel's buffer, and beyond that the kernel drops
%% them, which {@link info/1} tells as `dropped'. A handler that crashes does not close the socket.
%%
%% <b>TCP, TLS.</b> One process per connection, with `{active, N}'. {@link hep_stream} divides the stream; versions 1
%% and 2 cannot be divided and end the connection. So does what is not HEP, unless `resync' is set.
-module(hep_listener).

-include("../codec/hep_datagram.hrl").

-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1, port/1, info/1]).
%% For HEP.Listener, and for the acceptor.
-export([start_link/2]).
-export([admit/1, admitted/2]).
%% For the shards.
-export([borrow/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, listener/0, info/0]).

%% Options of a transport that is not the listener's are checked, and have no effect otherwise.
%% <dl>
%% <dt>`handler'</dt><dd>who gets the packets, see {@link hep_handler}; the only option that has no default</dd>
%% <dt>`transport'</dt><dd>`udp' (default), `tcp' or `tls'</dd>
%% <dt>`ip'</dt><dd>the address to listen on: by default `{0,0,0,0}', all of IPv4; `{0,0,0,0,0,0,0,0}' is all of
%%   both families</dd>
%% <dt>`port'</dt><dd>9060 by default; with 0 the system chooses, and {@link port/1} tells</dd>
%% <dt>`view'</dt><dd>what the handler gets: `decode' (default), records; `parse', lists of chunks; `transform' or
%%   `{transform, Modules}', readable lists; `json', the JSON text (which reads a packet twice). A module that raises
%%   loses the packet, is logged and counts as a handler's crash</dd>
%% <dt>`decode'</dt><dd>the options of `hep:decode/2'; they count for the views `decode' and `json'</dd>
%% <dt>`auth_keys'</dt><dd>packets without one of these authenticate keys are counted as `unauthenticated' and dropped;
%%   versions 1 and 2 have none. By default all packets pass</dd>
%% <dt>`shards'</dt><dd>UDP: so many sockets on the port, each with a process; the system spreads the senders
%%   over them. 1 by default</dd>
%% <dt>`active'</dt><dd>the N of `{active, N}', and with UDP the most datagrams in one call of the handler: 100 by
%%   default for UDP, 10 for TCP and TLS</dd>
%% <dt>`read_packets'</dt><dd>UDP: how many datagrams the system is asked for at a time, 100 by default</dd>
%% <dt>`recbuf'</dt><dd>the kernel's buffer of a socket, in bytes: for UDP 4 MiB by default. The kernel may give less,
%%   see `recbuf' in {@link info/1}</dd>
%% <dt>`max_connections'</dt><dd>TCP, TLS: more are closed at once, and counted as `refused'. 10,000 by default</dd>
%% <dt>`idle_timeout'</dt><dd>TCP, TLS: a connection is closed when nothing came for so many milliseconds:
%%   `infinity' by default</dd>
%% <dt>`resync'</dt><dd>TCP, TLS: skip what is not HEP, see {@link hep_stream}: `false' by default</dd>
%% <dt>`tls'</dt><dd>TLS: the options of `ssl:handshake/3', with a certificate. TLS 1.2 and 1.3 unless they say
%%   otherwise</dd>
%% <dt>`name'</dt><dd>what the process is registered as, as for `gen_server:start_link/4'</dd>
%% </dl>
%% `auth_keys' and `tls' may be functions that give them: what is in a function no log shows. The listener itself
%% keeps them so.
-type options() :: #{
    handler := hep_handler:handler(),
    transport => udp | tcp | tls,
    ip => inet:ip_address(),
    port => inet:port_number(),
    view => decode | parse | transform | {transform, [module()]} | json,
    decode => hep:options(),
    auth_keys => [binary()] | fun(() -> [binary()]),
    shards => 1..1024,
    active => 1..32767,
    read_packets => pos_integer(),
    recbuf => pos_integer(),
    max_connections => pos_integer(),
    idle_timeout => pos_integer() | infinity,
    resync => boolean(),
    tls => [ssl:tls_server_option()] | fun(() -> [ssl:tls_server_option()]),
    name => {local, atom()} | {global, term()} | {via, module(), term()}
}.

-type listener() :: gen_server:server_ref().

%% Beside `transport', `ip', `port', `view' and `shards':
%% <dl>
%% <dt>`received', `bytes'</dt><dd>datagrams, packets of streams and errors of streams; `received' is the sum of
%%   `decoded', `unauthenticated' and what is in `rejected'</dd>
%% <dt>`decoded', `versions', `payload_types'</dt><dd>what the handler got, and of which kinds</dd>
%% <dt>`rejected'</dt><dd>what is no packet, by the reasons' names</dd>
%% <dt>`unauthenticated'</dt><dd>packets without one of the `auth_keys'</dd>
%% <dt>`dropped'</dt><dd>UDP: datagrams that the kernel had no room for; `unknown' where it does not tell</dd>
%% <dt>`recbuf'</dt><dd>UDP: the kernel's buffer of each socket, in bytes, as the kernel counts</dd>
%% <dt>`connections', `accepted', `refused', `handshakes_failed', `idle_closed'</dt><dd>TCP, TLS: how many are open now;
%%   how many were accepted, closed for `max_connections', ended in the TLS handshake, closed for `idle_timeout'</dd>
%% <dt>`resyncs', `skipped_bytes'</dt><dd>how often, and over how many bytes, a stream was taken up again</dd>
%% <dt>`handler_crashes', `handler_lost'</dt><dd>how often a handler, or a module of
%%   `{transform, Modules}', raised, and how many packets it had in hand; these are in `decoded', too</dd>
%% </dl>
-type info() :: #{atom() => term()}.

-define(BACKLOG, 1024).
%% How often a port that is in use is tried, and how many milliseconds are between.
-define(ATTEMPTS, 10).
-define(ATTEMPT, 20).
%% How often the counters are sent as an event and the drops of the kernel are polled, in milliseconds.
-define(PERIOD, 10_000).

%% What of info() counts, by itself.
-define(MEASUREMENTS, [
    received,
    bytes,
    decoded,
    unauthenticated,
    dropped,
    connections,
    accepted,
    refused,
    handshakes_failed,
    idle_closed,
    resyncs,
    skipped_bytes,
    handler_crashes,
    handler_lost
]).

-record(state, {
    options :: map(),
    counters :: hep_listener_counters:counters(),
    %% Of UDP, the shards' sockets in order.
    sockets :: [gen_udp:socket()] | gen_tcp:socket(),
    port :: inet:port_number(),
    supervisors :: [pid()],
    connections = #{} :: #{pid() => reference()},
    %% Datagrams that a shard had not handled when it gave its socket back, in reverse.
    left = [] :: [tuple()],
    %% What the kernel has dropped, and what it said of each socket when it was looked at last.
    dropped = 0 :: non_neg_integer() | unknown,
    drops = #{} :: #{gen_udp:socket() => non_neg_integer()}
}).

%%% The API

%% @doc Opens the port and listens.
%%
%% A wrong, unknown or missing option is `{bad_option, {Name, Value}}', and what is no map `{bad_option, Options}'.
%% `{cannot_start, crypto | ssl, _}' means that the application of OTP that `auth_keys' or TLS needs is not there.
-spec start_link(options()) -> gen_server:start_ret() | {error, hep_listener_options:error()}.
start_link(Options) ->
    start_link(Options, none).

%% @private With a module that says in its language's terms what the handler gets: `packet/1', `error/1'.
-spec start_link(options(), Adapter :: module() | none) ->
    gen_server:start_ret() | {error, hep_listener_options:error()}.
start_link(Options, Adapter) ->
    case hep_listener_options:check(Options) of
        {ok, #{name := Name} = Checked} -> gen_server:start_link(Name, ?MODULE, shared(Checked, Adapter), []);
        {ok, Checked} -> gen_server:start_link(?MODULE, shared(Checked, Adapter), []);
        {error, _} = Error -> Error
    end.

shared(Options, Adapter) ->
    (hep_secret:hide(hep_listener_options:secrets(), Options))#{adapter => Adapter}.

%% @doc For a supervisor. Listeners of one supervisor have ids of their own by `name', or by transport, address and port.
%% The supervisor's reports do not show `auth_keys' and `tls'.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    Where = [maps:get(Option, Options, default) || Option <- [transport, ip, port]],
    #{
        id => maps:get(name, Options, {?MODULE, Where}),
        start => {?MODULE, start_link, [hep_secret:hide(hep_listener_options:secrets(), Options)]},
        shutdown => infinity,
        type => worker
    }.

%% @doc Closes the port and all connections.
-spec stop(listener()) -> ok.
stop(Listener) ->
    gen_server:stop(Listener).

%% @doc The port that is listened on.
-spec port(listener()) -> inet:port_number().
port(Listener) ->
    gen_server:call(Listener, port).

%% @doc What it is and what it has counted.
-spec info(listener()) -> info().
info(Listener) ->
    gen_server:call(Listener, info).

%% @private Whether there may be one more connection.
-spec admit(pid()) -> boolean().
admit(Listener) ->
    gen_server:call(Listener, admit, infinity).

%% @private
-spec admitted(pid(), Connection :: pid()) -> ok.
admitted(Listener, Connection) ->
    gen_server:call(Listener, {admitted, Connection}, infinity).

%% @private Asks for a shard's socket: a cast `{lent, Socket}' brings it.
-spec borrow(pid(), Shard :: pos_integer()) -> ok.
borrow(Listener, Shard) ->
    gen_server:cast(Listener, {borrow, Shard, self()}).

%%% Callbacks

%% @private
init(#{transport := Transport, handler := Handler} = Options) ->
    process_flag(trap_exit, true),
    _ = is_pid(Handler) andalso monitor(process, Handler),
    case retry(fun() -> open(Options) end, ?ATTEMPTS) of
        {ok, Sockets, Port} ->
            Counters = hep_listener_counters:new(),
            case start(Transport, Sockets, Options#{listener => self(), counters => Counters}) of
                {ok, Supervisors} ->
                    {ok, schedule_stats(#state{
                        options = Options,
                        counters = Counters,
                        sockets = Sockets,
                        port = Port,
                        supervisors = Supervisors
                    })};
                {error, Reason} ->
                    close(Sockets),
                    stop_unlinked(Reason)
            end;
        {error, Reason} ->
            stop_unlinked({listen, Transport, Reason})
    end.

%% The caller gets the error, and no exit signal beside it.
stop_unlinked(Reason) ->
    {links, Links} = process_info(self(), links),
    lists:foreach(fun erlang:unlink/1, Links),
    {stop, Reason}.

start(udp, Sockets, Shared) ->
    Shards = [
        #{id => Shard, start => {hep_listener_udp, start_link, [Shared, Shard]}}
     || Shard <- lists:seq(1, length(Sockets))
    ],
    case hep_listener_sup:start_link(one_for_one, Shards) of
        {ok, Supervisor} -> {ok, [Supervisor]};
        {error, {shutdown, {failed_to_start_child, _, Reason}}} -> {error, Reason}
    end;
start(_, Socket, Shared) ->
    Connection = #{
        id => connection,
        start => {hep_listener_connection, start_link, [Shared]},
        restart => temporary
    },
    {ok, Connections} = hep_listener_sup:start_link(simple_one_for_one, [Connection]),
    Acceptor = #{
        id => acceptor,
        start => {hep_listener_acceptor, start_link, [Shared, Socket, Connections]},
        shutdown => brutal_kill
    },
    {ok, Acceptors} = hep_listener_sup:start_link(one_for_one, [Acceptor]),
    {ok, [Acceptors, Connections]}.

%% @private
handle_call(port, _, #state{port = Port} = State) ->
    {reply, Port, State};
handle_call(info, _, State) ->
    Polled = poll_drops(State),
    {reply, all(Polled), Polled};
handle_call(admit, _, #state{options = #{max_connections := Most}, connections = Open, counters = Counters} = State) ->
    HasRoom = map_size(Open) < Most,
    hep_listener_counters:add(case HasRoom of true -> accepted; false -> refused end, 1, Counters),
    {reply, HasRoom, State};
handle_call({admitted, Pid}, _, #state{connections = Open} = State) ->
    {reply, ok, State#state{connections = Open#{Pid => monitor(process, Pid)}}};
handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
handle_cast({borrow, Shard, Pid}, #state{sockets = Sockets} = State) ->
    Before = lists:nth(Shard, Sockets),
    case reopened(Before, State) of
        {ok, Socket} ->
            _ = gen_udp:controlling_process(Socket, Pid),
            gen_server:cast(Pid, {lent, Socket}),
            {Own, Others} = lists:partition(fun(Left) -> element(2, Left) =:= Before end, State#state.left),
            lists:foreach(fun(Left) -> Pid ! Left end, lists:reverse(Own)),
            Now = [case Each of Before -> Socket; _ -> Each end || Each <- Sockets],
            {noreply, State#state{sockets = Now, left = Others}};
        {error, Reason} ->
            {stop, {listen, udp, Reason}, State}
    end;
handle_cast(_, State) ->
    {noreply, State}.

%% @private
handle_info({'DOWN', _, process, Pid, Reason}, #state{options = #{handler := Pid}} = State) ->
    {stop, {handler, Reason}, State};
handle_info({'DOWN', _, process, Pid, _}, #state{connections = Open} = State) ->
    {noreply, State#state{connections = maps:remove(Pid, Open)}};
handle_info(stats, State) ->
    Polled = poll_drops(State),
    Info = all(Polled),
    %% What the kernel does not tell is no number.
    Measurements = maps:filter(fun(_, Value) -> is_integer(Value) end, maps:with(?MEASUREMENTS, Info)),
    event(stats, Measurements, maps:without(maps:keys(Measurements), Info), State),
    {noreply, schedule_stats(Polled)};
handle_info({udp, _, _, _, _} = Datagram, #state{left = Left} = State) ->
    {noreply, State#state{left = [Datagram | Left]}};
%% A supervisor that gave up, or another process that this one is linked to.
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info(_, State) ->
    {noreply, State}.

%% @private
terminate(_, #state{supervisors = Supervisors, sockets = Sockets}) ->
    lists:foreach(fun hep_listener_sup:stop/1, Supervisors),
    close(Sockets).

schedule_stats(State) ->
    _ = erlang:send_after(?PERIOD, self(), stats),
    State.

%%% Sockets

%% A process that was killed may have left the port open for a moment.
retry(Open, Attempts) ->
    case Open() of
        {error, eaddrinuse} when Attempts > 1 ->
            timer:sleep(?ATTEMPT),
            retry(Open, Attempts - 1);
        Result ->
            Result
    end.

open(#{transport := udp, shards := Shards} = Options) ->
    case open_udp(Options) of
        {ok, First} ->
            {ok, Chosen} = inet:port(First),
            Others = [open_udp(Options#{port := Chosen}) || _ <- lists:seq(2, Shards)],
            opened([{ok, First} | Others]);
        {error, _} = Error ->
            Error
    end;
open(#{ip := Ip, port := Port} = Options) ->
    Given = [{recbuf, Size} || #{recbuf := Size} <- [Options]],
    Common = [
        binary,
        {ip, Ip},
        {active, false},
        {reuseaddr, true},
        {keepalive, true},
        {backlog, ?BACKLOG},
        {buffer, ?DATAGRAM}
    ],
    case gen_tcp:listen(Port, family(Ip) ++ Common ++ Given) of
        {ok, Socket} ->
            {ok, Chosen} = inet:port(Socket),
            {ok, Socket, Chosen};
        {error, _} = Error ->
            Error
    end.

%% All of them, or none.
opened(Results) ->
    Sockets = [Socket || {ok, Socket} <- Results],
    case [Error || {error, _} = Error <- Results] of
        [] ->
            {ok, Port} = inet:port(hd(Sockets)),
            {ok, Sockets, Port};
        [Error | _] ->
            close(Sockets),
            Error
    end.

%% A socket whose process was killed is closed: what the kernel held is lost with it.
reopened(Socket, #state{options = Options, port = Port}) ->
    case erlang:port_info(Socket) of
        undefined -> retry(fun() -> open_udp(Options#{port := Port}) end, ?ATTEMPTS);
        _ -> {ok, Socket}
    end.

open_udp(#{ip := Ip, port := Port, recbuf := Size, read_packets := ReadPackets} = Options) ->
    Common = [
        binary,
        {ip, Ip},
        {active, false},
        {recbuf, Size},
        %% Room for one datagram. Behind `recbuf', which would make it as large.
        {buffer, ?DATAGRAM},
        {read_packets, ReadPackets}
    ],
    case gen_udp:open(Port, family(Ip) ++ Common ++ reuseport(Options)) of
        %% Some systems refuse what is too much for them, others give less.
        {error, enobufs} when Size > ?DATAGRAM -> open_udp(Options#{recbuf := max(Size div 2, ?DATAGRAM)});
        Result -> Result
    end.

%% SOL_SOCKET and SO_REUSEPORT; gen_udp has no name for it before OTP 26.
reuseport(#{shards := 1}) -> [];
reuseport(_) ->
    {Level, Option} =
        case os:type() of
            {unix, linux} -> {1, 15};
            _ -> {16#ffff, 16#200}
        end,
    [{raw, Level, Option, <<1:32/native>>}].

family(Ip) when tuple_size(Ip) =:= 4 -> [inet];
family(_) -> [inet6, {ipv6_v6only, false}].

close(Sockets) when is_list(Sockets) -> lists:foreach(fun gen_udp:close/1, Sockets);
close(Socket) -> gen_tcp:close(Socket).

%%% Counters

all(#state{options = Options, counters = Counters, port = Port} = State) ->
    Always = maps:merge(
        maps:with([transport, ip, view], Options),
        (hep_listener_counters:all(Counters))#{port => Port}
    ),
    maps:merge(Always, own(State)).

own(#state{options = #{transport := udp}, sockets = [Socket | _] = Sockets, dropped = Dropped}) ->
    Recbuf =
        case inet:getopts(Socket, [recbuf]) of
            {ok, [{recbuf, Size}]} -> Size;
            _ -> unknown
        end,
    #{shards => length(Sockets), recbuf => Recbuf, dropped => Dropped};
own(#state{connections = Open}) ->
    #{connections => map_size(Open)}.

%% Reports what the kernel has dropped since the last poll.
poll_drops(#state{options = #{transport := udp}, sockets = Sockets, dropped = Dropped, drops = Before} = State) ->
    case hep_listener_drops:counts(Sockets) of
        unknown when map_size(Before) =:= 0 ->
            State#state{dropped = unknown};
        %% A socket is being opened again.
        unknown ->
            State;
        Now ->
            New = lists:sum([Count - maps:get(Socket, Before, 0) || {Socket, Count} <- maps:to_list(Now)]),
            report_drops(New, State#state{dropped = total(Dropped, New), drops = Now})
    end;
poll_drops(State) ->
    State.

total(unknown, New) -> New;
total(Dropped, New) -> Dropped + New.

report_drops(0, State) ->
    State;
report_drops(New, State) ->
    logger:warning(#{what => hep_listener_dropped, port => State#state.port, datagrams => New}),
    event(dropped, #{count => New}, #{}, State),
    State.

event(Name, Measurements, Metadata, #state{options = #{transport := Transport}}) ->
    hep_telemetry:execute(
        [hep, listener, Name], Measurements, Metadata#{listener => self(), transport => Transport}
    ).
