%% @doc The configuration: defaults, checks, and the environment variables that override it.
-module(call_flow_config).

-export([load/0, check/1]).

-export_type([config/0, limits/0, http/0, upload/0, recording/0]).

-type limits() :: #{
    calls := pos_integer(), messages := pos_integer(), bytes := pos_integer(), age := pos_integer()
}.
-type http() :: #{ip := inet:ip_address(), port := inet:port_number(), token := binary() | none}.
-type upload() :: #{bytes := pos_integer(), files := pos_integer()}.
-type recording() :: none | #{dir := file:filename(), file_bytes := pos_integer(), files := pos_integer()}.
-type config() :: #{
    listeners := [map()], http := http(), limits := limits(), upload := upload(), record := recording()
}.

-define(MEBIBYTE, 1048576).
%% A shorter token could be guessed.
-define(TOKEN_BYTES, 16).

%% @doc The checked environment of the application.
-spec load() -> {ok, config()} | {error, unicode:chardata()}.
load() ->
    try
        check(override(maps:from_list(application:get_all_env(call_flow))))
    catch
        throw:Text -> {error, Text}
    end.

%% @doc Fills in defaults. The error is a sentence.
-spec check(map()) -> {ok, config()} | {error, unicode:chardata()}.
check(Env) ->
    try
        Limits = merge(limits, #{calls => 10000, messages => 1000, bytes => 256 * ?MEBIBYTE, age => 86400}, Env),
        Upload = merge(upload, #{bytes => 64 * ?MEBIBYTE, files => 4}, Env),
        lists:foreach(fun positive/1, maps:to_list(Limits) ++ maps:to_list(Upload)),
        {ok, #{
            listeners => listeners(maps:get(listeners, Env, [])),
            http => http(merge(http, #{ip => {127, 0, 0, 1}, port => 9080, token => none}, Env)),
            limits => Limits,
            upload => Upload,
            record => record(maps:get(record, Env, none), Env)
        }}
    catch
        throw:Text -> {error, Text}
    end.

merge(Key, Defaults, Env) ->
    Given = maps:get(Key, Env, #{}),
    is_map(Given) orelse throw(io_lib:format("~s must be a map, not ~tp", [Key, Given])),
    case maps:keys(maps:without(maps:keys(Defaults), Given)) of
        [] -> maps:merge(Defaults, Given);
        [Unknown | _] -> throw(io_lib:format("~s has no key ~tp; its keys are ~tp", [Key, Unknown, maps:keys(Defaults)]))
    end.

positive({_, Value}) when is_integer(Value), Value > 0 -> ok;
positive({Key, Value}) -> throw(io_lib:format("~s must be a positive integer, not ~tp", [Key, Value])).

%% hep_listener checks the options of each.
listeners(Listeners) ->
    is_list(Listeners) andalso lists:all(fun is_map/1, Listeners) orelse
        throw(io_lib:format("listeners must be a list of maps, not ~tp", [Listeners])),
    Listeners.

http(#{ip := Ip, port := Port, token := Token} = Http) ->
    inet:is_ip_address(Ip) orelse throw(io_lib:format("http: ip must be an address such as {127,0,0,1}, not ~tp", [Ip])),
    is_integer(Port) andalso Port >= 0 andalso Port =< 65535 orelse
        throw(io_lib:format("http: port must be 0 to 65535, not ~tp", [Port])),
    case Token of
        none ->
            is_loopback(Ip) orelse
                throw(io_lib:format("http: ~s can be reached from other hosts, so a token is required", [inet:ntoa(Ip)])),
            Http;
        _ when is_list(Token) -> http(Http#{token := unicode:characters_to_binary(Token)});
        _ when is_binary(Token), byte_size(Token) >= ?TOKEN_BYTES -> Http;
        _ -> throw(io_lib:format("http: token must be a string of at least ~b bytes", [?TOKEN_BYTES]))
    end.

is_loopback({127, _, _, _}) -> true;
is_loopback({0, 0, 0, 0, 0, 0, 0, 1}) -> true;
is_loopback(_) -> false.

record(none, _) ->
    none;
record(_, Env) ->
    #{dir := Dir} = Record = merge(record, #{dir => undefined, file_bytes => 100 * ?MEBIBYTE, files => 10}, Env),
    Dir =/= undefined orelse throw("record: dir is required"),
    lists:foreach(fun positive/1, maps:to_list(maps:remove(dir, Record))),
    Record.

override(Env) ->
    Http =
        [{port, port("HTTP_PORT", Number)} || Number <- variable("HTTP_PORT")] ++
            [{ip, address(Text)} || Text <- variable("HTTP_IP")] ++
            [{token, Token} || Token <- variable("HTTP_TOKEN")],
    Env#{
        listeners => first_port(variable("PORT"), maps:get(listeners, Env, [])),
        http => maps:merge(maps:get(http, Env, #{}), maps:from_list(Http))
    }.

first_port([Number], [First | Others]) -> [First#{port => port("PORT", Number)} | Others];
first_port(_, Listeners) -> Listeners.

port(Variable, Text) ->
    case string:to_integer(Text) of
        {Number, []} when Number >= 0, Number =< 65535 -> Number;
        _ -> throw(io_lib:format("$~s must be a port, not ~ts", [Variable, Text]))
    end.

address(Text) ->
    case inet:parse_strict_address(Text) of
        {ok, Ip} -> Ip;
        {error, einval} -> throw(io_lib:format("$HTTP_IP must be an address, not ~ts", [Text]))
    end.

%% A list of the variable's value, if it is set.
variable(Name) ->
    [Value || Value <- [os:getenv(Name, "")], Value =/= ""].
