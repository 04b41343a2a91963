%% @doc The listener's handler: turns packets into messages, and passes them to the publisher.
%%
%% The publisher replies at once, also without a broker. When it is overloaded, this call waits: the
%% listener does not read meanwhile, and the kernel drops and counts datagrams (`dropped' in `hep_listener:info/1').
-module(hep_rabbitmq_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2]).

init(Publisher) ->
    {ok, Publisher}.

handle_packets(Packets, Publisher) ->
    Messages = [hep_rabbitmq_message:new(Packet, Meta) || {Packet, Meta} <- Packets],
    ok = hep_rabbitmq_publisher:publish(Messages, Publisher),
    {ok, Publisher}.
