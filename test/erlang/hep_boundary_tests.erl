%% @doc The boundaries of the protocol's rules, with the values next to them.
-module(hep_boundary_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1, frame/2, v1/2, v2/3]).

%%% The frame of version 3

total_length_test_() ->
    Trailing = binary:copy(<<0>>, 20),
    [
        {lists:flatten(io_lib:format("~b, ~b bytes behind", [Total, byte_size(Behind)])),
            ?_assertEqual(Expected, decoded(frame(Total, Behind)))}
     || {Total, Behind, Expected} <- [
            {0, <<>>, {error, {invalid_total_length, 0}}},
            {5, <<>>, {error, {invalid_total_length, 5}}},
            {5, Trailing, {error, {invalid_total_length, 5}}},
            {6, <<>>, ok},
            {6, Trailing, ok},
            {7, <<>>, {error, {truncated, 6}}},
            {7, <<0>>, {error, {truncated_chunk, 6}}},
            {7, Trailing, {error, {truncated_chunk, 6}}},
            {11, Trailing, {error, {truncated_chunk, 6}}},
            {12, <<9:16, 9:16, 6:16>>, ok},
            {65535, Trailing, {error, {truncated, 26}}}
        ]
    ].

largest_frame_test_() ->
    Value = binary:copy(<<"x">>, 65535 - 12),
    Whole = frame(chunk(15, Value)),
    [
        {integer_to_list(byte_size(Bytes)),
            ?_assertEqual({65535, {ok, Value}}, {byte_size(Whole), payload(Bytes)})}
     || Bytes <- [Whole, <<Whole/binary, 0>>, <<Whole/binary, Whole/binary>>]
    ] ++
        [
            ?_assertEqual(
                {error, {truncated, 65534}}, hep_answers:check(binary:part(Whole, 0, 65534))
            )
        ].

largest_fixed_packet_test() ->
    Payload = binary:copy(<<"x">>, 65535),
    ?assertEqual({ok, Payload}, payload(<<(v1(ipv4, 16))/binary, Payload/binary>>)),
    ?assertEqual({ok, Payload}, payload(hep_packets:v2(ipv6, 52, <<0:96>>, Payload))).

chunk_length_test_() ->
    [
        {lists:flatten(io_lib:format("~b, vendor ~b", [Length, Vendor])),
            ?_assertEqual(Expected, decoded(frame(<<Vendor:16, 15:16, Length:16, Value/binary>>)))}
     || Vendor <- [0, 9],
        {Length, Value, Expected} <- [
            {0, <<>>, {error, {invalid_chunk_length, 6, 0}}},
            {5, <<>>, {error, {invalid_chunk_length, 6, 5}}},
            {5, <<"x">>, {error, {invalid_chunk_length, 6, 5}}},
            {6, <<>>, ok},
            {7, <<>>, {error, {invalid_chunk_length, 6, 7}}},
            {7, <<"x">>, ok},
            {8, <<"x">>, {error, {invalid_chunk_length, 6, 8}}},
            {6, <<"x">>, {error, {truncated_chunk, 12}}},
            {65535, <<"x">>, {error, {invalid_chunk_length, 6, 65535}}}
        ]
    ].

%% A chunk must not extend into the bytes after the total length.
chunk_beyond_the_total_length_test() ->
    ?assertEqual(
        {error, {invalid_chunk_length, 6, 8}}, decoded(frame(13, <<0:16, 15:16, 8:16, "xy">>))
    ).

both_magics_test() ->
    <<"HEP3", Rest/binary>> = Hep = frame(chunk(15, <<"x">>)),
    ?assertEqual(hep:decode(Hep), hep_answers:check(<<"EEP3", Rest/binary>>)),
    ?assertEqual(hep_multi_parser:parse(Hep), hep_multi_parser:parse(<<"EEP3", Rest/binary>>)),
    [
        ?assertEqual({error, not_hep}, hep_answers:check(<<Other/binary, Rest/binary>>))
     || Other <- [<<"HEP2">>, <<"HEP4">>, <<"GEP3">>, <<"IEP3">>, <<"DEP3">>, <<"hep3">>]
    ].

