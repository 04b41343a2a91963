-module(call_flow_http_tests).

-include_lib("eunit/include/eunit.hrl").

-define(TOKEN, "0123456789abcdef").
-define(HOSTILE, <<"<script>alert(1)</script>\"'\\">>).

-import(call_flow_fixture, [fetch/1, fetch/2, post/3, json/1, send/1, until/1]).

open_test_() ->
    {setup, fun() -> call_flow_fixture:start(#{}) end, fun call_flow_fixture:stop/1, [
        {timeout, 60, fun the_page_has_a_policy/0},
        {timeout, 60, fun only_the_files_of_the_page_are_served/0},
        {timeout, 60, fun other_host_names_are_refused/0},
        {timeout, 60, fun errors_of_the_server_have_the_policy/0},
        {timeout, 60, fun changes_need_a_header/0},
        {timeout, 60, fun calls_appear/0},
        {timeout, 60, fun packets_without_addresses_are_not_in_the_pcap/0},
        {timeout, 60, fun long_ladders_are_cut_and_downloads_are_not/0},
        {timeout, 60, fun hostile_strings_are_text/0},
        {timeout, 60, fun filters/0},
        {timeout, 60, fun wrong_requests_are_refused/0},
        {timeout, 60, fun a_restarted_store_has_another_epoch/0},
        {timeout, 60, fun a_killed_listener_is_back/0}
    ]}.

token_test_() ->
    {setup, fun() -> call_flow_fixture:start(#{http => #{port => 0, token => ?TOKEN}}) end, fun call_flow_fixture:stop/1, [
        {timeout, 60, fun a_token_is_required/0},
        {timeout, 60, fun the_token_is_a_header_or_a_cookie/0}
    ]}.

the_page_has_a_policy() ->
    {200, Headers, Body} = fetch("/"),
    ?assertMatch(<<"<!doctype html>", _/binary>>, Body),
    Policy = proplists:get_value("content-security-policy", Headers),
    ?assertMatch("default-src 'none'; script-src 'self'; style-src 'self';" ++ _, Policy),
    ?assertEqual(nomatch, string:find(Policy, "unsafe")),
    ?assertEqual("nosniff", proplists:get_value("x-content-type-options", Headers)),
    %% The policy forbids inline scripts and styles.
    ?assertEqual(nomatch, re:run(Body, <<"<script>|<style|style=|\\son[a-z]+=|https?://">>)),
    {200, Json, _} = fetch("/api/state"),
    ?assertEqual(Policy, proplists:get_value("content-security-policy", Json)).

only_the_files_of_the_page_are_served() ->
    {200, Headers, Script} = fetch("/app.js"),
    ?assertEqual("text/javascript; charset=utf-8", proplists:get_value("content-type", Headers)),
    Paths = ["/..%2fsrc/call_flow.app.src", "/../src/call_flow.app.src", "/app.js/", "/style.css%00", "/%2e%2e/x", "/x"],
    ?assertEqual([], [Path || Path <- Paths, {Code, _, _} <- [fetch(Path)], Code =/= 404]),
    %% From OTP 27 on, httpd reads two slashes as one.
    {Code, _, Body} = fetch("//app.js"),
    case list_to_integer(erlang:system_info(otp_release)) >= 27 of
        true -> ?assertEqual({200, Script}, {Code, Body});
        false -> ?assertEqual(404, Code)
    end.

other_host_names_are_refused() ->
    ?assertMatch({421, _, _}, fetch("/", [{"host", "evil.example"}])),
    ?assertMatch({421, _, _}, fetch("/api/state", [{"host", "127.0.0.1.evil.example:9080"}])),
    ?assertMatch({200, _, _}, fetch("/api/state", [{"host", "LocalHost:9080"}])).

errors_of_the_server_have_the_policy() ->
    Answer = raw("GET /<script> HTTP/7.7\r\nhost: x\r\n\r\n"),
    ?assertNotEqual(nomatch, string:find(Answer, "Content-Security-Policy: default-src 'none'")),
    ?assertEqual(nomatch, string:find(Answer, "<script>")).

changes_need_a_header() ->
    ?assertMatch({403, _, _}, post("/api/upload?name=a&bytes=1", [], <<>>)),
    ?assertMatch({200, _, _}, post("/api/upload?name=a&bytes=1", [{"x-call-flow", "1"}], <<>>)).

