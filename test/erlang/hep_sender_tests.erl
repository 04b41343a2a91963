%% @doc The sender: arriving packets, rejected packets, many callers, ends, events; with real sockets on loopback.
-module(hep_sender_tests).

-behaviour(supervisor).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_collectors.hrl").

%% Callback of the supervisor.
-export([init/1]).

-import(hep_collectors, [
    packet/1, numbered/1, numbered/2, numbers/1, decoded/1, sized/1, listen/2, listen/3, port/1, free_port/1,
    accept/1, close/1, received/2, frames/2, more/1, with_sender/2, with_tls/2, wait_for/3, wait/1,
    quietly/1, fill/2, is_connected/2
]).

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

%% Options fill in missing fields; the key replaces the packet's own.
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
        %% Encoded packets are sent unchanged.
        ok = hep_sender:send(Sender, numbered(9)),
        ?assertEqual([iolist_to_binary(numbered(9))], received(1, Collector))
    end).

%% Fields that an older version cannot carry are left out, except the key.
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

%% The Call-ID becomes the correlation id of SIP packets of version 3 without one.
correlation_test_() ->
    Sip = hep:payload(<<"INVITE sip:b SIP/2.0\r\ni : 7@host \r\n\r\n">>, packet(1)),
    [
        {Name, fun() -> correlated(Option, Expected, Packet) end}
     || {Name, Option, Expected, Packet} <- [
            {"added", sip_call_id, <<"7@host">>, Sip},
            {"off", none, undefined, Sip},
            {"its own", sip_call_id, <<"own">>, hep:correlation_id(<<"own">>, Sip)},
            {"an empty id", sip_call_id, <<"7@host">>, hep:correlation_id(<<>>, Sip)},
            {"no SIP", sip_call_id, undefined, hep:payload_type(log, Sip)},
            {"no Call-ID", sip_call_id, undefined, hep:payload(<<"BYE sip:b SIP/2.0\r\n\r\n">>, Sip)},
            {"an empty one", sip_call_id, undefined, hep:payload(<<"BYE sip:b SIP/2.0\r\ni:\r\n\r\n">>, Sip)},
            {"other bytes", sip_call_id, undefined, hep:payload(<<255, 0, 1>>, Sip)},
            {"an empty payload", sip_call_id, undefined, hep:payload(<<>>, Sip)},
            {"version 2", sip_call_id, undefined, hep:version(hep_v2, Sip)},
            {"encoded", sip_call_id, undefined, element(2, hep:encode(Sip))}
        ]
    ].

correlated(Option, Expected, Packet) ->
    Collector = listen(udp, ?V4),
    with_sender(#{correlation => Option, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, Packet),
        [Datagram] = received(1, Collector),
        ?assertEqual(Expected, hep:correlation_id(decoded(Datagram))),
        %% Decoding removes an empty chunk.
        {ok, Parsed} = hep_multi_parser:parse(Datagram),
        ?assertEqual(Expected =/= undefined, hep:get_chunk(0, 17, Parsed) =/= not_found)
    end).

%% The id must not make a packet too large.
correlation_of_the_largest_packet_test() ->
    Start = <<"BYE sip:b SIP/2.0\r\ni: 12345678901234567890\r\n\r\n">>,
    Filled = fun(Size) -> hep:payload(<<Start/binary, 0:((Size - byte_size(Start)) * 8)>>, packet(1)) end,
    {ok, Least} = hep:encode(Filled(byte_size(Start))),
    Largest = 65507 - (byte_size(Least) - byte_size(Start)),
    Collector = listen(udp, ?V4),
    with_sender(#{correlation => sip_call_id, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        Ids = [
            begin
                ok = hep_sender:send(Sender, Filled(Size)),
                [Datagram] = received(1, Collector),
                hep:correlation_id(decoded(Datagram))
            end
         || Size <- [Largest - 26, Largest - 25, Largest]
        ],
        ?assertEqual([<<"12345678901234567890">>, undefined, undefined], Ids),
        ?assertEqual({error, {datagram_too_large, 65508}}, hep_sender:send(Sender, Filled(Largest + 1)))
    end).

