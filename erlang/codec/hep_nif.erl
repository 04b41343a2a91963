%% @private The codec in Rust, as NIFs. Stubs and the loading of the library, nothing else, so that the
%% module hardly ever changes: a NIF library cannot be loaded twice into a running VM.
%%
%% The last argument of the functions that read packets is the size of the binaries to read, see {@link hep_size}.
-module(hep_nif).

-export([decode/3, parse/3, encode/3, encode_iolist/3]).
-export([packet_to_json/3, record_to_json/2, chunks_to_json/3, from_json/2]).
-export([transform/4, transform_packet/3, transform_record/3]).
-export([sip_summary/2, sip_headers/2, sip_header/3]).
-export([glance/3, unpack/1, unpack_more/3]).
-export([pcap_open/1, pcap_read/2, pcap_stats/1]).
-export([udp_attach/1, udp_read/3, udp_close/1]).
-export([file_lock/1, file_unlock/1]).

-export_type([udp/0, datagram/0, pcap_found/0]).

-on_load(load/0).

-type options() :: [{atom(), term()}].
-type names() :: tuple().
-type keys() :: tuple().
-type properties() :: [{binary(), term()}].
-opaque udp() :: reference().
-type datagram() :: {Source :: {inet:ip_address(), inet:port_number()}, binary()}.
-type udp_error() :: atom() | {errno, integer()}.
-type pcap_found() ::
    {hep | sip, Nanoseconds :: non_neg_integer() | undefined, Protocol :: 6 | 17,
        Source :: {inet:ip_address(), inet:port_number()}, Destination :: {inet:ip_address(), inet:port_number()},
        binary()}.
-type size() :: non_neg_integer().
%% `hep_registry:names()' and `hep_registry:keys()': binaries that become part of the result.
%% A duplicate of a UDP socket's descriptor, with the memory to read from it.

-spec decode(binary(), options(), size()) ->
    {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason()}.
decode(_Packet, _Options, _Size) ->
    not_loaded().

-spec parse(binary(), keys(), size()) -> {ok, hep:state()} | {error, hep:reason()}.
parse(_Packet, _Keys, _Size) ->
    not_loaded().

-spec encode(hep:hep(), options(), size()) -> {ok, binary()} | {error, hep:encode_reason()}.
encode(_Hep, _Options, _Size) ->
    not_loaded().

-spec encode_iolist(hep:hep(), options(), size()) -> {ok, iolist()} | {error, hep:encode_reason()}.
encode_iolist(_Hep, _Options, _Size) ->
    not_loaded().

-spec packet_to_json(binary(), options(), size()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
packet_to_json(_Packet, _Options, _Size) ->
    not_loaded().

-spec record_to_json(hep:hep(), size()) -> {ok, binary()} | {error, hep:encode_reason()}.
record_to_json(_Hep, _Size) ->
    not_loaded().

-spec chunks_to_json(hep:version(), [hep:parsed_chunk()], size()) -> {ok, binary()}.
chunks_to_json(_Version, _Chunks, _Size) ->
    not_loaded().

-spec from_json(binary(), size()) -> {ok, hep:hep() | [hep:hep()]} | {error, hep_json:reason()}.
from_json(_Json, _Size) ->
    not_loaded().

%% `unmeasured': the call needs the size.
-spec transform([hep:parsed_chunk()], names(), keys(), size() | unmeasured) -> properties() | unmeasured.
transform(_Chunks, _Names, _Keys, _Size) ->
    not_loaded().

-spec transform_packet(binary(), names(), size()) ->
    {ok, hep:version(), properties()} | {error, hep:reason()}.
transform_packet(_Packet, _Names, _Size) ->
    not_loaded().

-spec transform_record(hep:hep(), names(), size()) -> properties().
transform_record(_Hep, _Names, _Size) ->
    not_loaded().

-spec sip_summary(binary(), size()) -> {ok, hep_sip:summary()} | {error, hep_sip:reason()}.
sip_summary(_Message, _Size) ->
    not_loaded().

-spec sip_headers(binary(), size()) -> {ok, [{binary(), binary()}]} | {error, hep_sip:reason()}.
sip_headers(_Message, _Size) ->
    not_loaded().

-spec sip_header(binary(), binary(), size()) -> {ok, [binary()]} | {error, hep_sip:reason()}.
sip_header(_Name, _Message, _Size) ->
    not_loaded().

%% A reader that looks for HEP on these ports, or on any.
-spec pcap_open([inet:port_number()] | any) -> reference().
pcap_open(_Ports) ->
    erlang:nif_error(not_loaded).

%% With the next bytes of the file. `again': there is more without further bytes.
-spec pcap_read(reference(), binary() | eof) ->
    {again | incomplete | eof | {error, {Offset :: non_neg_integer(), hep_pcap:reason()}}, [pcap_found()]}.
pcap_read(_Reader, _Bytes) ->
    erlang:nif_error(not_loaded).

-spec pcap_stats(reference()) -> #{atom() => non_neg_integer()}.
pcap_stats(_Reader) ->
    erlang:nif_error(not_loaded).

-spec udp_attach(Descriptor :: integer()) -> {ok, udp()} | {error, udp_error()}.
udp_attach(_Descriptor) ->
    not_loaded().

-spec udp_read(udp(), Datagrams :: non_neg_integer(), Bytes :: non_neg_integer()) ->
    {all | more, [datagram()]} | {error, udp_error()}.
udp_read(_Udp, _Datagrams, _Bytes) ->
    not_loaded().

-spec udp_close(udp()) -> ok.
udp_close(_Udp) ->
    not_loaded().

%% Locks a file that exists, until the calling process ends or `file_unlock/1'.
-spec file_lock(Path :: binary()) -> {ok, reference()} | {error, locked | closed | {errno, integer()}}.
file_lock(_Path) ->
    not_loaded().

-spec file_unlock(reference()) -> ok.
file_unlock(_Lock) ->
    not_loaded().

%% For a listener, before it decodes. For versions 1 and 2 only the version is valid.
-spec glance(binary(), strict | lenient, size()) ->
    {hep:version(), 0..255, AuthKey :: binary() | undefined, plain | compressed | keep_alive, Chunks :: non_neg_integer()}
    | {error, hep:reason()}.
glance(_Packet, _Lengths, _Size) ->
    not_loaded().

%% The gzip member at the start of the bytes: the packet and the size of the member, or the unfinished state for
%% `unpack_more/3'.
-spec unpack(binary()) ->
    {ok, Packet :: binary(), Used :: pos_integer()}
    | {partial, reference(), Step :: non_neg_integer()}
    | invalid.
unpack(_Bytes) ->
    not_loaded().

%% Continues with the next bytes. `stale': this step was already taken.
-spec unpack_more(reference(), Step :: non_neg_integer(), binary()) ->
    {ok, Packet :: binary(), Used :: pos_integer()}
    | {partial, reference(), Step :: non_neg_integer()}
    | invalid
    | stale.
unpack_more(_Member, _Step, _Bytes) ->
    not_loaded().

%% If the library cannot be loaded, each function raises an error with the reason. An upgrade does not replace a working
%% library by one that does not load.
load() ->
    Result = hep_nif_path:load(fun(Path) -> erlang:load_nif(Path, 0) end),
    case {Result, erlang:module_loaded(?MODULE)} of
        {{error, Text}, false} -> persistent_term:put({?MODULE, not_loaded}, Text);
        _ -> Result
    end.

not_loaded() ->
    erlang:nif_error({not_loaded, persistent_term:get({?MODULE, not_loaded}, "")}).
