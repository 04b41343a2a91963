%% @doc The speed of reading a capture file, compared with tshark where it is installed: `sh bench/run.sh' prints the
%% table.
%%
%% The file has 64 MiB of SIP and HEP over UDP, and SIP over TCP. tshark lists the SIP messages of the same file; it
%% dissects more than `hep_pcap' reads. The medians of the rounds count. Speed is printed, never asserted.
-module(hep_pcap_bench).

-include("hep.hrl").

-export([main/0]).

-define(CAPTURE, "bench/.build/bench.pcap").
-define(SIZE, 67108864).
-define(ROUNDS, 5).

%% @doc Ends the VM: with 0 when everything was measured, with 1 when a result was wrong.
-spec main() -> no_return().
main() ->
    try
        Packets = write(),
        Size = filelib:file_size(?CAPTURE),
        io:format("~nCapture file, ~b MiB, ~b packets~n", [Size div 1048576, Packets]),
        [print(Name, Size, [measure(Read, Packets) || _ <- lists:seq(1, ?ROUNDS)]) || {Name, Read} <- ways()]
    of
        _ -> halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "bench: ~tp~n", [{Class, Reason, Stack}]),
            halt(1)
    after
        file:delete(?CAPTURE)
    end.

ways() ->
    Fold = fun(Packets) -> {ok, Packets} = hep_pcap:fold(?CAPTURE, #{}, fun(_, N) -> N + 1 end, 0) end,
    Tshark = fun(_) -> os:cmd("tshark -r " ?CAPTURE " -Y sip -T fields -e sip.Call-ID >/dev/null 2>&1") end,
    [{"hep_pcap", Fold} | [{"tshark", Tshark} || os:find_executable("tshark") =/= false]].

measure(Read, Packets) ->
    {Microseconds, _} = timer:tc(fun() -> Read(Packets) end),
    Microseconds.

print(Name, Size, Times) ->
    Median = lists:nth(?ROUNDS div 2 + 1, lists:sort(Times)),
    io:format("  ~-12s ~8.1f MB/s~n", [Name, Size / Median]).

write() ->
    {ok, Fd} = file:open(?CAPTURE, [write, raw, binary, {delayed_write, 1048576, 2000}]),
    ok = file:write(Fd, hep_pcap:header()),
    Packets = write(Fd, hep_pcap:writer(), 0, 24),
    ok = file:close(Fd),
    Packets.

write(_, _, Count, Size) when Size >= ?SIZE ->
    Count;
write(Fd, Writer, Count, Size) ->
    {ok, Record, Next} = hep_pcap:record(packet(Count), Writer),
    ok = file:write(Fd, Record),
    write(Fd, Next, Count + 1, Size + iolist_size(Record)).

packet(N) when N rem 3 =:= 0 -> sip(N, 17);
packet(N) when N rem 3 =:= 1 -> sip(N, 6);
packet(N) ->
    {ok, Hep} = hep:encode(sip(N, 17)),
    (sip(N, 17))#hep{dst_port = 9060, payload = Hep}.

sip(N, Protocol) ->
    #hep{
        version = 3,
        protocol = Protocol,
        src_ip = {192, 0, 2, 1},
        src_port = 20000 + N rem 1000,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5060,
        timestamp = {1800, N div 1000000, N rem 1000000},
        payload = iolist_to_binary([
            "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK", integer_to_list(N),
            "\r\nFrom: <sip:alice@example.com>;tag=1928\r\nTo: <sip:bob@example.org>\r\nCall-ID: ", integer_to_list(N),
            "@192.0.2.1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 200\r\n\r\n",
            binary:copy(<<"a=sendrecv">>, 20)
        ])
    }.
