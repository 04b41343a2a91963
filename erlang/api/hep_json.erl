%% @doc Packets as JSON, and back.
%%
%% ```
%% 1> {ok, Json} = hep_json:from_packet(Packet).
%% {ok,<<"{\"type\":\"HEP\",\"version\":3,\"protocolFamily\":2,\"protocol\":17,\"srcIp\":\"192.0.2.1\",...}">>}
%% 2> {ok, Hep} = hep_json:decode(Json).
%% '''
%%
%% The JSON Schema `guides/packet.schema.json' describes the representation. Binaries that are not UTF-8
%% are written as base64. Nothing is lost in either direction.
-module(hep_json).

-include("hep.hrl").

%% Why the argument of a function is wrong, for format_error/2.
-define(CAUSE(Text), [{error_info, #{cause => #{1 => Text}}}]).

-export([encode/1, from_packet/1, from_packet/2, decode/1]).
%% For the Elixir API.
-export([encode_record/1]).
%% Explains a badarg of this module to the shell (error_info of erlang:error/3).
-export([format_error/2]).

-export_type([reason/0]).

-type reason() ::
    {invalid_json, Line :: pos_integer(), Column :: pos_integer(), Message :: binary()}.
%% Why a text is not the JSON of packets. `hep:format_error/1' describes it in a sentence.
%%
%% Line and column are those of the first byte of the invalid value, of the name of an unknown or repeated field, or
%% of the object in which a field is missing. For invalid JSON they are where the error shows; for incomplete JSON,
%% just after its last byte. Lines and columns count from 1, columns in bytes.

%% @doc Writes a decoded or parsed packet as JSON, or a list of packets as an array. Raises `badarg' for
%% anything else.
-spec encode(hep:hep() | hep:state() | [hep:hep() | hep:state()]) -> binary().
encode(Packets) ->
    try
        encoded(Packets)
    catch
        error:badarg -> erlang:error(badarg, [Packets], ?CAUSE("not a packet, or not a list of packets"));
        throw:{invalid, Reason} -> erlang:error(badarg, [Packets], ?CAUSE(hep:format_error(Reason)))
    end.

encoded(Packets) when length(Packets) >= 0 ->
    iolist_to_binary([$[, lists:join($,, [object(Packet) || Packet <- Packets]), $]]);
encoded(Packet) ->
    object(Packet).

object(#hep{} = Hep) ->
    case encode_record(Hep) of
        {ok, Json} -> Json;
        {error, Reason} -> throw({invalid, Reason})
    end;
object(State) ->
    Chunks = hep:get_chunks(State),
    Size = hep_size:parsed_chunks(Chunks),
    {ok, Json} = hep_nif:chunks_to_json(hep:get_version(State), Chunks, Size),
    Json.

%% @private The JSON of a decoded packet, or the reason why it cannot be written.
-spec encode_record(hep:hep()) -> {ok, binary()} | {error, hep:encode_reason()}.
encode_record(Hep) ->
    hep_nif:record_to_json(hep:numbered(Hep), hep_size:record(Hep)).

%% @doc Writes a raw packet as JSON, in one step.
-spec from_packet(Packet :: binary()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
from_packet(Packet) ->
    from_packet(Packet, #{}).

%% @doc Writes a raw packet as JSON, in one step. Raises `badarg' when an option is wrong.
%%
%% Returns `{ok, Json, Reason}' for a truncated packet with the option `lengths => lenient', like
%% {@link hep:decode/2}.
-spec from_packet(Packet :: binary(), hep:options()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
from_packet(Packet, Options) ->
    try
        hep_nif:packet_to_json(Packet, hep:option_list(Options), byte_size(Packet))
    catch
        error:badarg -> erlang:error(badarg, [Packet, Options], [{error_info, #{module => hep}}])
    end.

%% @doc Reads the JSON of a packet, or of an array of packets. Raises `badarg' for anything but a binary.
%%
%% Reading is strict: unknown fields, repeated fields and contradictory times are errors.
-spec decode(Json :: binary()) -> {ok, hep:hep() | [hep:hep()]} | {error, reason()}.
decode(Json) when is_binary(Json) ->
    hep_nif:from_json(Json, byte_size(Json));
decode(Json) ->
    erlang:error(badarg, [Json], ?CAUSE("not a binary")).

%% @private
-spec format_error(term(), erlang:stacktrace()) -> #{1 => string()}.
format_error(badarg, [{_, _, _, Info} | _]) ->
    maps:get(cause, proplists:get_value(error_info, Info)).
