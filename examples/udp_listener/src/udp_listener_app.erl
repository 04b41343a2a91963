%% @doc The application: one listener, with the options from its environment.
-module(udp_listener_app).

-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    {ok, Options} = application:get_env(udp_listener, listener),
    udp_listener_sup:start_link(Options).

stop(_State) ->
    ok.
