%% @doc Transforms the generic chunks (vendor 0). Implements the behaviour {@link hep_transform}.
-module(hep_generic_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

%% @doc The vendor of the generic chunks.
-spec vendor_id() -> 0.
vendor_id() -> 0.

%% @doc The key under which the transformed view lists the generic chunks.
-spec namespace() -> binary().
namespace() -> <<"generic">>.

%% @doc Returns a chunk's name and readable value: an integer, an address, or the unchanged bytes. Returns `no_call'
%% for an unknown chunk, or one of a wrong width.
-spec transform(hep:chunk_id(), binary()) -> {ok, binary(), term()} | no_call.
transform(ChunkId, Value) when ChunkId >= 0, ChunkId =< 16#ffff ->
    case hep_transform:generic([{<<0:16, ChunkId:16>>, Value}]) of
        [{Name, Transformed}] -> {ok, Name, Transformed};
        [] -> no_call
    end;
transform(_, _) ->
    no_call.
