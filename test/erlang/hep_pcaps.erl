%% @doc What the tests of hep_pcap share: a message, reading a file with its counts, and a folder.
-module(hep_pcaps).

-export([message/1, fold/1, fold/2, packets/1, packets/2, stats/1, in_folder/1]).

message(N) when is_integer(N) -> message(integer_to_binary(N));
message(Body) ->
    iolist_to_binary([
        "OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK776\r\n"
        "From: <sip:alice@example.com>;tag=1928\r\nTo: <sip:bob@example.org>\r\nCall-ID: a84b\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: ", integer_to_list(byte_size(Body)), "\r\n\r\n", Body
    ]).

fold(File) -> fold(File, #{}).

fold(File, Options) ->
    Result = hep_pcap:fold({binary, File}, Options, fun(Hep, Acc) -> [Hep | Acc] end, []),
    setelement(tuple_size(Result), Result, lists:reverse(element(tuple_size(Result), Result))).

packets(File) -> packets(File, #{}).

packets(File, Options) ->
    {ok, Packets} = fold(File, Options),
    Packets.

stats(File) ->
    Self = self(),
    _ = packets(File, #{stats => fun(Stats) -> Self ! {stats, Stats} end}),
    receive {stats, Stats} -> Stats after 0 -> none end.

in_folder(Fun) ->
    Folder = filename:join([hep_fixtures:top(), "_build", "pcap-" ++ os:getpid()]),
    ok = filelib:ensure_path(Folder),
    try
        Fun(Folder)
    after
        file:del_dir_r(Folder)
    end.
