%% @doc The port program under stress: pipelining, timeouts, ends, starts.
-module(hep_port_program_tests).

-behaviour(supervisor).

-include_lib("eunit/include/eunit.hrl").

-import(hep_ports, [
    each_of/2, each_of/3, ended/1, exit_of/1, in_folder/1, is_running/1, os_pid/1, quietly/1,
    script/2, signal/2, wait/1, wait/2, with_port/1, with_port/2, with_script/3,
    with_script_now/3
]).
-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%% Callback of the supervisor.
-export([init/1]).

%%% Pipelining

answers_go_to_their_callers_test_() ->
    with_port(fun(Port) ->
        ?assertEqual(
            lists:duplicate(20, ok),
            each_of(20, fun(Number) ->
                [
                    begin
                        Payload = <<Number:32, Turn:32, (binary:copy(<<"x">>, Turn))/binary>>,
                        {ok, Hep} = hep_port:decode(Port, frame(chunk(15, Payload))),
                        Payload = hep:payload(Hep)
                    end
                 || Turn <- lists:seq(1, 200)
                ],
                {messages, []} = process_info(self(), messages),
                ok
            end)
        )
    end).

%% 1000 batches leave nothing in memory.
memory_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            Batch = lists:duplicate(64, {decode, frame(chunk(15, <<0:600/unit:8>>))}),
            Run = fun(Times) ->
                [64 = length(hep_port:batch(Port, Batch)) || _ <- lists:seq(1, Times)],
                true = erlang:garbage_collect(),
                Heap = element(2, process_info(Port, memory)),
                true = erlang:garbage_collect(Port),
                {Heap, element(2, process_info(Port, memory)), binaries(Port)}
            end,
            _ = Run(50),
            {Heap, Collected, Binaries} = Run(1000),
            ?assert(Heap < 200000),
            ?assert(Collected < 50000),
            ?assert(Binaries < 200000)
        end)}.

binaries(Pid) ->
    {binary, Binaries} = process_info(Pid, binary),
    lists:sum([Size || {_, Size, _} <- Binaries]).

%%% Time

no_answer_is_a_timeout_test_() ->
    with_script("cat >/dev/null", #{timeout => 100}, fun(Port) ->
        Batch = fun(_) -> hep_port:batch(Port, [{parse, <<"x">>}]) end,
        Parse = fun(_) -> hep_port:parse(Port, <<"x">>) end,
        ?assertEqual(
            lists:duplicate(20, {error, timeout}),
            each_of(20, fun(Number) -> (lists:nth(1 + Number rem 2, [Batch, Parse]))(Number) end)
        )
    end).

%% A program that does not read: the pipe is full, and the timeout still applies.
no_reader_is_a_timeout_test_() ->
    with_script("exec sleep 4", #{timeout => 100}, fun(Port) ->
        Large = <<0:100000/unit:8>>,
        ?assertEqual(
            lists:duplicate(10, {error, timeout}),
            each_of(10, fun(_) -> hep_port:decode(Port, Large) end, 2000)
        )
    end).

late_answers_are_dropped_test_() ->
    with_port(#{timeout => 150}, fun(Port) ->
        Program = os_pid(Port),
        signal("STOP", Program),
        ?assertEqual({error, timeout}, hep_port:decode(Port, <<"x">>)),
        signal("CONT", Program),
        [
            ?assertEqual({error, invalid_packet, <<I:8>>}, hep_port:parse(Port, <<I:8>>))
         || I <- lists:seq(0, 20)
        ],
        ?assertEqual({messages, []}, process_info(self(), messages)),
        ?assertEqual(Program, os_pid(Port))
    end).

%% A program after a long pause, and one that always answers late, are not stuck.
late_program_is_not_stuck_test_() ->
    with_port(#{timeout => 150}, fun(Port) ->
        Program = os_pid(Port),
        timer:sleep(450),
        [
            begin
                signal("STOP", Program),
                ?assertEqual({error, timeout}, hep_port:decode(Port, <<"x">>)),
                signal("CONT", Program),
                ?assertEqual({error, not_hep}, hep_port:decode(Port, <<"x">>))
            end
         || _ <- lists:seq(1, 4)
        ],
        ?assertEqual(Program, os_pid(Port))
    end).

