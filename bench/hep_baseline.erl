%% @doc The yardstick of the benchmark: the decoder and the encoder that one would write in plain Erlang.
%%
%% Binary patterns, one clause for each chunk id with its width, the match context handed from chunk
%% to chunk. The answers are those of `hep:decode/1', `hep_multi_parser:parse/1' and
%% `hep_transform:transform/1', errors included. Left out are compressed payloads and what only
%% single senders do; none of it would cost the packets of the benchmark much.
%%
%% Plain Erlang has room left: to carry each field as an argument of its own, in place of the
%% record, takes about a quarter off `decode/1' for version 3, at the price of a function of
%% fourteen arguments.
%%
%% The encoder gives the bytes of `hep:encode/1' and its errors. Of version 3 it makes an iolist of the
%% chunks, each a small binary: to append them to one binary takes longer. A clause for packets that have
%% every field, with one binary for all of them, takes off a tenth at the most. Left out are names in place
%% of numbers and the chunks of single senders.
-module(hep_baseline).

-include("hep.hrl").

-export([decode/1, encode/1, parse/1, transform/1]).
%% The callbacks of the module for vendor 0.
-export([vendor_id/0, namespace/0, transform/2]).

-define(SIP, 1).
-define(SECOND, 1_000_000).

%% The header of a generic chunk whose value is `Width' bytes wide.
-define(HEADER(Id, Width), 0:16, Id:16, (6 + (Width)):16).
-define(IS_UINT(Value, Bits), is_integer(Value), Value >= 0, Value < 1 bsl Bits).
-define(IPV6(A, B, C, D, E, F, G, H), A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16).

%% What several chunks tell together, and the chunks without a field, the last one first.
-record(facts, {
    family :: byte() | undefined,
    seconds :: hep:uint32() | undefined,
    microseconds :: hep:uint32() | undefined,
    kept = [] :: [hep:record_chunk()]
}).

%%% The record view

-spec decode(binary()) -> {ok, #hep{}} | {error, hep:reason()}.
decode(<<"HEP3", Length:16, Rest/binary>>) ->
    decode_v3(Length, Rest);
decode(<<"EEP3", Length:16, Rest/binary>>) ->
    decode_v3(Length, Rest);
decode(
    <<2, HeaderLength, 2, Protocol, SrcPort:16, DstPort:16, S1, S2, S3, S4, D1, D2, D3, D4,
        Seconds:32, Microseconds:32, Id:16, _:16, Payload/binary>>
) when HeaderLength =:= 28; HeaderLength =:= 16 ->
    {Timestamp, NodeId} = time(HeaderLength =:= 28, Seconds, Microseconds, Id),
    {ok, #hep{
        version = 2,
        protocol_family = 2,
        protocol = Protocol,
        src_ip = {S1, S2, S3, S4},
        src_port = SrcPort,
        dst_ip = {D1, D2, D3, D4},
        dst_port = DstPort,
        timestamp = Timestamp,
        node_id = NodeId,
        payload_type = ?SIP,
        payload = Payload
    }};
decode(
    <<2, HeaderLength, 10, Protocol, SrcPort:16, DstPort:16, ?IPV6(S1, S2, S3, S4, S5, S6, S7, S8),
        ?IPV6(D1, D2, D3, D4, D5, D6, D7, D8), Seconds:32, Microseconds:32, Id:16, _:16,
        Payload/binary>>
) when HeaderLength =:= 52; HeaderLength =:= 40 ->
    {Timestamp, NodeId} = time(HeaderLength =:= 52, Seconds, Microseconds, Id),
    {ok, #hep{
        version = 2,
        protocol_family = 10,
        protocol = Protocol,
        src_ip = {S1, S2, S3, S4, S5, S6, S7, S8},
        src_port = SrcPort,
        dst_ip = {D1, D2, D3, D4, D5, D6, D7, D8},
        dst_port = DstPort,
        timestamp = Timestamp,
        node_id = NodeId,
        payload_type = ?SIP,
        payload = Payload
    }};
decode(
    <<1, 16, 2, Protocol, SrcPort:16, DstPort:16, S1, S2, S3, S4, D1, D2, D3, D4, Payload/binary>>
) ->
    {ok, #hep{
        version = 1,
        protocol_family = 2,
        protocol = Protocol,
        src_ip = {S1, S2, S3, S4},
        src_port = SrcPort,
        dst_ip = {D1, D2, D3, D4},
        dst_port = DstPort,
        timestamp = os:timestamp(),
        payload_type = ?SIP,
        payload = Payload
    }};
