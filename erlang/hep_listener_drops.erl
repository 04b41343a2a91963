%% @private What the kernel dropped because a UDP socket's buffer was full, where the system tells (Linux).
-module(hep_listener_drops).

-export([count/1]).

-define(TABLES, ["/proc/net/udp", "/proc/net/udp6"]).

-spec count([socket:socket()]) -> non_neg_integer() | unknown.
count(Sockets) ->
    Inodes = [inode(Socket) || Socket <- Sockets],
    case [Rows || Table <- ?TABLES, {ok, Rows} <- [file:read_file(Table)]] of
        [_ | _] = Tables -> sum(Inodes, [string:lexemes(Row, " ") || Rows <- Tables, Row <- binary:split(Rows, <<"\n">>, [global])]);
        [] -> unknown
    end.

sum(Inodes, Rows) ->
    %% sl, local, remote, st, queues, timer, retrnsmt, uid, timeout, inode, ref, pointer, drops
    lists:sum([
        binary_to_integer(Drops)
     || [_, _, _, _, _, _, _, _, _, Inode, _, _, Drops] <- Rows, lists:member(Inode, Inodes)
    ]).

inode(Socket) ->
    maybe_inode(socket:getopt(Socket, {otp, fd})).

maybe_inode({ok, Descriptor}) ->
    case file:read_link("/proc/self/fd/" ++ integer_to_list(Descriptor)) of
        {ok, "socket:[" ++ Inode} -> list_to_binary(lists:droplast(Inode));
        _ -> none
    end;
maybe_inode(_) ->
    none.
