%% @doc The strategy `balance' of the sender: the key of a packet, the choice of a target, and what happens when targets
%% go and come back.
-module(hep_sender_balance_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_collectors.hrl").
-include("hep_prop.hrl").

-import(hep_collectors, [wait/1, wait_for/3, with_sender/2]).

%% For the property.
-export([prop_totals/0]).

-define(TARGETS, [{"a.example", 9060}, {"b.example", 9060}, {"c.example", 9060}, {"d.example", 9060}]).

%%% Keys

%% Whatever the form of a packet, its key is the same.
forms_test_() ->
    [
        {lists:flatten(io_lib:format("~s, ~s", [Version, Name])), fun() -> forms(hep:version(Version, Packet), #{}) end}
     || {Name, Packet} <- [
            {"SIP", sip(<<"1@a">>, 1)},
            {"no Call-ID", hep:payload(<<"OPTIONS sip:b SIP/2.0\r\n\r\n">>, sip(<<>>, 1))},
            {"empty payload", hep:payload(<<>>, sip(<<>>, 1))}
        ],
        Version <- [hep_v1, hep_v2, hep_v3]
    ] ++
        [
            {Name, fun() -> forms(Packet, Options) end}
         || {Name, Packet, Options} <- [
                {"correlation id", hep:correlation_id(<<"2@a">>, sip(<<"1@a">>, 1)), #{}},
                {"RTCP", hep:payload_type(rtcp, hep:correlation_id(<<"1@a">>, sip(<<>>, 1))), #{}},
                {"compressed", sip(<<"1@a">>, 1), #{compress => zlib}},
                {"nothing", hep:payload(<<"x">>, hep:new()), #{}},
                {"not even a payload", hep:new(), #{}}
            ]
        ].

forms(Packet, Options) ->
    Key = hep_sender_balance:key(Packet),
    {ok, Binary} = hep:encode(Packet, Options),
    {ok, List} = hep:encode_iolist(Packet, Options),
    {ok, Decoded} = hep:decode(Binary),
    [
        ?assertEqual(Key, hep_sender_balance:key(Form))
     || Form <- [Binary, List, [[], [Binary]], Decoded, zlib:gzip(Binary)]
    ].

keys_test_() ->
    Sip = sip(<<"1@a">>, 1),
    Answer = swapped(Sip),
    Other = hep:payload_type(rtp, Sip),
    Elsewhere = hep:src_port(7000, Other),
    Log = (hep:payload_type(log, Sip))#hep{src_ip = ?V4, dst_ip = ?V4, src_port = 0, dst_port = 0},
    {ok, Bytes} = hep:encode(Sip),
    Equal = [
        {"correlation id and Call-ID", hep:correlation_id(<<"1@a">>, Other), Sip},
        {"an empty correlation id", hep:correlation_id(<<>>, Sip), Sip},
        {"other addresses", hep:src_ip({9, 9, 9, 9}, Sip), Sip},
        {"compact name", hep:payload(<<"BYE sip:b SIP/2.0\r\ni:1@a\r\n\r\n">>, Sip), Sip},
        {"versions", hep:version(hep_v1, Sip), hep:version(hep_v2, Sip)},
        {"directions", swapped(Other), Other},
        {"directions without ports", hep:src_port(undefined, hep:dst_port(undefined, swapped(Other))),
            hep:src_port(undefined, hep:dst_port(undefined, Other))},
        {"directions with a Call-ID", Answer, Sip},
        {"the same event of two agents", hep:node_id(1, Log), hep:node_id(2, Log)},
        {"a truncated packet", binary:part(Bytes, 0, byte_size(Bytes) - 1), Bytes}
    ],
    Different = [
        {"Call-IDs", sip(<<"2@a">>, 1), Sip},
        {"ports", Elsewhere, Other},
        {"correlation ids", hep:correlation_id(<<"2@a">>, Sip), Sip},
        {"payloads without addresses", hep:payload(<<"x">>, hep:new()), hep:payload(<<"y">>, hep:new())},
        {"events of one application", hep:payload(<<"x">>, Log), hep:payload(<<"y">>, Log)},
        {"bytes", <<"x">>, <<"y">>},
        {"RTP with what looks like a Call-ID", Other, Sip}
    ],
    Keys = fun(One, Two) -> [hep_sender_balance:key(Packet) || Packet <- [One, Two]] end,
    [{Name, ?_assertMatch([Key, Key], Keys(One, Two))} || {Name, One, Two} <- Equal] ++
        [{Name, ?_assertNotMatch([Key, Key], Keys(One, Two))} || {Name, One, Two} <- Different].

%%% Choices

%% The choice is that of earlier releases, of this library and of OTP: these values must not change.
known_choices_test() ->
    Names = hep_sender_balance:names(?TARGETS),
    ?assertEqual([<<"a.example:9060">>, <<"b.example:9060">>, <<"c.example:9060">>, <<"d.example:9060">>], Names),
    ?assertEqual(
        [{4, 4020019151}, {4, 1145616107}, {3, 1891515632}, {4, 3889874942}],
        [hep_sender_balance:place(Packet, Names) || Packet <- [sip(<<"1@a">>, 1), swapped(rtp()), hep:new(), <<"x">>]]
    ).

%% 40,000 calls: 10,000 for each target, and a deviation of five times the standard deviation.
evenness_test() ->
    Names = hep_sender_balance:names(?TARGETS),
    Choices = [choice(Id, Names) || Id <- ids(40000)],
    [
        ?assert(abs(length([C || C <- Choices, C =:= Number]) - 10000) < 5 * math:sqrt(40000 * 0.25 * 0.75), Number)
     || Number <- [1, 2, 3, 4]
    ].

%% Without a target, its calls move, evenly, and no others.
removed_target_test() ->
    Names = hep_sender_balance:names(?TARGETS),
    [
        begin
            Left = lists:delete(Removed, Names),
            Places = [{chosen(Id, Names), chosen(Id, Left)} || Id <- ids(10000)],
            Moved = [Place || {Before, After} = Place <- Places, Before =/= After],
            ?assertEqual([Removed], lists:usort([Before || {Before, _} <- Moved])),
            [?assert(length([N || {_, N} <- Moved, N =:= Name]) > length(Moved) div 4) || Name <- Left]
        end
     || Removed <- Names
    ].

order_test() ->
    Names = hep_sender_balance:names(?TARGETS),
    Other = [lists:nth(N, Names) || N <- [3, 1, 4, 2]],
    [?assertEqual(chosen(Id, Names), chosen(Id, Other)) || Id <- ids(1000)].

%% Other ways to write a target.
names_test() ->
    [
        ?assertEqual([Name], hep_sender_balance:names([{Host, 1}]))
     || {Name, Hosts} <- [
            {<<"a.example:1">>, ["a.example", <<"A.Example">>, "a.example."]},
            {<<"127.0.0.1:1">>, [?V4, "127.0.0.1", <<"127.0.0.1">>]},
            {<<"::1:1">>, [?V6, "::1", <<"0:0:0:0:0:0:0:1">>]}
        ],
        Host <- Hosts
    ].

twice_test() ->
    Twice = [{"a.example", 1}, {"b.example", 1}, {<<"A.example">>, 1}],
    {error, {bad_option, {targets, Twice}} = Error} = hep_sender:start_link(#{strategy => balance, targets => Twice}),
    ?assertNotEqual(nomatch, string:find(hep_sender:format_error(Error), "with balance, each one once")).

%%% Targets that are up

%% Two senders, the targets in another order: a call's packets arrive at one target, in order, encoded or not.
sticky_test_() ->
    {timeout, 60, fun() ->
        Collectors = [collector(0), collector(0), collector(0)],
        Options = options([Port || {Port, _} <- Collectors], #{}),
        with_sender(Options, fun(Sender) ->
            with_sender(Options#{targets := lists:reverse(maps:get(targets, Options))}, fun(Other) ->
                [
                    begin
                        ok = hep_sender:send(Sender, sip(id(N rem 50), N)),
                        {ok, Encoded} = hep:encode(hep:version(hep_v3, sip(id(N rem 50), 1000 + N))),
                        ok = hep_sender:send(Other, Encoded)
                    end
                 || N <- lists:seq(1, 500)
                ],
                Received = received(1000, Collectors),
                ?assertEqual(lists:seq(1, 500) ++ lists:seq(1001, 1500), numbers(Received)),
                ?assertEqual([], [Call || {Call, At} <- places(Received), length(lists:usort(At)) > 1]),
                ?assertEqual(3, length(lists:usort([Port || {Port, _, _} <- Received]))),
                [
                    ?assertEqual(lists:sort(Own), Own)
                 || Call <- lists:seq(0, 49), From <- [0, 1000],
                    Own <- [[N || {_, Id, N} <- Received, Id =:= id(Call), N > From, N =< From + 500]]
                ],
                ?assertMatch(#{sent := 500, dropped := 0, queued := 0, strategy := balance}, hep_sender:info(Sender))
            end)
        end),
        stop(Collectors)
    end}.

%% Every form of packet goes somewhere.
anything_test_() ->
    {timeout, 60, fun() ->
        Collectors = [hep_collectors:listen(udp, ?V4), hep_collectors:listen(udp, ?V4)],
        Options = options([hep_collectors:port(C) || C <- Collectors], #{transport => udp}),
        with_sender(Options, fun(Sender) ->
            Sip = sip(<<"1@a">>, 1),
            Packets = [<<>>, <<"x">>, [<<"HEP3">>, 0, 6], hep:new(), Sip, hep:version(hep_v1, Sip), <<1, 2, 3>>],
            [ok = hep_sender:send(Sender, Packet) || Packet <- Packets],
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{sent := 7, dropped := 0}, hep_sender:info(Sender)),
            ?assertEqual(7, lists:sum([length(datagrams(Socket)) || {udp, Socket} <- Collectors]))
        end)
    end}.

datagrams(Socket) ->
    case gen_udp:recv(Socket, 0, 200) of
        {ok, {_, _, Datagram}} -> [Datagram | datagrams(Socket)];
        {error, timeout} -> []
    end.

%%% Targets that go, and come back

%% What a target has in memory when it goes down arrives at the other one, in order; callers of flush/2 wait for it.
%% When it is back, its calls return.
return_test_() ->
    {timeout, 60, fun() ->
        [{Port1, _} = First, {Port2, _} = Second] = [collector(0), collector(0)],
        with_sender(options([Port1, Port2], #{}), fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 2]],
            send(1, 200, Sender),
            Before = places(received(200, [First, Second])),
            true = erlang:suspend_process(Sender),
            Connections = [connection(Port, Sender) || Port <- [Port1, Port2]],
            [true = erlang:suspend_process(Pid) || Pid <- Connections],
            send(201, 400, Sender),
            true = erlang:resume_process(Sender),
            Self = self(),
            Flush = spawn_link(fun() -> Self ! {self(), hep_sender:flush(Sender, ?PATIENCE)} end),
            wait(fun() -> maps:get(queued, hep_sender:info(Sender)) =:= 200 end),
            stop([First]),
            exit(hd(Connections), kill),
            wait_for(Sender, 1, #{state => down, queued => 0}),
            receive {Flush, Early} -> ?assertEqual(none, Early) after 200 -> ok end,
            ?assertMatch(#{queued := 200, dropped := 0}, hep_sender:info(Sender)),
            true = erlang:resume_process(lists:last(Connections)),
            receive {Flush, Result} -> ?assertEqual(ok, Result) after ?PATIENCE -> error(not_flushed) end,
            Moved = received(200, [Second]),
            ?assertEqual(lists:seq(201, 400), numbers(Moved)),
            [
                ?assertEqual(lists:sort(Own), Own)
             || Call <- lists:seq(0, 49), Own <- [[N || {_, Id, N} <- Moved, Id =:= id(Call)]]
            ],
            %% New packets, too.
            send(401, 600, Sender),
            ?assertEqual(lists:seq(401, 600), numbers(received(200, [Second]))),
            Again = collector(Port1),
            wait_for(Sender, 1, #{state => up}),
            send(601, 800, Sender),
            ?assertEqual(Before, places(received(200, [Again, Second]))),
            ?assertMatch(#{sent := 800, dropped := 0, queued := 0}, hep_sender:info(Sender)),
            stop([Again, Second])
        end)
    end}.

%% A collector is killed while packets are sent: what is missing was written to its socket before.
killed_collector_test_() ->
    {timeout, 60, fun() ->
        [First, Second] = [collector(0), collector(0)],
        with_sender(options([Port || {Port, _} <- [First, Second]], #{queue => 100000}), fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 2]],
            send(1, 5000, Sender),
            stop([First]),
            send(5001, 10000, Sender),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            #{sent := 10000, dropped := 0, targets := [#{sent := Here}, #{sent := There}]} = hep_sender:info(Sender),
            Arrived = received_of_last(There, [First, Second], []),
            HereArrived = length(lists:usort([N || {Port, _, N} <- Arrived, Port =:= element(1, First)])),
            ?assert(10000 - length(lists:usort(numbers(Arrived))) =< Here - HereArrived),
            %% All after the end of the first.
            ?assertEqual([], lists:seq(6000, 10000) -- [N || {Port, _, N} <- Arrived, Port =:= element(1, Second)])
        end),
        stop([Second])
    end}.

%% No target is up: packets wait in the queue of their first choice, and the first that is up gets all.
none_up_test_() ->
    {timeout, 60, fun() ->
        Ports = free_ports(2),
        with_sender(options(Ports, #{}), fun(Sender) ->
            [wait_for(Sender, N, #{last_error => econnrefused}) || N <- [1, 2]],
            send(1, 200, Sender),
            #{queued := 200, targets := [#{queued := One}, #{queued := Two}]} = hep_sender:info(Sender),
            ?assert(One > 50 andalso Two > 50),
            ?assertEqual({error, timeout}, hep_sender:flush(Sender, 100)),
            Collector = collector(lists:last(Ports)),
            ?assertEqual(lists:seq(1, 200), numbers(received(200, [Collector]))),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{sent := 200, dropped := 0, queued := 0}, hep_sender:info(Sender)),
            stop([Collector])
        end)
    end}.

%% The queues of all targets are full: nothing is dropped because packets move.
full_queues_test_() ->
    {timeout, 60, fun() ->
        Ports = free_ports(3),
        with_sender(options(Ports, #{queue => 50}), fun(Sender) ->
            [wait_for(Sender, N, #{last_error => econnrefused}) || N <- [1, 2, 3]],
            %% Not more than the mailbox takes.
            [begin send(N, N + 24, Sender), _ = hep_sender:info(Sender) end || N <- lists:seq(1, 500, 25)],
            wait(fun() -> maps:get(queued, hep_sender:info(Sender)) =:= 150 end),
            #{dropped := 350} = hep_sender:info(Sender),
            Collector = collector(hd(Ports)),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{sent := 150, dropped := 350, queued := 0}, hep_sender:info(Sender)),
            ?assertEqual(150, length(received(150, [Collector]))),
            stop([Collector])
        end)
    end}.

%%% Spool

%% No target is up: packets go to disk, and wait there for their own target; new ones go to the target that is up.
spool_test_() ->
    {timeout, 60, fun() ->
        hep_spools:with_dir(fun(Dir) ->
            Ports = [Port1, Port2] = free_ports(2),
            Options = options(Ports, #{spool => #{dir => Dir, max_bytes => 1 bsl 24}}),
            with_sender(Options, fun(Sender) ->
                [wait_for(Sender, N, #{last_error => econnrefused}) || N <- [1, 2]],
                send(1, 200, Sender),
                wait(fun() -> maps:get(spooled, hep_sender:info(Sender)) =:= 200 end),
                #{targets := [#{spooled := One}, #{spooled := Two}]} = hep_sender:info(Sender),
                Second = collector(Port2),
                Own = received(Two, [Second]),
                send(201, 400, Sender),
                ?assertEqual(lists:seq(201, 400), numbers(received(200, [Second]))),
                wait(fun() -> maps:get(queued, hep_sender:info(Sender)) =:= 0 end),
                Sent = Two + 200,
                ?assertMatch(#{spooled := One, sent := Sent, dropped := 0}, hep_sender:info(Sender)),
                ?assertEqual({error, timeout}, hep_sender:flush(Sender, 100)),
                First = collector(Port1),
                ?assertEqual(lists:seq(1, 200), numbers(Own ++ received(One, [First]))),
                ok = hep_sender:flush(Sender, ?PATIENCE),
                wait(fun() -> maps:get(spooled, hep_sender:info(Sender)) =:= 0 end),
                ?assertMatch(#{sent := 400, dropped := 0, queued := 0}, hep_sender:info(Sender)),
                stop([First, Second])
            end)
        end)
    end}.

%% A slow target has a batch under way, and younger packets on disk, when it goes down: the other one gets the batch, and
%% the disk waits.
slow_test_() ->
    {timeout, 60, fun() ->
        hep_spools:with_dir(fun(Dir) ->
            [{Port1, _} = First, {Port2, _} = Second] = [collector(0), collector(0)],
            Options = options([Port1, Port2], #{queue => 1000, spool => #{dir => Dir, max_bytes => 1 bsl 24}}),
            with_sender(Options, fun(Sender) ->
                [wait_for(Sender, N, #{state => up}) || N <- [1, 2]],
                Connection = connection(Port1, Sender),
                true = erlang:suspend_process(Connection),
                [begin send(N, N + 99, Sender), _ = hep_sender:info(Sender) end || N <- lists:seq(1, 2000, 100)],
                ok = wait_until_calm(Sender),
                #{targets := [#{queued := Queued, spooled := Spooled}, _]} = hep_sender:info(Sender),
                ?assert(Queued > 0 andalso Spooled > 0),
                stop([First]),
                exit(Connection, kill),
                Arrived = received(2000 - Spooled, [Second]),
                ?assertMatch(#{queued := 0, spooled := Spooled, dropped := 0}, hep_sender:info(Sender)),
                Again = collector(Port1),
                ?assertEqual(lists:seq(1, 2000), numbers(Arrived ++ received(Spooled, [Again]))),
                stop([Again, Second])
            end)
        end)
    end}.

%% Until nothing is being written to a spool, and the second target has got everything.
wait_until_calm(Sender) ->
    Counters = fun() -> maps:get(targets, hep_sender:info(Sender)) end,
    wait(fun() ->
        [_, #{queued := Queued}] = Before = Counters(),
        timer:sleep(50),
        Queued =:= 0 andalso Counters() =:= Before
    end).

%% A sender that is stopped writes its queues, and the next one sends them to the same targets.
stop_test_() ->
    {timeout, 60, fun() ->
        hep_spools:with_dir(fun(Dir) ->
            Ports = free_ports(2),
            Options = options(Ports, #{spool => #{dir => Dir, max_bytes => 1 bsl 24}}),
            with_sender(Options, fun(Sender) -> send(1, 200, Sender) end),
            Collectors = [collector(Port) || Port <- Ports],
            with_sender(Options, fun(Sender) ->
                ?assertMatch(#{spool_recovered := 200}, hep_sender:info(Sender)),
                Received = received(200, Collectors),
                ?assertEqual(lists:seq(1, 200), numbers(Received)),
                send(201, 400, Sender),
                ?assertEqual(places(Received), places(received(200, Collectors)))
            end),
            stop(Collectors)
        end)
    end}.

%%% Totals

%% Whatever is sent, and whatever targets are up: each accepted packet is sent, dropped, queued or spooled.
totals_test_() ->
    {timeout, 300, fun() -> hep_prop:holds(?MODULE, prop_totals, 40) end}.

prop_totals() ->
    ?CHECK(
        {Commands, Queue, HasSpool},
        {list(command()), integer(1, 40), boolean()},
        totals(Commands, Queue, HasSpool)
    ).

command() ->
    frequency([{4, {send, integer(1, 60)}}, {2, {up, integer(1, 3)}}, {2, {down, integer(1, 3)}}, {1, wait}]).

totals(Commands, Queue, HasSpool) ->
    hep_spools:with_dir(fun(Dir) ->
        Ports = free_ports(3),
        Options = options(Ports, #{queue => Queue, queue_bytes => 65535, batch_bytes => 1000, backoff => {1, 5}}),
        Spool = #{spool => #{dir => Dir, max_bytes => 1 bsl 20}},
        with_sender(if HasSpool -> maps:merge(Options, Spool); true -> Options end, fun(Sender) ->
            {Up, Accepted} = lists:foldl(
                fun(Command, State) -> command(Command, Ports, Sender, State) end, {#{}, 0}, Commands
            ),
            IsRight = fun() ->
                #{sent := Sent, dropped := Dropped, queued := Queued, spooled := Spooled} = hep_sender:info(Sender),
                Sent + Dropped + Queued + Spooled =:= Accepted
            end,
            %% A spool counts a packet before its writer has reported it.
            Before = HasSpool orelse IsRight(),
            All = lists:foldl(fun(N, State) -> command({up, N}, Ports, Sender, State) end, {Up, 0}, [1, 2, 3]),
            Flushed = hep_sender:flush(Sender, ?PATIENCE),
            wait(fun() -> IsRight() andalso maps:get(spooled, hep_sender:info(Sender)) =:= 0 end),
            stop(maps:values(element(1, All))),
            flushed_messages(),
            Before andalso Flushed =:= ok andalso maps:get(queued, hep_sender:info(Sender)) =:= 0
        end)
    end).

command({send, Count}, _, Sender, {Up, Accepted}) ->
    Results = [hep_sender:send(Sender, sip(id(N), N)) || N <- lists:seq(1, Count)],
    {Up, Accepted + length([ok || ok <- Results])};
command({up, Number}, Ports, _, {Up, Accepted}) when not is_map_key(Number, Up) ->
    {Up#{Number => collector(lists:nth(Number, Ports))}, Accepted};
command({down, Number}, _, _, {Up, Accepted}) when is_map_key(Number, Up) ->
    stop([map_get(Number, Up)]),
    {maps:remove(Number, Up), Accepted};
command(wait, _, _, State) ->
    timer:sleep(5),
    State;
command(_, _, _, State) ->
    State.

flushed_messages() ->
    receive {hep_packets, _, _} -> flushed_messages() after 0 -> ok end.

%%% Helpers

sip(CallId, Number) ->
    Payload = [<<"OPTIONS sip:b SIP/2.0\r\nCall-ID: ">>, CallId, <<"\r\n\r\n">>, integer_to_binary(Number)],
    hep:payload(iolist_to_binary(Payload), hep_collectors:packet(Number)).

rtp() ->
    hep:payload_type(rtp, hep:payload(<<"x">>, hep_collectors:packet(1))).

swapped(#hep{src_ip = SrcIp, src_port = SrcPort, dst_ip = DstIp, dst_port = DstPort} = Hep) ->
    Hep#hep{src_ip = DstIp, src_port = DstPort, dst_ip = SrcIp, dst_port = SrcPort}.

id(Number) -> <<(integer_to_binary(Number))/binary, "@a">>.

ids(Count) -> [id(Number) || Number <- lists:seq(1, Count)].

choice(Id, Names) ->
    {Choice, _} = hep_sender_balance:place(sip(Id, 1), Names),
    Choice.

chosen(Id, Names) -> lists:nth(choice(Id, Names), Names).

options(Ports, More) ->
    Options = #{
        transport => tcp, strategy => balance, backoff => {20, 50}, targets => [{?V4, Port} || Port <- Ports]
    },
    maps:merge(Options, More).

%% Packet N belongs to call N rem 50.
send(From, To, Sender) ->
    [ok = hep_sender:send(Sender, sip(id(N rem 50), N)) || N <- lists:seq(From, To)].

connection(Port, Sender) ->
    {links, Links} = process_info(Sender, links),
    [Pid] = [
        Pid
     || Pid <- Links, is_pid(Pid), Pid =/= self(),
        {links, Sockets} <- [process_info(Pid, links)],
        Socket <- Sockets, is_port(Socket), hep_collectors:is_connected(Socket, Port)
    ],
    Pid.

%% Different ports without a listener.
free_ports(Count) ->
    Listening = [hep_collectors:listen(tcp, ?V4) || _ <- lists:seq(1, Count)],
    Ports = [hep_collectors:port(Collector) || Collector <- Listening],
    lists:foreach(fun hep_collectors:close/1, Listening),
    Ports.

%% A collector on the port, whose packets go to the calling process.
collector(Port) ->
    {ok, Listener} = hep_listener:start_link(#{transport => tcp, ip => ?V4, port => Port, handler => self()}),
    {hep_listener:port(Listener), Listener}.

stop(Collectors) ->
    [begin unlink(Listener), ok = hep_listener:stop(Listener) end || {_, Listener} <- Collectors].

%% So many packets of the collectors: the port, the Call-ID and the number of each, in order of arrival.
received(Count, Collectors) ->
    Received = take(Count, Collectors, []),
    receive {hep_packets, _, More} -> error({more, length(More)}) after 50 -> Received end.

%% All packets, with so many of the last collector.
received_of_last(0, _, Received) ->
    Received;
received_of_last(Count, Collectors, Received) ->
    receive
        {hep_packets, Listener, Packets} ->
            New = described(Listener, Packets, Collectors),
            {Port, _} = lists:last(Collectors),
            received_of_last(Count - length([N || {P, _, N} <- New, P =:= Port]), Collectors, Received ++ New)
    after ?PATIENCE -> error({missing, Count})
    end.

take(0, _, Received) ->
    Received;
take(Count, Collectors, Received) ->
    receive
        {hep_packets, Listener, Packets} ->
            take(Count - length(Packets), Collectors, Received ++ described(Listener, Packets, Collectors))
    after ?PATIENCE -> error({missing, Count})
    end.

described(Listener, Packets, Collectors) ->
    {Port, _} = lists:keyfind(Listener, 2, Collectors),
    [
        begin
            {ok, [CallId]} = hep_sip:header(<<"Call-ID">>, Hep),
            [_, Number] = binary:split(hep:payload(Hep), <<"\r\n\r\n">>),
            {Port, CallId, binary_to_integer(Number)}
        end
     || {Hep, _} <- Packets
    ].

numbers(Received) -> lists:sort([Number || {_, _, Number} <- Received]).

%% Each call, and the ports at which its packets arrived.
places(Received) ->
    maps:to_list(
        lists:foldl(
            fun({Port, CallId, _}, Places) ->
                maps:update_with(CallId, fun(Ports) -> lists:usort([Port | Ports]) end, [Port], Places)
            end,
            #{},
            Received
        )
    ).
