%% @doc What takes the packets that a {@link hep_listener} receives.
%%
%% A handler is one of
%% <ul>
%% <li>a module of this behaviour, `Module' or `{Module, Args}'. Each process that receives (a UDP shard, a connection
%%   of TCP or TLS) has its own handler state and calls the functions below.</li>
%% <li>a function of one argument, called with the packets. What is not HEP is only counted.</li>
%% <li>a local process, which gets `{hep_packets, Listener, [{Packet, Meta}]}' and
%%   `{hep_error, Listener, Reason, {Bytes, Meta}}'. The listener waits while it has more than 1000 messages, and ends
%%   with it.</li>
%% </ul>
%%
%% Packets come in batches, as they arrive: nothing waits for a batch to fill. While a handler is at work its socket is
%% not read. A handler that raises is logged, counted, and restarted with `init/1'; the packets of that call
%% are lost (and counted), those behind them are not.
-module(hep_handler).

-export([format_error/1]).
%% For the listener.
-export([check/1, start/2, packets/2, error/2, restart/2, stop/2]).

-export_type([handler/0, packet/0, meta/0, reason/0]).

-type handler() :: module() | {module(), Args :: term()} | fun(([{packet(), meta()}]) -> term()) | pid().

%% As the listener's `view' says: of `hep:decode/1', `hep_multi_parser:parse/1', `hep_transform:transform/1' or
%% `hep_json:from_packet/1'.
-type packet() :: hep:hep() | hep:state() | hep_transform:transformed() | binary().

%% <dl>
%% <dt>`source'</dt><dd>address and port of the sender</dd>
%% <dt>`time'</dt><dd>when its batch was received: microseconds since the epoch</dd>
%% <dt>`size'</dt><dd>bytes, as received</dd>
%% <dt>`transport'</dt><dd>what it came over</dd>
%% </dl>
-type meta() :: #{
    source := {inet:ip_address(), inet:port_number()},
    time := integer(),
    size := non_neg_integer(),
    transport := udp | tcp | tls
}.

%% Why bytes are no packet: of decoding, of dividing a stream, or without one of the listener's `auth_keys'.
%% {@link format_error/1} puts it into a sentence.
-type reason() :: hep:reason() | {stream, hep_stream:error()} | unauthenticated.

-callback init(Args :: term()) -> {ok, State :: term()} | {error, Reason :: term()}.
-callback handle_packets([{packet(), meta()}], State) -> {ok, State}.
%% Bytes are those that were received; of a stream's error they are empty.
-callback handle_error(reason(), {Bytes :: binary(), meta()}, State) -> {ok, State}.
-callback terminate(Reason :: term(), State :: term()) -> term().
-optional_callbacks([handle_error/3, terminate/2]).

%% How many messages may wait in the process that is the handler, and how often that is looked at, in milliseconds.
-define(WAITING, 1000).
-define(PAUSE, 1).

-record(handler, {
    kind :: {module, module(), Args :: term()} | {function, function()} | {process, pid()},
    listener :: pid(),
    state :: term()
}).

-opaque started() :: #handler{}.
-export_type([started/0]).

%% @doc Says in a sentence what a reason of `handle_error/3', or of `hep_error', means. Raises `badarg' for what is no
%% reason.
-spec format_error(reason()) -> string().
format_error({stream, Error}) -> lists:flatten(hep_stream:format_error(Error));
format_error(unauthenticated) -> "none of the authenticate keys";
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
-spec start(handler(), Listener :: pid()) -> {ok, started()} | {error, Reason :: term()}.
start(Handler, Listener) ->
    initialize(#handler{kind = kind(Handler), listener = Listener}).

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

%% @private
-spec packets([{packet(), meta()}], started()) -> {ok, started()} | {crashed, Reason :: term()}.
packets([], Handler) ->
    {ok, Handler};
packets(Packets, #handler{kind = {module, Module, _}, state = State} = Handler) ->
    guarded(handle_packets, fun() -> Module:handle_packets(Packets, State) end, Handler);
packets(Packets, #handler{kind = {function, Function}} = Handler) ->
    guarded(handle_packets, fun() -> _ = Function(Packets), {ok, undefined} end, Handler);
packets(Packets, #handler{kind = {process, Pid}, listener = Listener} = Handler) ->
    send_waiting(Pid, {hep_packets, Listener, Packets}),
    {ok, Handler}.

%% @private
-spec error({reason(), {binary(), meta()}}, started()) -> {ok, started()} | {crashed, Reason :: term()}.
error({Reason, Raw}, #handler{kind = {module, Module, _}, state = State} = Handler) ->
    case erlang:function_exported(Module, handle_error, 3) of
        true -> guarded(handle_error, fun() -> Module:handle_error(Reason, Raw, State) end, Handler);
        false -> {ok, Handler}
    end;
error({Reason, Raw}, #handler{kind = {process, Pid}, listener = Listener} = Handler) ->
    send_waiting(Pid, {hep_error, Listener, Reason, Raw}),
    {ok, Handler};
error(_, Handler) ->
    {ok, Handler}.

%% @private With a new state. Where `init' fails too, the process ends, and its supervisor decides.
-spec restart(Reason :: term(), started()) -> started().
restart(Reason, #handler{kind = Kind, listener = Listener} = Handler) ->
    logger:error(#{what => hep_handler_crashed, handler => Kind, listener => Listener, reason => Reason}),
    stop(Reason, Handler),
    case initialize(Handler) of
        {ok, Restarted} -> Restarted;
        {error, Error} -> exit({handler, Error})
    end.

%% @private What it raises is logged: the listener has a socket to close behind it.
-spec stop(Reason :: term(), started()) -> ok.
stop(Reason, #handler{kind = {module, Module, _} = Kind, listener = Listener, state = State}) ->
    try
        _ = erlang:function_exported(Module, terminate, 2) andalso Module:terminate(Reason, State),
        ok
    catch
        Class:Raised:Stack ->
            Crash = {Class, Raised, Stack},
            logger:error(#{what => hep_handler_crashed, handler => Kind, listener => Listener, reason => Crash})
    end;
stop(_, _) ->
    ok.

guarded(Callback, Call, Handler) ->
    try Call() of
        {ok, State} -> {ok, Handler#handler{state = State}};
        Other -> {crashed, {bad_return, {Callback, Other}}}
    catch
        Class:Reason:Stack -> {crashed, {Class, Reason, Stack}}
    end.

%% A process that does not keep up makes the listener wait, and with it the socket. Its supervisor need not wait.
send_waiting(Pid, Message) ->
    case erlang:process_info(Pid, message_queue_len) of
        {message_queue_len, Waiting} when Waiting < ?WAITING ->
            Pid ! Message,
            ok;
        {message_queue_len, _} ->
            receive
                {'EXIT', _, Reason} when Reason =/= normal -> exit(Reason)
            after ?PAUSE -> send_waiting(Pid, Message)
            end;
        undefined ->
            exit({handler, {noproc, Pid}})
    end.
