%% Decodes a packet in each of hep's ways and prints its source and payload.
%% Anything unexpected is a crash.
-module(consumer).

-include_lib("hep/include/hep.hrl").

-export([main/1]).

%% test/fixtures/captures/kamailio-v3/hlog-v4/003.bin
-define(PACKET, <<
    "48455033006b000000010007020000000200071100000003000a7f00000100000004000a"
    "7f000001000000080008236400000007000813ce00000009000a6b03368c0000000a000a"
    "00004b200000000b0007640000000c000a0000002a000000110007630000000f000778"
>>).

main(_Arguments) ->
    Packet = binary:decode_hex(?PACKET),
    {ok, #hep{src_ip = Ip, payload = <<"x">>} = Hep} = hep:decode(Packet),
    {ok, State} = hep_multi_parser:parse(Packet),
    [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, Chunks}]}] = hep_transform:transform(State),
    {_, Ip} = lists:keyfind(<<"srcIpAddress">>, 1, Chunks),
    ok = port(filelib:is_regular(hep_nif_path:program()), Packet, Hep),
    io:format("~s ~s~n", [inet:ntoa(Ip), hep:payload_type(Hep)]).

%% An escript contains no program that could be started.
port(false, _Packet, _Hep) ->
    ok;
port(true, Packet, Hep) ->
    {ok, Port} = hep_port:start_link(#{}),
    {ok, Hep} = hep_port:decode(Port, Packet),
    hep_port:stop(Port).
