%% @private
%% The options of `hep_sender:start_link/1', checked and completed.
-module(hep_sender_options).

-export([check/1, secrets/0, format_error/1]).

%% The queue must hold at least the largest packet.
-define(LARGEST, 65535).
%% A spool holds several of the largest packets.
-define(SPOOL, 1024 * 1024).
%% Options that would break the sender's framing or its control of the socket.
-define(OURS, [active, mode, packet, packet_size, header, send_timeout, send_timeout_close, linger, sndbuf, cb_info]).

%% For error messages.
-define(WANTED, #{
    name => "{local, Atom}, {global, Term} or {via, Module, Term}",
    transport => "udp, tcp or tls",
    targets => "a list of {Host, Port}, at least one: the host as a name or an address; with balance, each one once",
    strategy => "all, failover or balance",
    queue => "an integer from 1 to 2147483647, in packets",
    queue_bytes => "an integer of at least 65535",
    batch_bytes => "an integer from 1 to 2147483647",
    backoff => "{Least, Most} in milliseconds, the least at least 1 and not above the most",
    connect_timeout => "milliseconds, at least 1",
    send_timeout => "milliseconds, at least 1",
    resolve_every => "milliseconds, at least 1, or infinity",
    capture_id => "an integer of 32 bits",
    node_name => "a binary that is not empty",
    auth_key => "a binary that is not empty",
    correlation => "none or sip_call_id",
    encode => "the options v2_style and compress of hep:encode/2, as a map",
    spool => "a map of options of hep_spool:open/1: dir, and max_bytes (at least 1048576), segment_bytes, sync",
    spool_rate => "with spool, packets per second, at least 1, or infinity",
    sndbuf => "an integer from 1 to 2147483647, in bytes",
    tls =>
        "with transport tls, a list of options of ssl:connect/3 without those that the sender sets itself, including "
        "trusted certificates (cacerts or cacertfile) unless the system has some"
}).

-type error() :: {bad_option, {atom(), term()} | term()} | no_cacerts | {cannot_start, ssl, term()}.

-spec check(term()) -> {ok, map()} | {error, error()}.
check(Options) when is_map(Options) ->
    Shown = maps:map(fun(_, Value) -> hep_secret:show(Value) end, maps:with(secrets(), Options)),
    All = maps:merge(Options, Shown),
    case check_all(All) of
        {error, {bad_option, {Name, _}}} when is_map_key(Name, Options) -> bad({Name, map_get(Name, Options)});
        Result -> Result
    end;
check(Options) ->
    bad(Options).

%% Describes an error of `hep_sender:start_link/1' in a sentence.
-spec format_error(error()) -> string().
format_error({bad_option, {Name, undefined}}) ->
    hep_options:format_error({bad_option, {Name, missing}}, ?WANTED, secrets());
format_error({bad_option, _} = Error) ->
    hep_options:format_error(Error, ?WANTED, secrets());
format_error(no_cacerts) ->
    "no trusted certificates: expected cacerts, cacertfile or verify_none in the option tls";
format_error({cannot_start, Application, Reason}) ->
    lists:flatten(io_lib:format("the application ~p cannot be started: ~0tp", [Application, Reason])).

%% The options that must not appear in logs.
-spec secrets() -> [atom()].
secrets() -> [auth_key, tls].

check_all(Options) ->
    case [Option || {Name, Value} = Option <- lists:sort(maps:to_list(Options)), not is_valid(Name, Value)] of
        [] -> check_spool(maps:merge(defaults(), Options), Options);
        [Wrong | _] -> bad(Wrong)
    end.

defaults() ->
    #{
        transport => udp,
        %% Required: no default.
        targets => undefined,
        strategy => all,
        queue => 10000,
        queue_bytes => 64 * 1024 * 1024,
        batch_bytes => 64 * 1024,
        backoff => {100, 30000},
        connect_timeout => 5000,
        send_timeout => 15000,
        resolve_every => 60000,
        correlation => none,
        encode => #{},
        spool_rate => 10000
    }.

is_valid(name, Name) -> hep_options:is_name(Name);
is_valid(transport, Transport) -> lists:member(Transport, [udp, tcp, tls]);
is_valid(targets, [_ | _] = Targets) -> hep_options:all(fun is_target/1, Targets);
is_valid(strategy, Strategy) -> lists:member(Strategy, [all, failover, balance]);
is_valid(queue_bytes, Bytes) -> is_integer(Bytes) andalso Bytes >= ?LARGEST;
is_valid(Number, Value) when
    Number =:= queue; Number =:= batch_bytes; Number =:= connect_timeout; Number =:= send_timeout; Number =:= sndbuf
