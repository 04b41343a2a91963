%% @doc Receives HEP over UDP, TCP and TLS.
%%
%% ```
%% 1> {ok, Listener} = hep_listener:start_link(#{port => 9060, handler => fun(Packets) -> io:format("~p~n", [Packets]) end}).
%% 2> hep_listener:info(Listener).
%% #{received => 12,decoded => 12,dropped => 0,...}
%% '''
%%
%% A listener is a supervisor. It belongs under one of yours ({@link child_spec/1}); the application `hep' starts
%% nothing. {@link hep_handler} says what a handler is and gets.
%%
%% <b>UDP.</b> One process per shard reads its socket, many datagrams in one call of the system, decodes and calls the
%% handler, and reads on when the handler returns. The handler gets all packets of a datagram; a datagram may also be a
%% packet in gzip, as heplify sends it. With a slow handler datagrams wait in the kernel's buffer. What does not fit there
%% the kernel drops, and {@link info/1} reports as `dropped'.
%%
%% <b>TCP, TLS.</b> One process per connection, with `{active, N}'. {@link hep_stream} splits the stream; versions 1
%% and 2 cannot be split and end the connection. So does what is not HEP, unless `resync' is set. The TLS handshake
%% is in the connection's process, so that a stalled one delays nobody, and takes no place of `max_connections'. On
%% Linux a connection whose other side has gone without a word is closed within two minutes, by TCP's keep-alive
%% probes; elsewhere when the system's settings say so.
%%
%% <b>Failures.</b> Each process of a listener is restarted when it ends, without a restart of the others. The port
%% stays the same, also one that the system chose, and so do the counters. A handler that crashes closes neither socket
%% nor connection. When the owner of the sockets is killed, connections stay open; datagrams in the kernel's buffer are
%% lost. A listener that is killed whole leaves its port at once, even while a handler is busy: its restart succeeds.
%% It gives up, and your supervisor decides, when one of its processes has ended more than 1000 times in 10 seconds.
%%
%% <b>Stopping.</b> A handler that is at work has `shutdown' milliseconds to return and for its `terminate/2', 5000 by
%% default; then it is killed. The packets of its call are lost, and not counted as lost.
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
    view => decode | parse | transform | {transform, [module()]} | json,
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
    proxy_protocol => boolean(),
    batch_bytes => pos_integer(),
    inflate_budget => pos_integer(),
    tls => [ssl:tls_server_option()] | hep_secret:hidden([ssl:tls_server_option()]),
    shutdown => pos_integer() | infinity | brutal_kill,
    name => {local, atom()} | {global, term()} | {via, module(), term()}
}.
%% Options of another transport are checked, and have no effect otherwise.
%% <dl>
%% <dt>`handler'</dt><dd>who gets the packets, see {@link hep_handler}; the only option without a default</dd>
%% <dt>`transport'</dt><dd>`udp' (default), `tcp' or `tls'</dd>
%% <dt>`ip'</dt><dd>the address to listen on: by default `{0,0,0,0}', all of IPv4; `{0,0,0,0,0,0,0,0}' is all of
%%   both families</dd>
%% <dt>`port'</dt><dd>9060 by default; with 0 the system chooses, see {@link port/1}</dd>
%% <dt>`view'</dt><dd>what the handler gets: `decode' (default), records; `parse', lists of chunks; `transform' or
%%   `{transform, Modules}', readable lists; `json', the JSON text. A module that raises
%%   loses the packet, is logged and counts as a handler's crash</dd>
%% <dt>`decode'</dt><dd>the options of `hep:decode/2', for the views `decode' and `json'</dd>
%% <dt>`auth_keys'</dt><dd>packets without one of these authenticate keys are counted as `unauthenticated' and dropped,
%%   before anything in them is inflated; versions 1 and 2 have none. By default all packets pass</dd>
%% <dt>`shards'</dt><dd>UDP: the number of sockets on the port, each with a process; the system spreads the senders
%%   over them. 1 by default</dd>
%% <dt>`shared_port'</dt><dd>UDP: `true' allows other listeners on the same port, where the system spreads the senders
%%   over all of them. `false' by default: a second listener is an error</dd>
%% <dt>`multicast'</dt><dd>UDP: the groups to join, each `Group', or `{Group, Address}' for IPv4 and `{Group, Index}' for
%%   IPv6 to say by which interface. None by default. With several shards the first one gets the packets of groups</dd>
%% <dt>`max_delay'</dt><dd>UDP: while packets flow, how many milliseconds the first may wait for others, so that one call
%%   of the system reads them all: 1 by default, which may become 2, and takes a fraction of the CPU time of 0, which
%%   reads every packet at once. A packet after a silence never waits</dd>
%% <dt>`batch_packets'</dt><dd>UDP: the most datagrams of one read and one call of the handler, 256 by default. They have
%%   1 MiB at most</dd>
%% <dt>`active'</dt><dd>TCP, TLS: the N of `{active, N}', 10 by default</dd>
%% <dt>`recbuf'</dt><dd>the kernel's buffer of a socket, in bytes: for UDP 4 MiB by default. The kernel may give less,
%%   see `recbuf' in {@link info/1}. Beside it each shard has 2 MiB for its reads</dd>
%% <dt>`acceptors'</dt><dd>TCP, TLS: the number of processes that accept connections, 10 by default</dd>
%% <dt>`max_connections'</dt><dd>TCP, TLS: the most open connections, 10,000 by default. Further ones are closed, and
%%   counted as `refused'. A TLS connection counts from the end of its handshake on</dd>
%% <dt>`max_handshakes'</dt><dd>TLS: the most handshakes at a time, 1000 by default. Further connections are closed, and
%%   counted as `refused'</dd>
%% <dt>`handshake_timeout'</dt><dd>TLS: the most milliseconds of a handshake, 10,000 by default</dd>
%% <dt>`idle_timeout'</dt><dd>TCP, TLS: a connection without bytes for so many milliseconds is closed: a day by default,
%%   86,400,000. No sender of SIP is silent for so long, since registrations are refreshed within an hour; Kamailio and
%%   OpenSIPS close a connection themselves after two minutes without a packet; heplify, captagent and the modules of
%%   Asterisk and FreeSWITCH keep theirs, silent or not</dd>
%% <dt>`resync'</dt><dd>TCP, TLS: skip what is not HEP, see {@link hep_stream}: `false' by default</dd>
%% <dt>`max_errors'</dt><dd>TCP, TLS, with `resync': a stream with more errors is closed, and counted as
%%   `errors_closed'. 100 by default; `infinity' allows any number</dd>
%% <dt>`proxy_protocol'</dt><dd>TCP: `true' when a load balancer puts a header of the PROXY protocol, version 1 or 2, in
%%   front of each connection. The `source' is the one that it states then. A connection with a malformed header, without
%%   one, or with none within `handshake_timeout' is closed, and counted as `proxy_failed'. `false' by default. With
%%   TLS it is an error: the balancer has to end TLS itself</dd>
%% <dt>`batch_bytes'</dt><dd>the handler gets a batch when it takes so many bytes of memory, even if more could be read:
%%   1 MiB by default. 100 packets of SIP take a third of that</dd>
%% <dt>`inflate_budget'</dt><dd>how many bytes of inflated payloads, and of the JSON made of them, the listener holds at
%%   a time, all connections and shards together: 64 MiB by default. A process that needs more gives its batch to the
%%   handler, and waits, without reading its socket</dd>
%% <dt>`tls'</dt><dd>TLS: the options of `ssl:listen/2' for a server, with a certificate; session tickets and ALPN among
%%   them. By default TLS 1.2 and 1.3, and `{log_level, none}': failed handshakes are logged by the listener, each with
%%   one line, at most 10 in a second</dd>
%% <dt>`shutdown'</dt><dd>how many milliseconds a busy handler has to end when the listener stops, 5000 by default</dd>
%% <dt>`name'</dt><dd>what the listener is registered as, as for `supervisor:start_link/3'</dd>
%% </dl>
%% `auth_keys' and `tls' may be zero-arity functions, so that secrets stay out of logs. The listener itself keeps them so.
%%
%% <b>Memory.</b> Whatever is sent to it, a listener takes no more than the sum of
%% <ul>
%% <li>UDP, for each shard: the datagrams of a read, 1 MiB, and `batch_bytes'; beside it the kernel's `recbuf'</li>
%% <li>TCP and TLS, for each of `max_connections': `active' times 64 KiB received and not yet taken, 64 KiB of a packet that
%%   is not complete (176 KiB for a gzip member, with what it unpacks to), and `batch_bytes'</li>
%% <li>for each shard and connection: 64 KiB of inflated payloads that wait for a garbage collection</li>
%% <li>`inflate_budget', once</li>
%% <li>for each dirty scheduler: what it inflates at the moment, 3 times `max_inflated' of the option `decode', or 24 times
%%   that with the view `json'</li>
%% <li>a process as handler: the messages that wait in it, at most 64 MiB</li>
%% </ul>
%% beside what handlers keep. With the defaults this is 66 MiB for UDP, and 64 MiB and at most 2 MiB for each
%% connection for TCP: lower `active', `batch_bytes' or `max_connections' where strangers can connect.

-type listener() :: gen_server:server_ref().
%% Its pid, or what it is registered as.

-type info() :: #{atom() => term()}.
%% Beside `transport', `ip', `port', `view' and `shards':
%% <dl>
%% <dt>`received', `bytes'</dt><dd>datagrams, packets of streams and errors of streams; `received' is the sum of
%%   `decoded', `unauthenticated' and all of `rejected'</dd>
%% <dt>`decoded', `versions', `payload_types'</dt><dd>what the handler got, and of which kinds</dd>
%% <dt>`rejected'</dt><dd>invalid packets, by the reasons' names</dd>
%% <dt>`unauthenticated'</dt><dd>packets without one of the `auth_keys'</dd>
%% <dt>`cut'</dt><dd>decoded packets that lack something, under the decoding option `lengths => lenient'</dd>
%% <dt>`keepalives'</dt><dd>keep-alives of heplify among the decoded packets</dd>
%% <dt>`trailing', `trailing_bytes'</dt><dd>datagrams, and gzip members of a stream, with bytes behind their last packet,
%%   and how many</dd>
%% <dt>`dropped'</dt><dd>UDP: datagrams that the kernel had no room for; `undefined' where it does not report them</dd>
%% <dt>`recbuf'</dt><dd>UDP: the kernel's buffer of each socket, in bytes, as the kernel counts</dd>
%% <dt>`connections', `handshakes'</dt><dd>TCP, TLS: how many are open now, how many TLS handshakes go on</dd>
%% <dt>`accepted', `refused'</dt><dd>TCP, TLS: connections that were accepted, connections closed for `max_connections'
%%   or `max_handshakes'. One that is refused behind its handshake is in both</dd>
%% <dt>`handshakes_failed', `idle_closed', `accept_errors'</dt><dd>TCP, TLS: connections that ended in the TLS handshake,
%%   connections closed for `idle_timeout', connections that could not be accepted because the system had no
%%   descriptor or memory left</dd>
%% <dt>`errors_closed', `proxy_failed'</dt><dd>TCP, TLS: connections closed for `max_errors', and for a header of the
%%   PROXY protocol that is missing or malformed</dd>
%% <dt>`resyncs', `skipped_bytes'</dt><dd>how often, and over how many bytes, a stream was resynchronised</dd>
%% <dt>`handler_crashes', `handler_lost'</dt><dd>how often a handler, or a module of
%%   `{transform, Modules}', raised, and how many packets it had in hand; these are in `decoded', too</dd>
%% </dl>

