-module(call_flow_metrics_tests).

-include_lib("eunit/include/eunit.hrl").

-import(call_flow_fixture, [fetch/1, sip/1, hep/2, until/1]).

metrics_test_() ->
    {setup, fun() -> call_flow_fixture:start(#{}) end, fun call_flow_fixture:stop/1, [
        {timeout, 60, fun packets_are_counted/0},
        {timeout, 60, fun labels_are_bounded/0},
        {timeout, 60, fun rates_have_two_minutes/0},
        {timeout, 60, fun the_text_is_well_formed/0}
    ]}.

packets_are_counted() ->
    Before = fun(Line) -> value(Line, text()) end,
    Lines = [
        "call_flow_packets_total{version=\"3\"}", "call_flow_payload_type_packets_total{type=\"sip\"}",
        "call_flow_payload_type_packets_total{type=\"log\"}", "call_flow_sip_requests_total{method=\"INVITE\"}",
        "call_flow_sip_responses_total{class=\"4xx\"}", "call_flow_sender_packets_total{sender=\"127.0.0.1\"}"
    ],
    ?assertEqual([0, 0, 0, 0, 0, 0], [Before(Line) || Line <- Lines]),
    call_flow_fixture:send([sip(call_flow_fixture:invite(<<"a">>)), sip(call_flow_fixture:response(<<"a">>, 404, <<"No">>)), hep(log, <<"x">>)]),
    ?assert(until(fun() -> [value(Line, text()) || Line <- Lines] =:= [3, 2, 1, 1, 1, 3] end)),
    ?assert(until(fun() -> value("call_flow_calls", text()) =:= 2 end)).

%% A sender controls methods, types, statuses and, over UDP, addresses.
labels_are_bounded() ->
    Packets = [
        {hep(N rem 256, <<"METHOD", (integer_to_binary(N))/binary, " sip:a SIP/2.0\r\n\r\n">>), #{source => {{10, 0, N div 256, N rem 256}, 1}}}
     || N <- lists:seq(1, 1000)
    ],
    ok = call_flow_metrics:count(Packets),
    ok = call_flow_metrics:count([{hep(sip, <<"MYMETHOD sip:a SIP/2.0\r\n\r\n">>), #{source => {{10, 0, 0, 1}, 1}}}]),
    Counters = call_flow_metrics:counters(),
    Number = fun(Kind) -> length([Label || {{K, Label}, _} <- Counters, K =:= Kind]) end,
    ?assert(Number(sender) =< 102),
    ?assert(Number(type) =< 256),
    ?assert(Number(method) =< 15),
    ?assertMatch({_, N} when N > 800, lists:keyfind({sender, <<"other">>}, 1, Counters)),
    ?assertMatch({_, _}, lists:keyfind({method, <<"other">>}, 1, Counters)).

rates_have_two_minutes() ->
    %% The current second counts only when it is over.
    ?assert(until(fun() ->
        #{type := Types} = call_flow_metrics:rates(),
        Counts = maps:get(<<"log">>, Types, []),
        length(Counts) =:= 120 andalso lists:sum(Counts) > 0
    end)).

the_text_is_well_formed() ->
    Lines = string:split(string:trim(text()), "\n", all),
    Good = "^(# (HELP|TYPE) call_flow_[a-z_]+ .+|call_flow_[a-z_]+(\\{[a-z]+=\"[^\"\\\\\\n]*\"(,[a-z]+=\"[^\"\\\\\\n]*\")*\\})? [0-9]+)$",
    ?assertEqual([], [Line || Line <- Lines, re:run(Line, Good) =:= nomatch]),
    %% Each name is described once.
    Types = [Name || <<"# TYPE ", Name/binary>> <- Lines],
    ?assertEqual(length(Types), length(lists:usort(Types))).

text() ->
    {200, Headers, Body} = fetch("/metrics"),
    "text/plain; version=0.0.4" ++ _ = proplists:get_value("content-type", Headers),
    Body.

value(Name, Text) ->
    Found = [Value || Line <- string:split(Text, "\n", all), [Label, Value] <- [string:split(Line, " ", trailing)], Label =:= list_to_binary(Name)],
    case Found of
        [Value] -> binary_to_integer(Value);
        [] -> 0
    end.
