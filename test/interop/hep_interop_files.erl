%% @doc Compares the capture files that hep_pcap writes with the messages that other tools read. Called by run.sh.
-module(hep_interop_files).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-export([main/1]).

%% @doc `[Directory | Tools]'. Halts with 0 if each tool reads every message right.
-spec main([string()]) -> no_return().
main([Directory | Tools]) ->
    lists:foreach(
        fun(Tool) ->
            Folder = filename:join(Directory, Tool),
            ok = filelib:ensure_path(Folder),
            io:format("~ts, messages in capture files written by hep: ~b read right~n", [Tool, read(Tool, Folder)])
        end,
        Tools
    ),
    halt().

read("tshark", Folder) -> tshark(Folder);
read("sngrep", Folder) -> sngrep(Folder).

%% tshark recognises each message as SIP, with its Call-ID, and finds no wrong checksum.
tshark(Folder) ->
    Packets = packets(),
    File = filename:join(Folder, "written.pcap"),
    {ok, []} = hep_pcap:write(File, Packets),
    Checks = " -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE ",
    Lines = lines("tshark -r " ++ File ++ Checks ++ "-Y sip -T fields -e sip.Call-ID -e frame.time_epoch 2>/dev/null"),
    ?assertEqual([Id ++ "\t" ++ seconds(Hep) || Hep <- Packets, Id <- [call_id(Hep)]], Lines),
    Wrong = "ip.checksum.status==0||udp.checksum.status==0||tcp.checksum.status==0||tcp.analysis.retransmission"
        "||tcp.analysis.lost_segment",
    ?assertEqual([], lines("tshark -r " ++ File ++ Checks ++ "-Y '" ++ Wrong ++ "' 2>/dev/null")),
    length(Lines).

%% sngrep writes the calls that it found to another file.
sngrep(Folder) ->
    [File, Copy] = [filename:join(Folder, Name) || Name <- ["written.pcap", "copy.pcap"]],
    %% It accepts messages of up to 20 KB.
    Packets = [Hep || #hep{payload = Payload} = Hep <- packets(), byte_size(Payload) < 20000],
    {ok, []} = hep_pcap:write(File, Packets),
    _ = os:cmd("sngrep -N -I " ++ File ++ " -O " ++ Copy ++ " </dev/null"),
    {ok, Read} = hep_pcap:fold(Copy, #{}, fun(Hep, Acc) -> [call_id(Hep) | Acc] end, []),
    ?assertEqual(lists:sort([call_id(Hep) || Hep <- Packets]), lists:sort(Read)),
    length(Read).

%% Requests and responses over UDP, TCP, TLS and WebSocket.
packets() ->
    [
        #hep{version = 3, protocol = Protocol, src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort,
            timestamp = {1800, 0, Port * 10 + N}, payload = message(N, Transport, Family, Size)}
     || {Transport, Protocol, Port} <- [{"UDP", 17, 5060}, {"TCP", 6, 5070}, {"TLS", 22, 5061}, {"WSS", 6, 443}],
        {Family, A, B} <- [{"4", {192, 0, 2, 1}, {192, 0, 2, 2}}, {"6", {8193, 3512, 0, 0, 0, 0, 0, 1}, {8193, 3512, 0, 0, 0, 0, 0, 2}}],
        Size <- [0, 1000, 50000],
        {N, Src, SrcPort, Dst, DstPort} <- [{1, A, 52000 + Size div 1000, B, Port}, {2, B, Port, A, 52000 + Size div 1000}]
    ].

message(N, Transport, Family, Size) ->
    First = case N of 1 -> "INVITE sip:bob@example.org SIP/2.0"; 2 -> "SIP/2.0 200 OK" end,
    iolist_to_binary([
        First, "\r\nVia: SIP/2.0/", Transport, " 192.0.2.1;branch=z9hG4bK776\r\nFrom: <sip:alice@example.com>;tag=1928\r\n"
        "To: <sip:bob@example.org>;tag=2\r\nCall-ID: ", Transport, "-", Family, "-", integer_to_list(Size),
        "\r\nCSeq: 1 INVITE\r\nContent-Type: application/octet-stream\r\nContent-Length: ", integer_to_list(Size), "\r\n\r\n",
        binary:copy(<<"b">>, Size)
    ]).

call_id(Hep) ->
    {ok, #{call_id := CallId}} = hep_sip:summary(Hep),
    binary_to_list(CallId).

seconds(#hep{timestamp = {Mega, Seconds, Microseconds}}) ->
    lists:flatten(io_lib:format("~b.~6..0b000", [Mega * 1000000 + Seconds, Microseconds])).

lines(Command) -> string:lexemes(os:cmd(Command), "\n").