-type start_error() ::
    hep_listener_options:error()
    | {listen, udp | tcp | tls, Reason :: term()}
    | {handler, Reason :: term()}.
%% A wrong, unknown or missing option is `{bad_option, {Name, Value}}', and what is no map `{bad_option, Options}'.
%% `{listen, Transport, Reason}': the port cannot be opened. `{handler, Reason}': the handler's `init/1' returned it, or raised
%% `{Class, Reason, Stacktrace}'.
%% `{cannot_start, Application, Reason}': `crypto' or `ssl', which `auth_keys' or TLS needs, cannot be started.
%% {@link format_error/1} puts them into a sentence.

%%% The API

%% @doc Opens the port and listens.
-spec start_link(options()) -> {ok, pid()} | {error, start_error() | {already_started, pid()}}.
start_link(Options) ->
    start_link(Options, none).

%% @private With a module that says in its language's terms what the handler gets: `packet/1', `error/1'.
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

%% @doc For a supervisor. Listeners of one supervisor have ids of their own by `name', or by transport, address and port.
%% The supervisor's reports do not show `auth_keys' and `tls'.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    Where = [maps:get(Option, Options, default) || Option <- [transport, ip, port]],
    #{
        id => maps:get(name, Options, {?MODULE, Where}),
        start => {?MODULE, start_link, [hep_secret:hide(hep_listener_options:secrets(), Options)]},
        shutdown => infinity,
        type => supervisor
    }.

%% @doc Closes the port and all connections.
-spec stop(listener()) -> ok.
stop(Listener) ->
    gen_server:stop(Listener).

%% @doc The port that is listened on.
-spec port(listener()) -> inet:port_number().
port(Listener) ->
    hep_listener_owner:call(owner(Listener), port).

%% @doc What it is and what it has counted.
-spec info(listener()) -> info().
info(Listener) ->
    hep_listener_owner:call(owner(Listener), info).

owner(Listener) ->
    fun() -> hep_listener_sup:child(Listener, owner) end.

%% @doc A sentence about an error of {@link start_link/1}. Raises `badarg' for any other term.
-spec format_error(start_error()) -> string().
format_error(Error) ->
    hep_listener_options:format_error(Error).
