%% @doc Sends on, as version 3, what the filter lets pass.
-module(forwarder_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

init(#{sender := _, drop := _} = State) ->
    {ok, State}.

handle_packets(Packets, State) ->
    lists:foreach(fun({Hep, _Meta}) -> forward(Hep, State) end, Packets),
    {ok, State}.

%% Versions 1 and 2 say less than version 3 can, but nothing that it could not: the packet only says that it is of
%% another version. Without a capture id it gets the sender's, if that has one.
forward(Hep, #{sender := Sender, drop := Drop}) ->
    case forwarder_filter:is_dropped(Hep, Drop) of
        true ->
            ok;
        false ->
            %% What cannot be sent is counted, see hep_sender:info/1. Nothing waits here.
            _ = hep_sender:send(Sender, hep:version(hep_v3, Hep)),
            ok
    end.
