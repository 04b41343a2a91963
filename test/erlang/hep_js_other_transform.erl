%% @doc A second module for the vendor of hep_js_transform, for the tests: it must not be called.
-module(hep_js_other_transform).

-behaviour(hep_transform).

-export([vendor_id/0, namespace/0, transform/2]).

vendor_id() -> hep_js_transform:vendor_id().

namespace() -> <<"other">>.

transform(Id, Value) -> {ok, <<"other">>, {Id, Value}}.
