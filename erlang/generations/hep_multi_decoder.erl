%% @doc Decodes packets of any version into `#hep{}' records, with the errors of the original library's
%% second generation. {@link hep:decode/1} returns more precise errors.
-module(hep_multi_decoder).

-include("hep.hrl").

-export([decode/1]).
%% For the decoders of one version.
-export([decode/2]).

-export_type([result/0]).

-type result() ::
    {ok, hep:hep()}
    | {error,
        invalid_packet
        | {invalid_chunk, 0, hep:chunk_id(), ValueLength :: hep:uint16(), Value :: binary()},
        Packet :: term()}.
%% A decoded packet, or an error with the argument. Every reason of {@link hep:reason()} is reported as
%% `invalid_packet', except an invalid generic chunk.

%% @doc Decodes a packet. Any other term is an error, too.
-spec decode(Packet :: binary() | term()) -> result().
decode(Packet) when is_binary(Packet) ->
    case hep:decode(Packet) of
        {ok, _} = Ok -> Ok;
        {error, {invalid_chunk, 0, _, _, _} = Reason} -> {error, Reason, Packet};
        {error, _} -> {error, invalid_packet, Packet}
    end;
decode(Other) ->
    {error, invalid_packet, Other}.

%% @private
-spec decode(hep:version(), term()) -> result().
decode(Version, Packet) ->
    case decode(Packet) of
        {ok, #hep{version = Version}} = Ok -> Ok;
        {ok, _} -> {error, invalid_packet, Packet};
        {error, {invalid_chunk, _, _, _, _}, _} = Error when Version =:= 3 -> Error;
        {error, _, _} ->
            {error, invalid_packet, Packet}
    end.
