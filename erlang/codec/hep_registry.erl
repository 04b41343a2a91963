%% Generated from native/hep/src/registry.rs by `make registry`. Do not edit.

%% @private The protocol's numbers and names. A number without a name stays a number.
-module(hep_registry).

-export([protocol_family_name/1, protocol_family_number/1]).
-export([payload_type_name/1, payload_type_number/1]).
-export([vendor_name/1, vendor_number/1]).
-export([magics/0, max_inflated/0, chunk_id/1, names/0, keys/0]).
-export_type([protocol_family/0, payload_type/0, vendor/0, chunk/0]).

-type protocol_family() ::
    ipv4
    | ipv6.

-type payload_type() ::
    reserved
    | sip
    | xmpp
    | sdp
    | rtp
    | rtcp
    | mgcp
    | megaco
    | m2ua
    | m3ua
    | iax
    | h322
    | h321
    | m2pa
    | mos_full
    | mos_short
    | sip_json
    | dns_json
    | m3ua_json
    | rtsp
    | diameter
    | gsm_map
    | rtcp_pion
    | cdr
    | verto
    | log.

-type vendor() ::
    unknown
    | freeswitch
    | kamailio
    | opensips
    | asterisk
    | homer
    | sipxecs
    | yeti
    | genesys.

-type chunk() ::
    protocol_family
    | protocol
    | ipv4_source
    | ipv4_destination
    | ipv6_source
    | ipv6_destination
    | source_port
    | destination_port
    | seconds
    | microseconds
    | payload_type
    | capture_id
    | keep_alive
    | auth_key
    | payload
    | compressed_payload
    | correlation_id
    | vlan_id
    | node_name
    | source_mac
    | destination_mac
    | ethernet_type
    | tcp_flags
    | ip_tos
    | mos_value
    | r_factor
    | geo_location
    | jitter
    | transaction_type
    | payload_json_keys
    | tags_values
    | tag_type
    | event_type
    | group_id
    | correlations.

-spec protocol_family_name(0..65535) -> protocol_family() | 0..65535.
protocol_family_name(2) -> ipv4;
protocol_family_name(10) -> ipv6;
protocol_family_name(Number) -> Number.

-spec protocol_family_number(term()) -> 0..65535 | undefined.
protocol_family_number(ipv4) -> 2;
protocol_family_number(ipv6) -> 10;
protocol_family_number(_) -> undefined.

-spec payload_type_name(0..65535) -> payload_type() | 0..65535.
payload_type_name(0) -> reserved;
payload_type_name(1) -> sip;
payload_type_name(2) -> xmpp;
payload_type_name(3) -> sdp;
payload_type_name(4) -> rtp;
payload_type_name(5) -> rtcp;
payload_type_name(6) -> mgcp;
payload_type_name(7) -> megaco;
payload_type_name(8) -> m2ua;
payload_type_name(9) -> m3ua;
payload_type_name(10) -> iax;
payload_type_name(11) -> h322;
payload_type_name(12) -> h321;
payload_type_name(13) -> m2pa;
payload_type_name(16) -> iax;
payload_type_name(34) -> mos_full;
payload_type_name(35) -> mos_short;
payload_type_name(50) -> sip_json;
payload_type_name(53) -> dns_json;
payload_type_name(54) -> m3ua_json;
payload_type_name(55) -> rtsp;
payload_type_name(56) -> diameter;
payload_type_name(57) -> gsm_map;
payload_type_name(58) -> rtcp_pion;
payload_type_name(60) -> cdr;
payload_type_name(61) -> verto;
payload_type_name(100) -> log;
payload_type_name(Number) -> Number.

-spec payload_type_number(term()) -> 0..65535 | undefined.
payload_type_number(reserved) -> 0;
payload_type_number(sip) -> 1;
payload_type_number(xmpp) -> 2;
payload_type_number(sdp) -> 3;
payload_type_number(rtp) -> 4;
payload_type_number(rtcp) -> 5;
payload_type_number(mgcp) -> 6;
payload_type_number(megaco) -> 7;
payload_type_number(m2ua) -> 8;
payload_type_number(m3ua) -> 9;
payload_type_number(iax) -> 10;
payload_type_number(h322) -> 11;
payload_type_number(h321) -> 12;
payload_type_number(m2pa) -> 13;
payload_type_number(mos_full) -> 34;
payload_type_number(mos_short) -> 35;
payload_type_number(sip_json) -> 50;
payload_type_number(dns_json) -> 53;
payload_type_number(m3ua_json) -> 54;
payload_type_number(rtsp) -> 55;
payload_type_number(diameter) -> 56;
payload_type_number(gsm_map) -> 57;
payload_type_number(rtcp_pion) -> 58;
payload_type_number(cdr) -> 60;
payload_type_number(verto) -> 61;
payload_type_number(log) -> 100;
payload_type_number(_) -> undefined.

