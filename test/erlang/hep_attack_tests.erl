%% @doc A short run of {@link hep_attack}; `make attack' is the long one.
-module(hep_attack_tests).

-include_lib("eunit/include/eunit.hrl").

packets_test_() ->
    {timeout, 120, fun() ->
        {Killed, _, _} = hep_attack:packets(20000),
        ?assert(Killed > 0)
    end}.

requests_test_() ->
    {timeout, 120, fun() -> ok = hep_attack:requests(20000) end}.

terms_test_() ->
    {timeout, 120, fun() -> ?assert(hep_attack:terms(300) > 60) end}.
