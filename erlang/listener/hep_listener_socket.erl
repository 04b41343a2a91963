%% @private A UDP socket of a {@link hep_listener}, which reads many datagrams per call.
%%
%% OTP's `socket' opens it, owns it and reports when it is readable; {@link hep_nif} reads it through a duplicate of its
%% descriptor. Both are closed when the opening process ends. Any process may wait and read.
-module(hep_listener_socket).

-export([open/1, close/1]).
-export([wait/1, awaited/2, read/3]).
-export([recbuf/1, drops/1, new_drops/2]).

-export_type([socket/0, options/0, group/0, wait/0]).

-type options() :: #{
    ip := inet:ip_address(),
    port := inet:port_number(),
    shards := pos_integer(),
    recbuf := pos_integer(),
    multicast => [group()],
    shared_port => boolean(),
    atom() => term()
}.

-type group() ::
    inet:ip_address()
    | {inet:ip4_address(), Interface :: inet:ip4_address()}
    | {inet:ip6_address(), Interface :: non_neg_integer()}.
%% A multicast group, and the interface on which to join it: one of its addresses for IPv4, its index for IPv6. Without
%% one the system chooses.

-record(udp, {socket :: socket:socket(), reader :: hep_nif:udp()}).

-opaque socket() :: #udp{}.

-opaque wait() :: socket:select_handle().

%% Space for one datagram: every system grants this.
-define(LEAST_RECBUF, 65_536).

%% Linux: `IPV6_MULTICAST_ALL', and `SO_MEMINFO' with its size and the bytes before the drops, the ninth word.
-define(IPV6_MULTICAST_ALL, 29).
-define(SO_MEMINFO, 55).
-define(MEMINFO_SIZE, 36).
-define(BEFORE_DROPS, 32).

