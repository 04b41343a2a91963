%% @private Packets as records of a pcap file: IP, UDP and TCP around their payloads.
-module(hep_pcap_packet).

-include("hep.hrl").

-export([header/0, flows/0, is_valid/2, record/2]).

-export_type([flows/0]).

-type path() :: {inet:ip_address(), inet:port_number(), inet:ip_address(), inet:port_number()}.

-record(flows, {
    %% The sequence number of the next byte.
    next = #{} :: #{path() => non_neg_integer()},
    %% Bytes written in all flows. New flows begin here, so a forgotten flow does not repeat sequence numbers.
    bytes = 1 :: non_neg_integer(),
    %% Identification of IPv4.
    id = 0 :: non_neg_integer()
}).

-opaque flows() :: #flows{}.

-define(UDP, 17).
-define(TCP, 6).
%% The maximum number of flows; beyond it, all are forgotten.
-define(MAX_FLOWS, 65536).
%% The maximum in an IPv4 packet of 65,535 bytes.
-define(MAX_DATAGRAM, 65507).
%% Of a TCP segment.
-define(MAX_SEGMENT, 65000).
-define(RAW_IP, 101).
%% A record has 32 bits for seconds.
-define(MAX_SECONDS, 16#ffffffff).
-define(SNAPLEN, 262144).

-spec header() -> binary().
header() -> <<16#a1b2c3d4:32, 2:16, 4:16, 0:32, 0:32, ?SNAPLEN:32, ?RAW_IP:32>>.

-spec flows() -> flows().
flows() -> #flows{}.

%% @doc Whether the written fields are valid or missing.
-spec is_valid(hep:hep(), flows() | term()) -> boolean().
is_valid(#hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort} = Hep, #flows{}) ->
    is_binary(Hep#hep.payload) andalso is_time(Hep#hep.timestamp) andalso
        lists:all(fun(Ip) -> Ip =:= undefined orelse inet:is_ip_address(Ip) end, [Src, Dst]) andalso
        lists:all(fun(N) -> N =:= undefined orelse is_16_bits(N) end, [SrcPort, DstPort, Hep#hep.protocol]);
is_valid(_, _) ->
    false.

is_16_bits(Number) -> is_integer(Number) andalso Number >= 0 andalso Number =< 16#ffff.

is_time(Timestamp) ->
    Timestamp =:= undefined orelse
        (is_tuple(Timestamp) andalso tuple_size(Timestamp) =:= 3 andalso
            lists:all(fun(N) -> is_integer(N) andalso N >= 0 end, tuple_to_list(Timestamp))).

-spec record(hep:hep(), flows()) -> {ok, iodata(), flows()} | {error, hep_pcap:record_reason()}.
record(#hep{src_ip = Src, dst_ip = Dst}, _) when Src =:= undefined; Dst =:= undefined ->
    {error, no_address};
record(#hep{src_ip = Src, dst_ip = Dst}, _) when tuple_size(Src) =/= tuple_size(Dst) ->
    {error, mixed_families};
record(#hep{timestamp = {Mega, Seconds, Micros} = Time}, _) when
    Mega * 1000000 + Seconds + Micros div 1000000 > ?MAX_SECONDS
->
    {error, {invalid_time, Time}};
record(#hep{protocol = Protocol, payload = Payload}, _) when
    (Protocol =:= ?UDP orelse Protocol =:= undefined), byte_size(Payload) > ?MAX_DATAGRAM
->
    {error, {too_large, byte_size(Payload)}};
record(#hep{protocol = Protocol} = Hep, Flows) when Protocol =:= ?UDP; Protocol =:= undefined ->
    #hep{src_port = SrcPort, dst_port = DstPort, payload = Payload} = Hep,
    Length = byte_size(Payload) + 8,
    Head = fun(Sum) -> <<(port(SrcPort)):16, (port(DstPort)):16, Length:16, Sum:16>> end,
    Packet = ip(Hep, ?UDP, Head, Payload, Flows),
    {ok, framed(Hep, Packet), Flows#flows{id = Flows#flows.id + 1}};
record(Hep, Flows) ->
    segments(Hep, Hep#hep.payload, Flows, []).

segments(Hep, <<Part:?MAX_SEGMENT/binary, Rest/binary>>, Flows, Records) when Rest =/= <<>> ->
    {Record, Next} = segment(Hep, Part, 0, Flows),
    segments(Hep, Rest, Next, [Record | Records]);
segments(Hep, Part, Flows, Records) ->
    {Record, Next} = segment(Hep, Part, 1, Flows),
    {ok, lists:reverse(Records, [Record]), Next}.

segment(Hep, Payload, Push, #flows{bytes = Bytes, id = Id} = Flows) ->
    {Number, Acknowledged} = numbers(Hep, Flows),
    #hep{src_port = SrcPort, dst_port = DstPort} = Hep,
    Head = fun(Sum) ->
        %% Header of five words, ACK and PSH, a large window.
        <<(port(SrcPort)):16, (port(DstPort)):16, Number:32, Acknowledged:32, 5:4, 0:4, 0:3, 1:1, Push:1, 0:3,
            16#ffff:16, Sum:16, 0:16>>
    end,
    Packet = ip(Hep, ?TCP, Head, Payload, Flows),
    Length = byte_size(Payload),
    Next = (known(Flows))#{path(Hep) => Number + Length},
    {framed(Hep, Packet), Flows#flows{next = Next, bytes = Bytes + Length, id = Id + 1}}.

known(#flows{next = Next}) when map_size(Next) >= ?MAX_FLOWS -> #{};
known(#flows{next = Next}) -> Next.

numbers(#hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort} = Hep, Flows) ->
    #flows{next = Next, bytes = Bytes} = Flows,
    {maps:get(path(Hep), Next, Bytes), maps:get({Dst, DstPort, Src, SrcPort}, Next, Bytes)}.

path(#hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort}) -> {Src, SrcPort, Dst, DstPort}.

port(undefined) -> 0;
port(Port) -> Port.

%% The packet around a header of UDP or TCP that is complete with its checksum.
ip(#hep{src_ip = SrcIp, dst_ip = DstIp}, Protocol, Head, Payload, #flows{id = Id}) ->
    [Src, Dst] = [address(Ip) || Ip <- [SrcIp, DstIp]],
    Length = byte_size(Head(0)) + byte_size(Payload),
    Pseudo = <<Src/binary, Dst/binary, Length:32, Protocol:32>>,
    Sum = not_zero(checksum([Pseudo, Head(0), Payload])),
    [ip_header(Src, Dst, Protocol, Length, Id), Head(Sum), Payload].

ip_header(Src, Dst, Protocol, Length, Id) when byte_size(Src) =:= 4 ->
    Header = fun(Sum) ->
        <<4:4, 5:4, 0, (Length + 20):16, Id:16, 0:16, 64, Protocol, Sum:16, Src/binary, Dst/binary>>
    end,
    Header(checksum([Header(0)]));
ip_header(Src, Dst, Protocol, Length, _) ->
    <<6:4, 0:28, Length:16, Protocol, 64, Src/binary, Dst/binary>>.

address({A, B, C, D}) -> <<A, B, C, D>>;
address(Ip) -> <<<<Word:16>> || Word <- tuple_to_list(Ip)>>.

%% Of UDP, 0 is no checksum; in TCP the two are the same.
not_zero(0) -> 16#ffff;
not_zero(Sum) -> Sum.

%% RFC 1071. All parts but the last have an even length.
checksum(Parts) ->
    fold_carry(lists:foldl(fun sum/2, 0, Parts)) bxor 16#ffff.

sum(<<A:32, B:32, Rest/binary>>, Sum) -> sum(Rest, Sum + A + B);
sum(<<A:16, Rest/binary>>, Sum) -> sum(Rest, Sum + A);
sum(<<A>>, Sum) -> Sum + (A bsl 8);
sum(<<>>, Sum) -> Sum.

fold_carry(Sum) when Sum > 16#ffff -> fold_carry((Sum band 16#ffff) + (Sum bsr 16));
fold_carry(Sum) -> Sum.

framed(#hep{timestamp = Timestamp}, Packet) ->
    {Mega, Seconds, Micros} = time(Timestamp),
    Length = iolist_size(Packet),
    %% Packets may have microseconds of a second or more.
    [<<(Mega * 1000000 + Seconds + Micros div 1000000):32, (Micros rem 1000000):32, Length:32, Length:32>> | Packet].

time(undefined) -> os:timestamp();
time(Timestamp) -> Timestamp.
