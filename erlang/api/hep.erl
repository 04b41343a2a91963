%% @doc HEP (Homer Encapsulation Protocol, also EEP): decoding, encoding, and access to a packet's fields.
%%
%% ```
%% 1> {ok, Hep} = hep:decode(Packet).
%% 2> hep:src_ip(Hep).
%% {192,0,2,1}
%% 3> hep:payload_type(Hep).
%% sip
%% 4> hep:correlation_id(Hep).
%% <<"a84b4c76e66710">>
%% '''
%%
%% A decoded packet is a `#hep{}' record (`-include_lib("hep/include/hep.hrl")'); the functions below
%% read and change it without the record's definition. {@link hep_multi_parser} returns the other view
%% of a packet: the list of its chunks, read by {@link get_version/1}, {@link get_chunk/3} and
%% {@link get_chunks/1}.
%%
%% An argument of a type other than its spec's raises `badarg'. Setters accept numbers that are out of range;
%% {@link encode/1} then returns an error that names the field.
%%
%% The payload and all other binaries of a decoded packet are sub-binaries of the datagram and keep it in memory:
%% copy those that you store for long (`binary:copy/1').
-module(hep).

-include("hep.hrl").

%% Called for each packet that is encoded.
-compile({inline, [numbered/1]}).

%% The depth to which error messages print a term.
-define(DEPTH, 12).

%% A badarg names the function that was called, with its arguments.
-define(NAMED(Expression, Arguments),
    try
        Expression
    catch
        error:badarg -> erlang:error(badarg, Arguments, [{error_info, #{}}])
    end
).

%% Decoding and encoding.
-export([decode/1, decode/2, encode/1, encode/2, encode_iolist/1, encode_iolist/2, format_error/1]).
%% A packet's fields: getter(Hep), setter(Value, Hep).
-export([new/0]).
-export([version/1, version/2]).
-export([protocol_family/1, protocol_family/2]).
-export([protocol/1, protocol/2]).
-export([src_ip/1, src_ip/2, src_port/1, src_port/2]).
-export([dst_ip/1, dst_ip/2, dst_port/1, dst_port/2]).
-export([timestamp/1, timestamp/2]).
-export([node_id/1, node_id/2]).
-export([payload_type/1, payload_type/2]).
-export([payload/1, payload/2]).
-export([vendor/1, vendor/2]).
%% Fields that the record keeps in `chunks'.
-export([correlation_id/1, correlation_id/2]).
-export([vlan_id/1, vlan_id/2]).
-export([node_name/1, node_name/2]).
-export([auth_key/1, auth_key/2]).
-export([chunk/3]).
%% The chunk view.
-export([get_version/1, get_chunk/3, get_chunks/1]).
%% For hep_port.
-export([numbered/1]).
%% For hep_json.
-export([option_list/1]).
%% Explains a badarg of this module to the shell (error_info of erlang:error/3).
-export([format_error/2]).

-export_type([version/0, version_name/0, state/0, hep/0, t/0]).
-export_type([chunk/0, parsed_chunk/0, record_chunk/0, vendor_id/0, chunk_id/0]).
-export_type([chunk_key/0, chunk_value/0, chunk_value_length/0]).
-export_type([uint8/0, uint16/0, uint32/0]).
-export_type([options/0, reason/0, encode_options/0, encode_reason/0]).
-export_type([protocol_family/0, payload_type/0, vendor/0]).

-type uint8() :: 0..255.
%% An unsigned integer of 8 bits.

-type uint16() :: 0..65535.
%% An unsigned integer of 16 bits.

-type uint32() :: 0..4294967295.
%% An unsigned integer of 32 bits.

-type version() :: 1 | 2 | 3.
%% The version of the protocol.

-type version_name() :: hep_v1 | hep_v2 | hep_v3.
%% The version as returned by {@link version/1}.

-type vendor_id() :: uint16().
%% 0 is generic.

-type chunk_id() :: uint16().
%% A chunk's number among its vendor's.

-type parsed_chunk() :: {binary(), binary()}.
%% A chunk of the chunk view: `{<<VendorId:16, ChunkId:16>>, Value}'.

-type record_chunk() ::
    {{vendor_id(), chunk_id()}, {Length :: uint16(), Value :: binary()}}
    | {{vendor_id(), chunk_id()}, Value :: binary()}.
%% A chunk in a `#hep{}'. Decoding returns the first form.

-type chunk() :: parsed_chunk() | record_chunk().
%% A chunk of either view.

-type chunk_key() :: <<_:32>> | {vendor_id(), chunk_id()}.
%% The key of a chunk: the first form in a parsed packet, the second in a `#hep{}'.

-type chunk_value() :: binary().
%% The bytes of a chunk.

-type chunk_value_length() :: uint16().
%% The number of its bytes.

-opaque state() :: {hep, version(), [parsed_chunk()]}.
%% A packet as the list of its chunks, see {@link hep_multi_parser:parse/1}.

-type hep() :: #hep{}.
%% A packet with one field per fact.

-type t() :: hep().
%% The accessor API's name for {@link hep()}.

-type protocol_family() :: hep_registry:protocol_family().
%% `ipv4' or `ipv6'.

-type payload_type() :: hep_registry:payload_type().
%% The name of a payload type: `sip', `rtcp', `log', ...

-type vendor() :: hep_registry:vendor().
%% `unknown' is the vendor of the generic chunks.

-type options() :: #{
    header_length => strict | ignore,
    v2_order => auto | big | little,
    capture_id => keep | repair,
    timestamp => repair | keep,
    lengths => strict | lenient,
    max_inflated => 0..16#ffffffffffffffff
}.
%% How to decode fields that senders write differently:
%% <dl>
%% <dt>`header_length'</dt><dd>what to do with a header length of version 1 or 2 that no known sender
%%   writes: `strict' (default), an error; `ignore', it is not checked</dd>
%% <dt>`v2_order'</dt><dd>the byte order of version 2's time header: `auto' (default), found from the
%%   values, and from the clock where both orders are plausible; `big', as documented; `little', as C senders
%%   write it</dd>
%% <dt>`capture_id'</dt><dd>capture ids that senders shift left by 16 bits (sngrep, sipgrep, hep-c, old
%%   captagents, reSIProcate and others): `keep' (default); `repair', ids whose lower half is zero are shifted
%%   back</dd>
%% <dt>`timestamp'</dt><dd>times of version 3 that a sender wrote byte-swapped or counted from 1900: `repair'
%%   (default), corrected where the microseconds, or a time more than a day ahead of the clock, show it; `keep',
%%   unchanged. Encoding such a packet carries microseconds of a second or more over into the seconds</dd>
%% <dt>`lengths'</dt><dd>a wrong total length or chunk length in version 3: `strict' (default), an
%%   error; `lenient', complete chunks are kept, and the received part of the payload: see {@link decode/2}</dd>
%% <dt>`max_inflated'</dt><dd>the size limit, in bytes, of an inflated payload: 256 KiB
%%   by default. A packet in gzip may unpack to 65,535 bytes, and no more than this limit</dd>
%% </dl>

-type reason() ::
    not_hep
    | {truncated, Offset :: non_neg_integer()}
    | {unknown_protocol_family, uint8()}
    | {invalid_header_length, uint8()}
    | {invalid_total_length, uint16()}
    | {truncated_chunk, Offset :: non_neg_integer()}
    | {invalid_chunk_length, Offset :: non_neg_integer(), Length :: uint16()}
    | {invalid_chunk, vendor_id(), chunk_id(), ValueLength :: uint16(), Value :: binary()}
    | {invalid_gzip, truncated | corrupt | too_large}.
%% Why bytes are not a HEP packet. Offsets count from the packet's first byte.
%% <dl>
%% <dt>`not_hep'</dt><dd>it begins with neither 1, 2, `HEP3' nor `EEP3'</dd>
%% <dt>`{truncated, Offset}'</dt><dd>it ends at Offset, inside a header or before its total length is reached</dd>
%% <dt>`{unknown_protocol_family, Family}'</dt><dd>version 1 or 2, byte 2</dd>
%% <dt>`{invalid_header_length, Length}'</dt><dd>version 1 or 2, byte 1: no sender writes it</dd>
%% <dt>`{invalid_total_length, Length}'</dt><dd>version 3, bytes 4 and 5: below 6</dd>
%% <dt>`{truncated_chunk, Offset}'</dt><dd>fewer than 6 bytes left of the total length</dd>
%% <dt>`{invalid_chunk_length, Offset, Length}'</dt><dd>below 6 or beyond the total length</dd>
%% <dt>`{invalid_chunk, VendorId, ChunkId, ValueLength, Value}'</dt><dd>a chunk of a known field with a wrong
%%   width, an unknown protocol family, or a compressed payload that is corrupt or inflates beyond the limit</dd>
%% <dt>`{invalid_gzip, Problem}'</dt><dd>a packet in gzip that cannot be unpacked: it is `truncated', `corrupt',
%%   or inflates beyond the limit (`too_large')</dd>
%% </dl>

-type encode_options() :: #{
    v2_style => documented | c | forks,
    compress => none | zlib | gzip,
    auth_key => binary()
}.
%% How to write a packet:
%% <dl>
%% <dt>`v2_style'</dt><dd>`documented' (default): version 2 as documented, big-endian, its header length
%%   counting the whole header; `c': as receivers in C expect it, little-endian, with the header length of
%%   version 1; `forks': as the forks of the Erlang library write and read it (Kazoo's among them), big-endian,
%%   with the header length of version 1</dd>
%% <dt>`compress'</dt><dd>the compression of version 3's payload: `none' (default), `zlib' or `gzip'</dd>
%% <dt>`auth_key'</dt><dd>the authenticate key of version 3, in place of the packet's</dd>
%% </dl>

