%% @doc Sends packets to collectors over UDP, TCP or TLS.
%%
%% ```
%% 1> {ok, Sender} = hep_sender:start_link(#{transport => tcp, targets => [{"127.0.0.1", 9060}]}).
%% 2> ok = hep_sender:send(Sender, hep:payload(<<"OPTIONS sip:a SIP/2.0">>, hep:new())).
%% 3> ok = hep_sender:flush(Sender, 1000).
%% 4> #{sent := 1, dropped := 0} = hep_sender:info(Sender).
%% '''
%%
%% {@link send/2} encodes the packet in the calling process, passes it to the sender and returns. It neither waits nor
%% crashes, whatever the collector does. Packets wait in a queue; when it is full, the oldest are dropped and
%% counted. The sender process itself never touches a socket: each target has a connection process that resolves the
%% name, connects, and writes one batch at a time. After a connection ends, the next attempt follows after a growing,
%% randomly shortened delay. A new connection begins with a whole packet: the interrupted batch is sent again from its
%% start, so a collector may see some packets twice, but never half a packet.
%%
%% <em>sent</em> means written to the socket. HEP has no acknowledgements: lost datagrams, and data still in the
%% system's buffer when a connection breaks, are not reported. If a collector is reported unreachable by ICMP, the
%% UDP target is `down' until its back-off is over; packets wait meanwhile.
%%
%% Packets are queued without copying. A payload that is a sub-binary keeps the larger binary in memory, but only its
%% own size counts for `queue_bytes': copy such payloads (`binary:copy/1').
%%
%% == Balance ==
%% With `strategy => balance' the packets of a call go to the same target. The key of a packet is its correlation id,
%% or else the Call-ID of a SIP payload, or else the pair of addresses and ports, the same in both directions. A packet
%% with none of these, or with the same address and port at both ends (as those of {@link hep_logger}), goes by its
%% payload, so that copies from two agents go to the same target. Encoded packets are decoded for this; bytes that
%% cannot be decoded are their own key.
%%
%% The target of a key is found by rendezvous hashing over the hosts and ports in the options. All senders with the same
%% targets, in any order, agree, if they write the hosts in the same way: a name and its address are different targets.
%% When a target is added or removed, only the calls that it gets or had move. The hash is `erlang:phash2/2', whose
%% results are the same in all releases of OTP.
%%
%% While a target is down, its packets in memory and new packets of its calls go to the next choice among the targets
%% that are up; when it is up again, new packets go to it. If no target is up, packets wait in the queue of their first
%% choice. So the packets of a call stay in order while the same targets are up; after a change, they may arrive at two
%% targets, some of them twice. At the start, packets wait for the first attempt to connect to their target: as long as
%% `connect_timeout' for each of its addresses.
%%
%% == Spool ==
%% With the option `spool', a queue goes to disk while its target is not up, and when it is half full. Later packets go
%% to the end of the spool until it is empty, so a target gets its packets in order. Each queue has a folder in `dir',
%% named after its target, or `failover'. A restarted sender with the same targets first sends the packets that it finds
%% there. With `balance', packets go to disk only while no target is up, or when a queue is half full; packets on disk
%% wait for their own target.
%%
%% {@link stop/1} writes the queues to the spool, in order. A killed VM loses the packets in memory: less than half a
%% queue while the target is up; while it is down, the packets that arrived during the last write. At most one batch is
%% sent twice. {@link hep_spool} describes what its files survive. If the disk is full or fails, packets wait in memory
%% as without a spool, the write is repeated each second, and the errors are counted.
%%
%% Over UDP a sender notices errors only: a name that does not resolve, and ICMP errors, as for a closed port. Each
%% attempt then loses one or two datagrams, which count as sent. If a collector disappears without an ICMP error, all
%% packets are lost.
%%
%% == Events ==
%% If the application `telemetry' is loaded, the sender's process executes these events; `sender' is its pid, and
%% targets are as in the options.
%% <dl>
%% <dt>`[hep, sender, up]'</dt><dd>a target became reachable: `#{count => 1}', `#{sender, target, transport}'</dd>
%% <dt>`[hep, sender, down]'</dt><dd>a target became unreachable: `#{count => 1}', `#{sender, target, transport,
%%   reason}'</dd>
%% <dt>`[hep, sender, dropped]'</dt><dd>packets were lost: `#{count, bytes}', `#{sender, targets, transport, reason}';
%%   `reason' is `queue_full', at most once a second, or `emsgsize', for a datagram that the system
%%   rejects</dd>
%% <dt>`[hep, sender, spool_dropped]'</dt><dd>packets were lost in a spool: `#{count}', `#{sender, targets,
%%   transport}'</dd>
%% <dt>`[hep, sender, spool_error]'</dt><dd>operations on files of a spool have failed: `#{count}', `#{sender, targets,
%%   transport, reason}'</dd>
%% </dl>
-module(hep_sender).

-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1]).
-export([send/2, flush/2, info/1, format_error/1]).
%% For hep_logger.
-export([find/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, sender/0, target/0, reason/0, refusals/0, info/0, target_info/0]).

-type options() :: #{
    name => {local, atom()} | {global, term()} | {via, module(), term()},
    transport => udp | tcp | tls,
    targets := [target(), ...],
    strategy => all | failover | balance,
    queue => pos_integer(),
    queue_bytes => pos_integer(),
    batch_bytes => pos_integer(),
    backoff => {Least :: pos_integer(), Most :: pos_integer()},
    connect_timeout => pos_integer(),
    send_timeout => pos_integer(),
    resolve_every => timeout(),
    capture_id => hep:uint32(),
    node_name => binary(),
    auth_key => binary() | fun(() -> binary()),
    correlation => none | sip_call_id,
    encode => hep:encode_options(),
    sndbuf => pos_integer(),
    spool => hep_spool:options(),
    spool_rate => pos_integer() | infinity,
    tls => [ssl:tls_client_option()] | fun(() -> [ssl:tls_client_option()])
}.
%% <dl>
%% <dt>`name'</dt><dd>the registered name, as for `gen_server:start_link/4'</dd>
%% <dt>`transport'</dt><dd>`udp' (default), `tcp' or `tls'</dd>
%% <dt>`targets'</dt><dd>the collectors: `[{Host, Port}]', at least one; a host is an address as a tuple, or a name or
%%   address as text. If a name has several addresses, TCP and TLS use the first one that answers, IPv4 first; UDP uses
%%   the next one with each attempt</dd>
%% <dt>`strategy'</dt><dd>`all' (default): each packet goes to every target, and each target has its own queue.
%%   `failover': each packet goes to one target, the first one in the list that is up, from a single queue. All
%%   targets stay connected, so packets go to the next target at once, and back to an earlier one as soon as it is up
%%   again. `balance': each packet goes to one target, the packets of a call to the same one, see
%%   <a href="#Balance">Balance</a>; each target has its own queue</dd>
%% <dt>`queue'</dt><dd>the maximum number of packets in a queue: 10000 by default</dd>
%% <dt>`queue_bytes'</dt><dd>the maximum total size of these packets: 64 MiB by default, at least 65535. The packets on
%%   the way from the callers to the queue have the same two limits</dd>
%% <dt>`batch_bytes'</dt><dd>the maximum size of one write, 64 KiB by default; a larger packet is written alone. Packets
%%   do not wait for a batch to fill: the next batch consists of the packets that arrived during the last write</dd>
%% <dt>`backoff'</dt><dd>`{Least, Most}', in milliseconds, `{100, 30000}' by default: the delay before a reconnect. It
%%   doubles with each attempt until a connection has lasted for `Most'; a random part, up to half, is
%%   subtracted</dd>
%% <dt>`connect_timeout'</dt><dd>the timeout for connecting to an address, in milliseconds: 5000 by default</dd>
%% <dt>`send_timeout'</dt><dd>the connection is closed if the collector does not read for this long, in milliseconds:
%%   15000 by default. Data that the system has accepted by then is lost</dd>
%% <dt>`resolve_every'</dt><dd>the interval at which the name of a UDP target is resolved again, in milliseconds: 60000
%%   by default, a common TTL of names that move; `infinity' for never. Packets go to the old address until the new one
%%   is known, also when the lookup fails. Over TCP and TLS, the name is resolved for each connection</dd>
%% <dt>`capture_id'</dt><dd>the capture agent's id, for packets that have none</dd>
%% <dt>`node_name'</dt><dd>the capture agent's name, for packets of version 3 that have none</dd>
%% <dt>`auth_key'</dt><dd>the authenticate key for all packets; replaces their own. Packets of versions 1 and 2, which
%%   cannot carry a key, are then rejected</dd>
%% <dt>`correlation'</dt><dd>`none' (default); `sip_call_id': SIP packets of version 3 without a correlation id get
%%   their Call-ID as one, unless that makes the packet too large</dd>
%% <dt>`encode'</dt><dd>`v2_style' and `compress' of `hep:encode/2'</dd>
%% <dt>`sndbuf'</dt><dd>the size of the socket's send buffer, in bytes</dd>
%% <dt>`spool'</dt><dd>packets that cannot be sent go to disk: the options of {@link hep_spool:open/1}, for each queue,
%%   with a `max_bytes' of at least 1 MiB. See <a href="#Spool">Spool</a></dd>
%% <dt>`spool_rate'</dt><dd>with `spool', how fast a spool becomes shorter when its target is up again, in packets per
%%   second: 10000 by default, or `infinity'. The target gets as many more as arrive meanwhile</dd>
%% <dt>`tls'</dt><dd>options of `ssl:connect/4', with `tls' only. By default the collector needs a certificate for its
%%   host name or address that is signed by one of the system's CA certificates (`cacerts' or `cacertfile' replace
%%   them), and the protocol is TLS 1.2 or 1.3</dd>
%% </dl>
%% Encoded packets are sent unchanged: `capture_id', `node_name', `auth_key', `correlation' and `encode' do not apply to
%% them.
%%
%% `auth_key' and `tls' may be zero-arity functions, which keeps secrets out of logs. The sender stores them as such.

