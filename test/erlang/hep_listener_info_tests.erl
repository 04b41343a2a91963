%% @doc What the handler of a hep_listener gets in each view, the counters, and the events.
-module(hep_listener_info_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/1, until/2, packet/1, take/1]).
-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%%% Views

%% Every fixture, compared with the result of the function for each view.
views_test_() ->
    {setup, fun datagrams/0, fun(_) -> ok end, fun(Datagrams) ->
        [
            {lists:flatten(io_lib:format("~p ~p ~p", [Transport, View, Decode])),
                {timeout, 120, fun() ->
                    Packets = [Bytes || Bytes <- Datagrams, is_carried(Transport, Bytes), is_ok(Read(Bytes))],
                    view(#{transport => Transport, view => View, decode => Decode}, Packets, Read)
                end}}
         || Transport <- [udp, tcp],
            {View, Decode, Read} <- [
                {decode, #{}, fun hep:decode/1},
                {decode, #{capture_id => repair, header_length => ignore}, fun(Bytes) ->
                    hep:decode(Bytes, #{capture_id => repair, header_length => ignore})
                end},
                {parse, #{}, fun hep_multi_parser:parse/1},
                {transform, #{}, fun(Bytes) -> transformed([], Bytes) end},
                {{transform, [hep_js_transform]}, #{}, fun(Bytes) -> transformed([hep_js_transform], Bytes) end},
                {json, #{}, fun(Bytes) -> hep_json:from_packet(Bytes, #{}) end},
                {json, #{v2_order => little}, fun(Bytes) -> hep_json:from_packet(Bytes, #{v2_order => little}) end},
                {raw, #{}, fun raw/1}
            ]
        ]
    end}.

view(#{transport := Transport, view := View} = Options, Packets, Read) ->
    Count = length(Packets),
    ?assert(Count > 10),
    listening(Options, fun(Listener, Port) ->
        Got = lists:append([sent(Transport, Port, Some) || Some <- tens(Packets)]),
        lists:foreach(
            fun({Bytes, {Packet, #{size := Size}}}) ->
                ?assertEqual({ok, Packet}, Read(Bytes)),
                ?assertEqual(byte_size(Bytes), Size)
            end,
            lists:zip(Packets, Got)
        ),
        Info = hep_listener:info(Listener),
        ?assertMatch(#{view := View, decoded := Count, received := Count, rejected := None} when None =:= #{}, Info)
    end).

%% Fixtures that do not depend on the time.
datagrams() ->
    [
        Bytes
     || Entry <- hep_fixtures:entries(datagram),
        Bytes <- [hep_fixtures:bytes(Entry)],
        <<Version, _/binary>> <- [hep_fixtures:unpacked(Bytes)],
        Version =/= 1
    ].

%% A stream can carry packets with a length only.
is_carried(udp, <<_:4/binary, Length:16, Rest/binary>>) when Length - 6 < byte_size(Rest), Length >= 6 ->
    %% A datagram of one packet.
    binary:match(binary:part(Rest, Length - 6, byte_size(Rest) - Length + 6), [<<"HEP3">>, <<"EEP3">>]) =:= nomatch;
is_carried(udp, _) -> true;
is_carried(tcp, <<_:4/binary, Length:16, _/binary>> = Bytes) -> byte_size(Bytes) =:= Length;
is_carried(tcp, _) -> false.

is_ok(Result) -> element(1, Result) =:= ok.

transformed(Modules, Bytes) ->
    case hep_multi_parser:parse(Bytes) of
        {ok, State} -> {ok, hep_transform:transform(Modules, State)};
        Error -> Error
    end.

%% The bytes, or the packet in a gzip member, which may have other bytes after it.
raw(Bytes) ->
    case {hep_multi_parser:parse(Bytes), hep_nif:unpack(Bytes)} of
        {{ok, _}, {ok, Packet, _}} -> {ok, Packet};
        {{ok, _}, _} -> {ok, Bytes};
        {Error, _} -> Error
    end.

raw_invalid_test() ->
    listening(#{view => raw}, fun(Listener, Port) ->
        hep_net:udp(Port, [hep_packets:v1(ipv4, 99), <<"garbage">>, packet(1)]),
        Packet = packet(1),
        ?assertMatch([{Packet, _}], take(1)),
        ?assertMatch(#{rejected := #{not_hep := 1, invalid_header_length := 1}, decoded := 1}, hep_listener:info(Listener))
    end).

sent(udp, Port, Packets) ->
    hep_net:udp(Port, Packets),
    take(length(Packets));
sent(tcp, Port, Packets) ->
    Socket = hep_net:tcp(Port),
    ok = hep_net:send(Socket, Packets),
    Got = take(length(Packets)),
    hep_net:close(Socket),
    Got.

tens(List) when length(List) =< 10 -> [List];
tens(List) ->
    {Ten, Rest} = lists:split(10, List),
    [Ten | tens(Rest)].

%%% Keys

auth_keys_test_() ->
    Right = [
        frame([chunk(14, <<"secret">>), chunk(15, <<"a">>)]),
        frame([chunk(15, <<"b">>), chunk(14, <<"other">>)]),
        frame([chunk(14, <<"wrong">>), chunk(14, <<"secret">>), chunk(15, <<"c">>)]),
        frame([chunk(14, <<"secret">>), chunk(14, <<>>), chunk(15, <<"d">>)])
    ],
    Wrong = [
        frame([chunk(15, <<"none">>)]),
        frame([chunk(14, <<>>)]),
        frame([chunk(14, <<"secre">>)]),
        frame([chunk(14, <<"secret2">>)]),
        frame([chunk(14, <<"Secret">>)]),
        frame([chunk(14, <<"secret">>), chunk(14, <<"wrong">>)]),
        frame([chunk(1, 14, <<"secret">>)]),
        hep_packets:v1(ipv4, 16),
        hep_packets:v2(ipv4, 28, <<1:32, 1:32, 1:16, 0:16>>)
    ],
    [
        {lists:flatten(io_lib:format("~p", [View])), fun() ->
            listening(#{view => View, auth_keys => [<<"secret">>, <<"other">>]}, fun(Listener, Port) ->
                hep_net:udp(Port, Wrong ++ Right),
                ?assertEqual(4, length(take(4))),
                [receive {hep_error, Listener, unauthenticated, {Bytes, _}} -> ok end || Bytes <- Wrong],
                ?assertEqual([], hep_net:flushed()),
                ?assertMatch(
                    #{received := 13, decoded := 4, unauthenticated := 9, rejected := R} when R =:= #{},
                    hep_listener:info(Listener)
                )
            end)
        end}
     || View <- [decode, parse, transform, json, raw]
    ].

%%% Counters

%% One packet of each kind, and the sum.
counted_test_() ->
    [{atom_to_list(View), fun() -> counted(View) end} || View <- [decode, json]].

counted(View) ->
    Packets = [
        hep_packets:v1(ipv4, 16),
        hep_packets:v2(ipv4, 28, <<1:32, 1:32, 1:16, 0:16>>),
        hep_packets:v2(ipv6, 52, <<1:32, 1:32, 1:16, 0:16>>),
        frame([]),
        frame([chunk(11, <<1>>)]),
        frame([chunk(11, <<5>>)]),
        frame([chunk(11, <<16>>)]),
        frame([chunk(11, <<10>>)]),
        frame([chunk(11, <<0>>)]),
        frame([chunk(11, <<255>>)])
    ],
    Wrong = [
        {<<>>, not_hep},
        {<<"INVITE">>, not_hep},
        {<<"HEP3", 5:16>>, invalid_total_length},
        {<<"HEP3", 100:16>>, truncated},
        {hep_packets:v1(ipv4, 99), invalid_header_length},
        {<<1, 16, 77, 17, 0:96>>, unknown_protocol_family},
        {frame([<<0, 0, 1>>]), truncated_chunk},
        {frame([<<0:16, 1:16, 5:16, 0>>]), invalid_chunk_length},
        {frame([chunk(7, <<1>>)]), invalid_chunk}
    ],
    [?assertEqual({Bytes, Reason}, {Bytes, name(hep:decode(Bytes))}) || {Bytes, Reason} <- Wrong],
    listening(#{view => View}, fun(Listener, Port) ->
        hep_net:udp(Port, Packets ++ [Bytes || {Bytes, _} <- Wrong]),
        ?assertEqual(10, length(take(10))),
        [receive {hep_error, Listener, _, {Bytes, _}} -> ok end || {Bytes, _} <- Wrong],
        Info = hep_listener:info(Listener),
        Sum = iolist_size(Packets) + iolist_size([Bytes || {Bytes, _} <- Wrong]),
        ?assertMatch(
            #{
                transport := udp, ip := {127, 0, 0, 1}, port := Port, view := View, shards := 1,
                received := 19, bytes := Sum, decoded := 10, unauthenticated := 0, dropped := 0,
                versions := #{1 := 1, 2 := 2, 3 := 7},
                handler_crashes := 0, handler_lost := 0, resyncs := 0, skipped_bytes := 0
            },
            Info
        ),
        #{payload_types := Types, rejected := Rejected, recbuf := Recbuf} = Info,
        ?assertEqual(#{sip => 5, rtcp => 1, iax => 2, 255 => 1, hep_registry:payload_type_name(0) => 1}, Types),
        ?assertEqual(
            #{
                not_hep => 2, invalid_total_length => 1, truncated => 1, invalid_header_length => 1,
                unknown_protocol_family => 1, truncated_chunk => 1, invalid_chunk_length => 1, invalid_chunk => 1
            },
            Rejected
        ),
        ?assert(Recbuf > 0)
    end).

name({error, Reason}) when is_tuple(Reason) -> element(1, Reason);
name({error, Reason}) -> Reason.

%% Of two payload type chunks, the same one counts in each view.
payload_type_twice_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [View])), fun() ->
            listening(#{view => View}, fun(Listener, Port) ->
                hep_net:udp(Port, [
                    frame([chunk(11, <<1>>), chunk(11, <<5>>)]),
                    frame([chunk(11, <<16>>), chunk(11, <<>>)]),
                    frame([chunk(11, <<1>>), chunk(8, 11, <<2>>)])
                ]),
                [_, _, _] = take(3),
                #{payload_types := Types} = hep_listener:info(Listener),
                ?assertEqual(lists:sort([rtcp, sip, hep_registry:payload_type_name(16)]), lists:sort(maps:keys(Types)))
            end)
        end}
     || View <- [decode, parse, transform, {transform, [hep_js_transform]}, json, raw]
    ].

%% Exactly the documented keys, for each transport.
names_test_() ->
    Always = [
        transport, ip, port, view, received, bytes, decoded, versions, payload_types, rejected, unauthenticated, accepted,
        refused, handshakes_failed, idle_closed, accept_errors, resyncs, skipped_bytes, handler_crashes, handler_lost,
        errors_closed, proxy_failed, trailing, trailing_bytes, keepalives, cut, duplicates, filtered
    ],
    [
        ?_assertEqual(
            lists:sort(Own ++ Always),
            listening(#{transport => Transport}, fun(Listener, _) -> lists:sort(maps:keys(hep_listener:info(Listener))) end)
        )
     || {Transport, Own} <- [{udp, [shards, recbuf, dropped]}, {tcp, [connections, handshakes]}]
    ].

recbuf_test() ->
    [Small, Large] = [
        listening(#{recbuf => Size}, fun(Listener, _) -> maps:get(recbuf, hep_listener:info(Listener)) end)
     || Size <- [8192, 131072]
    ],
    ?assert(Small >= 8192),
    ?assert(Large > Small),
    %% The system grants its maximum.
    listening(#{recbuf => 16#7fffffff}, fun(_, Port) ->
        hep_net:udp(Port, [packet(1)]),
        ?assertMatch([_], take(1))
    end).

%%% Drops

%% A sleeping handler: packets that do not fit into the buffer are counted, and no message waits in the process.
drops_test_() ->
    case filelib:is_regular("/proc/net/udp") of
        true -> [{atom_to_list(Family), hep_net:quietly({timeout, 120, fun() -> drops(Family) end})} || Family <- [inet, inet6]];
        false -> []
    end.

drops(Family) ->
    Sent = 2000,
    Handler = fun sleeping/1,
    listening(#{ip => hep_net:loopback(Family), recbuf => 4096, handler => Handler, batch_packets => 5}, fun(Listener, Port) ->
        [Worker] = hep_net:workers(Listener),
        hep_net:udp(Family, Port, [packet(N) || N <- lists:seq(1, Sent)]),
        %% All other packets wait in the kernel.
        ?assertEqual({messages, []}, process_info(Worker, messages)),
        ?assert(maps:get(dropped, hep_listener:info(Listener)) > 0),
        until(
            fun() ->
                Worker ! go,
                #{received := Received, dropped := Dropped} = hep_listener:info(Listener),
                Received + Dropped =:= Sent
            end,
            fun() -> hep_listener:info(Listener) end
        ),
        Worker ! free
    end).

%% Sleeps until a message says to continue, or to stop sleeping.
sleeping(_) ->
    get(free) =:= true orelse receive go -> ok; free -> put(free, true) end.

%%% Events

%% With a module of that name, as a user has it.
telemetry_test_() ->
    {setup,
        fun() ->
            false = code:is_loaded(telemetry),
            {module, telemetry} = code:load_binary(telemetry, "telemetry.erl", telemetry())
        end,
        fun(_) ->
            _ = code:purge(telemetry),
            true = code:delete(telemetry),
            _ = code:purge(telemetry)
        end,
        hep_net:quietly([
            {"UDP", fun udp_events/0},
            {"TCP", fun tcp_events/0},
            {"TLS", fun tls_events/0},
            {"stats", fun stats_events/0},
            {"drops", {timeout, 120, fun drop_events/0}}
        ])}.

%% Sends each event to the registered process.
telemetry() ->
    Lines = [
        "-module(telemetry).",
        "-export([execute/3]).",
        "execute(Event, Measurements, Metadata) ->",
        "    hep_telemetry_tests ! {Event, Measurements, Metadata}, ok."
    ],
    Forms = [
        begin
            {ok, Tokens, _} = erl_scan:string(Form),
            {ok, Parsed} = erl_parse:parse_form(Tokens),
            Parsed
        end
     || Form <- [lists:nth(1, Lines), lists:nth(2, Lines), lists:append(lists:nthtail(2, Lines))]
    ],
    {ok, telemetry, Binary} = compile:forms(Forms),
    Binary.

%% Waits for one of these events; other events may come first.
event(Name, Listener, Transport) ->
    receive
        {[hep, listener, Name], Measurements, #{listener := Listener, transport := Transport} = Metadata} ->
            {Measurements, maps:without([listener, transport], Metadata)}
    after 10000 -> error({no_event, Name})
    end.

registered_for_events(Test) ->
    true = register(hep_telemetry_tests, self()),
    try Test() after unregister(hep_telemetry_tests) end.

udp_events() ->
    registered_for_events(fun() ->
        Crash = fun(Packets) -> length(Packets) =:= 0 orelse error(crash) end,
        listening(#{handler => Crash, auth_keys => [<<"key">>]}, fun(Listener, Port) ->
            Right = frame([chunk(14, <<"key">>)]),
            Source = {{127, 0, 0, 1}, hep_net:udp(Port, [Right])},
            Size = byte_size(Right),
            ?assertEqual({#{received => 1, decoded => 1, filtered => 0, bytes => Size}, #{}}, event(packets, Listener, udp)),
            ?assertEqual({#{lost => 1}, #{}}, event(handler_crashed, Listener, udp)),
            ?assertMatch({_, Port2} when is_integer(Port2), Source),
            Other = {{127, 0, 0, 1}, hep_net:udp(Port, [frame([])])},
            ?assertEqual({#{count => 1}, #{source => Other}}, event(unauthenticated, Listener, udp)),
            Third = {{127, 0, 0, 1}, hep_net:udp(Port, [<<"x">>])},
            ?assertEqual({#{count => 1}, #{source => Third, reason => not_hep}}, event(rejected, Listener, udp))
        end)
    end).

tcp_events() ->
    registered_for_events(fun() ->
        listening(#{transport => tcp, resync => true}, fun(Listener, Port) ->
            Socket = hep_net:tcp(Port),
            ok = hep_net:send(Socket, [<<"garbage">>, packet(1)]),
            ?assertMatch({#{count := 1}, #{source := _, reason := {stream, {0, not_hep}}}}, event(rejected, Listener, tcp)),
            ?assertMatch({#{skipped_bytes := 7}, #{source := _}}, event(resync, Listener, tcp)),
            ?assertMatch({#{decoded := 1}, _}, event(packets, Listener, tcp)),
            hep_net:close(Socket)
        end)
    end).

tls_events() ->
    registered_for_events(fun() ->
        {Server, _} = hep_net:certificates(),
        listening(#{transport => tls, tls => Server}, fun(Listener, Port) ->
            Socket = hep_net:tcp(Port),
            {ok, {Ip, Source}} = inet:sockname(Socket),
            ok = hep_net:send(Socket, packet(1)),
            ?assertMatch({#{count := 1}, #{source := {Ip, Source}, reason := _}}, event(handshake_failed, Listener, tls)),
            hep_net:close(Socket)
        end)
    end).

stats_events() ->
    registered_for_events(fun() ->
        listening(#{}, fun(Listener, Port) ->
            hep_net:udp(Port, [packet(1)]),
            take(1),
            hep_net:child(Listener, reporter) ! report,
            {Measurements, Metadata} = event(stats, Listener, udp),
            Info = maps:without([transport], hep_listener:info(Listener)),
            ?assertEqual(Info, maps:merge(Measurements, Metadata)),
            ?assert(lists:all(fun is_integer/1, maps:values(Measurements))),
            ?assertEqual(
                [ip, payload_types, port, recbuf, rejected, shards, versions, view],
                lists:sort(maps:keys(Metadata)) -- [dropped]
            ),
            ?assertMatch(#{received := 1, decoded := 1}, Measurements)
        end)
    end).

drop_events() ->
    registered_for_events(fun() ->
        listening(#{recbuf => 4096, handler => fun sleeping/1}, fun(Listener, Port) ->
            hep_net:udp(Port, [packet(N) || N <- lists:seq(1, 1000)]),
            hep_net:child(Listener, reporter) ! report,
            case hep_listener:info(Listener) of
                #{dropped := undefined} -> ok;
                #{dropped := Dropped} -> ?assertEqual({#{count => Dropped}, #{}}, event(dropped, Listener, udp))
            end,
            [Worker] = hep_net:workers(Listener),
            Worker ! free
        end)
    end).

%% Without telemetry nothing is called.
no_telemetry_test() ->
    ?assertEqual(false, erlang:function_exported(telemetry, execute, 3)),
    ?assertEqual(ok, hep_telemetry:execute([hep, listener, packets], #{}, #{})).
