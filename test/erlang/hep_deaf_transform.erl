%% @doc Returns no_call for every chunk of its vendor, for the tests.
-module(hep_deaf_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

vendor_id() -> 7.

namespace() -> <<"deaf">>.

transform(_, _) -> no_call.