-type target() :: {inet:ip_address() | inet:hostname() | binary(), inet:port_number()}.
%% A collector.

-type sender() :: pid() | atom() | {global, term()} | {via, module(), term()}.
%% A sender on this node.

-type reason() :: hep_sender_frame:reason() | overloaded | not_running.
%% Why a packet is not sent.
%% <dl>
%% <dt>those of `hep:encode/2'</dt><dd>the packet cannot be encoded</dd>
%% <dt>`{unframed_version, Version}'</dt><dd>packets of versions 1 and 2 state no length and cannot be sent on a stream;
%%   `hep:version(hep_v3, Hep)' converts to version 3</dd>
%% <dt>`{datagram_too_large, Size}'</dt><dd>the limit of UDP is 65507 bytes</dd>
%% <dt>`not_hep'</dt><dd>the packet is not iodata; or, on a stream, it begins with neither `HEP3' nor `EEP3'</dd>
%% <dt>`{wrong_total_length, Total, Size}'</dt><dd>on a stream: the packet states the length `Total', but has `Size'
%%   bytes</dd>
%% <dt>`overloaded'</dt><dd>all callers together are faster than the sender's process</dd>
%% <dt>`not_running'</dt><dd>no such sender runs on this node</dd>
%% </dl>

-type refusals() :: #{
    overloaded := non_neg_integer(),
    too_large := non_neg_integer(),
    unframed_version := non_neg_integer(),
    invalid := non_neg_integer()
}.
%% The packets that {@link send/2} rejected, see {@link reason()}.
%% <dl>
%% <dt>`overloaded'</dt><dd>callers are faster than the sender's process</dd>
%% <dt>`too_large'</dt><dd>the packet is larger than a packet of HEP or a datagram may be</dd>
%% <dt>`unframed_version'</dt><dd>packets of versions 1 and 2 for a stream</dd>
%% <dt>`invalid'</dt><dd>all other reasons</dd>
%% </dl>

