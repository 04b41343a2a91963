%% @doc Packets of two agents: passed once, within a window, with limited memory, in every view.
-module(hep_listener_dedup_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_net, [listening/2, until/1]).

-define(GLANCE, #{version => 3, type => 1, payload => plain, chunks => 9}).
-define(LONG, #{window => 60_000}).

%%% Through the listener

%% The second agent's copies are dropped; repetitions of the first agent stay.
views_test_() ->
    [
        {lists:flatten(io_lib:format("~0p, ~p", [View, Transport])), fun() -> view(View, Transport) end}
     || View <- [decode, parse, transform, {transform, [hep_js_transform]}, json, raw], Transport <- [udp, tcp]
    ].

view(View, Transport) ->
    listening(#{view => View, transport => Transport, dedup => ?LONG}, fun(Listener, Port) ->
        {First, Second} = {connect(Transport, Port), connect(Transport, Port)},
        give(First, 1, <<"INVITE">>, Listener, 1),
        give(Second, 2, <<"INVITE">>, Listener, 2),
        give(First, 1, <<"INVITE">>, Listener, 3),
        give(Second, 2, <<"INVITE">>, Listener, 4),
        give(Second, 2, <<"ACK">>, Listener, 5),
        give(First, 1, <<"ACK">>, Listener, 6),
        ?assertEqual(3, length(hep_net:take(3))),
        ?assertMatch(#{received := 6, decoded := 3, duplicates := 3, versions := #{3 := 3}}, hep_listener:info(Listener)),
        [close(Connection) || Connection <- [First, Second]]
    end).

connect(udp, _) ->
    {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
    {udp, Socket};
connect(tcp, Port) ->
    {tcp, hep_net:tcp(Port)}.

%% Sends, and waits until this number of packets was received: so packets of two connections arrive in order of the
%% calls.
give(Connection, Agent, Payload, Listener, Count) ->
    give_bytes(Connection, encoded(packet(Agent, Payload)), Listener, Count).

give_bytes(Connection, Bytes, Listener, Count) ->
    ok = send(Connection, Bytes, hep_listener:port(Listener)),
    until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= Count end).

send({udp, Socket}, Bytes, Port) -> gen_udp:send(Socket, {127, 0, 0, 1}, Port, Bytes);
send({tcp, Socket}, Bytes, _) -> gen_tcp:send(Socket, Bytes).

close({udp, Socket}) -> gen_udp:close(Socket);
close({tcp, Socket}) -> gen_tcp:close(Socket).

encoded(Hep) ->
    encoded(Hep, #{}).

encoded(Hep, Options) ->
    {ok, Bytes} = hep:encode(Hep, Options),
    Bytes.

packet(Agent, Payload) ->
    #hep{
        version = 3,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5062,
        timestamp = {1700, Agent, 0},
        node_id = Agent,
        payload = Payload
    }.

%% Each packet is a new one or a copy: the difference, and the listener's count.
facts_test_() ->
    Hep = packet(1, <<"INVITE">>),
    Other = Hep#hep{node_id = 2},
    [
        {Name, fun() -> ?assertEqual(Duplicates, duplicates(#{dedup => ?LONG}, [encoded(Hep), Bytes])) end}
     || {Name, Bytes, Duplicates} <- [
            {"a copy", encoded(Other), 1},
            {"a copy with other facts", encoded(Other#hep{protocol = 6, payload_type = 5, timestamp = {1, 2, 3}}), 1},
            {"compressed", encoded(Other, #{compress => gzip}), 1},
            {"of version 2", encoded(Other#hep{version = 2}), 1},
            {"of version 1", encoded(Other#hep{version = 1, node_id = undefined, timestamp = undefined}), 1},
            {"another payload", encoded(Other#hep{payload = <<"INVITE ">>}), 0},
            {"another source", encoded(Other#hep{src_ip = {192, 0, 2, 9}}), 0},
            {"another source port", encoded(Other#hep{src_port = 5061}), 0},
            {"another destination", encoded(Other#hep{dst_ip = {192, 0, 2, 9}}), 0},
            {"another destination port", encoded(Other#hep{dst_port = 5061}), 0},
            {"the way back", encoded(Other#hep{src_ip = {192, 0, 2, 2}, src_port = 5062, dst_ip = {192, 0, 2, 1}, dst_port = 5060}), 0}
        ]
    ].

%% From one socket.
duplicates(Options, Packets) ->
    listening(Options, fun(Listener, Port) ->
        Connection = connect(udp, Port),
        lists:foreach(
            fun({Count, Bytes}) -> give_bytes(Connection, Bytes, Listener, Count) end,
            lists:zip(lists:seq(1, length(Packets)), Packets)
        ),
        close(Connection),
        #{duplicates := Duplicates, decoded := Decoded} = hep_listener:info(Listener),
        ?assertEqual(length(Packets), Decoded + Duplicates),
        ?assertEqual(Decoded, length(hep_net:take(Decoded))),
        Duplicates
    end).

%% In the views without a record, with IPv6.
other_views_test_() ->
    Six = (packet(1, <<"INVITE">>))#hep{src_ip = {1, 2, 3, 4, 5, 6, 7, 8}, dst_ip = {1, 2, 3, 4, 5, 6, 7, 9}},
    [
        fun() ->
            ?assertEqual(1, duplicates(#{dedup => ?LONG, view => View}, [
                encoded(Six),
                encoded(Six#hep{node_id = 2}),
                encoded(Six#hep{dst_ip = {1, 2, 3, 4, 5, 6, 7, 7}}),
                encoded(Six#hep{src_port = 1}),
                encoded(Six#hep{payload = <<"ACK">>})
            ]))
        end
     || View <- [parse, transform, json, raw]
    ].

%% A compressed payload is compared as it was sent.
compressed_test_() ->
    Compressed = fun(Agent, Payload) -> encoded(packet(Agent, Payload), #{compress => zlib}) end,
    [
        ?_assertEqual(1, duplicates(#{dedup => ?LONG, view => View}, [
            Compressed(1, <<"INVITE">>), Compressed(2, <<"INVITE">>), Compressed(2, <<"CANCEL">>)
        ]))
     || View <- [decode, parse, json, raw]
    ].

%% The inflated payload of a duplicate is taken from the budget, too.
budget_test() ->
    listening(#{dedup => ?LONG, inflate_budget => 256 * 1024}, fun(Listener, Port) ->
        [Shard] = hep_net:workers(Listener),
        Packets = [encoded(packet(Agent, <<0:200_000/unit:8>>), #{compress => zlib}) || Agent <- lists:seq(1, 10)],
        Takes = hep_net:calls(Shard, {hep_listener_budget, take, 2}, fun() ->
            _ = hep_net:udp(Port, Packets),
            until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= 10 end)
        end),
        ?assertEqual(10, Takes),
        ?assertMatch(#{duplicates := 9}, hep_listener:info(Listener))
    end).

%% How agents are distinguished.
agent_test_() ->
    Same = encoded(packet(1, <<"INVITE">>)),
    Other = encoded(packet(2, <<"INVITE">>)),
    Without = encoded((packet(1, <<"INVITE">>))#hep{node_id = undefined}),
    [
        ?_assertEqual(Duplicates, duplicates(#{dedup => maps:put(agent, Agent, ?LONG)}, Packets))
     || {Agent, Packets, Duplicates} <- [
            {capture_id, [Same, Same, Other], 1},
            %% From one address.
            {capture_id, [Without, Without], 0},
            {source, [Same, Same, Other], 0},
            {any, [Same, Same, Other], 2}
        ]
    ].

%% Reports of several agents are equal and stay: those without addresses, and the keep-alives of heplify.
reports_test_() ->
    Report = fun(Agent) -> encoded(#hep{version = 3, node_id = Agent, timestamp = {1700, 1, 1}, payload_type = 100, payload = <<"up">>}) end,
    KeepAlive = fun(Agent) -> encoded((packet(Agent, <<"HEP3", 3, 10>>))#hep{payload_type = 0}) end,
    [
        ?_assertEqual(0, duplicates(#{dedup => ?LONG, view => View}, [Report(1), Report(2), KeepAlive(1), KeepAlive(2)]))
     || View <- [decode, parse, json]
    ] ++ [
        fun() ->
            Dedup = dedup(?LONG),
            ?assertEqual(
                [false, false],
                [hep_listener_dedup:is_duplicate(Hep, <<>>, ?GLANCE, {127, 0, 0, 1}, Dedup) || Hep <- [Partial(1), Partial(2)]]
            )
        end
     || Partial <- [
            fun(Agent) -> (packet(Agent, <<"up">>))#hep{src_ip = undefined} end,
            fun(Agent) -> (packet(Agent, <<"up">>))#hep{dst_ip = undefined} end
        ]
    ].

%% Packets that the handler does not get are not remembered.
rejected_test() ->
    listening(#{dedup => ?LONG, auth_keys => [<<"key">>]}, fun(Listener, Port) ->
        Connection = connect(udp, Port),
        Hep = packet(1, <<"INVITE">>),
        give_bytes(Connection, encoded(Hep, #{auth_key => <<"wrong">>}), Listener, 1),
        give_bytes(Connection, encoded(Hep#hep{node_id = 2}, #{auth_key => <<"key">>}), Listener, 2),
        give_bytes(Connection, encoded(Hep#hep{node_id = 3}, #{auth_key => <<"key">>}), Listener, 3),
        ?assertMatch(#{unauthenticated := 1, decoded := 1, duplicates := 1}, hep_listener:info(Listener)),
        close(Connection)
    end).

%% After the window, the packet of the other agent is a new one.
window_test() ->
    listening(#{dedup => #{window => 20}}, fun(Listener, Port) ->
        Connection = connect(udp, Port),
        give(Connection, 1, <<"INVITE">>, Listener, 1),
        timer:sleep(50),
        give(Connection, 2, <<"INVITE">>, Listener, 2),
        ?assertMatch(#{decoded := 2, duplicates := 0}, hep_listener:info(Listener)),
        close(Connection)
    end).

%% Two agents over several shards: each packet passes once.
shards_test_() ->
    {timeout, 60, fun() ->
        listening(#{dedup => ?LONG, shards => 4}, fun(Listener, Port) ->
            Agents = [
                spawn_link(fun() ->
                    Sockets = [connect(udp, Port) || _ <- lists:seq(1, 8)],
                    [
                        begin
                            ok = send(lists:nth(1 + N rem 8, Sockets), encoded(packet(Agent, integer_to_binary(N))), Port),
                            N rem 20 =:= 0 andalso timer:sleep(5)
                        end
                     || N <- lists:seq(1, 1000)
                    ],
                    receive stop -> ok end
                end)
             || Agent <- [1, 2, 3]
            ],
            until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= 3000 end),
            ?assertMatch(#{decoded := 1000, duplicates := 2000}, hep_listener:info(Listener)),
            Payloads = [hep:payload(Hep) || {Hep, _} <- hep_net:take(1000)],
            ?assertEqual(1000, length(lists:usort(Payloads))),
            [Agent ! stop || Agent <- Agents]
        end)
    end}.

options_test_() ->
    [
        ?_assertEqual(
            {error, {bad_option, {dedup, Dedup}}},
            hep_listener:start_link(#{port => 0, handler => self(), dedup => Dedup})
        )
     || Dedup <- [true, [], #{window => 0}, #{window => 60_001}, #{max_entries => 1}, #{agent => ip}, #{size => 1}]
    ].

%%% The tables

%% A flood of new packets from several processes: the tables and their memory stay within the limit.
flood_test_() ->
    {timeout, 60, fun() ->
        Before = ets:all(),
        Dedup = dedup(#{window => 60_000, max_entries => 1000}),
        Tables = ets:all() -- Before,
        Parent = self(),
        Largest = fun() -> lists:max([ets:info(Table, size) || Table <- Tables]) end,
        Flooders = [
            spawn_link(fun() ->
                Sizes = [
                    begin
                        ?assertNot(is_duplicate(Flooder, <<Flooder:8, N:32>>, Dedup)),
                        N rem 10 =:= 0 andalso Largest()
                    end
                 || N <- lists:seq(1, 10000)
                ],
                Parent ! {self(), lists:max([Size || Size <- Sizes, is_integer(Size)])}
            end)
         || Flooder <- lists:seq(1, 8)
        ],
        [receive {Flooder, Size} -> ?assert(Size =< 510) end || Flooder <- Flooders],
        %% The latest packets are still remembered.
        ?assertNot(is_duplicate(1, <<"new">>, Dedup)),
        ?assert(is_duplicate(2, <<"new">>, Dedup))
    end}.

%% The largest entries have the IPv6 address of the agent.
memory_test() ->
    Before = ets:all(),
    Entries = 100_000,
    Dedup = dedup(#{window => 60_000, max_entries => Entries, agent => source}),
    Tables = ets:all() -- Before,
    [
        ?assertNot(
            hep_listener_dedup:is_duplicate(packet(1, <<N:32>>), <<>>, ?GLANCE, {16#2001, 16#db8, 0, 0, 0, 0, 0, N rem 50}, Dedup)
        )
     || N <- lists:seq(1, Entries - 1)
    ],
    ?assert(lists:sum([ets:info(Table, size) || Table <- Tables]) > Entries - 100),
    Bytes = erlang:system_info(wordsize) * lists:sum([ets:info(Table, memory) || Table <- Tables]),
    ?assert(Bytes < Entries * 170, Bytes).

%% Packets in either table are found: all of the last third of the entries.
generations_test() ->
    Dedup = dedup(#{window => 60_000, max_entries => 300}),
    [
        begin
            ?assertNot(is_duplicate(1, <<N:32>>, Dedup)),
            [?assert(is_duplicate(2, <<Last:32>>, Dedup)) || Last <- lists:seq(max(1, N - 99), N)]
        end
     || N <- lists:seq(1, 700)
    ].

%% Agents without a capture id are told apart by their addresses, as all are with `source'.
sources_test_() ->
    [
        fun() ->
            Dedup = dedup(#{agent => Agent}),
            Hep = (packet(1, <<"INVITE">>))#hep{node_id = Id},
            [First, Again, Other] = [
                hep_listener_dedup:is_duplicate(Hep, <<>>, ?GLANCE, Source, Dedup)
             || Source <- [{10, 0, 0, 1}, {10, 0, 0, 1}, {10, 0, 0, 2}]
            ],
            ?assertEqual({false, false, true}, {First, Again, Other})
        end
     || {Agent, Id} <- [{capture_id, undefined}, {source, undefined}, {source, 7}]
    ].

dedup(Options) ->
    {ok, Complete} = hep_listener_dedup:check(Options),
    hep_listener_dedup:new(Complete).

is_duplicate(Agent, Payload, Dedup) ->
    hep_listener_dedup:is_duplicate(packet(Agent, Payload), <<>>, ?GLANCE, {127, 0, 0, 1}, Dedup).
