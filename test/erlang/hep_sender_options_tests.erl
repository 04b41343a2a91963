%% @doc The options of the sender, and TLS.
-module(hep_sender_options_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep_collectors.hrl").

-import(hep_collectors, [
    numbered/1, numbers/1, listen/2, port/1, free_port/1, received/2, authorities/0,
    other_authorities/0, with_sender/2, wait_for/3, quietly/1
]).

%%% TLS

tls_test_() ->
    {timeout, 60, [
        {Title, {timeout, 30, fun() -> tls(Host, Tls, Expected) end}}
     || {Title, Host, Tls, Expected} <- [
            {"the CA is known, the name is right", "localhost", [{cacerts, authorities()}], up},
            {"by address", ?V4, [{cacerts, authorities()}], up},
            {"by address as text", <<"127.0.0.1">>, [{cacerts, authorities()}], up},
            {"another name", ?V4, [{cacerts, authorities()}, {server_name_indication, "other.example"}],
                wrong_name_alert()},
            {"a name with a wildcard", ?V4, [{cacerts, authorities()}, {server_name_indication, "a.wild.example"}], up},
            {"another CA", ?V4, [{cacerts, other_authorities()}], unknown_ca},
            {"not verified", "localhost", [{verify, verify_none}], up},
            {"TLS 1.2", "localhost", [{cacerts, authorities()}, {versions, ['tlsv1.2']}], up}
        ]
    ]}.

tls(Host, Tls, Expected) ->
    quietly(fun() ->
        Collector = listen(tls, ?V4),
        Options = #{transport => tls, targets => [{Host, port(Collector)}], tls => Tls, backoff => {5, 10}},
        with_sender(Options, fun(Sender) ->
            ok = hep_sender:send(Sender, numbered(1)),
            case Expected of
                up ->
                    ?assertEqual([1], numbers(received(1, Collector)));
                Alert ->
                    Refusing = spawn_link(fun() -> refuse(Collector) end),
                    wait_for(Sender, 1, #{state => down}),
                    #{targets := [#{last_error := Reason}], sent := 0, queued := 1} = hep_sender:info(Sender),
                    ?assertMatch({tls_alert, {Alert, _}}, Reason),
                    unlink(Refusing),
                    exit(Refusing, kill)
            end
        end)
    end).

%% OTP's alert for a certificate with another name.
wrong_name_alert() ->
    case list_to_integer(erlang:system_info(otp_release)) of
        Release when Release >= 27 -> bad_certificate;
        _ -> handshake_failure
    end.

%% The system's CAs do not include the collector's. A system may have none.
system_authorities_test() ->
    Options = #{transport => tls, targets => [{"localhost", free_port(tcp)}]},
    try public_key:cacerts_get() of
        _ -> tls(?V4, [], unknown_ca)
    catch
        _:_ -> ?assertEqual({error, no_cacerts}, hep_sender:start_link(Options))
    end.

%% Accepts and handshakes with any client.
refuse({tls, Listener} = Collector) ->
    {ok, Socket} = ssl:transport_accept(Listener),
    _ = ssl:handshake(Socket, ?PATIENCE),
    refuse(Collector).

%% Logs contain no secrets.
secrets_test() ->
    Options = #{
        transport => tls,
        auth_key => <<"open-sesame">>,
        tls => [{cacerts, authorities()}, {password, "open-sesame"}],
        targets => [{?V4, free_port(tcp)}]
    },
    Hidden = fun(Term) ->
        Shown = lists:flatten(io_lib:format("~p", [Term])),
        ?assertEqual(nomatch, string:find(Shown, "open-sesame"))
    end,
    with_sender(Options, fun(Sender) -> Hidden(sys:get_status(Sender)) end),
    #{start := {hep_sender, start_link, [Given]}} = Spec = hep_sender:child_spec(Options),
    Hidden(Spec),
    with_sender(Given, fun(Sender) -> Hidden(sys:get_status(Sender)) end),
    Wrong = fun() -> "open-sesame" end,
    ?assertEqual({error, {bad_option, {auth_key, Wrong}}}, hep_sender:start_link(Options#{auth_key => Wrong})).

%%% Options, one by one

wrong_options_test_() ->
    Right = #{targets => [{?V4, 9060}]},
    [
        {lists:flatten(io_lib:format("~P", [Wrong, 12])), fun() ->
            Options = maps:merge(Right, maps:from_list([Wrong])),
            ?assertEqual({error, {bad_option, Wrong}}, hep_sender:start_link(Options))
        end}
     || Wrong <- [
            {foo, 1},
            {"name", {local, x}},
            {name, x},
            {name, {local, "x"}},
            {name, {local, undefined}},
            {name, {via, "x", y}},
            {transport, sctp},
            {targets, []},
            {targets, {?V4, 9060}},
            {targets, [?V4]},
            {targets, [{?V4, 0}]},
            {targets, [{?V4, 65536}]},
            {targets, [{?V4, "9060"}]},
            {targets, [{?V4, 9060} | x]},
            {targets, [{{127, 0, 0, 256}, 9060}]},
            {targets, [{localhost, 9060}]},
            {targets, [{"", 9060}]},
            {targets, [{<<>>, 9060}]},
            {targets, [{"a b", 9060}]},
            {targets, [{[$a | b], 9060}]},
            {targets, [{?V4, 9060}, {x, 9060}]},
            {strategy, any},
            {queue, 0},
            {queue, infinity},
            {queue_bytes, 65534},
            {batch_bytes, 0},
            {backoff, 100},
            {backoff, {0, 1}},
            {backoff, {2, 1}},
            {backoff, {1, infinity}},
            {connect_timeout, 0},
            {connect_timeout, infinity},
            {send_timeout, -1},
            {resolve_every, 0},
            {resolve_every, never},
            {capture_id, -1},
            {capture_id, 1 bsl 32},
            {node_name, "edge"},
            {node_name, <<>>},
            {auth_key, key},
            {auth_key, <<>>},
            {correlation, call_id},
            {correlation, undefined},
            {encode, []},
            {encode, #{compress => brotli}},
            {encode, #{auth_key => <<"key">>}},
            {encode, #{foo => 1}},
            {sndbuf, 0},
            {tls, []},
            {tls, x}
        ]
    ].

wrong_tls_options_test_() ->
    Options = #{transport => tls, targets => [{"localhost", 9060}]},
    [
        {lists:flatten(io_lib:format("~P", [Tls, 12])), fun() ->
            quietly(fun() ->
                Result = hep_sender:start_link(Options#{tls => Tls}),
                ?assertEqual({error, {bad_option, {tls, Tls}}}, Result)
            end)
        end}
     || Tls <- [
            x,
            #{},
            [verify],
            [{cacerts, authorities()}, {verify, maybe_later}],
            [{verify, verify_peer} | x],
            [{cacerts, authorities()}, {versions, ['tlsv7']}],
            [{cacerts, authorities()}, {versions, []}],
            [{cacerts, authorities()}, {no_such_option, 1}],
            [{cacertfile, 1}],
            [{active, true}],
            [{packet, 4}]
        ]
    ].

format_error_test_() ->
    [
        ?_assertEqual(Text, hep_sender:format_error(Error))
     || {Error, Text} <- [
            {{bad_option, {transport, sctp}}, "the option transport is sctp: expected udp, tcp or tls"},
            {{bad_option, {targets, undefined}},
                "the option targets is missing: a list of {Host, Port}, at least one: the host as a name or an address; with balance, each one once"},
            {{bad_option, {auth_key, "secret"}}, "the option auth_key is wrong: expected a binary that is not empty"},
            {{bad_option, {no_such, 1}}, "unknown option no_such"},
            {{bad_option, []}, "the options are []: expected a map (in Elixir, a keyword list)"},
            {no_cacerts,
                "no trusted certificates: expected cacerts, cacertfile or verify_none in the option tls"},
            {not_running, "no such sender runs on this node"}
        ]
    ] ++ [?_assertError(badarg, hep_sender:format_error(no_reason))].

other_wrong_options_test_() ->
    [
        ?_assertEqual({error, {bad_option, Wrong}}, hep_sender:start_link(Options))
     || {Wrong, Options} <- [
            {x, x},
            {[], []},
            {[{transport, udp}], [{transport, udp}]},
            {{targets, undefined}, #{}},
            {{targets, undefined}, #{transport => tls}},
            {{tls, []}, #{transport => tcp, targets => [{?V4, 1}], tls => []}}
        ]
    ].
