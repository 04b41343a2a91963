%% @doc Calls and ladders: states and times of calls, the arrows and hosts of ladders, hostile packets.
-module(hep_flow_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_prop.hrl").

-export([prop_ladder/0]).

-define(A, {{192, 0, 2, 1}, 5060}).
-define(P, {{192, 0, 2, 2}, 5060}).
-define(B, {{192, 0, 2, 3}, 5070}).
-define(SECOND, 1000000).

%%% Keys and links

key_test_() ->
    [
        ?_assertEqual(Key, hep_flow:key(Hep))
     || {Key, Hep} <- [
            {<<"one">>, request(<<"INVITE">>, 1, #{})},
            {<<"one">>, hep:correlation_id(<<"other">>, request(<<"INVITE">>, 1, #{}))},
            {<<"other">>, hep:correlation_id(<<"other">>, packet(?A, ?B, 1, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>))},
            {<<"other">>, hep:correlation_id(<<"other">>, hep:payload_type(rtcp, packet(?A, ?B, 1, <<"i: one">>)))},
            {undefined, hep:payload_type(log, packet(?A, ?B, 1, <<"text">>))},
            {<<"other">>, hep:correlation_id(<<"other">>, packet(?A, ?B, 1, <<"OPTIONS sip:a SIP/2.0\r\ni: \r\n\r\n">>))},
            {undefined, packet(?A, ?B, 1, <<>>)}
        ]
    ].

links_test() ->
    Headers = [<<"X-Call-ID: leg a\r\n">>, <<"x-cid: leg b\r\n">>, <<"X-CID: one\r\nX-CID: leg a\r\n">>],
    Hep = request(<<"INVITE">>, 1, #{headers => Headers}),
    ?assertEqual([<<"leg a">>, <<"leg b">>], hep_flow:links(Hep)),
    ?assertEqual([<<"id">>, <<"leg a">>, <<"leg b">>], hep_flow:links(hep:correlation_id(<<"id">>, Hep))),
    ?assertEqual([], hep_flow:links(hep:correlation_id(<<"one">>, request(<<"BYE">>, 1, #{})))),
    ?assertEqual([], hep_flow:links(hep:payload_type(log, Hep))).

%%% Ladders

ladder_test() ->
    Packets = [
        request(<<"INVITE">>, 1, #{at => 10, headers => [<<"Content-Type: Application/SDP\r\n">>]}),
        response(200, <<"OK">>, 1, <<"INVITE">>, #{at => 30}),
        response(180, <<"Ringing">>, 1, <<"INVITE">>, #{at => 20}),
        (hep:correlation_id(<<"one">>, hep:payload_type(rtcp, packet({{192, 0, 2, 1}, 7001}, ?B, 40, <<"{}">>)))),
        (hep:payload_type(log, packet(?A, {undefined, undefined}, 50, <<"first line\nsecond">>)))
    ],
    #{hosts := Hosts, arrows := Arrows} = hep_flow:ladder(Packets),
    ?assertEqual(
        [
            #{address => {192, 0, 2, 1}, port => undefined, label => <<"192.0.2.1">>},
            #{address => {192, 0, 2, 3}, port => undefined, label => <<"192.0.2.3">>}
        ],
        Hosts
    ),
    Common = #{sdp => false, retransmission => false, duplicate => false, call => <<"one">>},
    Invite = Common#{cseq => 1, method => <<"INVITE">>},
    ?assertEqual(
        [
            Invite#{time => 10, from => 1, to => 2, kind => request, label => <<"INVITE">>, packet => 1, sdp => true},
            Invite#{time => 20, from => 2, to => 1, kind => response, label => <<"180 Ringing">>, packet => 3, status => 180},
            Invite#{time => 30, from => 2, to => 1, kind => response, label => <<"200 OK">>, packet => 2, status => 200},
            Common#{time => 40, from => 1, to => 2, kind => rtcp, label => <<"RTCP">>, packet => 4},
            Common#{time => 50, from => 1, to => 1, kind => log, label => <<"first line">>, packet => 5, call => undefined}
        ],
        Arrows
    ).

labels_test_() ->
    [
        ?_assertEqual([{Kind, Label}], [{K, L} || #{kind := K, label := L} <- arrows([Hep])])
     || {Kind, Label, Hep} <- [
            {response, <<"200">>, response(200, <<>>, 1, <<"BYE">>, #{})},
            {other, <<"not SIP">>, packet(?A, ?B, 1, <<"GET / HTTP/1.1">>)},
            {other, <<"empty">>, packet(?A, ?B, 1, <<>>)},
            {other, <<"CDR">>, hep:payload_type(cdr, packet(?A, ?B, 1, <<"{}">>))},
            {other, <<"type 200">>, hep:payload_type(200, packet(?A, ?B, 1, <<"{}">>))},
            {rtp, <<"MOS_FULL">>, hep:payload_type(mos_full, packet(?A, ?B, 1, <<"{}">>))},
            {rtcp, <<"RTCP_PION">>, hep:payload_type(rtcp_pion, packet(?A, ?B, 1, <<"{}">>))},
            {log, binary:copy(<<"x">>, 255), hep:payload_type(log, packet(?A, ?B, 1, binary:copy(<<"x">>, 60000)))}
        ]
    ].

sdp_test_() ->
    Mixed = fun(Part) ->
        [<<"Content-Type: multipart/mixed;boundary=\"b\"\r\n\r\n--b\r\nContent-Type: application/isup\r\n\r\nx\r\n--b\r\n">>, Part, <<"\r\n--b--">>]
    end,
    [
        {iolist_to_binary(Headers), ?_assertMatch([#{sdp := Sdp}], arrows([request(<<"INVITE">>, 1, #{headers => Headers})]))}
     || {Sdp, Headers} <- [
            {true, [<<"c: application/sdp\r\n">>]},
            {true, [<<"Content-Type: application/SDP ;charset=x\r\n">>]},
            {false, [<<"Content-Type: application/sdpfrag\r\n">>]},
            {false, [<<"Content-Type: application/sdp\r\nContent-Length: 0\r\n">>]},
            {true, Mixed(<<"Content-type : application/sdp\r\n\r\nv=0">>)},
            {true, Mixed(<<"CONTENT-TYPE: APPLICATION/SDP;x=y\r\n\r\nv=0">>)},
            {false, Mixed(<<"Content-Type: application/pidf+xml\r\n\r\napplication/sdp">>)}
        ]
    ].

%% The parts of a message may be any bytes.
bytes_that_are_not_utf8_test() ->
    Bytes = binary:copy(<<255, 200>>, 20),
    Hep = packet(?A, ?B, 1, [<<"INFO sip:">>, Bytes, <<" SIP/2.0\r\nf: ">>, Bytes, <<"\r\nc: ">>, Bytes, <<"\r\ni: ">>, Bytes, <<"\r\n\r\n">>]),
    ?assertMatch([#{label := <<"INFO">>, sdp := false, call := Bytes}], arrows([Hep])),
    ?assertMatch(#{call_id := Bytes, from := #{}}, hep_flow:summary([Hep])).

%% An address that sends to itself is split by port, other addresses are not.
hosts_test() ->
    Here = {127, 0, 0, 1},
    Packets = [
        packet({Here, 5060}, {Here, 5080}, 1, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>),
        packet({Here, 5080}, ?A, 2, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>),
        packet(?B, {element(1, ?A), 1}, 2, <<"OPTIONS sip:a SIP/2.0\r\n\r\n">>)
    ],
    ?assertEqual([<<"127.0.0.1:5060">>, <<"127.0.0.1:5080">>, <<"192.0.2.1">>, <<"192.0.2.3">>], labels(Packets, #{})),
    ?assertEqual([<<"127.0.0.1">>, <<"192.0.2.1">>, <<"192.0.2.3">>], labels(Packets, #{hosts => address})),
    ?assertEqual(5, length(labels(Packets, #{hosts => port}))),
    V6 = packet({{8193, 3512, 0, 0, 0, 0, 0, 1}, 5060}, {undefined, undefined}, 1, <<>>),
    ?assertEqual([<<"[2001:db8::1]:5060">>], labels([V6], #{hosts => port})),
    ?assertEqual([<<"2001:db8::1">>], labels([V6], #{})),
    ?assertEqual([<<"192.0.2.3">>], labels([packet({undefined, 5060}, ?B, 1, <<>>)], #{})),
    ?assertEqual([<<"?">>], labels([#hep{}], #{hosts => port})),
    [?assertError(badarg, hep_flow:ladder([], Options)) || Options <- [#{hosts => none}, #{other => 1}]].

%% A packet without a time stays behind the one before it.
order_test() ->
    Packets = [
        packet(?A, ?B, undefined, <<>>),
        packet(?A, ?B, 20, <<>>),
        packet(?A, ?B, undefined, <<>>),
        packet(?A, ?B, 10, <<>>),
        packet(?A, ?B, 20, <<>>)
    ],
    ?assertEqual([1, 4, 2, 3, 5], [Index || #{packet := Index} <- arrows(Packets)]),
    ?assertEqual([undefined, 10, 20, undefined, 20], [Time || #{time := Time} <- arrows(Packets)]).

copies_test_() ->
    Invite = request(<<"INVITE">>, 1, #{}),
    Ringing = fun(Options) -> response(183, <<"Progress">>, 1, <<"INVITE">>, Options) end,
    Old = request(<<"INVITE">>, 1, #{branch => <<"1">>}),
    [
        {Name, ?_assertEqual(Expected, [copy(Arrow) || Arrow <- arrows(Packets)])}
     || {Name, Packets, Expected} <- [
            {"retransmission", [Invite, Invite, Invite], [first, retransmission, retransmission]},
            {"other header", [Invite, request(<<"INVITE">>, 1, #{headers => [<<"Date: now\r\n">>]})], [first, retransmission]},
            {"other agent", [Invite, hep:node_id(7, Invite), hep:node_id(7, Invite)], [first, duplicate, retransmission]},
            {"other agent's name", [Invite, hep:node_name(<<"b">>, Invite)], [first, duplicate]},
            {"other hop", [Invite, hep:dst_port(1, Invite)], [first, first]},
            {"other branch", [Invite, request(<<"INVITE">>, 1, #{branch => <<"z9hG4bK2">>})], [first, first]},
            {"other method", [Invite, request(<<"ACK">>, 1, #{})], [first, first]},
            {"other fork", [Ringing(#{}), Ringing(#{to_tag => <<"2">>})], [first, first]},
            {"other RSeq", [Ringing(#{headers => [<<"RSeq: ", N, "\r\n">>]}) || N <- "112"], [first, retransmission, first]},
            {"branch before RFC 3261, equal bytes", [Old, Old], [first, retransmission]},
            {"branch before RFC 3261, other bytes",
                [Old, request(<<"INVITE">>, 1, #{branch => <<"1">>, headers => [<<"a: b\r\n">>]})], [first, first]},
            {"logs", lists:duplicate(2, hep:payload_type(log, Invite)), [first, first]}
        ]
    ].

copy(#{retransmission := true, duplicate := false}) -> retransmission;
copy(#{retransmission := false, duplicate := true}) -> duplicate;
copy(#{retransmission := false, duplicate := false}) -> first.

%%% Summaries

states_test_() ->
    I = fun(At) -> request(<<"INVITE">>, 1, #{at => At}) end,
    R = fun(Status, At) -> response(Status, <<"R">>, 1, <<"INVITE">>, #{at => At}) end,
    Request = fun(Method, At) -> request(Method, 1, #{at => At}) end,
    Again = fun(At) -> request(<<"INVITE">>, 2, #{at => At, branch => <<"z9hG4bK2">>}) end,
    Register = request(<<"REGISTER">>, 1, #{}),
    Registered = fun(Status) -> response(Status, <<"R">>, 1, <<"REGISTER">>, #{at => 2}) end,
    Bye = request(<<"BYE">>, 2, #{at => 5 * ?SECOND}),
    %% Between two proxies.
    Hop = #{branch => <<"z9hG4bKp">>, at => 2},
    Onward = request(<<"INVITE">>, 1, Hop#{from => ?P}),
    Next = response(486, <<"Busy">>, 1, <<"INVITE">>, Hop#{to => ?P}),
    Stopped = request(<<"CANCEL">>, 1, Hop#{from => ?P}),
    %% All on one address: only the branches differ.
    L = fun(Port) -> {{127, 0, 0, 1}, Port} end,
    LocalInvite = request(<<"INVITE">>, 1, #{at => 1, from => L(1), to => L(2)}),
    LocalOnward = request(<<"INVITE">>, 1, Hop#{from => L(2), to => L(3)}),
    LocalBusy = response(486, <<"Busy">>, 1, <<"INVITE">>, Hop#{from => L(3), to => L(2)}),
    %% A capture behind the proxy, which tries one destination after the other.
    Other = request(<<"INVITE">>, 1, #{at => 4, branch => <<"z9hG4bKq">>}),
    NoBranch = fun(Packet) -> Packet#hep{payload = re:replace(Packet#hep.payload, "Via:.*\r\n", "", [{return, binary}])} end,
    [
        {lists:flatten(io_lib:format("~w ~w", [State, Status])), fun() ->
            Summary = hep_flow:summary(Packets),
            ?assertEqual({State, Status}, {maps:get(state, Summary, none), maps:get(status, Summary, none)})
        end}
     || {State, Status, Packets} <- [
            {none, none, []},
            {none, none, [Request(<<"ACK">>, 1)]},
            {trying, none, [I(1)]},
            {trying, 100, [I(1), R(100, 2)]},
            {ringing, 180, [I(1), R(100, 2), R(180, 3), R(100, 4)]},
            {ringing, 183, [R(183, 3), I(1)]},
            {answered, 200, [I(1), R(180, 2), R(200, 3)]},
            {answered, 200, [R(200, 3)]},
            {answered, 200, [I(1), R(200, 3), R(486, 4), Again(5), R(180, 6)]},
            {completed, 200, [I(1), R(200, 3), Bye]},
            {completed, none, [I(1), Bye]},
            {completed, 180, [I(1), R(180, 2), Bye]},
            {completed, 200, [I(1), R(200, 3), response(200, <<"OK">>, 2, <<"BYE">>, #{at => 4})]},
            {answered, 200, [I(1), R(200, 3), response(407, <<"R">>, 2, <<"BYE">>, #{at => 4})]},
            {rejected, 481, [Bye, response(481, <<"R">>, 2, <<"BYE">>, #{at => 6 * ?SECOND})]},
            {cancelled, 487, [I(1), Request(<<"CANCEL">>, 2), R(487, 3)]},
            {cancelled, none, [I(1), Request(<<"CANCEL">>, 2), R(180, 3)]},
            {cancelled, none, [Request(<<"CANCEL">>, 2)]},
            {cancelled, 487, [I(1), R(487, 3)]},
            {answered, 200, [I(1), Request(<<"CANCEL">>, 2), R(200, 3)]},
            {redirected, 302, [I(1), R(302, 2)]},
            {redirected, 300, [I(1), R(300, 2)]},
            {rejected, 486, [I(1), R(486, 2), I(3), R(100, 4)]},
            {rejected, 603, [I(1), R(603, 2)]},
            {failed, 503, [I(1), R(503, 2)]},
            {failed, 408, [I(1), R(408, 2)]},
            {trying, none, [I(1), R(407, 2), Again(3)]},
            {trying, none, [I(1), Onward, Next]},
            {answered, 200, [I(1), Onward, Next, R(200, 3)]},
            {rejected, 486, [I(1), Onward, Next, R(486, 3)]},
            {trying, none, [NoBranch(P) || P <- [I(1), Onward, Next]]},
            {rejected, 486, [NoBranch(P) || P <- [I(1), Onward, Next, R(486, 3)]]},
            %% A proxy cancels an attempt, and goes on.
            {ringing, 180, [I(1), Onward, R(180, 3), Stopped, R(180, 4)]},
            {ringing, 180, [NoBranch(P) || P <- [I(1), Onward, R(180, 3), Stopped, R(180, 4)]]},
            {trying, none, [LocalInvite, LocalOnward, LocalBusy]},
            %% The next hop's request comes late, or again.
            {rejected, 486, [I(1), R(486, 2), Onward]},
            {rejected, 486, [I(1), R(486, 2), request(<<"INVITE">>, 7, Hop#{from => ?P})]},
            {rejected, 486, [Again(1), response(486, <<"R">>, 2, <<"INVITE">>, #{at => 2, branch => <<"z9hG4bK2">>}), I(3)]},
            {trying, none, [I(1), R(486, 3), Other]},
            {failed, 503, [I(1), R(486, 3), Other, response(503, <<"R">>, 1, <<"INVITE">>, #{at => 5, branch => <<"z9hG4bKq">>})]},
            %% The response to an attempt before says nothing of the next one.
            {trying, none, [I(1), R(407, 2), Again(3), R(407, 4)]},
            {completed, 200, [Register, Registered(200), Register]},
            {trying, none, [request(<<"OPTIONS">>, 1, #{at => 1}), response(200, <<"R">>, 1, <<"OPTIONS">>, #{at => 2}), I(3)]},
            {trying, none, [Register]},
            {trying, 100, [Register, Registered(100)]},
            {completed, 200, [Register, Registered(200)]},
            {rejected, 401, [Register, Registered(401)]},
            {completed, 200, [Register, Registered(401), request(<<"REGISTER">>, 2, #{at => 3, branch => <<"z9hG4bK2">>}),
                response(200, <<"R">>, 2, <<"REGISTER">>, #{at => 4})]},
            {trying, none, [Register, Registered(200), request(<<"REGISTER">>, 2, #{at => 3})]},
            %% Responses to other methods do not change the state.
            {trying, none, [I(1), response(200, <<"R">>, 2, <<"UPDATE">>, #{at => 2})]}
        ]
    ].

summary_test() ->
    Packets = [
        request(<<"INVITE">>, 1, #{at => 1 * ?SECOND}),
        response(200, <<"OK">>, 1, <<"INVITE">>, #{at => 3 * ?SECOND}),
        request(<<"ACK">>, 1, #{at => 4 * ?SECOND}),
        hep:payload_type(log, packet(?A, ?B, 5 * ?SECOND, <<"log">>)),
        request(<<"BYE">>, 2, #{at => 63 * ?SECOND})
    ],
    Expected = #{
        packets => 5,
        messages => 4,
        methods => #{<<"INVITE">> => 1, <<"ACK">> => 1, <<"BYE">> => 1},
        start => 1 * ?SECOND,
        stop => 63 * ?SECOND,
        duration => 60 * ?SECOND,
        method => <<"INVITE">>,
        state => completed,
        status => 200,
        reason => <<"OK">>,
        call_id => <<"one">>,
        from => #{uri => <<"sip:alice@a">>, user => <<"alice">>, host => <<"a">>},
        to => #{uri => <<"sip:bob@b">>, user => <<"bob">>, host => <<"b">>},
        source => ?A,
        destination => ?B
    },
    ?assertEqual(Expected, hep_flow:summary(Packets)),
    ?assertEqual(Expected, hep_flow:summary(lists:reverse(Packets))),
    ?assertEqual(Expected, hep_flow:summary(lists:foldl(fun hep_flow:add/2, hep_flow:new(), Packets))).

%% Packets of several agents may come with times of several clocks.
duration_is_never_negative_test() ->
    Packets = [
        request(<<"INVITE">>, 1, #{}),
        response(200, <<"OK">>, 1, <<"INVITE">>, #{at => 5 * ?SECOND}),
        request(<<"BYE">>, 2, #{at => 4 * ?SECOND})
    ],
    Call = lists:foldl(fun hep_flow:add/2, hep_flow:new(), Packets),
    ?assertMatch(#{duration := 0, start := 1, stop := 5000000}, hep_flow:summary(Call)).

%% The first message of a capture may be a response.
response_first_test() ->
    ?assertMatch(
        #{source := ?A, destination := ?B, method := <<"BYE">>},
        hep_flow:summary([response(200, <<"OK">>, 2, <<"BYE">>, #{})])
    ).

%% The state of a call does not grow with its packets, and keeps none of them in memory.
bounded_test() ->
    Long = binary:copy(<<"x">>, 50000),
    Packets = [
        packet(?A, ?B, N, <<"M", (integer_to_binary(N))/binary, Long/binary, " sip:a SIP/2.0\r\nf: \"", Long/binary,
            "\" <sip:", Long/binary, "@h>\r\nCall-ID: one\r\nv: SIP/2.0/UDP h;branch=", Long/binary, "\r\n\r\n">>)
     || N <- lists:seq(1, 100)
    ],
    Call = lists:foldl(fun hep_flow:add/2, hep_flow:new(), Packets),
    ?assert(erlang:external_size(Call) < 8192),
    #{methods := Methods, messages := 100, from := #{display := Display}} = hep_flow:summary(Call),
    ?assertEqual({16, 255}, {map_size(Methods), byte_size(Display)}),
    ?assertEqual(255, binary:referenced_byte_size(Display)).

badarg_test_() ->
    [
        ?_assertError(badarg, Function())
     || Function <- [
            fun() -> hep_flow:key(<<>>) end,
            fun() -> hep_flow:links(<<>>) end,
            fun() -> hep_flow:ladder([<<>>]) end,
            fun() -> hep_flow:summary([<<>>]) end,
            fun() -> hep_flow:ladder([#hep{} | undefined]) end,
            fun() -> hep_flow:ladder([], undefined) end,
            fun() -> hep_flow:summary([#hep{} | undefined]) end,
            fun() -> hep_flow:summary([#hep{timestamp = {a, 0, 0}}]) end,
            fun() -> hep_flow:add(<<>>, hep_flow:new()) end
        ]
    ].

%%% Any packets

fixtures_test_() -> {timeout, 120, fun fixtures/0}.

fixtures() ->
    Packets = [Hep || Entry <- hep_fixtures:entries(datagram), {ok, Hep} <- [hep:decode(hep_fixtures:bytes(Entry))]],
    ?assert(length(Packets) > 100),
    check(Packets, #{}),
    %% Each message, truncated at each byte.
    Cuts = [Hep#hep{payload = binary:part(P, 0, N)} || #hep{payload = P} = Hep <- Packets, N <- lists:seq(0, byte_size(P), 97)],
    check(Cuts, #{hosts => port}).

ladder_property_test_() ->
    {timeout, 120, fun() -> hep_prop:holds(?MODULE, prop_ladder, 300) end}.

prop_ladder() ->
    ?FORALL(
        {Packets, Hosts},
        {list(any_sip()), oneof([auto, address, port])},
        hep_prop:without_raising(fun() ->
            check(Packets, #{hosts => Hosts}),
            true
        end)
    ).

any_sip() ->
    ?LET(
        {Packet, Type, Parts},
        {
            hep_generators:any_record(),
            oneof([1, 1, 1, 5, 100, byte()]),
            list(oneof([binary(), <<"\r\n">>, <<" ">>, <<"INVITE sip:a SIP/2.0\r\n">>, <<"SIP/2.0 200 OK\r\n">>,
                <<"CSeq: 1 INVITE\r\n">>, <<"f: <sip:a@b>;tag=1\r\n">>, <<"i: a\r\n">>, <<"X-CID: b\r\n">>,
                <<"v: SIP/2.0/UDP h;branch=z9hG4bK1\r\n">>, <<"c: ">>, <<"BYE sip:a SIP/2.0\r\n">>]))
        },
        Packet#hep{payload_type = Type, payload = iolist_to_binary(Parts)}
    ).

%% The arrows are complete and in order, and all indices are valid.
check(Packets, Options) ->
    #{hosts := Hosts, arrows := Arrows} = hep_flow:ladder(Packets, Options),
    ?assertEqual(lists:seq(1, length(Packets)), lists:sort([Index || #{packet := Index} <- Arrows])),
    Times = [Time || #{time := Time} <- Arrows, Time =/= undefined],
    ?assertEqual(lists:sort(Times), Times),
    Used = lists:usort([Index || #{from := From, to := To} <- Arrows, Index <- [From, To]]),
    ?assertEqual(lists:seq(1, length(Hosts)), Used),
    ?assert(lists:all(fun(#{label := Label}) -> byte_size(Label) =< 255 end, Arrows)),
    ?assertEqual(length(Packets), maps:get(packets, hep_flow:summary(Packets))),
    lists:foreach(fun(Hep) -> ?assert(is_list(hep_flow:links(Hep))) end, Packets),
    ?assertEqual([hep_flow:key(Hep) || Hep <- Packets], [Key || #{call := Key} <- lists:sort(fun by_packet/2, Arrows)]).

by_packet(#{packet := A}, #{packet := B}) -> A =< B.

%%% Messages

request(Method, Number, Options) ->
    {From, To} = {maps:get(from, Options, ?A), maps:get(to, Options, ?B)},
    packet(From, To, maps:get(at, Options, 1), [Method, " sip:bob@b SIP/2.0\r\n" | headers(Number, Method, Options)]).

response(Status, Reason, Number, Method, Options) ->
    {From, To} = {maps:get(from, Options, ?B), maps:get(to, Options, ?A)},
    Line = ["SIP/2.0 ", integer_to_list(Status), " ", Reason, "\r\n"],
    packet(From, To, maps:get(at, Options, 1), [Line | headers(Number, Method, Options)]).

headers(Number, Method, Options) ->
    [
        ["Via: SIP/2.0/UDP a;branch=", maps:get(branch, Options, <<"z9hG4bK1">>), "\r\n"],
        "From: <sip:alice@a>;tag=1\r\n",
        ["To: <sip:bob@b>;tag=", maps:get(to_tag, Options, <<"1">>), "\r\n"],
        "Call-ID: one\r\n",
        ["CSeq: ", integer_to_list(Number), " ", Method, "\r\n"],
        maps:get(headers, Options, []),
        "\r\n"
    ].

packet({SrcIp, SrcPort}, {DstIp, DstPort}, Time, Payload) ->
    #hep{
        version = 3,
        src_ip = SrcIp,
        src_port = SrcPort,
        dst_ip = DstIp,
        dst_port = DstPort,
        timestamp = timestamp(Time),
        payload = iolist_to_binary(Payload)
    }.

timestamp(undefined) -> undefined;
timestamp(Micros) -> {0, Micros div ?SECOND, Micros rem ?SECOND}.

arrows(Packets) -> maps:get(arrows, hep_flow:ladder(Packets)).

labels(Packets, Options) -> [Label || #{label := Label} <- maps:get(hosts, hep_flow:ladder(Packets, Options))].
