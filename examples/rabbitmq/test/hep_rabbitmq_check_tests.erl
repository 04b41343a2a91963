%% The check of the demonstration finds each kind of error.
-module(hep_rabbitmq_check_tests).

-include_lib("eunit/include/eunit.hrl").

check_test_() ->
    %% Calls: odd and even numbers.
    Right = [line(1, 10), line(2, 11), line(3, 12), line(4, 13)],
    [First, Second, Third, Fourth] = Right,
    Clean = #{
        lines => 4, packets => 4, duplicates => 0, unmarked => 0, confirmed => 4,
        confirmed_missing => [], changed => [], disordered => [], missing => []
    },
    [
        {Name, ?_assertEqual(maps:merge(Clean, Expected), check(Lines))}
     || {Name, Lines, Expected} <- [
            {"all well", Right, #{}},
            {"other order of the files", lists:reverse(Right), #{}},
            {"other order of two calls", [Second#{written := 9} | Right -- [Second]], #{}},
            {"a line is missing", [First, Second, Fourth], #{
                lines => 3, packets => 3, missing => [3], confirmed_missing => [<<"3">>]
            }},
            {"another id", [First, Second, Third#{id := <<"x">>}, Fourth], #{confirmed_missing => [<<"3">>]}},
            {"other content", [First, Second, Third#{packet := <<"x">>}, Fourth], #{changed => [3]}},
            {"wrong order", [First#{written := 14} | tl(Right)], #{disordered => [{<<"1">>, 1, 3}]}},
            {"again, later", [First#{written := 14, redelivered := true} | Right], #{lines => 5, duplicates => 1}},
            {"published twice", [First#{written := 14} | Right], #{lines => 5, duplicates => 1, unmarked => 1}}
        ]
    ].

check(Lines) ->
    hep_rabbitmq_check:check(#{
        sent => [1, 2, 3, 4],
        json => fun(Number) -> <<"packet ", (integer_to_binary(Number))/binary>> end,
        call => fun(Number) -> integer_to_binary(Number rem 2) end,
        confirmed => [<<"1">>, <<"2">>, <<"3">>, <<"4">>],
        lines => Lines
    }).

line(Number, Written) ->
    Id = integer_to_binary(Number),
    #{id => Id, redelivered => false, written => Written, number => Number, packet => <<"packet ", Id/binary>>}.

%% A line as a consumer writes it.
line_test() ->
    Template = hep:payload(<<"{\"packet\":1}">>, hep:version(hep_v3, hep:new())),
    Packet = hep_rabbitmq_traffic:packet(7, 1_700_000_000_123_456, {Template}),
    {ok, Json} = hep_json:from_packet(Packet),
    Line = <<"{\"id\":\"A-1\",\"redelivered\":false,\"written\":8,\"packet\":", Json/binary, "}">>,
    ?assertEqual(
        #{id => <<"A-1">>, redelivered => false, written => 8, number => 7, packet => Json},
        hep_rabbitmq_check:line(Line)
    ),
    {ok, Hep} = hep_json:decode(Json),
    ?assertEqual({1700, 0, 123456}, hep:timestamp(Hep)),
    ?assertEqual(<<"call-7">>, hep:correlation_id(Hep)).
