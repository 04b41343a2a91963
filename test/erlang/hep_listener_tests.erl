%% @doc hep_listener: its options, its supervisors, its counters, and UDP.
-module(hep_listener_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/1, until/2, packet/1, number/1, take/1]).
-import(hep_packets, [chunk/2, frame/1]).

%%% Options

wrong_options_test_() ->
    Missing = filename:join("nowhere", "cert.pem"),
    [
        {lists:flatten(io_lib:format("~p => ~P", [Name, Value, 8])),
            ?_assertEqual(
                {error, {bad_option, {Name, Value}}},
                hep_listener:start_link(maps:merge(#{handler => self(), port => 0}, With#{Name => Value}))
            )}
     || {With, Name, Values} <- [
            {#{}, handler, [
                undefined, nowhere, lists, {lists, []}, {self(), []}, {fun(_) -> ok end, []}, {{hep_count, []}, []},
                fun() -> ok end, fun(_, _) -> ok end, "handler", #{}, {hep_count, [], []}
            ]},
            {#{}, transport, [sctp, "udp", <<"tcp">>]},
            {#{}, ip, ["127.0.0.1", {127, 0, 0}, {127, 0, 0, 256}, any, <<"::1">>, 0]},
            {#{}, port, [-1, 65536, "9060", 9060.0, any]},
            {#{}, view, [record, {transform, nowhere}, {transform, [lists]}, {transform, [hep_transform]}, {transform, [hep_transform | x]}, <<"json">>]},
            {#{}, decode, [[], #{v2_order => middle}, #{nothing => true}, undefined, x]},
            {#{}, auth_keys, [<<"key">>, [<<>>], ["key"], [<<"key">> | x], [key], undefined]},
            {#{}, shards, [0, 1025, -1, 1.0, all]},
            {#{transport => tcp}, shards, [2]},
            {#{}, active, [0, 32768, once, true]},
            {#{}, max_delay, [-1, 1001, 0.5, infinity]},
            {#{}, batch_packets, [0, 257, all]},
            {#{}, multicast, [
                {224, 0, 0, 1}, [{223, 255, 255, 255}], [{240, 0, 0, 1}], [{16#fe80, 0, 0, 0, 0, 0, 0, 1}], ["224.0.0.1"],
                [{{224, 0, 0, 1}, 1}], [{{224, 0, 0, 1}, {127, 0, 0}}], [{{16#ff02, 0, 0, 0, 0, 0, 0, 1}, -1}], [x | y],
                %% Twice, and groups that a socket on this address does not receive.
                [{239, 1, 1, 1}, {239, 1, 1, 1}], [{16#ff02, 0, 0, 0, 0, 0, 0, 1}]
            ]},
            {#{ip => {127, 0, 0, 1}}, multicast, [[{239, 1, 1, 1}], [{{239, 1, 1, 1}, {127, 0, 0, 1}}]]},
            {#{ip => {0, 0, 0, 0, 0, 0, 0, 1}}, multicast, [[{16#ff02, 0, 0, 0, 0, 0, 0, 1}]]},
            {#{ip => {239, 1, 1, 2}}, multicast, [[{239, 1, 1, 1}]]},
            {#{}, recbuf, [0, -1, 16#80000000, "4096"]},
            {#{}, acceptors, [0, 1001, all]},
            {#{}, max_connections, [0, infinity, 1.5]},
            {#{}, max_handshakes, [0, infinity, 1.5]},
            {#{}, handshake_timeout, [0, infinity, 16#100000000]},
            {#{}, shutdown, [0, -1, never, 16#100000000]},
            {#{}, shared_port, [1, yes, undefined]},
            {#{}, idle_timeout, [0, -1, never, 16#100000000]},
            {#{}, resync, [1, yes, undefined]},
            {#{}, filter, [
                #{}, [], undefined, #{foo => [1]}, #{payload_types => []}, #{payload_types => sip}, #{payload_types => [256]},
                #{payload_types => [nothing]}, #{payload_types => [sip | x]}, #{methods => ["INVITE"]}, #{methods => [<<>>]},
                #{capture_ids => [-1]}, #{capture_ids => [1 bsl 32]}, #{networks => "10.0.0.0/8"}, #{networks => ["10.0.0.0/33"]},
                #{networks => ["10.0.0.0/"]}, #{networks => ["10.0.0.0/-1"]}, #{networks => ["10.0.0.0/8/9"]}, #{networks => ["10.1/8"]},
                #{networks => ["::/129"]}, #{networks => ["host"]}, #{networks => [<<255>>]}, #{networks => [{{10, 0, 0, 0}, 33}]},
                #{networks => [{10, 0, 0, 256}]}, #{networks => [{{10, 0, 0, 0}, x}]}, #{networks => [[x]]},
                #{function => fun() -> true end}, #{function => true}, #{methods => [<<"BYE">>], function => true}
            ]},
            {#{}, tls, [[{certfile, "cert.pem"}], undefined]},
            {#{transport => tls}, tls, [
                [], undefined, [{certfile, Missing}], [{certfile, 5}], [{cert, <<"no">>}], [{cert, nothing}],
                [{keyfile, Missing}], [{versions, ['tlsv1.3']}]
            ]},
            {#{}, name, [listener, {local, "listener"}, {local, undefined}, {global}, self()]},
            {#{}, prot, [9060]},
            {#{}, <<"port">>, [9060]}
        ],
        Value <- Values
    ].

no_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, {handler, missing}}}, hep_listener:start_link(#{})),
        ?_assertEqual({error, {bad_option, []}}, hep_listener:start_link([])),
        ?_assertEqual({error, {bad_option, undefined}}, hep_listener:start_link(undefined))
    ].

%% In an OTP or a release without these applications.
missing_application_test_() ->
    hep_net:quietly([
        {atom_to_list(Name), fun() ->
            without(Name, fun() ->
                ?assertMatch(
                    {error, {cannot_start, Name, _}},
                    hep_listener:start_link(maps:merge(#{handler => self(), port => 0}, Options))
                )
            end)
        end}
     || {Name, Options} <- [{crypto, #{auth_keys => [<<"key">>]}}, {ssl, #{transport => tls, tls => [{cert, <<"x">>}]}}]
    ]).

without(Name, Test) ->
    Running = [Application || {Application, _, _} <- application:which_applications()],
    Stopped = [Application || Application <- [ssl, public_key, crypto], lists:member(Application, Running)],
    Folder = filename:dirname(code:where_is_file(atom_to_list(Name) ++ ".app")),
    [ok = application:stop(Application) || Application <- Stopped],
    _ = application:unload(Name),
    true = code:del_path(Folder),
    try
        Test()
    after
        true = code:add_pathz(Folder),
        [{ok, _} = application:ensure_all_started(Application) || Application <- Stopped]
    end.

%% The documented defaults.
defaults_test() ->
    {ok, Options} = hep_listener_options:check(#{handler => self()}),
    ?assertEqual(
        #{
            handler => self(), transport => udp, ip => {0, 0, 0, 0}, port => 9060, view => decode, decode => #{},
            auth_keys => [], shards => 1, recbuf => 4194304, multicast => [], max_delay => 1, batch_packets => 256, active => 5,
            shared_port => false, acceptors => 10, max_connections => 10000, max_handshakes => 1000,
            handshake_timeout => 10000, idle_timeout => 86400000, shutdown => 5000, resync => false, tls => [], dedup => none, filter => none,
            max_errors => 100, proxy_protocol => false, batch_bytes => 1048576, inflate_budget => 67108864
        },
        Options
    ),
    {ok, Tcp} = hep_listener_options:check(#{handler => self(), transport => tcp}),
    ?assertEqual(none, maps:get(recbuf, Tcp, none)).

%% Each start error has a description with the problem and the valid values.
format_error_test_() ->
    [
        {Sentence, ?_assertEqual(Sentence, hep_listener:format_error(Error))}
     || {Error, Sentence} <- [
            {{bad_option, {port, 70000}}, "the option port is 70000: expected an integer from 0 to 65535"},
            {{bad_option, {prot, 9060}}, "unknown option prot"},
            {{bad_option, {handler, missing}},
                "the option handler is missing: a module with init/1 and handle_packets/2, {Module, Argument}, "
                "a function of one argument or a local pid"},
            {{bad_option, {auth_keys, ["secret"]}},
                "the option auth_keys is wrong: expected a list of binaries that are not empty, or a function that returns it"},
            {{bad_option, []}, "the options are []: expected a map (in Elixir, a keyword list)"},
            {{cannot_start, ssl, nowhere},
                "the application ssl, which auth_keys and TLS need, cannot be started: nowhere"},
            {{listen, udp, eaddrinuse}, "the udp port cannot be opened: address already in use (eaddrinuse)"},
            {{listen, tls, unheard_of}, "the tls port cannot be opened: unheard_of"},
            {{handler, noproc}, "the handler process has ended"},
            {{handler, broken}, "the handler did not start: broken"}
        ]
    ] ++ [?_assertError(badarg, hep_listener:format_error(nothing))].

%% Each option with a check has a description.
wanted_test() ->
    {ok, Options} = hep_listener_options:check(#{handler => self(), name => {local, hep_listener_m}}),
    [
        ?assertMatch("the option " ++ _, hep_listener:format_error({bad_option, {Name, wrong}}))
     || Name <- maps:keys(Options)
    ].

%% The handler is a process that has ended.
no_handler_test_() ->
    hep_net:quietly([
        fun() ->
            {Ended, Monitor} = spawn_monitor(fun() -> ok end),
            receive {'DOWN', Monitor, process, Ended, _} -> ok end,
            ?assertEqual(
                {error, {handler, noproc}},
                hep_listener:start_link(#{transport => Transport, port => 0, handler => Ended})
            )
        end
     || Transport <- [udp, tcp]
    ]).

%%% Its place among processes

%% The caller does not trap exits, and stays alive.
port_in_use_test_() ->
    hep_net:quietly([
        {atom_to_list(Transport), fun() ->
            listening(#{transport => Transport}, fun(_, Port) ->
                Options = #{transport => Transport, ip => {127, 0, 0, 1}, port => Port, handler => self()},
                ?assertEqual({error, {listen, Transport, eaddrinuse}}, hep_listener:start_link(Options)),
                ?assertEqual(false, process_flag(trap_exit, false)),
                receive Message -> error({unexpected, Message}) after 0 -> ok end
            end)
        end}
     || Transport <- [udp, tcp]
    ]).

foreign_address_test_() ->
    hep_net:quietly([
        ?_assertEqual(
            {error, {listen, Transport, eaddrnotavail}},
            hep_listener:start_link(#{transport => Transport, ip => {192, 0, 2, 1}, port => 0, handler => self()})
        )
     || Transport <- [udp, tcp]
    ]).

name_test() ->
    listening(#{name => {local, hep_listener_named}}, fun(Listener, Port) ->
        ?assertEqual(Listener, whereis(hep_listener_named)),
        ?assertEqual(Port, hep_listener:port(hep_listener_named)),
        ?assertMatch(
            {error, {already_started, Listener}},
            hep_listener:start_link(#{port => 0, handler => self(), name => {local, hep_listener_named}})
        )
    end).

%% Other messages do not end the process.
stray_messages_test() ->
    listening(#{}, fun(Listener, Port) ->
        [Worker] = hep_net:workers(Listener),
        Processes = [Worker | [hep_net:child(Listener, Id) || Id <- [owner, reporter]]],
        [Process ! stray || Process <- Processes],
        [gen_server:cast(Process, stray) || Process <- Processes],
        [?assertEqual({error, unknown_call}, gen_server:call(Process, stray)) || Process <- Processes],
        {_, Ended} = spawn_monitor(fun() -> link(Listener) end),
        receive {'DOWN', Ended, process, _, _} -> ok end,
        hep_net:udp(Port, [packet(1)]),
        ?assertMatch([_], take(1)),
        ?assertEqual([Worker], hep_net:workers(Listener))
    end).

supervised_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        Test = self(),
        Specs = [
            hep_listener:child_spec(#{ip => {127, 0, 0, 1}, port => 0, handler => Test, transport => Transport, name => {local, Name}})
         || {Transport, Name} <- [{udp, hep_listener_a}, {tcp, hep_listener_b}]
        ],
        {ok, Supervisor} = hep_supervisor:start_link(Specs),
        [Port, _] = [hep_listener:port(Name) || Name <- [hep_listener_a, hep_listener_b]],
        hep_net:udp(Port, [packet(1)]),
        ?assertMatch([_], take(1)),
        ?assertEqual([active, specs, supervisors, workers], lists:sort(proplists:get_keys(supervisor:count_children(Supervisor)))),
        Socket = hep_net:tcp(hep_listener:port(hep_listener_b)),
        ok = hep_net:send(Socket, packet(2)),
        ?assertMatch([_], take(1)),
        %% Each one can be restarted alone.
        Listener = whereis(hep_listener_a),
        exit(Listener, kill),
        until(fun() -> is_other(whereis(hep_listener_a), Listener) end),
        hep_net:udp(hep_listener:port(hep_listener_a), [packet(3)]),
        ok = hep_net:send(Socket, packet(4)),
        ?assertEqual([3, 4], lists:sort([number(Hep) || {Hep, _} <- take(2)])),
        Names = [hep_listener_a, hep_listener_b],
        Monitors = [monitor(process, Name) || Name <- Names],
        unlink(Supervisor),
        ok = hep_supervisor:stop(Supervisor),
        [receive {'DOWN', M, process, _, Reason} -> ?assertEqual(shutdown, Reason) end || M <- Monitors],
        ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 5000))
    end}).

is_other(undefined, _) -> false;
is_other(Pid, Before) -> Pid =/= Before.

%% On a port that the system chose, it comes back on the same port after a kill.
killed_test_() ->
    hep_net:quietly([
        {timeout, 120, {lists:flatten(io_lib:format("~p", [Options])), fun() -> killed(Options) end}}
     || Options <- [#{}, #{shards => 2}, #{transport => tcp}]
    ]).

killed(Options) ->
    Port = listening(Options, fun(_, Chosen) -> Chosen end),
    Given = maps:merge(#{ip => {127, 0, 0, 1}, port => Port, handler => self(), name => {local, hep_listener_k}}, Options),
    {ok, Supervisor} = hep_supervisor:start_link([hep_listener:child_spec(Given)]),
    lists:foreach(
        fun(_) ->
            Before = whereis(hep_listener_k),
            exit(Before, kill),
            until(fun() -> is_other(whereis(hep_listener_k), Before) end)
        end,
        lists:seq(1, 8)
    ),
    ?assertEqual(Port, hep_listener:port(hep_listener_k)),
    unlink(Supervisor),
    hep_supervisor:stop(Supervisor).

child_spec_test() ->
    Ids = [
        maps:get(id, hep_listener:child_spec(Options#{handler => self()}))
     || Options <- [#{}, #{port => 1}, #{transport => tcp}, #{ip => {127, 0, 0, 1}}, #{name => {local, a}}]
    ],
    ?assertEqual(Ids, lists:uniq(Ids)),
    ?assertMatch(
        #{start := {hep_listener, start_link, [_]}, type := supervisor, shutdown := infinity},
        hep_listener:child_spec(#{handler => self()})
    ).

%% A walk through the supervision tree finds all of it.
count_children_test() ->
    Spec = hep_listener:child_spec(#{ip => {127, 0, 0, 1}, port => 0, handler => self()}),
    {ok, Supervisor} = hep_supervisor:start_link([Spec]),
    ?assertMatch([{_, _, supervisor, [hep_listener]}], supervisor:which_children(Supervisor)),
    [{_, Listener, _, _}] = supervisor:which_children(Supervisor),
    ?assertEqual(
        [{budget, worker}, {owner, worker}, {reporter, worker}, {shards, supervisor}],
        lists:sort([{Id, Type} || {Id, _, Type, _} <- supervisor:which_children(Listener)])
    ),
    hep_supervisor:stop(Supervisor).

%%% UDP

families_test_() ->
    hep_net:patiently([
        {lists:flatten(io_lib:format("~p to ~p", [Family, Ip])), fun() ->
            listening(#{ip => Ip}, fun(_, Port) ->
                Before = erlang:system_time(microsecond),
                Source = hep_net:udp(Family, Port, [packet(7)]),
                [{Hep, Meta}] = take(1),
                ?assertEqual(7, number(Hep)),
                Address = hep_net:loopback(Family),
                Size = byte_size(packet(7)),
                ?assertMatch(#{source := {Address, Source}, size := Size, transport := udp}, Meta),
                ?assert(maps:get(time, Meta) >= Before),
                ?assert(maps:get(time, Meta) =< erlang:system_time(microsecond)),
                ?assertEqual([listener, local_port, size, source, time, transport], lists:sort(maps:keys(Meta)))
            end)
        end}
     || {Ip, Family} <- [
            {{127, 0, 0, 1}, inet}, {{0, 0, 0, 0}, inet}, {{0, 0, 0, 0, 0, 0, 0, 1}, inet6},
            {{0, 0, 0, 0, 0, 0, 0, 0}, inet6}, {{0, 0, 0, 0, 0, 0, 0, 0}, inet}
        ]
    ]).

sizes_test() ->
    listening(#{}, fun(Listener, Port) ->
        Largest = frame([chunk(15, binary:copy(<<"x">>, 65507 - 12))]),
        ?assertEqual(65507, byte_size(Largest)),
        hep_net:udp(Port, [<<>>, <<"H">>, Largest]),
        [{Hep, #{size := 65507}}] = take(1),
        ?assertEqual(65507 - 12, byte_size(hep:payload(Hep))),
        receive {hep_error, Listener, not_hep, {<<>>, #{size := 0}}} -> ok end,
        receive {hep_error, Listener, Reason, {<<"H">>, #{size := 1}}} -> ?assertEqual(hep:decode(<<"H">>), {error, Reason}) end,
        ?assertMatch(#{received := 3, bytes := 65508, decoded := 1}, hep_listener:info(Listener))
    end).

%% The buffer of a read is not kept in memory for a datagram.
memory_test() ->
    listening(#{}, fun(_, Port) ->
        Large = frame([chunk(15, binary:copy(<<"x">>, 1000))]),
        hep_net:udp(Port, [Large]),
        [{Hep, _}] = take(1),
        ?assertEqual(1000, byte_size(hep:payload(Hep))),
        ?assert(binary:referenced_byte_size(hep:payload(Hep)) =< 2 * byte_size(Large))
    end).

order_test_() ->
    {timeout, 120, fun() ->
        listening(#{batch_packets => 7}, fun(_, Port) ->
            [
                begin
                    hep_net:udp(Port, [packet(N) || N <- lists:seq(First, First + 99)]),
                    ?assertEqual(lists:seq(First, First + 99), [number(Hep) || {Hep, _} <- take(100)])
                end
             || First <- lists:seq(1, 3000, 100)
            ]
        end)
    end}.

batches_test() ->
    Test = self(),
    Handler = fun(Packets) -> Test ! {batch, length(Packets)}, receive_go() end,
    listening(#{handler => Handler, batch_packets => 7}, fun(Listener, Port) ->
        [Worker] = hep_net:workers(Listener),
        hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 16)]),
        Sizes = batches(16, Worker),
        ?assertEqual(16, lists:sum(Sizes)),
        ?assert(lists:max(Sizes) =< 7)
    end).

%% A packet after a pause is not delayed; the following ones are collected.
max_delay_test() ->
    Test = self(),
    Handler = fun(Packets) -> Test ! {batch, [number(Hep) || {Hep, _} <- Packets]} end,
    listening(#{handler => Handler, max_delay => 1000}, fun(_, Port) ->
        Start = erlang:monotonic_time(millisecond),
        hep_net:udp(Port, [packet(0)]),
        receive {batch, First} -> ?assertEqual([0], First) end,
        ?assert(erlang:monotonic_time(millisecond) - Start < 1000),
        [hep_net:udp(Port, [packet(N)]) || N <- lists:seq(1, 100)],
        Batches = collected(100),
        ?assertEqual(lists:seq(1, 100), lists:append(Batches)),
        %% One by one at first, then in batches.
        ?assert(length(Batches) < 50)
    end).

collected(Left) when Left =< 0 -> [];
collected(Left) -> receive {batch, Numbers} -> [Numbers | collected(Left - length(Numbers))] end.

no_delay_test() ->
    Test = self(),
    Handler = fun(Packets) -> Test ! {batch, [number(Hep) || {Hep, _} <- Packets]} end,
    listening(#{handler => Handler, max_delay => 0}, fun(_, Port) ->
        hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 1000)]),
        ?assertEqual(lists:seq(1, 1000), lists:append(collected(1000)))
    end).

%% A buffer that is too small for the packets of a pause is read at once, without loss.
small_buffer_test() ->
    Test = self(),
    Handler = fun(Packets) -> Test ! {batch, [number(Hep) || {Hep, _} <- Packets]} end,
    listening(#{handler => Handler, max_delay => 1000, recbuf => 4096}, fun(Listener, Port) ->
        [
            begin
                hep_net:udp(Port, [packet(N)]),
                ?assertEqual([[N]], collected(1))
            end
         || N <- lists:seq(1, 100)
        ],
        ?assertMatch(#{dropped := 0}, hep_listener:info(Listener))
    end).

empty_datagrams_test() ->
    listening(#{}, fun(Listener, Port) ->
        hep_net:udp(Port, [<<>>, packet(1), <<>>]),
        [_] = take(1),
        until(fun() -> maps:get(received, hep_listener:info(Listener)) =:= 3 end),
        #{rejected := Rejected} = hep_listener:info(Listener),
        ?assertEqual(2, lists:sum(maps:values(Rejected)))
    end).

receive_go() ->
    receive go -> ok end.

batches(0, _) ->
    [];
batches(Left, Worker) ->
    receive {batch, Size} -> Worker ! go, [Size | batches(Left - Size, Worker)] end.

%% The senders are distributed among the processes, without loss.
shards_test_() ->
    {timeout, 120, fun() ->
        Test = self(),
        Handler = fun(Packets) -> Test ! {self(), length(Packets)} end,
        listening(#{shards => 4, handler => Handler}, fun(Listener, Port) ->
            ?assertEqual(4, length(hep_net:workers(Listener))),
            ?assertMatch(#{shards := 4}, hep_listener:info(Listener)),
            [hep_net:udp(Port, [packet(N)]) || N <- lists:seq(1, 64)],
            until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 64 end),
            Pids = receivers(64),
            ?assert(length(lists:usort(Pids)) > 1),
            ?assertEqual([], Pids -- (lists:append(lists:duplicate(64, hep_net:workers(Listener)))))
        end)
    end}.

receivers(0) -> [];
receivers(Left) -> receive {Pid, Count} -> [Pid | receivers(Left - Count)] end.

%% The next process reads the datagrams that the kernel holds.
worker_ends_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        listening(#{handler => waiting_handler()}, fun(Listener, Port) ->
            First = first(Port),
            %% More than one batch.
            hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 250)]),
            exit(First, reason),
            First ! go,
            ?assertEqual(lists:seq(1, 250), numbers(250)),
            ?assertMatch([Second] when Second =/= First, hep_net:workers(Listener)),
            ?assertMatch(#{received := 251, decoded := 251, dropped := 0}, hep_listener:info(Listener))
        end)
    end}).

%% After a kill only the current batch is lost.
worker_killed_test_() ->
    hep_net:quietly({timeout, 120, fun() ->
        [
            listening(#{handler => waiting_handler(), shards => Shards}, fun(Listener, Port) ->
                First = first(Port),
                hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 10)]),
                exit(First, kill),
                ?assertEqual(lists:seq(1, 10), numbers(10)),
                ?assertEqual(Port, hep_listener:port(Listener)),
                ?assertEqual(Shards, length(hep_net:workers(Listener))),
                ?assertMatch(#{dropped := 0}, hep_listener:info(Listener))
            end)
         || Shards <- [1, 3]
        ]
    end}).

%% Reports the numbers of its packets, and waits at number 0 until it may continue.
waiting_handler() ->
    Test = self(),
    fun(Packets) ->
        Test ! {self(), [number(Hep) || {Hep, _} <- Packets]},
        number(element(1, hd(Packets))) =:= 0 andalso receive_go()
    end.

%% The process that waits at packet 0.
first(Port) ->
    hep_net:udp(Port, [packet(0)]),
    receive {Pid, [0]} -> Pid end.

numbers(0) -> [];
numbers(Left) -> receive {_, Numbers} -> Numbers ++ numbers(Left - length(Numbers)) after 10000 -> [] end.

%% A process under full load replies to sys, and can be stopped.
system_messages_test_() ->
    {timeout, 120, fun() ->
        listening(#{handler => fun(_) -> ok end}, fun(Listener, Port) ->
            [Worker] = hep_net:workers(Listener),
            Sender = flood(Port),
            until(fun() -> maps:get(decoded, hep_listener:info(Listener)) > 1000 end),
            [?assertEqual(state, element(1, sys:get_state(Worker, 5000))) || _ <- lists:seq(1, 20)],
            ok = sys:suspend(Worker),
            ok = sys:resume(Worker),
            {message_queue_len, Waiting} = process_info(Worker, message_queue_len),
            %% Datagrams wait in the kernel.
            ?assert(Waiting < 5),
            unlink(Sender),
            exit(Sender, kill)
        end)
    end}.

flood(Port) ->
    Packet = packet(1),
    spawn_link(fun() ->
        {ok, Socket} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
        flood(Socket, Port, Packet)
    end).

flood(Socket, Port, Packet) ->
    _ = gen_udp:send(Socket, {127, 0, 0, 1}, Port, Packet),
    flood(Socket, Port, Packet).
