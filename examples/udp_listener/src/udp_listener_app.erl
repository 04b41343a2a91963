%% @doc The application: one listener, on the address and the port of its environment.
-module(udp_listener_app).

-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    {ok, Ip} = application:get_env(udp_listener, ip),
    {ok, Port} = application:get_env(udp_listener, port),
    udp_listener_sup:start_link(#{ip => Ip, port => Port}).

stop(_State) ->
    ok.
