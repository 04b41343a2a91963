%% @doc Log events as packets at a collector, and what can fail on the way.
-module(hep_logger_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_collectors.hrl").

-import(hep_collectors, [listen/2, port/1, received/2, decoded/1, wait/1]).

%% Callbacks of the formatter, of another logger handler, and of a registry of names.
-export([format/2, log/2, whereis_name/1]).

-define(ID, ?MODULE).

%%% What arrives

events_test() ->
    with_handler(#{capture_id => 7}, fun(Collector, _) ->
        logger:error("no route to ~ts", ["J" ++ [252] ++ "rgen"], #{call_id => <<"17@a">>, time => 1700123456654321}),
        [Hep] = packets(1, Collector),
        ?assertMatch(
            #hep{
                version = 3, protocol = 17, src_ip = {127, 0, 0, 1}, src_port = 0, dst_ip = {127, 0, 0, 1}, dst_port = 0,
                timestamp = {1700, 123456, 654321}, node_id = 7, payload_type = 100
            },
            Hep
        ),
        ?assertEqual(<<"17@a">>, hep:correlation_id(Hep)),
        ?assertEqual(<<"error: no route to Jürgen"/utf8>>, hep:payload(Hep)),
        ?assertMatch({ok, #{sent := 1, own := 0}}, hep_logger:info(?ID))
    end).

%% Without an id, and with the current time.
plain_event_test() ->
    with_handler(#{}, fun(Collector, _) ->
        Before = os:system_time(microsecond),
        logger:error(#{what => broken}),
        [#hep{timestamp = {Mega, Seconds, Micro}, node_id = NodeId} = Hep] = packets(1, Collector),
        Time = (Mega * 1000000 + Seconds) * 1000000 + Micro,
        ?assert(Before =< Time andalso Time =< os:system_time(microsecond)),
        ?assertEqual({undefined, undefined}, {NodeId, hep:correlation_id(Hep)}),
        ?assertEqual(<<"error: what: broken">>, hep:payload(Hep))
    end).

call_ids_test_() ->
    [
        {lists:flatten(io_lib:format("~0p ~0P", [Keys, Meta, 8])), fun() ->
            with_handler(#{call_id => Keys}, fun(Collector, _) ->
                logger:error("x", Meta),
                ?assertEqual([Expected], [hep:correlation_id(Hep) || Hep <- packets(1, Collector)])
            end)
        end}
     || {Keys, Meta, Expected} <- [
            {call_id, #{call_id => "text"}, <<"text">>},
            {call_id, #{call_id => <<255>>}, <<255>>},
            {call_id, #{call_id => <<>>}, undefined},
            {call_id, #{call_id => ""}, undefined},
            {call_id, #{call_id => 17}, undefined},
            {call_id, #{call_id => [x | y]}, undefined},
            {call_id, #{call_id => <<1:1>>}, undefined},
            {sip, #{call_id => <<"a">>, sip => <<"b">>}, <<"b">>},
            {[sip, call_id], #{call_id => <<"a">>, sip => <<"b">>}, <<"b">>},
            {[sip, call_id], #{call_id => <<"a">>}, <<"a">>},
            {[sip, call_id], #{call_id => <<"a">>, sip => 17}, <<"a">>},
            {[sip, call_id], #{call_id => <<"a">>, sip => <<>>}, <<"a">>},
            {[sip, call_id], #{call_id => <<"a">>, sip => ""}, <<"a">>}
        ]
    ].

%% The metadata of an event may be any term.
wrong_time_test() ->
    with_handler(#{}, fun(Collector, _) ->
        logger:error("x", #{time => noon}),
        ?assertMatch([#hep{timestamp = {_, _, _}}], packets(1, Collector)),
        logger:error("x", #{time => -1}),
        ?assertMatch({ok, #{sent := 1, rejected := 1}}, hep_logger:info(?ID))
    end).

%% A text that is too large for a packet is cut between two characters.
large_event_test_() ->
    [
        {integer_to_list(Before), fun() ->
            with_handler(#{}, fun(Collector, _) ->
                Start = binary:copy(<<"a">>, Before),
                logger:error("~ts", [[Start, lists:duplicate(40000, 16#20ac)]]),
                [Hep] = packets(1, Collector),
                Text = hep:payload(Hep),
                ?assert(byte_size(Text) > 59996 andalso byte_size(Text) =< 60000),
                ?assertMatch([_ | _], unicode:characters_to_list(Text)),
                ?assertMatch({ok, #{sent := 1, shortened := 1, rejected := 0}}, hep_logger:info(?ID))
            end)
        end}
     || Before <- [0, 1, 2]
    ].

%%% The formatter

formatter_test() ->
    with_handler(#{}, #{formatter => {?MODULE, fun(#{level := Level}) -> ["<", atom_to_list(Level), ">\n\n"] end}}, fun(Collector, _) ->
        logger:error("x"),
        ?assertEqual([<<"<error>\n">>], texts(1, Collector))
    end).

bytes_of_a_formatter_test_() ->
    [
        fun() ->
            with_handler(#{}, #{formatter => {?MODULE, fun(_) -> Text end}}, fun(Collector, _) ->
                logger:error("x"),
                ?assertEqual([Expected], texts(1, Collector))
            end)
        end
     || {Text, Expected} <- [{<<>>, <<>>}, {"\n", <<>>}, {<<"a", 255>>, <<"a", 255>>}, {["a", <<228>>], <<"a", 228>>}]
    ].

%% Crashes, and results that are not text: the event is sent, and the first crash is reported to the other handlers.
formatter_crash_test_() ->
    [
        fun() ->
            with_handler(#{}, #{formatter => {?MODULE, Format}}, fun(Collector, _) ->
                [logger:error("lost ~p", [N], #{time => noon, call_id => <<"17@a">>}) || N <- [1, 2]],
                [First, Second] = packets(2, Collector),
                ?assertEqual(<<"error: FORMATTER CRASH: {\"lost ~p\",[1]}">>, hep:payload(First)),
                ?assertEqual(<<"17@a">>, hep:correlation_id(Second)),
                ?assertMatch([#{what := hep_logger_formatter_crashed, handler := ?ID, formatter := ?MODULE}], reports()),
                ?assertMatch({ok, #{sent := 2, formatter_crashes := 2}}, hep_logger:info(?ID))
            end)
        end
     || Format <- [fun(_) -> error(oops) end, fun(_) -> throw(oops) end, fun(_) -> text end, fun(_) -> [<<255>>, 16#20ac] end]
    ].

%% The report of a crash takes at most a few kilobytes.
formatter_crash_of_a_large_event_test() ->
    with_handler(#{}, #{formatter => {?MODULE, fun(_) -> exit(oops) end}}, fun(Collector, _) ->
        logger:error(#{large => lists:seq(1, 100000)}),
        [Text] = texts(1, Collector),
        ?assert(byte_size(Text) < 10000)
    end).

%%% Its own events

%% Otherwise each event would cause another one.
formatter_that_logs_test() ->
    Format = fun(#{msg := Message}) ->
        logger:error("from the formatter"),
        io_lib:format("~0p", [Message])
    end,
    with_handler(#{}, #{formatter => {?MODULE, Format}}, fun(Collector, _) ->
        logger:error("x"),
        ?assertEqual([<<"{string,\"x\"}">>], texts(1, Collector)),
        ?assertMatch({ok, #{sent := 1, own := 1}}, hep_logger:info(?ID))
    end).

events_of_the_sender_test() ->
    with_handler(#{}, fun(Collector, Sender) ->
        {links, Links} = process_info(Sender, links),
        Connections = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
        ?assertMatch([_], Connections),
        [sys:replace_state(Pid, fun(State) -> logger:error("own"), State end) || Pid <- [Sender | Connections]],
        %% An event of another process with the sender's pid, like logger's own reports of crashes.
        logger:error("own", #{pid => Sender}),
        logger:error("other"),
        ?assertEqual([<<"error: other">>], texts(1, Collector)),
        ?assertMatch({ok, #{sent := 1, own := 3}}, hep_logger:info(?ID))
    end).

%% The ancestors of the connections contain the name.
events_of_a_named_sender_test() ->
    Name = {local, hep_logger_tests_sender},
    with_handler(#{sender => hep_logger_tests_sender}, #{}, #{name => Name}, fun(Collector, Sender) ->
        {links, Links} = process_info(Sender, links),
        [sys:replace_state(Pid, fun(State) -> logger:error("own"), State end) || Pid <- Links, is_pid(Pid), Pid =/= self()],
        logger:error("other"),
        ?assertEqual([<<"error: other">>], texts(1, Collector)),
        ?assertMatch({ok, #{sent := 1, own := 1}}, hep_logger:info(?ID))
    end).

%%% The sender

%% Logging never waits, and the sender counts.
overload_test() ->
    with_handler(#{}, #{}, #{queue => 1}, fun(Collector, Sender) ->
        ok = sys:suspend(Sender),
        [logger:error("~b", [N]) || N <- lists:seq(1, 10)],
        ok = sys:resume(Sender),
        ?assertEqual([<<"error: 1">>], texts(1, Collector)),
        ?assertMatch(#{refused := #{overloaded := 9}}, hep_sender:info(Sender)),
        ?assertMatch({ok, #{sent := 1, overloaded := 9}}, hep_logger:info(?ID))
    end).

%% Reported once, and again after the sender has worked in between.
dead_sender_test_() ->
    [
        {lists:flatten(io_lib:format("~0p", [Name])), fun() -> dead_sender(Name) end}
     || Name <- [{local, hep_logger_tests_sender}, {global, hep_logger_tests_sender}]
    ].

dead_sender(Name) ->
    Sender =
        case Name of
            {local, Local} -> Local;
            _ -> Name
        end,
    Report = #{what => hep_logger_sender_not_running, handler => ?ID, sender => Sender},
    with_handler(#{sender => Sender}, #{}, #{name => Name}, fun(Collector, Pid) ->
        logger:error("before"),
        ?assertEqual([<<"error: before">>], texts(1, Collector)),
        ok = hep_sender:stop(Pid),
        [logger:error("lost") || _ <- [1, 2, 3]],
        ?assertEqual([Report], reports()),
        {ok, Next} = hep_sender:start_link(#{name => Name, targets => [{?V4, port(Collector)}]}),
        logger:error("after"),
        ?assertEqual([<<"error: after">>], texts(1, Collector)),
        ok = hep_sender:stop(Next),
        [logger:error("lost") || _ <- [1, 2]],
        ?assertEqual([Report], reports()),
        ?assertMatch({ok, #{sent := 2, not_running := 5}}, hep_logger:info(?ID))
    end).

%% An unknown name, and a registry that raises, as Elixir's does before it is started.
unknown_sender_test_() ->
    [
        fun() ->
            with_handler(#{sender => Sender}, fun(_, _) ->
                logger:error("lost"),
                ?assertMatch([#{what := hep_logger_sender_not_running, sender := Sender}], reports()),
                ?assertMatch({ok, #{sent := 0, not_running := 1}}, hep_logger:info(?ID))
            end)
        end
     || Sender <- [hep_logger_tests_nobody, {global, nobody}, {via, ?MODULE, nobody}, {via, no_such_module, nobody}]
    ].

%% The process of a pid has ended.
dead_pid_test() ->
    {Dead, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    with_handler(#{sender => Dead}, fun(_, _) ->
        logger:error("lost"),
        ?assertMatch([#{what := hep_logger_sender_not_running, sender := Dead}], reports()),
        ?assertMatch({ok, #{sent := 0, not_running := 1, rejected := 0}}, hep_logger:info(?ID))
    end).

%% Reported once with the reason.
rejected_event_test() ->
    with_handler(#{}, fun(_, _) ->
        Id = binary:copy(<<"x">>, 70000),
        [logger:error("x", #{call_id => Id}) || _ <- [1, 2]],
        [#{what := hep_logger_event_rejected, handler := ?ID, reason := Reason}] = reports(),
        ?assertMatch("invalid value for chunks" ++ _, Reason),
        ?assertMatch({ok, #{sent := 0, rejected := 2}}, hep_logger:info(?ID))
    end).

%%% The configuration

wrong_options_test_() ->
    Sender = #{sender => self()},
    [
        {lists:flatten(io_lib:format("~0p", [Options])), fun() ->
            Error = {handler_not_added, {bad_option, Wrong}},
            ?assertEqual({error, Error}, logger:add_handler(?ID, hep_logger, #{config => Options})),
            ?assertEqual(Sentence, hep_logger:format_error(Error)),
            ?assertEqual({error, not_found}, hep_logger:info(?ID))
        end}
     || {Options, Wrong, Sentence} <- [
            {#{}, {sender, missing}, "the option sender is missing: a pid, an atom, {global, Name} or {via, Module, Name}"},
            {#{sender => nil}, {sender, nil}, "the option sender is nil: expected a pid, an atom, {global, Name} or {via, Module, Name}"},
            {#{sender => {local, x}}, {sender, {local, x}},
                "the option sender is {local,x}: expected a pid, an atom, {global, Name} or {via, Module, Name}"},
            {Sender#{call_id => []}, {call_id, []}, "the option call_id is []: expected an atom or a list of atoms, at least one"},
            {Sender#{call_id => [a | b]}, {call_id, [a | b]},
                "the option call_id is [a|b]: expected an atom or a list of atoms, at least one"},
            {Sender#{capture_id => -1}, {capture_id, -1}, "the option capture_id is -1: expected an integer of 32 bits"},
            {Sender#{foo => 1}, {foo, 1}, "unknown option foo"}
        ]
    ].

options_that_are_not_a_map_test() ->
    ?assertMatch({error, {handler_not_added, {bad_option, {sender, missing}}}}, logger:add_handler(?ID, hep_logger, #{})),
    ?assertEqual({error, {bad_option, x}}, hep_logger:adding_handler(#{id => ?ID, config => x})),
    ?assertError(badarg, hep_logger:format_error(x)).

%% Changes keep the counters; invalid changes have no effect.
changes_test() ->
    with_handler(#{}, fun(Collector, Sender) ->
        logger:error("x"),
        ok = logger:update_handler_config(?ID, config, #{capture_id => 9}),
        ?assertMatch({ok, #{config := #{sender := Sender, call_id := call_id, capture_id := 9}}}, logger:get_handler_config(?ID)),
        ?assertEqual({error, {bad_option, {foo, 1}}}, logger:update_handler_config(?ID, config, #{foo => 1})),
        ?assertEqual({error, {bad_option, {sender, missing}}}, logger:set_handler_config(?ID, config, #{capture_id => 9})),
        ok = logger:update_handler_config(?ID, level, critical),
        logger:error("below the level"),
        ok = logger:set_handler_config(?ID, config, #{sender => Sender, call_id => [sip]}),
        logger:critical("y", #{sip => <<"1">>}),
        [First, Second] = packets(2, Collector),
        ?assertEqual([undefined, undefined], [Hep#hep.node_id || Hep <- [First, Second]]),
        ?assertEqual(<<"1">>, hep:correlation_id(Second)),
        ?assertMatch({ok, #{sent := 2}}, hep_logger:info(?ID))
    end).

removed_test() ->
    with_handler(#{}, fun(_, _) ->
        {ok, Config} = logger:get_handler_config(?ID),
        ok = logger:remove_handler(?ID),
        ?assertEqual({error, not_found}, hep_logger:info(?ID)),
        ?assertEqual(undefined, persistent_term:get({hep_logger, ?ID}, undefined)),
        %% An event that was on its way.
        ?assertEqual(ok, hep_logger:log(#{level => error, msg => {string, "x"}, meta => #{}}, Config)),
        ok = logger:add_handler(?ID, hep_logger, Config)
    end).

%%% Helpers

with_handler(Options, Test) -> with_handler(Options, #{}, Test).

with_handler(Options, Config, Test) -> with_handler(Options, Config, #{}, Test).

%% The default handler is off, since the tests log on purpose; another one passes on reports.
with_handler(Options, Config, SenderOptions, Test) ->
    Collector = listen(udp, ?V4),
    {ok, #{level := Level}} = logger:get_handler_config(default),
    ok = logger:set_handler_config(default, level, none),
    ok = logger:add_handler(hep_logger_tests_reports, ?MODULE, #{level => warning, config => #{pid => self()}}),
    process_flag(trap_exit, true),
    %% Those of the previous test.
    _ = reports(),
    try
        {ok, Sender} = hep_sender:start_link(SenderOptions#{targets => [{?V4, port(Collector)}]}),
        wait(fun() -> maps:get(state, hd(maps:get(targets, hep_sender:info(Sender)))) =:= up end),
        Complete = maps:merge(#{formatter => {logger_formatter, #{template => [level, ": ", msg, "\n"]}}}, Config),
        ok = logger:add_handler(?ID, hep_logger, Complete#{config => maps:merge(#{sender => Sender}, Options)}),
        Test(Collector, Sender),
        %% logger removes a handler that raises.
        ?assertMatch({ok, _}, logger:get_handler_config(?ID)),
        is_process_alive(Sender) andalso hep_sender:stop(Sender)
    after
        logger:remove_handler(?ID),
        logger:remove_handler(hep_logger_tests_reports),
        logger:set_handler_config(default, level, Level),
        hep_collectors:close(Collector)
    end.

packets(Number, Collector) -> [decoded(Datagram) || Datagram <- received(Number, Collector)].

texts(Number, Collector) -> [hep:payload(Hep) || Hep <- packets(Number, Collector)].

%% The reports of hep_logger so far: they are logged in this process.
reports() ->
    receive
        {report, #{what := What} = Report} ->
            case atom_to_list(What) of
                "hep_logger" ++ _ -> [Report | reports()];
                _ -> reports()
            end
    after 0 -> []
    end.

log(#{msg := {report, Report}}, #{config := #{pid := Pid}}) -> Pid ! {report, Report};
log(_, _) -> ok.

format(Event, Format) when is_function(Format) -> Format(Event).

whereis_name(_) -> error(badarg).
