%% @doc Generators of packets and their parts, for the properties.
-module(hep_generators).

-include_lib("proper/include/proper.hrl").
-include("hep.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1]).

-export([
    any_bytes/0, any_packet/0, any_packet/1, any_record/0, decode_options/0, octets_or_none/0,
    optional/1, packet_or_bytes/0, uint/1
]).

-define(SECOND, 1000000).

%%% Numbers, addresses, bytes

optional(Type) ->
    oneof([undefined, Type, Type, Type]).

uint(Bits) ->
    oneof([integer(0, 1 bsl Bits - 1), 0, 1 bsl Bits - 1]).

ipv4() ->
    {byte(), byte(), byte(), byte()}.

ipv6() ->
    ?LET(Segments, vector(8, uint(16)), list_to_tuple(Segments)).

any_bytes() ->
    ?LET(
        {Start, Rest},
        {oneof([<<>>, <<"HEP3">>, <<"EEP3">>, <<1>>, <<2>>, <<2, 16, 2>>]), binary()},
        <<Start/binary, Rest/binary>>
    ).

%%% Packets that can be written

any_packet() ->
    oneof([any_packet(1), any_packet(2), any_packet(3)]).

any_packet(3) ->
    ?LET(
        {{Family, Source, Destination}, Protocol, Ports, Timestamp, NodeId, Type, Payload, Chunks},
        {
            oneof([
                {optional(2), optional(ipv4()), optional(ipv4())},
                {optional(10), optional(ipv6()), optional(ipv6())},
                {2, ipv4(), ipv6()},
                {10, ipv6(), ipv4()},
                {optional(oneof([2, 10])), undefined, undefined}
            ]),
            optional(oneof([byte(), uint(16)])),
            {optional(uint(16)), optional(uint(16))},
            optional(timestamp()),
            optional(uint(32)),
            byte(),
            payload(),
            list(kept_chunk())
        },
        #hep{
            version = 3,
            protocol_family = Family,
            protocol = Protocol,
            src_ip = Source,
            src_port = element(1, Ports),
            dst_ip = Destination,
            dst_port = element(2, Ports),
            timestamp = Timestamp,
            node_id = NodeId,
            payload_type = Type,
            payload = Payload,
            chunks = Chunks
        }
    );
any_packet(Version) ->
    ?LET(
        {{Family, Source, Destination}, Protocol, SrcPort, DstPort, Timestamp, NodeId, Payload},
        {
            oneof([{optional(2), ipv4(), ipv4()}, {optional(10), ipv6(), ipv6()}]),
            byte(),
            uint(16),
            uint(16),
            optional(timestamp()),
            node_id(Version),
            payload()
        },
        #hep{
            version = Version,
            protocol_family = Family,
            protocol = Protocol,
            src_ip = Source,
            src_port = SrcPort,
            dst_ip = Destination,
            dst_port = DstPort,
            timestamp = Timestamp,
            node_id = NodeId,
            payload = Payload
        }
    ).

node_id(1) -> undefined;
node_id(2) -> optional(uint(16)).

%% With megaseconds, or with all seconds in the second element. The fixtures test microseconds of a second or more,
%% which may be read as swapped.
timestamp() ->
    ?LET(
        {Seconds, Carried, Micros},
        {uint(32), boolean(), oneof([integer(0, ?SECOND - 1), 0, ?SECOND - 1])},
        case Carried of
            true -> {Seconds div ?SECOND, Seconds rem ?SECOND, Micros};
            false -> {0, Seconds, Micros}
        end
    ).

%% Usually small. The last byte is not NUL, since versions 1 and 2 remove trailing NUL bytes.
payload() ->
    frequency([
        {1, <<>>},
        {10, ?LET(Bytes, binary(), <<Bytes/binary, "x">>)},
        {3,
            ?LET(
                {Size, Byte},
                {integer(0, 2000), byte()},
                <<(binary:copy(<<Byte>>, Size))/binary, "x">>
            )},
        {1, ?LET(Size, integer(1, 63000), <<(rand:bytes(Size - 1))/binary, "x">>)},
        {1, ?LET(Size, integer(62000, 63000), <<(rand:bytes(Size - 1))/binary, "x">>)}
    ]).

