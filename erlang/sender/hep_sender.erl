%% @doc Sends packets to collectors over UDP, TCP or TLS.
%%
%% ```
%% 1> {ok, Sender} = hep_sender:start_link(#{transport => tcp, targets => [{"127.0.0.1", 9060}]}).
%% 2> ok = hep_sender:send(Sender, hep:payload(<<"OPTIONS sip:a SIP/2.0">>, hep:new())).
%% 3> ok = hep_sender:flush(Sender, 1000).
%% 4> #{sent := 1, dropped := 0} = hep_sender:info(Sender).
%% '''
%%
%% {@link send/2} encodes in the process that calls it, hands the packet over and returns: whatever the collector
%% does, it neither waits nor crashes. Packets wait in a queue, and when that is full the oldest are dropped and
%% counted. The sender itself never touches a socket; each target has a process that does, which resolves the
%% name, connects, and writes one batch at a time. When a connection ends the next one is tried after a growing,
%% randomly shortened time, and begins with a whole packet: a batch that was under way is sent again whole, so
%% that a collector may see some of its packets twice, and never half of one.
%%
%% <em>sent</em> means written to the socket. HEP has no answers: what the system had not sent yet when a
%% connection broke, and lost datagrams, are not reported. A refusal that comes back by ICMP makes a
%% UDP target `down' until its back-off is over; packets wait meanwhile.
%%
%% Packets wait as they are. A payload that is part of a larger binary keeps that one alive, and only its own
%% size counts for `queue_bytes': `binary:copy/1' such payloads.
%%
%% == Events ==
%% With the application `telemetry' loaded, these are executed in the sender's process; `sender' is its pid,
%% targets are those of the options.
%% <dl>
%% <dt>`[hep, sender, up]'</dt><dd>a target can be sent to: `#{count => 1}', `#{sender, target, transport}'</dd>
%% <dt>`[hep, sender, down]'</dt><dd>and not any more: `#{count => 1}', `#{sender, target, transport, reason}'</dd>
%% <dt>`[hep, sender, dropped]'</dt><dd>packets are lost: `#{count, bytes}', `#{sender, targets, transport, reason}';
%%   `reason' is `queue_full', once a second at the most, or `emsgsize', for a datagram that the system does
%%   not take</dd>
%% </dl>
-module(hep_sender).

-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1]).
-export([send/2, flush/2, info/1, format_error/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, sender/0, target/0, reason/0, refusals/0, info/0, target_info/0]).