->
    is_integer(Value) andalso Value > 0 andalso Value =< 16#7fffffff;
is_valid(backoff, {Least, Most}) ->
    is_integer(Least) andalso is_integer(Most) andalso 0 < Least andalso Least =< Most andalso Most =< 16#7fffffff;
is_valid(resolve_every, Time) ->
    Time =:= infinity orelse (is_integer(Time) andalso Time > 0 andalso Time =< 16#7fffffff);
is_valid(capture_id, Id) -> is_integer(Id) andalso Id >= 0 andalso Id =< 16#ffffffff;
is_valid(Key, Value) when Key =:= node_name; Key =:= auth_key -> is_binary(Value) andalso Value =/= <<>>;
is_valid(correlation, Correlation) -> lists:member(Correlation, [none, sip_call_id]);
is_valid(encode, Options) -> is_map(Options) andalso is_encode(Options);
is_valid(spool, Options) -> is_spool(hep_spool:check(Options));
is_valid(spool_rate, Rate) -> Rate =:= infinity orelse (is_integer(Rate) andalso Rate > 0 andalso Rate =< 16#7fffffff);
is_valid(tls, Options) -> hep_options:all(fun is_tls/1, Options);
is_valid(_, _) -> false.

is_target({Host, Port}) -> is_integer(Port) andalso Port > 0 andalso Port =< 65535 andalso is_host(Host);
is_target(_) -> false.

is_host(Name) when is_binary(Name) -> is_host(binary_to_list(Name));
is_host([_ | _] = Name) -> hep_options:all(fun is_visible/1, Name);
is_host(Address) -> inet:is_ip_address(Address).

is_visible(Character) -> is_integer(Character) andalso Character > $\s andalso Character =< $~.

%% The key is a separate option. The codec checks the values of the others.
is_encode(#{auth_key := _}) ->
    false;
is_encode(Options) ->
    try hep:encode(hep:new(), Options) of
        _ -> true
    catch
        error:badarg -> false
    end.

is_spool({ok, #{max_bytes := Bytes}}) -> Bytes >= ?SPOOL;
is_spool({error, _}) -> false.

is_tls({versions, Versions}) -> hep_options:is_tls_versions(Versions);
is_tls({Name, _}) -> is_atom(Name) andalso not lists:member(Name, ?OURS);
is_tls(_) -> false.

%%% Checks across options

check_spool(#{spool := Spool} = All, _) ->
    {ok, Complete} = hep_spool:check(Spool),
    check_transport(All#{spool := Complete});
check_spool(_, #{spool_rate := Rate}) ->
    bad({spool_rate, Rate});
check_spool(All, _) ->
    check_transport(All).

check_transport(#{targets := undefined}) ->
    bad({targets, undefined});
check_transport(#{strategy := balance, targets := Targets} = Options) ->
    Names = hep_sender_balance:names(Targets),
    case length(lists:usort(Names)) =:= length(Names) of
        true -> check_tls_transport(Options);
        false -> bad({targets, Targets})
    end;
check_transport(Options) ->
    check_tls_transport(Options).

check_tls_transport(#{transport := tls} = Options) -> check_tls(maps:merge(#{tls => []}, Options));
check_tls_transport(#{tls := Tls}) -> bad({tls, Tls});
check_tls_transport(Options) -> {ok, Options}.

check_tls(#{tls := Tls, targets := [{Host, _} | _]} = Options) ->
    case application:ensure_all_started(ssl) of
        {ok, _} ->
            case hep_sender_connection:tls_options(Host, Tls) of
                {ok, Complete} -> check_tls_values(Complete, Options);
                {error, _} = Error -> Error
            end;
        {error, Reason} ->
            {error, {cannot_start, ssl, Reason}}
    end.

%% ssl checks its options before it connects, and a connection to port 0 always fails.
check_tls_values(Complete, #{tls := Tls} = Options) ->
    try ssl:connect({127, 0, 0, 1}, 0, Complete, 1000) of
        {error, Reason} when is_atom(Reason) -> {ok, Options};
        _ -> bad({tls, Tls})
    catch
        _:_ -> bad({tls, Tls})
    end.

bad(Wrong) -> {error, {bad_option, Wrong}}.
