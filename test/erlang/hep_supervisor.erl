%% @doc A user's supervisor, for the tests.
-module(hep_supervisor).

-behaviour(supervisor).

-export([start_link/1, start_link/2, stop/1]).
-export([init/1]).

start_link(Children) ->
    start_link(10, Children).

%% Allows this many restarts in 10 seconds.
start_link(Intensity, Children) ->
    supervisor:start_link(?MODULE, {#{strategy => one_for_one, intensity => Intensity, period => 10}, Children}).

%% Must be called by the process that started it.
stop(Supervisor) ->
    unlink(Supervisor),
    Monitor = monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Monitor, process, Supervisor, _} -> ok end.

init(Arguments) ->
    {ok, Arguments}.