-type encode_reason() ::
    {invalid_hep, term()}
    | {invalid_field, Field :: atom(), Value :: term()}
    | {missing_field, Field :: atom()}
    | {unsupported_field, Field :: atom(), version()}
    | {unknown_protocol_family, term()}
    | {unsupported_payload_type, uint8()}
    | {packet_too_large, Size :: pos_integer()}.
%% Why a packet cannot be encoded. Fields are named as in `#hep{}', options as in {@link encode_options()}.
%% <dl>
%% <dt>`{invalid_hep, Term}'</dt><dd>Term is not a `#hep{}'</dd>
%% <dt>`{invalid_field, Field, Value}'</dt><dd>the value is out of the field's range, of a wrong type, or an
%%   address of the wrong family (in version 3 the destination's family may differ from the source's if
%%   `protocol_family' is that of the source, as in decoded packets). For `chunks', Value is the wrong element, or
%%   the `{VendorId, ChunkId}' of a chunk that belongs in a field</dd>
%% <dt>`{missing_field, Field}'</dt><dd>versions 1 and 2 require it</dd>
%% <dt>`{unsupported_field, Field, Version}'</dt><dd>the version cannot carry the field's value, or does not
%%   support the option</dd>
%% <dt>`{unknown_protocol_family, Family}'</dt><dd>neither IPv4 nor IPv6</dd>
%% <dt>`{unsupported_payload_type, Type}'</dt><dd>versions 1 and 2 carry SIP only</dd>
%% <dt>`{packet_too_large, Size}'</dt><dd>it would have at least Size bytes; the limit is 65535</dd>
%% </dl>

