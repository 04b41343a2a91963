%% @private The encoders of one version, as in the original library's second generation: they ignore the record's
%% version, leave out values that their version cannot carry, and return that generation's errors.
-module(hep_encoder).

-include("hep.hrl").

-export([encode/2]).

-export_type([reason/0]).

-type reason() ::
    {unknown_protocol_family, term()}
    | {unsupported_payload_type, hep:uint8()}
    | {packet_too_large, hep:hep()}
    | {invalid_hep, term()}.

%% Version 3 as an iolist, the others as binaries.
-spec encode(1 | 2, hep:hep()) -> {ok, binary()} | {error, reason()};
            (3, hep:hep()) -> {ok, iolist()} | {error, reason()}.
encode(Version, #hep{} = Hep) ->
    case written(fitting(Version, Hep)) of
        {ok, _} = Ok -> Ok;
        {error, {unknown_protocol_family, _}} = Error -> Error;
        {error, {unsupported_payload_type, _}} = Error -> Error;
        {error, {packet_too_large, _}} -> {error, {packet_too_large, Hep}};
        {error, _} -> {error, {invalid_hep, Hep}}
    end;
encode(_Version, Term) ->
    {error, {invalid_hep, Term}}.

written(#hep{version = 3} = Hep) -> hep:encode_iolist(Hep);
written(Hep) -> hep:encode(Hep).

fitting(1, Hep) -> Hep#hep{version = 1, node_id = undefined, chunks = []};
fitting(2, Hep) -> Hep#hep{version = 2, chunks = []};
fitting(3, Hep) -> Hep#hep{version = 3}.
