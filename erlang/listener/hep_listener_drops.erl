%% @private What the kernel dropped because a UDP socket's buffer was full, where the system tells (Linux).
-module(hep_listener_drops).

-export([counts/1]).

-define(TABLES, ["/proc/net/udp", "/proc/net/udp6"]).

%% @doc Of each socket, since it was opened; `unknown' when one is not found.
-spec counts([gen_udp:socket()]) -> #{gen_udp:socket() => non_neg_integer()} | unknown.
counts(Sockets) ->
    Drops = maps:from_list(lists:append([rows(Text) || Table <- ?TABLES, {ok, Text} <- [file:read_file(Table)]])),
    Found = [{Socket, Dropped} || Socket <- Sockets, {ok, Dropped} <- [maps:find(inode(Socket), Drops)]],
    case length(Found) =:= length(Sockets) of
        true -> maps:from_list(Found);
        false -> unknown
    end.

%% By inodes.
rows(Text) ->
    %% sl, local, remote, st, queues, timer, retrnsmt, uid, timeout, inode, ref, pointer, drops
    [
        {Inode, binary_to_integer(Drops)}
     || Line <- binary:split(Text, <<"\n">>, [global]),
        [_, _, _, _, _, _, _, _, _, Inode, _, _, Drops] <- [string:lexemes(Line, " ")]
    ].

inode(Socket) ->
    case inet:getfd(Socket) of
        {ok, Descriptor} -> inode_of(file:read_link("/proc/self/fd/" ++ integer_to_list(Descriptor)));
        {error, _} -> none
    end.

inode_of({ok, "socket:[" ++ Inode}) -> list_to_binary(lists:droplast(Inode));
inode_of(_) -> none.
