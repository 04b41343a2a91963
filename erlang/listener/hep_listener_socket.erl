%% @private The sockets of a {@link hep_listener} over UDP: open, read, what the kernel dropped.
-module(hep_listener_socket).

-export([open/1, recv/1, recbuf/1, drops/1, new_drops/2, close/1]).

-export_type([socket/0]).

-type socket() :: socket:socket().

%% What a datagram can have.
-define(DATAGRAM, 65536).
%% SOL_SOCKET and SO_MEMINFO of Linux: nine 32-bit words, the last of which counts the drops.
-define(MEMINFO, {1, 55}).
-define(MEMINFO_SIZE, 36).

%% @doc A socket for each shard, or none and why.
-spec open(#{shards := pos_integer(), port := inet:port_number(), atom() => term()}) ->
    {ok, [socket()], inet:port_number()} | {error, Reason :: term()}.
open(Options) ->
    open(maps:get(shards, Options), Options, []).

open(0, #{port := Port}, Sockets) ->
    {ok, lists:reverse(Sockets), Port};
open(Left, Options, Sockets) ->
    case open_one(Options) of
        {ok, Socket} ->
            {ok, #{port := Port}} = socket:sockname(Socket),
            open(Left - 1, Options#{port := Port}, [Socket | Sockets]);
        {error, _} = Error ->
            lists:foreach(fun close/1, Sockets),
            Error
    end.

open_one(#{ip := Ip} = Options) ->
    case socket:open(family(Ip), dgram, udp) of
        {ok, Socket} -> prepared(Socket, prepare(Socket, family(Ip), Options));
        {error, _} = Error -> Error
    end.

prepared(Socket, ok) ->
    {ok, Socket};
prepared(Socket, {error, _} = Error) ->
    close(Socket),
    Error.

prepare(Socket, Family, #{ip := Ip, port := Port, recbuf := Size} = Options) ->
    sequence([
        fun() -> only(Family =:= inet6, Socket, {ipv6, v6only}, false) end,
        fun() -> only(is_shared(Options), Socket, {socket, reuseport}, true) end,
        fun() -> set_recbuf(Socket, Size) end,
        fun() -> socket:bind(Socket, #{family => Family, addr => Ip, port => Port}) end
    ]).

sequence([]) ->
    ok;
sequence([Step | Steps]) ->
    case Step() of
        ok -> sequence(Steps);
        {error, _} = Error -> Error
    end.

only(true, Socket, Option, Value) -> socket:setopt(Socket, Option, Value);
only(false, _, _, _) -> ok.

is_shared(#{shards := Shards, shared_port := Shared}) -> Shards > 1 orelse Shared.

%% Some systems refuse what is too much for them, others give less.
set_recbuf(Socket, Size) ->
    case socket:setopt(Socket, {socket, rcvbuf}, Size) of
        {error, enobufs} when Size > ?DATAGRAM -> set_recbuf(Socket, max(Size div 2, ?DATAGRAM));
        Result -> Result
    end.

family(Ip) when tuple_size(Ip) =:= 4 -> inet;
family(_) -> inet6.

%% @doc A datagram, or a reference: `{'$socket', Socket, select, Reference}' comes when there is one.
-spec recv(socket()) ->
    {ok, {inet:ip_address(), inet:port_number()}, binary()} | {wait, reference()} | {error, Reason :: term()}.
recv(Socket) ->
    case socket:recvfrom(Socket, ?DATAGRAM, [], nowait) of
        %% Out of the room for the largest.
        {ok, {#{addr := Ip, port := Port}, Bytes}} -> {ok, {Ip, Port}, binary:copy(Bytes)};
        {select, {select_info, _, Reference}} -> {wait, Reference};
        {error, _} = Error -> Error
    end.

%% @doc The kernel's buffer in bytes, as the kernel counts.
-spec recbuf(socket()) -> non_neg_integer() | undefined.
recbuf(Socket) ->
    case socket:getopt(Socket, {socket, rcvbuf}) of
        {ok, Size} -> Size;
        {error, _} -> undefined
    end.

%% @doc How many datagrams the kernel had no room for since the socket was opened, where it says so.
-spec drops(socket()) -> non_neg_integer() | undefined.
drops(Socket) ->
    case os:type() =:= {unix, linux} andalso socket:getopt_native(Socket, ?MEMINFO, ?MEMINFO_SIZE) of
        {ok, <<_:(8 * 4)/binary, Drops:32/native>>} -> Drops;
        _ -> undefined
    end.

%% @doc Between two calls of `drops/1'. The kernel's counter has 32 bits.
-spec new_drops(non_neg_integer() | undefined, non_neg_integer() | undefined) -> non_neg_integer().
new_drops(Before, Now) when is_integer(Before), is_integer(Now) -> (Now - Before) band 16#ffffffff;
new_drops(_, _) -> 0.

-spec close(socket()) -> ok.
close(Socket) ->
    _ = socket:close(Socket),
    ok.
