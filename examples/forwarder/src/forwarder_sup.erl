%% @doc Supervises the sender, and the listener, whose handler needs the sender.
-module(forwarder_sup).

-behaviour(supervisor).

-export([start_link/3, init/1]).

start_link(Listener, Sender, Drop) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, {Listener, Sender, Drop}).

init({Listener, Sender, Drop}) ->
    Children = [
        hep_sender:child_spec(Sender#{name => {local, forwarder_sender}}),
        hep_listener:child_spec(Listener#{
            name => {local, forwarder_listener},
            handler => {forwarder_handler, #{sender => forwarder_sender, drop => Drop}}
        })
    ],
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, Children}}.
