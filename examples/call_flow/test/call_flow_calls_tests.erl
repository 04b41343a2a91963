-module(call_flow_calls_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

%% A function: OTP 29 warns of updates of literal maps.
limits() -> #{calls => 100, messages => 100, bytes => 1000000, age => 60}.

calls_are_limited_test() ->
    Calls = add([invite(N) || N <- lists:seq(1, 30)], call_flow_calls:new((limits())#{calls := 10})),
    ?assertMatch(#{calls := 10, evicted := #{calls := 20, bytes := 0, age := 0}}, call_flow_calls:stats(Calls)),
    %% The oldest calls are deleted completely.
    Tables = call_flow_calls:tables(Calls),
    ?assertEqual(lists:seq(21, 30), lists:sort(call_flow_calls:ids(Tables))),
    ?assertEqual(not_found, call_flow_calls:call(1, Tables)),
    ?assertEqual(not_found, call_flow_calls:packet(1, 1, Tables)),
    ?assertMatch(#{oldest := 21, seq := 30, more := false}, call_flow_calls:changes(0, 100, Tables)).

a_call_with_packets_is_not_the_oldest_test() ->
    Calls = add([invite(N) || N <- [1, 2, 3, 1, 4]], call_flow_calls:new((limits())#{calls := 3})),
    ?assertEqual([1, 3, 4], lists:sort(call_flow_calls:ids(call_flow_calls:tables(Calls)))).

bytes_are_limited_test() ->
    Large = binary:copy(<<"a">>, 100000),
    Calls = add([invite(N, Large) || N <- lists:seq(1, 30)], call_flow_calls:new(limits())),
    #{bytes := Bytes, calls := Count, evicted := #{bytes := Evicted}} = call_flow_calls:stats(Calls),
    ?assert(Bytes =< 1000000),
    ?assertEqual(30, Count + Evicted).

bytes_return_to_zero_test() ->
    Calls = add([invite(N) || N <- [1, 2, 1, 3, 1]], call_flow_calls:new(limits())),
    ?assertMatch(#{calls := 0, bytes := 0, evicted := #{age := 3}}, call_flow_calls:stats(call_flow_calls:expire(1000, Calls))),
    %% No table keeps an entry.
    ?assertEqual([], [Table || Table <- tables(Calls), ets:info(Table, size) > 0]).

age_is_limited_test() ->
    Calls = call_flow_calls:add([invite(2)], 50, call_flow_calls:add([invite(1)], 0, call_flow_calls:new(limits()))),
    Expired = call_flow_calls:expire(61, Calls),
    ?assertMatch(#{calls := 1, evicted := #{age := 1}}, call_flow_calls:stats(Expired)),
    ?assertEqual([2], call_flow_calls:ids(call_flow_calls:tables(Expired))).

messages_of_a_call_are_limited_test() ->
    Calls = add([invite(1) || _ <- lists:seq(1, 50)], call_flow_calls:new((limits())#{messages := 20})),
    Tables = call_flow_calls:tables(Calls),
    ?assertMatch(#{ignored := 30}, call_flow_calls:stats(Calls)),
    ?assertEqual(20, length(call_flow_calls:packets(1, Tables))),
    {ok, #{stored := 20, ignored := 30, flow := Flow}} = call_flow_calls:call(1, Tables),
    ?assertMatch(#{messages := 50}, hep_flow:summary(Flow)).

changes_come_in_parts_test() ->
    Calls = add([invite(N) || N <- [1, 2, 3, 1]], call_flow_calls:new(limits())),
    Tables = call_flow_calls:tables(Calls),
    ?assertMatch(#{ids := [2, 3], seq := 3, oldest := 2, more := true}, call_flow_calls:changes(0, 2, Tables)),
    ?assertMatch(#{ids := [1], seq := 4, more := false}, call_flow_calls:changes(3, 2, Tables)),
    ?assertMatch(#{ids := [], seq := 4, more := false}, call_flow_calls:changes(4, 2, Tables)).

a_value_is_computed_once_for_a_change_test() ->
    Calls = add([invite(1)], call_flow_calls:new(limits())),
    Tables = call_flow_calls:tables(Calls),
    Value = fun(Result) -> call_flow_calls:cached(1, fun(_) -> Result end, Tables) end,
    ?assertEqual({ok, first}, Value(first)),
    ?assertEqual({ok, first}, Value(second)),
    _ = add([invite(1)], Calls),
    ?assertEqual({ok, second}, Value(second)).

legs_are_related_test() ->
    Link = fun(Id, Other) -> entry(call_flow_fixture:invite(Id, #{more => <<"X-Call-ID: ", Other/binary, "\r\n">>})) end,
    Calls = add([entry(call_flow_fixture:invite(<<"a">>)), Link(<<"b">>, <<"a">>), invite(9), Link(<<"c">>, <<"a">>)], call_flow_calls:new(limits())),
    Tables = call_flow_calls:tables(Calls),
    ?assertEqual([2, 4], call_flow_calls:related(1, Tables)),
    ?assertEqual([1, 4], call_flow_calls:related(2, Tables)),
    ?assertEqual([], call_flow_calls:related(3, Tables)).

many_calls_that_name_the_same_test_() ->
    {timeout, 30, fun() ->
        Link = fun(N) -> entry(call_flow_fixture:invite(integer_to_binary(N), #{more => <<"X-Call-ID: a\r\n">>})) end,
        Calls = add([Link(N) || N <- lists:seq(1, 5000)], call_flow_calls:new((limits())#{calls := 5000, bytes := 100000000})),
        Related = call_flow_calls:related(2500, call_flow_calls:tables(Calls)),
        ?assert(length(Related) > 0 andalso length(Related) =< 16)
    end}.

packets_without_a_call_id_are_grouped_by_type_and_addresses_test() ->
    Log = fun(Text) -> {call_flow_fixture:hep(log, Text), call_flow_fixture:source()} end,
    Calls = add([Log(<<"a">>), Log(<<"b">>), {call_flow_fixture:hep(rtcp, <<"{}">>), call_flow_fixture:source()}], call_flow_calls:new(limits())),
    ?assertMatch(#{calls := 2}, call_flow_calls:stats(Calls)),
    ?assertMatch({ok, #{key := {100, {192, 0, 2, 1}, {198, 51, 100, 7}}}}, call_flow_calls:call(1, call_flow_calls:tables(Calls))).

a_kept_packet_has_neither_secret_nor_buffer_test() ->
    Buffer = binary:copy(<<"x">>, 65536),
    <<Payload:500/binary, Chunk:100/binary, _/binary>> = Buffer,
    Hep = hep:correlation_id(Chunk, hep:auth_key(<<"secret">>, call_flow_fixture:hep(sip, Payload))),
    Slim = call_flow_calls:slim(Hep),
    ?assertEqual(undefined, hep:auth_key(Slim)),
    ?assertEqual(Payload, hep:payload(Slim)),
    ?assertEqual(500, binary:referenced_byte_size(hep:payload(Slim))),
    ?assertEqual(100, binary:referenced_byte_size(hep:correlation_id(Slim))).

%%% Helpers

add(Entries, Calls) ->
    call_flow_calls:add(Entries, 0, Calls).

invite(N) ->
    entry(call_flow_fixture:invite(<<"call-", (integer_to_binary(N))/binary>>)).

invite(N, More) ->
    entry(<<(call_flow_fixture:invite(<<"call-", (integer_to_binary(N))/binary>>))/binary, More/binary>>).

entry(Payload) ->
    {call_flow_fixture:hep(sip, Payload), call_flow_fixture:source()}.

tables(Calls) ->
    [Table || Table <- tuple_to_list(call_flow_calls:tables(Calls)), is_reference(Table)].