calls_appear() ->
    sent(<<"appears">>, [call_flow_fixture:invite(<<"appears">>), call_flow_fixture:response(<<"appears">>, 486, <<"Busy Here">>)]),
    #{<<"id">> := Id} = Row = row(<<"appears">>),
    ?assertMatch(
        #{
            <<"method">> := <<"INVITE">>, <<"status">> := 486, <<"state">> := <<"rejected">>, <<"packets">> := 2,
            <<"from">> := <<"alice@example.org">>, <<"to">> := <<"bob@example.org">>, <<"source">> := <<"192.0.2.1:5060">>
        },
        Row
    ),
    Path = "/api/call/" ++ integer_to_list(Id),
    #{<<"hosts">> := Hosts, <<"arrows">> := Arrows} = json(Path),
    ?assertEqual([<<"192.0.2.1">>, <<"198.51.100.7">>], Hosts),
    ?assertMatch([#{<<"label">> := <<"INVITE">>, <<"number">> := 1}, #{<<"label">> := <<"486 Busy Here">>, <<"status">> := 486}], Arrows),
    #{<<"packet">> := #{<<"payload">> := #{<<"data">> := <<"INVITE ", _/binary>>}}, <<"transport">> := <<"udp">>} =
        json("/api/message/" ++ integer_to_list(Id) ++ "/1"),
    {200, Headers, Pcap} = fetch(Path ++ ".pcap"),
    ?assertMatch("attachment; filename=\"call-" ++ _, proplists:get_value("content-disposition", Headers)),
    {ok, Payloads} = hep_pcap:fold({binary, Pcap}, #{}, fun(Hep, Acc) -> [hep:payload(Hep) | Acc] end, []),
    ?assertMatch([<<"SIP/2.0 486", _/binary>>, <<"INVITE ", _/binary>>], Payloads),
    {200, _, Json} = fetch(Path ++ ".json"),
    ?assertMatch({ok, [_, _]}, hep_json:decode(Json)).

packets_without_addresses_are_not_in_the_pcap() ->
    Log = hep:correlation_id(<<"no-address">>, hep:payload_type(log, hep:payload(<<"text">>, hep:new()))),
    send([Log, call_flow_fixture:sip(call_flow_fixture:invite(<<"no-address">>)), Log]),
    ?assert(until(fun() -> row(<<"no-address">>) =/= none andalso maps:get(<<"packets">>, row(<<"no-address">>)) =:= 3 end)),
    Path = "/api/call/" ++ integer_to_list(maps:get(<<"id">>, row(<<"no-address">>))),
    ?assertMatch(#{<<"not_in_pcap">> := 2, <<"not_shown">> := 0, <<"arrows">> := [_, _, _]}, json(Path)),
    {200, Headers, Pcap} = fetch(Path ++ ".pcap"),
    ?assertEqual("2", proplists:get_value("x-left-out", Headers)),
    ?assertEqual({ok, 1}, hep_pcap:fold({binary, Pcap}, #{}, fun(_, N) -> N + 1 end, 0)).

%% Five legs of 900 packets.
long_ladders_are_cut_and_downloads_are_not() ->
    Legs = [<<"long-", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 5)],
    Hep = fun(Leg) -> call_flow_fixture:sip(call_flow_fixture:invite(Leg, #{more => <<"X-CID: long-1\r\n">>})) end,
    Entries = [{Hep(Leg), call_flow_fixture:source()} || Leg <- Legs, _ <- lists:seq(1, 900)],
    ok = gen_server:call(call_flow_store, {add, Entries}),
    Path = "/api/call/" ++ integer_to_list(maps:get(<<"id">>, row(<<"long-1">>))),
    #{<<"arrows">> := Arrows, <<"not_shown">> := 500} = json(Path ++ "?related=1"),
    ?assertEqual(4000, length(Arrows)),
    {200, _, Json} = fetch(Path ++ ".json?related=1"),
    {ok, All} = hep_json:decode(Json),
    ?assertEqual(4500, length(All)).

%% Invalid UTF-8 does not break the encoder, and an answer is never HTML.
hostile_strings_are_text() ->
    Bytes = <<255, 192, 0, 8, 226, 128, 174, ?HOSTILE/binary>>,
    CallId = <<"hostile-", ?HOSTILE/binary, 255>>,
    Invite = call_flow_fixture:invite(CallId, #{from => <<"\"", Bytes/binary, "\" <sip:", Bytes/binary, "@x>">>}),
    sent(<<"hostile-">>, [Invite, call_flow_fixture:response(CallId, 400, Bytes)]),
    #{<<"key">> := Key, <<"reason">> := Reason, <<"id">> := Id} = row(<<"hostile-">>),
    ?assertEqual(<<"hostile-", ?HOSTILE/binary, 16#FFFD/utf8>>, Key),
    ?assertNotEqual(nomatch, string:find(Reason, ?HOSTILE)),
    lists:foreach(
        fun(Path) ->
            {200, Headers, _} = fetch(Path),
            ?assertEqual("application/json", proplists:get_value("content-type", Headers))
        end,
        ["/api/state", "/api/calls?filter=hostile", "/api/call/" ++ integer_to_list(Id), "/api/message/" ++ integer_to_list(Id) ++ "/1"]
    ).

filters() ->
    sent(<<"filter-1">>, [call_flow_fixture:invite(<<"filter-1">>), call_flow_fixture:response(<<"filter-1">>, 404, <<"Not Found">>)]),
    sent(<<"filter-2">>, [call_flow_fixture:invite(<<"filter-2">>)]),
    Keys = fun(Filter) ->
        #{<<"calls">> := Calls} = json("/api/calls?filter=" ++ Filter),
        [Key || #{<<"key">> := <<"filter-", _/binary>> = Key} <- Calls]
    end,
    ?assertEqual([<<"filter-2">>, <<"filter-1">>], Keys("INVITE")),
    ?assertEqual([<<"filter-1">>], Keys("alice%20404")),
    ?assertEqual([<<"filter-2">>], Keys("FILTER-2%20192.0.2.1")),
    ?assertEqual([], Keys("filter-3")).

wrong_requests_are_refused() ->
    Paths = ["/api/call/0", "/api/call/x", "/api/call/-1", "/api/call/1.exe", "/api/call/99999999999999999999", "/api/message/1/0", "/api/message/1/x",
        "/api/nothing", "/api/state?source=nothing", "/api", "/api/upload", "/api/call/1/2"],
    ?assertEqual([], [{Path, Code} || Path <- Paths, {Code, _, _} <- [fetch(Path)], Code =/= 404]),
    Since = [{Path, Code} || Path <- ["/api/state?since=x", "/api/state?since=-5&epoch=%ff", "/api/calls?filter=%ff"], {Code, _, _} <- [fetch(Path)], Code =/= 200],
    ?assertEqual([], Since),
    ?assertMatch("HTTP/1.1 413 " ++ _, raw("POST /api/upload/x?offset=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n")).

a_restarted_store_has_another_epoch() ->
    #{<<"source">> := #{<<"epoch">> := Epoch}} = json("/api/state"),
    exit(whereis(call_flow_store), kill),
    Other = until(fun() ->
        case fetch("/api/state") of
            {200, _, Body} ->
                {match, [Now]} = re:run(Body, <<"\"epoch\":\"([^\"]+)\"">>, [{capture, all_but_first, binary}]),
                Now =/= Epoch;
            {503, _, _} ->
                false
        end
    end),
    ?assert(Other),
    sent(<<"after">>, [call_flow_fixture:invite(<<"after">>)]).

a_killed_listener_is_back() ->
    exit(whereis(call_flow:listener(1)), kill),
    ?assert(until(fun() -> is_pid(whereis(call_flow:listener(1))) end)),
    ?assert(until(fun() -> try call_flow:port() > 0 catch exit:_ -> false end end)),
    sent(<<"again">>, [call_flow_fixture:invite(<<"again">>)]).

a_token_is_required() ->
    ?assertMatch({200, _, _}, fetch("/")),
    lists:foreach(fun(Path) -> ?assertMatch({401, _, _}, fetch(Path)) end, ["/api/state", "/metrics", "/api/call/1.pcap"]),
    ?assertMatch({401, _, _}, post("/api/upload?name=a&bytes=1", [{"x-call-flow", "1"}], <<>>)),
    ?assertMatch({401, _, _}, fetch("/api/state", [{"authorization", "Bearer " ++ ?TOKEN ++ "x"}])),
    ?assertMatch({401, _, _}, fetch("/api/state", [{"cookie", "call_flow=" ++ ?TOKEN}])),
    ?assertMatch({401, _, _}, post("/api/login", [], <<"wrong">>)).

the_token_is_a_header_or_a_cookie() ->
    ?assertMatch({200, _, _}, fetch("/api/state", [{"authorization", "Bearer " ++ ?TOKEN}])),
    {200, Headers, _} = post("/api/login", [], <<?TOKEN>>),
    "call_flow=" ++ _ = Cookie = proplists:get_value("set-cookie", Headers),
    ?assertNotEqual(nomatch, string:find(Cookie, "HttpOnly; SameSite=Strict")),
    ?assertEqual(nomatch, string:find(Cookie, ?TOKEN)),
    [Pair | _] = string:split(Cookie, ";"),
    ?assertMatch({200, _, _}, fetch("/api/state", [{"cookie", "a=b; " ++ Pair}])),
    %% With a token, all names of the host are accepted.
    ?assertMatch({200, _, _}, fetch("/", [{"host", "capture.example.org"}])).

%%% Helpers

raw(Request) ->
    {_, Port} = call_flow_web:address(),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [{active, false}]),
    ok = gen_tcp:send(Socket, Request),
    {ok, Answer} = gen_tcp:recv(Socket, 0, 5000),
    ok = gen_tcp:close(Socket),
    Answer.

sent(Prefix, Payloads) ->
    send([call_flow_fixture:sip(Payload) || Payload <- Payloads]),
    ?assert(until(fun() ->
        case row(Prefix) of
            #{<<"packets">> := N} -> N >= length(Payloads);
            none -> false
        end
    end)).

row(Prefix) ->
    #{<<"calls">> := Calls} = json("/api/state"),
    case [Row || #{<<"key">> := Key} = Row <- Calls, string:prefix(Key, Prefix) =/= nomatch] of
        [Row | _] -> Row;
        [] -> none
    end.