%%% Decoding and encoding

%% @doc Decodes a packet of any version. Raises `badarg' when the argument is not a binary.
%%
%% Known deviations of senders from the specification are decoded as the sender meant them. The 8 (IPv6:
%% 32) NUL bytes that OpenSIPS appends to the payload of versions 1 and 2 are removed; {@link hep_multi_parser:parse/1}
%% keeps them. A packet in gzip is unpacked first: offsets then count in the unpacked packet.
-spec decode(Packet :: binary()) -> {ok, t()} | {error, reason()}.
decode(Packet) when is_binary(Packet) ->
    hep_nif:decode(Packet, [], byte_size(Packet));
decode(Packet) ->
    erlang:error(badarg, [Packet], [{error_info, #{}}]).

%% @doc Decodes a packet of any version. Raises `badarg' when the packet is not a binary or an option
%% is wrong.
%%
%% With `lengths => lenient', returns `{ok, Hep, Reason}' for a packet with wrong lengths; Reason is the error that
%% `strict' returns. Complete chunks are kept, and the received part of a truncated payload. A truncated payload that is
%% compressed is left out, and so is any other truncated chunk.
-spec decode(Packet :: binary(), options()) ->
    {ok, t()} | {ok, t(), reason()} | {error, reason()}.
decode(Packet, Options) ->
    try
        hep_nif:decode(Packet, option_list(Options), byte_size(Packet))
    catch
        error:badarg -> erlang:error(badarg, [Packet, Options], [{error_info, #{}}])
    end.

%% @doc Encodes a packet.
%%
%% A packet without a time gets the time of encoding. Versions, families and payload types may be names or
%% numbers. {@link encode_iolist/1} does not copy the payload.
-spec encode(t()) -> {ok, binary()} | {error, encode_reason()}.
encode(Hep) ->
    hep_nif:encode(numbered(Hep), [], hep_size:record(Hep)).

%% @doc Encodes a packet. Raises `badarg' when an option is wrong.
-spec encode(t(), encode_options()) -> {ok, binary()} | {error, encode_reason()}.
encode(Hep, Options) ->
    try
        hep_nif:encode(numbered(Hep), option_list(Options), encoded_size(Hep, Options))
    catch
        error:badarg -> erlang:error(badarg, [Hep, Options], [{error_info, #{}}])
    end.

%% @doc Encodes a packet without copying its payload. The iolist holds the header, in one or more pieces, the payload,
%% and the chunks after it, if any. A compressed payload is a new binary.
-spec encode_iolist(t()) -> {ok, iolist()} | {error, encode_reason()}.
encode_iolist(Hep) ->
    hep_nif:encode_iolist(numbered(Hep), [], hep_size:record(Hep)).

%% @doc As {@link encode_iolist/1}, with options. Raises `badarg' when an option is wrong.
-spec encode_iolist(t(), encode_options()) -> {ok, iolist()} | {error, encode_reason()}.
encode_iolist(Hep, Options) ->
    try
        hep_nif:encode_iolist(numbered(Hep), option_list(Options), encoded_size(Hep, Options))
    catch
        error:badarg -> erlang:error(badarg, [Hep, Options], [{error_info, #{}}])
    end.

encoded_size(Hep, Options) ->
    hep_size:record(Hep) + hep_size:options(Options).

%% @private The options as the codec takes them. From OTP 26 on `maps:to_list/1' takes iterators too, and
%% `none' is one.
-spec option_list(map()) -> [{term(), term()}].
option_list(Options) when is_map(Options) -> maps:to_list(Options);
option_list(_) -> erlang:error(badarg).

%% @private Replaces names in the record by numbers. Unknown names stay, and the codec rejects them.
-spec numbered(hep() | term()) -> hep() | term().
numbered(#hep{version = Version, protocol_family = Family, payload_type = Type} = Hep) when
    is_atom(Version); is_atom(Family), Family =/= undefined; is_atom(Type)
->
    Known = fun
        (undefined, Name) -> Name;
        (Number, _) -> Number
    end,
    Hep#hep{
        version = Known(version_number(Version), Version),
        protocol_family = Known(hep_registry:protocol_family_number(Family), Family),
        payload_type = Known(hep_registry:payload_type_number(Type), Type)
    };
numbered(Hep) ->
    Hep.

%% @doc Describes the reason of an error in a sentence. Raises `badarg' for any other term.
-spec format_error(reason() | encode_reason() | hep_json:reason()) -> string().
format_error(not_hep) ->
    "not a HEP packet: it begins with neither 1, 2, HEP3 nor EEP3";
format_error({truncated, Offset}) ->
    text("truncated: the packet ends at byte ~b, before the end of its header or its total length", [Offset]);
format_error({unknown_protocol_family, Family}) ->
    text("unknown protocol family ~tp: neither IPv4 nor IPv6", [Family]);
format_error({invalid_header_length, Length}) ->
    text("invalid header length ~b at byte 1: no known sender writes it", [Length]);
format_error({invalid_total_length, Length}) ->
    text("invalid total length ~b at byte 4: the minimum is 6", [Length]);
format_error({truncated_chunk, Offset}) ->
    text("truncated chunk at byte ~b: fewer than 6 bytes left of the total length", [Offset]);
format_error({invalid_chunk_length, Offset, Length}) ->
    text(
        "invalid chunk length ~b of the chunk at byte ~b: below 6 or beyond the total length",
        [Length, Offset]
    );
format_error({invalid_chunk, VendorId, ChunkId, Length, Value}) ->
    text("invalid value of chunk 0x~4.16.0b of vendor ~b (~b bytes): ~ts", [
        ChunkId, VendorId, Length, chunk_fault(VendorId, ChunkId, Value)
    ]);
format_error({invalid_gzip, truncated}) ->
    "invalid gzip packet: truncated";
format_error({invalid_gzip, corrupt}) ->
    "invalid gzip packet: corrupt";
format_error({invalid_gzip, too_large}) ->
    "invalid gzip packet: inflates beyond the limit";
format_error({invalid_hep, Term}) ->
    text("not a #hep{} record: ~tP", [Term, ?DEPTH]);
format_error({invalid_field, Field, Value}) when (Field =:= src_ip orelse Field =:= dst_ip), not is_tuple(Value) ->
    text("invalid value for ~ts: ~tP is not a tuple such as {192,0,2,1}", [Field, Value, ?DEPTH]);
format_error({invalid_field, chunks, {VendorId, ChunkId}}) when is_integer(VendorId), is_integer(ChunkId) ->
    text("invalid value for chunks: chunk {~b,~b} has a wrong width, or belongs in a field", [VendorId, ChunkId]);
format_error({invalid_field, Field, Value}) ->
    text("invalid value for ~ts: ~tP", [Field, Value, ?DEPTH]);
format_error({missing_field, Field}) ->
    text("~ts is missing: versions 1 and 2 require it", [Field]);
format_error({unsupported_field, Field, Version}) ->
    text("version ~b cannot carry this ~ts", [Version, Field]);
format_error({unsupported_payload_type, Type}) ->
    text("payload type ~b: versions 1 and 2 carry SIP only", [Type]);
format_error({packet_too_large, Size}) ->
    text("the packet would have ~b bytes: the limit is 65535", [Size]);
format_error({invalid_json, Line, Column, Message}) ->
    text("~ts at line ~b, column ~b", [Message, Line, Column]);
format_error(_) ->
    erlang:error(badarg).

%% @private
-spec format_error(term(), erlang:stacktrace()) -> #{pos_integer() => unicode:chardata()}.
format_error(badarg, [{_, Function, [Packet | _], _} | _]) when
    (Function =:= decode orelse Function =:= from_packet), not is_binary(Packet)
->
    #{1 => "not a binary"};
format_error(badarg, [{_, Function, [_, Options], _} | _]) when Function =:= decode; Function =:= from_packet ->
    #{2 => hep_options:wrong(decode, Options)};
format_error(badarg, [{_, Function, [_, Options], _} | _]) when Function =:= encode; Function =:= encode_iolist ->
    #{2 => hep_options:wrong(encode, Options)};
format_error(badarg, [{_, Function, Arguments, _} | _]) when
    Function =:= get_version; Function =:= get_chunk; Function =:= get_chunks
->
    #{length(Arguments) => "not a parsed packet"};
format_error(badarg, [{_, _, Arguments, _} | _]) ->
    case lists:last(Arguments) of
        #hep{} when length(Arguments) > 1 -> #{1 => "not a value of this field"};
        #hep{} -> #{1 => "the chunks are not a list"};
        _ -> #{length(Arguments) => "not a #hep{} record"}
    end.

chunk_fault(VendorId, ChunkId, Value) ->
    Is = fun(Name) -> {VendorId, ChunkId} =:= {0, hep_registry:chunk_id(Name)} end,
    case Is(protocol_family) andalso Value of
        <<Family>> -> text("protocol family ~b is neither IPv4 nor IPv6", [Family]);
        _ ->
            case Is(compressed_payload) of
                true -> "corrupt, or inflates beyond the limit";
                false -> "the field has another width"
            end
    end.

text(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

%%% Fields

%% @doc An empty packet of version 3.
-spec new() -> t().
new() ->
    #hep{version = 3}.

%% @doc The version: `hep_v1', `hep_v2' or `hep_v3'.
-spec version(t()) -> version_name() | undefined.
version(Hep) ->
    case ?NAMED(field(#hep.version, Hep), [Hep]) of
        1 -> hep_v1;
        2 -> hep_v2;
        3 -> hep_v3;
        _ -> undefined
    end.

%% @doc Sets the version, by name or number.
-spec version(version_name() | version(), t()) -> t().
version(Version, Hep) -> ?NAMED(field(#hep.version, number(Version, 1, 3, fun version_number/1), Hep), [Version, Hep]).

version_number(hep_v1) -> 1;
version_number(hep_v2) -> 2;
version_number(hep_v3) -> 3;
version_number(_) -> undefined.

%% @doc The protocol family: `ipv4', `ipv6', or `undefined' when the packet does not state it.
-spec protocol_family(t()) -> protocol_family() | undefined.
protocol_family(Hep) -> hep_registry:protocol_family_name(?NAMED(field(#hep.protocol_family, Hep), [Hep])).

%% @doc Sets the protocol family, by name or number.
-spec protocol_family(protocol_family() | uint8() | undefined, t()) -> t().
protocol_family(Family, Hep) ->
    Number = ?NAMED(number(Family, 0, 16#ff, fun hep_registry:protocol_family_number/1), [Family, Hep]),
    ?NAMED(field(#hep.protocol_family, Number, Hep), [Family, Hep]).

%% @doc The IP protocol id: 6 TCP, 17 UDP, 132 SCTP. Kamailio writes 22 for TLS.
-spec protocol(t()) -> uint16() | undefined.
protocol(Hep) -> ?NAMED(field(#hep.protocol, Hep), [Hep]).

%% @doc Sets the IP protocol id.
-spec protocol(uint16() | undefined, t()) -> t().
protocol(Protocol, Hep) -> ?NAMED(field(#hep.protocol, Protocol, Hep), [Protocol, Hep]).

%% @doc The source address of the captured packet.
-spec src_ip(t()) -> inet:ip_address() | undefined.
src_ip(Hep) -> ?NAMED(field(#hep.src_ip, Hep), [Hep]).

%% @doc Sets the source address.
-spec src_ip(inet:ip_address() | undefined, t()) -> t().
src_ip(Address, Hep) -> ?NAMED(field(#hep.src_ip, Address, Hep), [Address, Hep]).

%% @doc The source port of the captured packet.
-spec src_port(t()) -> inet:port_number() | undefined.
src_port(Hep) -> ?NAMED(field(#hep.src_port, Hep), [Hep]).

%% @doc Sets the source port.
-spec src_port(inet:port_number() | undefined, t()) -> t().
src_port(Port, Hep) -> ?NAMED(field(#hep.src_port, Port, Hep), [Port, Hep]).

%% @doc The destination address of the captured packet.
-spec dst_ip(t()) -> inet:ip_address() | undefined.
dst_ip(Hep) -> ?NAMED(field(#hep.dst_ip, Hep), [Hep]).

%% @doc Sets the destination address.
-spec dst_ip(inet:ip_address() | undefined, t()) -> t().
dst_ip(Address, Hep) -> ?NAMED(field(#hep.dst_ip, Address, Hep), [Address, Hep]).

%% @doc The destination port of the captured packet.
-spec dst_port(t()) -> inet:port_number() | undefined.
dst_port(Hep) -> ?NAMED(field(#hep.dst_port, Hep), [Hep]).

%% @doc Sets the destination port.
-spec dst_port(inet:port_number() | undefined, t()) -> t().
dst_port(Port, Hep) -> ?NAMED(field(#hep.dst_port, Port, Hep), [Port, Hep]).

%% @doc The time of capture. Version 1 carries none: its packets get the time of decoding.
%% The microseconds may exceed 999,999 where a sender wrote that.
-spec timestamp(t()) -> erlang:timestamp() | undefined.
timestamp(Hep) -> ?NAMED(field(#hep.timestamp, Hep), [Hep]).

%% @doc Sets the time of capture.
-spec timestamp(erlang:timestamp() | undefined, t()) -> t().
timestamp(Timestamp, Hep) -> ?NAMED(field(#hep.timestamp, Timestamp, Hep), [Timestamp, Hep]).

%% @doc The capture agent id: 16 bits in version 2, 32 in version 3, none in version 1.
-spec node_id(t()) -> uint32() | undefined.
node_id(Hep) -> ?NAMED(field(#hep.node_id, Hep), [Hep]).

%% @doc Sets the capture agent id.
-spec node_id(uint32() | undefined, t()) -> t().
node_id(Id, Hep) -> ?NAMED(field(#hep.node_id, Id, Hep), [Id, Hep]).

%% @doc The payload type: a name, or the number if it has no name.
-spec payload_type(t()) -> payload_type() | uint8().
payload_type(Hep) -> hep_registry:payload_type_name(?NAMED(field(#hep.payload_type, Hep), [Hep])).

%% @doc Sets the payload type, by name or number.
-spec payload_type(payload_type() | uint8(), t()) -> t().
payload_type(Type, Hep) when Type =/= undefined ->
    Number = ?NAMED(number(Type, 0, 16#ff, fun hep_registry:payload_type_number/1), [Type, Hep]),
    ?NAMED(field(#hep.payload_type, Number, Hep), [Type, Hep]);
payload_type(Type, Hep) ->
    erlang:error(badarg, [Type, Hep], [{error_info, #{}}]).

%% @doc The captured payload, inflated if it was compressed.
-spec payload(t()) -> binary().
payload(Hep) -> ?NAMED(field(#hep.payload, Hep), [Hep]).

%% @doc Sets the payload.
-spec payload(binary(), t()) -> t().
payload(Payload, Hep) -> ?NAMED(field(#hep.payload, Payload, Hep), [Payload, Hep]).

%% @doc The vendor of the packet's vendor chunks, the last chunk's if they differ; `unknown' without vendor
%% chunks, and `undefined' in versions 1 and 2, which have no chunks.
-spec vendor(t()) -> vendor() | vendor_id() | undefined.
vendor(Hep) ->
    case ?NAMED(field(#hep.version, Hep), [Hep]) of
        3 ->
            Ids = [Id || {{Id, _}, _} <- chunks(Hep), Id =/= 0],
            hep_registry:vendor_name(lists:last([0 | Ids]));
        _ ->
            undefined
    end.

%% @doc Marks the packet as the vendor's, by name or number: appends an empty chunk of the vendor with number 0.
%% Removes the mark of another vendor; `unknown' and `undefined' only remove.
-spec vendor(vendor() | vendor_id() | undefined, t()) -> t().
vendor(Vendor, Hep) ->
    Number = ?NAMED(number(Vendor, 0, 16#ffff, fun hep_registry:vendor_number/1), [Vendor, Hep]),
    Unmarked = [Chunk || Chunk <- ?NAMED(chunks(Hep), [Vendor, Hep]), not is_mark(Chunk)],
    Mark = [{{Number, 0}, {0, <<>>}} || Number =/= 0, Number =/= undefined],
    Hep#hep{chunks = Unmarked ++ Mark}.

is_mark({{Vendor, 0}, {0, <<>>}}) when Vendor =/= 0 -> true;
is_mark({{Vendor, 0}, <<>>}) when Vendor =/= 0 -> true;
is_mark(_) -> false.

%%% Chunks of the record

%% @doc The correlation id, shared by the packets of one call.
-spec correlation_id(t()) -> binary() | undefined.
correlation_id(Hep) -> ?NAMED(generic(correlation_id, Hep), [Hep]).

%% @doc Sets the correlation id.
-spec correlation_id(binary() | undefined, t()) -> t().
correlation_id(Id, Hep) -> ?NAMED(generic(correlation_id, Id, Hep), [Id, Hep]).

%% @doc The VLAN id of the captured packet; `undefined' if it does not fit 16 bits.
-spec vlan_id(t()) -> uint16() | undefined.
vlan_id(Hep) ->
    unsigned(?NAMED(generic(vlan_id, Hep), [Hep]), 16#ffff).

%% @doc Sets the VLAN id.
-spec vlan_id(uint16() | undefined, t()) -> t().
vlan_id(undefined, Hep) -> ?NAMED(generic(vlan_id, undefined, Hep), [undefined, Hep]);
vlan_id(Id, Hep) when is_integer(Id), Id >= 0, Id =< 16#ffff -> ?NAMED(generic(vlan_id, <<Id:16>>, Hep), [Id, Hep]);
vlan_id(Id, Hep) -> erlang:error(badarg, [Id, Hep], [{error_info, #{}}]).

%% @doc The name of the capture agent: a binary, usually UTF-8.
-spec node_name(t()) -> binary() | undefined.
node_name(Hep) -> ?NAMED(generic(node_name, Hep), [Hep]).

%% @doc Sets the name of the capture agent.
-spec node_name(binary() | undefined, t()) -> t().
node_name(Name, Hep) -> ?NAMED(generic(node_name, Name, Hep), [Name, Hep]).

%% @doc The key by which the capture agent authenticates itself.
-spec auth_key(t()) -> binary() | undefined.
auth_key(Hep) -> ?NAMED(generic(auth_key, Hep), [Hep]).

%% @doc Sets the authenticate key.
-spec auth_key(binary() | undefined, t()) -> t().
auth_key(Key, Hep) -> ?NAMED(generic(auth_key, Key, Hep), [Key, Hep]).

%% @doc The value of a chunk that has no record field; the last one's if there are several.
-spec chunk(vendor_id(), chunk_id(), t()) -> binary() | undefined.
chunk(VendorId, ChunkId, Hep) ->
    Chunks = ?NAMED(chunks(Hep), [VendorId, ChunkId, Hep]),
    case lists:keyfind({VendorId, ChunkId}, 1, lists:reverse(Chunks)) of
        {_, {_Length, Value}} -> Value;
        {_, Value} -> Value;
        _ -> undefined
    end.

%% An integer of any width up to 8 bytes.
unsigned(Value, Most) when is_binary(Value), Value =/= <<>>, byte_size(Value) =< 8 ->
    case binary:decode_unsigned(Value) of
        Integer when Integer =< Most -> Integer;
        _ -> undefined
    end;
unsigned(_, _) ->
    undefined.

generic(Name, Hep) ->
    chunk(0, hep_registry:chunk_id(Name), Hep).

%% Replaces a generic chunk in place, or appends it.
generic(Name, Value, Hep) when is_binary(Value); Value =:= undefined ->
    Key = {0, hep_registry:chunk_id(Name)},
    IsOther = fun(Chunk) -> not (is_tuple(Chunk) andalso element(1, Chunk) =:= Key) end,
    {Before, After} = lists:splitwith(IsOther, chunks(Hep)),
    Own = [{Key, {byte_size(Value), Value}} || Value =/= undefined],
    field(#hep.chunks, Before ++ Own ++ lists:filter(IsOther, After), Hep);
generic(_, _, _) ->
    erlang:error(badarg).

%%% Helpers: anything but a packet, or a value of the field's type, is a badarg

field(Position, #hep{} = Hep) -> element(Position, Hep);
field(_, _) -> erlang:error(badarg).

field(Position, Value, #hep{} = Hep) -> setelement(Position, Hep, Value);
field(_, _, _) -> erlang:error(badarg).

chunks(#hep{chunks = Chunks}) when length(Chunks) >= 0 -> Chunks;
chunks(_) -> erlang:error(badarg).

%% A number stays what it is, a name becomes its number.
number(undefined, _, _, _) ->
    undefined;
number(Number, Least, Most, _) when is_integer(Number), Number >= Least, Number =< Most ->
    Number;
number(Name, _, _, NumberOf) ->
    case NumberOf(Name) of
        undefined -> erlang:error(badarg);
        Number -> Number
    end.

%%% The chunk view

%% @doc The version of a parsed packet.
-spec get_version(state()) -> version().
get_version({hep, Version, _Chunks}) -> Version;
get_version(State) -> erlang:error(badarg, [State], [{error_info, #{}}]).

%% @doc The value of a parsed packet's chunk; the first one's if there are several.
-spec get_chunk(vendor_id(), chunk_id(), state()) -> {ok, binary()} | not_found.
get_chunk(VendorId, ChunkId, State) ->
    Chunks = ?NAMED(get_chunks(State), [VendorId, ChunkId, State]),
    case lists:keyfind(<<VendorId:16, ChunkId:16>>, 1, Chunks) of
        {<<VendorId:16, ChunkId:16>>, Value} -> {ok, Value};
        _ -> not_found
    end.

%% @doc The chunks of a parsed packet, in order, as `{<<VendorId:16, ChunkId:16>>, Value}'.
-spec get_chunks(state()) -> [parsed_chunk()].
get_chunks({hep, _Version, Chunks}) -> Chunks;
get_chunks(State) -> erlang:error(badarg, [State], [{error_info, #{}}]).
