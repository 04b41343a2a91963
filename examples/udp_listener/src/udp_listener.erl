%% @doc Receives HEP over UDP, and hands what {@link hep_transform:transform/1} makes of each datagram
%% to a process or, by default, to standard output.
-module(udp_listener).

-behaviour(gen_server).

-export([start_link/1, port/0, watch/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How many datagrams the socket delivers before it is asked to go on: what the process cannot keep up
%% with waits in the kernel, not in the mailbox.
-define(ACTIVE, 100).

-spec start_link(#{ip := inet:ip_address(), port := inet:port_number()}) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Options, []).

%% @doc The port that is listened on.
-spec port() -> inet:port_number().
port() ->
    gen_server:call(?MODULE, port).

%% @doc Has every datagram's result sent to a process as `{hep, {Ip, Port}, Size, Result}', in place of
%% printing it; `undefined' prints again.
-spec watch(pid() | undefined) -> ok.
watch(Watcher) ->
    gen_server:call(?MODULE, {watch, Watcher}).

init(#{ip := Ip, port := Port}) ->
    case gen_udp:open(Port, [binary, {ip, Ip}, {active, ?ACTIVE}, {recbuf, 1 bsl 20}]) of
        {ok, Socket} -> {ok, #{socket => Socket, watcher => undefined}};
        {error, Reason} -> {stop, {cannot_listen, Ip, Port, inet:format_error(Reason)}}
    end.

handle_call(port, _From, #{socket := Socket} = State) ->
    {ok, Port} = inet:port(Socket),
    {reply, Port, State};
handle_call({watch, Watcher}, _From, State) ->
    {reply, ok, State#{watcher := Watcher}}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({udp, _Socket, Ip, Port, Packet}, #{watcher := Watcher} = State) ->
    deliver(Watcher, {Ip, Port}, byte_size(Packet), read(Packet)),
    {noreply, State};
handle_info({udp_passive, Socket}, State) ->
    ok = inet:setopts(Socket, [{active, ?ACTIVE}]),
    {noreply, State}.

read(Packet) ->
    case hep_multi_parser:parse(Packet) of
        {ok, Parsed} ->
            {ok, hep_transform:transform(Parsed)};
        {error, invalid_packet, _} ->
            {error, Reason} = hep:decode(Packet),
            {error, Reason}
    end.

deliver(undefined, {Ip, Port}, Size, Result) ->
    From = [inet:ntoa(Ip), $:, integer_to_list(Port)],
    io:put_chars(udp_listener_print:packet(From, Size, Result));
deliver(Watcher, Source, Size, Result) ->
    Watcher ! {hep, Source, Size, Result}.
