%% @private The options of {@link hep_listener}, checked before anything is opened.
-module(hep_listener_options).

-export([check/1, secrets/0, format_error/1]).

%% In milliseconds.
-define(DAY, 24 * 60 * 60 * 1000).
-define(DEFAULTS, #{
    transport => udp,
    ip => {0, 0, 0, 0},
    port => 9060,
    view => decode,
    decode => #{},
    auth_keys => [],
    shards => 1,
    shared_port => false,
    multicast => [],
    max_delay => 1,
    batch_packets => 256,
    active => 5,
    acceptors => 10,
    max_connections => 10_000,
    max_handshakes => 1000,
    handshake_timeout => 10_000,
    idle_timeout => ?DAY,
    shutdown => 5000,
    resync => false,
    max_errors => 100,
    dedup => none,
    filter => none,
    proxy_protocol => false,
    batch_bytes => 1024 * 1024,
    inflate_budget => 64 * 1024 * 1024,
    tls => []
}).
%% For error messages.
-define(WANTED, #{
    handler => "a module with init/1 and handle_packets/2, {Module, Argument}, a function of one argument or a local pid",
    transport => "udp, tcp or tls",
    ip => "an address as a tuple",
    port => "an integer from 0 to 65535",
    view => "decode, parse, transform, {transform, Modules}, json or raw",
    decode => "the options of hep:decode/2",
    auth_keys => "a list of binaries that are not empty, or a function that returns it",
    shards => "an integer from 1 to 1024, with transport udp if it is above 1",
    shared_port => "true or false",
    multicast =>
        "a list of multicast addresses, none twice, each alone or with an interface: {Group, Address} for IPv4, {Group, "
        "Index} for IPv6; a socket gets them if ip is {0,0,0,0} (IPv4), {0,0,0,0,0,0,0,0} (both) or the group",
    max_delay => "an integer from 0 to 1000, in milliseconds",
    batch_packets => "an integer from 1 to 256",
    active => "an integer from 1 to 32767",
    recbuf => "a positive integer of 31 bits",
    acceptors => "an integer from 1 to 1000",
    max_connections => "a positive integer",
    max_handshakes => "a positive integer",
    handshake_timeout => "milliseconds, at least 1",
    idle_timeout => "milliseconds, at least 1, or infinity",
    shutdown => "milliseconds, at least 1, infinity or brutal_kill",
    resync => "true or false",
    max_errors => "a positive integer or infinity",
    dedup =>
        "none or a map: window (milliseconds from 1 to 60000), max_entries (an integer from 2 to 100000000), agent "
        "(capture_id, source or any)",
    filter =>
        "none or a map of payload_types (names or numbers to 255), methods (binaries), capture_ids (integers of 32 bits), "
        "networks (as \"10.0.0.0/8\" or {Address, Prefix}), each a list of at least one, and function (of one argument)",
    proxy_protocol => "true or false, true with transport tcp only",
    batch_bytes => "a positive integer",
    inflate_budget =>
        "a positive integer, at least what one packet may need: max_inflated of the option decode, 8 times that with "
        "the view json, and 65535",
    tls =>
        "the options of ssl:listen/2 with transport tls: a certificate (cert, certfile, certs_keys, sni_hosts or sni_fun) "
        "whose file can be read, and none of active, handshake, header, mode and packet",
    name => "{local, Atom}, {global, Term} or {via, Module, Term}"
}).
-define(UDP_RECBUF, 4 * 1024 * 1024).

-type error() :: {bad_option, {atom(), term()} | term()} | {cannot_start, crypto | ssl, Reason :: term()}.
-export_type([error/0]).

