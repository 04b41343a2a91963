%% @doc Checks the results of the API for any bytes: documented terms, consistent across the
%% three generations.
-module(hep_answers).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-export([check/1, is_hep/1, is_reason/1]).

%% Passes the bytes to the decoding functions of all generations. Fails unless the results are
%% documented and consistent. Returns the result of hep:decode/1.
-spec check(binary()) -> {ok, hep:hep()} | {error, hep:reason()}.
check(Bytes) ->
    Decoded = hep:decode(Bytes),
    Parsed = hep_multi_parser:parse(Bytes),
    check_decoded(Decoded, hep_multi_decoder:decode(Bytes), Bytes),
    check_parsed(Parsed, Bytes),
    check_agreement(Decoded, Parsed),
    Decoded.

check_decoded({ok, Hep}, {ok, Same}, _Bytes) ->
    ?assert(is_hep(Hep)),
    ?assertEqual(without_now(Hep), without_now(Same));
check_decoded({error, {invalid_chunk, 0, _, _, _} = Reason}, Second, Bytes) ->
    ?assert(is_reason(Reason)),
    ?assertEqual({error, Reason, Bytes}, Second);
check_decoded({error, Reason}, Second, Bytes) ->
    ?assert(is_reason(Reason)),
    ?assertEqual({error, invalid_packet, Bytes}, Second).

check_parsed({ok, {hep, Version, Chunks}}, _Bytes) ->
    ?assert(lists:member(Version, [1, 2, 3])),
    ?assert(lists:all(fun is_parsed_chunk/1, Chunks));
check_parsed(Error, Bytes) ->
    ?assertEqual({error, invalid_packet, Bytes}, Error).

%% In a packet that can be parsed, only the value of a chunk can be invalid.
check_agreement({ok, #hep{version = Version}}, {ok, {hep, ParsedVersion, _}}) ->
    ?assertEqual(Version, ParsedVersion);
check_agreement({error, Reason}, {ok, {hep, Version, Chunks}}) ->
    ?assertMatch({3, {invalid_chunk, 0, _, _, _}}, {Version, Reason}),
    {invalid_chunk, 0, Id, _, Value} = Reason,
    ?assert(lists:member({<<0:16, Id:16>>, Value}, Chunks));
check_agreement(Decoded, Error) ->
    ?assertMatch({{error, _}, {error, invalid_packet, _}}, {Decoded, Error}).

%% Packets of version 1 get the time of decoding.
without_now(#hep{version = 1} = Hep) -> Hep#hep{timestamp = undefined};
without_now(Hep) -> Hep.

is_parsed_chunk({<<_Vendor:16, _Id:16>>, Value}) -> is_binary(Value);
is_parsed_chunk(_) -> false.

%% Whether the term is a decoded packet with fields of the documented types.
-spec is_hep(term()) -> boolean().
is_hep(#hep{version = Version} = Hep) ->
    lists:member(Version, [1, 2, 3]) andalso
        lists:member(Hep#hep.protocol_family, [undefined, 2, 10]) andalso
        is_uint(Hep#hep.protocol, 16) andalso
        is_address(Hep#hep.src_ip) andalso
        is_uint(Hep#hep.src_port, 16) andalso
        is_address(Hep#hep.dst_ip) andalso
        is_uint(Hep#hep.dst_port, 16) andalso
        is_timestamp(Hep#hep.timestamp) andalso
        is_uint(Hep#hep.node_id, 32) andalso
        is_integer(Hep#hep.payload_type) andalso
        is_uint(Hep#hep.payload_type, 8) andalso
        is_binary(Hep#hep.payload) andalso
        lists:all(fun is_chunk/1, Hep#hep.chunks);
is_hep(_) ->
    false.

is_uint(undefined, _) -> true;
is_uint(Value, Bits) -> is_integer(Value) andalso Value >= 0 andalso Value < 1 bsl Bits.

is_address(undefined) -> true;
is_address(Address) -> inet:is_ip_address(Address).

is_timestamp(undefined) ->
    true;
is_timestamp({Mega, Seconds, Micros}) ->
    is_integer(Mega) andalso Mega >= 0 andalso
        is_integer(Seconds) andalso Seconds >= 0 andalso Seconds < 1000000 andalso
        is_integer(Micros) andalso is_uint(Micros, 32);
is_timestamp(_) ->
    false.

is_chunk({{Vendor, Id}, {Length, Value}}) ->
    is_integer(Vendor) andalso is_uint(Vendor, 16) andalso
        is_integer(Id) andalso is_uint(Id, 16) andalso
        is_binary(Value) andalso Length =:= byte_size(Value);
is_chunk(_) ->
    false.

%% Whether the term is a hep:reason() with a description.
-spec is_reason(term()) -> boolean().
is_reason(Reason) ->
    is_documented(Reason) andalso io_lib:printable_latin1_list(hep:format_error(Reason)).

is_documented(not_hep) ->
    true;
is_documented({truncated, Offset}) ->
    is_integer(Offset) andalso Offset >= 0;
is_documented({unknown_protocol_family, Family}) ->
    is_integer(Family) andalso is_uint(Family, 8);
is_documented({invalid_header_length, Length}) ->
    is_integer(Length) andalso is_uint(Length, 8);
is_documented({invalid_total_length, Length}) ->
    is_integer(Length) andalso is_uint(Length, 16);
is_documented({truncated_chunk, Offset}) ->
    is_integer(Offset) andalso Offset >= 6;
is_documented({invalid_chunk_length, Offset, Length}) ->
    is_integer(Offset) andalso Offset >= 6 andalso is_integer(Length) andalso is_uint(Length, 16);
is_documented({invalid_gzip, Problem}) ->
    lists:member(Problem, [truncated, corrupt, too_large]);
is_documented({invalid_chunk, Vendor, Id, Length, Value}) ->
    is_chunk({{Vendor, Id}, {Length, Value}});
is_documented(_) ->
    false.
