%% @doc A handler with the required callbacks only: sends its packets to a process.
-module(hep_bare_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

init(Pid) ->
    {ok, Pid}.

handle_packets(Packets, Pid) ->
    Pid ! {bare, Packets},
    {ok, Pid}.
