%% @doc Packets into capture files.
-module(hep_pcap_write_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

-import(hep_pcaps, [message/1, packets/1, in_folder/1]).

-define(V4, {{192, 0, 2, 1}, 5060}, {{192, 0, 2, 2}, 5080}).
-define(V6, {{8193, 3512, 0, 0, 0, 0, 0, 1}, 5060}, {{8193, 3512, 0, 0, 0, 0, 0, 2}, 5080}).

sip_fixtures_round_trip_test() ->
    Packets = [
        Hep
     || #{<<"decode">> := _} = E <- hep_fixtures:entries(datagram),
        {ok, #hep{payload_type = 1, src_port = Port, timestamp = {_, _, Microseconds}} = Hep} <- [
            hep:decode(hep_fixtures:bytes(E))
        ],
        %% Some are too large for a timestamp.
        Port =/= undefined, Microseconds < 1000000,
        {ok, _} <- [hep_sip:summary(Hep)]
    ],
    ?assert(length(Packets) > 200),
    in_folder(fun(Folder) ->
        File = filename:join(Folder, "written.pcap"),
        {ok, Skipped} = hep_pcap:write(File, Packets),
        Udp = [in_pcap(H) || #hep{protocol = 17} = H <- Packets -- [S || {S, _} <- Skipped]],
        {ok, Read} = hep_pcap:fold(File, #{}, fun(Hep, Acc) -> [Hep | Acc] end, []),
        ?assert(length(Udp) > 100),
        ?assertEqual(Udp, [H || #hep{protocol = 17} = H <- lists:reverse(Read)])
    end).

tcp_flows_round_trip_test() ->
    {{Ip1, Port1}, {Ip2, Port2}} = {?V6},
    Request = #hep{version = 3, protocol_family = 10, protocol = 22, src_ip = Ip1, src_port = Port1, dst_ip = Ip2, dst_port = Port2,
        timestamp = {1800, 0, 5}, payload = message(binary:copy(<<"b">>, 150000))},
    Response = Request#hep{src_ip = Ip2, src_port = Port2, dst_ip = Ip1, dst_port = Port1, payload = message(1)},
    Packets = [Request, Response, Request, Response],
    ?assertEqual([P#hep{protocol = 6} || P <- Packets], packets(written(Packets))).

checksums_are_right_test() ->
    [
        begin
            {ok, Record, _} = hep_pcap:record(Hep, hep_pcap:writer()),
            <<_:16/binary, Packet/binary>> = iolist_to_binary(Record),
            ?assertEqual([0, 0], checksums(Packet))
        end
     || {{Ip1, Port1}, {Ip2, Port2}} <- [{?V4}, {?V6}],
        Protocol <- [17, 6],
        Payload <- [<<>>, <<1>>, <<1, 2, 3>>, message(1), binary:copy(<<255>>, 65000)],
        Hep <- [#hep{protocol = Protocol, src_ip = Ip1, src_port = Port1, dst_ip = Ip2, dst_port = Port2, payload = Payload}]
    ].

%% A checksum of UDP that is 0 is written as 16#ffff, since 0 means none.
checksum_zero_test() ->
    {{Ip1, Port1}, {Ip2, Port2}} = {?V4},
    Sum = fun(Payload) ->
        Hep = #hep{protocol = 17, src_ip = Ip1, src_port = Port1, dst_ip = Ip2, dst_port = Port2, payload = Payload},
        {ok, Record, _} = hep_pcap:record(Hep, hep_pcap:writer()),
        <<_:(16 + 20 + 6)/binary, Checksum:16, _/binary>> = iolist_to_binary(Record),
        Checksum
    end,
    ?assertEqual(16#ffff, Sum(<<(Sum(<<0, 0>>)):16>>)).

%% Numbers of packets and bytes go on; the last segment of a payload is to be passed on at once (PSH).
headers_go_on_test() ->
    {{Ip1, Port1}, {Ip2, Port2}} = {?V4},
    Request = #hep{protocol = 6, src_ip = Ip1, src_port = Port1, dst_ip = Ip2, dst_port = Port2, payload = <<0:(65001 * 8)>>},
    Response = #hep{protocol = 6, src_ip = Ip2, src_port = Port2, dst_ip = Ip1, dst_port = Port1, payload = <<"x">>},
    <<_:24/binary, Records/binary>> = written([Request, Response, Request#hep{protocol = 17, payload = <<>>}, Response]),
    ?assertEqual([0, 1, 2, 3, 4], [Id || <<_:32, Id:16, _/binary>> <- ip_packets(Records)]),
    ?assertEqual(
        [{1, 1, 2#10000}, {65001, 65001, 2#11000}, {65002, 65002, 2#11000}, {65003, 65002, 2#11000}],
        [
            {Number, Acknowledged, Flags}
         || <<_:9/binary, 6, _:10/binary, _:32, Number:32, Acknowledged:32, _, Flags, _/binary>> <- ip_packets(Records)
        ]
    ).

ip_packets(<<_:64, Length:32, Length:32, Packet:Length/binary, Rest/binary>>) -> [Packet | ip_packets(Rest)];
ip_packets(<<>>) -> [].

%% Old flows are forgotten. What follows of one does not go back, so that readers do not take it for a retransmission.
many_flows_test_() -> {timeout, 60, fun many_flows/0}.

many_flows() ->
    {{Ip1, _}, {Ip2, Port2}} = {?V4},
    Hep = fun(N) ->
        #hep{protocol = 6, src_ip = Ip1, src_port = N band 16#ffff, dst_ip = Ip2, dst_port = Port2 + N bsr 16, payload = <<"x">>}
    end,
    Writer = lists:foldl(
        fun(N, Before) ->
            {ok, _, Next} = hep_pcap:record(Hep(N), Before),
            Next
        end,
        hep_pcap:writer(),
        lists:seq(0, 70000)
    ),
    ?assert(erlang:external_size(Writer) < 1000000),
    {ok, Record, _} = hep_pcap:record(Hep(0), Writer),
    <<_:(16 + 20 + 4)/binary, Number:32, _/binary>> = iolist_to_binary(Record),
    ?assertEqual(70002, Number).

packets_that_a_file_cannot_contain_are_returned_test() ->
    {{Ip, Port}, {Other, _}} = {?V4},
    Good = #hep{version = 3, src_ip = Ip, src_port = Port, dst_ip = Other, dst_port = Port, protocol = 17, payload = message(1)},
    Bad = [
        {Good#hep{src_ip = undefined}, no_address},
        {Good#hep{dst_ip = {0, 0, 0, 0, 0, 0, 0, 1}}, mixed_families},
        {Good#hep{payload = binary:copy(<<0>>, 65508)}, {too_large, 65508}},
        %% 2106-02-07T06:28:16Z: more seconds than the format allows.
        {Good#hep{timestamp = {4294, 967296, 0}}, {invalid_time, {4294, 967296, 0}}},
        {Good#hep{timestamp = {4294, 967295, 1000000}}, {invalid_time, {4294, 967295, 1000000}}}
    ],
    in_folder(fun(Folder) ->
        File = filename:join(Folder, "written.pcap"),
        ?assertEqual({ok, Bad}, hep_pcap:write(File, [Good | [Hep || {Hep, _} <- Bad]])),
        ?assertMatch({ok, [#hep{}]}, hep_pcap:fold(File, #{}, fun(H, A) -> [H | A] end, [])),
        ?assertEqual({error, {file, enotdir}}, hep_pcap:write(filename:join(File, "below"), []))
    end),
    [?assert(iolist_size(hep_pcap:format_error(Reason)) > 0) || {_, Reason} <- Bad].

invalid_fields_raise_test() ->
    {{Ip, Port}, {Other, _}} = {?V4},
    Good = #hep{version = 3, src_ip = Ip, src_port = Port, dst_ip = Other, dst_port = Port, payload = message(1)},
    [
        ?assertError(badarg, hep_pcap:record(Hep, hep_pcap:writer()))
     || Hep <- [
            Good#hep{src_ip = {1, 2, 3, 256}}, Good#hep{dst_ip = "::1"}, Good#hep{src_port = 65536}, Good#hep{dst_port = a},
            Good#hep{payload = "text"}, Good#hep{timestamp = 1}, Good#hep{timestamp = {-1, 0, 0}},
            Good#hep{timestamp = {1, 0}}, Good#hep{timestamp = {1, 0, 0, 0}}, Good#hep{protocol = tcp}, Good#hep{protocol = -1},
            payload
        ]
    ],
    ?assertError(badarg, hep_pcap:record(Good, writer)),
    in_folder(fun(Folder) ->
        File = filename:join(Folder, "written.pcap"),
        [
            ?assertError(badarg, hep_pcap:write(File, Packets))
         || Packets <- [[Good#hep{payload = 1}], Good, [Good, payload], [Good | Good]]
        ]
    end).

%%% Helpers

%% The fields of a packet that a file keeps.
in_pcap(Hep) -> Hep#hep{version = 3, node_id = undefined, chunks = []}.

written(Packets) ->
    {Records, _} = lists:mapfoldl(
        fun(Hep, Writer) ->
            {ok, Record, Next} = hep_pcap:record(Hep, Writer),
            {Record, Next}
        end,
        hep_pcap:writer(),
        Packets
    ),
    iolist_to_binary([hep_pcap:header() | Records]).

%% The checksums of the IP header and of the next header: 0 if they are right.
checksums(<<4:4, _:4, _, Length:16, _:40, Protocol, _:16, Src:4/binary, Dst:4/binary, Rest/binary>> = Packet) ->
    ?assertEqual(Length, byte_size(Packet)),
    [checksum(binary:part(Packet, 0, 20)), checksum(<<Src/binary, Dst/binary, Protocol:16, (byte_size(Rest)):16, Rest/binary>>)];
checksums(<<6:4, _:28, Length:16, Protocol, _, Addresses:32/binary, Rest/binary>>) ->
    ?assertEqual(Length, byte_size(Rest)),
    [0, checksum(<<Addresses/binary, Protocol:16, Length:16, Rest/binary>>)].

checksum(Bytes) when byte_size(Bytes) rem 2 =:= 1 -> checksum(<<Bytes/binary, 0>>);
checksum(Bytes) ->
    Sum = lists:sum([Word || <<Word:16>> <= Bytes]),
    ((Sum rem 65535) bxor 16#ffff) rem 65535.
