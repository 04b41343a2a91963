-module(call_flow_queue_tests).

-include_lib("eunit/include/eunit.hrl").

a_full_queue_drops_test() ->
    true = register(call_flow_queue_test, self()),
    Queue = call_flow_queue:new(call_flow_queue_test, 100),
    ok = call_flow_queue:push([a, b], 60, Queue),
    ok = call_flow_queue:push([c], 60, Queue),
    ?assertEqual(1, call_flow_queue:dropped(Queue)),
    receive {packets, [a, b], 60} -> call_flow_queue:handled(2, 60, Queue) end,
    ok = call_flow_queue:push([d], 100, Queue),
    ?assertEqual({packets, [d], 100}, receive Message -> Message after 0 -> none end),
    ?assertEqual(1, call_flow_queue:dropped(Queue)),
    %% The unhandled packets of the previous process are lost, and counted.
    ok = call_flow_queue:reset(Queue),
    ?assertEqual(2, call_flow_queue:dropped(Queue)),
    ok = call_flow_queue:push([e], 100, Queue),
    ?assertEqual(2, call_flow_queue:dropped(Queue)),
    true = unregister(call_flow_queue_test).

without_the_process_packets_are_dropped_test() ->
    Queue = call_flow_queue:new(call_flow_queue_nobody, 100),
    ok = call_flow_queue:push([a, b], 60, Queue),
    ok = call_flow_queue:push([c], 60, Queue),
    ?assertEqual(3, call_flow_queue:dropped(Queue)).