-spec vendor_name(0..65535) -> vendor() | 0..65535.
vendor_name(0) -> unknown;
vendor_name(1) -> freeswitch;
vendor_name(2) -> kamailio;
vendor_name(3) -> opensips;
vendor_name(4) -> asterisk;
vendor_name(5) -> homer;
vendor_name(6) -> sipxecs;
vendor_name(7) -> yeti;
vendor_name(8) -> genesys;
vendor_name(Number) -> Number.

-spec vendor_number(term()) -> 0..65535 | undefined.
vendor_number(unknown) -> 0;
vendor_number(freeswitch) -> 1;
vendor_number(kamailio) -> 2;
vendor_number(opensips) -> 3;
vendor_number(asterisk) -> 4;
vendor_number(homer) -> 5;
vendor_number(sipxecs) -> 6;
vendor_number(yeti) -> 7;
vendor_number(genesys) -> 8;
vendor_number(_) -> undefined.

%% What a packet of version 3 begins with.
-spec magics() -> [<<_:32>>, ...].
magics() -> [<<"HEP3">>, <<"EEP3">>].

%% The default of the decoding option of this name.
-spec max_inflated() -> pos_integer().
max_inflated() -> 262144.

-spec chunk_id(chunk()) -> hep:chunk_id().
chunk_id(protocol_family) -> 1;
chunk_id(protocol) -> 2;
chunk_id(ipv4_source) -> 3;
chunk_id(ipv4_destination) -> 4;
chunk_id(ipv6_source) -> 5;
chunk_id(ipv6_destination) -> 6;
chunk_id(source_port) -> 7;
chunk_id(destination_port) -> 8;
chunk_id(seconds) -> 9;
chunk_id(microseconds) -> 10;
chunk_id(payload_type) -> 11;
chunk_id(capture_id) -> 12;
chunk_id(keep_alive) -> 13;
chunk_id(auth_key) -> 14;
chunk_id(payload) -> 15;
chunk_id(compressed_payload) -> 16;
chunk_id(correlation_id) -> 17;
chunk_id(vlan_id) -> 18;
chunk_id(node_name) -> 19;
chunk_id(source_mac) -> 20;
chunk_id(destination_mac) -> 21;
chunk_id(ethernet_type) -> 22;
chunk_id(tcp_flags) -> 23;
chunk_id(ip_tos) -> 24;
chunk_id(mos_value) -> 32;
chunk_id(r_factor) -> 33;
chunk_id(geo_location) -> 34;
chunk_id(jitter) -> 35;
chunk_id(transaction_type) -> 36;
chunk_id(payload_json_keys) -> 37;
chunk_id(tags_values) -> 38;
chunk_id(tag_type) -> 39;
chunk_id(event_type) -> 40;
chunk_id(group_id) -> 41;
chunk_id(correlations) -> 101.

%% The names of the generic chunks, the chunk of id 0 first, and their keys in the chunk view: literals,
%% which cost nothing to hand to the codec and to put into terms.
-spec names() -> tuple().
names() ->
    {<<"">>,
     <<"ipProtocolFamily">>,
     <<"ipProtocol">>,
     <<"srcIpAddress">>,
     <<"dstIpAddress">>,
     <<"srcIpAddress">>,
     <<"dstIpAddress">>,
     <<"srcPort">>,
     <<"dstPort">>,
     <<"timestampSeconds">>,
     <<"timestampMicroseconds">>,
     <<"payloadType">>,
     <<"captureAgentId">>,
     <<"keepAliveSeconds">>,
     <<"authenticateKey">>,
     <<"payload">>,
     <<"compressedPayload">>,
     <<"correlationId">>,
     <<"vlanId">>,
     <<"captureAgentName">>,
     <<"srcMacAddress">>,
     <<"dstMacAddress">>,
     <<"ethernetType">>,
     <<"tcpFlags">>,
     <<"ipTos">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"mosValue">>,
     <<"rFactor">>,
     <<"geoLocation">>,
     <<"jitter">>,
     <<"transactionType">>,
     <<"payloadJsonKeys">>,
     <<"tagsValues">>,
     <<"tagType">>,
     <<"eventType">>,
     <<"groupId">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"">>,
     <<"correlations">>}.

