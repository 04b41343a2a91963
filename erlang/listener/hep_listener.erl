%% @doc Receives HEP over UDP, TCP and TLS.
%%
%% ```
%% 1> {ok, Listener} = hep_listener:start_link(#{port => 9060, handler => fun(Packets) -> io:format("~p~n", [Packets]) end}).
%% 2> hep_listener:info(Listener).
%% #{received => 12,decoded => 12,dropped => 0,...}
%% '''
%%
%% A listener is a supervisor. Start it under one of yours ({@link child_spec/1}); the application `hep' itself starts
%% nothing. {@link hep_handler} describes handlers.
%%
%% == UDP ==
%% One process per shard reads its socket, many datagrams in one system call, decodes them, calls the handler, and
%% reads on when the handler returns. The handler gets all packets of a datagram; a datagram may also be a packet in
%% gzip, as heplify sends it. While the handler is busy, datagrams wait in the kernel's buffer. When it is full the
%% kernel drops datagrams, which {@link info/1} reports as `dropped'.
%%
%% == TCP and TLS ==
%% One process per connection, with `{active, N}'. {@link hep_stream} splits the stream. Packets of
%% versions 1 and 2 cannot be split and end the connection; so do bytes that are not HEP, unless `resync' is set. The
%% TLS handshake runs in the connection's process, so a stalled handshake delays no other, and does not count towards
%% `max_connections'. On Linux, TCP's keep-alive probes close a dead connection within two minutes; on other systems
%% their settings decide.
%%
%% == Failures ==
%% Each process of a listener is restarted when it ends; the others keep running. The port, even one chosen by the
%% system, and the counters are kept. A crash of the handler closes neither socket nor connection. When the owner of
%% the sockets is killed, connections stay open, but datagrams in the kernel's buffer are lost. When the whole
%% listener is killed it frees its port at once, even while a handler is busy, so its restart succeeds. A listener
%% gives up, and your supervisor decides, when one of its processes has ended more than 1000 times in 10 seconds.
%%
%% == Stopping ==
%% A busy handler has `shutdown' milliseconds, 5000 by default, to return and to run `terminate/2'; then it is
%% killed. The packets of its call are lost, and not counted as lost.
-module(hep_listener).

-export([start_link/1, child_spec/1, stop/1, port/1, info/1, format_error/1]).
%% For HEP.Listener.
-export([start_link/2]).

-export_type([options/0, listener/0, info/0, start_error/0]).

