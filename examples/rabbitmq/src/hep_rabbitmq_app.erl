%% @doc The application: a bridge, a consumer or both, depending on its environment (config/sys.config).
-module(hep_rabbitmq_app).

-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    {ok, Broker} = application:get_env(hep_rabbitmq, broker),
    hep_rabbitmq_sup:start_link(#{
        bridge => options(bridge, Broker),
        consumer => options(consumer, Broker)
    }).

stop(_State) ->
    ok.

options(Part, Broker) ->
    case application:get_env(hep_rabbitmq, Part, none) of
        none -> none;
        Options -> maps:merge(Broker, Options)
    end.
