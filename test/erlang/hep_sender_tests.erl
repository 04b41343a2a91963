%% @doc The sender, against collectors that behave and collectors that do not: real sockets on loopback.
-module(hep_sender_tests).

-behaviour(supervisor).

-include_lib("eunit/include/eunit.hrl").
-include_lib("public_key/include/public_key.hrl").
-include("hep.hrl").

%% The supervisor's.
-export([init/1]).

-define(V4, {127, 0, 0, 1}).
-define(V6, {0, 0, 0, 0, 0, 0, 0, 1}).
%% How long a condition may take to come true, in milliseconds.
-define(PATIENCE, 20000).

-import(hep_packets, [chunk/2, frame/1]).

%%% What arrives

families_test_() ->
    [
        {lists:flatten(io_lib:format("~p ~p", [Transport, Host])), fun() -> family(Transport, Listened, Host) end}
     || Transport <- [udp, tcp],
        {Listened, Host} <- [
            {?V4, ?V4},
            {?V6, ?V6},
            {?V4, "127.0.0.1"},
            {?V6, <<"::1">>},
            {?V4, "localhost"},
            {?V4, <<"localhost">>}
        ]
    ].

family(Transport, Listened, Host) ->
    Collector = listen(Transport, Listened),
    with_sender(#{transport => Transport, targets => [{Host, port(Collector)}]}, fun(Sender) ->
        [ok = hep_sender:send(Sender, numbered(N)) || N <- [1, 2, 3]],
        ?assertEqual([1, 2, 3], numbers(received(3, Collector))),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertMatch(
            #{
                transport := Transport,
                strategy := all,
                targets := [
                    #{
                        target := {Host, _},
                        state := up,
                        sent := 3,
                        queued := 0,
                        queued_bytes := 0,
                        dropped := 0,
                        reconnects := 0,
                        last_error := undefined
                    }
                ],
                sent := 3,
                dropped := 0,
                queued := 0
            },
            hep_sender:info(Sender)
        )
    end).

bytes_are_counted_test() ->
    Collector = listen(udp, ?V4),
    with_sender(#{targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, numbered(1)),
        [Datagram] = received(1, Collector),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        Size = byte_size(Datagram),
        ?assertMatch(#{sent_bytes := Size, targets := [#{sent_bytes := Size}]}, hep_sender:info(Sender))
    end).

%% Options fill in what a packet lacks; the key takes the place of its own.
options_fill_in_test() ->
    Collector = listen(udp, ?V4),
    Options = #{capture_id => 2002, node_name => <<"edge">>, auth_key => <<"key">>, encode => #{compress => zlib}},
    with_sender(Options#{targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        Own = hep:auth_key(<<"old">>, hep:node_name(<<"own">>, hep:node_id(7, packet(1)))),
        [ok = hep_sender:send(Sender, Packet) || Packet <- [packet(1), Own, hep:version(hep_v3, packet(1))]],
        [Filled, Kept, Filled] = [decoded(Datagram) || Datagram <- received(3, Collector)],
        ?assertEqual({2002, <<"edge">>, <<"key">>}, {hep:node_id(Filled), hep:node_name(Filled), hep:auth_key(Filled)}),
        ?assertEqual({7, <<"own">>, <<"key">>}, {hep:node_id(Kept), hep:node_name(Kept), hep:auth_key(Kept)}),
        ?assertEqual(hep:payload(packet(1)), hep:payload(Filled)),
        %% Bytes go out as they are.
        ok = hep_sender:send(Sender, numbered(9)),
        ?assertEqual([iolist_to_binary(numbered(9))], received(1, Collector))
    end).

%% What an older version has no place for is left out, but for the key.
options_and_older_versions_test() ->
    Collector = listen(udp, ?V4),
    Options = #{capture_id => 2002, node_name => <<"edge">>, targets => [{?V4, port(Collector)}]},
    with_sender(Options, fun(Sender) ->
        [ok = hep_sender:send(Sender, hep:version(Version, packet(1))) || Version <- [hep_v1, hep_v2]],
        [V1, V2] = [decoded(Datagram) || Datagram <- received(2, Collector)],
        ?assertEqual([{hep_v1, undefined}, {hep_v2, 2002}], [{hep:version(V), hep:node_id(V)} || V <- [V1, V2]])
    end),
    with_sender(#{auth_key => <<"key">>, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ?assertEqual(
            {error, {unsupported_field, auth_key, 1}},
            hep_sender:send(Sender, hep:version(hep_v1, packet(1)))
        )
    end).

v2_style_test() ->
    Collector = listen(udp, ?V4),
    with_sender(#{encode => #{v2_style => c}, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, hep:version(hep_v2, packet(1))),
        ?assertMatch([<<2, 16, _/binary>>], received(1, Collector))
    end).

