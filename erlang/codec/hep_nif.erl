%% @private The codec in Rust, as NIFs. Stubs and the loading of the library, nothing else, so that the
%% module hardly ever changes: a NIF library cannot be loaded twice into a running VM.
%%
%% `dirty' means: call the function's `_dirty' twin, the packet or list needs more than a timeslice.
-module(hep_nif).

-export([decode/1, decode/2, decode_dirty/2, parse/2, parse_dirty/2]).
-export([encode/1, encode/2, encode_dirty/2]).
-export([packet_to_json/2, packet_to_json_dirty/2, record_to_json/1, record_to_json_dirty/1]).
-export([chunks_to_json/2, chunks_to_json_dirty/2, from_json/1, from_json_dirty/1]).
-export([transform/3, transform_dirty/3]).
-export([transform_packet/2, transform_packet_dirty/2]).
-export([transform_record/2, transform_record_dirty/2]).
-export([transform_chunk/3]).
-export([glance/1, unpack/1, unpack_more/3]).
-export([udp_attach/1, udp_read/3, udp_close/1]).

-export_type([udp/0, datagram/0]).

-on_load(load/0).

-type options() :: [{atom(), term()}].
%% `hep_registry:names()' and `hep_registry:keys()': binaries that go into the answer as they are.
-type names() :: tuple().
-type keys() :: tuple().
-type properties() :: [{binary(), term()}].
-opaque udp() :: reference().
%% A duplicate of a UDP socket's descriptor, with the memory to read from it.
-type datagram() :: {Source :: {inet:ip_address(), inet:port_number()}, binary()}.
-type udp_error() :: atom() | {errno, integer()}.

-spec decode(binary()) -> {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason()} | dirty.
decode(_Packet) ->
    erlang:nif_error(not_loaded).

-spec decode(binary(), options()) -> {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason()} | dirty.
decode(_Packet, _Options) ->
    erlang:nif_error(not_loaded).

-spec decode_dirty(binary(), options()) -> {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason()}.
decode_dirty(_Packet, _Options) ->
    erlang:nif_error(not_loaded).

-spec parse(binary(), keys()) -> {ok, hep:state()} | {error, hep:reason()} | dirty.
parse(_Packet, _Keys) ->
    erlang:nif_error(not_loaded).

-spec parse_dirty(binary(), keys()) -> {ok, hep:state()} | {error, hep:reason()}.
parse_dirty(_Packet, _Keys) ->
    erlang:nif_error(not_loaded).

-spec encode(hep:hep()) -> {ok, iolist()} | {error, hep:encode_reason()} | dirty.
encode(_Hep) ->
    erlang:nif_error(not_loaded).

-spec encode(hep:hep(), options()) -> {ok, iolist()} | {error, hep:encode_reason()} | dirty.
encode(_Hep, _Options) ->
    erlang:nif_error(not_loaded).

-spec encode_dirty(hep:hep(), options()) -> {ok, iolist()} | {error, hep:encode_reason()}.
encode_dirty(_Hep, _Options) ->
    erlang:nif_error(not_loaded).

-spec packet_to_json(binary(), options()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()} | dirty.
packet_to_json(_Packet, _Options) ->
    erlang:nif_error(not_loaded).

-spec record_to_json(hep:hep()) ->
    {ok, binary()} | {error, hep:encode_reason()} | dirty.
record_to_json(_Hep) ->
    erlang:nif_error(not_loaded).

-spec chunks_to_json(hep:version(), [hep:parsed_chunk()]) -> {ok, binary()} | dirty.
chunks_to_json(_Version, _Chunks) ->
    erlang:nif_error(not_loaded).

-spec from_json(binary()) ->
    {ok, hep:hep() | [hep:hep()]} | {error, hep_json:reason()} | dirty.
from_json(_Json) ->
    erlang:nif_error(not_loaded).

