%% @doc Rare parts of capture files, and the limits of what waits in memory.
-module(hep_pcap_limit_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

-import(hep_pcaps, [message/1, fold/1, packets/1, stats/1]).

-define(SRC, {{192, 0, 2, 1}, 5060}).
-define(DST, {{192, 0, 2, 2}, 5080}).
%% In nanoseconds.
-define(TIME, 1800000000123456000).

%%% Files

%% The upper bits of the link type say how long the frame check sequence is.
frame_check_sequence_test() ->
    Frame = [hep_frames:frame(ethernet, udp(message(1))), <<1, 2, 3, 4>>],
    Link = 1 bor (1 bsl 26) bor (4 bsl 28),
    ?assertEqual([message(1)], payloads(hep_frames:pcap(Link, [{?TIME, Frame}]))).

%% Network cards that divide packets leave the lengths 0.
lengths_of_0_test() ->
    <<Start:2/binary, _:16, Head:16/binary, Ports:32, _:16, Rest/binary>> = iolist_to_binary(udp(message(1))),
    Packet = <<Start/binary, 0:16, Head/binary, Ports:32, 0:16, Rest/binary>>,
    ?assertEqual([message(1)], payloads(hep_frames:pcap(101, [{?TIME, Packet}]))).

%% The option if_tsoffset, in seconds.
time_offset_test() ->
    [
        ?assertMatch(
            {ok, [#hep{timestamp = {0, Seconds, 5}}]},
            fold(ng([interface(0, <<14:16/little, 8:16/little, Offset:64/little-signed>>), enhanced(100000005, udp(message(1)))]))
        )
     || {Offset, Seconds} <- [{1000, 1100}, {0, 100}, {-50, 50}]
    ].

%% A simple packet block has no captured length: the snapshot length of its interface counts.
snapshot_length_test() ->
    Packet = iolist_to_binary(udp(message(1))),
    Size = byte_size(Packet),
    [
        begin
            Simple = block(3, [<<Size:32/little>>, binary:part(Packet, 0, Size - Cut)]),
            Payload = binary:part(message(1), 0, byte_size(message(1)) - Cut),
            ?assertMatch({ok, [#hep{payload = Payload, timestamp = undefined}]}, fold(ng([interface(Length, <<>>), Simple])))
        end
     || {Length, Cut} <- [{Size - 9, 9}, {Size - 10, 10}, {Size, 0}, {0, 0}]
    ].

interfaces_are_limited_test() ->
    Interfaces = fun(Number) -> lists:duplicate(Number, interface(0, <<>>)) end,
    ?assertEqual({ok, []}, fold(ng(Interfaces(4096)))),
    ?assertMatch({error, {_, too_many_interfaces}, []}, fold(ng(Interfaces(4097)))).

%%% IP and TCP

%% Two last fragments with different ends: the packet is dropped.
contradicting_fragments_test() ->
    [First, Second | _] = hep_frames:fragments(?SRC, ?DST, message(1), 7, 64),
    [Last | _] = lists:reverse(hep_frames:fragments(?SRC, ?DST, message(1), 7, 64)),
    [Other | _] = lists:reverse(hep_frames:fragments(?SRC, ?DST, [message(1), "more"], 7, 64)),
    File = raw([First, Last, Other, Second]),
    ?assertEqual([], packets(File)),
    %% The first two are one packet, the third begins another, which is never complete.
    ?assertMatch(#{fragments_dropped := 2, sip := 0}, stats(File)).

%% Without the SYN of a new connection: far away numbers are not missing bytes.
other_connection_test() ->
    Frames = [hep_frames:tcp(?SRC, ?DST, Number, message(N)) || {Number, N} <- [{1, 1}, {1 bsl 28, 2}, {3 bsl 30, 3}]],
    ?assertEqual([message(1), message(2), message(3)], payloads(raw(Frames))),
    ?assertMatch(#{tcp_missing := 0, tcp_incomplete := 0}, stats(raw(Frames))).

%% Of two segments with the same number, the first counts; a longer one adds its other bytes.
copies_of_a_segment_test() ->
    <<Start:50/binary, Rest/binary>> = message(<<"body">>),
    Tcp = fun(Offset, Bytes) -> hep_frames:tcp(?SRC, ?DST, 1 + Offset, Bytes) end,
    Wrong = binary:copy(<<"x">>, byte_size(Rest)),
    Syn = hep_frames:tcp(?SRC, ?DST, 0, 2, <<>>),
    ?assertEqual([message(<<"body">>)], payloads(raw([Syn, Tcp(50, Rest), Tcp(50, Wrong), Tcp(0, Start)]))),
    ?assertEqual([message(<<"body">>)], payloads(raw([Syn, Tcp(50, binary:part(Rest, 0, 9)), Tcp(50, Rest), Tcp(0, Start)]))).

%% Many small segments behind a gap do not wait until the end.
segments_are_limited_test() ->
    Syn = hep_frames:tcp(?SRC, ?DST, 0, 2, <<>>),
    Segments = fun(Number) -> [hep_frames:tcp(?SRC, ?DST, N, <<"x">>) || N <- lists:seq(2, Number + 1)] end,
    Missing = hep_frames:tcp(?SRC, ?DST, 1, <<"x">>),
    ?assertMatch(#{tcp_missing := 0}, stats(raw([Syn | Segments(256)] ++ [Missing]))),
    ?assertMatch(#{tcp_missing := 1}, stats(raw([Syn | Segments(257)] ++ [Missing]))).

%% The stream that was longest without a segment is dropped: its message is not complete.
streams_are_limited_test_() ->
    {timeout, 60, fun() ->
        <<Start:50/binary, Rest/binary>> = message(1),
        Path = fun(N) -> {{10, 0, N bsr 8, N band 255}, 5060} end,
        Starts = fun(Number) -> [hep_frames:tcp(Path(N), ?DST, 1, Start) || N <- lists:seq(1, Number)] end,
        End = hep_frames:tcp(Path(1), ?DST, 51, Rest),
        ?assertEqual([message(1)], payloads(raw([hep_frames:tcp(Path(1), ?DST, 0, 2, <<>>) | Starts(16384)] ++ [End]))),
        ?assertEqual([], payloads(raw([hep_frames:tcp(Path(1), ?DST, 0, 2, <<>>) | Starts(16385)] ++ [End])))
    end}.

%% A message of more than 256 KiB over TCP is not read, those behind it are.
large_messages_test() ->
    Payloads = fun(Size) ->
        Stream = <<(message(binary:copy(<<"b">>, Size)))/binary, (message(1))/binary>>,
        Parts = [binary:part(Stream, At, min(60000, byte_size(Stream) - At)) || At <- lists:seq(0, byte_size(Stream) - 1, 60000)],
        {Frames, _} = lists:mapfoldl(
            fun(Part, Number) -> {hep_frames:tcp(?SRC, ?DST, Number, Part), Number + byte_size(Part)} end, 1, Parts
        ),
        payloads(raw([hep_frames:tcp(?SRC, ?DST, 0, 2, <<>>) | Frames]))
    end,
    ?assertMatch([_, _], Payloads(261000)),
    ?assertEqual([message(1)], Payloads(262144)).

%%% Helpers

udp(Payload) -> hep_frames:udp(?SRC, ?DST, Payload, #{}).

raw(Packets) -> hep_frames:pcap(101, [{?TIME, Packet} || Packet <- Packets]).

payloads(File) -> [Payload || #hep{payload = Payload} <- packets(File)].

%% pcapng, little-endian, with times in microseconds.
ng(Blocks) -> iolist_to_binary([block(16#0a0d0d0a, <<16#1a2b3c4d:32/little, 1:16/little, 0:16, -1:64>>) | Blocks]).

interface(SnapshotLength, Options) -> block(1, [<<101:16/little, 0:16, SnapshotLength:32/little>>, Options]).

enhanced(Time, Packet) ->
    Size = iolist_size(Packet),
    block(6, [<<0:32, (Time bsr 32):32/little, Time:32/little, Size:32/little, Size:32/little>>, Packet]).

block(Type, Body) ->
    Padding = binary:copy(<<0>>, (4 - iolist_size(Body) rem 4) rem 4),
    Size = iolist_size(Body) + byte_size(Padding) + 12,
    [<<Type:32/little, Size:32/little>>, Body, Padding, <<Size:32/little>>].
