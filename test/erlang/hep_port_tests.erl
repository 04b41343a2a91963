%% @doc The port program: answers as the NIF does, and stands what happens to programs.
-module(hep_port_tests).

-behaviour(supervisor).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_packets, [chunk/2, chunk/3, frame/1]).

%% The supervisor's, and what another VM runs.
-export([init/1, calls_without_nif/0]).

-define(LONGEST, (64 * 1024 * 1024)).

%%% NIF and port answer alike

fixtures_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            [fixture(Port, hep_fixtures:bytes(Entry), Entry) || Entry <- hep_fixtures:entries()]
        end)}.

fixture(Port, Bytes, Entry) ->
    Asked = [Options || {Options, _} <- hep_fixtures:options(Entry)],
    lists:foreach(
        fun(Options) -> alike(Port, {decode, Bytes, Options}) end,
        [#{}, #{header_length => ignore}, #{v2_order => little, capture_id => repair} | Asked]
    ),
    [alike(Port, Request) || Request <- [{decode, Bytes}, {parse, Bytes}, {to_json, Bytes}]],
    [views(Port, Hep) || Options <- [#{} | Asked], {ok, Hep} <- [hep:decode(Bytes, Options)]],
    [views(Port, State) || {ok, State} <- [hep_multi_parser:parse(Bytes)]],
    [alike(Port, {from_json, Json}) || {ok, Json} <- [hep_json:from_packet(Bytes)]].

views(Port, #hep{} = Hep) ->
    Timed = Hep#hep{timestamp = {1700, 123456, 654321}},
    [alike(Port, {What, P}) || What <- [transform, to_json], P <- [Hep, Timed]],
    alike(Port, {encode, Timed}),
    [
        alike(Port, {encode, Timed, Options})
     || Options <- [
            #{},
            #{v2_style => c},
            #{compress => zlib},
            #{compress => gzip, auth_key => <<"key">>}
        ]
    ];
views(Port, State) ->
    [alike(Port, {What, State}) || What <- [transform, to_json]].

property_test_() ->
    [
        {timeout, 60,
            {atom_to_list(Name),
                with_port(fun(Port) ->
                    Options = [quiet, {numtests, Cases}, {max_size, 40}],
                    ?assertEqual(true, proper:counterexample(property(Name, Port), Options))
                end)}}
     || {Name, Cases} <- [{any_bytes, 1000}, {any_options, 500}, {any_record, 1500}, {any_term, 500}, {batch, 200}]
    ].

property(any_bytes, Port) ->
    ?FORALL(
        Bytes,
        any_bytes(),
        all_alike(Port, [{decode, Bytes}, {parse, Bytes}, {to_json, Bytes}, {from_json, Bytes}])
    );
property(any_options, Port) ->
    ?FORALL(
        {Bytes, Options},
        {any_bytes(), any_options()},
        all_alike(Port, [{decode, Bytes, Options}, {encode, record(3), Options}])
    );
property(any_record, Port) ->
    ?FORALL(
        {Hep, Options},
        {any_record(), encode_options()},
        all_alike(Port, [{encode, Hep}, {encode, Hep, Options}, {transform, Hep}, {to_json, Hep}])
    );
property(any_term, Port) ->
    ?FORALL({Term, Other}, {any_term(), any_term()}, all_alike(Port, requests(Term, Other)));
property(batch, Port) ->
    ?FORALL(
        {Bytes, Hep, Term},
        {any_bytes(), any_record(), any_term()},
        begin
            Requests = [{parse, Bytes}, {encode, Hep}, {transform, Hep}, {from_json, Bytes} | requests(Term, Bytes)],
            Answers = lists:zip(Requests, hep_port:batch(Port, Requests)),
            [in_batch(nif(R)) || R <- Requests] =:= [in_batch(A) || A <- Answers]
        end
    ).

%% Any term in every place.
requests(Term, Other) ->
    Hep = record(3),
    [{What, Term} || What <- [parse, decode, encode, transform, from_json]] ++
        [{to_json, Term} || not is_list(Term)] ++
        [{decode, <<"HEP3", 6:16>>, Term}, {decode, Term, Other}] ++
        [{encode, Hep, Term}, {encode, Term, #{}}] ++
        [
            {What, Packet}
         || What <- [encode, transform, to_json],
            Packet <- [
                Hep#hep{src_ip = Term},
                Hep#hep{timestamp = {1, 2, 3}, src_port = Term},
                Hep#hep{payload = Term},
                Hep#hep{chunks = Term},
                Hep#hep{chunks = [{Term, Other}]}
            ]
        ] ++
        [
            {What, {hep, Version, Chunks}}
         || What <- [transform, to_json],
            {Version, Chunks} <- [{3, Term}, {Term, []}, {3, [{Term, Other}]}]
        ].

any_term() ->
    oneof([
        term(),
        oneof([
            'ä',
            list_to_atom([8364]),
            -1,
            1 bsl 31,
            1 bsl 64,
            -(1 bsl 64),
            -0.0,
            "abc",
            [1 | 2],
            #{a => "abc"},
            <<1:3>>,
            self(),
            make_ref(),
            fun erlang:abs/1,
            fun() -> ok end
        ])
    ]).

any_bytes() ->
    ?LET(
        {Start, Rest},
        {oneof([<<>>, <<"HEP3">>, <<"EEP3">>, <<1>>, <<2, 16, 2>>, <<"{\"type\":\"HEP\",">>]), binary()},
        oneof([<<Start/binary, Rest/binary>>, frame(Rest), frame([chunk(15, Rest), chunk(8, 3, Start)])])
    ).

any_options() ->
    ?LET(
        Pairs,
        list({
            oneof([header_length, v2_order, capture_id, max_inflated, v2_style, compress, auth_key, atom()]),
            oneof([strict, ignore, auto, big, little, keep, repair, c, zlib, gzip, none, binary(), integer(), term()])
        }),
        maps:from_list(Pairs)
    ).

encode_options() ->
    oneof([
        #{},
        #{v2_style => c},
        #{compress => zlib},
        #{compress => gzip},
        ?LET(Key, binary(), #{auth_key => Key, compress => none})
    ]).

record(Version) ->
    #hep{
        version = Version,
        protocol_family = 2,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5062,
        timestamp = {1700, 123456, 654321},
        node_id = 2002,
        payload = <<"OPTIONS sip:a">>
    }.

%% Mostly valid: up to two fields are replaced.
any_record() ->
    ?LET(
        {Version, Changes},
        {oneof([1, 2, 3, 3, hep_v2, hep_v3]), list(change())},
        lists:foldl(
            fun({Position, Value}, Hep) -> setelement(Position, Hep, Value) end,
            record(Version),
            lists:sublist(Changes, 2)
        )
    ).

change() ->
    oneof([
        {#hep.version, oneof([0, 4, undefined, hep_v1, term()])},
        {#hep.protocol_family, oneof([10, ipv4, ipv6, undefined, 3, term()])},
        {#hep.protocol, oneof([undefined, integer(0, 300)])},
        {#hep.src_ip, oneof([undefined, address(), term()])},
        {#hep.dst_ip, oneof([undefined, address(), term()])},
        {#hep.src_port, oneof([undefined, integer(-1, 70000)])},
        {#hep.timestamp, {integer(-1, 5000), integer(0, 1000001), integer(0, 1000000)}},
        {#hep.node_id, oneof([undefined, integer(0, 1 bsl 33)])},
        {#hep.payload_type, oneof([sip, rtcp, xx, integer(-1, 256)])},
        {#hep.payload, oneof([binary(), term()])},
        {#hep.chunks, list(oneof([{{0, integer(0, 50)}, binary()}, {{8, integer(0, 70000)}, {integer(0, 9), binary()}}]))}
    ]).

address() ->
    oneof([
        ?LET(Bytes, vector(4, byte()), list_to_tuple(Bytes)),
        ?LET(Segments, vector(8, integer(0, 65536)), list_to_tuple(Segments))
    ]).

%% A record that cannot be written has no JSON: hep_json raises, and so must the port.
json_of_an_invalid_record_test_() ->
    with_port(fun(Port) -> ?assertError(badarg, hep_port:to_json(Port, (record(3))#hep{src_port = x})) end).

%% Atoms beyond ASCII go back as they came.
atoms_test_() ->
    with_port(fun(Port) ->
        [
            alike(Port, {encode, (record(3))#hep{src_ip = Atom}})
         || Atom <- ['', 'a b', list_to_atom([228]), list_to_atom([8364]), list_to_atom(lists:duplicate(255, 8364))]
        ]
    end).

%% What the program cannot read takes no other request of its batch with it, and is a badarg at the most.
batch_with_an_unreadable_term_test_() ->
    with_port(fun(Port) ->
        Strange = (record(3))#hep{src_ip = fun erlang:abs/255},
        Answers = hep_port:batch(Port, [{parse, <<"x">>}, {encode, Strange}]),
        ?assertMatch([{error, invalid_packet, <<"x">>}, {error, _}], Answers)
    end).

%% However deep a term is, the program goes on.
deep_term_test_() ->
    with_port(fun(Port) ->
        Program = os_pid(Port),
        Deep = lists:foldl(fun(_, Term) -> {Term} end, x, lists:seq(1, 200000)),
        Answer = (catch hep_port:encode(Port, Deep)),
        ?assertNotEqual({error, port_restarted}, Answer),
        ?assertEqual(Program, os_pid(Port))
    end).

big_packets_test_() ->
    with_port(fun(Port) ->
        Full = frame(chunk(15, binary:copy(<<"x">>, 65535 - 12))),
        ?assertEqual(65535, byte_size(Full)),
        Inflated = frame(chunk(16, zlib:compress(<<0:(1024 * 1024)/unit:8>>))),
        Beyond = frame(chunk(16, zlib:compress(<<0:(1024 * 1024 + 1)/unit:8>>))),
        ?assertMatch({ok, #hep{payload = <<0:(1024 * 1024)/unit:8>>}}, hep_port:decode(Port, Inflated)),
        [
            alike(Port, {What, Packet})
         || What <- [decode, parse, to_json], Packet <- [Full, <<Full/binary, 0>>, Inflated, Beyond]
        ],
        Fixed = <<(hep_packets:v1(ipv4, 16))/binary, (binary:copy(<<"x">>, 65507 - 16))/binary>>,
        {ok, Parsed} = hep_multi_parser:parse(Fixed),
        [alike(Port, {What, Parsed}) || What <- [transform, to_json]],
        {ok, Hep} = hep:decode(Inflated),
        [alike(Port, {What, Hep#hep{timestamp = {1, 2, 3}}}) || What <- [transform, to_json, encode]]
    end).

%%% Batches

batch_test_() ->
    with_port(fun(Port) ->
        Packet = frame(chunk(15, <<"hello">>)),
        {ok, State} = hep_multi_parser:parse(Packet),
        {ok, Hep} = hep:decode(Packet),
        {ok, Json} = hep_json:from_packet(Packet),
        Requests = [
            {decode, Packet},
            foo,
            {parse, Packet},
            {parse, not_a_binary},
            {decode, <<"x">>},
            {decode, x},
            {decode, Packet, #{no_such => option}},
            {batch, []},
            {encode, (record(3))},
            {encode, (record(1))#hep{payload_type = 5}},
            {transform, State},
            {transform, Hep},
            {transform, x},
            {to_json, Packet},
            {from_json, Json},
            {from_json, <<"{">>},
            {},
            {nothing, Packet}
        ],
        Answers = hep_port:batch(Port, Requests),
        Answered = lists:zip(Requests, Answers),
        ?assertEqual([in_batch(nif(R)) || R <- Requests], [in_batch(A) || A <- Answered]),
        ?assertEqual([], hep_port:batch(Port, [])),
        ?assertEqual([{error, badarg}], hep_port:batch(Port, [foo])),
        Many = [{parse, <<I:32>>} || I <- lists:seq(1, 20000)],
        ?assertEqual([{error, invalid_packet, P} || {parse, P} <- Many], hep_port:batch(Port, Many)),
        [?assertError(badarg, hep_port:batch(Port, Wrong)) || Wrong <- [x, #{}, [foo | bar]]]
    end).

longest_frame_test_() ->
    {timeout, 60,
        with_port(fun(Port) ->
            Around = byte_size(term_to_binary({decode, <<>>, []})) + 8,
            Longest = <<0:(?LONGEST - Around)/unit:8>>,
            ?assertEqual({error, not_hep}, hep_port:decode(Port, Longest)),
            {error, {too_large, Size}} = hep_port:decode(Port, <<Longest/binary, 0:64>>),
            ?assert(Size > ?LONGEST andalso Size =< ?LONGEST + 8),
            ?assertMatch({error, {too_large, _}}, hep_port:batch(Port, [{parse, Longest}, {parse, <<>>}])),
            ?assertEqual({error, not_hep}, hep_port:decode(Port, <<>>))
        end)}.

%%% Pipelining

answers_go_to_their_askers_test_() ->
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

%% 1000 batches leave nothing behind.
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

%% A program that does not even read: the pipe is full, and the time runs all the same.
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

%% A program that has long had nothing to do, and one that answers late again and again, are not stuck.
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

%% Twice the time-out after it was asked, and nobody has to ask again. Another request is told.
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

%% One that neither reads its input nor listens to signals that can be ignored.
deaf_program_is_replaced_test_() ->
    with_script("trap '' TERM INT HUP; exec sleep 8", #{timeout => 100}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, timeout}, hep_port:decode(Port, <<"x">>)),
        ended(Program),
        ?assertNotEqual(Program, os_pid(Port))
    end).

%% After a few times it is the supervisor's turn.
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

%% Every request is answered once, rightly or with port_restarted.
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

%% After a few restarts it is the supervisor's turn.
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
        ?assertNotEqual(nomatch, string:find(Hint, "native/build.sh")),
        in_folder(fun(Folder) ->
            File = filename:join(Folder, "plain"),
            ok = file:write_file(File, "no program"),
            ?assertMatch({error, {cannot_start, File, eacces, _}}, hep_port:start_link(#{program => File})),
            Supervised = supervisor:start_link(?MODULE, {#{}, [hep_port:child_spec(#{program => File})]}),
            ?assertMatch({error, {shutdown, {failed_to_start_child, _, {cannot_start, _, _, _}}}}, Supervised)
        end)
    end).

%%% Nonsense from the program

%% A frame without a number, and one with a number that nobody waits for, are dropped.
nonsense_frames_test_() ->
    Frames = "printf '\\000\\000\\000\\003abc\\000\\000\\000\\000\\000\\000\\000\\011\\000\\000\\000\\000\\000\\000\\000\\143x'",
    with_script(Frames ++ "; cat >/dev/null", #{timeout => 200}, fun(Port) ->
        ?assertEqual(
            [{error, timeout}, {error, timeout}],
            each_of(2, fun(_) -> hep_port:decode(Port, <<"x">>) end)
        )
    end).

%% An answer that is no term: the caller is told at once, and the program is replaced.
unreadable_answer_test_() ->
    Answer = "printf '\\000\\000\\000\\012\\000\\000\\000\\000\\000\\000\\000\\000xy'",
    with_script("head -c 12 >/dev/null; " ++ Answer ++ "; exec sleep 8", #{timeout => 10000}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, port_restarted}, hep_port:decode(Port, <<"x">>)),
        ended(Program),
        ?assertNotEqual(Program, os_pid(Port))
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
        ?assertError({bad_option, Wrong}, hep_port:start_link(Options))
     || {Wrong, Options} <- [
            {x, x},
            {[], []},
            {{foo, 1}, #{foo => 1}},
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

%%% Without the NIF

nif_is_never_loaded_test_() ->
    {timeout, 30, fun() ->
        Paths = lists:usort([filename:dirname(code:which(Module)) || Module <- [hep_port, hep_packets, ?MODULE]]),
        {ok, Peer, _} = peer:start_link(#{
            connection => standard_io,
            args => ["-kernel", "logger_level", "none"] ++ lists:append([["-pa", Path] || Path <- Paths])
        }),
        try
            ?assertEqual(ok, peer:call(Peer, ?MODULE, calls_without_nif, [], 20000)),
            ?assertEqual(false, peer:call(Peer, code, is_loaded, [hep_nif])),
            ?assertMatch({file, _}, peer:call(Peer, code, is_loaded, [hep_port]))
        after
            peer:stop(Peer)
        end
    end}.

%% @private
calls_without_nif() ->
    {ok, Port} = hep_port:start_link(#{}),
    Packet = frame([chunk(11, <<1>>), chunk(15, <<"hello">>), chunk(8, 1, <<"x">>)]),
    {ok, Hep} = hep_port:decode(Port, Packet),
    {ok, Hep} = hep_port:decode(Port, Packet, #{capture_id => repair}),
    {ok, State} = hep_port:parse(Port, Packet),
    {error, invalid_packet, x} = hep_port:parse(Port, x),
    {ok, [_ | _]} = hep_port:encode(Port, Hep),
    {ok, [_ | _]} = hep_port:encode(Port, hep:payload_type(rtcp, hep:version(hep_v3, Hep)), #{compress => zlib}),
    [_] = hep_port:transform(Port, Hep),
    [_] = hep_port:transform(Port, State),
    {ok, Json} = hep_port:to_json(Port, Packet),
    {ok, _} = hep_port:to_json(Port, Hep),
    {ok, _} = hep_port:to_json(Port, State),
    {ok, Hep} = hep_port:from_json(Port, Json),
    {error, Reason} = hep_port:from_json(Port, <<"{">>),
    [{ok, Hep}, {error, badarg}] = hep_port:batch(Port, [{decode, Packet}, foo]),
    sip = hep:payload_type(Hep),
    hep_v3 = hep:version(Hep),
    _ = hep:vendor(Hep),
    [_ | _] = hep:format_error(Reason),
    [_ | _] = hep:format_error(not_hep),
    {ok, <<"hello">>} = hep:get_chunk(0, 15, State),
    {'EXIT', {badarg, _}} = (catch hep_port:decode(Port, x)),
    {'EXIT', {badarg, _}} = (catch hep_port:decode(Port, Packet, #{foo => 1})),
    hep_port:stop(Port).

%%% Helpers: comparing

alike(Port, Request) ->
    ?assertEqual({Request, untimed(nif(Request))}, {Request, untimed(port(Port, Request))}).

all_alike(Port, Requests) ->
    lists:all(
        fun(Request) ->
            {Nif, Program} = {untimed(nif(Request)), untimed(port(Port, Request))},
            Nif =:= Program orelse begin io:format("~p~nNIF ~p~nport ~p~n", [Request, Nif, Program]), false end
        end,
        Requests
    ).

port(Port, Request) ->
    [What | Arguments] = tuple_to_list(Request),
    answered(Request, fun() -> apply(hep_port, What, [Port | Arguments]) end).

nif(Request) ->
    answered(Request, fun() -> call(Request) end).

call({parse, Packet}) -> hep_multi_parser:parse(Packet);
call({decode, Packet}) -> hep:decode(Packet);
call({decode, Packet, Options}) -> hep:decode(Packet, Options);
call({encode, Hep}) -> hep:encode(Hep);
call({encode, Hep, Options}) -> hep:encode(Hep, Options);
call({transform, Packet}) -> hep_transform:transform(Packet);
call({to_json, Packet}) when is_binary(Packet) -> hep_json:from_packet(Packet);
call({to_json, Packet}) -> {ok, hep_json:encode(Packet)};
call({from_json, Json}) -> hep_json:decode(Json);
call(_) -> erlang:error(badarg).

answered(Request, Call) ->
    try
        {Request, Call()}
    catch
        error:badarg -> {Request, badarg}
    end.

in_batch(Answered) ->
    case untimed(Answered) of
        badarg -> {error, badarg};
        Answer -> Answer
    end.

%% Without the time of decoding.
untimed({{to_json, Packet}, {error, _} = Error}) when is_binary(Packet) -> Error;
untimed({{to_json, Packet}, {ok, Json}}) when is_binary(Packet) -> still(hep_json:decode(Json));
%% What cannot be written has a test of its own.
untimed({{to_json, _}, {error, Reason}}) when is_tuple(Reason) -> badarg;
untimed({_Request, Answer}) -> still(Answer).

still({ok, #hep{version = 1} = Hep}) ->
    {ok, Hep#hep{timestamp = undefined}};
still({ok, {hep, 1, Chunks}}) ->
    {ok, {hep, 1, [Chunk || {<<0:16, Id:16>>, _} = Chunk <- Chunks, Id =/= 9, Id =/= 10]}};
still(Answer) ->
    Answer.

%%% Helpers: processes

%% What each of so many processes answers.
each_of(Count, Call) ->
    each_of(Count, Call, 30000).

each_of(Count, Call, Time) ->
    Workers = [spawn_monitor(fun() -> exit({answer, Call(Number)}) end) || Number <- lists:seq(1, Count)],
    Deadline = erlang:monotonic_time(millisecond) + Time,
    [
        receive
            {'DOWN', Monitor, process, Pid, {answer, Answer}} -> Answer;
            {'DOWN', Monitor, process, Pid, Other} -> {crashed, Other}
        after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
            true = demonitor(Monitor, [flush]),
            exit(Pid, kill),
            hangs
        end
     || {Pid, Monitor} <- Workers
    ].

exit_of(Pid) ->
    receive {'EXIT', Pid, Reason} -> Reason
    after 10000 -> error({still_there, Pid})
    end.

wait(Condition) -> wait(Condition, 500).

wait(Condition, 0) -> error({not_reached, Condition});
wait(Condition, Times) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(10), wait(Condition, Times - 1)
    end.

%% The number that the operating system has for the server's program.
os_pid(Server) ->
    {os_pid, Pid} = lists:last([none | [
        erlang:port_info(Port, os_pid)
     || Port <- erlang:ports(), erlang:port_info(Port, connected) =:= {connected, Server}
    ]]),
    Pid.

signal(Name, OsPid) ->
    [] = os:cmd(lists:concat(["kill -", Name, " ", OsPid])),
    ok.

is_running(OsPid) ->
    os:cmd(lists:concat(["kill -0 ", OsPid, " 2>&1"])) =:= "".

ended(OsPid) ->
    wait(fun() -> not is_running(OsPid) end).

%%% Helpers: servers

with_port(Test) ->
    with_port(#{}, Test).

with_port(Options, Test) ->
    {timeout, 60, fun() -> with_port_now(Options, Test) end}.

with_port_now(Options, Test) ->
    {ok, Port} = hep_port:start_link(Options),
    try
        Test(Port)
    after
        unlink(Port),
        exit(Port, kill)
    end.

with_script(Text, Options, Test) ->
    {timeout, 30, fun() -> with_script_now(Text, Options, Test) end}.

with_script_now(Text, Options, Test) ->
    in_folder(fun(Folder) -> with_port_now(Options#{program => script(Folder, Text)}, Test) end).

script(Folder, Text) ->
    File = filename:join(Folder, "program"),
    ok = file:write_file(File, ["#!/bin/sh\n", Text, "\n"]),
    ok = file:change_mode(File, 8#755),
    File.

in_folder(Test) ->
    Name = lists:concat(["hep-test-", os:getpid(), "-", erlang:unique_integer([positive])]),
    Folder = filename:join(os:getenv("TMPDIR", "/tmp"), Name),
    ok = file:make_dir(Folder),
    try
        Test(Folder)
    after
        ok = file:del_dir_r(Folder)
    end.

%% Ends are messages, and not logged.
quietly(Test) ->
    {timeout, 30, fun() ->
        Modules = [gen_server, supervisor, proc_lib],
        Trapping = process_flag(trap_exit, true),
        ok = logger:set_module_level(Modules, none),
        try
            Test()
        after
            ok = logger:unset_module_level(Modules),
            process_flag(trap_exit, Trapping)
        end
    end}.
