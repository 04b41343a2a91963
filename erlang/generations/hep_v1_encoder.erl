%% @doc Encodes packets of version 1, with the errors of the original library's second generation. {@link
%% hep:encode/1} does the same with more telling errors.
-module(hep_v1_encoder).

-export([encode/1]).

%% @doc Encodes a packet of version 1.
-spec encode(hep:hep()) -> {ok, binary()} | {error, hep_encoder:reason()}.
encode(Hep) ->
    hep_encoder:encode(1, Hep).