decode(
    <<1, 40, 10, Protocol, SrcPort:16, DstPort:16, ?IPV6(S1, S2, S3, S4, S5, S6, S7, S8),
        ?IPV6(D1, D2, D3, D4, D5, D6, D7, D8), Payload/binary>>
) ->
    {ok, #hep{
        version = 1,
        protocol_family = 10,
        protocol = Protocol,
        src_ip = {S1, S2, S3, S4, S5, S6, S7, S8},
        src_port = SrcPort,
        dst_ip = {D1, D2, D3, D4, D5, D6, D7, D8},
        dst_port = DstPort,
        timestamp = os:timestamp(),
        payload_type = ?SIP,
        payload = Payload
    }};
decode(<<Version, HeaderLength, Family, _/binary>> = Packet) when Version =:= 1; Version =:= 2 ->
    {error, fixed_header_error(Version, HeaderLength, Family, byte_size(Packet))};
decode(<<Version, _/binary>> = Packet) when Version =:= 1; Version =:= 2 ->
    {error, {truncated, byte_size(Packet)}};
decode(Packet) when is_binary(Packet) ->
    Size = byte_size(Packet),
    Begun = [
        Magic
     || Magic <- [<<"HEP3">>, <<"EEP3">>],
        binary:longest_common_prefix([Magic, Packet]) =:= min(4, Size)
    ],
    case Begun of
        [_ | _] when Size > 0 -> {error, {truncated, Size}};
        _ -> {error, not_hep}
    end.

fixed_header_error(_, _, Family, _) when Family =/= 2, Family =/= 10 ->
    {unknown_protocol_family, Family};
fixed_header_error(Version, HeaderLength, Family, Size) ->
    case {Version, Family, HeaderLength} of
        {_, 2, 16} -> {truncated, Size};
        {_, 10, 40} -> {truncated, Size};
        {2, 2, 28} -> {truncated, Size};
        {2, 10, 52} -> {truncated, Size};
        _ -> {invalid_header_length, HeaderLength}
    end.

%% Senders in C write the time in their host's order: the order in which the microseconds are below
%% a second holds, and where that tells nothing, the header length does.
time(true, Seconds, Microseconds, Id) when Microseconds < ?SECOND ->
    {timestamp(Seconds, Microseconds), Id};
time(IsDocumented, Seconds, Microseconds, Id) ->
    Swapped = swap32(Microseconds),
    IsLittle =
        case {Microseconds < ?SECOND, Swapped < ?SECOND} of
            {Same, Same} -> not IsDocumented;
            {_, Little} -> Little
        end,
    case IsLittle of
        true -> {timestamp(swap32(Seconds), Swapped), swap16(Id)};
        false -> {timestamp(Seconds, Microseconds), Id}
    end.

swap32(Integer) ->
    <<Swapped:32/little>> = <<Integer:32>>,
    Swapped.

swap16(Integer) ->
    <<Swapped:16/little>> = <<Integer:16>>,
    Swapped.