%% A program that answers is not stuck, although one request stays unanswered for longer than twice the timeout.
answering_program_is_not_stuck_test_() ->
    {ok, Request} = hep_port_term:request({decode, <<>>}),
    Size = iolist_size(hep_port_frames:frame(0, [Request])),
    %% Drops the first request, and answers badarg to the others.
    Script = io_lib:format(
        "head -c ~b >/dev/null; while head -c 4 >/dev/null; do number=$(head -c 8 | od -An -vtx1); test -n \"$number\" || exit; "
        "head -c ~b >/dev/null; printf '\\000\\000\\000\\025'; for b in $number; do printf \"\\\\$(printf %o 0x$b)\"; done; "
        "printf '\\000\\000\\000\\011\\203\\167\\006badarg'; done",
        [Size, Size - 12]
    ),
    with_script(Script, #{timeout => 500}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, timeout}, hep_port:decode(Port, <<>>)),
        [
            begin
                ?assertError(badarg, hep_port:decode(Port, <<>>)),
                timer:sleep(100)
            end
         || _ <- lists:seq(1, 15)
        ],
        ?assertEqual(Program, os_pid(Port))
    end).

%% After twice the timeout, without another request. Pending requests get an error.
stuck_program_is_replaced_test_() ->
    with_port(#{timeout => 500}, fun(Port) ->
        Program = os_pid(Port),
        signal("STOP", Program),
        ?assertEqual({error, timeout}, hep_port:decode(Port, <<"x">>)),
        timer:sleep(250),
        ?assertEqual(
            lists:duplicate(5, {error, port_restarted}),
            each_of(5, fun(_) -> hep_port:decode(Port, <<"x">>) end)
        ),
        ended(Program),
        ?assertEqual({error, not_hep}, hep_port:decode(Port, <<"x">>)),
        ?assertNotEqual(Program, os_pid(Port)),
        ?assertEqual({messages, []}, process_info(self(), messages))
    end).

%% A program that neither reads its input nor reacts to signals that can be ignored.
deaf_program_is_replaced_test_() ->
    with_script("trap '' TERM INT HUP; exec sleep 8", #{timeout => 100}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, timeout}, hep_port:decode(Port, <<"x">>)),
        ended(Program),
        ?assertNotEqual(Program, os_pid(Port))
    end).

%% After a few restarts the server ends, and its supervisor decides.
program_that_is_always_stuck_test_() ->
    quietly(fun() ->
        with_script_now("exec sleep 8", #{timeout => 20}, fun(Port) ->
            Answers = each_of(5, fun(_) -> until_gone(Port) end),
            ?assertEqual(lists:duplicate(5, gone), Answers),
            ?assertEqual({program_ends, stuck}, exit_of(Port))
        end)
    end).

%%% Ends of the program

killed_program_test_() ->
    with_port(fun(Port) ->
        Program = os_pid(Port),
        signal("STOP", Program),
        Killer = spawn_link(fun() -> receive kill -> signal("KILL", Program) end end),
        _ = erlang:send_after(300, Killer, kill),
        Answers = each_of(20, fun(_) ->
            {hep_port:decode(Port, <<"x">>), hep_port:decode(Port, <<"x">>)}
        end),
        ?assertEqual(lists:duplicate(20, {{error, port_restarted}, {error, not_hep}}), Answers),
        ?assertNotEqual(Program, os_pid(Port))
    end).

%% Every request gets one result: the right one or port_restarted.
killed_under_load_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            Self = self(),
            Tracer = spawn_link(fun() -> sent([]) end),
            1 = erlang:trace(Port, true, [send, {tracer, Tracer}]),
            Killer = spawn_link(fun() ->
                [
                    begin
                        timer:sleep(100),
                        signal("KILL", os_pid(Port))
                    end
                 || _ <- lists:seq(1, 4)
                ],
                timer:sleep(100),
                Self ! {self(), done}
            end),
            Counts = each_of(20, fun(Number) ->
                Packet = frame(chunk(15, <<Number:32, 0:500/unit:8>>)),
                Expected = lists:duplicate(20, hep:decode(Packet)),
                load(Port, lists:duplicate(20, {decode, Packet}), Expected, Killer, 0, 0)
            end),
            receive {Killer, done} -> ok end,
            _ = erlang:trace(Port, false, [send]),
            Delivered = erlang:trace_delivered(Port),
            receive {trace_delivered, Port, Delivered} -> ok end,
            Tracer ! {tags, self()},
            Tags = receive {tags, T} -> T end,
            ?assertEqual(length(Tags), length(lists:usort(Tags))),
            ?assertEqual(lists:sum([Requests || {Requests, _} <- Counts]), length(Tags)),
            ?assert(lists:sum([Restarted || {_, Restarted} <- Counts]) > 0),
            ?assertEqual({error, not_hep}, hep_port:decode(Port, <<"x">>))
        end)}.

