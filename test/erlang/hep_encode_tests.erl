%% @doc Encoding: golden bytes, the order of chunks, names, options.
-module(hep_encode_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_encoding, [
    bytes/1, encoded/1, encoded/2, hep/1, ipv6/1, refused/2, refused/3, second_generation/1,
    second_generation/2
]).
-import(hep_packets, [chunk/2, chunk/3, frame/1]).

-define(LIMIT, 65535).
-define(PAYLOAD, "OPTIONS sip:a").

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

%%% The order of chunks

%% Generic chunks in the order of their ids, for any order of the input; the payload; chunks of vendors in the given
%% order.
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

%% Both forms of a chunk are written as the same bytes.
forms_of_a_chunk_test() ->
    Long = [{{0, 17}, {2, <<"id">>}}, {{0, 18}, {2, <<100:16>>}}, {{8, 1}, {0, <<>>}}],
    Short = [{Key, Value} || {Key, {_, Value}} <- Long],
    ?assertEqual(
        encoded((hep(3))#hep{chunks = Long}),
        encoded((hep(3))#hep{chunks = Short})
    ).

%%% Sharing

%% The payload in the result is the record's own binary, between the parts of the header and the chunks after it.
payload_is_not_copied_test_() ->
    Payload = binary:copy(<<"x">>, 1000),
    [
        {lists:flatten(io_lib:format("version ~b, ~b parts", [Version, Count])), fun() ->
            Hep = (hep(Version))#hep{payload = Payload, chunks = Chunks},
            [
                begin
                    {ok, Parts} = Encode(Hep),
                    ?assertEqual(Count, length(Parts)),
                    ?assert(lists:all(fun is_binary/1, Parts)),
                    Place = length(Parts) - length([vendor || {{9, 1}, _} <- Chunks]),
                    ?assert(erts_debug:same(Payload, lists:nth(Place, Parts)))
                end
             || Encode <- Encoders
            ]
        end}
     || {Version, Chunks, Count, Encoders} <- [
            {1, [], 2, encoders()},
            {2, [], 2, encoders()},
            {3, [], 3, [fun hep_v3_encoder:encode/1 | encoders()]},
            {3, [{{0, 17}, <<"id">>}], 3, [fun hep_v3_encoder:encode/1 | encoders()]},
            {3, [{{9, 1}, <<"vendor">>}], 4, [fun hep_v3_encoder:encode/1 | encoders()]}
        ]
    ].

%% A short header is written in pieces of 64 bytes, a long one in one piece.
header_in_pieces_test() ->
    [
        begin
            Name = binary:copy(<<"x">>, Size),
            Hep = (hep:new())#hep{timestamp = {0, 0, 0}, payload = <<"p">>, chunks = [{{0, 19}, Name}]},
            {ok, Parts} = hep:encode_iolist(Hep),
            {Pieces, [<<"p">>]} = lists:split(length(Parts) - 1, Parts),
            Header = 6 + 2 * 10 + 7 + 6 + Size + 6,
            ?assertEqual(Header, iolist_size(Pieces)),
            ?assertEqual(pieces(Header), [byte_size(Piece) || Piece <- Pieces]),
            ?assertMatch(#hep{chunks = [{{0, 19}, {Size, Name}}]}, hep_packets:decoded(bytes({ok, Parts})))
        end
     || Size <- lists:seq(1, 300)
    ].

pieces(Size) when Size > 256 -> [Size];
pieces(Size) when Size > 64 -> [64 | pieces(Size - 64)];
pieces(Size) -> [Size].

encoders() ->
    [fun hep:encode_iolist/1, fun(Hep) -> hep:encode_iolist(Hep, #{}) end].

%% The binary and the iolist have the same bytes.
binary_or_iolist_test_() ->
    Chunks = [{{9, 1}, <<"vendor">>}, {{0, 17}, <<"id">>}],
    [
        {lists:flatten(io_lib:format("~p", [Options])), fun() ->
            {ok, Bytes} = hep:encode(Hep, Options),
            ?assert(is_binary(Bytes)),
            {ok, [_ | _] = Parts} = hep:encode_iolist(Hep, Options),
            ?assertEqual(Bytes, iolist_to_binary(Parts))
        end}
     || {Hep, Options} <- [
            {hep(1), #{}},
            {hep(2), #{v2_style => c}},
            {(hep(3))#hep{chunks = Chunks}, #{}},
            {(hep(3))#hep{chunks = Chunks, payload = <<>>}, #{}},
            {(hep(3))#hep{chunks = Chunks}, #{compress => zlib, auth_key => <<"key">>}}
        ]
    ] ++
        [
            ?_assertEqual({error, {invalid_hep, x}}, hep:encode_iolist(x)),
            ?_assertError(badarg, hep:encode_iolist(hep(3), #{x => y})),
            ?_assertMatch({ok, <<_/binary>>}, hep:encode(hep(3))),
            ?_assertMatch({ok, <<_/binary>>}, hep_v1_encoder:encode(hep(1))),
            ?_assertMatch({ok, <<_/binary>>}, hep_v2_encoder:encode(hep(2))),
            ?_assertMatch({ok, [_ | _]}, hep_v3_encoder:encode(hep(3)))
        ].

%% A sub-binary of a datagram is not copied.
payload_of_a_datagram_is_not_copied_test() ->
    Bytes = frame([chunk(15, binary:copy(<<"x">>, 1000)), chunk(9, 1, <<"vendor">>)]),
    {ok, [_, Payload, _]} = hep:encode_iolist(hep_packets:decoded(Bytes)),
    ?assertEqual(
        {1000, byte_size(Bytes)},
        {byte_size(Payload), binary:referenced_byte_size(Payload)}
    ).

%% A payload that begins inside a byte of another binary.
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

%% The family is written if at least one address determines it.
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

%% Seconds of a million or more count as megaseconds.
seconds_carry_test() ->
    ?assertEqual(
        encoded((hep(3))#hep{timestamp = {1700, 139840, 1}}),
        encoded((hep(3))#hep{timestamp = {0, 1700139840, 1}})
    ).

%% Microseconds that would be read swapped are carried over into the seconds; other large ones
%% stay. With the time of version 2, the capture id would be read swapped, too.
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

%% An overflow of the seconds is an error.
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

%% All numbers, and the names of numbers, which several numbers may share.
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
        Payload <- [<<>>, <<0>>, <<?PAYLOAD>>, binary:copy(<<?PAYLOAD>>, 1000), binary:copy(<<"x">>, 200000)]
    ].

%% The compressed size is compared with the limit.
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
            %% An empty chunk is treated as absent.
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

%% Default options, and options for other versions, change nothing.
options_without_effect_test_() ->
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
            {#{v2_style => native}, "the option v2_style is native: expected documented, c or forks"},
            {#{v2_style => <<"c">>}, "the option v2_style is <<\"c\">>: expected documented, c or forks"},
            {#{compress => deflate}, "the option compress is deflate: expected none, zlib or gzip"},
            {#{compress => true}, "the option compress is true: expected none, zlib or gzip"},
            {#{auth_key => "key"}, "the option auth_key is wrong: expected a binary"},
            {#{auth_key => undefined}, "the option auth_key is wrong: expected a binary"},
            {#{auth_key => <<1:3>>}, "the option auth_key is wrong: expected a binary"},
            {#{v2_order => big}, "unknown option v2_order: known are auth_key, compress and v2_style"},
            {#{1 => 2}, "unknown option 1: known are auth_key, compress and v2_style"},
            {#{compress => zlib, v2_style => no, auth_key => <<>>},
                "the option v2_style is no: expected documented, c or forks"},
            {[], "not a map of options, such as #{v2_style => c}"},
            {[{compress, zlib}], "not a map of options, such as #{v2_style => c}"},
            {none, "not a map of options, such as #{v2_style => c}"},
            {<<>>, "not a map of options, such as #{v2_style => c}"}
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
