%% @doc Answers HTTP requests: access checks, the files of the page, and the API of {@link call_flow_api}.
%%
%% On a loopback address without a token, only requests to the names of this host are answered, so that a foreign page
%% cannot reach the server under a name of its own (DNS rebinding). Requests that change data need a header that a
%% foreign page cannot send.
-module(call_flow_http).

-behaviour(httpd_custom_api).

-include_lib("inets/include/httpd.hrl").
-include_lib("kernel/include/logger.hrl").

-export([settings/2, do/1]).
-export([response_default_headers/0, response_header/1, request_header/1]).

-export_type([settings/0]).

-type settings() :: #{
    token := none | Digest :: binary(), hosts := [string()], files := #{string() => {Type :: string(), file:filename()}}
}.

-define(POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
).

%% @doc The data for checking requests. Only files that are now in the folder are served.
-spec settings(call_flow_config:http(), Folder :: file:filename()) -> settings().
settings(#{ip := Ip, token := Token}, Folder) ->
    {ok, Names} = file:list_dir(Folder),
    Files = maps:from_list([{[$/ | Name], {type(filename:extension(Name)), filename:join(Folder, Name)}} || Name <- Names]),
    #{
        token => digest(Token),
        hosts => ["localhost", "127.0.0.1", "[::1]", inet:ntoa(Ip)],
        files => Files#{"/" => maps:get("/index.html", Files)}
    }.

digest(none) -> none;
digest(Token) -> crypto:hash(sha256, Token).

type(".html") -> "text/html; charset=utf-8";
type(".js") -> "text/javascript; charset=utf-8";
type(".css") -> "text/css; charset=utf-8";
type(".svg") -> "image/svg+xml";
type(_) -> "application/octet-stream".

%%% Callbacks of httpd

response_default_headers() ->
    [
        {"Content-Security-Policy", ?POLICY},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"}
    ].

response_header(Header) -> {true, Header}.

request_header(Header) -> {true, Header}.

do(#mod{config_db = Db} = Mod) ->
    Settings = httpd_util:lookup(Db, ?MODULE),
    {Code, Headers, Body} =
        try
            answer(Mod, Settings)
        catch
            Class:Reason:Stack ->
                ?LOG_ERROR("call_flow: request failed: ~tp", [{Class, Reason, Stack}]),
                call_flow_api:failure(500, <<"internal error, see the log of the server">>)
        end,
    Length = {content_length, integer_to_list(iolist_size(Body))},
    {proceed, [{response, {response, [{code, Code}, Length | Headers], [Body]}}]}.

answer(#mod{parsed_header = Headers, method = Method, request_uri = Uri} = Mod, #{files := Files} = Settings) ->
    #{path := Path} = Parsed = parsed(Uri),
    case allowed_host(Headers, Settings) of
        false -> call_flow_api:failure(421, <<"this host name is not served">>);
        true when is_map_key(Path, Files), Method =:= "GET" -> file(maps:get(Path, Files));
        true when is_map_key(Path, Files), Method =:= "HEAD" -> file(maps:get(Path, Files));
        true -> api(Method, Path, query(Parsed), Mod, Settings)
    end.

parsed(Uri) ->
    case uri_string:parse(Uri) of
        #{path := _} = Parsed -> Parsed;
        _ -> #{path => ""}
    end.

query(#{query := Query}) ->
    case uri_string:dissect_query(Query) of
        Pairs when is_list(Pairs) -> maps:from_list([{Name, Value} || {Name, Value} <- Pairs, is_list(Value)]);
        {error, _, _} -> #{}
    end;
query(_) ->
    #{}.

file({Type, Name}) ->
    {ok, Content} = file:read_file(Name),
    {200, [{content_type, Type}], Content}.

allowed_host(_, #{token := Token}) when Token =/= none -> true;
allowed_host(Headers, #{hosts := Hosts}) -> lists:member(name(proplists:get_value("host", Headers, "")), Hosts).

%% Without the port.
name(Host) ->
    re:replace(string:lowercase(Host), ":[0-9]*$", "", [{return, list}]).

api("POST", "/api/login", _, #mod{entity_body = Body}, #{token := Digest}) ->
    login(unicode:characters_to_binary(Body), Digest);
api(Method, Path, Query, #mod{parsed_header = Headers, entity_body = Body}, Settings) ->
    case {is_authorized(Headers, Settings), Method} of
        {false, _} ->
            call_flow_api:failure(401, <<"a token is required">>);
        {true, Read} when Read =:= "GET"; Read =:= "HEAD" ->
            call_flow_api:get(string:lexemes(Path, "/"), Query);
        {true, "POST"} ->
            case proplists:is_defined("x-call-flow", Headers) of
                true -> call_flow_api:post(string:lexemes(Path, "/"), Query, list_to_binary(Body));
                false -> call_flow_api:failure(403, <<"the header X-Call-Flow is missing">>)
            end;
        {true, _} ->
            call_flow_api:failure(405, <<"unknown method">>)
    end.

%%% The token

is_authorized(_, #{token := none}) ->
    true;
is_authorized(Headers, #{token := Digest}) ->
    Bearer =
        case proplists:get_value("authorization", Headers) of
            "Bearer " ++ Token -> is_token(unicode:characters_to_binary(Token), Digest);
            _ -> false
        end,
    Bearer orelse has_cookie(proplists:get_value("cookie", Headers, ""), cookie(Digest)).

is_token(Token, Digest) when is_binary(Token) -> is_equal(crypto:hash(sha256, Token), Digest);
is_token(_, _) -> false.

%% Takes the same time wherever they differ.
is_equal(A, B) when byte_size(A) =:= byte_size(B) -> crypto:hash_equals(A, B);
is_equal(_, _) -> false.

%% Derived from the token.
cookie(Digest) ->
    string:lowercase(binary:encode_hex(crypto:hash(sha256, [<<"call_flow ">>, Digest]))).

has_cookie(Header, Cookie) ->
    lists:any(
        fun(Pair) ->
            case string:split(string:trim(Pair), "=") of
                ["call_flow", Value] -> is_equal(unicode:characters_to_binary(Value), Cookie);
                _ -> false
            end
        end,
        string:split(Header, ";", all)
    ).

login(_, none) ->
    call_flow_api:json(#{});
login(Token, Digest) ->
    case is_token(Token, Digest) of
        true ->
            {Code, Headers, Body} = call_flow_api:json(#{}),
            Cookie = ["call_flow=", binary_to_list(cookie(Digest)), "; HttpOnly; SameSite=Strict; Path=/"],
            {Code, [{"Set-Cookie", lists:flatten(Cookie)} | Headers], Body};
        false ->
            call_flow_api:failure(401, <<"this is not the token">>)
    end.
