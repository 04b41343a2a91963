%% @doc Decodes packets of version 1, see {@link hep_multi_decoder}.
-module(hep_v1_decoder).

-export([decode/1]).

%% @doc Decodes a packet of version 1. Any other term is an error.
-spec decode(Packet :: binary() | term()) -> hep_multi_decoder:result().
decode(Packet) ->
    hep_multi_decoder:decode(1, Packet).