load(Port, Requests, Expected, Killer, Restarted, Count) ->
    case is_process_alive(Killer) of
        false ->
            {messages, []} = process_info(self(), messages),
            {Count, Restarted};
        true ->
            case hep_port:batch(Port, Requests) of
                Expected -> load(Port, Requests, Expected, Killer, Restarted, Count + 1);
                {error, port_restarted} -> load(Port, Requests, Expected, Killer, Restarted + 1, Count + 1)
            end
    end.

%% The tags of the replies that the server sent.
sent(Tags) ->
    receive
        {trace, _, Sent, {Tag, _}, _} when Sent =:= send; Sent =:= send_to_non_existing_process ->
            sent([Tag | Tags]);
        {tags, Asker} ->
            Asker ! {tags, Tags};
        _ ->
            sent(Tags)
    end.

%% A program that closes its input and output, and keeps running.
program_that_closes_its_input_and_output_test_() ->
    with_script("exec 0<&- 1>&-; exec sleep 20", #{timeout => 1000}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, port_restarted}, until_restarted(Port, 100)),
        ended(Program),
        ?assertNotEqual(Program, os_pid(Port))
    end).

%% The first request may come before the input is closed.
until_restarted(Port, Times) when Times > 0 ->
    case hep_port:decode(Port, <<"x">>) of
        {error, timeout} -> until_restarted(Port, Times - 1);
        Answer -> Answer
    end.

