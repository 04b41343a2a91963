%% @private The supervisors below a {@link hep_listener}.
-module(hep_listener_sup).

-behaviour(supervisor).

-export([start_link/2, stop/1]).
-export([init/1]).

-spec start_link(supervisor:strategy(), [supervisor:child_spec()]) -> supervisor:startlink_ret().
start_link(Strategy, Children) ->
    supervisor:start_link(?MODULE, {#{strategy => Strategy, intensity => 10, period => 10}, Children}).

%% @doc By the process that started it.
-spec stop(pid()) -> ok.
stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive
        {'DOWN', Monitor, process, Supervisor, _} -> ok
    end.

init(Arguments) ->
    {ok, Arguments}.