%% Errors of the codec are returned unchanged.
correlation_of_invalid_packets_test() ->
    Collector = listen(udp, ?V4),
    with_sender(#{correlation => sip_call_id, targets => [{?V4, port(Collector)}]}, fun(Sender) ->
        ?assertMatch({error, {invalid_field, payload, 1}}, hep_sender:send(Sender, (packet(1))#hep{payload = 1})),
        ?assertMatch({error, {invalid_field, chunks, x}}, hep_sender:send(Sender, (packet(1))#hep{chunks = x}))
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
                %% The packets of a caller stay in order.
                [?assertEqual(Own, [N || N <- Arrived, N >= hd(Own), N =< lists:last(Own)]) || Own <- Numbers],
                ?assertMatch(#{dropped := 0}, hep_sender:info(Sender))
            end)
        end}}
     || Transport <- [tcp, tls]
    ].

%% The mailbox is limited in packets and in bytes.
mailbox_test() ->
    Collector = listen(udp, ?V4),
    Options = #{targets => [{?V4, port(Collector)}], queue => 100, queue_bytes => 70000},
    with_sender(Options, fun(Sender) ->
        %% The connection sends no more messages.
        wait_for(Sender, 1, #{state => up}),
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
        %% The counts are correct again.
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertEqual(ok, hep_sender:send(Sender, sized(30000)))
    end).

%% Small packets are written in batches: those that arrive during a write.
batches_test() ->
    Collector = listen(tcp, ?V4),
    Options = #{transport => tcp, targets => [{?V4, port(Collector)}], batch_bytes => 1000},
    with_sender(Options, fun(Sender) ->
        Connection = accept(Collector),
        wait_for(Sender, 1, #{state => up}),
        true = erlang:suspend_process(Sender),
        [ok = hep_sender:send(Sender, sized(300)) || _ <- lists:seq(1, 10)],
        {links, Links} = process_info(Sender, links),
        [Process] = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
        1 = erlang:trace(Process, true, ['receive']),
        true = erlang:resume_process(Sender),
        10 = length(frames(10, Connection)),
        ok = hep_sender:flush(Sender, ?PATIENCE),
        ?assertEqual([3, 3, 3, 1], traced_batches(Process))
    end).

traced_batches(Process) ->
    receive
        {trace, Process, 'receive', {batch, Frames}} -> [length(Frames) | traced_batches(Process)];
        {trace, Process, 'receive', _} -> traced_batches(Process)
    after 0 -> []
    end.

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
    %% A killed sender is restarted, and the packets that it left are sent.
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
    ?assertEqual([], [Key || {{hep_sender_inbox, _} = Key, _} <- persistent_term:get()]).

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

%% Other messages do not end the sender, and do not affect waiting callers.
stray_messages_test() ->
    with_sender(#{transport => tcp, targets => [{?V4, free_port(tcp)}]}, fun(Sender) ->
        ok = hep_sender:send(Sender, numbered(1)),
        Sender ! stray,
        gen_server:cast(Sender, stray),
        ?assertEqual({error, unknown_call}, gen_server:call(Sender, stray)),
        ?assertMatch(#{queued := 1}, hep_sender:info(Sender))
    end).

%% The sender and its connections end with the process that started it.
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

%% Later packets of others are not waited for.
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

%% Packets that are being written are older than those dropped meanwhile.
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

%% A flush in another process, which has reached the sender.
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

%% A module in place of telemetry, which sends the events to this process.
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
    %% The number of packets and bytes, possibly of more than one packet.
    ?assertMatch({{1, 10}, _}, hep_sender_queue:in([{5, d}], Queue)),
    {{2, 30}, Full} = hep_sender_queue:in([{70, d}], Queue),
    ?assertEqual({[{30, c}, {70, d}], New}, hep_sender_queue:batch(1000, Full)),
    %% At least one packet, and only complete ones.
    {[{10, a}], Rest} = hep_sender_queue:batch(1, Queue),
    ?assertMatch({[{20, b}], _}, hep_sender_queue:batch(49, Rest)),
    ?assertMatch({[{20, b}, {30, c}], _}, hep_sender_queue:batch(50, Rest)),
    ?assertEqual({[], New}, hep_sender_queue:batch(1, New)),
    %% Returned packets are the oldest again.
    {{0, 0}, Whole} = hep_sender_queue:put_back([{10, a}], Rest),
    ?assertMatch({[{10, a}, {20, b}, {30, c}], _}, hep_sender_queue:batch(1000, Whole)),
    {{0, 0}, Later} = hep_sender_queue:in([{1, d}], Rest),
    {{1, 10}, Kept} = hep_sender_queue:put_back([{10, a}], Later),
    ?assertMatch({[{20, b}, {30, c}, {1, d}], _}, hep_sender_queue:batch(1000, Kept)).
