%% @doc The numbers and names of the registry convert both ways, in the API and in the native code.
-module(hep_registry_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

payload_types_test() ->
    [
        begin
            Name = hep_registry:payload_type_name(Number),
            ?assertEqual(Name, hep:payload_type((hep:new())#hep{payload_type = Number})),
            ?assertEqual(Number, stored(payload_type, Number)),
            ?assertEqual(Number, back(Number, Name, fun hep_registry:payload_type_number/1)),
            ?assertEqual(Number, stored(payload_type, Name))
        end
     || Number <- lists:seq(0, 255), Number =/= 16
    ],
    ?assertEqual(26, length(names(fun hep_registry:payload_type_name/1, 255))).

%% The original library's number for IAX.
iax_has_two_numbers_test() ->
    ?assertEqual(iax, hep_registry:payload_type_name(16)),
    ?assertEqual(iax, hep_registry:payload_type_name(10)),
    ?assertEqual(10, hep_registry:payload_type_number(iax)),
    ?assertEqual(iax, hep:payload_type(hep:payload_type(16, hep:new()))).

specified_payload_types_test_() ->
    [
        {atom_to_list(Name), fun() ->
            ?assertEqual(Name, hep_registry:payload_type_name(Number)),
            ?assertEqual(Number, hep_registry:payload_type_number(Name))
        end}
     || {Number, Name} <- [
            {16#00, reserved},
            {16#01, sip},
            {16#02, xmpp},
            {16#03, sdp},
            {16#04, rtp},
            {16#05, rtcp},
            {16#06, mgcp},
            {16#07, megaco},
            {16#08, m2ua},
            {16#09, m3ua},
            {16#0a, iax},
            {16#0b, h322},
            {16#0c, h321},
            {16#0d, m2pa},
            {16#22, mos_full},
            {16#23, mos_short},
            {16#32, sip_json},
            {16#35, dns_json},
            {16#36, m3ua_json},
            {16#37, rtsp},
            {16#38, diameter},
            {16#39, gsm_map},
            {16#3a, rtcp_pion},
            {16#3c, cdr},
            {16#3d, verto},
            {16#64, log}
        ]
    ].

vendors_test() ->
    [
        begin
            Name = hep_registry:vendor_name(Number),
            ?assertEqual(Number, back(Number, Name, fun hep_registry:vendor_number/1)),
            Chunks = [{{Number, 1}, {1, <<"x">>}}],
            ?assertEqual(Name, hep:vendor((hep:new())#hep{chunks = Chunks}))
        end
     || Number <- lists:seq(0, 65535)
    ],
    ?assertEqual(
        [unknown, freeswitch, kamailio, opensips, asterisk, homer, sipxecs, yeti, genesys],
        [Name || {_, Name} <- names(fun hep_registry:vendor_name/1, 65535)]
    ).

families_test() ->
    [
        begin
            Name = hep_registry:protocol_family_name(Number),
            ?assertEqual(Name, hep:protocol_family((hep:new())#hep{protocol_family = Number})),
            ?assertEqual(Number, back(Number, Name, fun hep_registry:protocol_family_number/1)),
            ?assertEqual(Number, stored(protocol_family, Name))
        end
     || Number <- lists:seq(0, 255)
    ],
    Names = names(fun hep_registry:protocol_family_name/1, 255),
    ?assertEqual([{2, ipv4}, {10, ipv6}], Names).

unknown_names_have_no_number_test() ->
    [
        ?assertEqual(undefined, Convert(Wrong))
     || Convert <- [
            fun hep_registry:payload_type_number/1,
            fun hep_registry:vendor_number/1,
            fun hep_registry:protocol_family_number/1
        ],
        Wrong <- [no_such_name, undefined, "sip", <<"sip">>, 1, {}, []]
    ].

%% Every chunk of the codec has an entry here, with its name.
chunk_ids_test() ->
    ?assertEqual(
        hep_packets:named_ids(),
        lists:sort([hep_registry:chunk_id(Chunk) || {Chunk, _} <- chunks()])
    ),
    [
        ?assertEqual({Chunk, [Name]}, {Chunk, hep_packets:chunk_names(Id)})
     || {Chunk, Name} <- chunks(), Id <- [hep_registry:chunk_id(Chunk)]
    ],
    ?assertError(function_clause, hep_registry:chunk_id(no_such_chunk)).

%% The keys of the chunk view, for every id; those of generic chunks are prepared.
chunk_keys_test_() ->
    [
        {integer_to_list(Vendor), fun() ->
            [?assertEqual(keys(Vendor, Ids), parsed_keys(Vendor, Ids)) || Ids <- batches()]
        end}
     || Vendor <- [0, 1, 255, 256, 65535]
    ].

keys(Vendor, Ids) ->
    [<<Vendor:16, Id:16>> || Id <- Ids].

parsed_keys(Vendor, Ids) ->
    Frame = hep_packets:frame([hep_packets:chunk(Vendor, Id, <<>>) || Id <- Ids]),
    {ok, State} = hep_multi_parser:parse(Frame),
    [Key || {Key, <<>>} <- hep:get_chunks(State)].

%% As many ids as fit into a packet.
batches() ->
    [lists:seq(First, min(First + 9999, 65535)) || First <- lists:seq(0, 65535, 10000)].

chunks() ->
    [
        {protocol_family, <<"ipProtocolFamily">>},
        {protocol, <<"ipProtocol">>},
        {ipv4_source, <<"srcIpAddress">>},
        {ipv4_destination, <<"dstIpAddress">>},
        {ipv6_source, <<"srcIpAddress">>},
        {ipv6_destination, <<"dstIpAddress">>},
        {source_port, <<"srcPort">>},
        {destination_port, <<"dstPort">>},
        {seconds, <<"timestampSeconds">>},
        {microseconds, <<"timestampMicroseconds">>},
        {payload_type, <<"payloadType">>},
        {capture_id, <<"captureAgentId">>},
        {keep_alive, <<"keepAliveSeconds">>},
        {auth_key, <<"authenticateKey">>},
        {payload, <<"payload">>},
        {compressed_payload, <<"compressedPayload">>},
        {correlation_id, <<"correlationId">>},
        {vlan_id, <<"vlanId">>},
        {node_name, <<"captureAgentName">>},
        {source_mac, <<"srcMacAddress">>},
        {destination_mac, <<"dstMacAddress">>},
        {ethernet_type, <<"ethernetType">>},
        {tcp_flags, <<"tcpFlags">>},
        {ip_tos, <<"ipTos">>},
        {mos_value, <<"mosValue">>},
        {r_factor, <<"rFactor">>},
        {geo_location, <<"geoLocation">>},
        {jitter, <<"jitter">>},
        {transaction_type, <<"transactionType">>},
        {payload_json_keys, <<"payloadJsonKeys">>},
        {tags_values, <<"tagsValues">>},
        {tag_type, <<"tagType">>},
        {event_type, <<"eventType">>},
        {group_id, <<"groupId">>},
        {correlations, <<"correlations">>}
    ].

names(NameOf, Last) ->
    [{N, Name} || N <- lists:seq(0, Last), N =/= 16, Name <- [NameOf(N)], is_atom(Name)].

%% The number of a name; a number without a name stands for itself.
back(Number, Number, _) -> Number;
back(_, Name, NumberOf) -> NumberOf(Name).

%% The value that a setter stores in the record.
stored(payload_type, Value) -> (hep:payload_type(Value, hep:new()))#hep.payload_type;
stored(protocol_family, Value) -> (hep:protocol_family(Value, hep:new()))#hep.protocol_family.
