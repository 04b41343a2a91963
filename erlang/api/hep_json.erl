%% @doc Packets as JSON, and back.
%%
%% ```
%% 1> {ok, Json} = hep_json:from_packet(Packet).
%% {ok,<<"{\"type\":\"HEP\",\"version\":3,\"protocolFamily\":2,\"protocol\":17,\"srcIp\":\"192.0.2.1\",...}">>}
%% 2> {ok, Hep} = hep_json:decode(Json).
%% '''
%%
%% The representation is described by the JSON Schema `guides/packet.schema.json'. Text that is not UTF-8
%% goes out as base64, and nothing is lost on the way there and back.
-module(hep_json).

-include("hep.hrl").

-export([encode/1, from_packet/1, from_packet/2, decode/1]).
%% For the Elixir API.
-export([encode_record/1]).

-export_type([reason/0]).

-type reason() ::
    {invalid_json, Line :: pos_integer(), Column :: pos_integer(), Message :: binary()}.
%% Why text is not the JSON of packets. `hep:format_error/1' turns it into a sentence.
%%
%% The place is the first byte of what is wrong: of a value, of the name of a field that there is not or that is
%% given twice, of an object that lacks a field. In text that is no JSON it is the byte where that shows, the one
%% behind the text where the text ends too early. Lines and columns count from 1, columns in bytes.

%% @doc The JSON of a decoded packet or of a parsed one, or the array of a list of them. Raises `badarg' for
%% what is none.
-spec encode(hep:hep() | hep:state() | [hep:hep() | hep:state()]) -> binary().
encode(Packets) when length(Packets) >= 0 ->
    try
        iolist_to_binary([$[, lists:join($,, [object(Packet) || Packet <- Packets]), $]])
    catch
        error:badarg -> erlang:error(badarg, [Packets])
    end;
encode(Packet) ->
    try
        object(Packet)
    catch
        error:badarg -> erlang:error(badarg, [Packet])
    end.

object(#hep{} = Hep) ->
    case encode_record(Hep) of
        {ok, Json} -> Json;
        {error, _} -> erlang:error(badarg)
    end;
object(State) ->
    Chunks = hep:get_chunks(State),
    Size = hep_size:parsed_chunks(Chunks),
    {ok, Json} = hep_nif:chunks_to_json(hep:get_version(State), Chunks, Size),
    Json.

%% @private The JSON of a decoded packet, or why there is none.
-spec encode_record(hep:hep()) -> {ok, binary()} | {error, hep:encode_reason()}.
encode_record(Hep) ->
    hep_nif:record_to_json(hep:numbered(Hep), hep_size:record(Hep)).

%% @doc The JSON of a packet as it came from the network, in one step.
-spec from_packet(Packet :: binary()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
from_packet(Packet) ->
    from_packet(Packet, #{}).

%% @doc The JSON of a packet as it came from the network, in one step. Raises `badarg' when an option is wrong.
%%
%% `{ok, Json, Reason}' is the answer for a cut packet under the option `lengths => lenient', as of
%% {@link hep:decode/2}.
-spec from_packet(Packet :: binary(), hep:options()) ->
    {ok, binary()} | {ok, binary(), hep:reason()} | {error, hep:reason()}.
from_packet(Packet, Options) ->
    try
        hep_nif:packet_to_json(Packet, hep:option_list(Options), byte_size(Packet))
    catch
        error:badarg -> erlang:error(badarg, [Packet, Options], [{error_info, #{module => hep}}])
    end.

%% @doc Reads the JSON of a packet, or of an array of packets. Raises `badarg' for what is no binary.
%%
%% Nothing is passed over: fields that there are not, fields given twice and times that disagree are errors.
-spec decode(Json :: binary()) -> {ok, hep:hep() | [hep:hep()]} | {error, reason()}.
decode(Json) when is_binary(Json) ->
    hep_nif:from_json(Json, byte_size(Json));
decode(_) ->
    erlang:error(badarg).
