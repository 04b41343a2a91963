%% @doc The limits of a listener: whose packets are inflated, how much at a time, and the size of a batch.
-module(hep_listener_bounds_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_net, [listening/2, until/2, packet/1, take/1]).
-import(hep_packets, [chunk/2, frame/1]).

-define(KIB, 1024).
-define(MIB, (1024 * 1024)).
-define(MAX, (256 * ?KIB)).

bomb(Chunks) ->
    frame(Chunks ++ [chunk(16, zlib:compress(binary:copy(<<0>>, ?MAX)))]).

%%% Keys

%% Nothing is inflated in packets with a wrong key, whatever their payload.
keys_test_() ->
    Keyed = fun(Key, Chunk) -> frame([chunk(14, Key), Chunk]) end,
    Zip = chunk(16, zlib:compress(<<"payload">>)),
    hep_net:patiently([
        {lists:flatten(io_lib:format("~p", [View])), fun() ->
            listening(#{view => View, auth_keys => [<<"good">>]}, fun(Listener, Port) ->
                Wrong = [Keyed(<<"bad!">>, Zip), Keyed(<<"bad!">>, chunk(16, <<"broken">>)), Keyed(<<"goo">>, Zip), frame([Zip]), bomb([])],
                hep_net:udp(Port, Wrong),
                until(fun() -> maps:get(unauthenticated, hep_listener:info(Listener)) =:= length(Wrong) end, fun() -> hep_listener:info(Listener) end),
                ?assertEqual(#{}, taken(Listener)),
                %% The last key counts, empty keys do not.
                hep_net:udp(Port, [frame([chunk(14, <<"bad!">>), chunk(14, <<"good">>), chunk(14, <<>>), Zip])]),
                [_] = take(1),
                ?assertEqual(View =:= decode orelse View =:= json, taken(Listener) =/= #{})
            end)
        end}
     || View <- [decode, parse, transform, {transform, []}, json, raw]
    ]).

%% Errors in lengths are reported before the key is checked.
broken_frame_test() ->
    listening(#{auth_keys => [<<"good">>]}, fun(Listener, Port) ->
        hep_net:udp(Port, [<<"HEP3", 10:16, 1, 2, 3, 4>>, <<1, 99>>, hep_packets:v1(ipv4, 16)]),
        until(
            fun() -> maps:get(received, hep_listener:info(Listener)) =:= 3 end, fun() -> hep_listener:info(Listener) end
        ),
        ?assertMatch(#{unauthenticated := 1, rejected := #{truncated_chunk := 1}}, hep_listener:info(Listener))
    end).

%% The key is inside: the packet is unpacked once.
gzip_key_test() ->
    listening(#{auth_keys => [<<"good">>]}, fun(Listener, Port) ->
        Packed = [zlib:gzip(frame([chunk(14, Key)])) || Key <- [<<"bad!">>, <<"good">>]],
        hep_net:udp(Port, Packed),
        ?assertMatch([{#hep{}, _}], take(1)),
        ?assertMatch(#{unauthenticated := 1, decoded := 1}, hep_listener:info(Listener))
    end).

taken(Listener) ->
    element(3, sys:get_state(hep_net:child(Listener, budget))).

%%% Batches

%% A batch ends at this number of bytes.
batch_bytes_test_() ->
    Packet = frame([chunk(15, binary:copy(<<"x">>, 1000))]),
    %% Its bytes, 512 for the packet, 128 for its chunk.
    Size = byte_size(Packet) + 512 + 128,
    hep_net:patiently([
        fun() ->
            listening(#{transport => tcp, batch_bytes => Bytes}, fun(_, Port) ->
                Socket = hep_net:tcp(Port),
                ok = hep_net:send(Socket, binary:copy(Packet, 8)),
                ?assertEqual(Batches, batches(8)),
                hep_net:close(Socket)
            end)
        end
     || {Bytes, Batches} <- [{1, lists:duplicate(8, 1)}, {2 * Size, [2, 2, 2, 2]}, {2 * Size + 1, [3, 3, 2]}, {8 * Size + 1, [8]}]
    ]).

batches(0) -> [];
batches(Left) ->
    receive {hep_packets, _, Packets} -> [length(Packets) | batches(Left - length(Packets))] after 30_000 -> error({missing, Left}) end.

%%% Memory

%% A packet of 10,900 chunks fills a batch, and takes a megabyte of the connection's heap. All of it is freed.
full_batch_test() ->
    listening(#{transport => tcp, handler => fun(_) -> ok end}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        ok = hep_net:send(Socket, frame(lists:duplicate(10_900, chunk(300, <<>>)))),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 1 end, fun() -> hep_listener:info(Listener) end),
        [Connection] = hep_net:connections(Listener),
        %% Replies after the batch.
        _ = sys:get_state(Connection),
        ?assert(element(2, process_info(Connection, memory)) < 256 * ?KIB),
        hep_net:close(Socket)
    end).

%% Garbage is collected after each full batch: a connection keeps no heap of several batches.
collected_test() ->
    listening(#{transport => tcp, batch_bytes => 32 * ?KIB, handler => fun(_) -> ok end}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        Decoded = fun(Count) ->
            until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= Count end, fun() -> hep_listener:info(Listener) end)
        end,
        ok = hep_net:send(Socket, hep_net:packet(1)),
        Decoded(1),
        [Connection] = hep_net:connections(Listener),
        Large = frame([chunk(15, <<0:60_000/unit:8>>)]),
        Collections = hep_net:calls(Connection, {erlang, garbage_collect, 0}, fun() ->
            ok = hep_net:send(Socket, binary:copy(Large, 20)),
            Decoded(21)
        end),
        %% Each packet fills a batch. The last one is counted before it is collected.
        ?assert(Collections >= 19, Collections),
        hep_net:close(Socket)
    end).

%% The terms of packets with many chunks count against the budget, those of others do not: a process waits until another
%% one has handled its packet.
many_chunks_test_() ->
    hep_net:quietly([fun() -> many_chunks(View) end || View <- [decode, parse, transform, json]]).

many_chunks(View) ->
    Test = self(),
    Handler = fun(_) -> Test ! {busy, self()}, receive continue -> ok end end,
    Packet = fun(Chunks) -> frame(lists:duplicate(Chunks, <<1:16, 1:16, 6:16>>)) end,
    Least = 8 * ?MAX,
    listening(#{transport => tcp, view => View, inflate_budget => Least, handler => Handler}, fun(Listener, Port) ->
        Sockets = [Few, One, Other] = [hep_net:tcp(Port) || _ <- [1, 2, 3]],
        ok = hep_net:send(Few, Packet(256)),
        Free = receive {busy, Pid} -> Pid end,
        ?assertEqual(#{}, taken(Listener)),
        [ok = hep_net:send(Socket, Packet(10_900)) || Socket <- [One, Other]],
        First = receive {busy, Next} -> Next end,
        Taken = waiting(Listener),
        ?assertEqual(0, lists:min(maps:values(Taken))),
        %% Less than needed, so all of it.
        ?assertEqual(Least, map_get(First, Taken)),
        First ! continue,
        Second = receive {busy, Last} -> Last end,
        ?assertNotEqual(First, Second),
        [Process ! continue || Process <- [Second, Free]],
        until(fun() -> lists:sum(maps:values(taken(Listener))) =:= 0 end, fun() -> taken(Listener) end),
        ?assertMatch(#{decoded := 3}, hep_listener:info(Listener)),
        [hep_net:close(Socket) || Socket <- Sockets]
    end).

%% Far more zip bombs than the budget allows, over many connections and shards: all are decoded, and the inflated bytes
%% at any time are limited.
memory_test_() ->
    hep_net:patiently([
        {atom_to_list(Transport) ++ " " ++ atom_to_list(View), fun() -> bombed(Transport, View, Factor) end}
     || {Transport, View, Factor} <- [{tcp, decode, 1}, {tcp, json, 8}, {udp, decode, 1}, {udp, json, 8}]
    ]).

bombed(Transport, View, Factor) ->
    Budget = 2 * Factor * ?MAX,
    Peak = atomics:new(1, []),
    %% Gives the other connections time to inflate their bombs.
    Handler = fun(_) -> receive after 20 -> peak(erlang:memory(binary), Peak) end end,
    garbage(),
    Before = erlang:memory(binary),
    Options = #{transport => Transport, view => View, inflate_budget => Budget, batch_bytes => 16 * Factor * ?MAX, handler => Handler},
    Shards = case Transport of udp -> #{shards => 4}; tcp -> #{} end,
    listening(maps:merge(Options, Shards), fun(Listener, Port) ->
        Count = sent(Transport, Port),
        until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= Count end, fun() -> hep_listener:info(Listener) end),
        %% Without the limit it would be Count times the memory of one: 50 MiB and more.
        ?assert(atomics:get(Peak, 1) - Before < Budget + 8 * Factor * ?MAX + 8 * ?MIB),
        %% The whole budget was returned.
        until(fun() -> lists:sum(maps:values(taken(Listener))) =:= 0 end, fun() -> taken(Listener) end)
    end).

sent(tcp, Port) ->
    Sockets = [hep_net:tcp(Port) || _ <- lists:seq(1, 10)],
    [ok = hep_net:send(Socket, binary:copy(bomb([]), 20)) || Socket <- Sockets],
    200;
sent(udp, Port) ->
    [hep_net:udp(Port, lists:duplicate(10, bomb([]))) || _ <- lists:seq(1, 20)],
    200.

peak(Now, Peak) ->
    case atomics:get(Peak, 1) of
        Before when Now > Before -> atomics:put(Peak, 1, Now);
        _ -> ok
    end.

garbage() -> [erlang:garbage_collect(Pid) || Pid <- processes()].

%% A connection that is killed while its handler holds inflated payloads returns its part of the budget.
killed_test_() ->
    hep_net:quietly([fun killed/0]).

killed() ->
    Test = self(),
    Handler = fun(_) -> Test ! {busy, self()}, receive never -> ok end end,
    listening(#{transport => tcp, inflate_budget => ?MAX, batch_bytes => 1, handler => Handler}, fun(Listener, Port) ->
        Sockets = [hep_net:tcp(Port) || _ <- [1, 2]],
        [ok = hep_net:send(Socket, bomb([])) || Socket <- Sockets],
        First = receive {busy, Pid} -> Pid end,
        ?assertEqual([0, ?MAX], lists:sort(maps:values(waiting(Listener)))),
        exit(First, kill),
        receive {busy, Second} -> exit(Second, kill) end,
        until(fun() -> taken(Listener) =:= #{} end, fun() -> taken(Listener) end)
    end).

%% After both have asked.
waiting(Listener) ->
    hep_net:wait_for(fun() ->
        Taken = taken(Listener),
        case map_size(Taken) of
            2 -> {true, Taken};
            _ -> false
        end
    end).

%% The minimum is the need of one packet.
budget_option_test_() ->
    [
        ?_assertEqual(Is, element(1, hep_listener_options:check(Options#{handler => self(), inflate_budget => Bytes})))
     || {Options, Least} <- [
            {#{}, ?MAX}, {#{view => json}, 8 * ?MAX}, {#{view => parse}, 65535}, {#{decode => #{max_inflated => 100000}}, 100000},
            {#{decode => #{max_inflated => 0}}, 65535},
            %% A filter decodes in every view.
            {#{view => parse, filter => #{capture_ids => [1]}}, ?MAX}, {#{view => raw, filter => #{capture_ids => [1]}}, ?MAX},
            {#{view => json, filter => #{capture_ids => [1]}}, 8 * ?MAX}
        ],
        {Bytes, Is} <- [{Least, ok}, {Least - 1, error}]
    ].

%%% A process as handler

%% The process gets no more large batches than the limit allows at a time, and all of them in the end.
slow_process_test() ->
    listening(#{transport => tcp}, fun(Listener, Port) ->
        Socket = hep_net:tcp(Port),
        Test = self(),
        Sender = spawn_link(fun() -> ok = hep_net:send(Socket, binary:copy(bomb([]), 100)), Test ! {self(), sent} end),
        receive {Sender, sent} -> ok end,
        until(fun() -> element(2, process_info(Test, message_queue_len)) >= 7 end, fun() -> process_info(Test, message_queue_len) end),
        receive after 200 -> ok end,
        ?assert(element(2, process_info(Test, message_queue_len)) < 15),
        ?assertEqual(100, length(take(100))),
        ?assertMatch(#{decoded := 100}, hep_listener:info(Listener)),
        hep_net:close(Socket)
    end).
