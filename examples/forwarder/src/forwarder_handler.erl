%% @doc Forwards the packets that pass the filter, as version 3.
-module(forwarder_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

init(#{sender := _, drop := _} = State) ->
    {ok, State}.

handle_packets(Packets, State) ->
    lists:foreach(fun({Hep, _Meta}) -> forward(Hep, State) end, Packets),
    {ok, State}.

%% Version 3 can carry everything in versions 1 and 2, so only the version has to be changed. A packet without a capture
%% id gets that of the sender's options, if any.
forward(Hep, #{sender := Sender, drop := Drop}) ->
    case forwarder_filter:is_dropped(Hep, Drop) of
        true ->
            ok;
        false ->
            %% Packets that cannot be sent are counted, see hep_sender:info/1. This call never waits.
            _ = hep_sender:send(Sender, hep:version(hep_v3, Hep)),
            ok
    end.
