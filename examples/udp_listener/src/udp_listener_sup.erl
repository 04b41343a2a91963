%% @doc Keeps the listener up.
-module(udp_listener_sup).

-behaviour(supervisor).

-export([start_link/1, init/1]).

start_link(Options) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Options).

init(Options) ->
    Listener = #{id => udp_listener, start => {udp_listener, start_link, [Options]}},
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, [Listener]}}.
