%% @private
%% One connection of `hep_sender' to one collector: resolves the name, connects, does the TLS handshake, and writes one
%% batch of frames at a time. Everything that may block is done here. The process ends with the connection; the sender
%% decides when to start the next. The name of a UDP target is resolved again at intervals, by a separate process; the
%% old address is used until a new one is found.
%%
%% It sends the message `{connection, Pid, Event}' to the sender:
%% <dl>
%% <dt>`up'</dt><dd>the connection is established</dd>
%% <dt>`{sent, Count}'</dt><dd>the next Count packets of the batch were written</dd>
%% <dt>`{refused, Reason}'</dt><dd>the next packet of the batch can never be sent</dd>
%% </dl>
-module(hep_sender_connection).

-behaviour(gen_server).

-export([start_link/1, batch/2, tls_options/2, host/1, delay/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, host/0]).

%% The waiting time, in milliseconds, when the system has no buffer space for a datagram.
-define(PAUSE, 5).
%% At the end: the timeout for sending buffered data, and the interval of the check, in milliseconds.
-define(DRAIN, 1000).
-define(LOOK, 10).

-type host() :: inet:ip_address() | inet:hostname() | binary().

-type options() :: #{
    sender := pid(),
    transport := udp | tcp | tls,
    target := {host(), inet:port_number()},
    %% The number of earlier connections.
    attempt := non_neg_integer(),
    connect_timeout := pos_integer(),
    send_timeout := pos_integer(),
    %% The interval for resolving the name of a UDP target again.
    resolve_every := timeout(),
    sndbuf => pos_integer(),
    %% A function, to keep passwords out of logs.
    tls := fun(() -> [ssl:tls_client_option()])
}.

-type socket() :: {udp, gen_udp:socket()} | {tcp, gen_tcp:socket()} | {tls, ssl:sslsocket()}.

-record(state, {
    sender :: pid(),
    options :: options(),
    socket :: socket() | undefined,
    %% The address that the socket is connected to, and the process that resolves the name again.
    address :: inet:ip_address() | undefined,
    lookup :: pid() | undefined
}).

-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link(?MODULE, Options, []).

%% Passes the next batch to the connection; at most one at a time.
-spec batch(pid(), [iodata()]) -> ok.
batch(Connection, Frames) ->
    Connection ! {batch, Frames},
    ok.

%% A host of the options as text.
-spec host(host()) -> string().
host(Host) ->
    case name(Host) of
        Name when is_list(Name) -> Name;
        Address -> inet:ntoa(Address)
    end.

%% The delay before the next attempt to connect, in milliseconds. It doubles with each attempt; a random part, up to
%% half, is subtracted.
-spec delay(Attempts :: non_neg_integer(), {Least :: pos_integer(), Most :: pos_integer()}) -> pos_integer().
delay(Attempts, {Least, Most}) ->
    Longest = min(Most, Least bsl min(Attempts, 31)),
    Longest div 2 + rand:uniform(Longest - Longest div 2).

%%% Callbacks

init(#{sender := Sender} = Options) ->
    %% For terminate/2: the connection is closed in an orderly way when the sender ends.
    process_flag(trap_exit, true),
    {ok, #state{sender = Sender, options = Options}, {continue, connect}}.

handle_continue(connect, #state{options = #{target := {Host, _}} = Options} = State) ->
    case addresses(Host) of
        {ok, Addresses} -> connected(connect_any(in_turn(Addresses, Options), Options), State);
        {error, Reason} -> {stop, {shutdown, Reason}, State}
    end.

connected({ok, Socket, Address}, State) ->
    notify(up, State),
    {noreply, resolve_later(State#state{socket = Socket, address = Address})};
connected({error, Reason}, State) ->
    {stop, {shutdown, Reason}, State}.

handle_call(_, _, State) ->
    {noreply, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({batch, Frames}, #state{socket = Socket} = State) ->
    case write(Socket, Frames, State) of
        ok -> {noreply, State};
        {error, Reason} -> broken(Reason, State)
    end;
handle_info(resolve, #state{options = #{target := {Host, _}}} = State) ->
    Self = self(),
    Lookup = spawn_link(fun() -> Self ! {resolved, self(), addresses(Host)} end),
    {noreply, State#state{lookup = Lookup}};
handle_info({resolved, Lookup, Result}, #state{lookup = Lookup} = State) ->
    {noreply, resolve_later(moved(Result, State#state{lookup = undefined}))};
handle_info({'EXIT', Lookup, _}, #state{lookup = Lookup} = State) ->
    {noreply, resolve_later(State#state{lookup = undefined})};
handle_info({Closed, _}, State) when Closed =:= tcp_closed; Closed =:= ssl_closed ->
    broken(closed, State);
handle_info({Error, _, Reason}, State) when Error =:= tcp_error; Error =:= ssl_error ->
    broken(Reason, State);
%% HEP has no replies: data from a collector is discarded, so that it does not fill the buffer.
handle_info({Data, _, _}, #state{socket = Socket} = State) when Data =:= tcp; Data =:= ssl ->
    case listen(Socket) of
        ok -> {noreply, State};
        {error, Reason} -> broken(Reason, State)
    end;
handle_info(_, State) ->
    {noreply, State}.

%% The connection has ended. Nothing more is sent: the rest of a batch would be useless.
broken(Reason, #state{socket = Socket} = State) ->
    close(Socket),
    {stop, {shutdown, Reason}, State#state{socket = undefined}}.

%% The sender ends. Data in the system's buffer is still sent, if the collector reads it soon.
terminate(_, #state{socket = Socket}) ->
    drain(Socket, ?DRAIN div ?LOOK),
    close(Socket).

notify(Event, #state{sender = Sender}) ->
    Sender ! {connection, self(), Event},
    ok.

%%% Connecting

%% IPv4 first: most collectors support nothing else, and UDP would not report it.
addresses(Host) ->
    case name(Host) of
        Name when is_list(Name) -> resolved([inet:getaddrs(Name, Family) || Family <- [inet, inet6]]);
        Address -> {ok, [Address]}
    end.

resolved(Answers) ->
    case {lists:append([Addresses || {ok, Addresses} <- Answers]), Answers} of
        {[], [Error | _]} -> Error;
        {Addresses, _} -> {ok, Addresses}
    end.

%% A TCP or TLS connection keeps its address; the next one resolves the name again.
resolve_later(#state{options = #{transport := udp, resolve_every := Time, target := {Host, _}}} = State) when
    is_integer(Time)
->
    _ = is_list(name(Host)) andalso erlang:send_after(Time, self(), resolve),
    State;
resolve_later(State) ->
    State.

%% Keeps the address if the name still has it, or if no socket for another one can be opened.
moved({ok, [First | _] = Addresses}, #state{address = Address, socket = Old, options = Options} = State) ->
    case lists:member(Address, Addresses) orelse connect(First, Options) of
        {ok, Socket} ->
            close(Old),
            State#state{socket = Socket, address = First};
        _ ->
            State
    end;
moved({error, _}, State) ->
    State.

%% Over UDP, connecting succeeds for every address: each attempt takes the next one.
in_turn(Addresses, #{transport := udp, attempt := Attempt}) ->
    [lists:nth(Attempt rem length(Addresses) + 1, Addresses)];
in_turn(Addresses, _) ->
    Addresses.

%% An address if the text is one, otherwise a host name.
name(Host) when is_binary(Host) ->
    name(binary_to_list(Host));
name(Host) when is_list(Host) ->
    case inet:parse_address(Host) of
        {ok, Address} -> Address;
        {error, einval} -> Host
    end;
name(Address) ->
    Address.

connect_any([Address | Others], Options) ->
    case connect(Address, Options) of
        {ok, Socket} -> {ok, Socket, Address};
        {error, _} when Others =/= [] -> connect_any(Others, Options);
        {error, _} = Error -> Error
    end.

connect(Address, #{transport := udp, target := {_, Port}} = Options) ->
    %% Passive: an ICMP error of the host is then the result of the next send.
    case gen_udp:open(0, [binary, family(Address), {active, false} | sndbuf(Options)]) of
        {ok, Socket} ->
            case gen_udp:connect(Socket, Address, Port) of
                ok -> {ok, {udp, Socket}};
                {error, _} = Error -> gen_udp:close(Socket), Error
            end;
        {error, _} = Error ->
            Error
    end;
connect(Address, #{transport := tcp, target := {_, Port}, connect_timeout := Timeout} = Options) ->
    tagged(tcp, gen_tcp:connect(Address, Port, stream_options(Address, Options), Timeout));
connect(Address, #{transport := tls, target := {Host, Port}, connect_timeout := Timeout, tls := Tls} = Options) ->
    case tls_options(Host, Tls()) of
        {ok, Complete} ->
            tagged(tls, ssl:connect(Address, Port, stream_options(Address, Options) ++ Complete, Timeout));
        {error, _} = Error ->
            Error
    end.

tagged(Tag, {ok, Socket}) -> {ok, {Tag, Socket}};
tagged(_, {error, _} = Error) -> Error;
tagged(_, Other) -> {error, Other}.

stream_options(Address, #{send_timeout := Timeout} = Options) ->
    [
        family(Address),
        {mode, binary},
        {active, once},
        %% Batches are already as large as possible; delaying them gains nothing.
        {nodelay, true},
        {keepalive, true},
        {send_timeout, Timeout},
        {send_timeout_close, true},
        %% Otherwise a socket whose owner ends would stay open while the collector does not read. See terminate/2.
        {linger, {true, 0}}
        | sndbuf(Options)
    ].

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(_) -> inet6.

sndbuf(#{sndbuf := Bytes}) -> [{sndbuf, Bytes}];
sndbuf(_) -> [].

%% The user's TLS options, completed with safe defaults.
-spec tls_options(host(), [ssl:tls_client_option()]) -> {ok, [ssl:tls_client_option()]} | {error, no_cacerts}.
tls_options(Host, Given) ->
    Defaults = [
        {verify, verify_peer},
        {versions, hep_options:tls_versions()},
        %% Accepts wildcards in names, like HTTPS.
        {customize_hostname_check, [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}
        | server_name(name(Host))
    ],
    Missing = [Default || {Name, _} = Default <- Defaults, not lists:keymember(Name, 1, Given)],
    case trusted(Given) of
        {ok, Trusted} -> {ok, Given ++ Missing ++ Trusted};
        {error, _} = Error -> Error
    end.

%% The name for SNI and for the check of the certificate, since the connection is made to an address. For a target
%% given as an address, ssl does the right thing itself.
server_name(Name) when is_list(Name) -> [{server_name_indication, Name}];
server_name(_) -> [].

trusted(Given) ->
    Named = lists:any(fun(Name) -> lists:keymember(Name, 1, Given) end, [cacerts, cacertfile]),
    case Named orelse lists:member({verify, verify_none}, Given) of
        true -> {ok, []};
        false -> system_trusted()
    end.

system_trusted() ->
    try public_key:cacerts_get() of
        [] -> {error, no_cacerts};
        Certificates -> {ok, [{cacerts, Certificates}]}
    catch
        _:_ -> {error, no_cacerts}
    end.

%%% Writing

%% Frames of a stream are written together; if that fails, it is unknown how many arrived.
write({udp, Socket}, Datagrams, State) ->
    write_datagrams(Socket, Datagrams, 0, State);
write(Socket, Frames, State) ->
    case write_stream(Socket, Frames) of
        ok -> notify({sent, length(Frames)}, State);
        {error, _} = Error -> Error
    end.

write_stream({tcp, Socket}, Bytes) -> is_open(gen_tcp:send(Socket, Bytes));
write_stream({tls, Socket}, Bytes) -> ssl:send(Socket, Bytes).

write_datagrams(_, [], Sent, State) ->
    notify({sent, Sent}, State);
write_datagrams(Socket, [Datagram | Others] = Datagrams, Sent, State) ->
    case gen_udp:send(Socket, Datagram) of
        ok ->
            write_datagrams(Socket, Others, Sent + 1, State);
        {error, Busy} when Busy =:= eagain; Busy =:= enobufs ->
            timer:sleep(?PAUSE),
            write_datagrams(Socket, Datagrams, Sent, State);
        {error, emsgsize} ->
            notify({sent, Sent}, State),
            notify({refused, emsgsize}, State),
            write_datagrams(Socket, Others, 0, State);
        {error, _} = Error ->
            notify({sent, Sent}, State),
            Error
    end.

listen({tcp, Socket}) -> is_open(inet:setopts(Socket, [{active, once}]));
listen({tls, Socket}) -> is_open(ssl:setopts(Socket, [{active, once}])).

%% The reason that OTP reports for a socket closed by the peer.
is_open({error, einval}) -> {error, closed};
is_open(Result) -> Result.

%%% Ending

drain({Tag, _} = Socket, Times) when Tag =/= udp, Times > 0 ->
    case pending(Socket) of
        {ok, [{send_pend, 0}]} ->
            linger(Socket);
        {ok, _} ->
            timer:sleep(?LOOK),
            drain(Socket, Times - 1);
        {error, _} ->
            ok
    end;
drain(_, _) ->
    ok.

pending({tcp, Socket}) -> inet:getstat(Socket, [send_pend]);
pending({tls, Socket}) -> ssl:getstat(Socket, [send_pend]).

%% The system continues to send buffered data after the socket is closed.
linger({tcp, Socket}) -> ignore(inet:setopts(Socket, [{linger, {false, 0}}]));
linger({tls, Socket}) -> ignore(ssl:setopts(Socket, [{linger, {false, 0}}])).

close(undefined) -> ok;
close({udp, Socket}) -> gen_udp:close(Socket);
close({tcp, Socket}) -> gen_tcp:close(Socket);
close({tls, Socket}) -> ignore(ssl:close(Socket)).

ignore(_) -> ok.
