%% @doc Encoding: all errors and their descriptions, and the size limits.
-module(hep_encode_error_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_encoding, [
    bytes/1, encoded/1, encoded/2, encoder/1, hep/1, ipv6/1, is_refused/2, is_sentence/2,
    left_out/1, refused/2, refused/3, second_generation/1, second_generation/2, set/3
]).

-define(LIMIT, 65535).

%% The size of the header of {@link hep_encoding:hep/1} in version 3: everything before the payload.
-define(HEADER, 99).

%%% Errors

%% Fields, and values that are invalid in every version.
wrong_values() ->
    [
        {version, [undefined, 0, 4, -1, 3.0, <<3>>, "3", hep_v4, foo, {3}]},
        {protocol, [-1, 65536, 1 bsl 64, 17.0, udp, <<17>>]},
        {payload_type, [undefined, -1, 256, 1 bsl 64, 1.0, foo, ipv4, <<"sip">>]},
        {src_ip, wrong_addresses()},
        {dst_ip, wrong_addresses()},
        {src_port, [-1, 65536, 70000, 1 bsl 64, 5060.0, sip, "5060"]},
        {dst_port, [-1, 65536, 70000, 1 bsl 64, 5060.0, sip, "5060"]},
        {timestamp, [
            {4294, 967296, 0}, {4295, 0, 0}, {1 bsl 64, 0, 0}, {0, 1 bsl 64, 0}, {0, 0, 1 bsl 32},
            {0, 0, 1 bsl 64}, {-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {1, 2}, {1, 2, 3, 4}, {a, 0, 0},
            {0, 0, 0.5}, 1700000000, now, <<"now">>
        ]},
        {node_id, [-1, 1 bsl 32, 1 bsl 64, 1.0, foo, <<1:32>>]},
        {payload, [undefined, text, "text", [<<"text">>], <<1:3>>, <<"text", 1:7>>, {4, <<"text">>}, 1]},
        {chunks, [undefined, foo, <<>>, #{}, {}, 1]}
    ].

wrong_addresses() ->
    [
        {1, 2, 3}, {1, 2, 3, 256}, {1, 2, 3, -1}, {1, 2, 3, a}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 6, 7},
        {1, 2, 3, 4, 5, 6, 7, 65536}, {1, 2, 3, 4, 5, 6, 7, -1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {},
        <<192, 0, 2, 1>>, "192.0.2.1", [192, 0, 2, 1], localhost, 1
    ].

wrong_value_test_() ->
    [
        refused(set(Field, Value, hep(Version)), {invalid_field, Field, Value})
     || Version <- [1, 2, 3],
        {Field, Values} <- wrong_values(),
        Value <- Values
    ].

unknown_family_test_() ->
    [
        refused(set(protocol_family, Family, hep(Version)), {unknown_protocol_family, Family})
     || Version <- [1, 2, 3],
        Family <- [0, 1, 3, 9, 11, 23, 30, 99, 255, 256, -1, 1 bsl 64, 2.0, ipv5, inet, <<2>>, "2", {2}]
    ].

%% An address of another family than that of the record, or, if the record has none, than the other address.
wrong_family_test_() ->
    [
        refused(Hep, {invalid_field, Field, Value})
     || Version <- [1, 2, 3],
        V4 <- [hep(Version)],
        V6 <- [ipv6(V4)],
        {Hep, Field, Value} <- [
            {V4#hep{protocol_family = 10}, src_ip, V4#hep.src_ip},
            {V6#hep{protocol_family = 2}, src_ip, V6#hep.src_ip},
            {V4#hep{src_ip = V6#hep.src_ip}, src_ip, V6#hep.src_ip},
            {V4#hep{protocol_family = 10, dst_ip = V6#hep.dst_ip}, src_ip, V4#hep.src_ip},
            {V4#hep{protocol_family = undefined, dst_ip = V6#hep.dst_ip}, dst_ip, V6#hep.dst_ip},
            {V6#hep{protocol_family = undefined, dst_ip = V4#hep.dst_ip}, dst_ip, V4#hep.dst_ip},
            {V4#hep{src_ip = undefined, dst_ip = V6#hep.dst_ip}, dst_ip, V6#hep.dst_ip}
        ]
    ] ++
        [
            refused(Hep#hep{dst_ip = Other#hep.dst_ip}, {invalid_field, dst_ip, Other#hep.dst_ip})
         || Version <- [1, 2],
            {Hep, Other} <- [{hep(Version), ipv6(hep(Version))}, {ipv6(hep(Version)), hep(Version)}]
        ].

%% Version 3 with the family of the source, as decoded: each address has its own chunk.
two_families_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Ids])), fun() ->
            Bytes = encoded(Hep),
            {ok, State} = hep_multi_parser:parse(Bytes),
            ?assertEqual(Ids, [Id || {<<0:16, Id:16>>, _} <- hep:get_chunks(State), Id >= 3, Id =< 6]),
            ?assertEqual({ok, <<Family>>}, hep:get_chunk(0, 1, State)),
            ?assertEqual(Hep, hep_packets:decoded(Bytes)),
            ?assertEqual(Bytes, second_generation(Hep))
        end}
     || {Hep, Family, Ids} <- [
            {(hep(3))#hep{dst_ip = (ipv6(hep(3)))#hep.dst_ip}, 2, [3, 6]},
            {(ipv6(hep(3)))#hep{dst_ip = (hep(3))#hep.dst_ip}, 10, [4, 5]}
        ]
    ].

missing_field_test_() ->
    Needed = [protocol, src_ip, src_port, dst_ip, dst_port],
    [
        refused(set(Field, undefined, Hep), {missing_field, Field})
     || Version <- [1, 2],
        Field <- Needed,
        Hep <- [hep(Version), ipv6(hep(Version))]
    ] ++
        [refused(#hep{version = Version}, {missing_field, protocol}) || Version <- [1, 2]] ++
        [?_assertMatch({ok, _}, hep:encode(set(Field, undefined, hep(3)))) || Field <- Needed].

unsupported_field_test_() ->
    Chunk = {{9, 1}, <<"vendor">>},
    [
        refused(set(Field, Value, hep(Version)), Options, {unsupported_field, Named, Version})
     || {Version, Field, Value, Options, Named} <- [
            {1, protocol, 256, #{}, protocol},
            {1, protocol, 65535, #{}, protocol},
            {1, node_id, 0, #{}, node_id},
            {1, node_id, 2002, #{}, node_id},
            {1, chunks, [Chunk], #{}, chunks},
            {1, chunks, [], #{auth_key => <<"key">>}, auth_key},
            {1, chunks, [], #{compress => zlib}, compress},
            {1, chunks, [], #{compress => gzip}, compress},
            {2, protocol, 256, #{}, protocol},
            {2, node_id, 65536, #{}, node_id},
            {2, node_id, 16#ffffffff, #{}, node_id},
            {2, chunks, [Chunk], #{}, chunks},
            {2, chunks, [], #{auth_key => <<"key">>}, auth_key},
            {2, chunks, [], #{compress => zlib}, compress},
            {2, chunks, [], #{compress => gzip, v2_style => c}, compress}
        ]
    ].

unsupported_payload_type_test_() ->
    [
        refused((hep(Version))#hep{payload_type = Type}, {unsupported_payload_type, number(Type)})
     || Version <- [1, 2], Type <- [0, 2, 5, 16, 100, 255, rtcp]
    ].

number(Type) when is_integer(Type) -> Type;
number(Name) -> hep_registry:payload_type_number(Name).

%% The error contains the wrong element, or the whole term if it is not a list.
wrong_chunk_test_() ->
    Right = [{{9, 1}, <<"vendor">>}, {{0, 17}, {2, <<"id">>}}],
    [
        refused((hep(Version))#hep{chunks = Chunks}, {invalid_field, chunks, Element})
     || Version <- [1, 2, 3],
        Element <- [
            foo, {}, <<>>, [], {{0, 17}}, {{0, 17}, <<>>, <<>>}, {{0, 17}, text}, {{0, 17}, "text"},
            {{0, 17}, <<1:3>>}, {{0, 17}, {<<"id">>, 2}}, {{0, 17}, {2, 2, <<"id">>}}, {{0, 17}, {2, <<>>}},
            {{0, 17}, {1, <<"id">>}}, {{0, 17}, {3, <<"id">>}}, {{0, 17}, {8, <<"id">>}},
            {{0, 17}, {-2, <<"id">>}}, {{0, 17}, {2.0, <<"id">>}}, {{0, 17}, {65538, <<"id">>}},
            {{0, 17}, {undefined, <<"id">>}}, {{-1, 17}, <<>>}, {{0, -1}, <<>>}, {{65536, 1}, <<>>},
            {{1, 65536}, <<>>}, {{1 bsl 64, 1}, <<>>}, {{1.0, 1}, <<>>}, {{sip, 1}, <<>>}, {{1}, <<>>},
            {{1, 2, 3}, <<>>}, {1, <<>>}, {<<0:16, 17:16>>, <<"id">>}
        ],
        Chunks <- [[Element], Right ++ [Element | Right]]
    ] ++
        [
            refused((hep(Version))#hep{chunks = List}, {invalid_field, chunks, List})
         || Version <- [1, 2, 3],
            List <- [Right ++ foo, Right ++ <<>>, Right ++ hd(Right)]
        ].

%% A generic chunk whose value belongs in a field of the record. Both payload chunks are the same field.
chunk_with_a_field_test_() ->
    [
        refused((hep(3))#hep{chunks = [{{9, 9}, <<>>}, {{0, Id}, Value}]}, {invalid_field, chunks, {0, Id}})
     || {Id, Widths} <- [
            {1, [0, 1]}, {2, [0, 1, 2]}, {3, [0, 4, 16]}, {4, [0, 4, 16]},
            {5, [0, 1, 3, 16]}, {6, [0, 1, 3, 16]},
            {7, [2]}, {8, [2]}, {9, [4]}, {10, [4]}, {11, [1]}, {12, [4]}, {15, [0, 1, 9]}, {16, [0, 1, 9]}
        ],
        Width <- Widths,
        Value <- [<<0:Width/unit:8>>]
    ].

%% Chunks without a field may have any width, known or unknown, generic or of a vendor.
chunk_of_any_width_test_() ->
    Others = hep_packets:named_ids() -- [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16],
    {timeout, 60, [
        {lists:flatten(io_lib:format("~b", [Id])), fun() ->
            [?assertMatch({ok, _}, hep:encode(wide(V, Id, W))) || V <- [0, 9], W <- lists:seq(0, 17)]
        end}
     || Id <- Others ++ [0, 25, 42, 65535]
    ]}.

wide(Vendor, Id, Width) ->
    (hep(3))#hep{chunks = [{{Vendor, Id}, <<0:Width/unit:8>>}]}.


no_record_test_() ->
    [
        {lists:flatten(io_lib:format("~P", [Term, 9])), fun() ->
            Error = {error, {invalid_hep, Term}},
            ?assertEqual(Error, hep:encode(Term)),
            ?assertEqual(Error, hep:encode(Term, #{})),
            ?assertEqual(Error, hep:encode(Term, #{compress => zlib})),
            [?assertEqual(Error, (encoder(Version)):encode(Term)) || Version <- [1, 2, 3]],
            ?assert(is_sentence(hep:format_error({invalid_hep, Term}), ["#hep{}"]))
        end}
     || Term <- [
            foo, 1, <<>>, <<"HEP3">>, [], #{}, {}, {hep}, {hep, 3, []}, self(), make_ref(), fun() -> ok end,
            erlang:delete_element(13, hep(3)), erlang:append_element(hep(3), []),
            setelement(1, hep(3), packet)
        ]
    ].

%% The encoder of a version ignores the version of the record, and leaves out unsupported fields.
version_of_the_encoder_counts_test_() ->
    Chunks = [{{0, 17}, <<"id">>}, {{9, 1}, <<"vendor">>}],
    [
        {lists:flatten(io_lib:format("~b ~p", [Version, Other])), fun() ->
            Own = left_out((hep(3))#hep{version = Version, chunks = Chunks}),
            Hep = (hep(3))#hep{version = Other, chunks = Chunks},
            ?assertEqual(encoded(Own), bytes((encoder(Version)):encode(Hep))),
            Wrong = Hep#hep{src_port = 70000},
            ?assertEqual({error, {invalid_hep, Wrong}}, (encoder(Version)):encode(Wrong)),
            Unknown = Hep#hep{protocol_family = 7},
            ?assertEqual({error, {unknown_protocol_family, 7}}, (encoder(Version)):encode(Unknown)),
            Large = Hep#hep{payload = <<0:?LIMIT/unit:8>>},
            ?assertEqual({error, {packet_too_large, Large}}, (encoder(Version)):encode(Large))
        end}
     || Version <- [1, 2, 3], Other <- [1, 2, 3, 0, 4, undefined, hep_v2, foo]
    ].

%%% Sentences

sentence_test_() ->
    [
        ?_assertEqual(Sentence, hep:format_error(Reason))
     || {Reason, Sentence} <- [
            {{invalid_hep, foo}, "not a #hep{} record: foo"},
            {{invalid_field, src_port, 70000}, "invalid value for src_port: 70000"},
            {{invalid_field, chunks, {0, 15}},
                "invalid value for chunks: chunk {0,15} has a wrong width, or belongs in a field"},
            {{missing_field, src_ip}, "src_ip is missing: versions 1 and 2 require it"},
            {{unsupported_field, node_id, 1}, "version 1 cannot carry this node_id"},
            {{unknown_protocol_family, inet}, "unknown protocol family inet: neither IPv4 nor IPv6"},
            {{unsupported_payload_type, 5}, "payload type 5: versions 1 and 2 carry SIP only"},
            {{packet_too_large, 65536}, "the packet would have 65536 bytes: the limit is 65535"}
        ]
    ].

%% The description is short for any term.
sentence_about_a_large_term_test_() ->
    Large = [lists:seq(1, 1000000), binary:copy(<<255>>, 1000000), list_to_tuple(lists:seq(1, 100000))],
    [
        ?_assert(length(hep:format_error(Reason)) < 1000)
     || Term <- Large, Reason <- [{invalid_hep, Term}, {invalid_field, payload, Term}]
    ].

%%% Limits

total_length_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b, ~b bytes", [Hep#hep.version, Header])), fun() ->
            [
                begin
                    Fits = Hep#hep{payload = <<0:(Size - Header)/unit:8>>},
                    Bytes = encoded(Fits),
                    ?assertEqual(Size, byte_size(Bytes)),
                    ?assertEqual(Bytes, second_generation(Fits)),
                    ?assertEqual(Size - Header, byte_size((hep_packets:decoded(Bytes))#hep.payload))
                end
             || Size <- [?LIMIT - 1, ?LIMIT]
            ],
            [
                begin
                    Larger = Hep#hep{payload = <<0:(Size - Header)/unit:8>>},
                    is_refused(Larger, {packet_too_large, Size})
                end
             || Size <- [?LIMIT + 1, ?LIMIT + 2, ?LIMIT + Header, 2 * ?LIMIT + 2, 1000000]
            ]
        end}
     || {Hep, Header} <- [
            {hep(1), 16},
            {ipv6(hep(1)), 40},
            {hep(2), 28},
            {ipv6(hep(2)), 52},
            {hep(3), ?HEADER},
            {ipv6(hep(3)), ?HEADER + 24}
        ]
    ].

%% One chunk, before or after the payload, together with the payload.
total_length_with_a_chunk_test_() ->
    [
        {lists:flatten(io_lib:format("vendor ~b, ~b bytes of payload", [Vendor, PayloadSize])), fun() ->
            Room = ?LIMIT - ?HEADER - 6 - PayloadSize,
            Sized = fun(Size) ->
                (hep(3))#hep{payload = <<0:PayloadSize/unit:8>>, chunks = [{{Vendor, 17}, <<0:Size/unit:8>>}]}
            end,
            Bytes = encoded(Sized(Room)),
            ?assertEqual(?LIMIT, byte_size(Bytes)),
            ?assertEqual(
                (Sized(Room))#hep{chunks = [{{Vendor, 17}, {Room, <<0:Room/unit:8>>}}]},
                hep_packets:decoded(Bytes)
            ),
            [too_large(Sized(Room + Excess), ?LIMIT + Excess) || Excess <- [1, 2, 100, 65536]]
        end}
     || Vendor <- [0, 9], PayloadSize <- [0, 1, 1000, 60000]
    ].

%% Many chunks of the minimum size.
total_length_of_many_chunks_test_() ->
    {timeout, 60, [
        {lists:flatten(io_lib:format("vendor ~b", [Vendor])), fun() ->
            Most = (?LIMIT - ?HEADER) div 6,
            Chunks = fun(Count) -> (hep(3))#hep{payload = <<>>, chunks = lists:duplicate(Count, Chunk)} end,
            Bytes = encoded(Chunks(Most)),
            ?assertEqual(?HEADER + 6 * Most, byte_size(Bytes)),
            {ok, State} = hep_multi_parser:parse(Bytes),
            ?assertEqual(11 + Most, length(hep:get_chunks(State))),
            [too_large(Chunks(N), ?HEADER + 6 * N) || N <- [Most + 1, 65535, 65536, 100000]]
        end}
     || Vendor <- [0, 9], Chunk <- [{{Vendor, 99}, <<>>}]
    ]}.

%% Values that are too large are not read completely.
too_large_before_anything_else_test_() ->
    [
        ?_test(too_large((hep(Version))#hep{chunks = [{{9, 1}, <<0:65536/unit:8>>} | Rest]}, 1 bsl 20))
     || Version <- [1, 2, 3], Rest <- [[foo], foo]
    ].

%% The reported size is above the limit, but not above the real size.
too_large(Hep, Size) ->
    {error, {packet_too_large, Told}} = hep:encode(Hep),
    ?assert(Told > ?LIMIT),
    ?assert(Told =< Size),
    ?assertEqual({error, {packet_too_large, Told}}, hep:encode(Hep, #{})),
    is_refused(Hep, {packet_too_large, Told}).
