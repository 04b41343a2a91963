%% @doc Transforms the chunks of vendor 7: the value of a chunk says what to do. For the tests.
-module(hep_wild_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

vendor_id() -> 7.

namespace() -> <<"wild">>.

transform(_, <<"error">>) -> error(wild);
transform(_, <<"throw">>) -> throw(wild);
transform(_, <<"exit">>) -> exit(wild);
transform(_, <<"nonsense">>) -> wild;
transform(_, <<"kill">>) -> exit(self(), kill);
transform(Id, Value) -> {ok, integer_to_binary(Id), Value}.
