%% @doc Transforms generic chunks with an unknown id, for the tests.
-module(hep_zero_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

vendor_id() -> 0.

namespace() -> <<"zero">>.

transform(Id, Value) -> {ok, <<"zero">>, {Id, Value}}.
