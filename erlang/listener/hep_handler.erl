%% @doc Handles the packets that a {@link hep_listener} receives.
%%
%% A handler is one of
%% <ul>
%% <li>a module with this behaviour, `Module' or `{Module, Args}'. Each receiving process (a UDP shard, a TCP or TLS
%%   connection) has its own handler state and calls the callbacks below.</li>
%% <li>a function of one argument, called with a list of packets. Errors are only counted.</li>
%% <li>a local process, which receives the messages `{hep_packets, Listener, [{Packet, Meta}]}' and
%%   `{hep_error, Listener, Reason, {Bytes, Meta}}'. The listener ends when the process ends. It pauses while more than
%%   1000 messages are queued in the process, or when they may hold more than 8 MiB.</li>
%% </ul>
%%
%% == Callbacks ==
%% The first two are required. In the shell, `hcb(hep_handler)' lists them.
%% <dl>
%% <dt>`init(Args) -> {ok, State} | {error, Reason}'</dt><dd>is called in each receiving process before its first
%%   packet, and after a crash of the handler</dd>
%% <dt>`handle_packets([{Packet, Meta}], State) -> {ok, State}'</dt><dd>handles a batch of packets</dd>
%% <dt>`handle_error(Reason, {Bytes, Meta}, State) -> {ok, State}'</dt><dd>handles an invalid or unauthenticated packet,
%%   or an error of a stream</dd>
%% <dt>`handle_info(Message, State) -> {ok, State}'</dt><dd>handles all other messages to the process</dd>
%% <dt>`terminate(Reason, State) -> term()'</dt><dd>is called before the process ends, and before the handler is
%%   restarted after a crash</dd>
%% </dl>
%%
%% == Batches ==
%% Packets are handled in batches, as they arrive: no packet waits for a batch to fill. A handler that raises is
%% logged, counted, and restarted with `init/1'. The packets of that call are lost (and counted); later ones are not.
%%
%% == Processes and blocking ==
%% The callbacks run in the process that reads the socket. While a callback runs, its socket is not read. Nothing
%% else is blocked: neither the other shards and connections nor `hep_listener:info/1'. Over UDP, datagrams wait in
%% the kernel's buffer and are dropped (and counted) when it is full; over TCP and TLS, the sender is slowed down.
%% Two effects reach further: inflated payloads count against `inflate_budget' until the callback returns, and
%% `hep_listener:stop/1' waits for it. After a batch with many inflated payloads the process collects its garbage, so
%% keep a large state in an ETS table or in another process. Payloads are sub-binaries of their datagram; to keep a
%% small part, copy it (`binary:copy/1').
%%
%% == Messages ==
%% Other messages to the process (timers, replies, monitors) go to `handle_info/2' if the module exports it;
%% otherwise they are dropped. An exit signal from a linked process ends the process, since this is how a listener
%% stops.
-module(hep_handler).

-export([format_error/1]).
%% For the listener.
-export([check/1, start/3, packets/3, error/2, info/2, restart/2, stop/2]).

-export_type([handler/0, packet/0, meta/0, reason/0]).

-type handler() :: module() | {module(), Args :: term()} | fun(([{packet(), meta()}]) -> term()) | pid().
%% A module, a function, or a process of this node.

-type packet() :: hep:hep() | hep:state() | hep_transform:transformed() | binary().
%% A packet in the listener's `view': the result of `hep:decode/1', `hep_multi_parser:parse/1',
%% `hep_transform:transform/1' or `hep_json:from_packet/1', or the received bytes.

-type meta() :: #{
    source := {inet:ip_address(), inet:port_number()},
    time := integer(),
    size := non_neg_integer(),
    transport := udp | tcp | tls,
    listener := pid() | term(),
    local_port := inet:port_number(),
    cut => hep:reason()
}.
%% <dl>
%% <dt>`source'</dt><dd>address and port of the sender; with `proxy_protocol', as stated by the load balancer</dd>
%% <dt>`time'</dt><dd>when the batch was received: microseconds since the epoch</dd>
%% <dt>`size'</dt><dd>received bytes; unpacked bytes for a gzip member on a stream, or for one with several packets</dd>
%% <dt>`transport'</dt><dd>the transport that it arrived on</dd>
%% <dt>`listener'</dt><dd>the listener's name (`Name' of `{local, Name}'), or its pid when it has none</dd>
%% <dt>`local_port'</dt><dd>the listener's port</dd>
%% <dt>`cut'</dt><dd>only for an incomplete packet, with the decoding option `lengths => lenient': the error in its
%%   lengths</dd>
%% </dl>

-type reason() :: hep:reason() | {stream, hep_stream:error()} | unauthenticated.
%% Why bytes are not passed on as a packet: they cannot be decoded, the stream cannot be split, or the packet has none
%% of the listener's `auth_keys'. {@link format_error/1} describes the reason in a sentence.

-callback init(Args :: term()) -> {ok, State :: term()} | {error, Reason :: term()}.
%% Called in each receiving process before its first packet, and after a crash of the handler. `{error, Reason}' ends
%% the process; from the first process, it is the result of {@link hep_listener:start_link/1}.

-callback handle_packets([{packet(), meta()}], State) -> {ok, State}.
%% Handles a batch of packets, in the order of their arrival.

-callback handle_error(reason(), {Bytes :: binary(), meta()}, State) -> {ok, State}.
%% Optional. Handles an invalid or unauthenticated packet, or an error of a stream. `Bytes' are the received bytes; they
%% are empty for an error of a stream.

-callback handle_info(Message :: term(), State) -> {ok, State}.
%% Optional. Handles all messages that are not the listener's: timers, replies, monitors.

-callback terminate(Reason :: term(), State :: term()) -> term().
%% Optional. Called before the process ends, and before the handler is restarted after a crash.

-optional_callbacks([handle_error/3, handle_info/2, terminate/2]).

%% Limits of a process as handler: queued messages, and the bytes that they may hold if all are as large as the next
%% one. The interval of the check in milliseconds, and the number of checks between two looks for an exit signal.
-define(WAITING, 1000).
-define(WAITING_BYTES, 8 * 1024 * 1024).
-define(PAUSE, 1).
-define(PAUSES, 100).

-record(handler, {
    kind :: {module, module(), Args :: term()} | {function, function()} | {process, pid()},
    listener :: pid(),
    limits :: hep_listener_log:limits(),
    state :: term()
}).

-opaque started() :: #handler{}.
%% A running handler.
-export_type([started/0]).

%% @doc Describes a reason of `handle_error/3' or `hep_error' in a sentence. Raises `badarg' for any other term.
-spec format_error(reason()) -> string().
format_error({stream, Error}) -> lists:flatten(hep_stream:format_error(Error));
format_error(unauthenticated) -> "no valid authenticate key";
format_error(Reason) -> hep:format_error(Reason).

%% @private
-spec check(term()) -> boolean().
check(Pid) when is_pid(Pid) -> node(Pid) =:= node();
check(Function) when is_function(Function) -> is_function(Function, 1);
check({Module, _Args}) -> is_atom(Module) andalso check(Module);
check(Module) when is_atom(Module) ->
    {module, Module} =:= code:ensure_loaded(Module) andalso
        erlang:function_exported(Module, init, 1) andalso
        erlang:function_exported(Module, handle_packets, 2);
check(_) -> false.

%% @private
-spec start(handler(), Listener :: pid(), hep_listener_log:limits()) -> {ok, started()} | {error, Reason :: term()}.
start(Handler, Listener, Limits) ->
    initialize(#handler{kind = kind(Handler), listener = Listener, limits = Limits}).

kind(Pid) when is_pid(Pid) -> {process, Pid};
kind(Function) when is_function(Function) -> {function, Function};
kind({Module, Args}) -> {module, Module, Args};
kind(Module) -> {module, Module, []}.

initialize(#handler{kind = {module, Module, Args}} = Handler) ->
    try Module:init(Args) of
        {ok, State} -> {ok, Handler#handler{state = State}};
        {error, _} = Error -> Error;
        Other -> {error, {bad_return, {Module, init, Other}}}
    catch
        Class:Reason:Stack -> {error, {Class, Reason, Stack}}
    end;
initialize(Handler) ->
    {ok, Handler}.

%% @private `Size' is the size of all packets in memory.
-spec packets([{packet(), meta()}], Bytes :: non_neg_integer(), started()) ->
    {ok, started()} | {crashed, Reason :: term()}.
packets([], _, Handler) ->
    {ok, Handler};
packets(Packets, _, #handler{kind = {module, Module, _}, state = State} = Handler) ->
    guarded(handle_packets, fun() -> Module:handle_packets(Packets, State) end, Handler);
packets(Packets, _, #handler{kind = {function, Function}} = Handler) ->
    guarded(handle_packets, fun() -> _ = Function(Packets), {ok, undefined} end, Handler);
packets(Packets, Bytes, #handler{kind = {process, Pid}, listener = Listener} = Handler) ->
    send_waiting(Pid, {hep_packets, Listener, Packets}, Bytes, ?PAUSES),
    {ok, Handler}.

%% @private
-spec error({reason(), {binary(), meta()}}, started()) -> {ok, started()} | {crashed, Reason :: term()}.
error({Reason, Raw}, #handler{kind = {module, Module, _}, state = State} = Handler) ->
    case erlang:function_exported(Module, handle_error, 3) of
        true -> guarded(handle_error, fun() -> Module:handle_error(Reason, Raw, State) end, Handler);
        false -> {ok, Handler}
    end;
error({Reason, {Bytes, _} = Raw}, #handler{kind = {process, Pid}, listener = Listener} = Handler) ->
    send_waiting(Pid, {hep_error, Listener, Reason, Raw}, byte_size(Bytes), ?PAUSES),
    {ok, Handler};
error(_, Handler) ->
    {ok, Handler}.

%% @private
-spec info(Message :: term(), started()) -> {ok, started()} | {crashed, Reason :: term()}.
info(Message, #handler{kind = Kind, listener = Listener, state = State} = Handler) ->
    case Kind of
        {module, Module, _} ->
            case erlang:function_exported(Module, handle_info, 2) of
                true -> guarded(handle_info, fun() -> Module:handle_info(Message, State) end, Handler);
                false -> dropped(Message, Listener, Handler)
            end;
        _ ->
            dropped(Message, Listener, Handler)
    end.

dropped(Message, Listener, Handler) ->
    logger:debug(#{what => hep_handler_dropped_message, listener => Listener, message => Message}),
    {ok, Handler}.

%% @private Restarts the handler with a new state. If `init' fails too, the process ends, and its supervisor decides.
-spec restart(Reason :: term(), started()) -> started().
restart(Reason, Handler) ->
    log_crash(Reason, Handler),
    stop(Reason, Handler),
    case initialize(Handler) of
        {ok, Restarted} -> Restarted;
        {error, Error} -> exit({handler, Error})
    end.

%% @private Exceptions are logged: the listener still has to close its socket.
-spec stop(Reason :: term(), started()) -> ok.
stop(Reason, #handler{kind = {module, Module, _}, state = State} = Handler) ->
    try
        _ = erlang:function_exported(Module, terminate, 2) andalso Module:terminate(Reason, State),
        ok
    catch
        Class:Raised:Stack -> log_crash({Class, Raised, Stack}, Handler)
    end;
stop(_, _) ->
    ok.

%% A handler may crash on every batch.
log_crash(Reason, #handler{kind = Kind, listener = Listener, limits = Limits}) ->
    Report = #{what => hep_handler_crashed, handler => Kind, listener => Listener, reason => Reason},
    hep_listener_log:error(handler_crashed, Report, Limits).

guarded(Callback, Call, Handler) ->
    try Call() of
        {ok, State} -> {ok, Handler#handler{state = State}};
        Other -> {crashed, {bad_return, {Callback, Other}}}
    catch
        Class:Reason:Stack -> {crashed, {Class, Reason, Stack}}
    end.

%% A process that does not keep up makes the listener pause, and with it the socket. Its supervisor need not wait: exit
%% signals are looked for, though not in every pause, since that scans the mailbox.
send_waiting(Pid, Message, Bytes, 0) ->
    receive
        {'EXIT', _, Reason} when Reason =/= normal -> exit(Reason)
    after 0 -> send_waiting(Pid, Message, Bytes, ?PAUSES)
    end;
send_waiting(Pid, Message, Bytes, Pauses) ->
    case erlang:process_info(Pid, message_queue_len) of
        {message_queue_len, Waiting} when Waiting < ?WAITING, Waiting * Bytes =< ?WAITING_BYTES ->
            Pid ! Message,
            ok;
        {message_queue_len, _} ->
            receive after ?PAUSE -> ok end,
            send_waiting(Pid, Message, Bytes, Pauses - 1);
        undefined ->
            exit({handler, {noproc, Pid}})
    end.