-spec keys() -> tuple().
keys() ->
    {<<0:16, 0:16>>,
     <<0:16, 1:16>>,
     <<0:16, 2:16>>,
     <<0:16, 3:16>>,
     <<0:16, 4:16>>,
     <<0:16, 5:16>>,
     <<0:16, 6:16>>,
     <<0:16, 7:16>>,
     <<0:16, 8:16>>,
     <<0:16, 9:16>>,
     <<0:16, 10:16>>,
     <<0:16, 11:16>>,
     <<0:16, 12:16>>,
     <<0:16, 13:16>>,
     <<0:16, 14:16>>,
     <<0:16, 15:16>>,
     <<0:16, 16:16>>,
     <<0:16, 17:16>>,
     <<0:16, 18:16>>,
     <<0:16, 19:16>>,
     <<0:16, 20:16>>,
     <<0:16, 21:16>>,
     <<0:16, 22:16>>,
     <<0:16, 23:16>>,
     <<0:16, 24:16>>,
     <<0:16, 25:16>>,
     <<0:16, 26:16>>,
     <<0:16, 27:16>>,
     <<0:16, 28:16>>,
     <<0:16, 29:16>>,
     <<0:16, 30:16>>,
     <<0:16, 31:16>>,
     <<0:16, 32:16>>,
     <<0:16, 33:16>>,
     <<0:16, 34:16>>,
     <<0:16, 35:16>>,
     <<0:16, 36:16>>,
     <<0:16, 37:16>>,
     <<0:16, 38:16>>,
     <<0:16, 39:16>>,
     <<0:16, 40:16>>,
     <<0:16, 41:16>>,
     <<0:16, 42:16>>,
     <<0:16, 43:16>>,
     <<0:16, 44:16>>,
     <<0:16, 45:16>>,
     <<0:16, 46:16>>,
     <<0:16, 47:16>>,
     <<0:16, 48:16>>,
     <<0:16, 49:16>>,
     <<0:16, 50:16>>,
     <<0:16, 51:16>>,
     <<0:16, 52:16>>,
     <<0:16, 53:16>>,
     <<0:16, 54:16>>,
     <<0:16, 55:16>>,
     <<0:16, 56:16>>,
     <<0:16, 57:16>>,
     <<0:16, 58:16>>,
     <<0:16, 59:16>>,
     <<0:16, 60:16>>,
     <<0:16, 61:16>>,
     <<0:16, 62:16>>,
     <<0:16, 63:16>>,
     <<0:16, 64:16>>,
     <<0:16, 65:16>>,
     <<0:16, 66:16>>,
     <<0:16, 67:16>>,
     <<0:16, 68:16>>,
     <<0:16, 69:16>>,
     <<0:16, 70:16>>,
     <<0:16, 71:16>>,
     <<0:16, 72:16>>,
     <<0:16, 73:16>>,
     <<0:16, 74:16>>,
     <<0:16, 75:16>>,
     <<0:16, 76:16>>,
     <<0:16, 77:16>>,
     <<0:16, 78:16>>,
     <<0:16, 79:16>>,
     <<0:16, 80:16>>,
     <<0:16, 81:16>>,
     <<0:16, 82:16>>,
     <<0:16, 83:16>>,
     <<0:16, 84:16>>,
     <<0:16, 85:16>>,
     <<0:16, 86:16>>,
     <<0:16, 87:16>>,
     <<0:16, 88:16>>,
     <<0:16, 89:16>>,
     <<0:16, 90:16>>,
     <<0:16, 91:16>>,
     <<0:16, 92:16>>,
     <<0:16, 93:16>>,
     <<0:16, 94:16>>,
     <<0:16, 95:16>>,
     <<0:16, 96:16>>,
     <<0:16, 97:16>>,
     <<0:16, 98:16>>,
     <<0:16, 99:16>>,
     <<0:16, 100:16>>,
     <<0:16, 101:16>>}.
