%% @doc The option `filter' of the listener: each criterion, over UDP and TCP, in every view; what is counted; functions
%% that crash.
-module(hep_listener_filter_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/2]).

%%% Criteria

%% The packets that pass.
criteria_test_() ->
    [
        {lists:flatten(io_lib:format("~p ~0P", [Transport, Filter, 20])), fun() -> passing(Transport, Filter, Expected) end}
     || {Filter, Expected} <- [
            {#{payload_types => [sip]}, [invite, bye, ok, no_cseq, keep_alive, lower, sctp]},
            {#{payload_types => [1, rtcp, log]}, [invite, bye, ok, no_cseq, keep_alive, lower, sctp, rtcp, log]},
            {#{payload_types => [255]}, []},
            {#{methods => [<<"INVITE">>]}, [invite, ok, rtcp, log]},
            {#{methods => [<<"INVITE">>, <<"BYE">>]}, [invite, bye, ok, sctp, rtcp, log]},
            {#{methods => [<<"invite">>]}, [lower, rtcp, log]},
            {#{methods => [<<"INVITE">>], payload_types => [sip]}, [invite, ok]},
            {#{capture_ids => [7]}, [invite]},
            {#{capture_ids => [0, 16#ffffffff, 7]}, [invite, bye, rtcp]},
            {#{networks => ["10.1.0.0/16"]}, [invite, bye]},
            {#{networks => [<<"10.1.2.3">>]}, [invite]},
            {#{networks => [{10, 1, 2, 3}]}, [invite]},
            {#{networks => [{{10, 1, 2, 3}, 32}]}, [invite]},
            {#{networks => ["172.16.0.0/31"]}, [sctp]},
            {#{networks => ["192.0.2.2/31"]}, [ok]},
            %% Bits after the prefix are ignored.
            {#{networks => ["10.1.255.255/16"]}, [invite, bye]},
            {#{networks => ["0.0.0.0/0"]}, [invite, bye, ok, no_cseq, sctp]},
            {#{networks => ["::/0"]}, [keep_alive, rtcp]},
            {#{networks => ["2001:db8:8000::/33"]}, [rtcp]},
            {#{networks => ["2001:db8::/33"]}, [keep_alive]},
            {#{networks => ["2001:db8::/33", "10.1.2.3"]}, [invite, keep_alive]},
            %% An IPv4 address in an IPv6 address.
            {#{networks => ["198.51.100.0/24"]}, [no_cseq]},
            {#{networks => ["::ffff:198.51.100.9"]}, [no_cseq]},
            {#{function => fun(#hep{node_id = Id}) -> Id =:= 7 end}, [invite]},
            {#{function => fun(_) -> false end}, []},
            {#{payload_types => [sip], networks => ["10.0.0.0/8"], methods => [<<"BYE">>]}, [bye]},
            {#{payload_types => [log], networks => ["10.0.0.0/8"]}, []}
        ],
        Transport <- [udp, tcp]
    ].

passing(Transport, Filter, Expected) ->
    listening(#{transport => Transport, filter => Filter}, fun(Listener, Port) ->
        All = packets(),
        send(Transport, Port, [Hep || {_, Hep} <- All]),
        counted(length(All), Listener),
        #{decoded := Decoded, filtered := Filtered, bytes := Bytes} = Info = hep_listener:info(Listener),
        Payloads = [Hep#hep.payload || Hep <- taken(Decoded)],
        ?assertEqual([Hep#hep.payload || {Name, Hep} <- All, lists:member(Name, Expected)], Payloads),
        ?assertEqual(length(All) - length(Expected), Filtered),
        ?assertEqual(lists:sum([byte_size(encoded(Hep)) || {_, Hep} <- All]), Bytes),
        ?assertMatch(#{rejected := R, handler_crashes := 0} when map_size(R) =:= 0, Info)
    end).

packets() ->
    V4 = fun(Source, Destination) -> #hep{version = 3, src_ip = Source, dst_ip = Destination} end,
    V6 = fun(Group) -> #hep{version = 3, src_ip = {8193, 3512, Group, 0, 0, 0, 0, 1}, dst_ip = {0, 0, 0, 0, 0, 0, 0, 1}} end,
    None = #hep{version = 3},
    [
        {invite, (V4({10, 1, 2, 3}, {192, 0, 2, 1}))#hep{node_id = 7, payload = sip(<<"INVITE sip:b SIP/2.0">>, <<"1 INVITE">>)}},
        {bye, (V4({192, 0, 2, 1}, {10, 1, 9, 9}))#hep{node_id = 0, payload = sip(<<"BYE sip:b SIP/2.0">>, <<"2 BYE">>)}},
        {ok, (V4({192, 0, 2, 1}, {192, 0, 2, 2}))#hep{payload = sip(<<"SIP/2.0 200 OK">>, <<"1 INVITE">>)}},
        {no_cseq, (V4({0, 0, 0, 0, 0, 16#ffff, 16#c633, 16#6409}, {0, 0, 0, 0, 0, 16#ffff, 0, 1}))#hep{
            payload = <<"SIP/2.0 200 OK\r\n\r\n">>
        }},
        {keep_alive, (V6(1))#hep{payload = <<"\r\n\r\n">>}},
        {lower, None#hep{payload = sip(<<"invite sip:b SIP/2.0">>, <<"1 INVITE">>)}},
        %% The method of the request counts.
        {sctp, (V4({172, 16, 0, 1}, {172, 16, 0, 2}))#hep{protocol = 132, payload = sip(<<"BYE sip:b SIP/2.0">>, <<"3 INVITE">>)}},
        {rtcp, (V6(16#8000))#hep{node_id = 16#ffffffff, payload_type = 5, payload = <<128, 200, 0, 0>>}},
        {log, None#hep{payload_type = 100, payload = <<"INVITE sip:b SIP/2.0\r\n\r\n">>}}
    ].

sip(Start, CSeq) -> <<Start/binary, "\r\nCSeq: ", CSeq/binary, "\r\nContent-Length: 0\r\n\r\n">>.

%%% Views

%% The packets in the view are the same as without a filter.
views_test_() ->
    [
        {lists:flatten(io_lib:format("~p ~p ~0p", [Transport, View, Filter])), fun() -> view(Transport, View, Filter) end}
     || Transport <- [udp, tcp],
        View <- [decode, parse, transform, {transform, [hep_generic_transform]}, json, raw],
        Filter <- [#{payload_types => [sip]}, #{methods => [<<"INVITE">>], payload_types => [sip]}]
    ].

view(Transport, View, Filter) ->
    [{_, Invite} | _] = packets(),
    Log = Invite#hep{payload_type = 100},
    Timed = [Hep#hep{timestamp = {1700, 0, 0}} || Hep <- [Log, Invite, Log]],
    Plain = viewed(Transport, #{view => View}, [lists:nth(2, Timed)]),
    ?assertEqual(Plain, viewed(Transport, #{view => View, filter => Filter}, Timed)).

%% The only packet that passes.
viewed(Transport, Options, Packets) ->
    listening(Options#{transport => Transport}, fun(Listener, Port) ->
        send(Transport, Port, Packets),
        counted(length(Packets), Listener),
        ?assertMatch(#{decoded := 1}, hep_listener:info(Listener)),
        [Packet] = taken(1),
        Packet
    end).

%% The method of a compressed payload, in every view.
compressed_test_() ->
    [
        {atom_to_list(View), fun() ->
            listening(#{view => View, filter => #{methods => [<<"INVITE">>]}}, fun(Listener, Port) ->
                Datagrams = [
                    element(2, hep:encode(#hep{version = 3, payload = sip(Start, <<"1 X">>)}, #{compress => zlib}))
                 || Start <- [<<"INVITE sip:b SIP/2.0">>, <<"OPTIONS sip:b SIP/2.0">>]
                ],
                _ = hep_net:udp(Port, Datagrams),
                counted(2, Listener),
                ?assertMatch([_], taken(1)),
                ?assertMatch(#{decoded := 1, filtered := 1}, hep_listener:info(Listener))
            end)
        end}
     || View <- [decode, parse, transform, json, raw]
    ].

%% Invalid packets are errors, not filtered packets, in every view.
invalid_test_() ->
    [
        {atom_to_list(View), fun() ->
            listening(#{view => View, filter => #{capture_ids => [1]}}, fun(Listener, Port) ->
                %% A source address of 5 bytes: only decoding looks at it.
                Wrong = hep_packets:frame([hep_packets:chunk(3, <<10, 0, 0, 0, 1>>)]),
                _ = hep_net:udp(Port, [Wrong, <<"no HEP">>]),
                counted(2, Listener),
                ?assertMatch(#{filtered := 0, decoded := 0, rejected := #{not_hep := 1, invalid_chunk := 1}}, hep_listener:info(Listener))
            end)
        end}
     || View <- [decode, parse, transform, json, raw]
    ].

%% The payload type is compared before decoding.
invalid_of_another_type_test() ->
    listening(#{filter => #{payload_types => [sip], capture_ids => [1]}}, fun(Listener, Port) ->
        Wrong = hep_packets:chunk(3, <<10, 0, 0, 0, 1>>),
        _ = hep_net:udp(Port, [hep_packets:frame([Wrong, hep_packets:chunk(11, <<Type>>)]) || Type <- [100, 1]]),
        counted(2, Listener),
        ?assertMatch(#{filtered := 1, rejected := #{invalid_chunk := 1}}, hep_listener:info(Listener))
    end).

%% The packets of a datagram count one by one, also in a batch without other packets.
several_in_a_datagram_test() ->
    listening(#{filter => #{payload_types => [sip]}}, fun(Listener, Port) ->
        [{_, Invite} | _] = packets(),
        Bytes = iolist_to_binary([encoded(Invite#hep{payload_type = Type}) || Type <- [100, 1, 100, 100]]),
        _ = hep_net:udp(Port, [Bytes, zlib:gzip(Bytes)]),
        counted(8, Listener),
        ?assertMatch([#hep{}, #hep{}], taken(2)),
        ?assertMatch(#{received := 8, decoded := 2, filtered := 6, payload_types := #{sip := 2}}, hep_listener:info(Listener))
    end).

%% The key is checked first.
unauthenticated_test() ->
    listening(#{auth_keys => [<<"key">>], filter => #{payload_types => [sip]}}, fun(Listener, Port) ->
        [{_, Invite} | _] = packets(),
        Log = Invite#hep{payload_type = 100},
        _ = hep_net:udp(Port, [encoded(Invite), encoded(Log), encoded(hep:auth_key(<<"key">>, Log))]),
        counted(3, Listener),
        ?assertMatch(#{unauthenticated := 2, filtered := 1, decoded := 0}, hep_listener:info(Listener))
    end).

%% Filtered packets are not duplicates, in any view.
dedup_test_() ->
    [
        {atom_to_list(View), fun() ->
            Options = #{view => View, dedup => #{agent => any, window => 60000}, filter => #{methods => [<<"INVITE">>]}},
            listening(Options, fun(Listener, Port) ->
                [{_, Invite}, {_, Bye} | _] = packets(),
                _ = hep_net:udp(Port, [encoded(Hep) || Hep <- [Bye, Bye, Invite, Invite]]),
                counted(4, Listener),
                ?assertMatch(#{decoded := 1, filtered := 2, duplicates := 1}, hep_listener:info(Listener))
            end)
        end}
     || View <- [decode, raw]
    ].

%% A filtered packet is valid: the errors before and after it are not added up.
max_errors_test() ->
    Options = #{transport => tcp, max_errors => 1, auth_keys => [<<"key">>], filter => #{payload_types => [sip]}},
    listening(Options, fun(Listener, Port) ->
        [{_, Invite} | _] = packets(),
        Log = hep:auth_key(<<"key">>, Invite#hep{payload_type = 100}),
        send(tcp, Port, [Invite, Log, Invite, Log]),
        counted(4, Listener),
        ?assertMatch(#{unauthenticated := 2, filtered := 2, errors_closed := 0}, hep_listener:info(Listener))
    end).

%% The inflated payloads of filtered packets also count against the budget: a budget for one packet is enough for many.
budget_test_() ->
    {timeout, 60, fun() ->
        listening(#{transport => tcp, inflate_budget => 256 * 1024, filter => #{methods => [<<"INVITE">>]}}, fun(Listener, Port) ->
            Large = sip(<<"OPTIONS sip:b SIP/2.0">>, binary:copy(<<" ">>, 200000)),
            {ok, Bytes} = hep:encode(#hep{version = 3, payload = Large}, #{compress => zlib}),
            Socket = hep_net:tcp(Port),
            ok = gen_tcp:send(Socket, binary:copy(Bytes, 200)),
            counted(200, Listener),
            ?assertMatch(#{filtered := 200, rejected := R} when map_size(R) =:= 0, hep_listener:info(Listener))
        end)
    end}.

%% Whatever the filter inflates is taken from the budget for each packet, in every view, whether the packet passes or
%% not: what is not counted would not be collected.
takes_test_() ->
    [
        {lists:flatten(io_lib:format("~p ~s", [View, Method])), {timeout, 60, fun() -> takes(View, Method) end}}
     || View <- [decode, parse], Method <- [<<"INVITE">>, <<"OPTIONS">>]
    ].

takes(View, Method) ->
    Options = #{transport => tcp, view => View, inflate_budget => 256 * 1024, filter => #{methods => [<<"INVITE">>]}},
    listening(Options, fun(Listener, Port) ->
        Large = sip(<<Method/binary, " sip:b SIP/2.0">>, binary:copy(<<" ">>, 200_000)),
        {ok, Bytes} = hep:encode(#hep{version = 3, payload = Large}, #{compress => zlib}),
        Socket = hep_net:tcp(Port),
        until(fun() -> hep_net:connections(Listener) =/= [] end, fun() -> no_connection end),
        [Connection] = hep_net:connections(Listener),
        Takes = hep_net:calls(Connection, {hep_listener_budget, take, 2}, fun() ->
            ok = gen_tcp:send(Socket, binary:copy(Bytes, 10)),
            counted(10, Listener)
        end),
        ?assertEqual(10, Takes)
    end).

%% The need of the filter is reserved in every view.
need_test_() ->
    Glance = #{version => 3, type => 1, payload => compressed, chunks => 5},
    {ok, Filter} = hep_listener_filter:check(#{methods => [<<"BYE">>]}),
    [
        ?_assertEqual({0, Need}, hep_listener_view:need(Glance, #{view => View, decode => #{}, filter => Used}))
     || View <- [raw, parse, transform], {Used, Need} <- [{none, 0}, {Filter, 256 * 1024}]
    ].

%%% Functions that crash

%% The packet is lost and counted, the next one passes.
crash_test_() ->
    [
        {lists:flatten(io_lib:format("~p ~p", [Transport, View])), fun() -> crash(Transport, View, Crash) end}
     || Transport <- [udp, tcp],
        {View, Crash} <- [
            {decode, fun() -> error(oops) end},
            {raw, fun() -> throw(oops) end},
            {json, fun() -> exit(oops) end},
            {parse, fun() -> maybe_true end}
        ]
    ].

crash(Transport, View, Crash) ->
    Function = fun
        (#hep{node_id = 7}) -> Crash();
        (_) -> true
    end,
    Reports = hep_net:logged(fun() ->
        listening(#{transport => Transport, view => View, filter => #{function => Function}}, fun(Listener, Port) ->
            Workers = hep_net:workers(Listener),
            [{_, First}, {_, Second} | _] = packets(),
            send(Transport, Port, [First, Second]),
            counted(2, Listener),
            ?assertMatch([_], taken(1)),
            ?assertMatch(
                #{received := 2, decoded := 2, filtered := 0, handler_crashes := 1, handler_lost := 1}, hep_listener:info(Listener)
            ),
            ?assert(Transport =:= tcp orelse Workers =:= hep_net:workers(Listener))
        end)
    end),
    ?assertMatch([#{listener := _, reason := _}], [Report || #{what := hep_filter_crashed} = Report <- Reports]).

%%% Helpers

encoded(Hep) -> element(2, {ok, _} = hep:encode(Hep)).

send(udp, Port, Packets) ->
    _ = hep_net:udp(Port, [encoded(Hep) || Hep <- Packets]);
send(tcp, Port, Packets) ->
    ok = gen_tcp:send(hep_net:tcp(Port), [encoded(Hep) || Hep <- Packets]).

counted(Number, Listener) ->
    Info = fun() -> hep_listener:info(Listener) end,
    until(fun() -> maps:get(received, Info()) =:= Number end, Info).

%% The counters show that there are no more packets.
taken(Number) -> [Packet || {Packet, _} <- hep_net:take(Number)].