%% @doc Opens a socket for each shard, all on one port, and returns the port.
%%
%% The first socket binds the port exclusively, so a port of another listener is `eaddrinuse'. It gets `SO_REUSEPORT'
%% afterwards, which lets the other sockets bind. From then on, a process of the same user that asks for a shared port
%% can bind it too, for example another listener with `shared_port'.
%%
%% Every member of a multicast group gets each of its datagrams: only the first socket joins.
-spec open(options()) -> {ok, [socket(), ...], inet:port_number()} | {error, Reason :: term()}.
open(#{shards := Shards} = Options) ->
    case first(Options) of
        {ok, First, Port} ->
            Rest = fun() -> open_one(Options#{port := Port}, [fun reuse_port/1, fun bind/2]) end,
            more(Shards - 1, Rest, [First], Port);
        {error, _} = Error ->
            Error
    end.

first(Options) ->
    Shared = maps:get(shared_port, Options, false),
    Reuse = fun reuse_port/1,
    Steps = [Reuse || Shared] ++ [fun bind/2] ++ [Reuse || map_get(shards, Options) > 1, not Shared] ++ [fun join/2],
    case open_one(Options, Steps) of
        {ok, Udp} -> {ok, Udp, port(Udp)};
        {error, _} = Error -> Error
    end.

more(0, _, Udps, Port) ->
    {ok, lists:reverse(Udps), Port};
more(Left, Open, Udps, Port) ->
    case Open() of
        {ok, Udp} ->
            more(Left - 1, Open, [Udp | Udps], Port);
        {error, _} = Error ->
            lists:foreach(fun close/1, Udps),
            Error
    end.

open_one(#{ip := Ip} = Options, Steps) ->
    case socket:open(family(Ip), dgram, udp) of
        {ok, Socket} ->
            case steps([fun families/2, fun recbuf/2, fun only_own_groups/1 | Steps], Socket, Options) of
                ok ->
                    attach(Socket);
                {error, _} = Error ->
                    _ = socket:close(Socket),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

steps([], _, _) ->
    ok;
steps([Step | Steps], Socket, Options) ->
    case step(Step, Socket, Options) of
        ok -> steps(Steps, Socket, Options);
        {error, _} = Error -> Error
    end.

step(Step, Socket, _) when is_function(Step, 1) -> Step(Socket);
step(Step, Socket, Options) -> Step(Socket, Options).

attach(Socket) ->
    {ok, Descriptor} = socket:getopt(Socket, {otp, fd}),
    case hep_nif:udp_attach(Descriptor) of
        {ok, Reader} ->
            {ok, #udp{socket = Socket, reader = Reader}};
        {error, _} = Error ->
            _ = socket:close(Socket),
            Error
    end.

family(Ip) when tuple_size(Ip) =:= 4 -> inet;
family(_) -> inet6.

%% IPv4 datagrams arrive on the unspecified address and on IPv4-mapped addresses.
families(Socket, #{ip := {0, 0, 0, 0, 0, Part, _, _} = Ip}) when Part =:= 16#ffff; Ip =:= {0, 0, 0, 0, 0, 0, 0, 0} ->
    socket:setopt(Socket, {ipv6, v6only}, false);
families(Socket, #{ip := Ip}) when tuple_size(Ip) =:= 8 ->
    socket:setopt(Socket, {ipv6, v6only}, true);
families(_, _) ->
    ok.

%% Some systems reject sizes above their limit, others grant less.
recbuf(Socket, #{recbuf := Size}) ->
    case socket:setopt(Socket, {socket, rcvbuf}, Size) of
        {error, enobufs} when Size > ?LEAST_RECBUF ->
            recbuf(Socket, #{recbuf => max(Size div 2, ?LEAST_RECBUF)});
        Result ->
            Result
    end.

%% By default Linux also delivers the groups of other sockets to a socket on all addresses.
only_own_groups(Socket) ->
    case os:type() of
        {unix, linux} ->
            _ = socket:setopt(Socket, {ip, multicast_all}, false),
            _ = socket:setopt_native(Socket, {ipv6, ?IPV6_MULTICAST_ALL}, <<0:32/native>>),
            ok;
        _ ->
            ok
    end.

reuse_port(Socket) ->
    socket:setopt(Socket, {socket, reuseport}, true).

bind(Socket, #{ip := Ip, port := Port}) ->
    socket:bind(Socket, #{family => family(Ip), addr => Ip, port => Port}).

join(Socket, Options) ->
    join_all(maps:get(multicast, Options, []), Socket).

join_all([], _) ->
    ok;
join_all([Group | Groups], Socket) ->
    case join_one(Group, Socket) of
        ok -> join_all(Groups, Socket);
        {error, Reason} -> {error, {multicast, Group, Reason}}
    end.

join_one({Group, Interface}, Socket) ->
    Level =
        case family(Group) of
            inet -> ip;
            inet6 -> ipv6
        end,
    socket:setopt(Socket, {Level, add_membership}, #{multiaddr => Group, interface => Interface});
join_one(Group, Socket) when tuple_size(Group) =:= 4 ->
    join_one({Group, any}, Socket);
join_one(Group, Socket) ->
    join_one({Group, 0}, Socket).

port(#udp{socket = Socket}) ->
    {ok, #{port := Port}} = socket:sockname(Socket),
    Port.

%% @doc Closes the socket; only for the process that opened it. The port is free afterwards.
-spec close(socket()) -> ok.
close(#udp{socket = Socket, reader = Reader}) ->
    %% The reader of an unloaded library is closed when this process ends.
    _ = loaded(fun() -> hep_nif:udp_close(Reader) end),
    _ = socket:close(Socket),
    ok.

%% Another copy of the library does not know the reader.
loaded(Call) ->
    try
        Call()
    catch
        error:Reason when Reason =:= badarg; Reason =:= undef -> {error, nif_unloaded}
    end.

%%% Reading

%% @doc Whether the socket is readable; if not, a message follows as soon as it is.
-spec wait(socket()) -> ready | {wait, wait()} | {error, Reason :: term()}.
wait(#udp{socket = Socket}) ->
    %% An empty datagram counts as readable, too.
    case socket:recvfrom(Socket, 1, [peek], nowait) of
        {ok, _} -> ready;
        {select, {select_info, _, Wait}} -> {wait, Wait};
        {error, _} = Error -> Error
    end.

%% @doc Whether a message is the one announced by `wait/1'.
-spec awaited(Message :: term(), {wait(), socket()}) -> ready | {error, Reason :: term()} | other.
awaited({'$socket', Socket, select, Wait}, {Wait, #udp{socket = Socket}}) -> ready;
awaited({'$socket', Socket, abort, {Wait, Reason}}, {Wait, #udp{socket = Socket}}) -> {error, Reason};
awaited(_, _) -> other.

%% @doc Reads datagrams in the order of their arrival, each as a separate binary; `more' if a limit ended the call.
%%
%% Does not wait, and takes less than a millisecond: it reads at most 256 datagrams and 1 MiB, whatever the limits.
-spec read(socket(), Datagrams :: pos_integer(), Bytes :: pos_integer()) ->
    {all | more, [hep_nif:datagram()]} | {error, Reason :: term()}.
read(#udp{reader = Reader}, Datagrams, Bytes) ->
    loaded(fun() -> hep_nif:udp_read(Reader, Datagrams, Bytes) end).

%%% Statistics of the system

%% @doc Returns the size of the receive buffer, as reported by the kernel.
-spec recbuf(socket()) -> non_neg_integer() | undefined.
recbuf(#udp{socket = Socket}) ->
    case socket:getopt(Socket, {socket, rcvbuf}) of
        {ok, Size} -> Size;
        {error, _} -> undefined
    end.

%% @doc Returns how many datagrams the kernel has dropped since the socket was opened, if it reports that (Linux).
-spec drops(socket()) -> non_neg_integer() | undefined.
drops(#udp{socket = Socket}) ->
    case os:type() =:= {unix, linux} andalso socket:getopt_native(Socket, {socket, ?SO_MEMINFO}, ?MEMINFO_SIZE) of
        {ok, <<_:?BEFORE_DROPS/bytes, Drops:32/native>>} -> Drops;
        _ -> undefined
    end.

%% @doc The drops between two results of `drops/1'. The kernel's counter has 32 bits.
-spec new_drops(non_neg_integer() | undefined, non_neg_integer() | undefined) -> non_neg_integer().
new_drops(Before, Now) when is_integer(Before), is_integer(Now) -> (Now - Before) band 16#ffffffff;
new_drops(_, _) -> 0.
