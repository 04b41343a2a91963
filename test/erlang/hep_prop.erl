%% @doc Runs properties as EUnit tests.
-module(hep_prop).

-include_lib("eunit/include/eunit.hrl").

-export([holds/3, without_raising/1]).

%% Checks an exported property of the module; a failure shows the counterexample.
holds(Module, Name, Cases) ->
    Options = [quiet, {numtests, Cases}, {max_size, 40}],
    ?assertEqual(true, proper:counterexample(Module:Name(), Options)).

without_raising(Body) ->
    try
        Body()
    catch
        Class:Reason:Stacktrace ->
            io:format("~p:~p~n~p~n", [Class, Reason, Stacktrace]),
            false
    end.
