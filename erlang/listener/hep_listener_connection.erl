%% @private A TCP or TLS connection of a {@link hep_listener}, with its own stream and handler.
-module(hep_listener_connection).

-behaviour(gen_server).

-export([start_link/2, start/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% The timeout for the acceptor's handover of the connection, in milliseconds.
-define(HANDOVER, 10_000).
%% The timeout for the peer's close_notify in TLS, in milliseconds.
-define(CLOSE, 100).
%% The process hibernates after this many milliseconds of silence, which frees handled packets.
-define(REST, 1000).
%% The largest unpacked gzip member.
-define(MEMBER, 16#ffff).

-record(state, {
    shared :: hep_listener_batch:shared(),
    socket :: hep_listener_transport:socket(),
    source = unknown :: unknown | hep_listener_batch:source(),
    %% Received bytes of the PROXY header; `none' after it, and if none is expected.
    proxy :: binary() | none,
    stream :: hep_stream:stream(),
    %% When bytes were last received and handled, in milliseconds.
    heard = 0 :: integer(),
    %% Undefined until the connection is handed over, the handshake is done and a place is taken.
    batch :: hep_listener_batch:batch() | undefined
}).

-spec start_link(hep_listener_batch:shared(), hep_listener_transport:socket()) -> gen_server:start_ret().
start_link(Shared, Socket) ->
    Spawn = [{fullsweep_after, 20}],
    gen_server:start_link(?MODULE, {Shared, Socket}, [{spawn_opt, Spawn}, {hibernate_after, ?REST}]).

%% @doc Notifies the process that it owns its socket now.
-spec start(pid()) -> ok.
start(Connection) ->
    gen_server:cast(Connection, start).

init({#{proxy_protocol := IsProxied} = Shared, Socket}) ->
    Proxy = case IsProxied of true -> <<>>; false -> none end,
    Stream = hep_stream:new(maps:with([resync, max_errors], Shared)),
    _ = erlang:send_after(?HANDOVER, self(), {?MODULE, handover}),
    {ok, #state{shared = Shared, socket = Socket, proxy = Proxy, stream = Stream}}.

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(start, #state{shared = #{transport := Transport} = Shared, socket = Socket} = State) ->
    case hep_listener_transport:peername(Transport, Socket) of
        {ok, {Ip, Port}} -> accepted(Transport, Shared, State#state{source = {hep_listener_batch:ip(Ip), Port}});
        {error, Reason} -> {stop, {shutdown, Reason}, State}
    end;
handle_cast(_, State) ->
    {noreply, State}.

accepted(tcp, Shared, State) ->
    entered(hep_listener_owner:enter(open, Shared), State);
accepted(tls, Shared, State) ->
    case hep_listener_owner:enter(handshake, Shared) of
        true -> handshake(Shared, State);
        false -> entered(false, State)
    end.

handshake(#{transport := Transport, handshake_timeout := Timeout} = Shared, #state{socket = Socket} = State) ->
    case hep_listener_transport:handshake(Transport, Socket, Timeout) of
        {ok, Secured} ->
            entered(hep_listener_owner:enter(open, Shared), State#state{socket = Secured});
        {error, Reason} ->
            hep_listener_batch:handshake_failed(Reason, State#state.source, Shared),
            {stop, {shutdown, {handshake, Reason}}, State}
    end.

entered(true, State) -> opened(State);
entered(false, State) -> {stop, {shutdown, refused}, State}.

%% From here on, termination waits for the handler. During a handshake it is immediate.
opened(#state{shared = Shared} = State) ->
    process_flag(trap_exit, true),
    case hep_listener_batch:start(Shared) of
        {ok, Batch} -> activated(idle_from_now(proxy_from_now(State#state{batch = Batch})));
        {error, Reason} -> {stop, {handler, Reason}, State}
    end.

activated(#state{socket = Socket, shared = #{transport := Transport, active := Active}} = State) ->
    case hep_listener_transport:setopts(Transport, Socket, [{active, Active}]) of
        ok -> {noreply, State};
        {error, Reason} -> closed(Reason, State)
    end.

proxy_from_now(#state{proxy = none} = State) ->
    State;
proxy_from_now(#state{shared = #{handshake_timeout := Timeout}} = State) ->
    _ = erlang:send_after(Timeout, self(), {?MODULE, proxy}),
    State.

%% Only received bytes postpone the idle timeout, not other messages.
idle_from_now(#state{shared = #{idle_timeout := infinity}} = State) ->
    State;
idle_from_now(#state{shared = #{idle_timeout := Timeout}} = State) ->
    schedule_idle(Timeout, State#state{heard = now_ms()}).

schedule_idle(Time, State) ->
    _ = erlang:send_after(Time, self(), {?MODULE, idle}),
    State.

now_ms() ->
    erlang:monotonic_time(millisecond).

handle_info({Tag, Socket, Bytes}, #state{socket = Socket} = State) when Tag =:= tcp; Tag =:= ssl ->
    received(Bytes, State);
handle_info({Tag, Socket}, #state{socket = Socket} = State) when Tag =:= tcp_passive; Tag =:= ssl_passive ->
    activated(State);
handle_info({Tag, Socket}, #state{socket = Socket} = State) when Tag =:= tcp_closed; Tag =:= ssl_closed ->
    closed(closed, State);
handle_info({Tag, Socket, Reason}, #state{socket = Socket} = State) when Tag =:= tcp_error; Tag =:= ssl_error ->
    closed(Reason, State);
handle_info({?MODULE, proxy}, State) ->
    proxy_timeout(State);
handle_info({?MODULE, idle}, #state{shared = #{idle_timeout := Timeout, counters := Counters}, heard = Heard} = State) ->
    case Heard + Timeout - now_ms() of
        Left when Left > 0 ->
            {noreply, schedule_idle(Left, State)};
        _ ->
            hep_listener_counters:add(idle_closed, 1, Counters),
            closed(idle_timeout, State)
    end;
%% The acceptor was killed during the handover.
handle_info({?MODULE, handover}, #state{source = unknown} = State) ->
    {stop, {shutdown, abandoned}, State};
handle_info({?MODULE, handover}, State) ->
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info(Message, #state{batch = Batch} = State) when Batch =/= undefined ->
    {noreply, State#state{batch = hep_listener_batch:info(Message, Batch)}};
handle_info(_, State) ->
    {noreply, State}.

received(Bytes, #state{proxy = none, batch = Batch} = State) ->
    fed(Bytes, 0, State#state{batch = hep_listener_batch:new(Batch)});
received(Bytes, #state{proxy = Before, source = Source} = State) ->
    Header = <<Before/binary, Bytes/binary>>,
    case hep_listener_proxy:read(Header) of
        more ->
            {noreply, State#state{proxy = Header}};
        {ok, Stated, Used} ->
            <<_:Used/binary, Rest/binary>> = Header,
            received(Rest, State#state{proxy = none, source = source(Stated, Source)});
        {error, Reason} ->
            proxy_failed(Reason, State)
    end.

source(unknown, Source) -> Source;
source({Ip, Port}, _) -> {hep_listener_batch:ip(Ip), Port}.

proxy_timeout(#state{proxy = none} = State) -> {noreply, State};
proxy_timeout(State) -> proxy_failed(timeout, State).

proxy_failed(Reason, #state{source = Source, shared = Shared} = State) ->
    hep_listener_batch:proxy_failed(Reason, Source, Shared),
    {stop, {shutdown, {proxy, Reason}}, State}.

%% Gzip members are unpacked one by one, each after taking its bytes from the budget.
fed(Bytes, Allowed, #state{stream = Stream, batch = Before, source = Source, shared = Shared} = State) ->
    {Packets, Errors, Next, More} = hep_stream:feed(Stream, Bytes, Allowed),
    Unpacked = hep_listener_batch:unpacked(min(Allowed, iolist_size(Packets)), Before),
    case packets(Packets, Source, Unpacked, maps:get(max_errors, Shared)) of
        {ok, Read} -> continued(More, Errors, failed(Errors, State#state{stream = Next, batch = Read}));
        {too_many_errors, Read} -> too_many_errors(flushed(State#state{stream = Next, batch = Read}))
    end.

continued(packed, _, #state{batch = Batch} = State) ->
    Others = State#state{batch = undefined},
    fed(<<>>, ?MEMBER, Others#state{batch = hep_listener_batch:unpacking(?MEMBER, Batch)});
continued(done, Errors, #state{stream = Stream} = State) ->
    Flushed = flushed(State),
    case hep_stream:is_ended(Stream) andalso lists:last(Errors) of
        false -> {noreply, Flushed#state{heard = now_ms()}};
        {_, {too_many_errors, _}} -> too_many_errors(Flushed);
        Error -> {stop, {shutdown, {stream, Error}}, Flushed}
    end.

%% Packets that cannot be decoded cost as much as errors of the stream, so they have the same maximum. Valid packets
%% between them show that the peer is a sender of HEP. Nothing here may keep an earlier batch alive.
packets([], _, Batch, _) ->
    {ok, Batch};
packets([Packet | Others], Source, Before, Most) ->
    Batch = hep_listener_batch:packet(Packet, Source, Before),
    %% Every number is less than the atom `infinity'.
    case hep_listener_batch:invalid(Batch) > Most of
        false -> packets(Others, Source, Batch, Most);
        true -> {too_many_errors, Batch}
    end.

too_many_errors(#state{shared = #{counters := Counters, max_errors := Most}} = State) ->
    hep_listener_counters:add(errors_closed, 1, Counters),
    {stop, {shutdown, {too_many_errors, Most}}, State}.

%% Adds the errors of the stream.
failed(Errors, #state{batch = Before, source = Source} = State) ->
    State#state{
        batch = lists:foldl(
            fun(Error, Batch) -> hep_listener_batch:stream_error(Error, Source, Batch) end, Before, Errors
        )
    }.

%% The state must not refer to the packets during the call, so that they can be garbage collected.
flushed(#state{batch = Batch} = State) ->
    Others = State#state{batch = undefined},
    Others#state{batch = hep_listener_batch:flush(Batch)}.

closed(_, #state{proxy = Header} = State) when is_binary(Header), Header =/= <<>> ->
    proxy_failed(truncated, State);
closed(Reason, #state{stream = Stream, batch = Batch} = State) ->
    New = State#state{batch = hep_listener_batch:new(Batch)},
    {stop, {shutdown, Reason}, flushed(failed(hep_stream:finish(Stream), New))}.

terminate(Reason, #state{batch = Batch, socket = Socket, shared = #{transport := Transport}}) ->
    _ = Batch =/= undefined andalso hep_listener_batch:stop(Reason, Batch),
    hep_listener_transport:close(Transport, Socket, ?CLOSE).