%% Chunks without a field: of vendors, unknown ones, generic ones of the right width, and the ports that
%% an old sender writes as IPv6 addresses; in both forms.
kept_chunk() ->
    ?LET(
        {Key, Value, IsLong},
        oneof([
            {{integer(1, 1 bsl 16 - 1), uint(16)}, octets_or_none(), boolean()},
            {{integer(1, 9), integer(0, 50)}, octets_or_none(), boolean()},
            {{0, oneof([0, 25, 31, 42, 99, 102, 65535])}, octets_or_none(), boolean()},
            {{0, oneof([23, 24])}, binary(1), boolean()},
            {{0, oneof([5, 6, 13, 18, 22, 32, 33, 39, 40])}, binary(2), boolean()},
            {{0, 35}, binary(4), boolean()},
            {{0, oneof([20, 21])}, binary(8), boolean()},
            {{0, oneof([14, 17, 19, 34, 36, 37, 38, 41, 101])}, octets_or_none(), boolean()}
        ]),
        case IsLong of
            true -> {Key, {byte_size(Value), Value}};
            false -> {Key, Value}
        end
    ).

octets_or_none() ->
    oneof([<<>>, binary(), binary()]).

%%% Records of any facts, and what is read

%% All fields are in range.
any_record() ->
    ?LET(
        {Version, Family, [Protocol, SrcPort, DstPort], [Src, Dst], Time, Id, Type, Payload, Chunks},
        {
            integer(1, 3),
            oneof([undefined, 2, 10]),
            vector(3, optional(uint(16))),
            vector(2, optional(any_address())),
            optional(any_timestamp()),
            optional(uint(32)),
            uint(8),
            octets(),
            list(any_chunk())
        },
        #hep{
            version = Version,
            protocol_family = Family,
            protocol = Protocol,
            src_ip = Src,
            src_port = SrcPort,
            dst_ip = Dst,
            dst_port = DstPort,
            timestamp = Time,
            node_id = Id,
            payload_type = Type,
            payload = Payload,
            chunks = Chunks
        }
    ).

any_address() ->
    oneof([
        ?LET(Octets, vector(4, uint(8)), list_to_tuple(Octets)),
        ?LET(Segments, vector(8, oneof([0, uint(16)])), list_to_tuple(Segments)),
        {0, 0, 0, 0, 0, 65535, uint(16), uint(16)},
        {0, 0, 0, 0, 0, 0, uint(16), uint(16)}
    ]).

any_timestamp() ->
    ?LET(
        {Seconds, Micros},
        {uint(32), oneof([integer(0, 999999), 999999, 1000000, uint(32)])},
        {Seconds div 1000000, Seconds rem 1000000, Micros}
    ).

octets() -> oneof([binary(), utf8(), <<>>, <<0>>, <<"\"\\/\b\f\n\r\t\d">>]).

%% Generic chunks of any width, including those with a field, and chunks of vendors.
any_chunk() ->
    ?LET(
        {Vendor, Id, Value, Form},
        {oneof([0, 0, 0, uint(16)]), oneof([integer(0, 50), 101, uint(16)]), sized_octets(), oneof([bare, sized])},
        case Form of
            bare -> {{Vendor, Id}, Value};
            sized -> {{Vendor, Id}, {byte_size(Value), Value}}
        end
    ).

sized_octets() ->
    ?LET(Width, oneof([1, 2, 4, 8, 16, any]),
        case Width of
            any -> octets();
            _ -> binary(Width)
        end).

packet_or_bytes() ->
    oneof([
        ?LET(Chunks, list({uint(16), uint(16), octets()}), frame([chunk(V, I, B) || {V, I, B} <- Chunks])),
        ?LET(Chunks, list({integer(0, 50), sized_octets()}), frame([chunk(I, B) || {I, B} <- Chunks])),
        ?LET(
            {Version, Length, Family, Rest},
            {integer(1, 2), oneof([16, 28, 40, 52, byte()]), oneof([2, 10, 30]), binary(60)},
            <<Version, Length, Family, Rest/binary>>
        ),
        binary()
    ]).

decode_options() ->
    ?LET(
        Options,
        list(
            oneof([
                {header_length, oneof([strict, ignore])},
                {v2_order, oneof([auto, big, little])},
                {capture_id, oneof([keep, repair])},
                {max_inflated, uint(64)}
            ])
        ),
        maps:from_list(Options)
    ).
