%% @doc Parses packets of version 3, see {@link hep_multi_parser}.
-module(hep_v3_parser).

-export([parse/1]).

%% @doc Parses a packet of version 3. Any other term is an error.
-spec parse(Packet :: binary() | term()) -> {ok, hep:state()} | {error, invalid_packet, term()}.
parse(Packet) ->
    hep_multi_parser:parse(3, Packet).
