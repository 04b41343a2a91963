%% @doc The lower bound of the benchmark: builds the record of one packet that is known beforehand with calls
%% of the NIF API, without parsing. See `floor_nif/src/lib.rs'.
-module(hep_floor).

-include("hep.hrl").

-export([decode/1]).

-on_load(load/0).

-spec decode(binary()) -> {ok, #hep{}}.
decode(_Packet) ->
    erlang:nif_error(not_loaded).

%% The library is in the folder of this module.
load() ->
    erlang:load_nif(filename:join(filename:dirname(code:which(?MODULE)), "hep_floor"), 0).