%% @doc Returns the options with defaults, or an error that names the wrong option or the missing application.
-spec check(term()) -> {ok, map()} | {error, error()}.
check(#{} = Options) ->
    Secrets = maps:with(secrets(), Options),
    All = maps:merge(maps:merge(?DEFAULTS, Options), maps:map(fun(_, Value) -> hep_secret:show(Value) end, Secrets)),
    case started(needed(All)) of
        ok -> checked(All, Options);
        {error, _} = Error -> Error
    end;
check(Options) ->
    {error, {bad_option, Options}}.

checked(All, Options) ->
    Wrong = [Option || {Name, Value} = Option <- lists:sort(maps:to_list(All)), not is_right(Name, Value, All)],
    case {Wrong, maps:is_key(handler, All)} of
        {[{Name, Value} | _], _} -> {error, {bad_option, {Name, maps:get(Name, Options, Value)}}};
        {[], false} -> {error, {bad_option, {handler, missing}}};
        {[], true} -> {ok, completed(with_filter(with_dedup(All)))}
    end.

%% @doc Describes an error of `hep_listener:start_link/1' in a sentence.
-spec format_error(hep_listener:start_error()) -> string().
format_error({bad_option, _} = Error) ->
    hep_options:format_error(Error, ?WANTED, secrets());
format_error({cannot_start, Application, Reason}) ->
    say("the application ~p, which auth_keys and TLS need, cannot be started: ~0p", [Application, Reason]);
format_error({listen, udp, {multicast, Group, Reason}}) ->
    say("the multicast group ~0p cannot be joined: ~ts", [Group, posix(Reason)]);
format_error({listen, Transport, Reason}) ->
    say("the ~p port cannot be opened: ~ts", [Transport, posix(Reason)]);
format_error({handler, noproc}) ->
    "the handler process has ended";
format_error({handler, Reason}) ->
    say("the handler did not start: ~0p", [Reason]);
format_error(Error) ->
    erlang:error(badarg, [Error]).

say(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

posix(Reason) when is_atom(Reason) ->
    case inet:format_error(Reason) of
        "unknown POSIX error" ++ _ -> atom_to_list(Reason);
        Text -> say("~ts (~p)", [Text, Reason])
    end;
posix(Reason) ->
    say("~0p", [Reason]).

%% @doc The options that must not appear in logs.
-spec secrets() -> [atom()].
secrets() -> [auth_keys, tls].

is_right(handler, Handler, _) -> hep_handler:check(Handler);
is_right(transport, Transport, _) -> lists:member(Transport, [udp, tcp, tls]);
is_right(ip, Ip, _) -> is_tuple(Ip) andalso inet:is_ip_address(Ip);
is_right(port, Port, _) -> is_integer(Port) andalso Port >= 0 andalso Port =< 65535;
is_right(view, {transform, Modules}, _) -> hep_options:all(fun is_transform/1, Modules);
is_right(view, View, _) -> lists:member(View, [decode, parse, transform, json, raw]);
is_right(decode, Options, _) -> is_decode(Options);
is_right(auth_keys, Keys, _) -> hep_options:all(fun is_key/1, Keys);
is_right(shards, Shards, #{transport := Transport}) ->
    is_positive(Shards, 1024) andalso (Shards =:= 1 orelse Transport =:= udp);
is_right(active, Number, _) -> is_positive(Number, 32767);
is_right(multicast, Groups, #{ip := Ip}) ->
    hep_options:all(fun(Group) -> is_group(Group) andalso is_received(Group, Ip) end, Groups) andalso
        length(lists:usort(Groups)) =:= length(Groups);
is_right(max_delay, Delay, _) -> is_integer(Delay) andalso Delay >= 0 andalso Delay =< 1000;
is_right(batch_packets, Number, _) -> is_positive(Number, 256);
is_right(recbuf, Size, _) -> is_positive(Size, 16#7fffffff);
is_right(max_connections, Number, _) -> is_positive(Number);
is_right(acceptors, Number, _) -> is_positive(Number, 1000);
is_right(max_handshakes, Number, _) -> is_positive(Number);
is_right(handshake_timeout, Time, _) -> is_positive(Time, 16#ffffffff);
is_right(idle_timeout, Time, _) -> Time =:= infinity orelse is_positive(Time, 16#ffffffff);
is_right(shutdown, Time, _) -> lists:member(Time, [infinity, brutal_kill]) orelse is_positive(Time, 16#ffffffff);
is_right(shared_port, Shared, _) -> is_boolean(Shared);
is_right(resync, Resync, _) -> is_boolean(Resync);
is_right(max_errors, Number, _) -> Number =:= infinity orelse is_positive(Number);
is_right(proxy_protocol, IsProxied, #{transport := Transport}) ->
    IsProxied =:= false orelse (IsProxied =:= true andalso Transport =:= tcp);
is_right(dedup, Dedup, _) -> hep_listener_dedup:check(Dedup) =/= error;
is_right(filter, Filter, _) -> hep_listener_filter:check(Filter) =/= error;
is_right(batch_bytes, Size, _) -> is_positive(Size);
is_right(inflate_budget, Size, Options) -> is_positive(Size) andalso Size >= needed_bytes(Options);
is_right(tls, Options, #{transport := tls}) -> is_tls(Options);
is_right(tls, Options, _) -> Options =:= [];
is_right(name, Name, _) -> hep_options:is_name(Name);
is_right(_, _, _) -> false.

%% Other wrong options are reported by their own check.
needed_bytes(#{decode := Decode} = Options) ->
    case is_decode(Decode) of
        true -> max(16#ffff, hep_listener_view:need(maps:with([view, decode, filter], Options)));
        false -> 0
    end.

is_positive(Number) -> is_integer(Number) andalso Number > 0.

is_positive(Number, Most) -> is_positive(Number) andalso Number =< Most.

is_group({{_, _, _, _} = Group, Interface}) ->
    is_multicast(Group) andalso inet:is_ipv4_address(Interface);
is_group({Group, Index}) ->
    is_multicast(Group) andalso is_integer(Index) andalso Index >= 0;
is_group(Group) ->
    is_multicast(Group).

is_multicast(Ip) ->
    inet:is_ipv4_address(Ip) andalso element(1, Ip) band 16#f0 =:= 16#e0 orelse
        inet:is_ipv6_address(Ip) andalso element(1, Ip) band 16#ff00 =:= 16#ff00.

%% A socket that is bound to an address of a host receives no group.
is_received({Group, _}, Ip) -> is_received(Group, Ip);
is_received(_, {0, 0, 0, 0, 0, 0, 0, 0}) -> true;
is_received(Group, {0, 0, 0, 0}) -> tuple_size(Group) =:= 4;
is_received(Group, Ip) -> Group =:= Ip.

is_transform(Module) ->
    is_atom(Module) andalso {module, Module} =:= code:ensure_loaded(Module) andalso
        lists:all(
            fun({Name, Arity}) -> erlang:function_exported(Module, Name, Arity) end,
            [{vendor_id, 0}, {namespace, 0}, {transform, 2}]
        ).

%% The options of decoding.
is_decode(Options) ->
    try hep:decode(<<>>, Options) of
        _ -> true
    catch
        error:badarg -> false
    end.

is_key(Key) -> is_binary(Key) andalso Key =/= <<>>.

%% The options contain a server certificate in one of the forms that `ssl' accepts, and nothing that `ssl' rejects.
is_tls(Options) ->
    hep_options:all(fun is_tls_option/1, Options) andalso
        lists:any(fun(Name) -> proplists:is_defined(Name, Options) end, [cert, certfile, certs_keys, sni_hosts, sni_fun]) andalso
        is_taken(Options).

%% The connection sets these options itself.
is_tls_option({Name, _}) when Name =:= active; Name =:= handshake; Name =:= header; Name =:= mode; Name =:= packet ->
    false;
is_tls_option({versions, Versions}) ->
    hep_options:is_tls_versions(Versions);
is_tls_option({Name, File}) when Name =:= certfile; Name =:= keyfile; Name =:= cacertfile ->
    is_pem(File);
is_tls_option({cert, Certificates}) ->
    hep_options:all(fun is_certificate/1, Certificates) orelse is_certificate(Certificates);
is_tls_option(Option) ->
    is_tuple(Option) andalso tuple_size(Option) =:= 2.

is_pem(File) ->
    try file:read_file(File) of
        {ok, Text} -> public_key:pem_decode(Text) =/= [];
        {error, _} -> false
    catch
        error:_ -> false
    end.

is_certificate(Der) ->
    try public_key:pkix_decode_cert(Der, plain) of
        _ -> true
    catch
        error:_ -> false
    end.

%% `ssl' checks its options when it listens.
is_taken(Options) ->
    try ssl:listen(0, [{ip, {127, 0, 0, 1}} | Options]) of
        {ok, Socket} -> ok =:= ssl:close(Socket);
        {error, {options, _}} -> false;
        {error, _} -> true
    catch
        _:_ -> false
    end.

%% `crypto' compares keys, `ssl' checks TLS options.
needed(#{transport := Transport, auth_keys := Keys}) ->
    [crypto || Keys =/= []] ++ [ssl || Transport =:= tls].

started([]) ->
    ok;
started([Application | Others]) ->
    case application:ensure_all_started(Application) of
        {ok, _} -> started(Others);
        {error, Reason} -> {error, {cannot_start, Application, Reason}}
    end.

with_dedup(#{dedup := Dedup} = Options) ->
    {ok, Complete} = hep_listener_dedup:check(Dedup),
    Options#{dedup := Complete}.

with_filter(#{filter := Given} = Options) ->
    {ok, Filter} = hep_listener_filter:check(Given),
    Options#{filter := Filter}.

completed(#{transport := udp} = Options) ->
    maps:merge(#{recbuf => ?UDP_RECBUF}, Options);
completed(#{transport := tcp} = Options) ->
    Options;
completed(#{transport := tls, tls := Tls} = Options) ->
    %% The listener logs failed handshakes itself, in one line each.
    Defaults = [{versions, hep_options:tls_versions()}, {log_level, none}],
    Missing = [Default || {Name, _} = Default <- Defaults, not proplists:is_defined(Name, Tls)],
    Options#{tls := Missing ++ Tls}.
