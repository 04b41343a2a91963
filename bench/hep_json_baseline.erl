%% @doc The baseline of the row `packet -> JSON': written with the record and a JSON
%% library: OTP's `json' since OTP 27, before that jiffy, whose encoder is in C.
%%
%% The object follows `guides/packet.schema.json', as a list of pairs, which jiffy writes
%% faster than a map. It supports only the packets of the benchmark: text is UTF-8,
%% microseconds are below a second, and each named chunk occurs once.
-module(hep_json_baseline).

-include("hep.hrl").

-export([library/0, from_packet/1, encode/1, read/1]).

-spec from_packet(binary()) -> {ok, iodata()} | {error, hep:reason()}.
from_packet(Packet) ->
    case hep:decode(Packet) of
        {ok, Hep} -> {ok, encode(Hep)};
        Error -> Error
    end.

-spec encode(#hep{}) -> iodata().
encode(Hep) ->
    write(object(Hep)).

object(#hep{chunks = Chunks, timestamp = Timestamp} = Hep) ->
    {Facts, Others} = chunks(Chunks),
    {[
        {<<"type">>, <<"HEP">>},
        {<<"version">>, Hep#hep.version},
        {<<"protocolFamily">>, optional(Hep#hep.protocol_family)},
        {<<"protocol">>, optional(Hep#hep.protocol)},
        {<<"srcIp">>, address(Hep#hep.src_ip)},
        {<<"srcPort">>, optional(Hep#hep.src_port)},
        {<<"dstIp">>, address(Hep#hep.dst_ip)},
        {<<"dstPort">>, optional(Hep#hep.dst_port)},
        {<<"timestamp">>, rfc3339(Timestamp)},
        {<<"timestampUSecs">>, within_millisecond(Timestamp)},
        {<<"captureId">>, optional(Hep#hep.node_id)}
        | Facts ++
            [
                {<<"vendorChunks">>, Others},
                {<<"payload">>,
                    {[
                        {<<"type">>, payload_type(Hep#hep.payload_type)},
                        {<<"data">>, Hep#hep.payload}
                    ]}}
            ]
    ]}.

optional(undefined) -> null;
optional(Value) -> Value.

address(undefined) -> null;
address(Address) -> list_to_binary(inet:ntoa(Address)).

rfc3339(undefined) ->
    null;
rfc3339({Mega, Seconds, Micros}) ->
    Milliseconds = (Mega * 1000000 + Seconds) * 1000 + Micros div 1000,
    Options = [{unit, millisecond}, {offset, "Z"}],
    list_to_binary(calendar:system_time_to_rfc3339(Milliseconds, Options)).

within_millisecond(undefined) -> null;
within_millisecond({_, _, Micros}) -> Micros rem 1000.

chunks(Chunks) ->
    chunks(Chunks, [], []).

chunks([{{0, Id}, {_, Value}} = Chunk | Rest], Facts, Others) ->
    case fact(Id, Value) of
        {_, _} = Fact -> chunks(Rest, [Fact | Facts], Others);
        unknown -> chunks(Rest, Facts, [other(Chunk) | Others])
    end;
chunks([Chunk | Rest], Facts, Others) ->
    chunks(Rest, Facts, [other(Chunk) | Others]);
chunks([], Facts, Others) ->
    {lists:reverse(Facts), lists:reverse(Others)}.

fact(16#0d, <<Seconds:16>>) -> {<<"keepAliveSeconds">>, Seconds};
fact(16#0e, Key) -> {<<"authenticateKey">>, Key};
fact(16#11, Id) -> {<<"correlationId">>, Id};
fact(16#12, <<Id:16>>) -> {<<"vlanId">>, Id};
fact(16#13, Name) -> {<<"captureAgentName">>, Name};
fact(16#14, <<Address:64>>) -> {<<"srcMacAddress">>, Address};
fact(16#15, <<Address:64>>) -> {<<"dstMacAddress">>, Address};
fact(16#16, <<Type:16>>) -> {<<"ethernetType">>, Type};
fact(16#17, <<Flags>>) -> {<<"tcpFlags">>, Flags};
fact(16#18, <<Tos>>) -> {<<"ipTos">>, Tos};
fact(16#20, <<Value:16>>) -> {<<"mosValue">>, Value};
fact(16#21, <<Factor:16>>) -> {<<"rFactor">>, Factor};
fact(16#22, Location) -> {<<"geoLocation">>, Location};
fact(16#23, <<Jitter:32>>) -> {<<"jitter">>, Jitter};
fact(16#24, Type) -> {<<"transactionType">>, Type};
fact(16#25, Keys) -> {<<"payloadJsonKeys">>, Keys};
fact(16#26, Values) -> {<<"tagsValues">>, Values};
fact(16#27, <<Type:16>>) -> {<<"tagType">>, Type};
fact(16#28, <<Type:16>>) -> {<<"eventType">>, Type};
fact(16#29, Id) -> {<<"groupId">>, Id};
fact(16#65, Ids) -> {<<"correlations">>, Ids};
fact(_, _) -> unknown.

other({{VendorId, ChunkId}, {_, Value}}) ->
    {[{<<"vendorId">>, VendorId}, {<<"chunkId">>, ChunkId}, {<<"data">>, Value}]}.

payload_type(0) -> <<"RESERVED">>;
payload_type(1) -> <<"SIP">>;
payload_type(2) -> <<"XMPP">>;
payload_type(3) -> <<"SDP">>;
payload_type(4) -> <<"RTP">>;
payload_type(5) -> <<"RTCP">>;
payload_type(6) -> <<"MGCP">>;
payload_type(7) -> <<"MEGACO">>;
payload_type(100) -> <<"LOG">>;
payload_type(Number) -> Number.

%%% The library

-spec library() -> string().
-spec write(tuple()) -> iodata().
%% The pairs in order.
-spec read(iodata()) -> tuple().

-if(?OTP_RELEASE >= 27).

library() -> "json of OTP".

write(Object) -> json:encode(Object, fun write_value/2).

write_value({Pairs}, Write) -> json:encode_key_value_list(Pairs, Write);
write_value(Value, Write) -> json:encode_value(Value, Write).

read(Json) ->
    Finish = fun(Pairs, Outer) -> {{lists:reverse(Pairs)}, Outer} end,
    {Object, ok, <<>>} = json:decode(iolist_to_binary(Json), ok, #{object_finish => Finish}),
    Object.

-else.

library() -> "jiffy".

write(Object) -> jiffy:encode(Object).

read(Json) -> jiffy:decode(Json).

-endif.
