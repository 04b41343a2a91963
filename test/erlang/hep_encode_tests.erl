%% @doc Encoding: golden bytes, every error, names, options, limits, and decode -> encode -> decode of every
%% fixture.
-module(hep_encode_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1]).

-define(LIMIT, 65535).
-define(PAYLOAD, "OPTIONS sip:a").

%% The bytes of the header of {@link hep/1} in version 3: all that stands before the payload.
-define(HEADER, 99).

%%% Golden bytes

golden_test_() ->
    [
        {Name, fun() ->
            ?assertEqual(Bytes, encoded(Hep, Options)),
            [?assertEqual(Bytes, encoded(Hep)) || Options =:= #{}],
            [?assertEqual(Bytes, second_generation(Hep)) || Options =:= #{}]
        end}
     || {Name, Hep, Options, Bytes} <- [
            {"v1, IPv4", hep(1), #{},
                <<1, 16, 2, 17, 19, 196, 19, 216, 192, 0, 2, 1, 192, 0, 2, 2, ?PAYLOAD>>},
            {"v1, IPv6", ipv6(hep(1)), #{},
                <<1, 40, 10, 17, 19, 196, 19, 216, 32, 1, 13, 184, 0:88, 1, 254, 128, 0:104, 2, ?PAYLOAD>>},
            {"v2, IPv4", hep(2), #{},
                <<2, 28, 2, 17, 19, 196, 19, 216, 192, 0, 2, 1, 192, 0, 2, 2, 101, 86, 19, 64, 0, 9, 251, 241,
                    7, 210, 0, 0, ?PAYLOAD>>},
            {"v2, IPv6", ipv6(hep(2)), #{},
                <<2, 52, 10, 17, 19, 196, 19, 216, 32, 1, 13, 184, 0:88, 1, 254, 128, 0:104, 2,
                    101, 86, 19, 64, 0, 9, 251, 241, 7, 210, 0, 0, ?PAYLOAD>>},
            {"v2 of C, IPv4", hep(2), #{v2_style => c},
                <<2, 16, 2, 17, 19, 196, 19, 216, 192, 0, 2, 1, 192, 0, 2, 2, 64, 19, 86, 101, 241, 251, 9, 0,
                    210, 7, 0, 0, ?PAYLOAD>>},
            {"v2 of C, IPv6", ipv6(hep(2)), #{v2_style => c},
                <<2, 40, 10, 17, 19, 196, 19, 216, 32, 1, 13, 184, 0:88, 1, 254, 128, 0:104, 2,
                    64, 19, 86, 101, 241, 251, 9, 0, 210, 7, 0, 0, ?PAYLOAD>>},
            {"v2 without a capture id", (hep(2))#hep{node_id = undefined, payload = <<>>}, #{},
                <<2, 28, 2, 17, 19, 196, 19, 216, 192, 0, 2, 1, 192, 0, 2, 2, 101, 86, 19, 64, 0, 9, 251, 241,
                    0, 0, 0, 0>>},
            {"v3, IPv4", hep(3), #{},
                <<"HEP3", 0, 112, 0, 0, 0, 1, 0, 7, 2, 0, 0, 0, 2, 0, 7, 17, 0, 0, 0, 3, 0, 10, 192, 0, 2, 1,
                    0, 0, 0, 4, 0, 10, 192, 0, 2, 2, 0, 0, 0, 7, 0, 8, 19, 196, 0, 0, 0, 8, 0, 8, 19, 216,
                    0, 0, 0, 9, 0, 10, 101, 86, 19, 64, 0, 0, 0, 10, 0, 10, 0, 9, 251, 241,
                    0, 0, 0, 11, 0, 7, 1, 0, 0, 0, 12, 0, 10, 0, 0, 7, 210, 0, 0, 0, 15, 0, 19, ?PAYLOAD>>},
            {"v3, IPv6", ipv6(hep(3)), #{},
                <<"HEP3", 0, 136, 0, 0, 0, 1, 0, 7, 10, 0, 0, 0, 2, 0, 7, 17,
                    0, 0, 0, 5, 0, 22, 32, 1, 13, 184, 0:88, 1, 0, 0, 0, 6, 0, 22, 254, 128, 0:104, 2,
                    0, 0, 0, 7, 0, 8, 19, 196, 0, 0, 0, 8, 0, 8, 19, 216, 0, 0, 0, 9, 0, 10, 101, 86, 19, 64,
                    0, 0, 0, 10, 0, 10, 0, 9, 251, 241, 0, 0, 0, 11, 0, 7, 1,
                    0, 0, 0, 12, 0, 10, 0, 0, 7, 210, 0, 0, 0, 15, 0, 19, ?PAYLOAD>>},
            {"v3 with nothing but a time", #hep{version = 3, timestamp = {0, 0, 0}}, #{},
                <<"HEP3", 0, 39, 0, 0, 0, 9, 0, 10, 0:32, 0, 0, 0, 10, 0, 10, 0:32, 0, 0, 0, 11, 0, 7, 1,
                    0, 0, 0, 15, 0, 6>>},
            {"v3, the largest numbers",
                #hep{
                    version = 3,
                    protocol_family = 10,
                    protocol = 65535,
                    src_port = 65535,
                    dst_port = 0,
                    timestamp = {4294, 967295, 16#ffffffff},
                    node_id = 16#ffffffff,
                    payload_type = 255
                },
                #{},
                <<"HEP3", 0, 80, 0, 0, 0, 1, 0, 7, 10, 0, 0, 0, 2, 0, 8, 255, 255, 0, 0, 0, 7, 0, 8, 255, 255,
                    0, 0, 0, 8, 0, 8, 0, 0, 0, 0, 0, 9, 0, 10, 255, 255, 255, 255,
                    0, 0, 0, 10, 0, 10, 255, 255, 255, 255, 0, 0, 0, 11, 0, 7, 255,
                    0, 0, 0, 12, 0, 10, 255, 255, 255, 255, 0, 0, 0, 15, 0, 6>>}
        ]
    ].

%% Of the fields of a packet; the addresses are IPv4.
hep(1) ->
    (hep(3))#hep{version = 1, node_id = undefined};
hep(Version) ->
    #hep{
        version = Version,
        protocol_family = 2,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5080,
        timestamp = {1700, 139840, 654321},
        node_id = 2002,
        payload_type = 1,
        payload = <<?PAYLOAD>>
    }.

ipv6(Hep) ->
    Hep#hep{
        protocol_family = 10,
        src_ip = {16#2001, 16#db8, 0, 0, 0, 0, 0, 1},
        dst_ip = {16#fe80, 0, 0, 0, 0, 0, 0, 2}
    }.

encoded(Hep) ->
    bytes(hep:encode(Hep)).

encoded(Hep, Options) ->
    bytes(hep:encode(Hep, Options)).

%% Versions 1 and 2 give a binary there, version 3 an iolist.
second_generation(#hep{version = 3} = Hep) ->
    {ok, [_, _ | _]} = Answer = hep_v3_encoder:encode(Hep),
    bytes(Answer);
second_generation(#hep{version = Version} = Hep) ->
    {ok, Bytes} = (encoder(Version)):encode(Hep),
    ?assert(is_binary(Bytes)),
    Bytes.

bytes({ok, Parts}) -> iolist_to_binary(Parts).

encoder(1) -> hep_v1_encoder;
encoder(2) -> hep_v2_encoder;
encoder(3) -> hep_v3_encoder.

%%% The order of chunks

%% Generic chunks by their ids, whatever order they are given in; the payload; the vendors' as given.
order_of_chunks_test() ->
    Chunks = [
        {{9, 1}, <<"z">>},
        {{0, 65535}, <<"last">>},
        {{0, 19}, {4, <<"node">>}},
        {{1, 7}, <<>>},
        {{0, 17}, <<"second id">>},
        {{0, 14}, <<"key">>},
        {{0, 0}, <<"first">>},
        {{0, 17}, <<"a smaller id">>},
        {{0, 13}, <<30:16>>},
        {{9, 0}, <<"y">>},
        {{0, 5}, <<5060:16>>}
    ],
    {ok, State} = hep_multi_parser:parse(encoded((hep(3))#hep{chunks = Chunks})),
    Order = [{Vendor, Id} || {<<Vendor:16, Id:16>>, _} <- hep:get_chunks(State)],
    Generic = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 17, 17, 19, 65535, 15],
    ?assertEqual([{0, Id} || Id <- Generic] ++ [{9, 1}, {1, 7}, {9, 0}], Order),
    Ids = [Value || {<<0:16, 17:16>>, Value} <- hep:get_chunks(State)],
    ?assertEqual([<<"second id">>, <<"a smaller id">>], Ids).

%% Both forms of a chunk give the same bytes.
forms_of_a_chunk_test() ->
    Long = [{{0, 17}, {2, <<"id">>}}, {{0, 18}, {2, <<100:16>>}}, {{8, 1}, {0, <<>>}}],
    Short = [{Key, Value} || {Key, {_, Value}} <- Long],
    ?assertEqual(
        encoded((hep(3))#hep{chunks = Long}),
        encoded((hep(3))#hep{chunks = Short})
    ).

%%% Sharing

%% The payload in the answer is the record's own binary; what stands behind it comes third.
payload_is_not_copied_test_() ->
    Payload = binary:copy(<<"x">>, 1000),
    [
        {lists:flatten(io_lib:format("version ~b, ~b parts", [Version, Count])), fun() ->
            Hep = (hep(Version))#hep{payload = Payload, chunks = Chunks},
            [
                begin
                    {ok, [_, Part | _] = Parts} = Encode(Hep),
                    ?assertEqual(Count, length(Parts)),
                    ?assert(lists:all(fun is_binary/1, Parts)),
                    ?assert(erts_debug:same(Payload, Part))
                end
             || Encode <- Encoders
            ]
        end}
     || {Version, Chunks, Count, Encoders} <- [
            {1, [], 2, encoders()},
            {2, [], 2, encoders()},
            {3, [], 2, [fun hep_v3_encoder:encode/1 | encoders()]},
            {3, [{{0, 17}, <<"id">>}], 2, [fun hep_v3_encoder:encode/1 | encoders()]},
            {3, [{{9, 1}, <<"vendor">>}], 3, [fun hep_v3_encoder:encode/1 | encoders()]}
        ]
    ].

encoders() ->
    [fun hep:encode/1, fun(Hep) -> hep:encode(Hep, #{}) end].

%% A part of a datagram stays one.
payload_of_a_datagram_is_not_copied_test() ->
    Bytes = frame([chunk(15, binary:copy(<<"x">>, 1000)), chunk(9, 1, <<"vendor">>)]),
    {ok, [_, Payload, _]} = hep:encode(hep_packets:decoded(Bytes)),
    ?assertEqual(
        {1000, byte_size(Bytes)},
        {byte_size(Payload), binary:referenced_byte_size(Payload)}
    ).

%% A payload that begins within a byte of another binary.
unaligned_payload_test() ->
    <<_:3, Payload:100/binary, _:5>> = <<0:3, (binary:copy(<<"x">>, 100))/binary, 0:5>>,
    Same = binary:copy(<<"x">>, 100),
    [
        ?assertEqual(
            encoded((hep(Version))#hep{payload = Same}, Options),
            encoded((hep(Version))#hep{payload = Payload}, Options)
        )
     || {Version, Options} <- [{1, #{}}, {2, #{}}, {3, #{}}, {3, #{compress => zlib}}]
    ].

%%% What is filled in

missing_time_is_now_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b ~p", [Version, Options])), fun() ->
            Before = os:timestamp(),
            Bytes = encoded((hep(Version))#hep{timestamp = undefined}, Options),
            After = os:timestamp(),
            #hep{timestamp = Timestamp} = hep_packets:decoded(Bytes),
            ?assert(Before =< Timestamp),
            ?assert(Timestamp =< After)
        end}
     || {Version, Options} <- [
            {2, #{}}, {2, #{v2_style => c}}, {3, #{}}, {3, #{compress => zlib}}, {3, #{compress => gzip}}
        ]
    ].

new_with_four_fields_test() ->
    Hep = lists:foldl(
        fun({Field, Value}, Acc) -> hep:Field(Value, Acc) end,
        hep:new(),
        [
            {src_ip, {192, 0, 2, 1}}, {src_port, 5060}, {dst_ip, {192, 0, 2, 2}}, {payload, <<?PAYLOAD>>}
        ]
    ),
    Decoded = hep_packets:decoded(encoded(Hep)),
    ?assertEqual(
        Hep#hep{protocol_family = 2, timestamp = Decoded#hep.timestamp},
        Decoded
    ).

%% The family is written where the addresses, or one of them, tell it.
family_follows_the_addresses_test_() ->
    [
        ?_test(begin
            Decoded = hep_packets:decoded(encoded(Hep#hep{protocol_family = undefined})),
            ?assertEqual(Family, Decoded#hep.protocol_family)
        end)
     || {Hep, Family} <- [
            {hep(1), 2},
            {hep(2), 2},
            {hep(3), 2},
            {ipv6(hep(1)), 10},
            {ipv6(hep(2)), 10},
            {ipv6(hep(3)), 10},
            {(hep(3))#hep{src_ip = undefined}, 2},
            {(ipv6(hep(3)))#hep{dst_ip = undefined}, 10},
            {(hep(3))#hep{src_ip = undefined, dst_ip = undefined}, undefined}
        ]
    ].

%% The seconds of a timestamp may be a million or more.
seconds_carry_test() ->
    ?assertEqual(
        encoded((hep(3))#hep{timestamp = {1700, 139840, 1}}),
        encoded((hep(3))#hep{timestamp = {0, 1700139840, 1}})
    ).

%% Microseconds that would be read with their bytes swapped are carried over into the seconds; other large ones
%% stay. With the time of version 2 its capture id would be read swapped, too.
swapped_microseconds_test_() ->
    [
        {lists:flatten(io_lib:format("version ~b ~p ~p", [Version, Options, Written])),
            ?_assertEqual(
                (hep(Version))#hep{timestamp = Read},
                hep_packets:decoded(encoded((hep(Version))#hep{timestamp = Written}, Options))
            )}
     || {Version, Options} <- [{2, #{}}, {2, #{v2_style => c}}, {3, #{}}],
        {Written, Read} <- [
            {{0, 1, 999999}, {0, 1, 999999}},
            {{0, 1, 1000000}, {0, 1, 1000000}},
            {{0, 1, 16#01000000}, {0, 17, 777216}},
            {{0, 999999, 16#01000000}, {1, 15, 777216}},
            {{0, 1, 16#ffffffff}, {0, 1, 16#ffffffff}},
            {{4294, 967279, 16#01000000}, {4294, 967295, 777216}}
        ]
    ].

%% Where there is no room in the seconds, nothing is lost without a word.
swapped_microseconds_at_the_end_of_time_test_() ->
    [
        refused(
            (hep(Version))#hep{timestamp = {4294, 967280, 16#01000000}},
            Options,
            {unsupported_field, timestamp, Version}
        )
     || {Version, Options} <- [{2, #{}}, {2, #{v2_style => c}}, {3, #{}}]
    ].

%%% Names and numbers

names_and_numbers_test_() ->
    [
        ?_assertEqual(encoded(Numbers), encoded(Names))
     || {Names, Numbers} <- [
            {(hep(1))#hep{version = hep_v1}, hep(1)},
            {(hep(2))#hep{version = hep_v2, protocol_family = ipv4, payload_type = sip}, hep(2)},
            {(hep(3))#hep{version = hep_v3}, hep(3)},
            {(hep(3))#hep{protocol_family = ipv4}, hep(3)},
            {(ipv6(hep(3)))#hep{protocol_family = ipv6}, ipv6(hep(3))},
            {hep:version(hep_v2, hep:protocol_family(ipv4, hep:payload_type(sip, hep(3)))), hep(2)}
        ]
    ].

%% Every number's name, which may be another number's too, and every number.
payload_types_test() ->
    [
        begin
            Type = hep:payload_type(Hep),
            ?assertEqual(Number, (hep_packets:decoded(encoded(Hep)))#hep.payload_type),
            Named = hep_packets:decoded(encoded(Hep#hep{payload_type = Type})),
            ?assertEqual(Type, hep:payload_type(Named))
        end
     || Number <- lists:seq(0, 255),
        Hep <- [(hep(3))#hep{payload_type = Number}]
    ].

%%% Errors

%% A field, and values that no version has a place for.
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

%% An address of the other family than the record's, or than the other address where the record has none.
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

%% Version 3 where the family is the source's, as decoding gives it: each address has its own chunk.
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

%% The wrong element, or the whole list where it is none.
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

%% A generic chunk whose value is a field of the record; both payloads are one.
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

%% Every known chunk without a field takes its own width and no other; octet-strings and unknown chunks take
%% all, those of a vendor too.
chunk_of_a_wrong_width_test_() ->
    Others = hep_packets:named_ids() -- [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16],
    {timeout, 60, [
        {lists:flatten(io_lib:format("~b", [Id])), fun() ->
            Right = [W || W <- lists:seq(0, 17), {ok, _} <- [hep:encode(wide(0, Id, W))]],
            ?assertEqual(widths(Id), Right),
            [
                ?assertEqual({error, {invalid_field, chunks, {0, Id}}}, hep:encode(wide(0, Id, W)))
             || W <- lists:seq(0, 17) -- Right
            ],
            [?assertMatch({ok, _}, hep:encode(wide(9, Id, W))) || W <- lists:seq(0, 17)]
        end}
     || Id <- Others ++ [0, 25, 42, 65535]
    ]}.

wide(Vendor, Id, Width) ->
    (hep(3))#hep{chunks = [{{Vendor, Id}, <<0:Width/unit:8>>}]}.

widths(Id) when Id =:= 23; Id =:= 24 -> [1];
widths(Id) when Id =:= 13; Id =:= 18; Id =:= 22; Id =:= 32; Id =:= 33; Id =:= 39; Id =:= 40 -> [2];
widths(35) -> [4];
widths(Id) when Id =:= 20; Id =:= 21 -> [8];
widths(_) -> lists:seq(0, 17).

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

%% An encoder of one version does not look at the record's, and leaves out what its own has no place for.
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

%% What an encoder of the record's version encodes of it.
left_out(#hep{version = 1} = Hep) -> Hep#hep{node_id = undefined, chunks = []};
left_out(#hep{version = 2} = Hep) -> Hep#hep{chunks = []};
left_out(Hep) -> Hep.

set(Field, Value, Hep) ->
    Fields = record_info(fields, hep),
    {Before, _} = lists:splitwith(fun(F) -> F =/= Field end, Fields),
    setelement(2 + length(Before), Hep, Value).

refused(Hep, Reason) ->
    refused(Hep, #{}, Reason).

%% The reason, its sentence, and what the second generation has for it.
refused(Hep, Options, Reason) ->
    {lists:flatten(io_lib:format("~P", [Reason, 12])), fun() ->
        ?assertEqual({error, Reason}, hep:encode(Hep, Options)),
        [is_refused(Hep, Reason) || Options =:= #{}],
        ?assert(is_sentence(hep:format_error(Reason), words(Reason)))
    end}.

is_refused(Hep, Reason) ->
    ?assertEqual({error, Reason}, hep:encode(Hep)),
    Encoders = [encoder(V) || V <- [1, 2, 3], V =:= Hep#hep.version],
    case left_out(Hep) of
        Hep ->
            Error = {error, second_generation(Reason, Hep)},
            [?assertEqual(Error, Encoder:encode(Hep)) || Encoder <- Encoders];
        Fitting ->
            Bytes = encoded(Fitting),
            [?assertEqual(Bytes, bytes(Encoder:encode(Hep))) || Encoder <- Encoders]
    end.

second_generation({unknown_protocol_family, _} = Reason, _Hep) -> Reason;
second_generation({unsupported_payload_type, _} = Reason, _Hep) -> Reason;
second_generation({packet_too_large, _}, Hep) -> {packet_too_large, Hep};
second_generation(_, Hep) -> {invalid_hep, Hep}.

%%% Sentences

words({invalid_field, Field, _}) -> [atom_to_list(Field), "cannot be written"];
words({missing_field, Field}) -> [atom_to_list(Field), "missing"];
words({unsupported_field, Field, V}) -> [atom_to_list(Field), "version " ++ integer_to_list(V)];
words({unknown_protocol_family, _}) -> ["unknown protocol family"];
words({unsupported_payload_type, Type}) -> ["payload type " ++ integer_to_list(Type), "SIP"];
words({packet_too_large, Size}) -> [integer_to_list(Size) ++ " bytes", "65535"].

is_sentence(Sentence, Words) ->
    io_lib:printable_unicode_list(Sentence) andalso
        lists:all(fun(W) -> string:find(Sentence, W) =/= nomatch end, Words).

sentence_test_() ->
    [
        ?_assertEqual(Sentence, hep:format_error(Reason))
     || {Reason, Sentence} <- [
            {{invalid_hep, foo}, "not a #hep{} record: foo"},
            {{invalid_field, src_port, 70000}, "src_port cannot be written: 70000"},
            {{invalid_field, chunks, {0, 15}}, "chunks cannot be written: {0,15}"},
            {{missing_field, src_ip}, "src_ip is missing: versions 1 and 2 need it"},
            {{unsupported_field, node_id, 1}, "version 1 has no place for this node_id"},
            {{unknown_protocol_family, inet}, "unknown protocol family inet: neither IPv4 nor IPv6"},
            {{unsupported_payload_type, 5}, "payload type 5: versions 1 and 2 carry SIP only"},
            {{packet_too_large, 65536}, "the packet would have 65536 bytes: 65535 at the most can be sent"}
        ]
    ].

%% Whatever the term is, the sentence stays short.
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

%% One chunk, before the payload or behind it, and the payload beside it.
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

%% Many chunks, each as small as can be.
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

%% What is too large is not looked at to its end.
too_large_before_anything_else_test_() ->
    [
        ?_test(too_large((hep(Version))#hep{chunks = [{{9, 1}, <<0:65536/unit:8>>} | Rest]}, 1 bsl 20))
     || Version <- [1, 2, 3], Rest <- [[foo], foo]
    ].

%% The size that is told is beyond the limit and not beyond the truth.
too_large(Hep, Size) ->
    {error, {packet_too_large, Told}} = hep:encode(Hep),
    ?assert(Told > ?LIMIT),
    ?assert(Told =< Size),
    ?assertEqual({error, {packet_too_large, Told}}, hep:encode(Hep, #{})),
    is_refused(Hep, {packet_too_large, Told}).

%%% Options

compress_test_() ->
    [
        {lists:flatten(io_lib:format("~p, ~b bytes", [Compress, byte_size(Payload)])), fun() ->
            Hep = (hep(3))#hep{payload = Payload, chunks = [{{9, 1}, {6, <<"vendor">>}}]},
            Bytes = encoded(Hep, #{compress => Compress}),
            {ok, State} = hep_multi_parser:parse(Bytes),
            {ok, Packed} = hep:get_chunk(0, 16, State),
            ?assertEqual(not_found, hep:get_chunk(0, 15, State)),
            ?assertEqual(Payload, Uncompress(Packed)),
            ?assertEqual(Hep, hep_packets:decoded(Bytes)),
            ?assertMatch({<<0:16, 16:16>>, _}, lists:nth(11, hep:get_chunks(State)))
        end}
     || {Compress, Uncompress} <- [{zlib, fun zlib:uncompress/1}, {gzip, fun zlib:gunzip/1}],
        Payload <- [<<>>, <<0>>, <<?PAYLOAD>>, binary:copy(<<?PAYLOAD>>, 1000), binary:copy(<<"x">>, 1000000)]
    ].

%% The compressed size counts.
compressed_but_too_large_test_() ->
    Payload = rand:bytes(65536),
    [
        ?_assertMatch(
            {error, {packet_too_large, Size}} when Size > ?LIMIT,
            hep:encode((hep(3))#hep{payload = Payload}, #{compress => Compress})
        )
     || Compress <- [none, zlib, gzip]
    ].

auth_key_test_() ->
    Key = fun(Value) -> {{0, 14}, {byte_size(Value), Value}} end,
    Id = {{0, 17}, {2, <<"id">>}},
    Keep = {{0, 13}, {2, <<30:16>>}},
    [
        ?_assertEqual(
            (hep(3))#hep{chunks = Expected},
            hep_packets:decoded(encoded((hep(3))#hep{chunks = Chunks}, #{auth_key => Value}))
        )
     || {Chunks, Value, Expected} <- [
            {[], <<"new">>, [Key(<<"new">>)]},
            {[Key(<<"old">>)], <<"new">>, [Key(<<"new">>)]},
            {[Key(<<"old">>), Id, Key(<<"older">>)], <<"new">>, [Key(<<"new">>), Id]},
            {[Id, Keep], <<"new">>, [Keep, Key(<<"new">>), Id]},
            %% An empty chunk is none.
            {[Key(<<"old">>)], <<>>, []},
            {[{{9, 14}, {3, <<"old">>}}], <<"new">>, [Key(<<"new">>), {{9, 14}, {3, <<"old">>}}]}
        ]
    ] ++
        [
            ?_assertMatch(
                {error, {packet_too_large, _}},
                hep:encode(hep(3), #{auth_key => binary:copy(<<"k">>, Size)})
            )
         || Size <- [65530, 65536, 100000]
        ].

%% Options that say nothing about a version, and the defaults, change nothing.
idle_options_test_() ->
    {Style, Compress} = {#{v2_style => documented}, #{compress => none}},
    [
        ?_assertEqual(encoded(hep(Version)), encoded(hep(Version), Options))
     || Version <- [1, 2, 3],
        Options <- [#{}, Style, Compress, maps:merge(Style, Compress)]
    ] ++
        [?_assertEqual(encoded(hep(Version)), encoded(hep(Version), #{v2_style => c})) || Version <- [1, 3]].

wrong_option_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Options])), fun() ->
            [?assertEqual(Text, badarg(Hep, Options)) || Hep <- [hep(1), hep(2), hep(3), foo]]
        end}
     || {Options, Text} <- [
            {#{v2_style => native}, "no such options, or not their values: [{v2_style,native}]"},
            {#{v2_style => <<"c">>}, "no such options, or not their values: [{v2_style,<<\"c\">>}]"},
            {#{compress => deflate}, "no such options, or not their values: [{compress,deflate}]"},
            {#{compress => true}, "no such options, or not their values: [{compress,true}]"},
            {#{auth_key => "key"}, "no such options, or not their values: [{auth_key,\"key\"}]"},
            {#{auth_key => undefined}, "no such options, or not their values: [{auth_key,undefined}]"},
            {#{auth_key => <<1:3>>}, "no such options, or not their values: [{auth_key,<<1:3>>}]"},
            {#{v2_order => big}, "no such options, or not their values: [{v2_order,big}]"},
            {#{1 => 2}, "no such options, or not their values: [{1,2}]"},
            {#{compress => zlib, v2_style => no, auth_key => <<>>},
                "no such options, or not their values: [{v2_style,no}]"},
            {[], "not a map of options"},
            {[{compress, zlib}], "not a map of options"},
            {none, "not a map of options"},
            {<<>>, "not a map of options"}
        ]
    ].

badarg(Hep, Options) ->
    try hep:encode(Hep, Options) of
        Answer -> error({no_badarg, Answer})
    catch
        error:badarg:Stacktrace ->
            ?assertMatch([{hep, encode, [Hep, Options], _} | _], Stacktrace),
            ?assertMatch(#{}, proplists:get_value(error_info, element(4, hd(Stacktrace)))),
            #{2 := Text} = Info = hep:format_error(badarg, Stacktrace),
            ?assertEqual(1, map_size(Info)),
            Text
    end.

%%% The fixtures, there and back

%% What cannot be written again, and why. Everything else that decodes is.
designed_exceptions() ->
    [
        %% An inflated payload may be larger than a packet.
        {"constructed/v3-gzip-1-mib.bin", packet_too_large},
        {"constructed/v3-raw-deflate-1-mib.bin", packet_too_large},
        {"constructed/v3-zlib-1-mib.bin", packet_too_large}
    ].

fixture_test_() ->
    {timeout, 120, [
        {hep_fixtures:file(Entry), fun() -> lists:foreach(fun there_and_back/1, Packets) end}
     || {Entry, Packets} <- decodable(), exception(Entry) =:= none
    ]}.

exception_test_() ->
    [
        {hep_fixtures:file(Entry), fun() ->
            {error, Reason} = hep:encode(Hep),
            ?assertEqual(Expected, element(1, Reason))
        end}
     || {Entry, Packets} <- decodable(),
        Expected <- [exception(Entry)],
        Expected =/= none,
        Hep <- Packets
    ].

fixtures_are_there_test() ->
    Files = [hep_fixtures:file(Entry) || {Entry, _} <- decodable()],
    ?assert(length(Files) >= 469),
    ?assertEqual([], [File || {File, _} <- designed_exceptions(), not lists:member(File, Files)]).

exception(Entry) ->
    proplists:get_value(hep_fixtures:file(Entry), designed_exceptions(), none).

%% What the default options read from a fixture, and what others do.
decodable() ->
    Options = [#{}, #{header_length => ignore, capture_id => repair}],
    [
        {Entry, Packets}
     || Entry <- hep_fixtures:entries(datagram),
        Bytes <- [hep_fixtures:bytes(Entry)],
        Packets <- [[Hep || O <- Options, {ok, Hep} <- [hep:decode(Bytes, O)]]],
        Packets =/= []
    ].

there_and_back(#hep{version = Version} = Hep) ->
    Packed = [#{compress => C} || C <- [zlib, gzip], Version =:= 3],
    Ways = [#{} | Packed] ++ [#{v2_style => c} || Version =:= 2],
    [
        begin
            Again = comes_back(Hep, encoded(Hep, Options), #{}),
            comes_back(Again, encoded(Again, Options), #{})
        end
     || Options <- Ways
    ],
    comes_back(Hep, second_generation(Hep), #{}).

%% The packet that the bytes give; fails unless it is the one that was written.
comes_back(Hep, Bytes, Options) ->
    {ok, Again} = hep:decode(Bytes, Options),
    ?assertEqual(written(Hep, Again), Again),
    Again.

%% A time of version 2 that was read in the wrong byte order is written as it was read, and comes back; only that
%% microseconds which would be read swapped are seconds then.
byte_order_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~p", [hep_fixtures:file(Entry), Order])), fun() ->
            [
                comes_back(carried(Hep), encoded(Hep, O), #{v2_order => V2Order})
             || {O, V2Orders} <- [{#{}, [auto, big]}, {#{v2_style => c}, [auto, little]}], V2Order <- V2Orders
            ]
        end}
     || {Entry, _} <- decodable(),
        Order <- [big, little],
        {ok, #hep{version = 2} = Hep} <- [hep:decode(hep_fixtures:bytes(Entry), #{v2_order => Order})]
    ].

carried(#hep{timestamp = {Mega, Seconds, Micros}} = Hep) ->
    <<Swapped:32/little>> = <<Micros:32>>,
    Whole = Mega * 1000000 + Seconds + Micros div 1000000,
    case Micros >= 1000000 andalso Swapped < 1000000 of
        true -> Hep#hep{timestamp = {Whole div 1000000, Whole rem 1000000, Micros rem 1000000}};
        false -> Hep
    end.

%% The packet as it comes back: chunks in the order of writing, the time where there was none.
written(#hep{chunks = Chunks} = Hep, #hep{timestamp = Now}) ->
    {Generic, Vendors} = lists:partition(fun({{Vendor, _}, _}) -> Vendor =:= 0 end, Chunks),
    Timed =
        case Hep of
            #hep{version = 1} -> Hep#hep{timestamp = Now};
            #hep{timestamp = undefined} -> Hep#hep{timestamp = Now};
            _ -> Hep
        end,
    ?assertMatch({_, _, _}, Now),
    Timed#hep{chunks = lists:keysort(1, Generic) ++ Vendors}.
