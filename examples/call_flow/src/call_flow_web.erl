%% @doc Runs the web server, OTP's inets, with {@link call_flow_http} as its only module.
-module(call_flow_web).

-behaviour(gen_server).

-export([start_link/1, address/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% inets stores a body as a list, with 16 bytes for each byte. So files are sent in parts of at most this size.
-define(BODY, 262144).
-define(CLIENTS, 64).

-spec start_link(call_flow_config:config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

%% @doc The address and the port of the page.
-spec address() -> {inet:ip_address(), inet:port_number()}.
address() ->
    gen_server:call(?MODULE, address).

%%% gen_server

init(#{http := #{ip := Ip, port := Port} = Http}) ->
    process_flag(trap_exit, true),
    Priv = priv(),
    Options = [
        {bind_address, Ip},
        {port, Port},
        {ipfamily, family(Ip)},
        {server_name, "call_flow"},
        {server_root, Priv},
        {document_root, Priv},
        {server_tokens, none},
        {modules, [call_flow_http]},
        {customize, call_flow_http},
        {max_body_size, ?BODY},
        {max_header_size, 16384},
        {max_uri_size, 8192},
        {max_clients, ?CLIENTS},
        {keep_alive_timeout, 30},
        {call_flow_http, call_flow_http:settings(Http, Priv)}
    ],
    case inets:start(httpd, Options) of
        {ok, Pid} ->
            Monitor = monitor(process, Pid),
            [{port, Bound}] = httpd:info(Pid, [port]),
            {ok, {Pid, Monitor, {Ip, Bound}}};
        {error, Reason} ->
            {stop, {http, Ip, Port, reason(Reason)}}
    end.

handle_call(address, _, {_, _, Address} = State) ->
    {reply, Address, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({'DOWN', Monitor, process, _, Reason}, {_, Monitor, _} = State) ->
    {stop, {httpd, Reason}, State};
handle_info(_, State) ->
    {noreply, State}.

terminate(_, {Pid, _, _}) ->
    inets:stop(httpd, Pid).

family(Ip) when tuple_size(Ip) =:= 4 -> inet;
family(_) -> inet6.

%% Without an application, as in tests, the folder is found from the source of the module.
priv() ->
    case code:priv_dir(call_flow) of
        {error, bad_name} -> filename:join([filename:dirname(code:which(?MODULE)), "..", "priv"]);
        Dir -> Dir
    end.

%% The errors of inets are nested.
reason({_, _, {{_, {_, {_, {listen, Reason}}}}, _}}) -> inet:format_error(Reason);
reason(Reason) -> Reason.
