%% @doc The exchanges and queues. Bridge and consumers both declare them, so that either may start first and no packet
%% is published before its queue exists.
%%
%% ```
%% hep (topic) --#--> hep.calls (x-consistent-hash by correlation id) --> hep.calls.0 ... hep.calls.N-1
%% '''
-module(hep_rabbitmq_topology).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([declare/2, exchange/0, queues/1]).

-define(TOPIC, <<"hep">>).
-define(CALLS, <<"hep.calls">>).
%% RabbitMQ 4 drops a message after 20 deliveries by default.
-define(NO_LIMIT, 1_000_000_000).

-spec exchange() -> binary().
exchange() -> ?TOPIC.

-spec queues(pos_integer()) -> [binary()].
queues(Count) ->
    [<<?CALLS/binary, $., (integer_to_binary(Number))/binary>> || Number <- lists:seq(0, Count - 1)].

%% @doc Declares everything. Fails with an exit when the broker has a different definition.
-spec declare(Channel :: pid(), Queues :: pos_integer()) -> ok.
declare(Channel, Count) ->
    call(Channel, #'exchange.declare'{exchange = ?TOPIC, type = <<"topic">>, durable = true}),
    call(Channel, #'exchange.declare'{
        exchange = ?CALLS,
        type = <<"x-consistent-hash">>,
        durable = true,
        arguments = [{<<"hash-property">>, longstr, <<"correlation_id">>}]
    }),
    lists:foreach(fun(Queue) -> queue(Channel, Queue) end, queues(Count)),
    call(Channel, #'exchange.bind'{source = ?TOPIC, destination = ?CALLS, routing_key = <<"#">>}).

%% One of the consumers of a queue gets all packets until it ends: this keeps their order.
queue(Channel, Queue) ->
    call(Channel, #'queue.declare'{
        queue = Queue,
        durable = true,
        arguments = [
            {<<"x-queue-type">>, longstr, <<"quorum">>},
            {<<"x-single-active-consumer">>, bool, true},
            {<<"x-delivery-limit">>, long, ?NO_LIMIT}
        ]
    }),
    %% The routing key is the queue's weight.
    call(Channel, #'queue.bind'{exchange = ?CALLS, queue = Queue, routing_key = <<"1">>}).

call(Channel, Method) ->
    _ = amqp_channel:call(Channel, Method),
    ok.