-type info() :: #{
    transport := udp | tcp | tls,
    strategy := all | failover | balance,
    targets := [target_info()],
    queued := non_neg_integer(),
    queued_bytes := non_neg_integer(),
    spooled := non_neg_integer(),
    spool_bytes := non_neg_integer(),
    spool_recovered := non_neg_integer(),
    spool_dropped := non_neg_integer(),
    spool_errors := non_neg_integer(),
    sent := non_neg_integer(),
    sent_bytes := non_neg_integer(),
    dropped := non_neg_integer(),
    refused := refusals()
}.
%% The totals of all targets. Without the option `spool', the counters of the spool are 0.
%% <dl>
%% <dt>`transport', `strategy'</dt><dd>as in the options</dd>
%% <dt>`targets'</dt><dd>the counters of each target, in the order of the options</dd>
%% <dt>`queued', `queued_bytes'</dt><dd>packets that wait in memory or are being written</dd>
%% <dt>`spooled', `spool_bytes'</dt><dd>packets on disk, and the size of the spool's files</dd>
%% <dt>`spool_recovered'</dt><dd>packets that were on disk at the start</dd>
%% <dt>`spool_dropped'</dt><dd>packets lost on disk, also included in `dropped'</dd>
%% <dt>`spool_errors'</dt><dd>failed operations on files</dd>
%% <dt>`sent', `sent_bytes'</dt><dd>packets written to sockets</dd>
%% <dt>`dropped'</dt><dd>lost packets</dd>
%% <dt>`refused'</dt><dd>packets that {@link send/2} rejected</dd>
%% </dl>

