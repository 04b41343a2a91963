%% @doc The UDP sockets of a listener: what they read, and that they leave nothing open.
-module(hep_listener_socket_tests).

-include_lib("eunit/include/eunit.hrl").

-define(DEADLINE, 10_000).
-define(ALL, 1 bsl 20).
-define(GROUP, {239, 255, 90, 60}).

socket_test_() ->
    hep_net:patiently([
        fun families/0,
        fun both_families/0,
        fun largest/0,
        fun empty/0,
        fun limits/0,
        fun own_binaries/0,
        fun waiting/0,
        fun shards/0,
        fun port_in_use/0,
        fun shared_port/0,
        fun drops/0,
        fun new_drops/0,
        fun bad_descriptors/0
    ]).

multicast_test_() ->
    hep_net:patiently([fun multicast/0, fun other_groups/0, fun bad_group/0]).

lifetime_test_() ->
    hep_net:patiently([
        fun reopened/0,
        fun closed_while_read/0,
        fun owner_killed/0,
        fun owner_killed_while_read/0,
        fun reader_killed_while_waiting/0,
        fun collected/0,
        fun two_readers/0
    ]).

%%% Reading

families() ->
    [
        with([#{ip => hep_net:loopback(Family)}], fun([[Socket]], [Port]) ->
            Source = hep_net:udp(Family, Port, [<<"one">>, <<"two">>]),
            Ip = hep_net:loopback(Family),
            ?assertEqual(
                {all, [{{Ip, Source}, <<"one">>}, {{Ip, Source}, <<"two">>}]},
                hep_listener_socket:read(Socket, 100, ?ALL)
            ),
            ?assertEqual({all, []}, hep_listener_socket:read(Socket, 100, ?ALL))
        end)
     || Family <- [inet, inet6]
    ].

%% The senders on IPv4 have IPv4 addresses, also on a socket of both families.
both_families() ->
    with([#{ip => {0, 0, 0, 0, 0, 0, 0, 0}}], fun([[Socket]], [Port]) ->
        [
            begin
                Source = hep_net:udp(Family, Port, [<<"it">>]),
                ?assertEqual([{{hep_net:loopback(Family), Source}, <<"it">>}], take(1, Socket))
            end
         || Family <- [inet, inet6]
        ]
    end),
    with([#{ip => {0, 0, 0, 0, 0, 16#ffff, 16#7f00, 1}}], fun([[Socket]], [Port]) ->
        Source = hep_net:udp(inet, Port, [<<"it">>]),
        ?assertEqual([{{{127, 0, 0, 1}, Source}, <<"it">>}], take(1, Socket))
    end).

largest() ->
    [
        with([#{ip => hep_net:loopback(Family)}], fun([[Socket]], [Port]) ->
            Bytes = crypto:strong_rand_bytes(Largest),
            _ = hep_net:udp(Family, Port, [Bytes, <<"small">>]),
            ?assertMatch([{_, Bytes}, {_, <<"small">>}], take(2, Socket))
        end)
     || {Family, Largest} <- [{inet, 65_507}, {inet6, 65_527}]
    ].

%% They are read: the socket is no longer ready.
empty() ->
    with([#{}], fun([[Socket]], [Port]) ->
        _ = hep_net:udp(Port, [<<>>, <<"a">>, <<>>]),
        ?assertEqual(ready, hep_listener_socket:wait(Socket)),
        ?assertMatch([{_, <<>>}, {_, <<"a">>}, {_, <<>>}], take(3, Socket)),
        ?assertMatch({wait, _}, hep_listener_socket:wait(Socket))
    end).

limits() ->
    with([#{}], fun([[Socket]], [Port]) ->
        Numbers = lists:seq(1, 600),
        _ = hep_net:udp(Port, [<<Number:16>> || Number <- Numbers]),
        {more, One} = hep_listener_socket:read(Socket, 1, ?ALL),
        {more, Some} = hep_listener_socket:read(Socket, 99, ?ALL),
        %% Room for two datagrams of the maximum size.
        {more, Two} = hep_listener_socket:read(Socket, 99, 3 * 65_536 - 1 - 65_536),
        %% The maximum of one call.
        {more, Most} = hep_listener_socket:read(Socket, 10_000, 1 bsl 40),
        {all, Rest} = all(hep_listener_socket:read(Socket, 10_000, ?ALL), Socket),
        ?assertEqual([1, 99, 256], [length(Read) || Read <- [One, Some, Most]]),
        ?assertEqual(
            Numbers, [Number || {_, <<Number:16>>} <- lists:append([One, Some, Two, Most, Rest])]
        )
    end).

all({more, Read}, Socket) ->
    {all, Others} = all(hep_listener_socket:read(Socket, 10_000, ?ALL), Socket),
    {all, Read ++ Others};
all({all, Read}, _) ->
    {all, Read}.

%% A kept datagram keeps no other one in memory.
own_binaries() ->
    with([#{}], fun([[Socket]], [Port]) ->
        _ = hep_net:udp(Port, [binary:copy(<<"x">>, Size) || Size <- [0, 1, 64, 65, 700, 65_507]]),
        %% Since OTP 27, a binary of up to 64 bytes may lie on the heap of its process, and references nothing.
        Large = [Bytes || {_, Bytes} <- take(6, Socket), byte_size(Bytes) > 64],
        ?assertEqual([65, 700, 65_507], [binary:referenced_byte_size(Bytes) || Bytes <- Large])
    end).

waiting() ->
    with([#{}], fun([[Socket]], [Port]) ->
        {wait, Wait} = hep_listener_socket:wait(Socket),
        ?assertEqual(other, hep_listener_socket:awaited(hello, {Wait, Socket})),
        _ = hep_net:udp(Port, [<<"it">>]),
        receive
            {'$socket', _, _, Wait} = Message ->
                ?assertEqual(other, hep_listener_socket:awaited(Message, {make_ref(), Socket})),
                ?assertEqual(ready, hep_listener_socket:awaited(Message, {Wait, Socket}))
        after ?DEADLINE -> erlang:error(nothing)
        end,
        ?assertEqual(ready, hep_listener_socket:wait(Socket)),
        ?assertMatch([{_, <<"it">>}], take(1, Socket))
    end).

%%% Ports

shards() ->
    with([#{shards => 3}], fun([Sockets], [Port]) ->
        ?assertEqual(3, length(Sockets)),
        [hep_net:udp(Port, [<<Number>>]) || Number <- lists:seq(1, 60)],
        Read = [[Number || {_, <<Number>>} <- element(2, hep_listener_socket:read(Socket, 100, ?ALL))] || Socket <- Sockets],
        ?assertEqual(lists:seq(1, 60), lists:sort(lists:append(Read))),
        %% The system distributes the senders.
        ?assert(length([Some || [_ | _] = Some <- Read]) > 1)
    end).

port_in_use() ->
    [
        with([#{shards => First}], fun(_, [Port]) ->
            ?assertEqual({error, eaddrinuse}, open(#{port => Port, shards => Second})),
            ?assertEqual({error, eaddrinuse}, open(#{port => Port, shards => Second, shared_port => true}, First))
        end)
     || First <- [1, 2], Second <- [1, 2]
    ].

%% Several shards need a shared port, so a listener cannot refuse others that ask for it.
open(#{shared_port := true}, Shards) when Shards > 1 -> {error, eaddrinuse};
open(Options, _) -> open(Options).

shared_port() ->
    with([#{shared_port => true}], fun(_, [Port]) ->
        ?assertEqual({error, eaddrinuse}, open(#{port => Port})),
        {ok, [Second], Port} = open(#{port => Port, shared_port => true}),
        ok = hep_listener_socket:close(Second)
    end).

%%% What the system tells

drops() ->
    with([#{recbuf => 4096}], fun([[Socket]], [Port]) ->
        Sent = 1000,
        _ = hep_net:udp(Port, [<<0:5000/unit:8>> || _ <- lists:seq(1, Sent)]),
        {all, Read} = all(hep_listener_socket:read(Socket, 10_000, ?ALL), Socket),
        ?assert(is_integer(hep_listener_socket:recbuf(Socket))),
        case os:type() of
            {unix, linux} -> ?assertEqual(Sent - length(Read), hep_listener_socket:drops(Socket));
            _ -> ?assertEqual(undefined, hep_listener_socket:drops(Socket))
        end
    end).

new_drops() ->
    ?assertEqual(2, hep_listener_socket:new_drops(3, 5)),
    ?assertEqual(3, hep_listener_socket:new_drops(16#ffffffff, 2)),
    ?assertEqual(0, hep_listener_socket:new_drops(undefined, 5)).

bad_descriptors() ->
    ?assertEqual({error, einval}, hep_nif:udp_attach(-1)),
    ?assertMatch({error, {errno, _}}, hep_nif:udp_attach(16#7fffffff)),
    {ok, Tcp} = gen_tcp:listen(0, []),
    ?assertError(badarg, hep_nif:udp_attach(Tcp)),
    ?assertError(badarg, hep_nif:udp_read(make_ref(), 1, 1)),
    ?assertError(badarg, hep_nif:udp_close(make_ref())),
    ok = gen_tcp:close(Tcp).

%%% Multicast, on the loopback

multicast() ->
    Group = {?GROUP, {127, 0, 0, 1}},
    with([#{ip => {0, 0, 0, 0}, shards => 2, multicast => [Group]}], fun([Sockets], [Port]) ->
        send_to_group(?GROUP, Port, <<"all">>),
        %% Once, not once in each shard.
        Read = [Bytes || Socket <- Sockets, {_, Bytes} <- element(2, hep_listener_socket:read(Socket, 9, ?ALL))],
        ?assertEqual([<<"all">>], Read)
    end).

%% A group that another socket of the system has joined.
other_groups() ->
    Joined = #{ip => {0, 0, 0, 0}, multicast => [{?GROUP, {127, 0, 0, 1}}], shared_port => true},
    with([Joined], fun([[Member]], [Port]) ->
        {ok, [Other], Port} = open((maps:remove(multicast, Joined))#{port => Port}),
        send_to_group(?GROUP, Port, <<"all">>),
        ?assertMatch([{_, <<"all">>}], take(1, Member)),
        ?assertEqual({all, []}, hep_listener_socket:read(Other, 9, ?ALL)),
        ok = hep_listener_socket:close(Other)
    end).

bad_group() ->
    Before = descriptors(),
    ?assertMatch({error, {multicast, {127, 0, 0, 1}, _}}, open(#{multicast => [{127, 0, 0, 1}]})),
    ?assertEqual(Before, descriptors()).

send_to_group(Group, Port, Bytes) ->
    {ok, Sender} = gen_udp:open(0, [binary, {multicast_if, {127, 0, 0, 1}}, {multicast_loop, true}]),
    ok = gen_udp:send(Sender, Group, Port, Bytes),
    ok = gen_udp:close(Sender).

%%% Lifetime

reopened() ->
    {ok, [First], Port} = open(#{}),
    ok = hep_listener_socket:close(First),
    Before = descriptors(),
    [
        begin
            {ok, Sockets, Port} = open(#{port => Port, shards => 1 + Time rem 2}),
            _ = [hep_listener_socket:wait(Socket) || Socket <- Sockets, Time rem 3 =:= 0],
            lists:foreach(fun hep_listener_socket:close/1, Sockets)
        end
     || Time <- lists:seq(1, 1000)
    ],
    %% The next test runs in the same process.
    _ = [receive {'$socket', _, _, _} -> ok after 0 -> ok end || _ <- lists:seq(1, 1000)],
    ?assertEqual(Before, descriptors()).

closed_while_read() ->
    with([#{}], fun([[Socket]], [Port]) ->
        {_, Monitor} = spawn_monitor(fun() -> exit(read_until_error(Socket)) end),
        _ = hep_net:udp(Port, [<<"it">> || _ <- lists:seq(1, 1000)]),
        ok = hep_listener_socket:close(Socket),
        receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual({error, closed}, Reason) end,
        ?assertEqual({error, closed}, hep_listener_socket:wait(Socket)),
        %% Closing again is harmless.
        ok = hep_listener_socket:close(Socket)
    end).

read_until_error(Socket) ->
    case hep_listener_socket:read(Socket, 10, ?ALL) of
        {error, _} = Error -> Error;
        _ -> read_until_error(Socket)
    end.

owner_killed() ->
    {ok, [First], Port} = open(#{}),
    ok = hep_listener_socket:close(First),
    Before = descriptors(),
    [
        begin
            {Owner, [Socket], Port} = owner(#{port => Port}),
            _ = [hep_listener_socket:wait(Socket) || Time rem 2 =:= 0],
            kill(Owner),
            ?assertEqual({error, closed}, hep_listener_socket:read(Socket, 1, 1)),
            hep_net:until(fun() -> is_free(Port) end)
        end
     || Time <- lists:seq(1, 200)
    ],
    _ = [receive {'$socket', _, _, _} -> ok after 0 -> ok end || _ <- lists:seq(1, 200)],
    hep_net:until(fun() -> descriptors() =:= Before end, fun() -> {Before, descriptors()} end).

owner_killed_while_read() ->
    {Owner, [Socket], Port} = owner(#{}),
    {_, Monitor} = spawn_monitor(fun() -> exit(read_until_error(Socket)) end),
    _ = hep_net:udp(Port, [<<"it">> || _ <- lists:seq(1, 1000)]),
    kill(Owner),
    receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual({error, closed}, Reason) end,
    hep_net:until(fun() -> is_free(Port) end).

%% The next waiting process reads.
reader_killed_while_waiting() ->
    with([#{}], fun([[Socket]], [Port]) ->
        Test = self(),
        Reader = spawn(fun() -> Test ! hep_listener_socket:wait(Socket), receive stop -> ok end end),
        receive {wait, _} -> kill(Reader) end,
        {wait, Wait} = hep_listener_socket:wait(Socket),
        _ = hep_net:udp(Port, [<<"it">>]),
        receive {'$socket', _, _, Wait} = Message -> ?assertEqual(ready, hep_listener_socket:awaited(Message, {Wait, Socket})) end,
        ?assertMatch([{_, <<"it">>}], take(1, Socket))
    end).

%% The duplicate is closed with the last reference to it.
collected() ->
    with([#{}], fun([[_]], [_]) ->
        {ok, Other} = socket:open(inet, dgram, udp),
        ok = socket:bind(Other, #{family => inet, addr => {127, 0, 0, 1}, port => 0}),
        {ok, Descriptor} = socket:getopt(Other, {otp, fd}),
        Before = descriptors(),
        [{ok, _} = hep_nif:udp_attach(Descriptor) || _ <- lists:seq(1, 20)],
        hep_net:until(fun() ->
            erlang:garbage_collect(),
            descriptors() =:= Before
        end),
        ok = socket:close(Other)
    end).

two_readers() ->
    with([#{}], fun([[Socket]], [Port]) ->
        Numbers = lists:seq(1, 2000),
        _ = hep_net:udp(Port, [<<Number:16>> || Number <- Numbers]),
        Readers = [spawn_monitor(fun() -> exit({read, read_all(Socket)}) end) || _ <- [1, 2]],
        Read = [receive {'DOWN', Monitor, process, _, {read, Some}} -> Some end || {_, Monitor} <- Readers],
        ?assertEqual(Numbers, lists:sort([Number || {_, <<Number:16>>} <- lists:append(Read)]))
    end).

read_all(Socket) ->
    case hep_listener_socket:read(Socket, 3, ?ALL) of
        {more, Read} -> Read ++ read_all(Socket);
        {all, Read} -> Read
    end.

%%% Helpers

%% Calls the function with a socket for each options, and their ports.
with(AllOptions, Test) ->
    Opened = [open(Options) || Options <- AllOptions],
    Sockets = [Some || {ok, Some, _} <- Opened],
    try
        Test(Sockets, [Port || {ok, _, Port} <- Opened])
    after
        [hep_listener_socket:close(Socket) || Some <- Sockets, Socket <- Some]
    end.

open(Options) ->
    Defaults = #{ip => {127, 0, 0, 1}, port => 0, shards => 1, recbuf => 4 bsl 20},
    hep_listener_socket:open(maps:merge(Defaults, Options)).

%% Reads this many, which may still be on their way.
take(Count, Socket) ->
    {_, Read} = hep_listener_socket:read(Socket, Count, ?ALL),
    case length(Read) of
        Count -> Read;
        Less -> Read ++ take(Count - Less, Socket)
    end.

%% A process that opens sockets and keeps them until it is killed.
owner(Options) ->
    Test = self(),
    Owner = spawn(fun() ->
        Test ! {self(), open(Options)},
        receive stop -> ok end
    end),
    receive {Owner, {ok, Sockets, Port}} -> {Owner, Sockets, Port} end.

kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, killed} -> ok end.

is_free(Port) ->
    case open(#{port => Port}) of
        {ok, [Socket], Port} -> ok =:= hep_listener_socket:close(Socket);
        {error, eaddrinuse} -> false
    end.

%% Open descriptors of the VM, where the system lists them.
descriptors() ->
    case file:list_dir("/proc/self/fd") of
        {ok, Names} -> length(Names);
        {error, _} -> unknown
    end.
