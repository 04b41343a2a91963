%% @doc The getters and setters of the module hep, and its functions for parsed packets.
-module(hep_accessor_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-define(V6, {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}).

%%% Fields

new_test() ->
    ?assertEqual(#hep{version = 3, payload_type = 1, payload = <<>>, chunks = []}, hep:new()),
    ?assertEqual(hep_v3, hep:version(hep:new())),
    ?assertEqual(sip, hep:payload_type(hep:new())),
    ?assertEqual(<<>>, hep:payload(hep:new())),
    ?assertEqual(unknown, hep:vendor(hep:new())),
    Getters = [
        protocol_family, protocol, src_ip, src_port, dst_ip, dst_port, timestamp, node_id,
        correlation_id, vlan_id, node_name, auth_key
    ],
    [?assertEqual({Getter, undefined}, {Getter, hep:Getter(hep:new())}) || Getter <- Getters].

%% {Field, value set, value returned}. A setter must not change other fields.
fields() ->
    [
        {protocol_family, ipv4, ipv4},
        {protocol_family, ipv6, ipv6},
        {protocol_family, 2, ipv4},
        {protocol_family, 10, ipv6},
        {protocol_family, 99, 99},
        {protocol, 17, 17},
        {protocol, 65535, 65535},
        {src_ip, {192, 0, 2, 1}, {192, 0, 2, 1}},
        {src_ip, ?V6, ?V6},
        {src_port, 0, 0},
        {src_port, 65535, 65535},
        {dst_ip, {192, 0, 2, 2}, {192, 0, 2, 2}},
        {dst_ip, ?V6, ?V6},
        {dst_port, 5060, 5060},
        {timestamp, {1383, 60353, 567123}, {1383, 60353, 567123}},
        {node_id, 16#ffffffff, 16#ffffffff},
        {payload_type, sdp, sdp},
        {payload_type, 3, sdp},
        {payload_type, 100, log},
        {payload_type, 99, 99},
        {payload, <<"INVITE">>, <<"INVITE">>},
        {correlation_id, <<"call">>, <<"call">>},
        {vlan_id, 4094, 4094},
        {vlan_id, 0, 0},
        {node_name, <<"edge">>, <<"edge">>},
        {auth_key, <<"secret">>, <<"secret">>},
        {vendor, kamailio, kamailio},
        {vendor, 2, kamailio},
        {vendor, 16#CAFE, 16#CAFE}
    ].

set_and_get_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~p", [Field, Value])), fun() ->
            Before = full(),
            After = hep:Field(Value, Before),
            ?assertEqual(Got, hep:Field(After)),
            [
                ?assertEqual({Other, hep:Other(Before)}, {Other, hep:Other(After)})
             || Other <- lists:usort([F || {F, _, _} <- fields()]), Other =/= Field
            ]
        end}
     || {Field, Value, Got} <- fields()
    ].

full() ->
    lists:foldl(fun({Field, Value, _}, Hep) -> hep:Field(Value, Hep) end, hep:new(), fields()).

undefined_removes_a_field_test_() ->
    [
        {atom_to_list(Field), ?_assertEqual(undefined, hep:Field(hep:Field(undefined, full())))}
     || Field <- lists:usort([F || {F, _, _} <- fields()]) -- [payload, payload_type, vendor]
    ].

version_by_name_and_number_test_() ->
    [
        ?_assertEqual({Name, Number}, {hep:version(Hep), Hep#hep.version})
     || {Name, Number} <- [{hep_v1, 1}, {hep_v2, 2}, {hep_v3, 3}],
        Hep <- [hep:version(Name, #hep{}), hep:version(Number, #hep{})]
    ].

version_of_nothing_test() ->
    ?assertEqual(undefined, hep:version(#hep{})).

unknown_name_is_a_badarg_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~p", [Field, Wrong])),
            ?_assertError(badarg, hep:Field(Wrong, hep:new()))}
     || Field <- [protocol_family, payload_type, vendor],
        Wrong <- [no_such_name, "sip", <<"sip">>, {}, [], 1.0]
    ].

iax_by_either_number_test() ->
    ?assertEqual([iax, iax], [hep:payload_type(hep:payload_type(N, hep:new())) || N <- [10, 16]]).

%% The values that one packet's getters return are valid for another packet's setters.
copied_test_() ->
    Fields = lists:usort([F || {F, _, _} <- fields()]),
    Copy = fun(Hep) ->
        lists:foldl(fun(F, New) -> hep:F(hep:F(Hep), New) end, hep:new(), Fields)
    end,
    [
        {File, fun() ->
            Hep = hep_packets:decoded(hep_fixtures:bytes(File)),
            Copied = hep:version(hep:version(Hep), Copy(Hep)),
            [
                ?assertEqual({Field, hep:Field(Hep)}, {Field, hep:Field(Copied)})
             || Field <- [version | Fields]
            ],
            ?assert(hep_answers:is_hep(Copied))
        end}
     || File <- [
            "captures/asterisk-16.28-v3/callid-v4/001.bin",
            "captures/asterisk-16.28-v3/callid-v6/001.bin",
            "captures/hep-js-v3/vendor-ext/001.bin",
            "published/hep3-specification-example.bin"
        ]
    ].

%% Versions 1 and 2 have no vendor: vendor/1 returns `undefined', which must not become a vendor id.
vendor_of_versions_1_and_2_test_() ->
    [
        {atom_to_list(Version), fun() ->
            Hep = hep:version(Version, hep:new()),
            ?assertEqual(undefined, hep:vendor(Hep)),
            try hep:vendor(hep:vendor(Hep), hep:new()) of
                Copied -> ?assertEqual([], Copied#hep.chunks)
            catch
                error:badarg -> ok
            end
        end}
     || Version <- [hep_v1, hep_v2]
    ].

%%% Vendor

vendor_of_the_last_vendor_chunk_test() ->
    Chunks = [{{3, 1}, {1, <<"a">>}}, {{4, 1}, <<"b">>}, {{0, 17}, {1, <<"c">>}}],
    ?assertEqual(asterisk, hep:vendor((hep:new())#hep{chunks = Chunks})).

vendor_by_name_test_() ->
    [
        ?_assertEqual(Name, hep:vendor(hep:vendor(Name, hep:new())))
     || Name <- [
            unknown, freeswitch, kamailio, opensips, asterisk, homer, sipxecs, yeti, genesys
        ]
    ].

vendor_mark_test() ->
    Own = {{0, 17}, {1, <<"c">>}},
    Hep = (hep:new())#hep{chunks = [Own]},
    Marked = hep:vendor(homer, Hep),
    ?assertEqual([Own, {{5, 0}, {0, <<>>}}], Marked#hep.chunks),
    ?assertEqual([Own, {{5, 0}, {0, <<>>}}], (hep:vendor(5, Marked))#hep.chunks),
    ?assertEqual([Own, {{6, 0}, {0, <<>>}}], (hep:vendor(sipxecs, Marked))#hep.chunks),
    ?assertEqual([Own], (hep:vendor(unknown, Marked))#hep.chunks),
    ?assertEqual([Own], (hep:vendor(0, Marked))#hep.chunks).

vendor_keeps_chunks_with_a_value_test() ->
    Chunks = [{{5, 0}, {1, <<"a">>}}, {{5, 1}, {0, <<>>}}, {{5, 0}, <<>>}, {{0, 0}, {0, <<>>}}],
    Hep = hep:vendor(unknown, (hep:new())#hep{chunks = Chunks}),
    ?assertEqual(Chunks -- [{{5, 0}, <<>>}], Hep#hep.chunks).

%%% Chunks of the record

chunk_test() ->
    Hep = (hep:new())#hep{
        chunks = [
            {{0, 17}, {1, <<"a">>}}, {{1, 17}, <<"b">>}, {{0, 17}, <<"c">>}, {{1, 18}, {0, <<>>}}
        ]
    },
    ?assertEqual(<<"c">>, hep:chunk(0, 17, Hep)),
    ?assertEqual(<<"b">>, hep:chunk(1, 17, Hep)),
    ?assertEqual(<<>>, hep:chunk(1, 18, Hep)),
    ?assertEqual(undefined, hep:chunk(0, 18, Hep)),
    ?assertEqual(undefined, hep:chunk(0, 15, Hep)),
    ?assertEqual(<<"c">>, hep:correlation_id(Hep)).

chunk_of_duplicates_in_a_packet_test() ->
    Bytes = hep_packets:frame([
        hep_packets:chunk(9, 1, <<"first">>),
        hep_packets:chunk(0, 17, <<"call-1">>),
        hep_packets:chunk(9, 1, <<"last">>),
        hep_packets:chunk(0, 17, <<"call-2">>)
    ]),
    Hep = hep_packets:decoded(Bytes),
    ?assertEqual(4, length(Hep#hep.chunks)),
    ?assertEqual({<<"last">>, <<"call-2">>}, {hep:chunk(9, 1, Hep), hep:correlation_id(Hep)}).

setter_keeps_the_position_of_a_chunk_test() ->
    Chunks = [
        {{1, 17}, <<"v">>}, {{0, 17}, <<"a">>}, {{0, 19}, {1, <<"n">>}}, {{0, 17}, {1, <<"b">>}}
    ],
    Hep = (hep:new())#hep{chunks = Chunks},
    ?assertEqual(
        [{{1, 17}, <<"v">>}, {{0, 17}, {3, <<"new">>}}, {{0, 19}, {1, <<"n">>}}],
        (hep:correlation_id(<<"new">>, Hep))#hep.chunks
    ),
    ?assertEqual(
        [{{1, 17}, <<"v">>}, {{0, 19}, {1, <<"n">>}}],
        (hep:correlation_id(undefined, Hep))#hep.chunks
    ),
    ?assertEqual(Chunks ++ [{{0, 14}, {1, <<"k">>}}], (hep:auth_key(<<"k">>, Hep))#hep.chunks).

chunks_that_setters_write_test_() ->
    [
        ?_assertEqual([{{0, Id}, {byte_size(Value), Value}}], Hep#hep.chunks)
     || {Id, Value, Hep} <- [
            {14, <<"k">>, hep:auth_key(<<"k">>, hep:new())},
            {17, <<"c">>, hep:correlation_id(<<"c">>, hep:new())},
            {18, <<4094:16>>, hep:vlan_id(4094, hep:new())},
            {19, <<"n">>, hep:node_name(<<"n">>, hep:new())}
        ]
    ].

%% Widths of up to 8 bytes, if the value fits; built by hand or decoded.
vlan_id_of_any_width_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Value])), fun() ->
            Hep = (hep:new())#hep{chunks = [{{0, 18}, Value}]},
            ?assertEqual(Expected, hep:vlan_id(Hep)),
            {ok, Packet} = hep:encode(Hep),
            {ok, Again} = hep:decode(iolist_to_binary(Packet)),
            ?assertEqual(Expected, hep:vlan_id(Again)),
            ?assertEqual([{{0, 18}, {byte_size(Value), Value}} || Value =/= <<>>], Again#hep.chunks)
        end}
     || {Value, Expected} <- [
            {<<>>, undefined},
            {<<1>>, 1},
            {<<16#ffff:16>>, 16#ffff},
            {<<16#ffff:24>>, 16#ffff},
            {<<16#10000:24>>, undefined},
            {<<16#ffff:64>>, 16#ffff},
            {<<16#10000:64>>, undefined},
            {<<1:72>>, undefined}
        ]
    ].

getters_of_a_real_packet_test() ->
    Hep = hep_packets:decoded(hep_fixtures:bytes("captures/hep-js-v3/sip-auth-corr/001.bin")),
    ?assertEqual(hep_v3, hep:version(Hep)),
    ?assertEqual(ipv4, hep:protocol_family(Hep)),
    ?assertEqual(17, hep:protocol(Hep)),
    ?assertEqual({127, 0, 0, 1}, hep:src_ip(Hep)),
    ?assertEqual(5060, hep:src_port(Hep)),
    ?assertEqual({127, 0, 0, 2}, hep:dst_ip(Hep)),
    ?assertEqual(5080, hep:dst_port(Hep)),
    ?assertEqual({1795, 372137, 146000}, hep:timestamp(Hep)),
    ?assertEqual(16#ffffffff, hep:node_id(Hep)),
    ?assertEqual(sip, hep:payload_type(Hep)),
    ?assertEqual(<<"myHep">>, hep:auth_key(Hep)),
    ?assertEqual(<<"js-INVITE@127.0.0.1">>, hep:correlation_id(Hep)),
    ?assertEqual(<<"node-", 16#c3, 16#a4>>, hep:node_name(Hep)),
    ?assertEqual(undefined, hep:vlan_id(Hep)),
    ?assertEqual(unknown, hep:vendor(Hep)),
    ?assertMatch(<<"INVITE ", _/binary>>, hep:payload(Hep)).

%%% Parsed packets

parsed_test() ->
    Chunks = [{<<0:16, 17:16>>, <<"a">>}, {<<1:16, 17:16>>, <<>>}, {<<0:16, 17:16>>, <<"b">>}],
    Bytes = hep_packets:frame([hep_packets:chunk(V, I, X) || {<<V:16, I:16>>, X} <- Chunks]),
    {ok, State} = hep_multi_parser:parse(Bytes),
    ?assertEqual(3, hep:get_version(State)),
    ?assertEqual(Chunks, hep:get_chunks(State)),
    ?assertEqual({ok, <<"a">>}, hep:get_chunk(0, 17, State)),
    ?assertEqual({ok, <<>>}, hep:get_chunk(1, 17, State)),
    ?assertEqual(not_found, hep:get_chunk(0, 18, State)),
    ?assertEqual(not_found, hep:get_chunk(2, 17, State)).

timestamp_parts_test() ->
    ?assertEqual(1383060353, hep_util:timestamp_secs({1383, 60353, 567123})),
    ?assertEqual(567123, hep_util:timestamp_microsecs({1383, 60353, 567123})).

names_and_numbers_test() ->
    [
        ?assertEqual({Name, Number}, {hep_util:Function(Number), hep_util:Function(Name)})
     || {Function, Name, Number} <- [
            {payload_type, sip, 1}, {payload_type, rtcp, 5}, {protocol_family, ipv4, 2}, {protocol_family, ipv6, 10}
        ]
    ],
    [
        ?assertEqual({error, {Reason, Term}}, hep_util:Function(Term))
     || {Function, Reason} <- [{payload_type, invalid_protocol}, {protocol_family, invalid_protocol_family}],
        Term <- [250, -1, 65536, foo, undefined, "sip", 1.0]
    ].