%% After a few restarts the server ends, and its supervisor decides.
program_that_ends_at_once_test_() ->
    quietly(fun() ->
        in_folder(fun(Folder) ->
            Program = script(Folder, "echo >>\"$0.runs\"; exit 3"),
            {ok, Port} = hep_port:start_link(#{program => Program}),
            ?assertEqual({program_ends, {exit_status, 3}}, exit_of(Port)),
            {ok, Runs} = file:read_file(Program ++ ".runs"),
            ?assertEqual(6, byte_size(Runs))
        end)
    end).

supervisor_sees_the_end_test_() ->
    quietly(fun() ->
        in_folder(fun(Folder) ->
            Program = script(Folder, "exit 3"),
            Child = hep_port:child_spec(#{program => Program}),
            {ok, Supervisor} = supervisor:start_link(?MODULE, {#{intensity => 1, period => 10}, [Child]}),
            ?assertEqual(shutdown, exit_of(Supervisor))
        end)
    end).

callers_of_a_server_that_gives_up_test_() ->
    quietly(fun() ->
        with_script_now("exit 3", #{}, fun(Port) ->
            Answers = each_of(20, fun(_) -> until_gone(Port) end),
            ?assertEqual(lists:duplicate(20, gone), Answers)
        end)
    end).

until_gone(Port) ->
    try hep_port:decode(Port, <<"x">>) of
        {error, Failure} when Failure =:= port_restarted; Failure =:= timeout -> until_gone(Port)
    catch
        exit:{_, {gen_server, call, _}} -> gone
    end.

missing_program_test_() ->
    quietly(fun() ->
        {error, {cannot_start, Path, enoent, Hint}} =
            hep_port:start_link(#{program => "/no/such/program"}),
        ?assertEqual("/no/such/program", Path),
        ?assertNotEqual(nomatch, string:find(Hint, "`program'")),
        in_folder(fun(Folder) ->
            File = filename:join(Folder, "plain"),
            ok = file:write_file(File, "no program"),
            ?assertMatch({error, {cannot_start, File, eacces, _}}, hep_port:start_link(#{program => File})),
            Supervised = supervisor:start_link(?MODULE, {#{}, [hep_port:child_spec(#{program => File})]}),
            ?assertMatch({error, {shutdown, {failed_to_start_child, _, {cannot_start, _, _, _}}}}, Supervised)
        end)
    end).

%%% No program is left behind

program_ends_with_its_owner_test_() ->
    quietly(fun() ->
        {ok, Stopped} = hep_port:start_link(#{}),
        Program = os_pid(Stopped),
        ?assert(is_running(Program)),
        ok = hep_port:stop(Stopped),
        ended(Program),
        {ok, Busy} = hep_port:start_link(#{}),
        Stuck = os_pid(Busy),
        signal("STOP", Stuck),
        {Asker, Monitored} = spawn_monitor(fun() -> hep_port:decode(Busy, <<"x">>) end),
        wait(fun() -> element(2, process_info(Asker, current_function)) =:= {gen, do_call, 4} end),
        ok = hep_port:stop(Busy),
        receive {'DOWN', Monitored, _, _, {normal, _}} -> ok end,
        ended(Stuck),
        {ok, Killed} = hep_port:start_link(#{}),
        Orphan = os_pid(Killed),
        exit(Killed, kill),
        ?assertEqual(killed, exit_of(Killed)),
        ended(Orphan),
        Self = self(),
        Parent = spawn(fun() ->
            {ok, Port} = hep_port:start_link(#{}),
            Self ! {port, Port},
            receive never -> ok end
        end),
        Linked = receive {port, P} -> P end,
        Last = os_pid(Linked),
        Monitor = monitor(process, Linked),
        exit(Parent, kill),
        receive {'DOWN', Monitor, _, _, _} -> ok end,
        ended(Last)
    end).

%%% Processes linked to the server

%% Abnormal ends of linked processes end the server.
linked_process_ends_test_() ->
    quietly(fun() ->
        {ok, Port} = hep_port:start_link(#{}),
        ends_linked(Port, normal),
        ?assertEqual({error, not_hep}, hep_port:decode(Port, <<"x">>)),
        Program = os_pid(Port),
        ends_linked(Port, reason),
        ?assertEqual(reason, exit_of(Port)),
        ended(Program)
    end).

ends_linked(Server, Reason) ->
    {_, Monitor} = spawn_monitor(fun() -> link(Server), exit(Reason) end),
    receive {'DOWN', Monitor, _, _, _} -> ok end.

%%% Starting

supervised_test_() ->
    quietly(fun() ->
        Name = hep_port_tests_server,
        Via = {via, global, hep_port_tests_via},
        Children = [
            hep_port:child_spec(Options)
         || Options <- [#{}, #{name => {local, Name}}, #{name => {global, Name}}, #{name => Via}]
        ],
        {ok, Supervisor} = supervisor:start_link(?MODULE, {#{}, Children}),
        [
            ?assertEqual({error, not_hep}, hep_port:decode(Server, <<"x">>))
         || Server <- [Name, {Name, node()}, {global, Name}, Via]
        ],
        Again = hep_port:start_link(#{name => {local, Name}}),
        ?assertEqual({error, {already_started, whereis(Name)}}, Again),
        Before = whereis(Name),
        Monitor = monitor(process, Before),
        exit(Before, kill),
        receive {'DOWN', Monitor, _, _, killed} -> ok end,
        wait(fun() -> is_pid(whereis(Name)) end),
        ?assertEqual({error, not_hep}, hep_port:decode(Name, <<"x">>)),
        Programs = [os_pid(Pid) || {_, Pid, _, _} <- supervisor:which_children(Supervisor)],
        ?assertEqual(4, length(lists:usort(Programs))),
        unlink(Supervisor),
        ok = gen_server:stop(Supervisor),
        [ended(Program) || Program <- Programs]
    end).

%% @private
init(Specification) ->
    {ok, Specification}.

wrong_options_test() ->
    [
        ?assertEqual({error, {bad_option, Wrong}}, hep_port:start_link(Options))
     || {Wrong, Options} <- [
            {x, x},
            {[], []},
            {{foo, 1}, #{foo => 1}},
            {{foo, 1}, #{foo => 1, timeout => 0}},
            {{name, {local, undefined}}, #{name => {local, undefined}}},
            {{max_frame, 131071}, #{max_frame => 131071}},
            {{max_frame, 16#80000000}, #{max_frame => 16#80000000}},
            {{max_frame, infinity}, #{max_frame => infinity}},
            {{timeout, 0}, #{timeout => 0}},
            {{timeout, infinity}, #{timeout => infinity}},
            {{timeout, 1.5}, #{timeout => 1.5}},
            {{program, hep_port}, #{program => hep_port}},
            {{name, hep_port}, #{name => hep_port}},
            {{name, {local, "x"}}, #{name => {local, "x"}}}
        ]
    ].

default_program_test() ->
    ?assert(filelib:is_regular(hep_nif_path:program())).
