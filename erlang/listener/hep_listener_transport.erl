%% @private The sockets of a {@link hep_listener} over TCP and TLS.
%%
%% TLS uses `ssl' for the listening socket, too: it holds state shared by its connections, such as session tickets.
-module(hep_listener_transport).

-export([listen/1, accept/2, handover/3, peername/2, handshake/3, setopts/3, close/2, close/3]).

-export_type([transport/0, listening/0, socket/0]).

-type transport() :: tcp | tls.
-type listening() :: gen_tcp:socket() | ssl:sslsocket().
-type socket() :: gen_tcp:socket() | ssl:sslsocket().

%% The backlog of connections to accept.
-define(BACKLOG, 1024).
%% TCP keep-alive: idle seconds before the first probe, number of probes, seconds between them. The system's default is
%% two hours.
-define(KEEPALIVE, #{idle => 60, interval => 15, count => 4}).

-spec listen(#{transport := transport(), atom() => term()}) ->
    {ok, listening(), inet:port_number()} | {error, Reason :: term()}.
listen(#{transport := Transport, ip := Ip, port := Port} = Options) ->
    Given = [{recbuf, Size} || #{recbuf := Size} <- [Options]],
    Common = [
        binary,
        {ip, Ip},
        {active, false},
        {reuseaddr, true},
        {backlog, ?BACKLOG},
        {buffer, 16#ffff}
    ],
    case listen(Transport, Port, family(Ip) ++ Common ++ keepalive(os:type()) ++ Given, Options) of
        {ok, Socket} ->
            {ok, {_, Chosen}} = sockname(Transport, Socket),
            {ok, Socket, Chosen};
        {error, _} = Error ->
            Error
    end.

listen(tcp, Port, Tcp, _) -> gen_tcp:listen(Port, Tcp);
listen(tls, Port, Tcp, #{tls := Tls}) -> ssl:listen(Port, Tcp ++ Tls()).

family(Ip) when tuple_size(Ip) =:= 4 -> [inet];
family(_) -> [inet6, {ipv6_v6only, false}].

%% Accepted sockets inherit these options. IPPROTO_TCP with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT.
keepalive({unix, linux}) ->
    #{idle := Idle, interval := Interval, count := Count} = ?KEEPALIVE,
    [{keepalive, true} | [{raw, 6, Option, <<Value:32/native>>} || {Option, Value} <- [{4, Idle}, {5, Interval}, {6, Count}]]];
keepalive(_) ->
    [{keepalive, true}].

sockname(tcp, Socket) -> inet:sockname(Socket);
sockname(tls, Socket) -> ssl:sockname(Socket).

%% @doc Accepts a connection; with TLS, before its handshake.
-spec accept(transport(), listening()) -> {ok, socket()} | {error, Reason :: term()}.
accept(tcp, Socket) -> gen_tcp:accept(Socket);
accept(tls, Socket) -> ssl:transport_accept(Socket).

%% @doc Transfers a socket from the calling process to another one.
-spec handover(transport(), socket(), pid()) -> ok | {error, Reason :: term()}.
handover(tcp, Socket, Pid) -> gen_tcp:controlling_process(Socket, Pid);
handover(tls, Socket, Pid) -> ssl:controlling_process(Socket, Pid).

-spec peername(transport(), socket()) -> {ok, {inet:ip_address(), inet:port_number()}} | {error, Reason :: term()}.
peername(tcp, Socket) -> inet:peername(Socket);
peername(tls, Socket) -> ssl:peername(Socket).

-spec handshake(transport(), socket(), timeout()) -> {ok, socket()} | {error, Reason :: term()}.
handshake(tcp, Socket, _) -> {ok, Socket};
handshake(tls, Socket, Timeout) -> ssl:handshake(Socket, Timeout).

-spec setopts(transport(), socket(), [{atom(), term()}]) -> ok | {error, Reason :: term()}.
setopts(tcp, Socket, Options) -> inet:setopts(Socket, Options);
setopts(tls, Socket, Options) -> ssl:setopts(Socket, Options).

-spec close(transport(), listening()) -> ok.
close(tcp, Socket) -> gen_tcp:close(Socket);
close(tls, Socket) -> _ = ssl:close(Socket), ok.

%% @doc Closes the socket. With TLS, waits up to the timeout for the peer's close_notify.
-spec close(transport(), socket(), timeout()) -> ok.
close(tcp, Socket, _) -> gen_tcp:close(Socket);
close(tls, Socket, Timeout) -> _ = ssl:close(Socket, Timeout), ok.