-spec packet_to_json_dirty(binary(), options()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
packet_to_json_dirty(_Packet, _Options) ->
    erlang:nif_error(not_loaded).

-spec record_to_json_dirty(hep:hep()) ->
    {ok, binary()} | {error, hep:encode_reason()}.
record_to_json_dirty(_Hep) ->
    erlang:nif_error(not_loaded).

-spec chunks_to_json_dirty(hep:version(), [hep:parsed_chunk()]) -> {ok, binary()}.
chunks_to_json_dirty(_Version, _Chunks) ->
    erlang:nif_error(not_loaded).

-spec from_json_dirty(binary()) ->
    {ok, hep:hep() | [hep:hep()]} | {error, hep_json:reason()}.
from_json_dirty(_Json) ->
    erlang:nif_error(not_loaded).

-spec transform([hep:parsed_chunk()], names(), keys()) -> properties() | dirty.
transform(_Chunks, _Names, _Keys) ->
    erlang:nif_error(not_loaded).

-spec transform_dirty([hep:parsed_chunk()], names(), keys()) -> properties().
transform_dirty(_Chunks, _Names, _Keys) ->
    erlang:nif_error(not_loaded).

-spec transform_packet(binary(), names()) ->
    {ok, hep:version(), properties()} | {error, hep:reason()} | dirty.
transform_packet(_Packet, _Names) ->
    erlang:nif_error(not_loaded).

-spec transform_packet_dirty(binary(), names()) ->
    {ok, hep:version(), properties()} | {error, hep:reason()}.
transform_packet_dirty(_Packet, _Names) ->
    erlang:nif_error(not_loaded).

-spec transform_record(hep:hep(), names()) -> properties() | dirty.
transform_record(_Hep, _Names) ->
    erlang:nif_error(not_loaded).

-spec transform_record_dirty(hep:hep(), names()) -> properties().
transform_record_dirty(_Hep, _Names) ->
    erlang:nif_error(not_loaded).

-spec transform_chunk(hep:chunk_id(), binary(), names()) -> {ok, binary(), term()} | no_call.
transform_chunk(_ChunkId, _Value, _Names) ->
    erlang:nif_error(not_loaded).

-spec udp_attach(Descriptor :: integer()) -> {ok, udp()} | {error, udp_error()}.
udp_attach(_Descriptor) ->
    erlang:nif_error(not_loaded).

-spec udp_read(udp(), Datagrams :: non_neg_integer(), Bytes :: non_neg_integer()) ->
    {all | more, [datagram()]} | {error, udp_error()}.
udp_read(_Udp, _Datagrams, _Bytes) ->
    erlang:nif_error(not_loaded).

-spec udp_close(udp()) -> ok.
udp_close(_Udp) ->
    erlang:nif_error(not_loaded).

%% For a listener, before it decodes; of versions 1 and 2 it is the version alone that counts.
-spec glance(binary()) ->
    {hep:version(), 0..255, AuthKey :: binary() | undefined, plain | compressed | keep_alive}
    | {error, hep:reason()}.
glance(_Packet) ->
    erlang:nif_error(not_loaded).

%% The gzip member that the bytes begin with: a packet, and how many bytes the member has; or what was inflated so far,
%% for `unpack_more/3'.
-spec unpack(binary()) ->
    {ok, Packet :: binary(), Used :: pos_integer()}
    | {partial, reference(), Step :: non_neg_integer()}
    | invalid.
unpack(_Bytes) ->
    erlang:nif_error(not_loaded).

%% With the bytes that follow. `stale': bytes were given for this step before.
-spec unpack_more(reference(), Step :: non_neg_integer(), binary()) ->
    {ok, Packet :: binary(), Used :: pos_integer()}
    | {partial, reference(), Step :: non_neg_integer()}
    | invalid
    | stale.
unpack_more(_Member, _Step, _Bytes) ->
    erlang:nif_error(not_loaded).

load() ->
    hep_nif_path:load(fun(Path) -> erlang:load_nif(Path, 0) end).
