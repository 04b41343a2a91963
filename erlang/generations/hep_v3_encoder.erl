%% @doc Encodes packets of version 3, with the errors of the original library's second generation. {@link
%% hep:encode/1} does the same with more telling errors.
-module(hep_v3_encoder).

-export([encode/1]).

%% @doc Encodes a packet of version 3.
-spec encode(hep:hep()) -> {ok, iolist()} | {error, hep_encoder:reason()}.
encode(Hep) ->
    hep_encoder:encode(3, Hep).
