%% @doc The baseline of the benchmark: the encoder as written in plain Erlang.
%%
%% It returns the bytes and errors of `hep:encode/1'. For version 3 it builds an iolist of the chunks, each
%% a small binary: appending them to one binary takes longer. A clause for packets with every field,
%% with one binary for all of them, saves a tenth at most. Names in place of numbers and the chunks of single
%% senders are left out.
-module(hep_baseline_encoder).

-include("hep.hrl").

-export([encode/1]).

-define(SIP, 1).
-define(SECOND, 1_000_000).

%% The header of a generic chunk whose value is `Width' bytes wide.
-define(HEADER(Id, Width), 0:16, Id:16, (6 + (Width)):16).
-define(IS_UINT(Value, Bits), is_integer(Value), Value >= 0, Value < 1 bsl Bits).
-define(IPV6(A, B, C, D, E, F, G, H), A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16).

-spec encode(#hep{}) -> {ok, iolist()} | {error, hep:encode_reason()}.
encode(#hep{version = 2} = Hep) ->
    try
        encode_v2(Hep)
    catch
        throw:Reason -> {error, Reason}
    end;
encode(#hep{version = 3} = Hep) ->
    try
        encode_v3(Hep)
    catch
        throw:Reason -> {error, Reason}
    end.

encode_v2(
    #hep{
        protocol_family = Family,
        protocol = Protocol,
        src_ip = SrcIp,
        src_port = SrcPort,
        dst_ip = DstIp,
        dst_port = DstPort,
        timestamp = Timestamp,
        node_id = NodeId,
        payload_type = ?SIP,
        payload = Payload,
        chunks = []
    } = Hep
) when
    ?IS_UINT(Protocol, 8), ?IS_UINT(SrcPort, 16), ?IS_UINT(DstPort, 16), is_binary(Payload)
->
    {Seconds, Microseconds} = time(Timestamp),
    Id = node_id_v2(NodeId),
    Header =
        case {SrcIp, DstIp} of
            {{S1, S2, S3, S4}, {D1, D2, D3, D4}} when
                (Family =:= 2 orelse Family =:= undefined),
                ?IS_UINT(S1, 8), ?IS_UINT(S2, 8), ?IS_UINT(S3, 8), ?IS_UINT(S4, 8),
                ?IS_UINT(D1, 8), ?IS_UINT(D2, 8), ?IS_UINT(D3, 8), ?IS_UINT(D4, 8)
            ->
                <<2, 28, 2, Protocol, SrcPort:16, DstPort:16, S1, S2, S3, S4, D1, D2, D3, D4,
                    Seconds:32, Microseconds:32, Id:16, 0:16>>;
            {{_, _, _, _, _, _, _, _}, {_, _, _, _, _, _, _, _}} when
                Family =:= 10; Family =:= undefined
            ->
                <<2, 52, 10, Protocol, SrcPort:16, DstPort:16, (value(src_ip, SrcIp))/binary,
                    (value(dst_ip, DstIp))/binary, Seconds:32, Microseconds:32, Id:16, 0:16>>;
            _ ->
                refuse_v2(Hep)
        end,
    sized(byte_size(Header) + byte_size(Payload), [Header, Payload]);
encode_v2(Hep) ->
    refuse_v2(Hep).

node_id_v2(undefined) -> 0;
node_id_v2(Id) when ?IS_UINT(Id, 16) -> Id;
node_id_v2(Id) when ?IS_UINT(Id, 32) -> throw({unsupported_field, node_id, 2});
node_id_v2(Id) -> throw({invalid_field, node_id, Id}).

%% The error of a packet of version 2.
-spec refuse_v2(#hep{}) -> no_return().
refuse_v2(#hep{payload_type = Type, chunks = Chunks} = Hep) ->
    _ = split(Chunks, [], []),
    _ = encode_v3(Hep#hep{chunks = []}),
    _ = address(dst_ip, 4, written_family(Hep), Hep#hep.dst_ip),
    Type =/= ?SIP andalso throw({unsupported_payload_type, Type}),
    Needed = [
        {protocol, Hep#hep.protocol},
        {src_ip, Hep#hep.src_ip},
        {dst_ip, Hep#hep.dst_ip},
        {src_port, Hep#hep.src_port},
        {dst_port, Hep#hep.dst_port}
    ],
    case [Field || {Field, undefined} <- Needed] of
        [Field | _] -> throw({missing_field, Field});
        [] when Hep#hep.protocol > 255 -> throw({unsupported_field, protocol, 2});
        [] -> throw({unsupported_field, chunks, 2})
    end.

encode_v3(#hep{payload = Payload} = Hep) when is_binary(Payload) ->
    {Generic, Vendors} = split(Hep#hep.chunks, [], []),
    {Before, Behind} = lists:splitwith(fun({Id, _}) -> Id =:= 0 end, Generic),
    Family = written_family(Hep),
    {Seconds, Microseconds} = time(Hep#hep.timestamp),
    Chunks = [
        generic(Before),
        field8(protocol_family, 1, Family),
        protocol(Hep#hep.protocol),
        addresses(Family, Hep),
        field16(src_port, 7, Hep#hep.src_port),
        field16(dst_port, 8, Hep#hep.dst_port),
        <<?HEADER(9, 4), Seconds:32, ?HEADER(10, 4), Microseconds:32>>,
        payload_type(Hep#hep.payload_type),
        node_id(Hep#hep.node_id),
        generic(Behind),
        <<?HEADER(15, byte_size(Payload))>>,
        Payload
        | Vendors
    ],
    Total = 6 + iolist_size(Chunks),
    sized(Total, [<<"HEP3", Total:16>> | Chunks]);
encode_v3(#hep{payload = Payload}) ->
    throw({invalid_field, payload, Payload}).

sized(Size, Packet) when Size =< 16#ffff -> {ok, Packet};
sized(Size, _) -> throw({packet_too_large, Size}).

written_family(#hep{protocol_family = undefined} = Hep) -> hep_baseline:family(Hep, undefined);
written_family(#hep{protocol_family = Family}) when Family =:= 2; Family =:= 10 -> Family;
written_family(#hep{protocol_family = Family}) -> throw({unknown_protocol_family, Family}).

field8(_, _, undefined) -> [];
field8(_, Id, Value) when ?IS_UINT(Value, 8) -> <<?HEADER(Id, 1), Value>>;
field8(Field, _, Value) -> throw({invalid_field, Field, Value}).

field16(_, _, undefined) -> [];
field16(_, Id, Value) when ?IS_UINT(Value, 16) -> <<?HEADER(Id, 2), Value:16>>;
field16(Field, _, Value) -> throw({invalid_field, Field, Value}).

%% Numbers above a byte, of Kamailio and others, are written in two bytes.
protocol(Protocol) when ?IS_UINT(Protocol, 8) -> <<?HEADER(2, 1), Protocol>>;
protocol(Protocol) -> field16(protocol, 2, Protocol).

payload_type(Type) when ?IS_UINT(Type, 8) -> <<?HEADER(11, 1), Type>>;
payload_type(Type) -> throw({invalid_field, payload_type, Type}).

node_id(undefined) -> [];
node_id(Id) when ?IS_UINT(Id, 32) -> <<?HEADER(12, 4), Id:32>>;
node_id(Id) -> throw({invalid_field, node_id, Id}).

%% If the record has the family of its source, the destination may be of another one.
addresses(10, #hep{protocol_family = 10, src_ip = SrcIp, dst_ip = {_, _, _, _} = DstIp}) when
    SrcIp =/= undefined
->
    Source = address(src_ip, 3, 10, SrcIp),
    [address(dst_ip, 4, 2, DstIp) | Source];
addresses(2, #hep{protocol_family = 2, src_ip = SrcIp, dst_ip = {_, _, _, _, _, _, _, _} = DstIp}) when
    SrcIp =/= undefined
->
    [address(src_ip, 3, 2, SrcIp) | address(dst_ip, 4, 10, DstIp)];
addresses(Family, #hep{src_ip = SrcIp, dst_ip = DstIp}) ->
    [address(src_ip, 3, Family, SrcIp) | address(dst_ip, 4, Family, DstIp)].

address(_, _, _, undefined) ->
    [];
address(_, Id, 2, {A, B, C, D}) when
    ?IS_UINT(A, 8), ?IS_UINT(B, 8), ?IS_UINT(C, 8), ?IS_UINT(D, 8)
->
    <<?HEADER(Id, 4), A, B, C, D>>;
address(Field, Id, 10, {_, _, _, _, _, _, _, _} = Address) ->
    [<<?HEADER((Id + 2), 16)>>, value(Field, Address)];
address(Field, _, _, Address) ->
    throw({invalid_field, Field, Address}).

value(_, {A, B, C, D, E, F, G, H}) when
    ?IS_UINT(A, 16), ?IS_UINT(B, 16), ?IS_UINT(C, 16), ?IS_UINT(D, 16),
    ?IS_UINT(E, 16), ?IS_UINT(F, 16), ?IS_UINT(G, 16), ?IS_UINT(H, 16)
->
    <<?IPV6(A, B, C, D, E, F, G, H)>>;
value(Field, Address) ->
    throw({invalid_field, Field, Address}).

%% Seconds and microseconds.
time(undefined) ->
    time(os:timestamp());
time({Mega, Seconds, Microseconds} = Timestamp) when
    ?IS_UINT(Mega, 32), ?IS_UINT(Seconds, 32), ?IS_UINT(Microseconds, 32)
->
    case Mega * ?SECOND + Seconds of
        Whole when Whole =< 16#ffffffff -> {Whole, Microseconds};
        _ -> throw({invalid_field, timestamp, Timestamp})
    end;
time(Timestamp) ->
    throw({invalid_field, timestamp, Timestamp}).

%% The generic chunks in the order of their ids, and the written chunks of vendors.
split([{{0, Id}, Value} = Chunk | Chunks], Generic, Vendors) when ?IS_UINT(Id, 16) ->
    split(Chunks, [{Id, bytes(Value, Chunk)} | Generic], Vendors);
split([{{Vendor, Id}, Value} = Chunk | Chunks], Generic, Vendors) when
    ?IS_UINT(Vendor, 16), ?IS_UINT(Id, 16)
->
    Bytes = bytes(Value, Chunk),
    split(Chunks, Generic, [[<<Vendor:16, Id:16, (6 + byte_size(Bytes)):16>>, Bytes] | Vendors]);
split([], Generic, Vendors) ->
    {lists:keysort(1, lists:reverse(Generic)), lists:reverse(Vendors)};
split([Chunk | _], _, _) ->
    throw({invalid_field, chunks, Chunk});
split(Chunks, _, _) ->
    throw({invalid_field, chunks, Chunks}).

bytes({Length, Value}, _) when is_binary(Value), Length =:= byte_size(Value) -> Value;
bytes(Value, _) when is_binary(Value) -> Value;
bytes(_, Chunk) -> throw({invalid_field, chunks, Chunk}).

generic([{Id, Value} | Generic]) ->
    case Id of
        _ when Id > 12, Id =/= 15, Id =/= 16; Id =:= 0 ->
            [<<?HEADER(Id, byte_size(Value))>>, Value | generic(Generic)];
        _ ->
            throw({invalid_field, chunks, {0, Id}})
    end;
generic([]) ->
    [].
