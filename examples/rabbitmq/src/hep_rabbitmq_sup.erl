%% @doc Supervises the bridge (a publisher, and the listener, whose handler needs it) and the consumer.
-module(hep_rabbitmq_sup).

-behaviour(supervisor).

-export([start_link/1, init/1]).

-spec start_link(#{bridge := map() | none, consumer := map() | none}) -> supervisor:startlink_ret().
start_link(Parts) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Parts).

init(#{bridge := Bridge, consumer := Consumer}) ->
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, bridge(Bridge) ++ consumer(Consumer)}}.

bridge(none) ->
    [];
bridge(#{listener := Listener} = Options) ->
    [
        %% Long enough for the last confirms.
        worker(hep_rabbitmq_publisher, maps:remove(listener, Options), 10_000),
        hep_listener:child_spec(Listener#{
            name => {local, hep_rabbitmq_listener},
            view => raw,
            handler => {hep_rabbitmq_handler, hep_rabbitmq_publisher}
        })
    ].

consumer(none) -> [];
consumer(Options) -> [worker(hep_rabbitmq_consumer, Options, 5000)].

worker(Module, Options, Shutdown) ->
    #{id => Module, start => {Module, start_link, [Options]}, shutdown => Shutdown}.