%%% Widths of version 3's chunks

%% Every chunk of the registry with an integer or an address: its width, and the decoded field.
widths() ->
    [
        {protocol_family, 1, fun(<<10>>, H) -> 10 = H#hep.protocol_family end, <<10>>},
        {protocol, 1, fun(<<N>>, H) -> N = H#hep.protocol end, <<132>>},
        {ipv4_source, 4, fun(V, H) -> V = ip(H#hep.src_ip) end, <<192, 0, 2, 255>>},
        {ipv4_destination, 4, fun(V, H) -> V = ip(H#hep.dst_ip) end, <<0, 1, 2, 255>>},
        {ipv6_source, 16, fun(V, H) -> V = ip(H#hep.src_ip) end, <<16#20010db8:32, 255:96>>},
        {ipv6_destination, 16, fun(V, H) -> V = ip(H#hep.dst_ip) end, <<16#ff:8, 254:120>>},
        {source_port, 2, fun(<<N:16>>, H) -> N = H#hep.src_port end, <<65535:16>>},
        {destination_port, 2, fun(<<N:16>>, H) -> N = H#hep.dst_port end, <<1:16>>},
        {seconds, 4, fun(<<N:32>>, H) -> N = hep_util:timestamp_secs(H#hep.timestamp) end,
            <<16#ffffffff:32>>},
        {microseconds, 4, fun(<<N:32>>, H) -> {0, 0, N} = H#hep.timestamp end, <<999999:32>>},
        {payload_type, 1, fun(<<N>>, H) -> N = H#hep.payload_type end, <<255>>},
        {capture_id, 4, fun(<<N:32>>, H) -> N = H#hep.node_id end, <<16#ffffffff:32>>}
        | [
            {Name, Width, fun(V, H) -> V = hep:chunk(0, hep_registry:chunk_id(Name), H) end,
                binary:copy(<<7>>, Width)}
         || {Name, Width} <- [
                {keep_alive, 2},
                {vlan_id, 2},
                {source_mac, 8},
                {destination_mac, 8},
                {ethernet_type, 2},
                {tcp_flags, 1},
                {ip_tos, 1},
                {mos_value, 2},
                {r_factor, 2},
                {jitter, 4},
                {tag_type, 2},
                {event_type, 2}
            ]
        ]
    ].

octets() ->
    [
        auth_key, payload, correlation_id, node_name, geo_location, transaction_type,
        payload_json_keys, tags_values, group_id, correlations
    ].

every_chunk_of_the_registry_is_tested_test() ->
    Tested = [compressed_payload | octets()] ++ [Name || {Name, _, _, _} <- widths()],
    ?assertEqual(
        hep_packets:named_ids(), lists:sort([hep_registry:chunk_id(Name) || Name <- Tested])
    ).

right_width_test_() ->
    [
        {atom_to_list(Name), fun() ->
            {ok, Hep} = hep_answers:check(frame(chunk(hep_registry:chunk_id(Name), Value))),
            ?assertEqual(Width, byte_size(Value)),
            Fact(Value, Hep)
        end}
     || {Name, Width, Fact, Value} <- widths()
    ].

wrong_width_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b", [Name, Wrong])), fun() ->
            Id = hep_registry:chunk_id(Name),
            Value = binary:copy(<<9>>, Wrong),
            ?assertEqual(wrong_width(Name, Wrong, Value, Id), decoded(frame(chunk(Id, Value))))
        end}
     || {Name, Width, _, _} <- widths(),
        Wrong <- lists:usort([0, 1, 2, 3, 4, 15, 16, Width - 1, Width + 1, 2 * Width, 300]),
        Wrong =/= Width
    ].

%% Empty chunks are absent; chunks without a field have any width; Q4: a protocol of two bytes; Q6: a port in place of
%% an IPv6 address.
wrong_width(_, 0, _, _) -> ok;
wrong_width(protocol, 2, _, _) -> ok;
wrong_width(ipv6_source, 2, _, _) -> ok;
wrong_width(ipv6_destination, 2, _, _) -> ok;
wrong_width(_, _, _, Id) when Id > 12 -> ok;
wrong_width(_, Wrong, Value, Id) -> {error, {invalid_chunk, 0, Id, Wrong, Value}}.

%% Chunks of a vendor with the same ids have any width.
vendors_chunks_have_any_width_test() ->
    Ids = [hep_registry:chunk_id(Name) || {Name, _, _, _} <- widths()],
    Chunks = [{Id, binary:copy(<<9>>, W)} || Id <- [16 | Ids], W <- [0, 1, 2, 3, 4, 5, 8, 16, 17]],
    {ok, Hep} = hep_answers:check(frame([chunk(9, Id, Value) || {Id, Value} <- Chunks])),
    ?assertEqual([{{9, Id}, {byte_size(V), V}} || {Id, V} <- Chunks], Hep#hep.chunks),
    ?assertEqual(
        #hep{version = 3, chunks = Hep#hep.chunks, payload_type = 1, payload = <<>>}, Hep
    ).

empty_chunk_is_absent_test_() ->
    [
        {atom_to_list(Name),
            ?_assertEqual(
                {ok, hep:new()}, hep_answers:check(frame(chunk(hep_registry:chunk_id(Name), <<>>)))
            )}
     || Name <- [compressed_payload | octets()] ++ [Name || {Name, _, _, _} <- widths()]
    ].

%% An empty chunk does not remove the value of an earlier one.
empty_chunk_after_another_test_() ->
    [
        {atom_to_list(Name), fun() ->
            Id = hep_registry:chunk_id(Name),
            {ok, Alone} = hep_answers:check(frame(chunk(Id, Value))),
            [
                ?assertEqual({ok, Alone}, hep_answers:check(frame(Chunks)))
             || Chunks <- [
                    [chunk(Id, Value), chunk(Id, <<>>)],
                    [chunk(Id, <<>>), chunk(Id, Value)]
                ]
            ]
        end}
     || {Name, _, _, Value} <- widths()
    ].

octets_of_any_width_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b", [Name, Width])), fun() ->
            Id = hep_registry:chunk_id(Name),
            Value = binary:copy(<<255>>, Width),
            {ok, Hep} = hep_answers:check(frame(chunk(Id, Value))),
            ?assertEqual(Value, case Name of
                payload -> Hep#hep.payload;
                _ -> hep:chunk(0, Id, Hep)
            end)
        end}
     || Name <- octets(), Width <- [1, 2, 3, 64, 65, 65535 - 12]
    ].

unknown_generic_chunks_are_kept_test() ->
    Unknown = (lists:seq(0, 200) ++ [65535]) -- hep_packets:named_ids(),
    Chunks = [{Id, binary:copy(<<9>>, W)} || Id <- Unknown, W <- [0, 1, 5]],
    {ok, Hep} = hep_answers:check(frame([chunk(Id, Value) || {Id, Value} <- Chunks])),
    ?assertEqual([{{0, Id}, {byte_size(V), V}} || {Id, V} <- Chunks], Hep#hep.chunks).

ip(Address) when tuple_size(Address) =:= 4 -> list_to_binary(tuple_to_list(Address));
ip(Address) -> << <<Segment:16>> || Segment <- tuple_to_list(Address) >>.

%%% Families and addresses of version 3

family_of_a_packet_without_addresses_test() ->
    [
        ?assertEqual({Number, family(Number)}, {Number, stated(Number)})
     || Number <- lists:seq(0, 255)
    ].

family(2) -> {ok, 2};
family(10) -> {ok, 10};
family(Foreign) when Foreign =:= 23; Foreign =:= 24; Foreign =:= 26 -> {ok, 10};
family(Foreign) when Foreign =:= 28; Foreign =:= 30 -> {ok, 10};
family(0) -> {ok, undefined};
family(Number) -> {error, {invalid_chunk, 0, 1, 1, <<Number>>}}.

stated(Number) ->
    case hep_answers:check(frame(chunk(1, <<Number>>))) of
        {ok, Hep} -> {ok, Hep#hep.protocol_family};
        Error -> Error
    end.

family_follows_the_addresses_test_() ->
    V4 = [chunk(3, <<192, 0, 2, 1>>), chunk(4, <<192, 0, 2, 2>>)],
    V6 = [chunk(5, <<1:128>>), chunk(6, <<2:128>>)],
    [
        ?_assertMatch({ok, #hep{protocol_family = Family}}, hep_answers:check(frame(Chunks)))
     || {Family, Addresses} <- [{2, V4}, {10, V6}, {2, [hd(V4)]}, {10, tl(V6)}],
        Number <- [0, 2, 10, 30, 99, 255],
        Chunks <- [[chunk(1, <<Number>>), Addresses], [Addresses, chunk(1, <<Number>>)], Addresses]
    ].

%% Q5: of the 16-byte values, IPv4-mapped addresses only.
mapped_address_test_() ->
    [
        {lists:flatten(io_lib:format("~b ~p", [Id, Value])),
            ?_assertEqual(Expected, decoded(frame(chunk(Id, Value))))}
     || Id <- [3, 4],
        {Value, Wanted} <- [
            {<<0:80, 16#ffff:16, 192, 0, 2, 1>>, ok},
            {<<0:80, 16#fffe:16, 192, 0, 2, 1>>, error},
            {<<1:80, 16#ffff:16, 192, 0, 2, 1>>, error},
            {<<0:96, 192, 0, 2, 1>>, error}
        ],
        Expected <- [
            case Wanted of
                ok -> ok;
                error -> {error, {invalid_chunk, 0, Id, 16, Value}}
            end
        ]
    ].

%%% Times

%% Q7: swapped if the microseconds are then less than a second, otherwise unchanged.
timestamp_of_version_3_test_() ->
    [
        {lists:flatten(io_lib:format("~.16b", [Micros])), fun() ->
            Bytes = frame([chunk(9, <<1383060353:32>>), chunk(10, <<Micros:32>>)]),
            {ok, Hep} = hep_answers:check(Bytes),
            ?assertEqual(Expected, Hep#hep.timestamp)
        end}
     || {Micros, Expected} <- [
            {0, {1383, 60353, 0}},
            {999999, {1383, 60353, 999999}},
            {1000000, {1383, 60353, 1000000}},
            {1000001, {1383, 60353, 1000001}},
            {swap(999999), swapped(999999)},
            {swap(1000000), {1383, 60353, swap(1000000)}},
            {swap(0), {1383, 60353, 0}},
            {swap(1), swapped(1)},
            %% Both readings are less than a second: unchanged.
            {swap(256), {1383, 60353, swap(256)}},
            {16#ffffffff, {1383, 60353, 16#ffffffff}}
        ]
    ].

swapped(Micros) ->
    Seconds = swap(1383060353),
    {Seconds div 1000000, Seconds rem 1000000, Micros}.

half_a_timestamp_test() ->
    ?assertMatch({ok, #hep{timestamp = {0, 7, 0}}}, hep_answers:check(frame(chunk(9, <<7:32>>)))),
    ?assertMatch({ok, #hep{timestamp = {0, 0, 7}}}, hep_answers:check(frame(chunk(10, <<7:32>>)))),
    ?assertMatch({ok, #hep{timestamp = undefined}}, hep_answers:check(frame([]))).

%% The same bytes in both orders: the clock does not decide.
-define(SECONDS, 16#65535365).

%% Q2: the reading with less than a second of microseconds; otherwise the header decides.
order_of_version_2_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b ~.16b", [Family, Length, Micros])), fun() ->
            Bytes = v2(Family, Length, <<?SECONDS:32, Micros:32, 2:16, 0:16>>),
            {ok, Hep} = hep_answers:check(Bytes),
            ?assertEqual(time(Expected, Micros), {Hep#hep.timestamp, Hep#hep.node_id}),
            {ok, Big} = hep:decode(Bytes, #{v2_order => big}),
            ?assertEqual(time(big, Micros), {Big#hep.timestamp, Big#hep.node_id}),
            {ok, Little} = hep:decode(Bytes, #{v2_order => little}),
            ?assertEqual(time(little, Micros), {Little#hep.timestamp, Little#hep.node_id})
        end}
     || {Family, Documented, Short} <- [{ipv4, 28, 16}, {ipv6, 52, 40}],
        {Length, Form} <- [{Documented, big}, {Short, little}],
        {Micros, Expected} <- [
            {999999, big},
            {swap(999999), little},
            {1000000, Form},
            {swap(1000000), Form},
            {0, Form},
            {16#ffffffff, Form},
            %% Less than a second in both readings.
            {16#00010100, Form},
            {1, big},
            {swap(1), little}
        ]
    ].

%% Q2: with less than a second of microseconds in both readings, the seconds nearer to the clock decide.
clock_of_version_2_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b ~s ~b", [Family, Length, Order, Micros])), fun() ->
            Bytes = v2(Family, Length, written(Order, 1_700_000_000, Micros, 200)),
            {ok, #hep{timestamp = Timestamp, node_id = Id}} = hep_answers:check(Bytes),
            ?assertEqual({{1700, 0, Micros}, 200}, {Timestamp, Id}),
            {ok, State} = hep_multi_parser:parse(Bytes),
            ?assertEqual({ok, <<1_700_000_000:32>>}, hep:get_chunk(0, 9, State)),
            ?assertEqual({ok, <<Micros:32>>}, hep:get_chunk(0, 10, State)),
            ?assertEqual({ok, <<200:32>>}, hep:get_chunk(0, 12, State))
        end}
     || {Family, Lengths} <- [{ipv4, [28, 16]}, {ipv6, [52, 40]}],
        Length <- Lengths,
        Order <- [big, little],
        Micros <- [0, 768, 65536]
    ].

written(big, Seconds, Micros, Id) -> <<Seconds:32, Micros:32, Id:16, 0:16>>;
written(little, Seconds, Micros, Id) -> <<Seconds:32/little, Micros:32/little, Id:16/little, 0:16>>.

time(big, Micros) ->
    {{?SECONDS div 1000000, ?SECONDS rem 1000000, Micros}, 2};
time(little, Micros) ->
    Seconds = swap(?SECONDS),
    {{Seconds div 1000000, Seconds rem 1000000, swap(Micros)}, 2 bsl 8}.

swap(Number) ->
    <<Swapped:32/little>> = <<Number:32/big>>,
    Swapped.

%%% Header lengths of versions 1 and 2

header_length_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b ~s", [Version, Family])), fun() ->
            [
                begin
                    Bytes = fixed(Version, Family, Length),
                    Expected =
                        case lists:member(Length, Accepted) of
                            true -> ok;
                            false -> {error, {invalid_header_length, Length}}
                        end,
                    ?assertEqual({Length, Expected}, {Length, decoded(Bytes)}),
                    ?assertMatch({ok, _}, hep:decode(Bytes, #{header_length => ignore}))
                end
             || Length <- lists:seq(0, 255)
            ]
        end}
     || {Version, Family, Accepted} <- [
            {1, ipv4, [16]},
            {1, ipv6, [40]},
            %% 0 is the high byte of the length, as sngrep writes it.
            {2, ipv4, [0, 16, 28]},
            {2, ipv6, [0, 40, 52]}
        ]
    ].

fixed(1, Family, Length) -> v1(Family, Length);
fixed(2, Family, Length) -> v2(Family, Length, <<0:96>>).

%% sngrep writes the high byte of the datagram's length.
sngreps_header_length_test_() ->
    [
        {lists:flatten(io_lib:format("~s, ~b bytes", [Family, Size])), fun() ->
            Payload = binary:copy(<<"x">>, Size - Header),
            High = Size bsr 8,
            Accepted = [High rem 256, Documented, Short],
            [
                ?assertEqual(
                    {Length, lists:member(Length, Accepted)},
                    {Length, decoded(hep_packets:v2(Family, Length, <<0:96>>, Payload)) =:= ok}
                )
             || Length <- lists:usort([0, 1, 2, 255] ++ [High rem 256 + I || I <- [0, 1]]),
                Length < 256
            ]
        end}
     || {Family, Header, Documented, Short} <- [{ipv4, 28, 28, 16}, {ipv6, 52, 52, 40}],
        Size <- [255, 256, 257, 511, 512, 513, 65279, 65280, 65535]
    ].

header_size_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b ~s", [Version, Family])), fun() ->
            Bytes = <<(fixed(Version, Family, Size))/binary, "xx">>,
            <<Header:Size/binary, _/binary>> = Bytes,
            Short = binary:part(Bytes, 0, Size - 1),
            ?assertEqual({error, {truncated, Size - 1}}, decoded(Short)),
            ?assertEqual({ok, <<>>}, payload(Header)),
            ?assertMatch({ok, <<_>>}, payload(binary:part(Bytes, 0, Size + 1)))
        end}
     || {Version, Family, Size} <- [{1, ipv4, 16}, {1, ipv6, 40}, {2, ipv4, 28}, {2, ipv6, 52}]
    ].

%% Q3: the numbers of other systems, only with the header lengths of IPv6.
family_of_a_header_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b, length ~b", [Version, Length])), fun() ->
            [
                begin
                    <<Before:2/binary, _, After/binary>> = fixed(Version, ipv6, Length),
                    Bytes = <<Before/binary, Number, After/binary>>,
                    ?assertEqual({Number, Expected(Number)}, {Number, decoded(Bytes)})
                end
             || Number <- lists:seq(0, 255), Number =/= 2
            ]
        end}
     || {Version, Length, Expected} <- [
            {1, 40, fun(N) -> of_header(N, ok) end},
            {2, 40, fun(N) -> of_header(N, ok) end},
            {2, 52, fun(N) -> of_header(N, ok) end},
            {1, 41, fun(N) -> of_header(N, {invalid_header_length, 41}) end},
            {2, 39, fun(N) -> of_header(N, {invalid_header_length, 39}) end}
        ]
    ].

of_header(10, Reason) when Reason =/= ok ->
    {error, Reason};
of_header(Number, Reason) ->
    case {family(Number), Reason} of
        {{ok, 10}, ok} -> ok;
        _ -> {error, {unknown_protocol_family, Number}}
    end.

%% Q10: 8 or 32 NUL bytes after a text, or alone.
padding_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~p", [Family, Payload])), fun() ->
            Fixed = <<(v1(Family, Length))/binary, Payload/binary>>,
            ?assertEqual({ok, Expected}, payload(Fixed)),
            V2 = hep_packets:v2(Family, Length, <<0:96>>, Payload),
            ?assertEqual({ok, Expected}, payload(V2)),
            {ok, State} = hep_multi_parser:parse(Fixed),
            ?assertEqual({ok, Payload}, hep:get_chunk(0, 15, State))
        end}
     || {Family, Length, N} <- [{ipv4, 16, 8}, {ipv6, 40, 32}],
        {Payload, Expected} <- [
            {<<"x", 0:N/unit:8>>, <<"x">>},
            {<<"OPTIONS\r\n\r\n", 0:N/unit:8>>, <<"OPTIONS\r\n\r\n">>},
            {<<"x", 0:(N - 1)/unit:8>>, <<"x", 0:(N - 1)/unit:8>>},
            {<<"x", 0:(N + 1)/unit:8>>, <<"x", 0:(N + 1)/unit:8>>},
            {<<0:N/unit:8>>, <<>>},
            {<<0:(N - 1)/unit:8>>, <<0:(N - 1)/unit:8>>},
            {<<0:(N + 1)/unit:8>>, <<0:(N + 1)/unit:8>>},
            {<<0, "x", 0:N/unit:8>>, <<0, "x", 0:N/unit:8>>},
            {<<"x", 0:N/unit:8, "y">>, <<"x", 0:N/unit:8, "y">>}
        ]
    ].

%%% Capture ids

%% Q9
shifted_capture_id_test_() ->
    [
        {lists:flatten(io_lib:format("~.16b", [Id])), fun() ->
            Bytes = frame(chunk(12, <<Id:32>>)),
            {ok, Kept} = hep_answers:check(Bytes),
            {ok, Repair} = hep:decode(Bytes, #{capture_id => repair}),
            ?assertEqual({Id, Repaired}, {Kept#hep.node_id, Repair#hep.node_id})
        end}
     || {Id, Repaired} <- [
            {0, 0},
            {1, 1},
            {16#ffff, 16#ffff},
            {16#10000, 1},
            {16#10001, 16#10001},
            {16#07d20000, 2002},
            {16#18000, 16#18000},
            {16#ffff0000, 16#ffff},
            {16#ffffffff, 16#ffffffff}
        ]
    ].

%%% Compressed payloads

max_inflated_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~b", [Name, Size])), fun() ->
            Payload = binary:copy(<<"abc">>, Size div 3 + 1),
            Text = binary:part(Payload, 0, Size),
            Value = Compress(Text),
            Bytes = frame(chunk(16, Value)),
            Broken = {error, {invalid_chunk, 0, 16, byte_size(Value), Value}},
            [?assertEqual(Broken, hep:decode(Bytes, #{max_inflated => Size - 1})) || Size > 0],
            [
                ?assertMatch({ok, #hep{payload = Text}}, hep:decode(Bytes, #{max_inflated => Max}))
             || Max <- [Size, Size + 1, Size + 100000]
            ]
        end}
     || {Name, Compress} <- compressions(),
        Size <- [0, 1, 2, 100, 16383, 16384, 16385, 100000]
    ].

default_max_inflated_test_() ->
    Default = 256 * 1024,
    [
        {atom_to_list(Name), fun() ->
            Payload = binary:copy(<<0>>, Default),
            ?assertEqual({ok, Payload}, payload(frame(chunk(16, Compress(Payload))))),
            Above = Compress(<<Payload/binary, 0>>),
            ?assertEqual(
                {error, {invalid_chunk, 0, 16, byte_size(Above), Above}},
                decoded(frame(chunk(16, Above)))
            )
        end}
     || {Name, Compress} <- compressions()
    ].

%% All limits of the type hep:options() are valid.
largest_max_inflated_test_() ->
    Bytes = frame(chunk(16, zlib:compress(<<"hello">>))),
    [
        {lists:flatten(io_lib:format("~p", [Max])),
            ?_assertMatch(
                {ok, #hep{payload = <<"hello">>}}, hep:decode(Bytes, #{max_inflated => Max})
            )}
     || Max <- [1 bsl 32, 1 bsl 63, (1 bsl 64) - 2, (1 bsl 64) - 1]
    ].

%% The last one of the chunks 0x0f and 0x10 is the payload.
last_payload_wins_test() ->
    Plain = chunk(15, <<"plain">>),
    Compressed = chunk(16, zlib:compress(<<"compressed">>)),
    ?assertEqual({ok, <<"compressed">>}, payload(frame([Plain, Compressed]))),
    ?assertEqual({ok, <<"plain">>}, payload(frame([Compressed, Plain]))),
    ?assertEqual({ok, <<"plain">>}, payload(frame([Plain, chunk(16, <<>>)]))),
    ?assertEqual({ok, <<"compressed">>}, payload(frame([Compressed, chunk(15, <<>>)]))),
    ?assertEqual({ok, <<"plain">>}, payload(frame([chunk(16, <<"broken">>), Plain]))).

compressions() ->
    [{zlib, fun zlib:compress/1}, {gzip, fun zlib:gzip/1}, {raw, fun zlib:zip/1}].

%%% Helpers

%% Returns `ok' or the error.
decoded(Bytes) ->
    case hep_answers:check(Bytes) of
        {ok, _} -> ok;
        Error -> Error
    end.

payload(Bytes) ->
    {ok, #hep{payload = Payload}} = hep_answers:check(Bytes),
    {ok, Payload}.
