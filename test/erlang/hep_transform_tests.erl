%% @doc Transforming parsed and decoded packets: names, values, order, the user's modules.
-module(hep_transform_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1, generic/1, state/1]).

-define(WITH_VENDOR, "captures/hep-js-v3/vendor-ext/001.bin").
-define(V4(Last), <<192, 0, 2, Last>>).
-define(V6(Last), <<16#20010db8:32, Last:96>>).

%%% Names and values

%% Every chunk with a name: its id, name, value on the wire and transformed value.
named() ->
    [
        {1, <<"ipProtocolFamily">>, <<2>>, 2},
        {2, <<"ipProtocol">>, <<17>>, 17},
        {3, <<"srcIpAddress">>, ?V4(1), {192, 0, 2, 1}},
        {4, <<"dstIpAddress">>, ?V4(2), {192, 0, 2, 2}},
        {5, <<"srcIpAddress">>, ?V6(1), {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}},
        {6, <<"dstIpAddress">>, ?V6(2), {16#2001, 16#db8, 0, 0, 0, 0, 0, 2}},
        {7, <<"srcPort">>, <<5060:16>>, 5060},
        {8, <<"dstPort">>, <<65535:16>>, 65535},
        {9, <<"timestampSeconds">>, <<16#ffffffff:32>>, 16#ffffffff},
        {10, <<"timestampMicroseconds">>, <<567123:32>>, 567123},
        {11, <<"payloadType">>, <<200>>, 200},
        {12, <<"captureAgentId">>, <<2001:32>>, 2001},
        {13, <<"keepAliveSeconds">>, <<30:16>>, 30},
        {14, <<"authenticateKey">>, <<"key">>, <<"key">>},
        {15, <<"payload">>, <<"INVITE">>, <<"INVITE">>},
        {16, <<"compressedPayload">>, <<31, 139>>, <<31, 139>>},
        {17, <<"correlationId">>, <<"call">>, <<"call">>},
        {18, <<"vlanId">>, <<4094:16>>, 4094},
        {19, <<"captureAgentName">>, <<255, 0>>, <<255, 0>>},
        {20, <<"srcMacAddress">>, <<16#ffffffffffffffff:64>>, 16#ffffffffffffffff},
        {21, <<"dstMacAddress">>, <<1:64>>, 1},
        {22, <<"ethernetType">>, <<16#0800:16>>, 16#0800},
        {23, <<"tcpFlags">>, <<18>>, 18},
        {24, <<"ipTos">>, <<184>>, 184},
        {32, <<"mosValue">>, <<441:16>>, 441},
        {33, <<"rFactor">>, <<93:16>>, 93},
        {34, <<"geoLocation">>, <<"52.5,13.4">>, <<"52.5,13.4">>},
        {35, <<"jitter">>, <<20:32>>, 20},
        {36, <<"transactionType">>, <<"call">>, <<"call">>},
        {37, <<"payloadJsonKeys">>, <<"[]">>, <<"[]">>},
        {38, <<"tagsValues">>, <<"a;b">>, <<"a;b">>},
        {39, <<"tagType">>, <<2:16>>, 2},
        {40, <<"eventType">>, <<1:16>>, 1},
        {41, <<"groupId">>, <<"g">>, <<"g">>},
        {101, <<"correlations">>, <<"{}">>, <<"{}">>}
    ].

every_named_chunk_test() ->
    Expected = [{Name, Value} || {_, Name, _, Value} <- named()],
    ?assertEqual(Expected, generic(state([{Id, Wire} || {Id, _, Wire, _} <- named()]))).

one_chunk_test_() ->
    [
        {binary_to_list(Name),
            ?_assertEqual({ok, Name, Value}, hep_generic_transform:transform(Id, Wire))}
     || {Id, Name, Wire, Value} <- named()
    ].

%% The chunks that the original library knows have one width.
wrong_width_is_left_out_test_() ->
    [
        {binary_to_list(Name), fun() -> left_out(Id, Wrong) end}
     || {Id, Name, Wire, Value} <- named(),
        not is_binary(Value),
        Id =< 15,
        Wrong <- [<<>>, binary:part(Wire, 1, byte_size(Wire) - 1), <<Wire/binary, 0>>, <<0, Wire/binary>>]
    ].

left_out(Id, Wrong) ->
    ?assertEqual(no_call, hep_generic_transform:transform(Id, Wrong)),
    ?assertEqual([], generic(state([{Id, Wrong}]))),
    Hep = #hep{version = 3, chunks = [{{0, Id}, {byte_size(Wrong), Wrong}}]},
    ?assertNot(lists:keymember(Id, 1, generic(Hep))).

%% The integers above may have any width of up to 8 bytes, if the value fits.
integers_of_any_width_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b", [Name, Width])), fun() ->
            Largest = (1 bsl min(8 * byte_size(Wire), 8 * Width)) - 1,
            Taken = <<Largest:Width/unit:8>>,
            ?assertEqual({ok, Name, Largest}, hep_generic_transform:transform(Id, Taken)),
            ?assertEqual([{Name, Largest}], generic(state([{Id, Taken}]))),
            Beyond = <<(1 bsl (8 * byte_size(Wire))):Width/unit:8>>,
            [left_out(Id, Beyond) || Width > byte_size(Wire)]
        end}
     || {Id, Name, Wire, Value} <- named(), is_integer(Value), Id > 15, Width <- lists:seq(1, 8)
    ] ++
        [
            {binary_to_list(Name), fun() -> [left_out(Id, Wrong) || Wrong <- [<<>>, <<1:72>>]] end}
         || {Id, Name, _, Value} <- named(), is_integer(Value), Id > 15
        ].

octets_of_any_width_test() ->
    [
        ?assertEqual({ok, Name, Octets}, hep_generic_transform:transform(Id, Octets))
     || {Id, Name, _, Value} <- named(),
        is_binary(Value),
        Octets <- [<<>>, <<0>>, binary:copy(<<255>>, 70000)]
    ].

unknown_chunk_is_left_out_test() ->
    Known = [Id || {Id, _, _, _} <- named()],
    Unknown = [Id || Id <- lists:seq(0, 300) ++ [65535], not lists:member(Id, Known)],
    [?assertEqual(no_call, hep_generic_transform:transform(Id, <<1>>)) || Id <- Unknown],
    ?assertEqual([], generic(state([{Id, <<1>>} || Id <- Unknown]))).

generic_module_test() ->
    ?assertEqual(0, hep_generic_transform:vendor_id()),
    ?assertEqual(<<"generic">>, hep_generic_transform:namespace()).

%%% Order

order_is_kept_and_duplicates_too_test() ->
    Chunks = [{15, <<"b">>}, {7, <<1:16>>}, {15, <<"a">>}, {1, <<2>>}, {7, <<1:16>>}],
    ?assertEqual(
        [
            {<<"payload">>, <<"b">>},
            {<<"srcPort">>, 1},
            {<<"payload">>, <<"a">>},
            {<<"ipProtocolFamily">>, 2},
            {<<"srcPort">>, 1}
        ],
        generic(state(Chunks))
    ).

no_chunks_test() ->
    ?assertEqual(
        [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, []}]}],
        hep_transform:transform(parsed(frame([])))
    ).

%%% Versions

version_1_test() ->
    Bytes = <<(hep_packets:v1(ipv4, 16))/binary, "OPTIONS">>,
    [{<<"hep">>, [{<<"version">>, 1}, {<<"generic">>, Generic}]}] =
        hep_transform:transform(parsed(Bytes)),
    ?assertMatch(
        [
            {<<"ipProtocolFamily">>, 2},
            {<<"ipProtocol">>, 17},
            {<<"srcIpAddress">>, {192, 0, 2, 1}},
            {<<"dstIpAddress">>, {192, 0, 2, 2}},
            {<<"srcPort">>, 5060},
            {<<"dstPort">>, 5080},
            {<<"timestampSeconds">>, _},
            {<<"timestampMicroseconds">>, _},
            {<<"payloadType">>, 1},
            {<<"payload">>, <<"OPTIONS">>}
        ],
        Generic
    ).

version_2_test() ->
    Bytes = hep_packets:v2(ipv6, 52, <<1383060353:32, 567123:32, 241:16, 0:16>>),
    [{<<"hep">>, [{<<"version">>, 2}, {<<"generic">>, Generic}]}] =
        hep_transform:transform(parsed(Bytes)),
    ?assertEqual(
        [
            {<<"ipProtocolFamily">>, 10},
            {<<"ipProtocol">>, 17},
            {<<"srcIpAddress">>, {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}},
            {<<"dstIpAddress">>, {16#2001, 16#db8, 0, 0, 0, 0, 0, 2}},
            {<<"srcPort">>, 5060},
            {<<"dstPort">>, 5080},
            {<<"timestampSeconds">>, 1383060353},
            {<<"timestampMicroseconds">>, 567123},
            {<<"payloadType">>, 1},
            {<<"captureAgentId">>, 241},
            {<<"payload">>, <<"OPTIONS sip:a">>}
        ],
        Generic
    ).

%%% Modules of the user's

without_a_module_vendor_chunks_are_left_out_test() ->
    [{<<"hep">>, Properties}] = hep_transform:transform(parsed(with_vendor())),
    ?assertMatch([{<<"version">>, 3}, {<<"generic">>, _}], Properties),
    ?assertEqual(Properties, hep_of([hep_deaf_transform], with_vendor()) -- [{<<"deaf">>, []}]),
    ?assertEqual(12, length(proplists:get_value(<<"generic">>, Properties))).

a_module_gets_its_vendors_chunks_test() ->
    Properties = hep_of([hep_js_transform], with_vendor()),
    ?assertMatch([{<<"version">>, 3}, {<<"generic">>, _}, {<<"hep-js">>, _}], Properties),
    ?assertEqual(
        [{<<"text">>, <<"vendor text 0">>}, {<<"number">>, 7}],
        proplists:get_value(<<"hep-js">>, Properties)
    ).

no_call_is_left_out_test() ->
    Bytes = frame([
        chunk(16#CAFE, 9, <<"x">>),
        chunk(7, 1, <<"y">>),
        chunk(16#CAFE, 2, <<1:32>>),
        chunk(16#CAFE, 2, <<1:31, 0:9>>),
        chunk(16#CAFE, 1, <<"z">>)
    ]),
    ?assertEqual(
        [
            {<<"version">>, 3},
            {<<"generic">>, []},
            {<<"deaf">>, []},
            {<<"hep-js">>, [{<<"number">>, 1}, {<<"text">>, <<"z">>}]}
        ],
        hep_of([hep_deaf_transform, hep_js_transform], Bytes)
    ).

the_first_of_two_modules_of_a_vendor_is_called_test() ->
    Text = [{<<"text">>, <<"vendor text 0">>}, {<<"number">>, 7}],
    Other = [{<<"other">>, {1, <<"vendor text 0">>}}, {<<"other">>, {2, <<7:32>>}}],
    First = hep_of([hep_js_transform, hep_js_other_transform], with_vendor()),
    Second = hep_of([hep_js_other_transform, hep_js_transform], with_vendor()),
    ?assertEqual({Text, []}, namespaces(First)),
    ?assertEqual({[], Other}, namespaces(Second)).

namespaces(Properties) ->
    {proplists:get_value(<<"hep-js">>, Properties), proplists:get_value(<<"other">>, Properties)}.

a_module_of_vendor_0_gets_the_unknown_generic_chunks_test() ->
    Known = [{<<0:16, Id:16>>, <<1>>} || Id <- [1, 13, 16#24, 16#65]],
    Unknown = [{<<0:16, Id:16>>, <<Id:16>>} || Id <- [0, 16#19, 16#2a, 16#64, 16#66, 16#ffff]],
    Mixed = {hep, 3, Known ++ Unknown ++ [{<<9:16, 16#19:16>>, <<>>}]},
    [{<<"hep">>, Properties}] = hep_transform:transform([hep_zero_transform], Mixed),
    ?assertEqual(
        [{<<"zero">>, {Id, Value}} || {<<0:16, Id:16>>, Value} <- Unknown],
        proplists:get_value(<<"zero">>, Properties)
    ),
    Hep = #hep{version = 3, chunks = [{{0, 16#19}, {1, <<7>>}}, {{0, 16#12}, {1, <<7>>}}]},
    [{<<"hep">>, Again}] = hep_transform:transform([hep_zero_transform], Hep),
    ?assertEqual([{<<"zero">>, {16#19, <<7>>}}], proplists:get_value(<<"zero">>, Again)).

a_module_of_vendor_0_does_not_get_the_known_chunks_test() ->
    Properties = hep_of([hep_zero_transform], with_vendor()),
    ?assertEqual(hep_of([], with_vendor()), Properties -- [{<<"zero">>, []}]),
    ?assertEqual(12, length(proplists:get_value(<<"generic">>, Properties))).

the_generic_module_may_be_named_test() ->
    Properties = hep_of([hep_generic_transform], with_vendor()),
    ?assertEqual(hep_of([], with_vendor()), Properties -- [{<<"generic">>, []}]).

versions_1_and_2_have_no_modules_test() ->
    Modules = [hep_js_transform, hep_zero_transform],
    V1 = parsed(<<(hep_packets:v1(ipv4, 16))/binary, "x">>),
    V2 = parsed(hep_packets:v2(ipv4, 28, <<1:32, 2:32, 3:16, 0:16>>)),
    [
        ?assertEqual(hep_transform:transform(Packet), hep_transform:transform(Modules, Packet))
     || Packet <- [V1, V2, setelement(2, state([]), 1)]
    ].

vendor_chunks_of_a_record_test() ->
    Hep = hep_packets:decoded(with_vendor()),
    [{<<"hep">>, Properties}] = hep_transform:transform([hep_js_transform], Hep),
    ?assertEqual(hep_of([hep_js_transform], with_vendor()), by_id(Properties)),
    Plain = Hep#hep{chunks = [{Key, Value} || {Key, {_, Value}} <- Hep#hep.chunks]},
    ?assertEqual(
        hep_transform:transform([hep_js_transform], Hep),
        hep_transform:transform([hep_js_transform], Plain)
    ).

%% hep-js writes the node name, chunk 19, before the payload: the only chunk out of order.
by_id(Properties) ->
    {_, Generic} = lists:keyfind(<<"generic">>, 1, Properties),
    {value, Payload, Others} = lists:keytake(<<"payload">>, 1, Generic),
    lists:keyreplace(<<"generic">>, 1, Properties, {<<"generic">>, Others ++ [Payload]}).

wrong_modules_test() ->
    State = parsed(with_vendor()),
    ?assertError(_, hep_transform:transform(hep_js_transform, State)),
    ?assertError(undef, hep_transform:transform([hep_no_such_module], State)).

%%% Packets, in one step

from_packet_test_() ->
    Others = [<<>>, <<"HEP3">>, <<"HEP3", 6:16>>, <<"HEP3", 13:16, 11:48, 7>>],
    [
        {Name, fun() -> from_packet(Bytes) end}
     || {Name, Bytes} <-
            [{hep_fixtures:file(E), hep_fixtures:bytes(E)} || E <- hep_fixtures:entries(datagram)] ++
                [{"other", Other} || Other <- Others]
    ].

%% The packet, and its truncations.
from_packet(Bytes) ->
    Sizes = lists:usort([byte_size(Bytes) | lists:seq(0, byte_size(Bytes), 7)]),
    [same_in_one_step(Cut) || Size <- Sizes, Cut <- [binary:part(Bytes, 0, Size)]].

same_in_one_step(Bytes) ->
    Modules = [[], [hep_js_transform, hep_deaf_transform]],
    case hep_multi_parser:parse(Bytes) of
        {ok, State} ->
            [
                ?assertEqual(
                    untimed(hep_transform:transform(M, State)),
                    untimed(in_one_step(hep_transform:from_packet(M, Bytes)))
                )
             || M <- Modules
            ],
            ?assertEqual(
                untimed(hep_transform:transform(State)),
                untimed(in_one_step(hep_transform:from_packet(Bytes)))
            );
        {error, invalid_packet, Bytes} = Error ->
            [?assertEqual(Error, hep_transform:from_packet(M, Bytes)) || M <- Modules],
            ?assertEqual(Error, hep_transform:from_packet(Bytes))
    end.

in_one_step({ok, Transformed}) -> Transformed.

%% The time of version 1 is that of parsing.
untimed([{<<"hep">>, [{<<"version">>, 1}, {<<"generic">>, Generic}]}]) ->
    {Times, Others} = lists:partition(
        fun({Name, _}) ->
            Name =:= <<"timestampSeconds">> orelse Name =:= <<"timestampMicroseconds">>
        end,
        Generic
    ),
    ?assertMatch([{_, S}, {_, M}] when is_integer(S) andalso is_integer(M), Times),
    Others;
untimed(Transformed) ->
    Transformed.

from_packet_every_named_chunk_test() ->
    Chunks = [chunk(Id, Wire) || {Id, _, Wire, _} <- named()],
    ?assertEqual(
        {ok, [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, [{N, V} || {_, N, _, V} <- named()]}]}]},
        hep_transform:from_packet(frame(Chunks))
    ),
    [same_in_one_step(frame([chunk(Id, <<0:Width/unit:8>>)])) || {Id, _, _, _} <- named(), Width <- lists:seq(0, 17)].

from_packet_large_test_() ->
    Frames = [
        frame([chunk(11, <<N>>) || N <- lists:seq(1, Count)])
     || Count <- [1999, 2000, 2001, (65535 - 6) div 7]
    ],
    Behind = binary:copy(<<0>>, 70000),
    [
        {timeout, 30, fun() -> same_in_one_step(Bytes) end}
     || Frame <- Frames, Bytes <- [Frame, <<Frame/binary, Behind/binary>>]
    ].

from_packet_of_other_terms_test() ->
    [
        begin
            ?assertEqual({error, invalid_packet, Term}, hep_transform:from_packet(Term)),
            ?assertEqual({error, invalid_packet, Term}, hep_transform:from_packet([], Term)),
            ?assertEqual({error, invalid_packet, Term}, hep_transform:from_packet([hep_js_transform], Term))
        end
     || Term <- [undefined, [], "HEP3", {hep, 3, []}, 3, <<1:7>>]
    ],
    [
        ?assertError(badarg, hep_transform:from_packet(Modules, Packet))
     || Modules <- [undefined, hep_js_transform, #{}, [hep_js_transform | x]], Packet <- [<<>>, frame([])]
    ].

%%% Records

%% Every fixture whose packet has each field once, in the usual encoding, in any order.
record_equals_sorted_packet_test_() ->
    Plain = [Entry || Entry <- hep_fixtures:entries(datagram), is_plain(Entry)],
    [
        ?_assert(length(Plain) >= 326)
        | [{hep_fixtures:file(Entry), fun() -> record(Entry) end} || Entry <- Plain]
    ].

record(Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    {hep, Version, Chunks} = parsed(Bytes),
    Hep = still(hep_packets:decoded(Bytes), Chunks),
    ?assertEqual(
        hep_transform:transform({hep, Version, lists:keysort(1, Chunks)}),
        hep_transform:transform(Hep)
    ).

%% The time of decoding is that of parsing.
still(#hep{version = 1} = Hep, Chunks) ->
    {_, <<Seconds:32>>} = lists:keyfind(<<0:16, 9:16>>, 1, Chunks),
    {_, <<Micros:32>>} = lists:keyfind(<<0:16, 10:16>>, 1, Chunks),
    Hep#hep{timestamp = {Seconds div 1000000, Seconds rem 1000000, Micros}};
still(Hep, _Chunks) ->
    Hep.

%% The other rules change a value; and fields missing in the packet still have a default in the record.
is_plain(#{<<"decode">> := _, <<"parse">> := Chunks} = Entry) ->
    Rules = ["Q4", "Q5", "Q7", "Q8", "Q10", "empty", "duplicates", "payload-order", "time"],
    Ids = [Id || [0, Id, _] <- Chunks],
    not lists:any(fun(Rule) -> hep_fixtures:has_rule(Rule, Entry) end, Rules) andalso
        lists:usort(Ids) =:= lists:sort(Ids) andalso
        [1, 11, 15] -- Ids =:= [] andalso
        family_agrees(Entry);
is_plain(_) ->
    false.

%% The record's family follows the addresses.
family_agrees(#{<<"decode">> := #{<<"family">> := null}}) ->
    false;
family_agrees(#{<<"decode">> := #{<<"family">> := Family}, <<"parse">> := Chunks}) ->
    [binary:decode_hex(Value) || [0, 1, Value] <- Chunks] =:= [<<Family>>].

record_without_fields_test() ->
    ?assertEqual(
        [{<<"payloadType">>, 1}, {<<"payload">>, <<>>}],
        generic(hep:new())
    ).

record_in_order_of_ids_test() ->
    Chunks = [{{0, 40}, <<1:16>>}, {{0, 14}, {1, <<"k">>}}, {{9, 1}, <<"v">>}, {{0, 13}, <<9:16>>}],
    Hep = (hep:new())#hep{protocol = 300, dst_ip = {1, 2, 3, 4}, node_id = 5, chunks = Chunks},
    ?assertEqual(
        [
            {<<"ipProtocol">>, 300},
            {<<"dstIpAddress">>, {1, 2, 3, 4}},
            {<<"payloadType">>, 1},
            {<<"captureAgentId">>, 5},
            {<<"keepAliveSeconds">>, 9},
            {<<"authenticateKey">>, <<"k">>},
            {<<"payload">>, <<>>},
            {<<"eventType">>, 1}
        ],
        generic(Hep)
    ).

record_of_mixed_addresses_test() ->
    Hep = (hep:new())#hep{src_ip = {0, 0, 0, 0, 0, 0, 0, 1}, dst_ip = {1, 2, 3, 4}},
    ?assertEqual(
        [{<<"dstIpAddress">>, {1, 2, 3, 4}}, {<<"srcIpAddress">>, {0, 0, 0, 0, 0, 0, 0, 1}}],
        lists:sublist(generic(Hep), 2)
    ).

%%% Helpers

with_vendor() ->
    hep_fixtures:bytes(?WITH_VENDOR).

parsed(Bytes) ->
    {ok, State} = hep_multi_parser:parse(Bytes),
    State.

hep_of(Modules, Bytes) ->
    [{<<"hep">>, Properties}] = hep_transform:transform(Modules, parsed(Bytes)),
    Properties.
