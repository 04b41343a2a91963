%% @doc Parses packets of version 1, see {@link hep_multi_parser}.
-module(hep_v1_parser).

-export([parse/1]).

%% @doc Parses a packet of version 1. Any other term is an error.
-spec parse(Packet :: binary() | term()) -> {ok, hep:state()} | {error, invalid_packet, term()}.
parse(Packet) ->
    hep_multi_parser:parse(1, Packet).