-type target_info() :: #{
    target := target(),
    state := up | connecting | down,
    queued := non_neg_integer(),
    queued_bytes := non_neg_integer(),
    sent := non_neg_integer(),
    sent_bytes := non_neg_integer(),
    dropped := non_neg_integer(),
    reconnects := non_neg_integer(),
    last_error := undefined | term()
}.
%% The counters of a target. With `failover', packets that wait in the shared queue or were dropped from it count in
%% the totals only. With `balance', a packet counts for the target whose queue it is in.
%% <dl>
%% <dt>`target'</dt><dd>as in the options</dd>
%% <dt>`state'</dt><dd>`up', `connecting', or `down' until the next attempt</dd>
%% <dt>`queued', `queued_bytes', `sent', `sent_bytes', `dropped'</dt><dd>as in {@link info()}</dd>
%% <dt>`reconnects'</dt><dd>the connections after the first one</dd>
%% <dt>`last_error'</dt><dd>the reason why the last connection failed or ended; `undefined' if there was none</dd>
%% </dl>

%% The maximum number of packets taken out of the mailbox together.
-define(BURST, 256).
%% The interval for correcting the count of packets on the way, in milliseconds.
-define(CORRECT, 1000).

-record(state, {
    transport :: udp | tcp | tls,
    strategy :: all | failover | balance,
    %% With `balance'.
    names :: hep_sender_balance:names(),
    inbox :: hep_sender_inbox:inbox(),
    routes :: [hep_sender_route:route()],
    %% Callers of flush/2, each with its timer and the packet number to reach in each route.
    flushes = [] :: [{gen_server:from(), reference() | undefined, [non_neg_integer()]}]
}).

%%% The sender

%% @doc Starts a sender. Returns before it is connected.
%%
%% `{bad_option, {Name, Value}}': an option is wrong, unknown or missing. `{bad_option, Options}': the options are not a
%% map. `no_cacerts': neither the system nor the options have CA certificates. `{cannot_start, ssl, _}': TLS is not
%% available. `{spool, Path, Reason}': the spool cannot be opened; `locked' if another sender has it open.
-spec start_link(options()) -> {ok, pid()} | {error, Reason} when
    Reason ::
        {bad_option, {atom(), term()} | term()}
        | no_cacerts
        | {cannot_start, ssl, term()}
        | hep_spool:reason()
        | {already_started, pid()}.
start_link(Options) ->
    case hep_sender_options:check(Options) of
        {ok, #{name := Name} = Checked} -> gen_server:start_link(Name, ?MODULE, Checked, server_options());
        {ok, Checked} -> gen_server:start_link(?MODULE, Checked, server_options());
        {error, _} = Error -> Error
    end.

%% Keeps unread packets out of the process's garbage collections.
server_options() ->
    [{spawn_opt, [{message_queue_data, off_heap}]}].

%% @doc Returns a child specification. The id contains the name, or the transport and targets, so several senders fit
%% one supervisor. The supervisor's reports do not show `auth_key' and `tls'.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    Id =
        case Options of
            #{name := Name} -> Name;
            #{} -> {?MODULE, [maps:get(Option, Options, default) || Option <- [transport, targets]]};
            _ -> ?MODULE
        end,
    #{id => Id, start => {?MODULE, start_link, [hep_secret:hide(hep_sender_options:secrets(), Options)]}}.

%% @doc Stops the sender. Packets in its queues are lost, see {@link flush/2}, or written to the spool. Data already
%% written is still sent, which takes up to two seconds when a collector does not read.
-spec stop(sender()) -> ok.
stop(Sender) ->
    gen_server:stop(Sender).

%% @doc Sends a packet, decoded or encoded. Never waits; `ok' means that the packet was passed to the sender.
-spec send(sender(), hep:hep() | iodata()) -> ok | {error, reason()}.
send(Sender, Packet) ->
    Pid = find(Sender),
    case hep_sender_inbox:find(Pid) of
        {ok, Shared} -> send(Pid, Packet, Shared);
        not_running -> {error, not_running}
    end.

send(Pid, Packet, Shared) ->
    case hep_sender_frame:new(Packet, hep_sender_inbox:settings(Shared)) of
        {ok, Frame, Size, Place} -> hep_sender_inbox:put(Pid, Frame, Size, Place, Shared);
        {error, Reason} -> hep_sender_inbox:refused(Reason, Shared)
    end.

%% @private For hep_logger.
-spec find(sender()) -> pid() | port() | undefined.
find(Pid) when is_pid(Pid) -> Pid;
find(Name) when is_atom(Name) -> whereis(Name);
find({global, Name}) -> global:whereis_name(Name);
find({via, Module, Name}) -> Module:whereis_name(Name).

%% @doc Waits until all packets sent before this call, by any process, were written or dropped. Does not wait for
%% packets sent later.
%%
%% With the strategy `all', waits for each target: if one is down, the call lasts until the timeout. With `balance',
%% the call does so if all are down, or if a target that is down has packets in its spool.
-spec flush(sender(), timeout()) -> ok | {error, timeout}.
flush(Sender, Timeout) when Timeout =:= infinity; is_integer(Timeout), Timeout >= 0 ->
    gen_server:call(Sender, {flush, Timeout}, infinity).

%% @doc Returns the sender's counters and the state of its targets.
-spec info(sender()) -> info().
info(Sender) ->
    gen_server:call(Sender, info, infinity).

%% @doc A sentence about a reason of {@link send/2}, or about an error of {@link start_link/1}. Raises `badarg' for what
%% is neither.
-spec format_error(reason() | {bad_option, term()} | no_cacerts | {cannot_start, ssl, term()} | hep_spool:reason()) ->
    string().
format_error({bad_option, _} = Error) ->
    hep_sender_options:format_error(Error);
format_error(no_cacerts) ->
    hep_sender_options:format_error(no_cacerts);
format_error({cannot_start, _, _} = Error) ->
    hep_sender_options:format_error(Error);
format_error({spool, _, _} = Error) ->
    hep_spool:format_error(Error);
format_error(overloaded) ->
    "the sender is overloaded";
format_error(not_running) ->
    "no such sender runs on this node";
format_error(Reason) ->
    hep_sender_frame:format_error(Reason).

%%% Callbacks

%% @private
init(#{transport := Transport, strategy := Strategy, targets := Targets} = Options) ->
    process_flag(trap_exit, true),
    Inbox = hep_sender_inbox:new(Options),
    ok = start_correcting(),
    case hep_sender_route:routes(Options) of
        {ok, Routes} ->
            State = #state{
                transport = Transport,
                strategy = Strategy,
                names = hep_sender_balance:names(Targets),
                inbox = Inbox,
                routes = Routes
            },
            {ok, State};
        {error, Reason} ->
            _ = hep_sender_inbox:delete(),
            {stop, Reason}
    end.

start_correcting() ->
    _ = erlang:start_timer(?CORRECT, self(), correct),
    ok.

%% @private
handle_call(info, _From, State) ->
    {reply, describe(State), State};
handle_call({flush, Timeout}, From, #state{flushes = Flushes, routes = Routes} = State) ->
    Positions = [hep_sender_route:position(Route) || Route <- Routes],
    {noreply, reply_flushed(State#state{flushes = [{From, flush_timer(Timeout), Positions} | Flushes]})};
handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

flush_timer(infinity) -> undefined;
flush_timer(Timeout) -> erlang:start_timer(Timeout, self(), flush).

%% @private
handle_cast(_, State) ->
    {noreply, State}.

%% @private
handle_info({packet, Frame, Size, Place}, #state{inbox = Inbox} = State) ->
    Packets = [{Size, Frame, Place} | more(?BURST)],
    Which =
        case length(Packets) of
            Burst when Burst > ?BURST -> some;
            _ -> all
        end,
    Received = State#state{inbox = hep_sender_inbox:received(Packets, Which, Inbox)},
    %% Dropped packets need not be waited for.
    {noreply, changed(in(Packets, Received))};
handle_info({connection, Pid, Event}, State) ->
    {noreply, changed(each(fun(Route) -> hep_sender_route:connection_event(Pid, Event, Route) end, State))};
handle_info({spool, Pid, Answer, Info}, State) ->
    {noreply, changed(each(fun(Route) -> hep_sender_route:spool_event(Pid, Answer, Info, Route) end, State))};
handle_info({'EXIT', Pid, Reason}, #state{routes = Routes} = State) ->
    case lists:any(fun(Route) -> hep_sender_route:has_connection(Pid, Route) end, Routes) of
        true -> {noreply, changed(ended(Pid, Reason, State))};
        %% An exit of any other linked process ends this process, as usual.
        false when Reason =:= normal -> {noreply, State};
        false -> {stop, Reason, State}
    end;
handle_info({timeout, _, correct}, #state{inbox = Inbox} = State) ->
    ok = start_correcting(),
    {noreply, State#state{inbox = hep_sender_inbox:correct(Inbox)}};
handle_info({timeout, Timer, flush}, State) ->
    {noreply, late(Timer, State)};
handle_info({timeout, Timer, What}, State) ->
    {noreply, changed(each(fun(Route) -> hep_sender_route:timeout(Timer, What, Route) end, State))};
handle_info(_, State) ->
    {noreply, State}.

%% @private
terminate(_, #state{routes = Routes}) ->
    _ = hep_sender_inbox:delete(),
    hep_sender_route:stop(Routes).

%% Takes the packets that are already in the mailbox: handling them together is cheaper.
more(0) ->
    [];
more(Most) ->
    receive
        {packet, Frame, Size, Place} -> [{Size, Frame, Place} | more(Most - 1)]
    after 0 -> []
    end.

ended(Pid, Reason, State) ->
    each(fun(Route) -> hep_sender_route:connection_ended(Pid, Reason, Route) end, State).

in(Packets, #state{strategy = balance, routes = Routes} = State) ->
    State#state{routes = hep_sender_balance:in(Packets, Routes)};
in(Packets, State) ->
    each(fun(Route) -> hep_sender_route:in(Packets, Route) end, State).

changed(State) ->
    reply_flushed(balanced(State)).

%% Packets may move to another target, and those of the callers of flush/2 with them.
balanced(#state{strategy = balance, names = Names, routes = Routes, flushes = Flushes} = State) ->
    {Moved, Positions} = hep_sender_balance:move(Names, Routes, [Each || {_, _, Each} <- Flushes]),
    State#state{
        routes = Moved,
        flushes = [{From, Timer, Each} || {{From, Timer, _}, Each} <- lists:zip(Flushes, Positions)]
    };
balanced(State) ->
    State.

each(Change, #state{routes = Routes} = State) ->
    State#state{routes = [Change(Route) || Route <- Routes]}.

%%% Calls

%% Replies to the callers of flush/2 whose packets are done.
reply_flushed(#state{flushes = []} = State) ->
    State;
reply_flushed(#state{flushes = Flushes, routes = Routes} = State) ->
    {Flushed, Others} = lists:partition(
        fun({_, _, Positions}) ->
            lists:all(
                fun({Position, Route}) -> hep_sender_route:has_passed(Position, Route) end,
                lists:zip(Positions, Routes)
            )
        end,
        Flushes
    ),
    lists:foreach(fun flushed/1, Flushed),
    State#state{flushes = Others}.

flushed({From, Timer, _}) ->
    _ = Timer =/= undefined andalso erlang:cancel_timer(Timer),
    gen_server:reply(From, ok).

%% Replies to a caller of flush/2 whose timeout has passed.
late(Timer, #state{flushes = Flushes} = State) ->
    {Late, Others} = lists:partition(fun({_, Other, _}) -> Other =:= Timer end, Flushes),
    lists:foreach(fun({From, _, _}) -> gen_server:reply(From, {error, timeout}) end, Late),
    State#state{flushes = Others}.

describe(#state{transport = Transport, strategy = Strategy, routes = Routes, inbox = Inbox}) ->
    Totals = [hep_sender_route:totals(Route) || Route <- Routes],
    Sum = fun(Name, _) -> lists:sum([maps:get(Name, Total) || Total <- Totals]) end,
    (maps:map(Sum, hd(Totals)))#{
        transport => Transport,
        strategy => Strategy,
        targets => lists:append([hep_sender_route:targets(Route) || Route <- Routes]),
        refused => hep_sender_inbox:refusals(Inbox)
    }.