decode_v3(Length, Rest) ->
    case Rest of
        <<Chunks:(Length - 6)/binary, _/binary>> ->
            chunks(Chunks, Length, #hep{version = 3}, #facts{});
        _ when Length < 6 ->
            {error, {invalid_total_length, Length}};
        _ ->
            {error, {truncated, 6 + byte_size(Rest)}}
    end.

chunks(<<?HEADER(1, 1), Family, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep, Facts#facts{family = Family});
chunks(<<?HEADER(2, 1), Protocol, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{protocol = Protocol}, Facts);
chunks(<<?HEADER(3, 4), A, B, C, D, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{src_ip = {A, B, C, D}}, Facts);
chunks(<<?HEADER(4, 4), A, B, C, D, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{dst_ip = {A, B, C, D}}, Facts);
chunks(<<?HEADER(5, 16), ?IPV6(A, B, C, D, E, F, G, H), Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{src_ip = {A, B, C, D, E, F, G, H}}, Facts);
chunks(<<?HEADER(6, 16), ?IPV6(A, B, C, D, E, F, G, H), Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{dst_ip = {A, B, C, D, E, F, G, H}}, Facts);
chunks(<<?HEADER(7, 2), Port:16, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{src_port = Port}, Facts);
chunks(<<?HEADER(8, 2), Port:16, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{dst_port = Port}, Facts);
chunks(<<?HEADER(9, 4), Seconds:32, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep, Facts#facts{seconds = Seconds});
chunks(<<?HEADER(10, 4), Microseconds:32, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep, Facts#facts{microseconds = Microseconds});
chunks(<<?HEADER(11, 1), Type, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{payload_type = Type}, Facts);
chunks(<<?HEADER(12, 4), Id:32, Rest/binary>>, End, Hep, Facts) ->
    chunks(Rest, End, Hep#hep{node_id = Id}, Facts);
chunks(<<0:16, 15:16, Length:16, Payload:(Length - 6)/binary, Rest/binary>>, End, Hep, Facts) when
    Length > 6
->
    chunks(Rest, End, Hep#hep{payload = Payload}, Facts);
chunks(<<Vendor:16, Id:16, Length:16, Value:(Length - 6)/binary, Rest/binary>>, End, Hep, Facts) ->
    case width(Vendor, Id) of
        Width when Length =:= 6, Width =/= unknown ->
            chunks(Rest, End, Hep, Facts);
        Width when is_integer(Width), Width =/= Length - 6 ->
            {error, {invalid_chunk, Vendor, Id, Length - 6, Value}};
        _ ->
            Kept = [{{Vendor, Id}, {Length - 6, Value}} | Facts#facts.kept],
            chunks(Rest, End, Hep, Facts#facts{kept = Kept})
    end;
chunks(<<>>, _, Hep, Facts) ->
    settle(Hep, Facts);
chunks(<<_:32, Length:16, _/binary>> = Rest, End, _, _) ->
    {error, {invalid_chunk_length, End - byte_size(Rest), Length}};
chunks(Rest, End, _, _) ->
    {error, {truncated_chunk, End - byte_size(Rest)}}.

settle(Hep, #facts{family = Stated, seconds = Seconds, microseconds = Microseconds, kept = Kept}) ->
    case family(Hep, Stated) of
        invalid ->
            {error, {invalid_chunk, 0, 1, 1, <<Stated>>}};
        Family ->
            {ok, Hep#hep{
                protocol_family = Family,
                timestamp = timestamp(Seconds, Microseconds),
                chunks = lists:reverse(Kept)
            }}
    end.

%% The family follows the addresses.
family(#hep{src_ip = {_, _, _, _}}, _) -> 2;
family(#hep{src_ip = {_, _, _, _, _, _, _, _}}, _) -> 10;
family(#hep{dst_ip = {_, _, _, _}}, _) -> 2;
family(#hep{dst_ip = {_, _, _, _, _, _, _, _}}, _) -> 10;
family(_, Stated) when Stated =:= 2; Stated =:= 10; Stated =:= undefined -> Stated;
family(_, _) -> invalid.

timestamp(undefined, undefined) -> undefined;
timestamp(undefined, Microseconds) -> {0, 0, Microseconds};
timestamp(Seconds, undefined) -> timestamp(Seconds, 0);
timestamp(Seconds, Microseconds) -> {Seconds div ?SECOND, Seconds rem ?SECOND, Microseconds}.

%% How many bytes wide the value of a chunk has to be; `unknown' when the chunk is.
width(0, Id) when Id =:= 1; Id =:= 2; Id =:= 11; Id =:= 23; Id =:= 24 -> 1;
width(0, Id) when Id =:= 7; Id =:= 8; Id =:= 13; Id =:= 18; Id =:= 22 -> 2;
width(0, Id) when Id =:= 32; Id =:= 33; Id =:= 39; Id =:= 40 -> 2;
width(0, Id) when Id =:= 3; Id =:= 4; Id =:= 9; Id =:= 10; Id =:= 12; Id =:= 35 -> 4;
width(0, Id) when Id =:= 20; Id =:= 21 -> 8;
width(0, Id) when Id =:= 5; Id =:= 6 -> 16;
width(0, Id) when Id >= 14, Id =< 17; Id =:= 19; Id =:= 34 -> any;
width(0, Id) when Id >= 36, Id =< 38; Id =:= 41; Id =:= 101 -> any;
width(_, _) -> unknown.

%%% Writing

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

%% What is wrong with a packet of version 2.
-spec refuse_v2(#hep{}) -> no_return().
refuse_v2(#hep{payload_type = Type, chunks = Chunks} = Hep) ->
    _ = split(Chunks, [], []),
    _ = encode_v3(Hep#hep{chunks = []}),
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
        address(src_ip, 3, Family, Hep#hep.src_ip),
        address(dst_ip, 4, Family, Hep#hep.dst_ip),
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

written_family(#hep{protocol_family = undefined} = Hep) -> family(Hep, undefined);
written_family(#hep{protocol_family = Family}) when Family =:= 2; Family =:= 10 -> Family;
written_family(#hep{protocol_family = Family}) -> throw({unknown_protocol_family, Family}).

field8(_, _, undefined) -> [];
field8(_, Id, Value) when ?IS_UINT(Value, 8) -> <<?HEADER(Id, 1), Value>>;
field8(Field, _, Value) -> throw({invalid_field, Field, Value}).

field16(_, _, undefined) -> [];
field16(_, Id, Value) when ?IS_UINT(Value, 16) -> <<?HEADER(Id, 2), Value:16>>;
field16(Field, _, Value) -> throw({invalid_field, Field, Value}).

%% Kamailio's and others' numbers beyond a byte are written in two.
protocol(Protocol) when ?IS_UINT(Protocol, 8) -> <<?HEADER(2, 1), Protocol>>;
protocol(Protocol) -> field16(protocol, 2, Protocol).

payload_type(Type) when ?IS_UINT(Type, 8) -> <<?HEADER(11, 1), Type>>;
payload_type(Type) -> throw({invalid_field, payload_type, Type}).

node_id(undefined) -> [];
node_id(Id) when ?IS_UINT(Id, 32) -> <<?HEADER(12, 4), Id:32>>;
node_id(Id) -> throw({invalid_field, node_id, Id}).

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

%% The seconds and the microseconds.
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

%% The generic chunks in the order of their ids, and those of the vendors, written.
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
    Size = byte_size(Value),
    case width(0, Id) of
        Width when
            Id > 12 andalso Id =/= 15 andalso Id =/= 16 andalso
                (Width =:= any orelse Width =:= unknown orelse Width =:= Size);
            Id =:= 0
        ->
            [<<?HEADER(Id, Size)>>, Value | generic(Generic)];
        _ ->
            throw({invalid_field, chunks, {0, Id}})
    end;
generic([]) ->
    [].

%%% The chunk view

-spec parse(binary()) -> {ok, hep:state()} | {error, invalid_packet, binary()}.
parse(<<"HEP3", Length:16, Rest/binary>> = Packet) ->
    parse_v3(Length, Rest, Packet);
parse(<<"EEP3", Length:16, Rest/binary>> = Packet) ->
    parse_v3(Length, Rest, Packet);
parse(Packet) ->
    case decode(Packet) of
        {ok, Hep} -> {ok, {hep, Hep#hep.version, fixed_chunks(Hep)}};
        {error, _} -> {error, invalid_packet, Packet}
    end.

parse_v3(Length, Rest, Packet) ->
    case Rest of
        <<Chunks:(Length - 6)/binary, _/binary>> ->
            case parse_chunks(Chunks, []) of
                error -> {error, invalid_packet, Packet};
                Parsed -> {ok, {hep, 3, Parsed}}
            end;
        _ ->
            {error, invalid_packet, Packet}
    end.

parse_chunks(<<Key:4/binary, Length:16, Value:(Length - 6)/binary, Rest/binary>>, Parsed) ->
    parse_chunks(Rest, [{Key, Value} | Parsed]);
parse_chunks(<<>>, Parsed) ->
    lists:reverse(Parsed);
parse_chunks(_, _) ->
    error.

%% The chunks that a version 3 packet would carry.
fixed_chunks(#hep{src_ip = SrcIp, dst_ip = DstIp, timestamp = Timestamp} = Hep) ->
    {Mega, Seconds, Microseconds} = Timestamp,
    {SrcId, DstId} =
        case Hep#hep.protocol_family of
            2 -> {3, 4};
            10 -> {5, 6}
        end,
    NodeId = [{12, <<(Hep#hep.node_id):32>>} || Hep#hep.version =:= 2],
    Chunks = [
        {1, <<(Hep#hep.protocol_family)>>},
        {2, <<(Hep#hep.protocol)>>},
        {SrcId, address(SrcIp)},
        {DstId, address(DstIp)},
        {7, <<(Hep#hep.src_port):16>>},
        {8, <<(Hep#hep.dst_port):16>>},
        {9, <<(Mega * ?SECOND + Seconds):32>>},
        {10, <<Microseconds:32>>},
        {11, <<(Hep#hep.payload_type)>>}
    ],
    [{<<0:16, Id:16>>, Value} || {Id, Value} <- Chunks ++ NodeId ++ [{15, Hep#hep.payload}]].

address({A, B, C, D}) -> <<A, B, C, D>>;
address({A, B, C, D, E, F, G, H}) -> <<?IPV6(A, B, C, D, E, F, G, H)>>.

%%% The transformed view: a module for each vendor, this one for vendor 0

-spec transform(hep:state()) -> [{binary(), term()}].
transform({hep, Version, Chunks}) ->
    Namespaces = [
        {Module:namespace(), properties(Module, Module:vendor_id(), Chunks)}
     || Module <- [?MODULE]
    ],
    [{<<"hep">>, [{<<"version">>, Version} | Namespaces]}].

properties(Module, Vendor, [{<<Vendor:16, Id:16>>, Value} | Chunks]) ->
    case Module:transform(Id, Value) of
        {ok, Name, Transformed} -> [{Name, Transformed} | properties(Module, Vendor, Chunks)];
        no_call -> properties(Module, Vendor, Chunks)
    end;
properties(Module, Vendor, [_ | Chunks]) ->
    properties(Module, Vendor, Chunks);
properties(_, _, []) ->
    [].

-spec vendor_id() -> hep:vendor_id().
vendor_id() -> 0.

-spec namespace() -> binary().
namespace() -> <<"generic">>.

-spec transform(hep:chunk_id(), binary()) -> {ok, binary(), term()} | no_call.
transform(1, <<Family>>) ->
    {ok, <<"ipProtocolFamily">>, Family};
transform(2, <<Protocol>>) ->
    {ok, <<"ipProtocol">>, Protocol};
transform(3, <<A, B, C, D>>) ->
    {ok, <<"srcIpAddress">>, {A, B, C, D}};
transform(4, <<A, B, C, D>>) ->
    {ok, <<"dstIpAddress">>, {A, B, C, D}};
transform(5, <<?IPV6(A, B, C, D, E, F, G, H)>>) ->
    {ok, <<"srcIpAddress">>, {A, B, C, D, E, F, G, H}};
transform(6, <<?IPV6(A, B, C, D, E, F, G, H)>>) ->
    {ok, <<"dstIpAddress">>, {A, B, C, D, E, F, G, H}};
transform(7, <<Port:16>>) ->
    {ok, <<"srcPort">>, Port};
transform(8, <<Port:16>>) ->
    {ok, <<"dstPort">>, Port};
transform(9, <<Seconds:32>>) ->
    {ok, <<"timestampSeconds">>, Seconds};
transform(10, <<Microseconds:32>>) ->
    {ok, <<"timestampMicroseconds">>, Microseconds};
transform(11, <<Type>>) ->
    {ok, <<"payloadType">>, Type};
transform(12, <<Id:32>>) ->
    {ok, <<"captureAgentId">>, Id};
transform(13, <<Seconds:16>>) ->
    {ok, <<"keepAliveSeconds">>, Seconds};
transform(14, Key) ->
    {ok, <<"authenticateKey">>, Key};
transform(15, Payload) ->
    {ok, <<"payload">>, Payload};
transform(16, Payload) ->
    {ok, <<"compressedPayload">>, Payload};
transform(17, Id) ->
    {ok, <<"correlationId">>, Id};
transform(18, <<Id:16>>) ->
    {ok, <<"vlanId">>, Id};
transform(19, Name) ->
    {ok, <<"captureAgentName">>, Name};
transform(20, <<Address:64>>) ->
    {ok, <<"srcMacAddress">>, Address};
transform(21, <<Address:64>>) ->
    {ok, <<"dstMacAddress">>, Address};
transform(22, <<Type:16>>) ->
    {ok, <<"ethernetType">>, Type};
transform(23, <<Flags>>) ->
    {ok, <<"tcpFlags">>, Flags};
transform(24, <<Tos>>) ->
    {ok, <<"ipTos">>, Tos};
transform(32, <<Mos:16>>) ->
    {ok, <<"mosValue">>, Mos};
transform(33, <<Factor:16>>) ->
    {ok, <<"rFactor">>, Factor};
transform(34, Location) ->
    {ok, <<"geoLocation">>, Location};
transform(35, <<Jitter:32>>) ->
    {ok, <<"jitter">>, Jitter};
transform(36, Type) ->
    {ok, <<"transactionType">>, Type};
transform(37, Keys) ->
    {ok, <<"payloadJsonKeys">>, Keys};
transform(38, Values) ->
    {ok, <<"tagsValues">>, Values};
transform(39, <<Type:16>>) ->
    {ok, <<"tagType">>, Type};
transform(40, <<Type:16>>) ->
    {ok, <<"eventType">>, Type};
transform(41, Id) ->
    {ok, <<"groupId">>, Id};
transform(101, Correlations) ->
    {ok, <<"correlations">>, Correlations};
transform(_, _) ->
    no_call.
