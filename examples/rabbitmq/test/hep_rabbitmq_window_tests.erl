-module(hep_rabbitmq_window_tests).

-include_lib("eunit/include/eunit.hrl").

take_test() ->
    Window = window([a, b, c, d, e]),
    ?assertEqual([a, b, c, d, e], hep_rabbitmq_window:messages(Window)),
    {[c], One} = hep_rabbitmq_window:take(3, false, Window),
    {[a, b, d], Three} = hep_rabbitmq_window:take(4, true, One),
    ?assertEqual([e], hep_rabbitmq_window:messages(Three)),
    %% Confirmed twice, or never published.
    [
        ?assertEqual({[], Three}, hep_rabbitmq_window:take(Number, Multiple, Three))
     || {Number, Multiple} <- [{3, false}, {4, true}, {6, false}, {0, true}]
    ],
    ?assertMatch({[e], _}, hep_rabbitmq_window:take(9, true, Three)).

size_test() ->
    {[a], Window} = hep_rabbitmq_window:take(1, false, window([a, b, c, d, e])),
    ?assertEqual(4, hep_rabbitmq_window:size(Window)),
    %% Numbers continue.
    ?assertMatch({[f], _}, hep_rabbitmq_window:take(6, false, hep_rabbitmq_window:add(f, Window))).

window(Messages) ->
    lists:foldl(fun hep_rabbitmq_window:add/2, hep_rabbitmq_window:new(), Messages).
