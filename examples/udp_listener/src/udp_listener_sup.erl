%% @doc Supervises the listener.
-module(udp_listener_sup).

-behaviour(supervisor).

-export([start_link/1, init/1]).

%% @doc With options of {@link hep_listener}.
start_link(Options) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Options).

init(Options) ->
    Defaults = #{name => {local, udp_listener}, handler => udp_listener_handler, view => transform},
    Listener = hep_listener:child_spec(maps:merge(Defaults, Options)),
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, [Listener]}}.