-type options() :: #{
    name => {local, atom()} | {global, term()} | {via, module(), term()},
    transport => udp | tcp | tls,
    targets := [target(), ...],
    strategy => all | failover,
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
    encode => hep:encode_options(),
    sndbuf => pos_integer(),
    tls => [ssl:tls_client_option()] | fun(() -> [ssl:tls_client_option()])
}.
%% <dl>
%% <dt>`name'</dt><dd>what the sender is registered as, as for `gen_server:start_link/4'</dd>
%% <dt>`transport'</dt><dd>`udp' (default), `tcp' or `tls'</dd>
%% <dt>`targets'</dt><dd>the collectors: `[{Host, Port}]', one at least; a host is an address, or a name or an
%%   address as text. Of a name's addresses TCP and TLS take the first one that answers, IPv4 first; UDP the next
%%   one with each attempt</dd>
%% <dt>`strategy'</dt><dd>`all' (default): each packet goes to every target, and each target has a queue.
%%   `failover': each packet goes to one target, the first one in the list that is up; there is one queue. All
%%   targets are connected all the time, so that packets go to the next at once, and back to an earlier one as
%%   soon as that is up again</dd>
%% <dt>`queue'</dt><dd>how many packets may wait in a queue: 10000 by default</dd>
%% <dt>`queue_bytes'</dt><dd>how many bytes these may have: 64 MiB by default, 65535 at least. So much again of
%%   both may be on the way from the callers to the queue</dd>
%% <dt>`batch_bytes'</dt><dd>how many bytes of packets are written at once, 64 KiB by default; a larger packet goes
%%   alone. Nothing waits for a batch to become full: what has come in while the last one was written is the
%%   next</dd>
%% <dt>`backoff'</dt><dd>`{Least, Most}', in milliseconds, `{100, 30000}' by default: after so long a connection is
%%   tried again. It doubles with each attempt until a connection has held for `Most'; a random part, up to half,
%%   is taken off</dd>
%% <dt>`connect_timeout'</dt><dd>how long connecting to an address may take, in milliseconds: 5000 by default</dd>
%% <dt>`send_timeout'</dt><dd>how long a collector may not read before the connection is given up, in milliseconds:
%%   15000 by default. What the system has taken by then is lost</dd>
%% <dt>`resolve_every'</dt><dd>how often the name of a UDP target is looked up again, in milliseconds: 60000 by default,
%%   what most names that are meant to move allow resolvers to keep; `infinity' for never. Packets go to the old address
%%   until the new one is known, and also while the name cannot be looked up. Over TCP and TLS each connection looks up
%%   the name</dd>
%% <dt>`capture_id'</dt><dd>for packets that have none: the capture agent's id</dd>
%% <dt>`node_name'</dt><dd>for packets of version 3 that have none: the capture agent's name</dd>
%% <dt>`auth_key'</dt><dd>for all packets, in place of their own: the authenticate key. Packets of versions 1 and 2,
%%   which have no place for it, are refused then</dd>
%% <dt>`encode'</dt><dd>`v2_style' and `compress' of `hep:encode/2'</dd>
%% <dt>`sndbuf'</dt><dd>the size of the socket's buffer in the system, in bytes</dd>
%% <dt>`tls'</dt><dd>options of `ssl:connect/4', with `tls' only. Where they say nothing else, the collector must show
%%   a certificate for its host's name or address that the system's CA certificates vouch for (`cacerts' or
%%   `cacertfile' take their place), and the protocol is TLS 1.2 or 1.3</dd>
%% </dl>
%% Bytes that are already encoded go out as they are: `capture_id', `node_name', `auth_key' and `encode' are not
%% for them.
%%
%% `auth_key' and `tls' may be functions that give them: what is in a function no log shows. The sender itself keeps
%% them so.

-type target() :: {inet:ip_address() | inet:hostname() | binary(), inet:port_number()}.
%% A collector.

-type sender() :: pid() | atom() | {global, term()} | {via, module(), term()}.
%% A sender of this node.

-type reason() :: hep_sender_frame:reason() | overloaded | not_running.
%% Why a packet is not sent.
%% <dl>
%% <dt>those of `hep:encode/2'</dt><dd>it cannot be written</dd>
%% <dt>`{unframed_version, Version}'</dt><dd>versions 1 and 2 have no length to be told apart by on a stream;
%%   `hep:version(hep_v3, Hep)' makes it version 3</dd>
%% <dt>`{datagram_too_large, Size}'</dt><dd>UDP carries 65507 bytes at the most</dd>
%% <dt>`not_hep'</dt><dd>bytes that begin with neither `HEP3' nor `EEP3' have no place on a stream; no iodata</dd>
%% <dt>`{wrong_total_length, Total, Size}'</dt><dd>bytes for a stream that say that they are `Total', and are
%%   `Size'</dd>
%% <dt>`overloaded'</dt><dd>all callers together are faster than the sender's process</dd>
%% <dt>`not_running'</dt><dd>there is no such sender on this node, or not any more</dd>
%% </dl>

-type refusals() :: #{
    overloaded := non_neg_integer(),
    too_large := non_neg_integer(),
    unframed_version := non_neg_integer(),
    invalid := non_neg_integer()
}.
%% How many packets {@link send/2} has refused: for the sender's load, their size, their version, any other reason.

-type info() :: #{
    transport := udp | tcp | tls,
    strategy := all | failover,
    targets := [target_info()],
    queued := non_neg_integer(),
    queued_bytes := non_neg_integer(),
    sent := non_neg_integer(),
    sent_bytes := non_neg_integer(),
    dropped := non_neg_integer(),
    refused := refusals()
}.
%% The counters of all targets together. `queued' packets wait or are being written. `dropped' are lost.

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
%% The counters of a target. With `failover', what waits in the one queue, or was dropped from it, counts for the
%% whole and for no target. `reconnects' counts the connections after the first, `last_error' is why there was
%% no connection, or not any more.

%% How many packets are taken out of the mailbox together, at the most.
-define(BURST, 256).
%% How often the count of packets on the way is corrected, in milliseconds.
-define(CORRECT, 1000).

-record(state, {
    transport :: udp | tcp | tls,
    strategy :: all | failover,
    inbox :: hep_sender_inbox:inbox(),
    routes :: [hep_sender_route:route()],
    %% Who waits until what is queued has gone, the timer of each, and how far that is in each route.
    flushes = [] :: [{gen_server:from(), reference() | undefined, [non_neg_integer()]}]
}).

%%% The sender

%% @doc Starts a sender. It returns before there is a connection.
%%
%% A wrong, unknown or missing option is `{bad_option, {Name, Value}}', and what is no map `{bad_option, Options}'.
%% `no_cacerts' means that the system has no CA certificates, and the options name none; `{cannot_start, ssl, _}'
%% that TLS is not there.
-spec start_link(options()) -> {ok, pid()} | {error, Reason} when
    Reason ::
        {bad_option, {atom(), term()} | term()}
        | no_cacerts
        | {cannot_start, ssl, term()}
        | {already_started, pid()}.
start_link(Options) ->
    case hep_sender_options:check(Options) of
        {ok, #{name := Name} = Checked} -> gen_server:start_link(Name, ?MODULE, Checked, server_options());
        {ok, Checked} -> gen_server:start_link(?MODULE, Checked, server_options());
        {error, _} = Error -> Error
    end.

%% Packets that have not been looked at are no concern of the process's garbage collection.
server_options() ->
    [{spawn_opt, [{message_queue_data, off_heap}]}].

%% @doc For a supervisor, whose reports do not show `auth_key' and `tls'. Senders of one supervisor have ids of their
%% own by `name', or by transport and targets.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    Id =
        case Options of
            #{name := Name} -> Name;
            #{} -> {?MODULE, [maps:get(Option, Options, default) || Option <- [transport, targets]]};
            _ -> ?MODULE
        end,
    #{id => Id, start => {?MODULE, start_link, [hep_secret:hide(hep_sender_options:secrets(), Options)]}}.

%% @doc Ends the sender. What waits in its queues is lost, see {@link flush/2}; what was written still goes out, for
%% which it takes up to two seconds when a collector does not read.
-spec stop(sender()) -> ok.
stop(Sender) ->
    gen_server:stop(Sender).

%% @doc Sends a packet, or the bytes of one. Never waits; `ok' means that the packet is on its way to the queue.
-spec send(sender(), hep:hep() | iodata()) -> ok | {error, reason()}.
send(Sender, Packet) ->
    Pid = pid(Sender),
    case hep_sender_inbox:find(Pid) of
        {ok, Shared} -> send(Pid, Packet, Shared);
        not_running -> {error, not_running}
    end.

send(Pid, Packet, Shared) ->
    case hep_sender_frame:new(Packet, hep_sender_inbox:settings(Shared)) of
        {ok, Frame, Size} -> hep_sender_inbox:put(Pid, Frame, Size, Shared);
        {error, Reason} -> hep_sender_inbox:refused(Reason, Shared)
    end.

pid(Pid) when is_pid(Pid) -> Pid;
pid(Name) when is_atom(Name) -> whereis(Name);
pid({global, Name}) -> global:whereis_name(Name);
pid({via, Module, Name}) -> Module:whereis_name(Name).

%% @doc Waits until all packets that the caller has sent were written, or dropped, and with them all that others had
%% sent by then. What is sent later is not waited for.
%%
%% With the strategy `all' that means by each target: one that is down keeps the caller waiting until the time is over.
-spec flush(sender(), timeout()) -> ok | {error, timeout}.
flush(Sender, Timeout) when Timeout =:= infinity; is_integer(Timeout), Timeout >= 0 ->
    gen_server:call(Sender, {flush, Timeout}, infinity).

%% @doc What the sender has done, and how it stands with its targets.
-spec info(sender()) -> info().
info(Sender) ->
    gen_server:call(Sender, info, infinity).

%% @doc A sentence about a reason of {@link send/2}, or about an error of {@link start_link/1}. Raises `badarg' for what is
%% neither.
-spec format_error(reason() | {bad_option, term()} | no_cacerts | {cannot_start, ssl, term()}) -> string().
format_error({bad_option, _} = Error) ->
    hep_sender_options:format_error(Error);
format_error(no_cacerts) ->
    hep_sender_options:format_error(no_cacerts);
format_error({cannot_start, _, _} = Error) ->
    hep_sender_options:format_error(Error);
format_error({unframed_version, Version}) ->
    text("version ~b has no length: on a stream its packets cannot be told apart", [Version]);
format_error({datagram_too_large, Size}) ->
    text("the packet has ~b bytes: UDP carries 65507 at the most", [Size]);
format_error({wrong_total_length, Total, Size}) ->
    text("the packet's total length is ~b, and it has ~b bytes", [Total, Size]);
format_error(overloaded) ->
    "the sender has more to do than it can";
format_error(not_running) ->
    "there is no such sender on this node";
format_error(Reason) ->
    hep:format_error(Reason).

text(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

%%% Callbacks

%% @private
init(#{transport := Transport, strategy := Strategy} = Options) ->
    process_flag(trap_exit, true),
    Inbox = hep_sender_inbox:new(Options),
    ok = start_correcting(),
    Routes = hep_sender_route:routes(Options),
    {ok, #state{transport = Transport, strategy = Strategy, inbox = Inbox, routes = Routes}}.

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
handle_info({packet, Frame, Size}, #state{inbox = Inbox} = State) ->
    Entries = [{Size, Frame} | more(?BURST)],
    Which =
        case length(Entries) of
            Burst when Burst > ?BURST -> some;
            _ -> all
        end,
    Received = State#state{inbox = hep_sender_inbox:received(Entries, Which, Inbox)},
    %% What is dropped is not waited for.
    {noreply, reply_flushed(each(fun(Route) -> hep_sender_route:in(Entries, Route) end, Received))};
handle_info({connection, Pid, Event}, State) ->
    {noreply, reply_flushed(each(fun(Route) -> hep_sender_route:connection_event(Pid, Event, Route) end, State))};
handle_info({'EXIT', Pid, Reason}, #state{routes = Routes} = State) ->
    case lists:any(fun(Route) -> hep_sender_route:has_connection(Pid, Route) end, Routes) of
        true -> {noreply, reply_flushed(ended(Pid, Reason, State))};
        %% Others that are linked to this process take it with them, as they would any process.
        false when Reason =:= normal -> {noreply, State};
        false -> {stop, Reason, State}
    end;
handle_info({timeout, _, correct}, #state{inbox = Inbox} = State) ->
    ok = start_correcting(),
    {noreply, State#state{inbox = hep_sender_inbox:correct(Inbox)}};
handle_info({timeout, Timer, flush}, State) ->
    {noreply, late(Timer, State)};
handle_info({timeout, Timer, What}, State) ->
    {noreply, each(fun(Route) -> hep_sender_route:timeout(Timer, What, Route) end, State)};
handle_info(_, State) ->
    {noreply, State}.

%% @private
terminate(_, #state{routes = Routes}) ->
    _ = hep_sender_inbox:delete(),
    hep_sender_route:stop(Routes).

%% The packets that are in the mailbox already: together they cost less.
more(0) ->
    [];
more(Most) ->
    receive
        {packet, Frame, Size} -> [{Size, Frame} | more(Most - 1)]
    after 0 -> []
    end.

ended(Pid, Reason, State) ->
    each(fun(Route) -> hep_sender_route:connection_ended(Pid, Reason, Route) end, State).

each(Change, #state{routes = Routes} = State) ->
    State#state{routes = [Change(Route) || Route <- Routes]}.

%%% Calls

%% Answers those who wait for what has gone by now.
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

%% Answers the one whose time is over.
late(Timer, #state{flushes = Flushes} = State) ->
    {Late, Others} = lists:partition(fun({_, Other, _}) -> Other =:= Timer end, Flushes),
    lists:foreach(fun({From, _, _}) -> gen_server:reply(From, {error, timeout}) end, Late),
    State#state{flushes = Others}.

describe(#state{transport = Transport, strategy = Strategy, routes = Routes, inbox = Inbox}) ->
    Totals = [hep_sender_route:totals(Route) || Route <- Routes],
    Sum = fun(Name) -> lists:sum([maps:get(Name, Total) || Total <- Totals]) end,
    #{
        queued => Sum(queued),
        queued_bytes => Sum(queued_bytes),
        sent => Sum(sent),
        sent_bytes => Sum(sent_bytes),
        dropped => Sum(dropped),
        transport => Transport,
        strategy => Strategy,
        targets => lists:append([hep_sender_route:targets(Route) || Route <- Routes]),
        refused => hep_sender_inbox:refusals(Inbox)
    }.
