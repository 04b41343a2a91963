-module(call_flow_config_tests).

-include_lib("eunit/include/eunit.hrl").

-define(TOKEN, <<"0123456789abcdef">>).

defaults_test() ->
    {ok, Config} = call_flow_config:check(#{}),
    ?assertMatch(
        #{
            listeners := [],
            http := #{ip := {127, 0, 0, 1}, port := 9080, token := none},
            limits := #{calls := 10000, messages := 1000, bytes := 268435456, age := 86400},
            upload := #{bytes := 67108864, files := 4},
            record := none
        },
        Config
    ),
    ?assertMatch(
        {ok, #{record := #{dir := "d", files := 10, file_bytes := 104857600}}}, call_flow_config:check(#{record => #{dir => "d"}})
    ).

other_hosts_need_a_token_test() ->
    Check = fun(Http) -> call_flow_config:check(#{http => Http}) end,
    ?assertEqual("http: 0.0.0.0 can be reached from other hosts, so a token is required", refused(Check(#{ip => {0, 0, 0, 0}}))),
    ?assertMatch({error, _}, Check(#{ip => {0, 0, 0, 0, 0, 0, 0, 0}})),
    ?assertMatch({error, _}, Check(#{ip => {192, 0, 2, 1}})),
    ?assertMatch({error, _}, Check(#{ip => {0, 0, 0, 0}, token => <<"short">>})),
    ?assertMatch({error, _}, Check(#{ip => {0, 0, 0, 0}, token => <<>>})),
    ?assertMatch({ok, _}, Check(#{ip => {0, 0, 0, 0}, token => ?TOKEN})),
    ?assertMatch({ok, #{http := #{token := ?TOKEN}}}, Check(#{token => binary_to_list(?TOKEN)})),
    ?assertMatch({ok, _}, Check(#{ip => {127, 5, 5, 5}})),
    ?assertMatch({ok, _}, Check(#{ip => {0, 0, 0, 0, 0, 0, 0, 1}})).

wrong_values_are_reported_test() ->
    Cases = [
        {#{limits => #{calls => 0}}, "calls must be a positive integer, not 0"},
        {#{limits => []}, "limits must be a map, not []"},
        {#{upload => #{size => 1}}, "upload has no key size; its keys are [bytes,files]"},
        {#{listeners => #{}}, "listeners must be a list of maps, not #{}"},
        {#{http => #{ip => "127.0.0.1"}}, "http: ip must be an address such as {127,0,0,1}, not \"127.0.0.1\""},
        {#{http => #{port => 65536}}, "http: port must be 0 to 65535, not 65536"},
        {#{record => #{files => 3}}, "record: dir is required"},
        {#{record => #{dir => "d", files => none}}, "files must be a positive integer, not none"}
    ],
    ?assertEqual([], [{Env, Text, refused(call_flow_config:check(Env))} || {Env, Text} <- Cases, refused(call_flow_config:check(Env)) =/= Text]).

variables_override_the_configuration_test_() ->
    {setup,
        fun() ->
            application:set_env([{call_flow, [{listeners, [#{port => 1}, #{port => 2}]}, {http, #{port => 3, token => ?TOKEN}}]}])
        end,
        fun(_) ->
            [os:unsetenv(Name) || Name <- ["PORT", "HTTP_PORT", "HTTP_IP", "HTTP_TOKEN"]],
            [application:unset_env(call_flow, Key) || Key <- [listeners, http]]
        end, fun() ->
            [os:putenv(Name, Value) || {Name, Value} <- [{"PORT", "10"}, {"HTTP_PORT", "11"}, {"HTTP_IP", "0.0.0.0"}]],
            ?assertMatch(
                {ok, #{listeners := [#{port := 10}, #{port := 2}], http := #{port := 11, ip := {0, 0, 0, 0}, token := ?TOKEN}}},
                call_flow_config:load()
            ),
            os:putenv("PORT", "x"),
            ?assertEqual("$PORT must be a port, not x", refused(call_flow_config:load()))
        end}.

%% The application does not start, and prints the reason.
the_start_fails_test() ->
    ok = application:set_env([{call_flow, [{http, #{ip => {0, 0, 0, 0}}}]}], [{persistent, true}]),
    Level = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    {error, {call_flow, {{configuration, Text}, _}}} = application:ensure_all_started(call_flow),
    ok = logger:set_primary_config(Level),
    ?assertMatch("http: 0.0.0.0 can be reached" ++ _, Text),
    ok = application:unset_env(call_flow, http),
    ok = application:unload(call_flow).

refused({error, Text}) -> lists:flatten(Text);
refused(Other) -> Other.
