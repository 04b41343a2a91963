%% @doc A handler with the callbacks that it must have and no others: tells a process what it gets.
-module(hep_bare_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

init(Pid) ->
    {ok, Pid}.

handle_packets(Packets, Pid) ->
    Pid ! {bare, Packets},
    {ok, Pid}.
