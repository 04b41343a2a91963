%% @doc Transforms the chunks of vendor 0xCAFE, from a capture of hep-js, for the tests.
-module(hep_js_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

vendor_id() -> 16#CAFE.

namespace() -> <<"hep-js">>.

transform(1, Text) -> {ok, <<"text">>, Text};
transform(2, <<Number:32>>) -> {ok, <<"number">>, Number};
transform(_, _) -> no_call.