-type options() :: #{
    handler := hep_handler:handler(),
    transport => udp | tcp | tls,
    ip => inet:ip_address(),
    port => inet:port_number(),
    view => decode | parse | transform | {transform, [module()]} | json | raw,
    decode => hep:options(),
    auth_keys => [binary()] | hep_secret:hidden([binary()]),
    shards => 1..1024,
    shared_port => boolean(),
    multicast => [hep_listener_socket:group()],
    max_delay => 0..1000,
    batch_packets => 1..256,
    active => 1..32767,
    recbuf => pos_integer(),
    acceptors => 1..1000,
    max_connections => pos_integer(),
    max_handshakes => pos_integer(),
    handshake_timeout => pos_integer(),
    idle_timeout => pos_integer() | infinity,
    resync => boolean(),
    max_errors => pos_integer() | infinity,
    filter => none | hep_listener_filter:options(),
    proxy_protocol => boolean(),
    dedup =>
        none
        | #{window => 1..60_000, max_entries => 2..100_000_000, agent => capture_id | source | any},
    batch_bytes => pos_integer(),
    inflate_budget => pos_integer(),
    tls => [ssl:tls_server_option()] | hep_secret:hidden([ssl:tls_server_option()]),
    shutdown => pos_integer() | infinity | brutal_kill,
    name => {local, atom()} | {global, term()} | {via, module(), term()}
}.
%% Options of another transport are checked but have no effect.
%% <dl>
%% <dt>`handler'</dt><dd>the handler of the packets, see {@link hep_handler}; required</dd>
%% <dt>`transport'</dt><dd>`udp' (default), `tcp' or `tls'</dd>
%% <dt>`ip'</dt><dd>the address to listen on: by default `{0,0,0,0}', all IPv4 addresses; `{0,0,0,0,0,0,0,0}' means all
%%   addresses of both families</dd>
%% <dt>`port'</dt><dd>9060 by default; for 0 the system chooses a port, see {@link port/1}</dd>
%% <dt>`view'</dt><dd>the form of the packets: `decode' (default), records; `parse', lists of chunks; `transform' or
%%   `{transform, Modules}', readable lists; `json', JSON text; `raw', the received bytes, for relays: the packet is
%%   checked as for `parse'. When one of the modules raises, the packet is lost; this is logged and counts as a crash of
%%   the handler</dd>
%% <dt>`decode'</dt><dd>the options of `hep:decode/2', for the views `decode' and `json'</dd>
%% <dt>`auth_keys'</dt><dd>the valid authenticate keys. Packets without one of them, and all packets of versions 1 and
%%   2, are dropped before their payload is inflated, and counted as `unauthenticated'. By default all packets
%%   pass</dd>
%% <dt>`shards'</dt><dd>UDP: the number of sockets on the port, each with a process; the system distributes the senders
%%   among them. 1 by default</dd>
%% <dt>`shared_port'</dt><dd>UDP: `true' allows other listeners on the same port; the system distributes the senders
%%   among all of them. `false' by default: a second listener on the port fails to start</dd>
%% <dt>`multicast'</dt><dd>UDP: the groups to join, each `Group', or with an interface `{Group, Address}' for IPv4 and
%%   `{Group, Index}' for IPv6. None by default. `ip' must be an unspecified address (`{0,0,0,0}' for IPv4 only) or the
%%   group, since a socket on another address receives no groups. With several shards, the first one receives the
%%   packets of groups</dd>
%% <dt>`max_delay'</dt><dd>UDP: under load, how many milliseconds a packet may wait for others, so that one system call
%%   reads them all: 1 by default, up to 2 in practice. 0 reads every packet at once, at several times the CPU time. The
%%   first packet after a pause never waits</dd>
%% <dt>`batch_packets'</dt><dd>UDP: the maximum number of datagrams per read and per call of the handler, 256 by
%%   default. A read is also limited to 1 MiB</dd>
%% <dt>`active'</dt><dd>TCP, TLS: the N of `{active, N}', 5 by default</dd>
%% <dt>`recbuf'</dt><dd>the kernel's receive buffer of a socket, in bytes: for UDP 4 MiB by default. The kernel may
%%   grant less, see `recbuf' in {@link info/1}. Each shard has another 1 MiB for its reads</dd>
%% <dt>`acceptors'</dt><dd>TCP, TLS: the number of processes that accept connections, 10 by default</dd>
%% <dt>`max_connections'</dt><dd>TCP, TLS: the maximum number of open connections, 10,000 by default. Further ones are
%%   closed, and counted as `refused'. A TLS connection counts from the end of its handshake</dd>
%% <dt>`max_handshakes'</dt><dd>TLS: the maximum number of concurrent handshakes, 1000 by default. A further one
%%   takes the place of the oldest, which is closed and counted as `handshakes_failed'</dd>
%% <dt>`handshake_timeout'</dt><dd>TLS: the timeout of a handshake in milliseconds, 10,000 by default</dd>
%% <dt>`idle_timeout'</dt><dd>TCP, TLS: a connection that receives nothing for this many milliseconds is closed: by
%%   default after a day, 86,400,000. SIP senders are never silent for so long, since registrations are refreshed within
%%   an hour. Kamailio and OpenSIPS close a connection themselves after two minutes without a packet; heplify, captagent
%%   and the modules of Asterisk and FreeSWITCH keep idle connections</dd>
%% <dt>`resync'</dt><dd>TCP, TLS: `true' skips bytes that are not HEP, see {@link hep_stream}. `false' by default</dd>
%% <dt>`max_errors'</dt><dd>TCP, TLS: a connection is closed, and counted as `errors_closed', after more invalid or
%%   unauthenticated packets without a valid one between them, and, with `resync', after more errors of its stream. 100
%%   by default; `infinity' allows any number</dd>
%% <dt>`filter'</dt><dd>which packets the handler gets: those that meet all criteria of a map; the others are counted as
%%   `filtered'. `none' by default. A criterion is a list, of which one element must match: `payload_types', by name or
%%   number; `capture_ids'; `networks' of the captured source or destination, such as `"10.0.0.0/8"', `{{10,0,0,0}, 8}',
%%   or an address; `methods' of SIP, binaries as in `<<"INVITE">>', for a response that of its CSeq. `methods' filters
%%   packets of type SIP only: others pass, while SIP without a method, such as keep-alives, does not. `function' gets
%%   the decoded packet that meets the other criteria, and returns a boolean; when it raises, the packet is lost; this
%%   is logged and counts as a crash of the handler. In any view a filter decodes packets with the option `decode', and
%%   rejects those that are invalid; except that `payload_types' is compared first. `dedup' gets only packets that
%%   pass</dd>
%% <dt>`proxy_protocol'</dt><dd>TCP: `true' when a load balancer begins each connection with a header of the PROXY
%%   protocol, version 1 or 2. `source' is then the address in that header. A connection with a malformed header,
%%   without one, or with none within `handshake_timeout' is closed, and counted as `proxy_failed'. `false' by default.
%%   Not allowed with TLS: the balancer must terminate TLS itself</dd>
%% <dt>`dedup'</dt><dd>drops packets that another agent has sent already, and counts them as `duplicates': the same
%%   addresses, ports and payload within `window' milliseconds (500 by default), on any transport and in any view of
%%   this listener. A packet that one agent sends twice is a retransmission, and stays. Agents are distinguished by
%%   `agent': `capture_id' (default; without one, by the address that sent the packet), `source' (that address) or `any'
%%   (repetitions of one agent are dropped, too). Packets without addresses, such as keep-alives, always stay.
%%   Compressed payloads are compared inflated with the view `decode', otherwise as they were sent. At most
%%   `max_entries' packets are remembered, 100,000 by default: more within a window make it shorter. `none' by
%%   default</dd>
%% <dt>`batch_bytes'</dt><dd>a batch goes to the handler when it takes this many bytes of memory, even if more could be
%%   read: 1 MiB by default. 100 SIP packets take a third of that</dd>
%% <dt>`inflate_budget'</dt><dd>how many bytes of inflated payloads, of the JSON made of them, and of the terms of
%%   packets with more than 256 chunks the listener may hold at a time, in all connections and shards together: 64 MiB
%%   by default. A process that needs more passes its batch to the handler, then waits without reading its socket</dd>
%% <dt>`tls'</dt><dd>TLS: the options of `ssl:listen/2' for a server, including a certificate; session tickets and ALPN
%%   are possible. By default TLS 1.2 and 1.3, and `{log_level, none}': the listener itself logs failed handshakes, with
%%   one line each and at most 10 lines per second</dd>
%% <dt>`shutdown'</dt><dd>how many milliseconds busy handlers have to end when the listener stops, 5000 by default</dd>
%% <dt>`name'</dt><dd>the registered name, as for `supervisor:start_link/3'</dd>
%% </dl>
%% `auth_keys' and `tls' may be zero-arity functions, which keeps secrets out of logs. The listener stores them as such.
%%
%% <b>Memory.</b> Whatever is sent to a listener, it uses at most the sum of
%% <ul>
%% <li>UDP, per shard: 1 MiB for the datagrams of a read, and `batch_bytes'; in the kernel, `recbuf'</li>
%% <li>TCP and TLS, for each of `max_connections': `active' times 64 KiB of received data, 64 KiB of an incomplete
%%   packet (176 KiB for a gzip member and its unpacked data), and `batch_bytes'</li>
%% <li>per shard and connection: 64 KiB of inflated payloads not yet garbage collected</li>
%% <li>`inflate_budget', once</li>
%% <li>with `dedup', 170 bytes for each of `max_entries'</li>
%% <li>per dirty scheduler: the payload being inflated, 3 times `max_inflated' of the option `decode', or 24 times
%%   that with the view `json'</li>
%% <li>with a process as handler: its queued messages, at most 64 MiB</li>
%% </ul>
%% and the data that handlers keep. With the defaults this is 66 MiB for UDP; for TCP, 64 MiB and up to 3 MiB per
%% connection, since a garbage collection copies a batch: lower `active', `batch_bytes' or `max_connections' if
%% untrusted hosts can connect.

-type listener() :: gen_server:server_ref().
%% The listener's pid or registered name.

-type info() :: #{atom() => term()}.
%% In addition to `transport', `ip', `port', `view' and `shards':
%% <dl>
%% <dt>`received', `bytes'</dt><dd>datagrams, packets of streams and errors of streams; `received' is the sum of
%%   `decoded', `filtered', `duplicates', `unauthenticated' and all of `rejected'</dd>
%% <dt>`decoded', `versions', `payload_types'</dt><dd>packets passed to the handler: in total, by version, by payload
%%   type</dd>
%% <dt>`rejected'</dt><dd>invalid packets, by reason</dd>
%% <dt>`unauthenticated'</dt><dd>packets without one of the `auth_keys'</dd>
%% <dt>`duplicates'</dt><dd>packets that another agent had sent, see `dedup'</dd>
%% <dt>`filtered'</dt><dd>packets that do not meet the option `filter'</dd>
%% <dt>`cut'</dt><dd>incomplete packets that were decoded with the decoding option `lengths => lenient'</dd>
%% <dt>`keepalives'</dt><dd>keep-alives of heplify, also included in `decoded'</dd>
%% <dt>`trailing', `trailing_bytes'</dt><dd>datagrams, and gzip members of a stream, with bytes after their last
%%   packet, and the number of these bytes</dd>
%% <dt>`dropped'</dt><dd>UDP: datagrams dropped by the kernel; `undefined' on systems that do not report them</dd>
%% <dt>`recbuf'</dt><dd>UDP: the receive buffer of each socket, in bytes, as reported by the kernel</dd>
%% <dt>`connections', `handshakes'</dt><dd>TCP, TLS: open connections, TLS handshakes in progress</dd>
%% <dt>`accepted', `refused'</dt><dd>TCP, TLS: accepted connections, connections closed due to `max_connections'.
%%   A connection that is refused after its handshake counts as both</dd>
%% <dt>`handshakes_failed', `idle_closed', `accept_errors'</dt><dd>TCP, TLS: connections whose TLS handshake failed,
%%   connections closed due to `idle_timeout', connections that could not be accepted for lack of descriptors or
%%   memory</dd>
%% <dt>`errors_closed', `proxy_failed'</dt><dd>TCP, TLS: connections closed due to `max_errors', and due to a missing or
%%   malformed header of the PROXY protocol</dd>
%% <dt>`resyncs', `skipped_bytes'</dt><dd>how often streams were resynchronised, and the bytes skipped by that</dd>
%% <dt>`handler_crashes', `handler_lost'</dt><dd>crashes of handlers, of modules of
%%   `{transform, Modules}' and of the function of a `filter', and the packets lost by them, which are also included in
%%   `decoded'</dd>
%% </dl>

-type start_error() ::
    hep_listener_options:error()
    | {listen, udp | tcp | tls, Reason :: term()}
    | {handler, Reason :: term()}.
%% `{bad_option, {Name, Value}}': an option is wrong, unknown or missing. `{bad_option, Options}': the options are not a
%% map. `{listen, Transport, Reason}': the port cannot be opened. `{handler, Reason}': the handler's `init/1' returned
%% Reason, or raised it as `{Class, Reason, Stacktrace}'. `{cannot_start, Application, Reason}': `crypto' or `ssl',
%% required by `auth_keys' or TLS, cannot be started. {@link format_error/1} describes these errors in a sentence.

%%% The API

%% @doc Starts a listener: opens the port and receives packets.
-spec start_link(options()) -> {ok, pid()} | {error, start_error() | {already_started, pid()}}.
start_link(Options) ->
    start_link(Options, none).

%% @private With an adapter module that converts the handler's arguments for its language: `packet/1', `error/1'.
-spec start_link(options(), Adapter :: module() | none) ->
    {ok, pid()} | {error, start_error() | {already_started, pid()}}.
start_link(Options, Adapter) ->
    case hep_listener_options:check(Options) of
        {ok, Checked} ->
            Hidden = hep_secret:hide(hep_listener_options:secrets(), Checked),
            hep_listener_sup:start_link(Hidden#{adapter => Adapter});
        {error, _} = Error ->
            Error
    end.

%% @doc Returns a child specification. The id contains the name, or the transport, address and port, so several
%% listeners fit one supervisor. The supervisor's reports do not show `auth_keys' and `tls'.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    Where = [maps:get(Option, Options, default) || Option <- [transport, ip, port]],
    #{
        id => maps:get(name, Options, {?MODULE, Where}),
        start => {?MODULE, start_link, [hep_secret:hide(hep_listener_options:secrets(), Options)]},
        shutdown => infinity,
        type => supervisor
    }.

%% @doc Stops the listener: closes the port and all connections.
-spec stop(listener()) -> ok.
stop(Listener) ->
    gen_server:stop(Listener).

%% @doc Returns the port that the listener is bound to.
-spec port(listener()) -> inet:port_number().
port(Listener) ->
    hep_listener_owner:call(owner(Listener), port).

%% @doc Returns the listener's settings and counters.
-spec info(listener()) -> info().
info(Listener) ->
    hep_listener_owner:call(owner(Listener), info).

owner(Listener) ->
    fun() -> hep_listener_sup:child(Listener, owner) end.

%% @doc Describes an error of {@link start_link/1} in a sentence. Raises `badarg' for any other term.
-spec format_error(start_error()) -> string().
format_error(Error) ->
    hep_listener_options:format_error(Error).
