%% @doc The baseline of the benchmark: the decoder as written in plain Erlang. The encoder is
%% `hep_baseline_encoder'.
%%
%% Binary patterns, one clause for each chunk id with its width; the match context is passed from chunk
%% to chunk. The results are those of `hep:decode/1', `hep_multi_parser:parse/1' and
%% `hep_transform:transform/1', including errors. Compressed payloads and deviations of single senders
%% are left out; they would cost the packets of the benchmark little.
%%
%% Plain Erlang could be faster: with each field as a separate argument instead of a
%% record, `decode/1' takes a quarter less time for version 3, but needs a function of
%% fourteen arguments.
-module(hep_baseline).

-include("hep.hrl").

-export([decode/1, parse/1, transform/1]).
%% For hep_baseline_encoder.
-export([family/2]).
%% The callbacks of the module for vendor 0.
-export([vendor_id/0, namespace/0, transform/2]).

-define(SIP, 1).
-define(SECOND, 1_000_000).
%% Seconds that every clock has passed, and the seconds from 1900 to 1970.
-define(PASSED, 1_750_000_000).
-define(SINCE_1900, 2_208_988_800).

%% The header of a generic chunk whose value is `Width' bytes wide.
-define(HEADER(Id, Width), 0:16, Id:16, (6 + (Width)):16).
-define(IPV6(A, B, C, D, E, F, G, H), A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16).

%% The fields, and the chunks without a field, last one first.
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

%% Senders in C write the time in host order: the order in which the microseconds are below
%% a second is right. If both are, the seconds nearer to the clock decide, and
%% otherwise the header length.
time(IsDocumented, Seconds, Microseconds, Id) ->
    Swapped = swap32(Microseconds),
    IsLittle =
        case {Microseconds < ?SECOND, Swapped < ?SECOND} of
            {true, true} -> is_nearer(swap32(Seconds), Seconds, not IsDocumented);
            {false, false} -> not IsDocumented;
            {_, Little} -> Little
        end,
    case IsLittle of
        true -> {timestamp(swap32(Seconds), Swapped), swap16(Id)};
        false -> {timestamp(Seconds, Microseconds), Id}
    end.

is_nearer(Seconds, Other, Equal) ->
    Now = os:system_time(second),
    case {abs(Seconds - Now), abs(Other - Now)} of
        {Same, Same} -> Equal;
        {Distance, OtherDistance} -> Distance < OtherDistance
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
    finish(Hep, Facts);
chunks(<<_:32, Length:16, _/binary>> = Rest, End, _, _) ->
    {error, {invalid_chunk_length, End - byte_size(Rest), Length}};
chunks(Rest, End, _, _) ->
    {error, {truncated_chunk, End - byte_size(Rest)}}.

finish(Hep, #facts{family = Stated, seconds = Seconds, microseconds = Microseconds, kept = Kept}) ->
    case family(Hep, Stated) of
        invalid ->
            {error, {invalid_chunk, 0, 1, 1, <<Stated>>}};
        Family ->
            {ok, Hep#hep{
                protocol_family = Family,
                timestamp = repaired(Seconds, Microseconds),
                chunks = lists:reverse(Kept)
            }}
    end.

%% The addresses decide the family.
family(#hep{src_ip = {_, _, _, _}}, _) -> 2;
family(#hep{src_ip = {_, _, _, _, _, _, _, _}}, _) -> 10;
family(#hep{dst_ip = {_, _, _, _}}, _) -> 2;
family(#hep{dst_ip = {_, _, _, _, _, _, _, _}}, _) -> 10;
family(_, 0) -> undefined;
family(_, Stated) when Stated =:= 2; Stated =:= 10; Stated =:= undefined -> Stated;
family(_, _) -> invalid.

%% A time more than a day ahead of the clock is read byte-swapped, or counted from 1900,
%% if it is then not ahead. For older times the clock is not read.
repaired(undefined, undefined) ->
    undefined;
repaired(undefined, Microseconds) ->
    repaired(0, Microseconds);
repaired(Seconds, undefined) ->
    repaired(Seconds, 0);
repaired(Seconds, Microseconds) when Seconds < ?PASSED, Microseconds < ?SECOND ->
    timestamp(Seconds, Microseconds);
repaired(Seconds, Microseconds) ->
    Swapped = {swap32(Seconds), swap32(Microseconds)},
    case Swapped of
        {S, M} when Microseconds >= ?SECOND, M < ?SECOND -> not_ahead(S, M, Seconds, Microseconds);
        {S, M} -> not_ahead(Seconds, Microseconds, S, M)
    end.

not_ahead(Seconds, Microseconds, SwappedSeconds, SwappedMicroseconds) ->
    Latest = os:system_time(second) + 86_400,
    if
        Seconds =< Latest ->
            timestamp(Seconds, Microseconds);
        SwappedMicroseconds < ?SECOND, SwappedSeconds =< Latest ->
            timestamp(SwappedSeconds, SwappedMicroseconds);
        Seconds >= ?SINCE_1900, Seconds - ?SINCE_1900 =< Latest ->
            timestamp(Seconds - ?SINCE_1900, Microseconds);
        true ->
            timestamp(Seconds, Microseconds)
    end.

timestamp(Seconds, Microseconds) -> {Seconds div ?SECOND, Seconds rem ?SECOND, Microseconds}.

%% The width of a chunk's value in bytes; `unknown' for an unknown chunk.
width(0, Id) when Id =:= 1; Id =:= 2; Id =:= 11 -> 1;
width(0, Id) when Id =:= 7; Id =:= 8 -> 2;
width(0, Id) when Id =:= 3; Id =:= 4; Id =:= 9; Id =:= 10; Id =:= 12 -> 4;
width(0, Id) when Id =:= 5; Id =:= 6 -> 16;
width(0, Id) when Id >= 13, Id =< 24; Id >= 32, Id =< 41; Id =:= 101 -> any;
width(_, _) -> unknown.

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

%% The chunks of an equivalent packet of version 3.
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
transform(Id, Value) when Id > 15, byte_size(Value) >= 1, byte_size(Value) =< 8 ->
    %% An integer of another width, or an unknown chunk.
    Width = integer_width(Id),
    case binary:decode_unsigned(Value) of
        Integer when byte_size(Value) =/= Width, Integer < 1 bsl (8 * Width) ->
            transform(Id, <<Integer:Width/unit:8>>);
        _ ->
            no_call
    end;
transform(_, _) ->
    no_call.

integer_width(Id) when Id =:= 23; Id =:= 24 -> 1;
integer_width(Id) when Id =:= 18; Id =:= 22; Id =:= 32; Id =:= 33; Id =:= 39; Id =:= 40 -> 2;
integer_width(35) -> 4;
integer_width(Id) when Id =:= 20; Id =:= 21 -> 8;
integer_width(_) -> 0.