sndbuf_test_() ->
    [
        fun() ->
            Collector = listen(Transport, ?V4),
            Options = #{transport => Transport, targets => [{?V4, port(Collector)}], sndbuf => 40000},
            with_sender(Options, fun(Sender) ->
                wait_for(Sender, 1, #{state => up}),
                [Socket] = [S || S <- erlang:ports(), is_connected(S, port(Collector))],
                %% Linux doubles it.
                {ok, [{sndbuf, Bytes}]} = inet:getopts(Socket, [sndbuf]),
                ?assert(Bytes >= 40000 andalso Bytes =< 80000, Bytes)
            end)
        end
     || Transport <- [udp, tcp]
    ].

largest_packets_test_() ->
    [
        fun() ->
            Collector = listen(Transport, Address),
            with_sender(#{transport => Transport, targets => [{Address, port(Collector)}]}, fun(Sender) ->
                Packets = [sized(Size) || Size <- Sizes],
                [ok = hep_sender:send(Sender, Packet) || Packet <- Packets],
                ?assertEqual(Packets, received(length(Sizes), Collector))
            end)
        end
     || Address <- [?V4, ?V6], {Transport, Sizes} <- [{udp, [65507, 6]}, {tcp, [65535, 6, 65535, 65534]}]
    ].

%%% What is refused

refused_test_() ->
    V1 = hep:version(hep_v1, packet(1)),
    {ok, V1Bytes} = hep:encode(V1),
    Beyond = hep:payload(binary:copy(<<"x">>, 65536), hep:new()),
    Cases = [
        {tcp, V1, {unframed_version, 1}, unframed_version},
        {tcp, hep:version(hep_v2, packet(1)), {unframed_version, 2}, unframed_version},
        {tcp, V1#hep{version = hep_v1}, {unframed_version, 1}, unframed_version},
        {tcp, V1Bytes, {unframed_version, 1}, unframed_version},
        {tcp, <<2, 28, 2>>, {unframed_version, 2}, unframed_version},
        {tcp, <<"HEP3", 7:16>>, {wrong_total_length, 7, 6}, invalid},
        {tcp, ["HEP", <<"3", 6:16>>, "x"], {wrong_total_length, 6, 7}, invalid},
        {tcp, [sized(100), sized(100)], {wrong_total_length, 100, 200}, invalid},
        {tcp, <<"HEP3", 6>>, not_hep, invalid},
        {tcp, <<"hep3", 6:16>>, not_hep, invalid},
        {tcp, <<>>, not_hep, invalid},
        {tcp, [], not_hep, invalid},
        {tcp, [x], not_hep, invalid},
        {udp, [256], not_hep, invalid},
        {udp, [<<"x">> | y], not_hep, invalid},
        {udp, x, {invalid_hep, x}, invalid},
        {udp, {hep, 3}, {invalid_hep, {hep, 3}}, invalid},
        {udp, (hep:new())#hep{src_port = -1}, {invalid_field, src_port, -1}, invalid},
        {udp, (hep:new())#hep{chunks = x}, {invalid_field, chunks, x}, invalid},
        {udp, <<0:65508/unit:8>>, {datagram_too_large, 65508}, too_large},
        {udp, hep:payload(<<0:65480/unit:8>>, hep:new()), datagram_too_large, too_large},
        {udp, Beyond, packet_too_large, too_large},
        {tcp, Beyond, packet_too_large, too_large}
    ],
    [
        {lists:flatten(io_lib:format("~p ~P", [Transport, Reason, 9])), fun() ->
            refused(Transport, Packet, Reason, Counter)
        end}
     || {Transport, Packet, Reason, Counter} <- Cases
    ].

refused(Transport, Packet, Expected, Counter) ->
    Options = #{node_name => <<"x">>, transport => Transport, targets => [{?V4, free_port(Transport)}]},
    with_sender(Options, fun(Sender) ->
        {error, Reason} = hep_sender:send(Sender, Packet),
        case is_atom(Expected) andalso is_tuple(Reason) of
            true -> ?assertEqual(Expected, element(1, Reason));
            false -> ?assertEqual(Expected, Reason)
        end,
        ?assertMatch([_ | _], hep_sender:format_error(Reason)),
        #{refused := Refused, sent := 0, dropped := 0, queued := 0} = hep_sender:info(Sender),
        ?assertEqual([{Counter, 1}], [{Name, Count} || {Name, Count} <- maps:to_list(Refused), Count > 0])
    end).

format_error_test() ->
    [?assertMatch([_ | _], hep_sender:format_error(Reason)) || Reason <- [overloaded, not_running]],
    ?assertError(badarg, hep_sender:format_error(no_such_reason)).

%%% Collectors that do not read

%% The caller does not notice. Of what waits the oldest go; what was written before, and the newest, arrive.
stuck_collector_test_() ->
    {timeout, 120, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], queue => 500, send_timeout => 60000},
        with_sender(Options, fun(Sender) ->
            Connection = accept(Collector),
            {Before, Count} = {fill(Sender, 1), 100000},
            Times = lists:sort([send_timed(Sender, N) || N <- lists:seq(Before + 1, Count)]),
            %% The longest are those of a busy machine.
            ?assert(lists:nth(length(Times) * 99 div 100, Times) < 1000),
            #{queued := Queued, dropped := Dropped, sent := Sent, queued_bytes := Bytes} = settled(Sender, Count),
            Size = byte_size(numbered(1, 500)),
            ?assert(Queued > 500 andalso Bytes =< 500 * Size + 65536),
            ?assert(Dropped > 50000),
            Numbers = numbers(frames(Sent + Queued, Connection)),
            %% Nothing is missing but what was dropped, which is in one piece: the oldest that still waited.
            First = Sent + Queued - 500,
            ?assertEqual(lists:seq(1, First) ++ lists:seq(Count - 499, Count), Numbers),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{dropped := Dropped, queued := 0}, hep_sender:info(Sender))
        end)
    end}.

%% Sends as long as the system takes it, and gives the last number.
fill(Sender, Number) ->
    [ok = hep_sender:send(Sender, numbered(N, 500)) || N <- lists:seq(Number, Number + 49)],
    case hep_sender:info(Sender) of
        #{queued := Queued} when Queued < 200 -> fill(Sender, Number + 50);
        _ -> fill_if_not_stuck(is_stuck(Sender), Sender, Number + 50)
    end.

fill_if_not_stuck(true, _, Next) -> Next - 1;
fill_if_not_stuck(false, Sender, Next) -> fill(Sender, Next).

%% In microseconds. A caller that is faster than the sender tries again.
send_timed(Sender, Number) ->
    Packet = numbered(Number, 500),
    case timer:tc(fun() -> hep_sender:send(Sender, Packet) end) of
        {Took, ok} ->
            Took;
        {Took, {error, overloaded}} ->
            erlang:yield(),
            max(Took, send_timed(Sender, Number))
    end.

%% The figures when nothing moves any more: the last one is in the queue, and the link is stuck.
settled(Sender, Count) ->
    Info = hep_sender:info(Sender),
    timer:sleep(200),
    case hep_sender:info(Sender) of
        #{queued := Queued, dropped := Dropped, sent := Sent} = Info when Queued + Dropped + Sent =:= Count -> Info;
        _ -> settled(Sender, Count)
    end.

%% The other bound.
queue_bytes_test() ->
    Options = #{transport => tcp, targets => [{?V4, free_port(tcp)}], queue_bytes => 65535 * 3},
    with_sender(Options, fun(Sender) ->
        [ok = hep_sender:send(Sender, sized(60000)) || _ <- [1, 2]],
        [begin ok = hep_sender:send(Sender, sized(60000)), hep_sender:info(Sender) end || _ <- lists:seq(1, 8)],
        ?assertMatch(#{queued := 3, queued_bytes := 180000, dropped := 7}, hep_sender:info(Sender)),
        ok = hep_sender:send(Sender, sized(6)),
        ?assertMatch(#{queued := 4, queued_bytes := 180006, dropped := 7}, hep_sender:info(Sender)),
        ok = hep_sender:send(Sender, sized(65535)),
        ?assertMatch(#{queued := 4, queued_bytes := 185541, dropped := 8}, hep_sender:info(Sender))
    end).

%% A collector that does not read for too long is given up, and a new connection tried.
send_timeout_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            Options = #{send_timeout => 200, backoff => {10, 50}, queue => 1000, batch_bytes => 200000},
            with_sender(with_tls(Transport, Options#{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                First = accept(Collector),
                until_down(Sender, fun() -> hep_sender:send(Sender, sized(65000)) end),
                ?assertMatch(#{targets := [#{last_error := Reason}]} when Reason =:= timeout; Reason =:= closed,
                    hep_sender:info(Sender)),
                Second = accept(Collector),
                ?assertEqual([sized(65000)], frames(1, Second)),
                close(First)
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% Until the first target has been down once.
until_down(Sender, Send) ->
    wait(fun() ->
        _ = Send(),
        #{targets := [#{last_error := Reason} | _]} = hep_sender:info(Sender),
        Reason =/= undefined
    end).

%% A sender that ends with such a collector leaves no socket behind.
stop_while_stuck_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            with_sender(with_tls(Transport, #{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                Connection = accept(Collector),
                [ok = hep_sender:send(Sender, sized(65000)) || _ <- lists:seq(1, 500)],
                Sockets = [Socket || Socket <- erlang:ports(), is_connected(Socket, port(Collector))],
                ?assertMatch([_], Sockets),
                wait(fun() -> is_stuck(Sender) end),
                {Took, ok} = timer:tc(fun() -> hep_sender:stop(Sender) end),
                ?assert(Took < 4000000),
                wait(fun() -> [S || S <- Sockets, erlang:port_info(S) =/= undefined] =:= [] end),
                close(Connection)
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

is_connected(Socket, Port) ->
    {name, Driver} = erlang:port_info(Socket, name),
    lists:member(Driver, ["tcp_inet", "udp_inet"]) andalso inet:peername(Socket) =:= {ok, {?V4, Port}}.

is_stuck(Sender) ->
    #{sent := Sent} = hep_sender:info(Sender),
    timer:sleep(300),
    #{sent := Later, queued := Queued} = hep_sender:info(Sender),
    Sent > 0 andalso Sent =:= Later andalso Queued > 0.

%% What was written arrives even though the sender is gone by then.
flush_and_stop_test_() ->
    [
        {lists:concat([Transport, " ", Size]), {timeout, 60, fun() ->
            Collector = listen(Transport, ?V4),
            with_sender(with_tls(Transport, #{targets => [{?V4, port(Collector)}]}), fun(Sender) ->
                Connection = accept(Collector),
                Packets = [sized(Size + N) || N <- lists:seq(1, 20)],
                [ok = hep_sender:send(Sender, Packet) || Packet <- Packets],
                ok = hep_sender:flush(Sender, ?PATIENCE),
                ok = hep_sender:stop(Sender),
                ?assertEqual(Packets, frames(20, Connection)),
                ?assertEqual(closed, more(Connection))
            end)
        end}}
     || Transport <- [tcp, tls], Size <- [20, 65000]
    ].

%%% Collectors that come and go

absent_collector_test_() ->
    [
        {atom_to_list(Transport), {timeout, 60, fun() ->
            Port = free_port(tcp),
            Options = #{targets => [{?V4, Port}], backoff => {5, 20}},
            with_sender(with_tls(Transport, Options), fun(Sender) ->
                [ok = hep_sender:send(Sender, numbered(N)) || N <- lists:seq(1, 50)],
                wait_for(Sender, 1, #{state => down, last_error => econnrefused}),
                ?assertMatch(#{queued := 50, sent := 0, dropped := 0}, hep_sender:info(Sender)),
                ?assertEqual({error, timeout}, hep_sender:flush(Sender, 10)),
                Collector = listen(Transport, ?V4, Port),
                ?assertEqual(lists:seq(1, 50), numbers(received(50, Collector))),
                ok = hep_sender:flush(Sender, ?PATIENCE),
                wait_for(Sender, 1, #{state => up, reconnects => 0})
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% Over UDP it is the refusal of an earlier datagram that tells, and no process ends by it.
absent_collector_udp_test_() ->
    {timeout, 60, fun() ->
        Port = free_port(udp),
        with_sender(#{targets => [{?V4, Port}], backoff => {5, 20}}, fun(Sender) ->
            until_down(Sender, fun() -> hep_sender:send(Sender, numbered(0)) end),
            ?assertMatch(#{targets := [#{last_error := econnrefused}]}, hep_sender:info(Sender)),
            Collector = listen(udp, ?V4, Port),
            ok = hep_sender:send(Sender, numbered(1)),
            ?assertEqual(1, last_number(Collector)),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assert(is_process_alive(Sender))
        end)
    end}.

last_number(Collector) ->
    case numbers(received(1, Collector)) of
        [0] -> last_number(Collector);
        [Number] -> Number
    end.

unknown_name_test() ->
    with_sender(#{targets => [{"no-such-host.invalid", 9060}], backoff => {5, 20}}, fun(Sender) ->
        ok = hep_sender:send(Sender, packet(1)),
        wait_for(Sender, 1, #{state => down}),
        #{targets := [#{last_error := Reason}], queued := 1} = hep_sender:info(Sender),
        ?assert(lists:member(Reason, [nxdomain, timeout, eai_again, formerr]), Reason)
    end).

%% The collector ends connections wherever it likes. Each begins with a whole packet, and goes on with whole ones.
cut_connections_test_() ->
    {timeout, 120, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}, queue => 2000},
        with_sender(Options, fun(Sender) ->
            Feeder = spawn_link(fun() -> feed(Sender, 1) end),
            Cut = [cut(Collector, Bytes) || Bytes <- [1, 3, 5, 6, 7, 500, 4001, 70000, 1 bsl 20, 0, 123]],
            Connection = accept(Collector),
            unlink(Feeder),
            exit(Feeder, kill),
            ok = hep_sender:send(Sender, numbered(0)),
            Last = until(0, Connection),
            [?assertEqual(lists:usort(N), N) || N <- [Last | [numbers(whole(Bytes)) || Bytes <- Cut]]],
            #{targets := [#{reconnects := Reconnects}]} = hep_sender:info(Sender),
            %% A connection that is cut at once may not have been one for the sender.
            ?assert(Reconnects > 0 andalso Reconnects =< length(Cut), Reconnects)
        end)
    end}.

%% Packets of many sizes, until it is killed.
feed(Sender, Number) ->
    _ = hep_sender:send(Sender, numbered(Number, Number * 7 rem 3000)),
    Number rem 50 =:= 0 andalso timer:sleep(1),
    feed(Sender, Number + 1).

cut(Collector, Count) ->
    Connection = {_, Socket} = accept(Collector),
    Bytes = bytes(Count, Connection),
    ok = inet:setopts(Socket, [{linger, {true, 0}}]),
    close(Connection),
    Bytes.

%% The numbers that come before this one.
until(Number, Connection) ->
    case numbers(frames(1, Connection)) of
        [Number] -> [];
        [Other] -> [Other | until(Number, Connection)]
    end.

%% A frame that was half written goes out whole on the next connection.
half_written_frame_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}, queue => 1000},
        with_sender(Options, fun(Sender) ->
            First = {_, Socket} = accept(Collector),
            %% More than all buffers take.
            Count = 400,
            [ok = hep_sender:send(Sender, numbered(N, 60000)) || N <- lists:seq(1, Count)],
            wait(fun() -> is_stuck(Sender) end),
            #{sent := Written} = hep_sender:info(Sender),
            ok = inet:setopts(Socket, [{linger, {true, 0}}]),
            close(First),
            %% What was under way comes again, and nothing after it is missing.
            Numbers = numbers(frames(Count - Written, accept(Collector))),
            ?assertEqual(lists:seq(Written + 1, Count), Numbers)
        end)
    end}.

%% What the system does not take never gets out, and holds nothing up.
emsgsize_test() ->
    Collector = listen(udp, ?V4),
    with_sender(#{targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, numbered(1)),
        %% Past the check of the size, which is as large as the largest here.
        Sender ! {packet, <<0:65508/unit:8>>, 65508},
        ok = hep_sender:send(Sender, numbered(2)),
        ?assertEqual([1, 2], numbers(received(2, Collector))),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertMatch(
            #{sent := 2, dropped := 1, targets := [#{state := up, last_error := emsgsize}]},
            hep_sender:info(Sender)
        )
    end).

%% One that takes connections and ends them at once is not pressed.
backoff_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {20, 200}},
        with_sender(Options, fun(Sender) ->
            Times = [begin close(accept(Collector)), erlang:monotonic_time(millisecond) end || _ <- lists:seq(1, 7)],
            Pauses = lists:zipwith(fun erlang:'-'/2, tl(Times), lists:droplast(Times)),
            %% Half of each at the least, but for a millisecond's rounding.
            Least = [9, 19, 39, 79, 99, 99],
            ?assertEqual([], [Wrong || {Pause, L} = Wrong <- lists:zip(Pauses, Least), Pause < L]),
            wait_for(Sender, 1, #{last_error => closed})
        end)
    end}.

%% HEP has no answers: what a collector says is thrown away.
talking_collector_test() ->
    Collector = listen(tcp, ?V4),
    with_sender(#{transport => tcp, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        {_, Socket} = Connection = accept(Collector),
        [ok = gen_tcp:send(Socket, <<0:(1 bsl 20)/unit:8>>) || _ <- lists:seq(1, 20)],
        ok = hep_sender:send(Sender, numbered(1)),
        ?assertEqual([1], numbers(frames(1, Connection)))
    end).

%% A connection's process is no more than its connection.
killed_link_test() ->
    Collector = listen(tcp, ?V4),
    Options = #{transport => tcp, targets => [{?V4, port(Collector)}], backoff => {1, 5}},
    with_sender(Options, fun(Sender) ->
        First = accept(Collector),
        wait_for(Sender, 1, #{state => up}),
        {links, Links} = process_info(Sender, links),
        [Link] = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
        exit(Link, kill),
        ok = hep_sender:send(Sender, numbered(1)),
        ?assertEqual([1], numbers(frames(1, accept(Collector)))),
        wait_for(Sender, 1, #{state => up, reconnects => 1, last_error => killed}),
        close(First)
    end).

%%% Several targets

all_targets_test_() ->
    {timeout, 60, fun() ->
        [Here, There] = Collectors = [listen(tcp, ?V4), listen(tcp, ?V6)],
        Absent = free_port(tcp),
        Options = #{
            transport => tcp,
            targets => [{?V4, port(Here)}, {?V4, Absent}, {?V6, port(There)}],
            backoff => {5, 20},
            queue => 10
        },
        with_sender(Options, fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 3]],
            Send = fun(N) -> ok = hep_sender:send(Sender, numbered(N)), [N] end,
            Connections = [accept(Collector) || Collector <- Collectors],
            [
                ?assertEqual([N], numbers(frames(1, Connection)))
             || N <- lists:seq(1, 30), Send(N) =:= [N], Connection <- Connections
            ],
            %% The one that is absent holds nobody up, and has a queue of its own.
            wait(fun() -> maps:get(sent, hep_sender:info(Sender)) =:= 60 end),
            #{targets := [First, Second, Third], dropped := 20, queued := 10} = hep_sender:info(Sender),
            ?assertMatch(#{sent := 30, dropped := 0, queued := 0}, First),
            ?assertMatch(#{sent := 0, dropped := 20, queued := 10}, Second),
            ?assertMatch(#{sent := 30, dropped := 0, queued := 0}, Third),
            Late = listen(tcp, ?V4, Absent),
            ?assertEqual(lists:seq(21, 30), numbers(received(10, Late)))
        end)
    end}.

failover_test_() ->
    {timeout, 60, fun() ->
        {Port1, Collector2} = {free_port(tcp), listen(tcp, ?V4)},
        Options = #{
            transport => tcp,
            strategy => failover,
            targets => [{?V4, Port1}, {?V4, port(Collector2)}],
            backoff => {5, 20}
        },
        with_sender(Options, fun(Sender) ->
            Second = accept(Collector2),
            Send = fun(N) -> ok = hep_sender:send(Sender, numbered(N)) end,
            %% There, ...
            Send(1),
            ?assertEqual([1], numbers(frames(1, Second))),
            Collector1 = listen(tcp, ?V4, Port1),
            First = accept(Collector1),
            wait_for(Sender, 1, #{state => up}),
            %% ... back, ...
            Send(2),
            ?assertEqual([2], numbers(frames(1, First))),
            close(Collector1),
            close(First),
            wait_for(Sender, 1, #{state => down}),
            %% ... and there again.
            Send(3),
            ?assertEqual([3], numbers(frames(1, Second))),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            #{targets := [T1, T2], sent := 3, dropped := 0, strategy := failover} = hep_sender:info(Sender),
            ?assertEqual([1, 2], [maps:get(sent, T) || T <- [T1, T2]]),
            %% With none the one queue holds what comes.
            close(Collector2),
            close(Second),
            wait_for(Sender, 2, #{state => down}),
            Send(4),
            ?assertMatch(#{queued := 1, targets := [#{queued := 0}, #{queued := 0}]}, hep_sender:info(Sender)),
            ?assertEqual([4], numbers(received(1, listen(tcp, ?V4, Port1))))
        end)
    end}.

%% One that does not read is as good as none, when its time is over. Nothing that had waited is lost.
failover_from_stuck_test_() ->
    {timeout, 60, fun() ->
        [Stuck, Good] = [listen(tcp, ?V4), listen(tcp, ?V4)],
        Options = #{
            transport => tcp,
            strategy => failover,
            targets => [{?V4, port(Stuck)}, {?V4, port(Good)}],
            send_timeout => 500,
            backoff => {20000, 20000}
        },
        with_sender(Options, fun(Sender) ->
            [wait_for(Sender, N, #{state => up}) || N <- [1, 2]],
            Count = 400,
            [ok = hep_sender:send(Sender, numbered(N, 60000)) || N <- lists:seq(1, Count)],
            wait_for(Sender, 1, #{state => down, last_error => timeout}),
            #{targets := [#{sent := Written} | _]} = hep_sender:info(Sender),
            ?assertEqual(lists:seq(Written + 1, Count), numbers(frames(Count - Written, accept(Good))))
        end)
    end}.

failover_udp_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(udp, ?V4),
        Options = #{
            strategy => failover,
            targets => [{?V4, free_port(udp)}, {?V4, port(Collector)}],
            backoff => {20000, 20000}
        },
        with_sender(Options, fun(Sender) ->
            until_down(Sender, fun() -> hep_sender:send(Sender, numbered(0)) end),
            ok = hep_sender:send(Sender, numbered(1)),
            ?assertEqual(1, last_number(Collector))
        end)
    end}.

%%% Many callers, and more than the process can do

many_callers_test_() ->
    [
        {atom_to_list(Transport), {timeout, 120, fun() ->
            Collector = listen(Transport, ?V4),
            Options = #{targets => [{?V4, port(Collector)}], queue => 20000},
            with_sender(with_tls(Transport, Options), fun(Sender) ->
                Connection = accept(Collector),
                Numbers = [lists:seq(From, From + 199) || From <- lists:seq(1, 10000, 200)],
                Callers = [
                    spawn_monitor(fun() -> [ok = hep_sender:send(Sender, packet(N)) || N <- Own] end)
                 || Own <- Numbers
                ],
                Arrived = numbers(frames(10000, Connection)),
                [receive {'DOWN', Monitor, _, Pid, Reason} -> normal = Reason end || {Pid, Monitor} <- Callers],
                ?assertEqual(lists:seq(1, 10000), lists:sort(Arrived)),
                %% What one caller sends stays in its order.
                [?assertEqual(Own, [N || N <- Arrived, N >= hd(Own), N =< lists:last(Own)]) || Own <- Numbers],
                ?assertMatch(#{dropped := 0}, hep_sender:info(Sender))
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% The mailbox is bounded as well, in packets and in bytes.
mailbox_test() ->
    Collector = listen(udp, ?V4),
    Options = #{targets => [{?V4, port(Collector)}], queue => 100, queue_bytes => 70000},
    with_sender(Options, fun(Sender) ->
        #{} = hep_sender:info(Sender),
        true = erlang:suspend_process(Sender),
        Results = [hep_sender:send(Sender, numbered(N)) || N <- lists:seq(1, 300)],
        {message_queue_len, Length} = process_info(Sender, message_queue_len),
        true = erlang:resume_process(Sender),
        ?assertEqual(100, Length),
        ?assertEqual(lists:duplicate(100, ok) ++ lists:duplicate(200, {error, overloaded}), Results),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertEqual(lists:seq(1, 100), numbers(received(100, Collector))),
        ?assertMatch(#{sent := 100, refused := #{overloaded := 200}}, hep_sender:info(Sender)),
        true = erlang:suspend_process(Sender),
        Large = [hep_sender:send(Sender, sized(30000)) || _ <- [1, 2, 3]],
        true = erlang:resume_process(Sender),
        ?assertEqual([ok, ok, {error, overloaded}], Large),
        %% The counts are right again.
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertEqual(ok, hep_sender:send(Sender, sized(30000)))
    end).

%% Small packets go out together, as they come when the link is at something else.
batches_test() ->
    Collector = listen(tcp, ?V4),
    Options = #{transport => tcp, targets => [{?V4, port(Collector)}], batch_bytes => 1000},
    with_sender(Options, fun(Sender) ->
        Connection = accept(Collector),
        wait_for(Sender, 1, #{state => up}),
        true = erlang:suspend_process(Sender),
        [ok = hep_sender:send(Sender, sized(300)) || _ <- lists:seq(1, 10)],
        {links, Links} = process_info(Sender, links),
        [Link] = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
        1 = erlang:trace(Link, true, ['receive']),
        true = erlang:resume_process(Sender),
        10 = length(frames(10, Connection)),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertEqual([3, 3, 3, 1], traced_batches(Link))
    end).

traced_batches(Link) ->
    receive
        {trace, Link, 'receive', {batch, Frames}} -> [length(Frames) | traced_batches(Link)];
        {trace, Link, 'receive', _} -> traced_batches(Link)
    after 0 -> []
    end.

%%% TLS

tls_test_() ->
    {timeout, 60, [
        {Title, {timeout, 30, fun() -> tls(Host, Tls, Expected) end}}
     || {Title, Host, Tls, Expected} <- [
            {"the CA is known, the name is right", "localhost", [{cacerts, authorities()}], up},
            {"by address", ?V4, [{cacerts, authorities()}], up},
            {"by address as text", <<"127.0.0.1">>, [{cacerts, authorities()}], up},
            {"another name", ?V4, [{cacerts, authorities()}, {server_name_indication, "other.example"}],
                handshake_failure},
            {"a name with a wildcard", ?V4, [{cacerts, authorities()}, {server_name_indication, "a.wild.example"}], up},
            {"another CA", "localhost", [{cacerts, other_authorities()}], unknown_ca},
            {"not verified", "localhost", [{verify, verify_none}], up},
            {"TLS 1.2", "localhost", [{cacerts, authorities()}, {versions, ['tlsv1.2']}], up}
        ]
    ]}.

tls(Host, Tls, Expected) ->
    quietly(fun() ->
        Collector = listen(tls, ?V4),
        Options = #{transport => tls, targets => [{Host, port(Collector)}], tls => Tls, backoff => {5, 10}},
        with_sender(Options, fun(Sender) ->
            ok = hep_sender:send(Sender, numbered(1)),
            case Expected of
                up ->
                    ?assertEqual([1], numbers(received(1, Collector)));
                Alert ->
                    Refusing = spawn_link(fun() -> refuse(Collector) end),
                    wait_for(Sender, 1, #{state => down}),
                    #{targets := [#{last_error := Reason}], sent := 0, queued := 1} = hep_sender:info(Sender),
                    ?assertMatch({tls_alert, {Alert, _}}, Reason),
                    unlink(Refusing),
                    exit(Refusing, kill)
            end
        end)
    end).

%% They do not know the collector's. A system may have none.
system_authorities_test() ->
    Options = #{transport => tls, targets => [{"localhost", free_port(tcp)}]},
    try public_key:cacerts_get() of
        _ -> tls("localhost", [], unknown_ca)
    catch
        _:_ -> ?assertEqual({error, no_cacerts}, hep_sender:start_link(Options))
    end.

%% Shakes hands with whoever comes.
refuse({tls, Listener} = Collector) ->
    {ok, Socket} = ssl:transport_accept(Listener),
    _ = ssl:handshake(Socket, ?PATIENCE),
    refuse(Collector).

%% No log shows what is secret.
secrets_test() ->
    Options = #{
        transport => tls,
        auth_key => <<"open-sesame">>,
        tls => [{cacerts, authorities()}, {password, "open-sesame"}],
        targets => [{?V4, free_port(tcp)}]
    },
    Hidden = fun(Term) ->
        Shown = lists:flatten(io_lib:format("~p", [Term])),
        ?assertEqual(nomatch, string:find(Shown, "open-sesame"))
    end,
    with_sender(Options, fun(Sender) -> Hidden(sys:get_status(Sender)) end),
    #{start := {hep_sender, start_link, [Given]}} = Spec = hep_sender:child_spec(Options),
    Hidden(Spec),
    with_sender(Given, fun(Sender) -> Hidden(sys:get_status(Sender)) end),
    Wrong = fun() -> "open-sesame" end,
    ?assertEqual({error, {bad_option, {auth_key, Wrong}}}, hep_sender:start_link(Options#{auth_key => Wrong})).

%%% Options, one by one

wrong_options_test_() ->
    Right = #{targets => [{?V4, 9060}]},
    [
        {lists:flatten(io_lib:format("~P", [Wrong, 12])), fun() ->
            Options = maps:merge(Right, maps:from_list([Wrong])),
            ?assertEqual({error, {bad_option, Wrong}}, hep_sender:start_link(Options))
        end}
     || Wrong <- [
            {foo, 1},
            {"name", {local, x}},
            {name, x},
            {name, {local, "x"}},
            {name, {local, undefined}},
            {name, {via, "x", y}},
            {transport, sctp},
            {targets, []},
            {targets, {?V4, 9060}},
            {targets, [?V4]},
            {targets, [{?V4, 0}]},
            {targets, [{?V4, 65536}]},
            {targets, [{?V4, "9060"}]},
            {targets, [{?V4, 9060} | x]},
            {targets, [{{127, 0, 0, 256}, 9060}]},
            {targets, [{localhost, 9060}]},
            {targets, [{"", 9060}]},
            {targets, [{<<>>, 9060}]},
            {targets, [{"a b", 9060}]},
            {targets, [{[$a | b], 9060}]},
            {targets, [{?V4, 9060}, {x, 9060}]},
            {strategy, any},
            {queue, 0},
            {queue, infinity},
            {queue_bytes, 65534},
            {batch_bytes, 0},
            {backoff, 100},
            {backoff, {0, 1}},
            {backoff, {2, 1}},
            {backoff, {1, infinity}},
            {connect_timeout, 0},
            {connect_timeout, infinity},
            {send_timeout, -1},
            {capture_id, -1},
            {capture_id, 1 bsl 32},
            {node_name, "edge"},
            {node_name, <<>>},
            {auth_key, key},
            {auth_key, <<>>},
            {encode, []},
            {encode, #{compress => brotli}},
            {encode, #{auth_key => <<"key">>}},
            {encode, #{foo => 1}},
            {sndbuf, 0},
            {tls, []},
            {tls, x}
        ]
    ].

wrong_tls_options_test_() ->
    Options = #{transport => tls, targets => [{"localhost", 9060}]},
    [
        {lists:flatten(io_lib:format("~P", [Tls, 12])), fun() ->
            quietly(fun() ->
                Result = hep_sender:start_link(Options#{tls => Tls}),
                ?assertEqual({error, {bad_option, {tls, Tls}}}, Result)
            end)
        end}
     || Tls <- [
            x,
            #{},
            [verify],
            [{cacerts, authorities()}, {verify, maybe_later}],
            [{verify, verify_peer} | x],
            [{cacerts, authorities()}, {versions, ['tlsv7']}],
            [{cacerts, authorities()}, {no_such_option, 1}],
            [{cacertfile, 1}],
            [{active, true}],
            [{packet, 4}]
        ]
    ].

other_wrong_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, Wrong}}, hep_sender:start_link(Options))
     || {Wrong, Options} <- [
            {x, x},
            {[], []},
            {[{transport, udp}], [{transport, udp}]},
            {{targets, undefined}, #{}},
            {{targets, undefined}, #{transport => tls}},
            {{tls, []}, #{transport => tcp, targets => [{?V4, 1}], tls => []}}
        ]
    ].

%%% Names, supervisors, ends

names_test() ->
    quietly(fun names/0).

names() ->
    Collector = listen(udp, ?V4),
    Name = hep_sender_tests_sender,
    Via = {via, global, hep_sender_tests_via},
    Options = #{targets => [{?V4, port(Collector)}]},
    Named = [Options#{name => N} || N <- [{local, Name}, {global, Name}, Via]],
    Children = [hep_sender:child_spec(O) || O <- [Options | Named]],
    {ok, Supervisor} = supervisor:start_link(?MODULE, {#{intensity => 5}, Children}),
    [
        begin
            ok = hep_sender:send(Sender, numbered(N)),
            ?assertEqual([N], numbers(received(1, Collector))),
            ok = hep_sender:flush(Sender, ?PATIENCE),
            ?assertMatch(#{sent := 1}, hep_sender:info(Sender))
        end
     || {N, Sender} <- [{1, Name}, {2, {global, Name}}, {3, Via}]
    ],
    ?assertEqual({error, {already_started, whereis(Name)}}, hep_sender:start_link(hd(Named))),
    %% One that is killed is started again, and what it left behind goes.
    Killed = whereis(Name),
    exit(Killed, kill),
    wait(fun() -> is_pid(whereis(Name)) andalso whereis(Name) =/= Killed end),
    wait(fun() -> hep_sender:send(Name, numbered(4)) =:= ok end),
    ?assertEqual([4], numbers(received(1, Collector))),
    ?assertEqual({error, not_running}, hep_sender:send(Killed, numbered(5))),
    unlink(Supervisor),
    ok = gen_server:stop(Supervisor),
    [
        ?assertEqual({error, not_running}, hep_sender:send(Sender, numbered(6)))
     || Sender <- [Name, {global, Name}, Via, Killed, self()]
    ],
    ?assertEqual([], [Key || {{hep_sender, _} = Key, _} <- persistent_term:get()]).

child_spec_test() ->
    Options = #{targets => [{?V4, 9060}]},
    Id = {hep_sender, [default, [{?V4, 9060}]]},
    ?assertEqual(#{id => Id, start => {hep_sender, start_link, [Options]}}, hep_sender:child_spec(Options)),
    Others = [Options#{transport => tcp}, Options#{targets => [{?V4, 9061}]}, Options#{name => {local, a}}],
    Ids = [maps:get(id, hep_sender:child_spec(Some)) || Some <- [Options | Others]],
    ?assertEqual(Ids, lists:uniq(Ids)),
    ?assertEqual(ok, element(1, {supervisor:check_childspecs([hep_sender:child_spec(Options)]), x})),
    ?assertMatch(#{id := {local, x}}, hep_sender:child_spec(Options#{name => {local, x}})).

%% @private
init(Specification) ->
    {ok, Specification}.

%% Whatever else comes is no reason to end, and what waits goes on waiting.
stray_messages_test() ->
    with_sender(#{transport => tcp, targets => [{?V4, free_port(tcp)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, numbered(1)),
        Sender ! stray,
        gen_server:cast(Sender, stray),
        ?assertEqual({error, unknown_call}, gen_server:call(Sender, stray)),
        ?assertMatch(#{queued := 1}, hep_sender:info(Sender))
    end).

%% Whoever started the sender takes it, and its connections, along.
ends_with_its_parent_test() ->
    Collector = listen(tcp, ?V4),
    Self = self(),
    Parent = spawn(fun() ->
        {ok, Sender} = hep_sender:start_link(#{transport => tcp, targets => [{?V4, port(Collector)}]}),
        Self ! {sender, Sender},
        receive stop -> exit(shutdown) end
    end),
    Sender = receive {sender, Pid} -> Pid end,
    Connection = accept(Collector),
    wait_for(Sender, 1, #{state => up}),
    Monitor = monitor(process, Sender),
    Parent ! stop,
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(shutdown, Reason) end,
    ?assertEqual(closed, more(Connection)),
    ?assertEqual({error, not_running}, hep_sender:send(Sender, numbered(1))).

flush_test() ->
    with_sender(#{transport => tcp, targets => [{?V4, free_port(tcp)}]}, fun(Sender) ->
        ?assertEqual(ok, hep_sender:flush(Sender, 0)),
        ok = hep_sender:send(Sender, numbered(1)),
        ?assertEqual({error, timeout}, hep_sender:flush(Sender, 0)),
        ?assertEqual({error, timeout}, hep_sender:flush(Sender, 20)),
        ?assertError(function_clause, hep_sender:flush(Sender, -1))
    end).

%% What others send later is not waited for.
flush_among_others_test() ->
    with_sender(#{transport => tcp, targets => [{?V4, free_port(tcp)}], queue => 5}, fun(Sender) ->
        [ok = hep_sender:send(Sender, numbered(N)) || N <- [1, 2, 3]],
        Flush = flushing(Sender, ?PATIENCE),
        [ok = hep_sender:send(Sender, numbered(N)) || N <- [4, 5, 6, 7]],
        %% The first two are dropped by now, the third waits.
        ?assertMatch(#{queued := 5, dropped := 2}, hep_sender:info(Sender)),
        ?assertEqual(waiting, flushed(Flush, 0)),
        ok = hep_sender:send(Sender, numbered(8)),
        ?assertEqual(ok, flushed(Flush, ?PATIENCE)),
        ?assertMatch(#{queued := 5, dropped := 3}, hep_sender:info(Sender))
    end).

%% What is being written is older than what is dropped meanwhile.
flush_under_way_test_() ->
    {timeout, 60, fun() ->
        Collector = listen(tcp, ?V4),
        Options = #{transport => tcp, targets => [{?V4, port(Collector)}], queue => 500, send_timeout => 60000},
        with_sender(Options, fun(Sender) ->
            Connection = accept(Collector),
            Before = fill(Sender, 1),
            Flush = flushing(Sender, ?PATIENCE),
            lists:foreach(
                fun(N) ->
                    ok = hep_sender:send(Sender, numbered(N, 500)),
                    N rem 200 =:= 0 andalso hep_sender:info(Sender)
                end,
                lists:seq(Before, Before + 3000)
            ),
            ?assertMatch(#{dropped := Dropped} when Dropped > 500, hep_sender:info(Sender)),
            ?assertEqual(waiting, flushed(Flush, 100)),
            #{sent := Sent, queued := Queued} = hep_sender:info(Sender),
            _ = frames(Sent + Queued, Connection),
            ?assertEqual(ok, flushed(Flush, ?PATIENCE))
        end)
    end}.

%% A flush of another process, which has reached the sender.
flushing(Sender, Timeout) ->
    Test = self(),
    Process = spawn_link(fun() -> Test ! {self(), hep_sender:flush(Sender, Timeout)} end),
    wait(fun() -> process_info(Process, status) =:= {status, waiting} end),
    _ = hep_sender:info(Sender),
    Process.

flushed(Process, Timeout) ->
    receive {Process, Result} -> Result
    after Timeout -> waiting
    end.

%%% Events

telemetry_test_() ->
    {timeout, 60, fun() ->
        Self = self(),
        with_telemetry(fun() ->
            Port = free_port(tcp),
            Options = #{transport => tcp, targets => [{?V4, Port}], backoff => {5, 10}, queue => 2},
            with_sender(Options, fun(Sender) ->
                Common = #{sender => Sender, transport => tcp},
                [begin ok = hep_sender:send(Sender, sized(100)), hep_sender:info(Sender) end || _ <- [1, 2, 3]],
                wait_for(Sender, 1, #{dropped => 1}),
                Collector = listen(tcp, ?V4, Port),
                Connection = accept(Collector),
                ?assertEqual(
                    {[hep, sender, up], #{count => 1}, Common#{target => {?V4, Port}}},
                    next_event(Self, up)
                ),
                close(Connection),
                ?assertEqual(
                    {[hep, sender, down], #{count => 1}, Common#{target => {?V4, Port}, reason => closed}},
                    next_event(Self, down)
                ),
                ?assertEqual(
                    {[hep, sender, dropped], #{count => 1, bytes => 100}, Common#{
                        targets => [{?V4, Port}], reason => queue_full
                    }},
                    next_event(Self, dropped)
                )
            end)
        end)
    end}.

%% In the place of the application, which is none of ours: a module that sends the events to this process.
with_telemetry(Test) ->
    true = register(hep_sender_tests_events, self()),
    Source =
        "-module(telemetry). -export([execute/3]). "
        "execute(Event, Measurements, Metadata) -> "
        "hep_sender_tests_events ! {event, {Event, Measurements, Metadata}}, ok.",
    {ok, Tokens, _} = erl_scan:string(Source),
    {ok, telemetry, Beam} = compile:forms([parsed(Form) || Form <- forms(Tokens, [])]),
    {module, telemetry} = code:load_binary(telemetry, "telemetry", Beam),
    try
        Test()
    after
        code:delete(telemetry),
        code:purge(telemetry),
        unregister(hep_sender_tests_events)
    end.

parsed(Tokens) ->
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

forms([], []) -> [];
forms([{dot, _} = Dot | Tokens], Form) -> [lists:reverse([Dot | Form]) | forms(Tokens, [])];
forms([Token | Tokens], Form) -> forms(Tokens, [Token | Form]).

next_event(_, Name) ->
    receive
        {event, {[hep, sender, Name], _, _} = Event} -> Event
    after ?PATIENCE -> error({no_event, Name})
    end.

%%% The queue alone

queue_test() ->
    New = hep_sender_queue:new(3, 100),
    {{0, 0}, Queue} = hep_sender_queue:in([{10, a}, {20, b}, {30, c}], New),
    ?assertEqual({3, 60}, {hep_sender_queue:packets(Queue), hep_sender_queue:bytes(Queue)}),
    %% Packets, bytes, and more than one at once.
    ?assertMatch({{1, 10}, _}, hep_sender_queue:in([{5, d}], Queue)),
    {{2, 30}, Full} = hep_sender_queue:in([{70, d}], Queue),
    ?assertEqual({[{30, c}, {70, d}], New}, hep_sender_queue:batch(1000, Full)),
    %% One at the least, and whole ones only.
    {[{10, a}], Rest} = hep_sender_queue:batch(1, Queue),
    ?assertMatch({[{20, b}], _}, hep_sender_queue:batch(49, Rest)),
    ?assertMatch({[{20, b}, {30, c}], _}, hep_sender_queue:batch(50, Rest)),
    ?assertEqual({[], New}, hep_sender_queue:batch(1, New)),
    %% What comes back is the oldest again.
    {{0, 0}, Whole} = hep_sender_queue:back([{10, a}], Rest),
    ?assertMatch({[{10, a}, {20, b}, {30, c}], _}, hep_sender_queue:batch(1000, Whole)),
    {{0, 0}, Later} = hep_sender_queue:in([{1, d}], Rest),
    {{1, 10}, Kept} = hep_sender_queue:back([{10, a}], Later),
    ?assertMatch({[{20, b}, {30, c}, {1, d}], _}, hep_sender_queue:batch(1000, Kept)).

%%% Helpers: packets

%% A packet that is known by its number.
packet(Number) ->
    #hep{
        version = 3,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5062,
        timestamp = {1700, 123456, 654321},
        payload = <<Number:64>>
    }.

%% Such a packet as bytes, and with a payload of another size.
numbered(Number) ->
    numbered(Number, 0).

numbered(Number, More) ->
    frame([chunk(15, <<Number:64, 0:More/unit:8>>)]).

numbers(Packets) ->
    [
        begin
            <<Number:64, _/binary>> = hep:payload(decoded(Packet)),
            Number
        end
     || Packet <- Packets
    ].

decoded(Packet) ->
    {ok, Hep} = hep:decode(Packet),
    Hep.

%% A packet of this many bytes.
sized(6) -> frame([]);
sized(Size) -> frame([chunk(15, <<0:(Size - 12)/unit:8>>)]).

%%% Helpers: collectors

listen(Transport, Address) ->
    listen(Transport, Address, 0).

listen(udp, Address, Port) ->
    {ok, Socket} = gen_udp:open(Port, [binary, family(Address), {ip, Address}, {active, false}, {recbuf, 1 bsl 20}]),
    {udp, Socket};
listen(tcp, Address, Port) ->
    {ok, Socket} = gen_tcp:listen(Port, listen_options(Address)),
    {tcp, Socket};
listen(tls, Address, Port) ->
    {ok, _} = application:ensure_all_started(ssl),
    #{server_config := Certificate} = certificates(),
    {ok, Socket} = ssl:listen(Port, listen_options(Address) ++ Certificate),
    {tls, Socket}.

listen_options(Address) ->
    [binary, family(Address), {ip, Address}, {active, false}, {reuseaddr, true}, {backlog, 100}].

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(_) -> inet6.

port({tls, Socket}) ->
    {ok, {_, Port}} = ssl:sockname(Socket),
    Port;
port({_, Socket}) ->
    {ok, Port} = inet:port(Socket),
    Port.

%% One that nobody listens at.
free_port(Transport) ->
    Collector = listen(if Transport =:= udp -> udp; true -> tcp end, ?V4),
    Port = port(Collector),
    close(Collector),
    Port.

accept({tcp, Listener}) ->
    {ok, Socket} = gen_tcp:accept(Listener, ?PATIENCE),
    {tcp, Socket};
accept({tls, Listener}) ->
    {ok, Socket} = ssl:transport_accept(Listener, ?PATIENCE),
    {ok, Secure} = ssl:handshake(Socket, ?PATIENCE),
    {tls, Secure}.

close({udp, Socket}) -> gen_udp:close(Socket);
close({tcp, Socket}) -> gen_tcp:close(Socket);
close({tls, Socket}) -> ssl:close(Socket).

%% So many packets, from the first connection if there are connections.
received(Count, {udp, Socket}) ->
    [
        begin
            {ok, {_, _, Datagram}} = gen_udp:recv(Socket, 0, ?PATIENCE),
            Datagram
        end
     || _ <- lists:seq(1, Count)
    ];
received(Count, Collector) ->
    frames(Count, accept(Collector)).

%% The next packets on the stream.
frames(Count, Connection) ->
    [next_frame(Connection) || _ <- lists:seq(1, Count)].

next_frame(Connection) ->
    Start = <<"HEP3", Total:16>> = bytes(6, Connection),
    <<Start/binary, (bytes(Total - 6, Connection))/binary>>.

bytes(0, _) ->
    <<>>;
bytes(Count, Connection) ->
    {ok, Bytes} = recv(Connection, Count),
    Bytes.

recv({tcp, Socket}, Count) -> gen_tcp:recv(Socket, Count, ?PATIENCE);
recv({tls, Socket}, Count) -> ssl:recv(Socket, Count, ?PATIENCE).

%% What comes behind the packets that were expected.
more(Connection) ->
    {error, Reason} = recv(Connection, 0),
    Reason.

%% The packets in what a connection brought; the last one may be cut off.
whole(<<"HEP3", Total:16, _/binary>> = Bytes) when byte_size(Bytes) >= Total ->
    {Frame, Rest} = split_binary(Bytes, Total),
    [Frame | whole(Rest)];
whole(Bytes) ->
    Magic = binary:part(<<"HEP3">>, 0, min(4, byte_size(Bytes))),
    ?assertEqual(Magic, binary:part(Bytes, 0, byte_size(Magic))),
    [].

%%% Helpers: certificates

certificates() ->
    case persistent_term:get({?MODULE, certificates}, undefined) of
        undefined ->
            ok = persistent_term:put({?MODULE, certificates}, new_certificates()),
            certificates();
        Certificates ->
            Certificates
    end.

%% For localhost, 127.0.0.1 and *.wild.example.
new_certificates() ->
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    Names = [{dNSName, "localhost"}, {iPAddress, <<127, 0, 0, 1>>}, {dNSName, "*.wild.example"}],
    For = #'Extension'{extnID = ?'id-ce-subjectAltName', extnValue = Names, critical = false},
    Chain = #{root => Key, intermediates => [], peer => Key},
    public_key:pkix_test_data(#{
        server_chain => Chain#{peer := [{extensions, [For]} | Key]},
        client_chain => Chain
    }).

%% Those that vouch for the collector, and others.
authorities() ->
    authorities(certificates()).

other_authorities() ->
    authorities(new_certificates()).

authorities(#{client_config := Config}) ->
    proplists:get_value(cacerts, Config).

%%% Helpers: senders

with_sender(Options, Test) ->
    {ok, Sender} = hep_sender:start_link(Options),
    try
        Test(Sender)
    after
        unlink(Sender),
        Monitor = monitor(process, Sender),
        exit(Sender, shutdown),
        receive {'DOWN', Monitor, _, _, _} -> ok end
    end.

with_tls(tls, Options) -> Options#{transport => tls, tls => [{cacerts, authorities()}]};
with_tls(Transport, Options) -> Options#{transport => Transport}.

%% Until the target has these figures.
wait_for(Sender, Number, Figures) ->
    wait(fun() ->
        #{targets := Targets} = hep_sender:info(Sender),
        maps:with(maps:keys(Figures), lists:nth(Number, Targets)) =:= Figures
    end).

wait(Condition) ->
    wait(Condition, erlang:monotonic_time(millisecond) + ?PATIENCE).

wait(Condition, Deadline) ->
    case Condition() of
        true ->
            ok;
        false ->
            ?assert(erlang:monotonic_time(millisecond) < Deadline),
            timer:sleep(5),
            wait(Condition, Deadline)
    end.

%% What ssl has to say about the failures of a test is not logged.
quietly(Test) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Test()
    after
        logger:set_primary_config(level, Level)
    end.
