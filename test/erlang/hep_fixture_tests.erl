%% @doc Every datagram and stream of the fixtures is decoded as the manifest says.
-module(hep_fixture_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

%% The maximum age of the time of decoding, in seconds.
-define(RECENT, 60).

manifest_names_every_file_test() ->
    Named = [hep_fixtures:file(Entry) || Entry <- hep_fixtures:entries()],
    ?assertEqual(lists:sort(hep_fixtures:files()), lists:sort(Named)),
    ?assert(length(hep_fixtures:entries(datagram)) >= 924),
    ?assert(length(hep_fixtures:entries(stream)) >= 30).

datagram_test_() ->
    [{hep_fixtures:file(E), fun() -> datagram(E) end} || E <- hep_fixtures:entries(datagram)].

stream_test_() ->
    [{hep_fixtures:file(E), fun() -> stream(E) end} || E <- hep_fixtures:entries(stream)].

datagram(Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    Expected = hep_fixtures:decoded(Entry, Bytes),
    check_decoded(Expected, hep_answers:check(Bytes)),
    check_decoded(Expected, hep:decode(Bytes, #{})),
    check_decoded(Expected, hep:decode(Bytes, defaults())),
    [
        check_decoded(hep_fixtures:decoded(Other, Bytes), hep:decode(Bytes, Options))
     || {Options, Other} <- hep_fixtures:options(Entry)
    ],
    check_parsed(hep_fixtures:parsed(Entry, Bytes), hep_multi_parser:parse(Bytes), Bytes),
    check_one_version(Bytes).

defaults() ->
    #{
        header_length => strict,
        v2_order => auto,
        capture_id => keep,
        timestamp => repair,
        lengths => strict,
        max_inflated => 256 * 1024
    }.

check_decoded({ok, #hep{timestamp = now} = Expected}, {ok, #hep{timestamp = Timestamp} = Hep}) ->
    Age = timer:now_diff(os:timestamp(), Timestamp),
    ?assert(Age >= 0 andalso Age < ?RECENT * 1000000),
    check_decoded({ok, Expected#hep{timestamp = Timestamp}}, {ok, Hep});
check_decoded({ok, #hep{payload = {sha256, Length, Digest}} = Expected}, {ok, Hep}) ->
    #hep{payload = Payload} = Hep,
    ?assertEqual({Length, Digest}, {byte_size(Payload), crypto:hash(sha256, Payload)}),
    check_decoded({ok, Expected#hep{payload = Payload}}, {ok, Hep});
check_decoded(Expected, Decoded) ->
    ?assertEqual(Expected, Decoded).

check_parsed(error, Parsed, Bytes) ->
    ?assertEqual({error, invalid_packet, Bytes}, Parsed);
check_parsed({ok, Expected}, {ok, State}, _Bytes) ->
    Chunks = hep:get_chunks(State),
    ?assertEqual(length(Expected), length(Chunks)),
    ?assertEqual(Expected, lists:zipwith(fun hide_now/2, Expected, Chunks)).

hide_now({_, any}, {Key, <<_:32>>}) -> {Key, any};
hide_now(_, Chunk) -> Chunk.

%% The modules of one version return the same results, or reject packets of other versions.
check_one_version(Bytes) ->
    Modules = [
        {1, hep_v1_parser, hep_v1_decoder},
        {2, hep_v2_parser, hep_v2_decoder},
        {3, hep_v3_parser, hep_v3_decoder}
    ],
    Invalid = {error, invalid_packet, Bytes},
    Version = version(hep_fixtures:unpacked(Bytes)),
    [
        case Version of
            V ->
                ?assertEqual(still(hep_multi_parser:parse(Bytes)), still(Parser:parse(Bytes))),
                ?assertEqual(still(hep_multi_decoder:decode(Bytes)), still(Decoder:decode(Bytes)));
            _ ->
                ?assertEqual(Invalid, Parser:parse(Bytes)),
                ?assertEqual(Invalid, Decoder:decode(Bytes))
        end
     || {V, Parser, Decoder} <- Modules
    ].

version(<<Version, _/binary>>) when Version =:= 1; Version =:= 2 -> Version;
version(_) -> 3.

%% Without the time of decoding.
still({ok, #hep{version = 1} = Hep}) ->
    {ok, Hep#hep{timestamp = undefined}};
still({ok, {hep, 1, Chunks}}) ->
    {ok, {hep, 1, [Chunk || {<<0:16, Id:16>>, _} = Chunk <- Chunks, Id =/= 9, Id =/= 10]}};
still(Answer) ->
    Answer.

%% Without the length of a frame, the second packet is part of the payload of the first one.
stream(#{<<"frames">> := null} = Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    {ok, #hep{version = Version, payload = Payload}} = hep_answers:check(Bytes),
    ?assertEqual(version(Bytes), Version),
    ?assert(byte_size(Payload) > byte_size(Bytes) div 2);
stream(Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    Refused = hep_fixtures:refused(Entry),
    [frame(Packet, maps:get(At, Refused, none)) || {At, Packet} <- hep_fixtures:packets(Entry, Bytes)],
    [
        ?assertMatch({error, _}, hep_answers:check(hep_fixtures:bytes(Bytes, Place)))
     || Place <- maps:get(<<"garbage">>, Entry, [])
    ],
    [rest(hep_fixtures:bytes(Bytes, maps:get(<<"rest">>, Entry))) || is_map_key(<<"rest">>, Entry)].

frame(<<Magic:4/binary, Total:16, _/binary>> = Bytes, Refused) ->
    ?assert(Magic =:= <<"HEP3">> orelse Magic =:= <<"EEP3">>),
    ?assertEqual(Total, byte_size(Bytes)),
    case Refused of
        none -> ?assertMatch({ok, #hep{version = 3}}, hep_answers:check(Bytes));
        Reason -> ?assertEqual({error, Reason}, hep_answers:check(Bytes))
    end.

rest(Bytes) ->
    ?assertEqual({error, {truncated, byte_size(Bytes)}}, hep_answers:check(Bytes)).
