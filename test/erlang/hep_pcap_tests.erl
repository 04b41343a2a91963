-module(hep_pcap_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

-import(hep_pcaps, [message/1, fold/1, fold/2, packets/1, packets/2, stats/1, in_folder/1]).

-define(V4, {{192, 0, 2, 1}, 5060}, {{192, 0, 2, 2}, 5080}).
-define(V6, {{8193, 3512, 0, 0, 0, 0, 0, 1}, 5060}, {{8193, 3512, 0, 0, 0, 0, 0, 2}, 5080}).
%% In nanoseconds.
-define(TIME, 1800000000123456000).

%% Link types and forms of files

every_link_type_test_() ->
    [
        {lists:concat([Name, " ", Link]), fun() ->
            [
                ?assertEqual(
                    [sip(Src, Dst, 17, message(1))],
                    packets(hep_frames:pcap(Link, [{?TIME, hep_frames:frame(Name, Packet)}]))
                )
             || {Src, Dst} <- [{?V4}, {?V6}],
                Packet <- [hep_frames:udp(Src, Dst, message(1), #{})]
            ]
        end}
     || {Link, Name} <- hep_frames:links()
    ].

every_form_test_() ->
    {Src, Dst} = {?V4},
    Frames = [{?TIME, hep_frames:frame(ethernet, hep_frames:udp(Src, Dst, message(N), #{}))} || N <- lists:seq(1, 3)],
    Expected = [sip(Src, Dst, 17, message(N)) || N <- lists:seq(1, 3)],
    Files =
        [{{Order, Unit}, hep_frames:pcap({Order, Unit}, 1, Frames)} || Order <- [big, little], Unit <- [1, 1000]] ++
        [{{ng, Order}, hep_frames:ng(Order, [{1, T, F} || {T, F} <- Frames])} || Order <- [big, little]],
    [
        {lists:flatten(io_lib:format("~p ~p", [Form, Packed])), ?_assertEqual(Expected, packets(pack(Packed, File)))}
     || {Form, File} <- Files, Packed <- [plain, gzip, two_members]
    ].

sections_of_both_orders_and_interfaces_of_several_link_types_test() ->
    {Src, Dst} = {?V4},
    Frames = [
        {Link, ?TIME, hep_frames:frame(Name, hep_frames:udp(Src, Dst, message(1), #{}))}
     || {Link, Name} <- [{1, vlan}, {113, cooked}, {101, raw}]
    ],
    %% Each section has its own interfaces.
    File = <<(hep_frames:ng(big, Frames))/binary, (hep_frames:ng(little, tl(Frames)))/binary>>,
    ?assertEqual(lists:duplicate(5, sip(Src, Dst, 17, message(1))), packets(File)).

nanoseconds_are_kept_test() ->
    {Src, Dst} = {?V4},
    Frame = hep_frames:udp(Src, Dst, message(1), #{}),
    Time = ?TIME + 789,
    [
        ?assertMatch([{_, #{time := Time, inside := sip, source := Src, destination := Dst, protocol := 17}}], found(File, #{}))
     || File <- [hep_frames:pcap({little, 1}, 101, [{Time, Frame}]), hep_frames:ng(little, [{101, Time, Frame}])]
    ].

files_of_tools_test_() ->
    [
        {File, ?_assertEqual(Expected, [{P, Port, T} || #hep{payload = P, src_port = Port, protocol = T} <- read(File)])}
     || {File, Expected} <- [
            {"text2pcap-udp.pcap", [{message(1), 5060, 17}]},
            {"text2pcap-udp.pcapng", [{message(1), 5060, 17}]},
            {"text2pcap-udp-ipv6.pcap", [{message(1), 5060, 17}]},
            {"text2pcap-tcp.pcap", [{message(1), 5060, 6}]},
            {"editcap-nsecpcap.pcap", [{message(1), 5060, 17}]},
            {"editcap-modpcap.pcap", [{message(1), 5060, 17}]},
            {"mergecap.pcapng", [{message(1), 5060, 17}, {message(1), 5060, 17}, {message(1), 5060, 6}]}
        ]
    ].

%% HEP

hep_fixtures_in_udp_are_decoded_test() ->
    {_, Dst} = {?V4},
    Entries = [
        E
     || #{<<"decode">> := _} = E <- hep_fixtures:entries(datagram),
        not maps:is_key(<<"cut">>, E),
        %% Two packets in a datagram.
        filename:basename(hep_fixtures:file(E)) =/= "v3-trailing-frame.bin"
    ],
    Bytes = [B || E <- Entries, B <- [hep_fixtures:bytes(E)], byte_size(B) =< 65507],
    Source = {{192, 0, 2, 7}, 40000},
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Source, Dst, B, #{})} || B <- Bytes]),
    Decoded = [at_file_time(Hep) || B <- Bytes, {ok, Hep} <- [hep:decode(B)]],
    ?assert(length(Decoded) > 400),
    ?assertEqual([], Decoded -- packets(File)),
    ?assertEqual(Decoded, packets(File, #{ports => [5080]})),
    ?assertMatch([{_, #{inside := hep, source := Source, destination := Dst}} | _], found(File, #{})).

several_packets_in_a_datagram_test() ->
    {Src, Dst} = {?V4},
    {ok, Packet} = hep:encode(#hep{version = 3, src_ip = {10, 0, 0, 1}, dst_ip = {10, 0, 0, 2}, timestamp = {1800, 0, 0}, payload = <<"x">>}),
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, [Packet, Packet, Packet], #{})}]),
    ?assertMatch([#hep{payload = <<"x">>}, #hep{payload = <<"x">>}, #hep{payload = <<"x">>}], packets(File)).

hep_over_tcp_is_split_test() ->
    {Src, Dst} = {?V4},
    Packets = [hep_packet(N) || N <- lists:seq(1, 50)],
    Expected = [element(2, hep:decode(P)) || P <- Packets],
    Stream = iolist_to_binary(Packets),
    [?assertEqual(Expected, packets(tcp_file(Src, Dst, parts(Stream, Size), 4294967200))) || Size <- [1, 7, 100, 1460, 60000]].

ports_select_hep_test() ->
    {Src, Dst} = {?V4},
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, hep_packet(1), #{})}]),
    ?assertMatch([#hep{}], packets(File, #{ports => [5080]})),
    ?assertMatch([#hep{}], packets(File, #{ports => [5060]})),
    ?assertEqual([], packets(File, #{ports => [9060]})).

%% A frame that is cut by the snapshot length: with lenient lengths, what is left of the packet counts.
cut_hep_test() ->
    {Src, Dst} = {?V4},
    Whole = hep_packet(1),
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, binary:part(Whole, 0, byte_size(Whole) - 10), #{})}]),
    ?assertEqual([], packets(File)),
    Message = message(1),
    Cut = binary:part(Message, 0, byte_size(Message) - 10),
    ?assertMatch([#hep{payload = Cut, src_ip = {10, 0, 0, 1}}], packets(File, #{decode => #{lengths => lenient}})).

invalid_hep_and_other_datagrams_are_counted_test() ->
    {Src, Dst} = {?V4},
    Payloads = [<<"HEP3", 0, 99, "cut">>, <<128, 0, 1, 2, 3>>, <<"GET / HTTP/1.1\r\n\r\n">>, message(1), hep_packet(1)],
    Frames = [{?TIME, hep_frames:udp(Src, Dst, P, #{})} || P <- Payloads],
    ?assertMatch(
        #{frames := 6, hep := 2, sip := 1, invalid := 1, other := 2, not_ip := 1, unknown_link := 0},
        stats(hep_frames:pcap(101, Frames ++ [{?TIME, <<"?">>}]))
    ),
    ?assertMatch(#{frames := 5, unknown_link := 5}, stats(hep_frames:pcap(147, Frames))).

%% Fragments

fragments_in_any_order_test() ->
    Payload = message(binary:copy(<<"body">>, 3000)),
    [
        begin
            Fragments = hep_frames:fragments(Src, Dst, Payload, 77, Size),
            Other = hep_frames:fragments(Src, Dst, message(1), 78, 8),
            [
                ?assertEqual(
                    lists:sort([sip(Src, Dst, 17, Payload), sip(Src, Dst, 17, message(1))]),
                    lists:sort(packets(hep_frames:pcap(101, [{?TIME, F} || F <- Order(Fragments ++ Other)])))
                )
             || Order <- [fun(L) -> L end, fun lists:reverse/1, fun shuffled/1, fun(L) -> lists:append([[F, F] || F <- L]) end]
            ]
        end
     || {Src, Dst} <- [{?V4}, {?V6}], Size <- [8, 1480]
    ].

headers_between_ip_and_udp_are_skipped_test() ->
    {Src, Dst} = {?V6},
    <<Head:6/binary, 17, Hops, Addresses:32/binary, Udp/binary>> = iolist_to_binary(hep_frames:udp(Src, Dst, message(1), #{})),
    %% Hop-by-hop options, routing, a fragment that is all of the packet, an authentication header, destination options.
    Chain = <<43, 0, 0:48, 44, 1, 0:112, 51, 0, 0:48, 60, 4, 0:176, 17, 0, 0:48>>,
    <<Start:4/binary, Length:16>> = Head,
    Packet = <<Start/binary, (Length + byte_size(Chain)):16, 0, Hops, Addresses/binary, Chain/binary, Udp/binary>>,
    ?assertEqual([sip(Src, Dst, 17, message(1))], packets(hep_frames:pcap(101, [{?TIME, Packet}]))),
    %% Truncated headers are no packet.
    Cuts = [{?TIME, binary:part(Packet, 0, Size)} || Size <- lists:seq(0, 40 + byte_size(Chain) + 7)],
    ?assertEqual({[], length(Cuts)}, {packets(hep_frames:pcap(101, Cuts)), maps:get(not_ip, stats(hep_frames:pcap(101, Cuts)))}).

a_missing_fragment_drops_its_packet_test() ->
    {Src, Dst} = {?V4},
    [_ | Rest] = hep_frames:fragments(Src, Dst, message(binary:copy(<<"body">>, 3000)), 77, 1480),
    File = hep_frames:pcap(101, [{?TIME, F} || F <- Rest ++ [hep_frames:udp(Src, Dst, message(1), #{})]]),
    ?assertEqual([sip(Src, Dst, 17, message(1))], packets(File)),
    ?assertMatch(#{fragments_dropped := 1, sip := 1}, stats(File)).

incomplete_packets_are_limited_test() ->
    {Src, Dst} = {?V4},
    Firsts = [hd(hep_frames:fragments(Src, Dst, message(1), Id, 8)) || Id <- lists:seq(1, 1000)],
    ?assertMatch(#{fragments_dropped := 1000, sip := 0}, stats(hep_frames:pcap(101, [{?TIME, F} || F <- Firsts]))).

%% TCP

sip_over_tcp_ends_at_its_content_length_test() ->
    {Src, Dst} = {?V4},
    Messages = [message(binary:copy(<<"b">>, N * 10)) || N <- lists:seq(1, 30)],
    Stream = iolist_to_binary(lists:join(<<"\r\n\r\n">>, Messages)),
    Expected = [sip(Src, Dst, 6, M) || M <- Messages],
    [?assertEqual(Expected, packets(tcp_file(Src, Dst, parts(Stream, Size), 4294960000))) || Size <- [1, 10, 536, 60000]].

disorder_and_retransmission_test() ->
    {Src, Dst} = {?V4},
    Messages = [message(binary:copy(<<"b">>, N * 10)) || N <- lists:seq(1, 30)],
    Parts = numbered(parts(iolist_to_binary(Messages), 100), 4294960000),
    Expected = [sip(Src, Dst, 6, M) || M <- Messages],
    Syn = hep_frames:tcp(Src, Dst, 4294959999, 2, <<>>),
    [
        ?assertEqual(
            Expected,
            packets(hep_frames:pcap(101, [{?TIME, F} || F <- [Syn | [hep_frames:tcp(Src, Dst, N, P) || {N, P} <- Order]]]))
        )
     || Order <- [
            Parts,
            lists:append([[P, P] || P <- Parts]),
            swapped(Parts),
            lists:reverse(Parts),
            shuffled(Parts),
            shuffled(Parts ++ Parts),
            %% Retransmitted in larger segments.
            overlapping(Parts)
        ]
    ].

a_missing_segment_loses_its_messages_only_test() ->
    {Src, Dst} = {?V4},
    Messages = [message(binary:copy(<<"b">>, 500)) || _ <- lists:seq(1, 10)],
    Size = byte_size(hd(Messages)),
    Parts = numbered(parts(iolist_to_binary(Messages), 100), 1),
    %% In the middle of the fourth message.
    Lost = [{N, P} || {N, P} <- Parts, N =/= 1 + (Size * 3 div 100 + 2) * 100],
    ?assertEqual(length(Parts) - 1, length(Lost)),
    File = hep_frames:pcap(101, [{?TIME, hep_frames:tcp(Src, Dst, N, P)} || {N, P} <- Lost]),
    ?assertEqual([sip(Src, Dst, 6, M) || M <- lists:sublist(Messages, 9)], packets(File)),
    ?assertMatch(#{sip := 9, tcp_missing := 100, tcp_incomplete := 1}, stats(File)).

a_stream_without_its_start_test() ->
    {Src, Dst} = {?V4},
    [First | Rest] = [message(binary:copy(<<"b">>, 500)) || _ <- lists:seq(1, 5)],
    Stream = iolist_to_binary([binary:part(First, 50, byte_size(First) - 50) | Rest]),
    ?assertEqual([sip(Src, Dst, 6, M) || M <- Rest], packets(tcp_file(Src, Dst, parts(Stream, 100), 5))).

a_port_that_is_used_again_test() ->
    {Src, Dst} = {?V4},
    Connection = fun(Number) ->
        [hep_frames:tcp(Src, Dst, Number, 2, <<>>), hep_frames:tcp(Src, Dst, Number + 1, message(1)),
            hep_frames:tcp(Src, Dst, Number + 1 + byte_size(message(1)), 16#11, <<>>)]
    end,
    Frames = Connection(1000) ++ Connection(500) ++ Connection(3000000000),
    ?assertEqual(lists:duplicate(3, sip(Src, Dst, 6, message(1))), packets(hep_frames:pcap(101, [{?TIME, F} || F <- Frames]))).

%% The last segment may be captured twice, or retransmitted.
a_message_that_ends_a_connection_is_returned_once_test() ->
    {Src, Dst} = {?V4},
    Frames = [
        hep_frames:tcp(Src, Dst, 1000, 2, <<>>),
        hep_frames:tcp(Src, Dst, 1001, 16#11, message(1)),
        hep_frames:tcp(Src, Dst, 1001, 16#11, message(1)),
        hep_frames:tcp(Src, Dst, 5000, 2, <<>>),
        hep_frames:tcp(Src, Dst, 5001, 16#11, message(2))
    ],
    ?assertEqual([sip(Src, Dst, 6, message(N)) || N <- [1, 2]], packets(hep_frames:pcap(101, [{?TIME, F} || F <- Frames]))).

%% A message that waits for a missing segment comes out when its connection is displaced: by a new one between the same
%% ports, or by too many others.
messages_of_displaced_streams_are_returned_test_() ->
    {Src, Dst} = {?V4},
    Waiting = fun(From) -> [hep_frames:tcp(From, Dst, 1000, 2, <<>>), hep_frames:tcp(From, Dst, 1101, message(1))] end,
    Many = [{{10, 0, N bsr 8, N band 255}, 5060} || N <- lists:seq(0, 16 * 1024)],
    [
        {timeout, 60, {Name, fun() ->
            %% The file continues: the end of the file is not what displaces it.
            File = hep_frames:pcap(101, [{?TIME, F} || F <- Frames] ++ [{?TIME, <<>>}]),
            Cut = binary:part(File, 0, byte_size(File) - 1),
            {error, _, Found} = fold(Cut),
            ?assertEqual(Expected, lists:sublist(Found, length(Expected)))
        end}}
     || {Name, Expected, Frames} <- [
            {"same ports", [sip(Src, Dst, 6, message(1)), sip(Src, Dst, 6, message(2))],
                Waiting(Src) ++ [hep_frames:tcp(Src, Dst, 9000, 2, <<>>), hep_frames:tcp(Src, Dst, 9001, message(2))]},
            {"too many", [sip(hd(Many), Dst, 6, message(1))], lists:append([Waiting(From) || From <- Many])}
        ]
    ].

%% The obsolete packet block of pcapng.
obsolete_packet_block_test() ->
    {Src, Dst} = {?V4},
    Frame = iolist_to_binary(hep_frames:udp(Src, Dst, message(1), #{})),
    [
        begin
            Ng = hep_frames:ng(Order, [{101, ?TIME, <<>>}]),
            %% Without its packet.
            Head = binary:part(Ng, 0, byte_size(Ng) - 32),
            Block = fun(Captured, Trailer) ->
                Padding = binary:copy(<<0>>, (4 - byte_size(Frame) rem 4) rem 4),
                Size = byte_size(Frame) + byte_size(Padding) + 32,
                [Type, Length, High, Low, Caplen, Wire, End] = [
                    case Order of big -> <<N:32>>; little -> <<N:32/little>> end
                 || N <- [2, Size, ?TIME bsr 32, ?TIME band 16#ffffffff, Captured, byte_size(Frame), Size + Trailer]
                ],
                iolist_to_binary([Head, Type, Length, <<0:16, 7:16>>, High, Low, Caplen, Wire, Frame, Padding, End])
            end,
            Good = Block(byte_size(Frame), 0),
            ?assertEqual([sip(Src, Dst, 17, message(1))], packets(Good)),
            ?assertMatch({error, {_, truncated}, []}, fold(binary:part(Good, 0, byte_size(Good) - 1))),
            [
                ?assertEqual({error, {byte_size(Head), invalid_block}, []}, fold(Bad))
             || Bad <- [Block(byte_size(Frame) + 4, 0), Block(16#ffffffff, 0), Block(byte_size(Frame), 4)]
            ]
        end
     || Order <- [big, little]
    ].

%% Corrupt and truncated files

every_truncation_of_a_file_test_() ->
    {Src, Dst} = {?V4},
    Frames = [hep_frames:udp(Src, Dst, message(N), #{}) || N <- [1, 2]],
    Pcap = hep_frames:pcap(101, [{?TIME, F} || F <- Frames]),
    Ng = hep_frames:ng(little, [{101, ?TIME, F} || F <- Frames]),
    [{timeout, 60, fun() -> every_cut(File) end} || File <- [Pcap, Ng]].

every_cut(File) ->
    Whole = packets(File),
    lists:foldl(
        fun(Length, Before) ->
            case fold(binary:part(File, 0, Length)) of
                {ok, Packets} ->
                    ?assert(lists:prefix(Packets, Whole)),
                    length(Packets);
                {error, {Offset, Reason}, Packets} ->
                    ?assertEqual(truncated, Reason),
                    ?assert(Offset =< Length),
                    ?assert(lists:prefix(Packets, Whole)),
                    ?assert(length(Packets) >= Before),
                    length(Packets)
            end
        end,
        0,
        lists:seq(0, byte_size(File))
    ).

a_truncation_has_the_offset_of_the_frame_test() ->
    {Src, Dst} = {?V4},
    Frame = iolist_to_binary(hep_frames:udp(Src, Dst, message(1), #{})),
    File = hep_frames:pcap(101, [{?TIME, Frame}, {?TIME, Frame}]),
    Second = 24 + 16 + byte_size(Frame),
    ?assertEqual({error, {Second, truncated}, [sip(Src, Dst, 17, message(1))]}, fold(binary:part(File, 0, byte_size(File) - 1))),
    ?assertEqual("offset 24: the file is truncated here", lists:flatten(hep_pcap:format_error({24, truncated}))).

every_truncation_of_gzip_test() ->
    {Src, Dst} = {?V4},
    File = zlib:gzip(hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, message(1), #{})}])),
    [
        ?assertMatch({error, {_, invalid_gzip}, _}, fold(binary:part(File, 0, Length)))
     || Length <- lists:seq(3, byte_size(File) - 1)
    ].

packets_before_corrupt_gzip_are_returned_test() ->
    {Src, Dst} = {?V4},
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, message(1), #{})}]),
    Corrupt = <<(zlib:gzip(File))/binary, (zlib:gzip(<<>>))/binary, "no gzip member">>,
    ?assertEqual({error, {byte_size(File), invalid_gzip}, [sip(Src, Dst, 17, message(1))]}, fold(Corrupt)).

broken_files_test_() ->
    Header = binary:part(hep_frames:pcap(101, []), 0, 24),
    Ng = hep_frames:ng(big, [{101, ?TIME, <<"frame">>}]),
    [
        {Name, ?_assertEqual({error, Error, []}, fold(File))}
     || {Name, File, Error} <- [
            {"empty", <<>>, {0, truncated}},
            {"text", <<"this is no capture file at all">>, {0, not_pcap}},
            {"length", <<Header/binary, 0:64, 16#7fffffff:32, 0:32>>, {24, {too_large, 16#7fffffff}}},
            {"block of 8 bytes", <<(binary:part(Ng, 0, 28))/binary, 1:32, 8:32, 0:32>>, {28, invalid_block}},
            {"unknown interface", <<(binary:part(Ng, 0, 28))/binary, 6:32, 32:32, 5:32, 0:64, 0:64, 32:32>>, {28, {unknown_interface, 5}}},
            {"large block", <<(binary:part(Ng, 0, 28))/binary, 6:32, 16#7ffffff0:32, 0:96>>, {28, {too_large, 16#7ffffff0}}}
        ]
    ].

changed_files_do_not_crash_test_() ->
    {Src, Dst} = {?V4},
    Udp = hep_frames:fragments(Src, Dst, message(1), 1, 64) ++ [hep_frames:udp(Src, Dst, hep_packet(1), #{})],
    Tcp = [hep_frames:tcp(Src, Dst, N, P) || {N, P} <- numbered(parts(message(1), 20), 1)],
    Files = [
        hep_frames:pcap(1, [{?TIME, hep_frames:frame(qinq, F)} || F <- Udp ++ Tcp]),
        hep_frames:ng(little, [{113, ?TIME, hep_frames:frame(cooked, F)} || F <- Udp ++ Tcp])
    ],
    {timeout, 60, fun() ->
        _ = rand:seed(exsss, {1, 2, 3}),
        [
            case fold(changed(File, rand:uniform(8))) of
                {ok, Packets} when is_list(Packets) -> ok;
                {error, Error, _} -> ?assert(is_binary(iolist_to_binary(hep_pcap:format_error(Error))))
            end
         || File <- Files, _ <- lists:seq(1, 3000)
        ]
    end}.

files_that_cannot_be_read_test() ->
    ?assertEqual({error, {file, enoent}, acc}, hep_pcap:fold("no such file", #{}, fun(_, A) -> A end, acc)),
    ?assertEqual("no such file or directory", lists:flatten(hep_pcap:format_error({file, enoent}))).

a_function_returns_the_bytes_test() ->
    {Src, Dst} = {?V4},
    File = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, message(N), #{})} || N <- [1, 2]]),
    Read = fun(End) ->
        Parts = ets:new(parts, []),
        ets:insert(Parts, {rest, [<<B>> || <<B>> <= File]}),
        fun() ->
            case ets:lookup_element(Parts, rest, 2) of
                [Part | Rest] -> ets:insert(Parts, {rest, Rest}), {ok, Part};
                [] -> End
            end
        end
    end,
    Expected = [sip(Src, Dst, 17, message(N)) || N <- [1, 2]],
    Gather = fun(Hep, Acc) -> [Hep | Acc] end,
    ?assertEqual({ok, lists:reverse(Expected)}, hep_pcap:fold({read, Read(eof)}, #{}, Gather, [])),
    {error, Error, Found} = hep_pcap:fold({read, Read({error, closed})}, #{}, Gather, []),
    ?assertEqual({{read, closed}, lists:reverse(Expected)}, {Error, Found}),
    ?assertEqual("cannot read: closed", lists:flatten(hep_pcap:format_error(Error))).

wrong_options_test() ->
    [
        ?assertError(badarg, hep_pcap:fold({binary, <<>>}, Options, fun(_, A) -> A end, acc))
     || Options <- [[], #{port => 1}, #{ports => [65536]}, #{ports => all}, #{decode => #{what => ever}}, #{stats => 1}]
    ],
    ?assertError(badarg, hep_pcap:fold({binary, <<>>}, #{}, fun(A) -> A end, acc)).

%% Memory: a large file is read in parts.

a_large_file_takes_little_memory_test_() ->
    {timeout, 300, fun() ->
        Size = list_to_integer(os:getenv("HEP_PCAP_MIB", "256")) * 1048576,
        in_folder(fun(Folder) ->
            File = filename:join(Folder, "large.pcap"),
            Frames = large(File, Size),
            erlang:garbage_collect(),
            Before = memory(),
            Count = fun(_, {N, Most}) when N rem 10000 =:= 0 -> {N + 1, max(Most, memory())}; (_, {N, Most}) -> {N + 1, Most} end,
            {ok, {Found, Most}} = hep_pcap:fold(File, #{}, Count, {0, 0}),
            ?assertEqual(Frames, Found),
            ?assert(Most - Before < 128 * 1048576)
        end)
    end}.

%% The memory of the VM, with that of the native library on Linux.
memory() ->
    case file:read_file("/proc/self/statm") of
        {ok, Pages} -> binary_to_integer(lists:nth(2, binary:split(Pages, <<" ">>, [global]))) * 4096;
        {error, _} -> erlang:memory(total)
    end.

large(File, Size) ->
    {Src, Dst} = {?V4},
    Part = << <<(hep_frames_record(Src, Dst, N))/binary>> || N <- lists:seq(1, 1000) >>,
    Parts = Size div byte_size(Part) + 1,
    {ok, Fd} = file:open(File, [write, raw, binary]),
    ok = file:write(Fd, hep_frames:pcap(101, [])),
    _ = [ok = file:write(Fd, Part) || _ <- lists:seq(1, Parts)],
    ok = file:close(Fd),
    Parts * 1000.

hep_frames_record(Src, Dst, N) ->
    <<_:24/binary, Record/binary>> = hep_frames:pcap(101, [{?TIME, hep_frames:udp(Src, Dst, message(N), #{})}]),
    Record.

%%% Helpers

hep_packet(N) ->
    {ok, Packet} = hep:encode(#hep{
        version = 3, protocol = 17, src_ip = {10, 0, 0, 1}, dst_ip = {10, 0, 0, 2}, src_port = 5060, dst_port = 5060,
        timestamp = {1800, 0, N}, payload = message(N)
    }),
    Packet.

sip({SrcIp, SrcPort}, {DstIp, DstPort}, Protocol, Payload) ->
    Family = case tuple_size(SrcIp) of 4 -> 2; 8 -> 10 end,
    #hep{version = 3, protocol_family = Family, protocol = Protocol, src_ip = SrcIp, src_port = SrcPort, dst_ip = DstIp,
        dst_port = DstPort, timestamp = {1800, 0, 123456}, payload = Payload}.

at_file_time(#hep{version = 1} = Hep) -> Hep#hep{timestamp = {1800, 0, 123456}};
at_file_time(Hep) -> Hep.

found(File, Options) ->
    {ok, Found} = hep_pcap:fold({binary, File}, Options, fun(Hep, Info, Acc) -> [{Hep, Info} | Acc] end, []),
    lists:reverse(Found).

read(Name) ->
    File = filename:join([hep_fixtures:top(), "test", "fixtures", "pcap", Name]),
    {ok, Packets} = hep_pcap:fold(File, #{}, fun(Hep, Acc) -> [Hep | Acc] end, []),
    lists:reverse(Packets).

pack(plain, File) -> File;
pack(gzip, File) -> zlib:gzip(File);
pack(two_members, <<Part:100/binary, Rest/binary>>) -> <<(zlib:gzip(Part))/binary, (zlib:gzip(Rest))/binary>>.

tcp_file(Src, Dst, Parts, Number) ->
    hep_frames:pcap(101, [{?TIME, hep_frames:tcp(Src, Dst, N, P)} || {N, P} <- numbered(Parts, Number)]).

parts(Bytes, Size) when byte_size(Bytes) =< Size -> [Bytes];
parts(Bytes, Size) ->
    <<Part:Size/binary, Rest/binary>> = Bytes,
    [Part | parts(Rest, Size)].

numbered(Parts, First) ->
    {Numbered, _} = lists:mapfoldl(fun(P, N) -> {{N band 16#ffffffff, P}, N + byte_size(P)} end, First, Parts),
    Numbered.

swapped([A, B | Rest]) -> [B, A | swapped(Rest)];
swapped(Rest) -> Rest.

overlapping([{N, A}, {_, B} = Second | Rest]) -> [{N, A}, {N, <<A/binary, B/binary>>}, Second | overlapping(Rest)];
overlapping(Rest) -> Rest.

shuffled(List) -> [E || {_, E} <- lists:sort([{erlang:phash2({N, E}), E} || {N, E} <- lists:zip(lists:seq(1, length(List)), List)])].

changed(File, 0) -> File;
changed(File, Times) ->
    At = rand:uniform(byte_size(File)) - 1,
    <<Before:At/binary, _, After/binary>> = File,
    changed(<<Before/binary, (rand:uniform(256) - 1), After/binary>>, Times - 1).
