%% @private The encoders of one version, with the errors of the original library's second generation.
-module(hep_encoder).

-include("hep.hrl").

-export([encode/2]).

-export_type([reason/0]).

-type reason() ::
    {unknown_protocol_family, term()}
    | {unsupported_payload_type, hep:uint8()}
    | {packet_too_large, hep:hep()}
    | {invalid_hep, term()}.

-spec encode(hep:version(), hep:hep()) -> {ok, iolist()} | {error, reason()}.
encode(Version, #hep{version = Version} = Hep) ->
    case hep:encode(Hep) of
        {ok, _} = Ok -> Ok;
        {error, {unknown_protocol_family, _}} = Error -> Error;
        {error, {unsupported_payload_type, _}} = Error -> Error;
        {error, {packet_too_large, _}} -> {error, {packet_too_large, Hep}};
        {error, _} -> {error, {invalid_hep, Hep}}
    end;
encode(Version, #hep{} = Hep) ->
    %% A wrong family or payload type is told before the wrong version is.
    case encode(Version, Hep#hep{version = Version}) of
        {error, {unknown_protocol_family, _}} = Error -> Error;
        {error, {unsupported_payload_type, _}} = Error -> Error;
        _ -> {error, {invalid_hep, Hep}}
    end;
encode(_Version, Term) ->
    {error, {invalid_hep, Term}}.
