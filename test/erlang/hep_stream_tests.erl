%% @doc Splitting streams: those of the fixtures and generated ones, complete, in pieces, and byte by byte.
-module(hep_stream_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep_prop.hrl").

-import(hep_packets, [chunk/2, frame/1, frame/2]).

-export([prop_frames/0, prop_members/0, prop_any_bytes/0]).

-define(LIMIT, 65535).

property_test_() ->
    {inparallel, [
        {timeout, 60, {atom_to_list(Name), fun() -> hep_prop:holds(?MODULE, Name, Cases) end}}
     || {Name, Cases} <- [{prop_frames, 400}, {prop_members, 300}, {prop_any_bytes, 1000}]
    ]}.

%%% The fixtures

fixtures_test_() ->
    [
        {timeout, 60, {hep_fixtures:file(Entry), fun() -> fixture(Entry, hep_fixtures:bytes(Entry)) end}}
     || Entry <- hep_fixtures:entries(stream)
    ].

fixture(#{<<"frames">> := null}, <<Version, _/binary>> = Bytes) ->
    Error = {0, {unframed_version, Version}},
    ?assertMatch({[], [Error], _}, hep_stream:feed(hep_stream:new(), Bytes)),
    ?assertMatch({[], [Error, {_, {resync, _}}], _}, whole(Bytes, #{resync => true}));
fixture(Entry, Bytes) ->
    Garbage = maps:get(<<"garbage">>, Entry, []),
    Rest = [{Offset, {truncated, Length}} || #{<<"rest">> := [Offset, Length]} <- [Entry]],
    Packets = hep_fixtures:packets(Entry, Bytes),
    Errors = lists:append([[{At, wrong(Bytes, At)}, {At + L, {resync, L}}] || [At, L] <- Garbage]) ++ Rest,
    All = [Packet || {_, Packet} <- Packets],
    ends(All, Errors, #{resync => true}, Bytes),
    case Garbage of
        [] ->
            ends(All, Rest, #{}, Bytes);
        [[At, _] | _] ->
            Before = [Packet || {Offset, Packet} <- Packets, Offset < At],
            ends(Before, [{At, wrong(Bytes, At)}], #{}, Bytes)
    end.

wrong(Bytes, At) ->
    case binary:part(Bytes, At, 6) of
        <<"HEP3", Length:16>> -> {invalid_total_length, Length};
        _ -> not_hep
    end.

%% In pieces of many sizes; a short stream split once, at each of its bytes.
ends(Packets, Errors, Options, Bytes) ->
    Expected = {Packets, Errors},
    [?assertEqual(Expected, divided(pieces(Size, Bytes), Options)) || Size <- [1, 2, 3, 5, 6, 7, 61, 690, 1460, ?LIMIT]],
    [?assertEqual(Expected, divided(cut(At, Bytes), Options)) || At <- lists:seq(0, byte_size(Bytes)), byte_size(Bytes) < 1000].

%%% Packets

smallest_and_largest_test() ->
    Largest = frame([chunk(15, binary:copy(<<"x">>, ?LIMIT - 12))]),
    ?assertEqual(?LIMIT, byte_size(Largest)),
    Bytes = <<"HEP3", 6:16, Largest/binary, "EEP3", 6:16>>,
    ?assertEqual({[<<"HEP3", 6:16>>, Largest, <<"EEP3", 6:16>>], []}, divided(pieces(1, Bytes), #{})).

partial_test() ->
    {[], [], Stream} = hep_stream:feed(hep_stream:new(), <<"HEP3", ?LIMIT:16>>),
    ?assertEqual(6, hep_stream:buffered(Stream)),
    {[], [], Full} = hep_stream:feed(Stream, binary:copy(<<0>>, ?LIMIT - 7)),
    ?assertEqual(?LIMIT - 1, hep_stream:buffered(Full)),
    ?assertEqual([{0, {truncated, ?LIMIT - 1}}], hep_stream:finish(Full)),
    ?assertMatch({[_], [], _}, hep_stream:feed(Full, <<0>>)).

nothing_test() ->
    {[], [], Stream} = hep_stream:feed(hep_stream:new(), <<>>),
    ?assertEqual(0, hep_stream:buffered(Stream)),
    ?assertEqual([], hep_stream:finish(Stream)).

%% Each byte of the magic is checked as it arrives.
wrong_magic_test_() ->
    [
        ?_assertMatch({[], [{0, not_hep}], _}, hep_stream:feed(hep_stream:new(), Bytes))
     || Bytes <- [<<0>>, <<3>>, <<"F">>, <<"HF">>, <<"HEX">>, <<"HEP2">>, <<"EEP4">>, <<"hep3">>, <<"HEP ", 0:16>>]
    ].

%% After the first byte of the stream, the number of a version is not HEP.
version_within_test() ->
    ?assertMatch({[_], [{6, not_hep}], _}, hep_stream:feed(hep_stream:new(), <<"HEP3", 6:16, 2, 28>>)).

ended_test() ->
    {[], [Error], Ended} = hep_stream:feed(hep_stream:new(), <<"GET / HTTP/1.1">>),
    ?assertEqual({0, not_hep}, Error),
    ?assertEqual({[], [Error], Ended}, hep_stream:feed(Ended, <<"HEP3", 6:16>>)),
    ?assertEqual([Error], hep_stream:finish(Ended)),
    ?assertEqual(0, hep_stream:buffered(Ended)).

%%% Taking up a stream again

%% A sender that restarts: its packet is incomplete, and another one follows on the same stream. (If it ends in
%% the value of the last chunk, the following bytes complete the chunk.)
broken_off_test() ->
    Packet = hep_net:packet(1),
    [
        ?assertEqual(
            {[Packet, Packet], [{0, {truncated, At}}]},
            divided(pieces(Size, <<(binary:part(Packet, 0, At))/binary, Packet/binary, Packet/binary>>), #{resync => true})
        )
     || At <- lists:seq(6, 32), Size <- [1, 7, 1000]
    ].

%% A magic in the payload of a packet does not begin another packet.
magic_within_test() ->
    Packet = frame([chunk(15, <<"HEP3", 6:16>>), chunk(14, <<"EEP3">>)]),
    ?assertEqual({[Packet], []}, divided([Packet], #{resync => true})).

skipped_test() ->
    Stream = hep_stream:new(#{resync => true}),
    {[], [{0, not_hep}], Skipping} = hep_stream:feed(Stream, <<"garbageHE">>),
    ?assertEqual(2, hep_stream:buffered(Skipping)),
    ?assertEqual([{9, {resync, 9}}], hep_stream:finish(Skipping)),
    {[], [], More} = hep_stream:feed(Skipping, <<"HEHEEP">>),
    ?assertEqual(3, hep_stream:buffered(More)),
    ?assertMatch({[], [{15, {resync, 15}}], _}, hep_stream:feed(More, <<"HEP3">>)),
    ?assertMatch({[<<"EEP3", 6:16>>], [{12, {resync, 12}}], _}, hep_stream:feed(More, <<"3", 6:16>>)).

%% Nested incomplete packets, each of which would need a search through all of it.
many_broken_off_test() ->
    Inner = binary:copy(<<1:32, 12:16, "HEP3", ?LIMIT:16>>, 20000),
    {Packets, Errors} = divided(pieces(1460, <<"HEP3", ?LIMIT:16, Inner/binary>>), #{resync => true}),
    ?assertEqual([], Packets),
    ?assert(length(Errors) < 60),
    ?assertEqual(6 + byte_size(Inner), accounted(Packets, Errors)).

%% 64 KB of packets with a wrong length cause as many errors, but no more than the limit.
max_errors_test_() ->
    Wrong = binary:copy(<<"HEP3", 0:16>>, 10000),
    Errors = fun(Count) ->
        lists:append([[{6 * N, {invalid_total_length, 0}}, {6 * (N + 1), {resync, 6}}] || N <- lists:seq(0, Count - 1)])
    end,
    [
        fun() ->
            Stream = hep_stream:new(#{resync => true, max_errors => Max}),
            Last = {6 * Max, {too_many_errors, Max}},
            {[], Reported, Ended} = hep_stream:feed(Stream, Wrong),
            ?assertEqual(Errors(Max) ++ [Last], Reported),
            ?assert(hep_stream:is_ended(Ended)),
            ?assertEqual({[], [Last], Ended}, hep_stream:feed(Ended, <<"HEP3", 6:16>>)),
            ?assertEqual([Last], hep_stream:finish(Ended)),
            %% One below the limit.
            {[], Allowed, Open} = hep_stream:feed(Stream, binary:part(Wrong, 0, 6 * Max)),
            ?assertEqual(Errors(Max), Allowed ++ hep_stream:finish(Open)),
            ?assertNot(hep_stream:is_ended(Open))
        end
     || Max <- [1, 2, 100]
    ].

%% Incomplete packets count as errors, too.
max_breaks_test() ->
    Break = <<"HEP3", 32:16, 0:64>>,
    Stream = hep_stream:new(#{resync => true, max_errors => 2}),
    {[], Errors, _} = hep_stream:feed(Stream, binary:copy(Break, 10)),
    ?assertEqual([{0, {truncated, 14}}, {14, {truncated, 14}}, {28, {too_many_errors, 2}}], Errors).

%%% The greeting of HEPfix proxies

greeting_test_() ->
    Packet = frame([chunk(15, <<"x">>)]),
    [
        ?_assertEqual({[Packet, Packet], []}, divided(Pieces, #{resync => Resync}))
     || Line <- [<<"HELLO HFP">>, <<"HELLO HFP\n">>, <<"HELLO HFP\r\n">>],
        Bytes <- [<<Line/binary, Packet/binary, Packet/binary>>],
        Pieces <- [[Bytes] | [cut(At, Bytes) || At <- lists:seq(0, 20)]] ++ [pieces(1, Bytes)],
        Resync <- [false, true]
    ].

%% Offsets include the greeting, and it is accepted only at the start.
greeting_offset_test_() ->
    Packet = frame([]),
    [
        ?_assertEqual({Packets, [{Offset, not_hep}]}, divided(pieces(Size, Bytes), #{}))
     || {Bytes, Packets, Offset} <- [
            {<<"HELLO HFP", Packet/binary, "x">>, [Packet], 15},
            {<<"HELLO HFP\r\n", Packet/binary, "x">>, [Packet], 17},
            {<<"HELLO HFP\n\n">>, [], 10},
            {<<"HELLO HFP\rx">>, [], 9},
            {<<"HELLO HFX">>, [], 0},
            {<<"HELLO HFPHELLO HFP">>, [], 9},
            {<<Packet/binary, "HELLO HFP">>, [Packet], 6}
        ],
        Size <- [1, 100]
    ].

%%% Gzip members, a packet each

member_cuts_test_() ->
    Packet = frame([chunk(15, <<"OPTIONS sip:a@192.0.2.2 SIP/2.0">>)]),
    Other = frame([chunk(15, rand:bytes(200))]),
    Bytes = <<(zlib:gzip(Packet))/binary, Packet/binary, (zlib:gzip(Other))/binary>>,
    [
        ?_assertEqual({[Packet, Packet, Other], []}, divided(Pieces, #{resync => Resync}))
     || Pieces <- [pieces(1, Bytes), pieces(7, Bytes) | [cut(At, Bytes) || At <- lists:seq(0, byte_size(Bytes))]],
        Resync <- [false, true]
    ].

%% The largest packet, which cannot be compressed, and one byte more.
largest_member_test() ->
    Largest = frame([chunk(15, rand:bytes(?LIMIT - 12))]),
    [
        ?assertEqual({[Largest], []}, divided(pieces(Size, zlib:gzip(Largest)), #{}))
     || Size <- [1, 1460, 100000]
    ],
    More = zlib:gzip(<<Largest/binary, 0>>),
    [?assertEqual({[], [{0, invalid_gzip}]}, divided(pieces(Size, More), #{})) || Size <- [1460, 100000]].

%% No more than a packet is unpacked from a member, whatever it claims.
bomb_test() ->
    Bomb = zlib:gzip(binary:copy(<<0>>, 50_000_000)),
    {[], [{0, invalid_gzip}], _} = hep_stream:feed(hep_stream:new(), Bomb).

broken_member_test_() ->
    Packet = frame([chunk(15, <<"x">>)]),
    Member = zlib:gzip(Packet),
    Flip = fun(At) ->
        <<Before:At/binary, Byte, After/binary>> = Member,
        <<Before/binary, (Byte bxor 16#ff), After/binary>>
    end,
    [
        [
            ?_assertEqual({[<<"HEP3", 6:16>>], [{6, invalid_gzip}]}, divided(pieces(Size, <<"HEP3", 6:16, Broken/binary>>), #{})),
            ?_assertEqual(
                {[<<"HEP3", 6:16>>, Packet], [{6, invalid_gzip}, {6 + byte_size(Broken), {resync, byte_size(Broken)}}]},
                divided(pieces(Size, <<"HEP3", 6:16, Broken/binary, Member/binary>>), #{resync => true})
            )
        ]
     || Broken <- [Flip(2), Flip(3), Flip(byte_size(Member) - 1), Flip(byte_size(Member) - 8)], Size <- [1, 1000]
    ].

%% A sender that restarts inside a member.
broken_off_member_test() ->
    %% Compressed: in a stored block the magic of the packet would be visible.
    Packet = frame([chunk(15, binary:copy(<<"abcdefg">>, 30)), chunk(15, list_to_binary(lists:seq(0, 99)))]),
    Member = zlib:gzip(Packet),
    Bytes = <<(binary:part(Member, 0, 60))/binary, Member/binary, Member/binary>>,
    [
        ?assertEqual(
            {[Packet, Packet], [{0, invalid_gzip}, {60, {resync, 60}}]}, divided(pieces(Size, Bytes), #{resync => true})
        )
     || Size <- [1, 50, 1000]
    ],
    ?assertEqual({[], [{0, {truncated, 60}}]}, divided([binary:part(Member, 0, 60)], #{})).

%% A stream is a value: it can be fed again, with other bytes.
member_again_test() ->
    [Packet, Other] = [frame([chunk(15, <<N, "abcdefgh">>)]) || N <- [1, 2]],
    [Member, Another] = [zlib:gzip(P) || P <- [Packet, Other]],
    <<Head:10/binary, Tail/binary>> = Member,
    <<Head:10/binary, Behind/binary>> = Another,
    {[], [], Stream} = hep_stream:feed(hep_stream:new(), Head),
    {[], [], Next} = hep_stream:feed(Stream, binary:part(Tail, 0, 5)),
    ?assertMatch({[Other], [], _}, hep_stream:feed(Stream, Behind)),
    ?assertMatch({[Packet], [], _}, hep_stream:feed(Stream, Tail)),
    ?assertMatch({[Packet], [], _}, hep_stream:feed(Next, binary:part(Tail, 5, byte_size(Tail) - 5))).

%% No more is unpacked than the limit.
allowed_test() ->
    Packet = frame([chunk(15, binary:copy(<<"x">>, 40000))]),
    Member = zlib:gzip(Packet),
    Bytes = binary:copy(Member, 4),
    {[], [], Stream, packed} = hep_stream:feed(hep_stream:new(), Bytes, ?LIMIT - 1),
    ?assertEqual(byte_size(Bytes), hep_stream:buffered(Stream)),
    {[Packet], [], Next, packed} = hep_stream:feed(Stream, <<>>, ?LIMIT),
    {[Packet, Packet], [], Last, packed} = hep_stream:feed(Next, <<>>, ?LIMIT + byte_size(Packet)),
    {[Packet], [], _, done} = hep_stream:feed(Last, <<>>, infinity),
    %% Uncompressed packets do not count against the limit.
    {[<<"HEP3", 6:16>>], [], _, packed} = hep_stream:feed(hep_stream:new(), <<"HEP3", 6:16, Member/binary>>, 0).

%%% Memory

copy_test() ->
    Packet = frame([chunk(15, binary:copy(<<"x">>, 300))]),
    Bytes = iolist_to_binary([lists:duplicate(1000, Packet), binary:part(Packet, 0, 100)]),
    {Copied, [], Stream} = hep_stream:feed(hep_stream:new(), Bytes),
    [?assert(binary:referenced_byte_size(P) =< 2 * byte_size(P)) || P <- Copied],
    ?assert(binary:referenced_byte_size(kept(Stream)) =< 200),
    {Parts, [], Large} = hep_stream:feed(hep_stream:new(#{copy => false}), Bytes),
    [?assertEqual(byte_size(Bytes), binary:referenced_byte_size(P)) || P <- Parts],
    ?assertEqual(byte_size(Bytes), binary:referenced_byte_size(kept(Large))),
    ?assertEqual(Copied, Parts).

%% A decoded payload keeps no more than its packet in memory.
payload_test() ->
    Bytes = binary:copy(frame([chunk(15, binary:copy(<<"x">>, 300))]), 1000),
    {Packets, [], _} = hep_stream:feed(hep_stream:new(), Bytes),
    [
        ?assert(binary:referenced_byte_size(hep:payload(hep_packets:decoded(Packet))) =< 2 * byte_size(Packet))
     || Packet <- Packets
    ].

%% A packet that fills most of the input is not copied.
large_is_not_copied_test() ->
    Large = frame([chunk(15, binary:copy(<<"x">>, 60000))]),
    Bytes = <<Large/binary, 0:80>>,
    {[Packet], _, _} = hep_stream:feed(hep_stream:new(), Bytes),
    ?assertEqual(byte_size(Bytes), binary:referenced_byte_size(Packet)).

kept(Stream) ->
    [Buffer] = [Field || Field <- tuple_to_list(Stream), is_binary(Field)],
    Buffer.

%%% What is not right

badarg_test_() ->
    [
        ?_assertError(badarg, Call())
     || Call <- [
            fun() -> hep_stream:new([]) end,
            fun() -> hep_stream:new(#{resync => yes}) end,
            fun() -> hep_stream:new(#{copy => 1}) end,
            fun() -> hep_stream:new(#{resyn => true}) end,
            fun() -> hep_stream:new(#{max_errors => 0}) end,
            fun() -> hep_stream:new(#{max_errors => 1.0}) end,
            fun() -> hep_stream:feed(hep_stream:new(), "HEP3") end,
            fun() -> hep_stream:feed(hep_stream:new(), <<1:3>>) end,
            fun() -> hep_stream:feed(stream, <<>>) end
        ]
    ].

format_error_test_() ->
    [
        ?_assertEqual(Text, lists:flatten(io_lib:format("~ts", [hep_stream:format_error({7, Reason})])))
     || {Reason, Text} <- [
            {{unframed_version, 1}, "offset 7: version 1 has no length: a stream of it cannot be split into packets"},
            {{truncated, 3}, "offset 7: the packet breaks off after 3 bytes"},
            {{resync, 12}, "offset 7: 12 bytes were skipped"},
            {invalid_gzip, "offset 7: the gzip member is broken, or unpacks to more than 65535 bytes"},
            {{too_many_errors, 3}, "offset 7: the stream ends here: one more error after 3"},
            {not_hep, lists:flatten(["offset 7: ", io_lib:format("~ts", [hep:format_error(not_hep)])])},
            {{invalid_total_length, 5},
                lists:flatten(["offset 7: ", io_lib:format("~ts", [hep:format_error({invalid_total_length, 5})])])}
        ]
    ].

%%% Properties

%% Packets in a stream, split anywhere, come out unchanged.
prop_frames() ->
    ?CHECK(
        {Packets, Cuts, Resync},
        {list(any_frame()), cuts(), boolean()},
        {Packets, []} =:= divided(cut_at(Cuts, iolist_to_binary(Packets)), #{resync => Resync})
    ).

%% Some are in gzip.
prop_members() ->
    ?CHECK(
        {Packets, Cuts, Resync},
        {list({any_frame(), boolean()}), cuts(), boolean()},
        begin
            Bytes = iolist_to_binary([
                case IsPacked of
                    true -> zlib:gzip(Packet);
                    false -> Packet
                end
             || {Packet, IsPacked} <- Packets
            ]),
            {[Packet || {Packet, _} <- Packets], []} =:= divided(cut_at(Cuts, Bytes), #{resync => Resync})
        end
    ).

%% For any bytes, the result does not depend on how they are split, every byte is accounted for, and at most a packet is
%% buffered.
prop_any_bytes() ->
    ?CHECK(
        {Parts, Cuts, Resync, Copy},
        {list(part()), cuts(), boolean(), boolean()},
        begin
            Bytes = iolist_to_binary(Parts),
            Options = #{resync => Resync, copy => Copy},
            {Packets, Errors} = Whole = divided([Bytes], Options),
            Whole =:= divided(cut_at(Cuts, Bytes), Options) andalso
                (byte_size(Bytes) > 2000 orelse Whole =:= divided(pieces(1, Bytes), Options)) andalso
                lists:all(fun is_frame/1, Packets) andalso
                Errors =:= lists:keysort(1, Errors) andalso
                (not Resync orelse has_more_than_frames(Bytes) orelse byte_size(Bytes) =:= accounted(Packets, Errors)) andalso
                lists:all(fun(Error) -> is_list(hep_stream:format_error(Error)) end, Errors)
        end
    ).

has_more_than_frames(Bytes) ->
    binary:match(Bytes, [<<16#1f, 16#8b>>, <<"HELLO HFP">>]) =/= nomatch.

is_frame(<<Magic:4/binary, Length:16, _/binary>> = Packet) ->
    lists:member(Magic, [<<"HEP3">>, <<"EEP3">>]) andalso Length =:= byte_size(Packet).

any_frame() ->
    ?LET(
        {Magic, Chunks},
        {oneof([<<"HEP3">>, <<"EEP3">>]), list({integer(0, 65535), payload()})},
        begin
            <<"HEP3", Rest/binary>> = frame([chunk(Id, Value) || {Id, Value} <- Chunks]),
            <<Magic/binary, Rest/binary>>
        end
    ).

payload() ->
    oneof([binary(), <<"HEP3">>, <<"HEP3", 6:16>>, ?LET(N, integer(0, 300), binary:copy(<<"x">>, N))]).

%% Packets, parts of packets, and bytes that may become packets.
part() ->
    frequency([
        {4, any_frame()},
        {3, ?LET({Frame, Part}, {any_frame(), integer(0, 100)}, binary:part(Frame, 0, byte_size(Frame) * Part div 100))},
        {2, ?LET({Total, Chunks}, {integer(0, 40), binary()}, frame(Total, Chunks))},
        {2, binary()},
        {2, ?LET({Frame, Part}, {any_frame(), oneof([100, integer(0, 100)])}, begin
            Member = zlib:gzip(Frame),
            binary:part(Member, 0, byte_size(Member) * Part div 100)
        end)},
        {2, oneof([<<"H">>, <<"HE">>, <<"HEP">>, <<"HEP3">>, <<"EEP">>, <<"EEP3">>, <<0>>, <<1>>, <<2>>, <<16#1f>>, <<16#1f, 16#8b>>, <<"HELLO HFP">>])},
        {1, <<"HEP3", ?LIMIT:16>>},
        {1, binary:copy(<<"HEP3", 60:16>>, 20)}
    ]).

cuts() ->
    list(integer(1, 50)).

%%% Feeding

%% All packets and errors of a stream, including those at its end, up to the error that ends it.
divided(Pieces, Options) ->
    divided(Pieces, hep_stream:new(Options), [], []).

divided([], Stream, Packets, Errors) ->
    {lists:append(lists:reverse(Packets)), lists:append(lists:reverse([hep_stream:finish(Stream) | Errors]))};
divided([Piece | Pieces], Stream, Packets, Errors) ->
    {Complete, Wrong, Next} = hep_stream:feed(Stream, Piece),
    ?assert(hep_stream:buffered(Next) < ?LIMIT + 2048),
    case Wrong =/= [] andalso hep_stream:finish(Next) of
        [Error] when Error =:= hd(Wrong), Wrong =:= [Error] -> divided([], Next, [Complete | Packets], Errors);
        _ -> divided(Pieces, Next, [Complete | Packets], [Wrong | Errors])
    end.

%% The result for the whole stream at once, including the error at its end.
whole(Bytes, Options) ->
    {Packets, Errors, Stream} = hep_stream:feed(hep_stream:new(Options), Bytes),
    {Packets, Errors ++ hep_stream:finish(Stream), Stream}.

accounted(Packets, Errors) ->
    iolist_size(Packets) + lists:sum([Bytes || {_, {Kind, Bytes}} <- Errors, Kind =:= truncated orelse Kind =:= resync]).

pieces(Size, Bytes) when byte_size(Bytes) =< Size -> [Bytes];
pieces(Size, Bytes) ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | pieces(Size, Rest)].

cut(At, Bytes) ->
    <<Left:At/binary, Right/binary>> = Bytes,
    [Left, Right].

%% Split into pieces of these sizes, and the rest.
cut_at([Size | Sizes], Bytes) when Size < byte_size(Bytes) ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | cut_at(Sizes, Rest)];
cut_at(_, Bytes) ->
    [Bytes].
