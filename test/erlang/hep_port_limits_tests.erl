%% @doc The limits of the port program: large results, zip bombs, floods, wrong results, memory.
-module(hep_port_limits_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-import(hep_ports, [
    ended/1, exit_of/1, in_folder/1, os_pid/1, quietly/1, script/2, with_port/1, with_port/2, with_script/3
]).
-import(hep_packets, [chunk/2, frame/1]).

-define(MIB, (1024 * 1024)).

%%% Large answers

%% A packet that inflates a thousandfold, to this many bytes.
bomb(Size) ->
    frame(chunk(16, zlib:compress(<<0:Size/unit:8>>))).

small(Number) ->
    frame(chunk(15, <<Number:32, 0:500/unit:8>>)).

%% All other requests are answered, whatever the position of the bombs.
bombs_among_others_test_() ->
    {timeout, 60,
        with_port(#{max_frame => 16 * ?MIB, timeout => 60000}, fun(Port) ->
            Bombs = lists:duplicate(64, {decode, bomb(?MIB), #{max_inflated => ?MIB}}),
            Others = [{decode, small(Number)} || Number <- lists:seq(1, 1000)],
            Expected = [hep:decode(Packet) || {decode, Packet} <- Others],
            {First, Rest} = lists:split(64, hep_port:batch(Port, Bombs ++ Others)),
            ?assertEqual(Expected, Rest),
            ?assertEqual(Expected, lists:sublist(hep_port:batch(Port, Others ++ Bombs), 1000)),
            Lost = [Answer || {error, {too_large, Bytes}} = Answer <- First, Bytes > ?MIB],
            Kept = [Answer || {ok, #hep{payload = <<0:?MIB/unit:8>>}} = Answer <- First],
            ?assertEqual(64, length(Lost) + length(Kept)),
            ?assert(length(Kept) > 8 andalso length(Kept) < 16)
        end)}.

%% The memory of the program besides its frames: one inflated payload, and an answer up to the limit. The JSON of the
%% record is six times as long as the limit.
bounded_memory_test_() ->
    {timeout, 120,
        with_port(#{max_frame => 16 * ?MIB, timeout => 120000}, fun(Port) ->
            Bomb = bomb(256 * 1024),
            [
                begin
                    Answers = hep_port:batch(Port, lists:duplicate(Count, {Call, Bomb})),
                    ?assertEqual(Count, length(Answers)),
                    ?assertEqual([], [A || A <- Answers, element(1, A) =/= ok, element(1, element(2, A)) =/= too_large])
                end
             || {Call, Count} <- [{decode, 2000}, {to_json, 300}]
            ],
            Large = hep:payload(<<0:(15 * ?MIB)/unit:8>>, hep:new()),
            ?assertMatch({error, {too_large, Bytes}} when Bytes =< 16 * ?MIB, hep_port:to_json(Port, Large)),
            case file:read_file(lists:concat(["/proc/", os_pid(Port), "/status"])) of
                {ok, Status} ->
                    {match, [Peak]} = re:run(Status, "VmHWM:\\s*([0-9]+) kB", [{capture, all_but_first, list}]),
                    ?assert(list_to_integer(Peak) < 64 * 1024, Peak);
                {error, enoent} ->
                    ok
            end
        end)}.

%%% Requests of another client

%% The program answers them, whatever they are, and goes on: every tag, terms with large counts, deep ones.
unreadable_requests_test_() ->
    {timeout, 60, fun() ->
        Program = open_port({spawn_executable, hep_nif_path:program()}, [{args, ["100000000"]}, stream, binary, exit_status]),
        Tags = [<<131, Tag, Rest/binary>> || Tag <- lists:seq(0, 255), Rest <- [<<>>, <<0:64>>, <<-1:64>>]],
        Nested = [<<131, 104, 2, Request/binary>> || <<131, Request/binary>> <- Tags],
        Deep = <<131, (binary:copy(<<104, 1>>, 5_000_000))/binary, 106>>,
        Compressed = term_to_binary({parse, <<0:1000000/unit:8>>}, [compressed]),
        Last = term_to_binary({parse, <<"x">>}),
        Requests = Tags ++ Nested ++ [<<>>, <<0>>, Deep, Compressed, Last],
        true = port_command(Program, hep_port_frames:frame(7, Requests)),
        {ok, Answers} = hep_port_frames:items(answers(Program, hep_port_frames:new(100000000))),
        ?assertEqual(length(Requests), length(Answers)),
        Kinds = lists:usort([hep_answer(Answer) || Answer <- Answers]),
        ?assertEqual([badarg, {error, bad_term}, {error, not_hep}], Kinds),
        [[_, _, badarg, {error, {bad_term, 1}}, {error, not_hep}]] =
            [[binary_to_term(Answer) || Answer <- lists:nthtail(length(Answers) - 5, Answers)]],
        true = port_close(Program)
    end}.

answers(Program, Frames) ->
    receive
        {Program, {data, Bytes}} ->
            case hep_port_frames:add(Bytes, Frames) of
                {ok, [], More} -> answers(Program, More);
                {ok, [{7, Items}], _} -> Items
            end;
        {Program, Other} ->
            error(Other)
    end.

hep_answer(Answer) ->
    case binary_to_term(Answer) of
        {error, {Reason, Offset}} when is_integer(Offset) -> {error, Reason};
        Other -> Other
    end.

%% A request that is too large fails alone.
large_request_in_a_batch_test_() ->
    with_port(#{max_frame => 128 * 1024}, fun(Port) ->
        Large = <<0:131072/unit:8>>,
        ?assertMatch({error, {too_large, Size}} when Size > 131072, hep_port:decode(Port, Large)),
        ?assertMatch(
            [{error, not_hep}, {error, {too_large, Size}}, {error, invalid_packet, <<>>}, {error, badarg}] when
                Size > 131072,
            hep_port:batch(Port, [{decode, <<>>}, {decode, Large}, {parse, <<>>}, {decode, x}])
        ),
        ?assertMatch([{error, {too_large, _}}], hep_port:batch(Port, [{parse, Large}])),
        %% Many that are too large together only.
        Half = <<0:70000/unit:8>>,
        ?assertMatch({error, {too_large, _}}, hep_port:batch(Port, [{decode, Half}, {decode, Half}])),
        ?assertMatch({error, {too_large, _}}, hep_port:batch(Port, lists:duplicate(3300, {parse, <<>>}))),
        ?assertEqual(3200, length(hep_port:batch(Port, lists:duplicate(3200, {parse, <<>>}))))
    end).

%%% Frames that nobody asked for

%% The first one ends the program: the mailbox does not grow.
flood_test_() ->
    quietly(fun() ->
        in_folder(fun(Folder) ->
            Program = script(Folder, "while :; do cat \"$0.frames\"; done"),
            Frame = <<12:32, 99:64, 1, 2, 3, 4>>,
            ok = file:write_file(Program ++ ".frames", binary:copy(Frame, 100000)),
            Before = erlang:memory(total),
            {ok, Port} = hep_port:start_link(#{program => Program}),
            {Length, Memory} = peaks(Port, 0, 0),
            ?assertEqual({program_ends, unasked_frame}, exit_of(Port)),
            %% Chunks of 64 KiB, the size of the system's pipe.
            ?assert(Length < 200, Length),
            ?assert(Memory - Before < 20 * ?MIB, Memory - Before)
        end)
    end).

peaks(Pid, Length, Memory) ->
    case process_info(Pid, message_queue_len) of
        {_, Now} -> peaks(Pid, max(Now, Length), max(Memory, erlang:memory(total)));
        undefined -> {Length, Memory}
    end.

%% So do a frame without a number, one beyond the maximum, and a second answer.
wrong_frames_test_() ->
    Answer = [0, 0, 0, 21, <<0:64>>, 0, 0, 0, 9, 131, 119, 6, "badarg"],
    [
        {Name,
            quietly(fun() ->
                in_folder(fun(Folder) ->
                    {ok, Request} = hep_port_term:request({decode, <<>>}),
                    Size = iolist_size(hep_port_frames:frame(0, [Request])),
                    Answers = lists:concat(["head -c ", Size, " >/dev/null; cat \"$0.frames\"; exec sleep 20"]),
                    Program = script(Folder, Answers),
                    ok = file:write_file(Program ++ ".frames", Frames),
                    {ok, Port} = hep_port:start_link(#{program => Program}),
                    First = os_pid(Port),
                    ?assertEqual(Expected, try hep_port:decode(Port, <<>>) catch error:Reason -> Reason end),
                    ended(First),
                    _ = sys:get_state(Port),
                    ?assertNotEqual(First, os_pid(Port)),
                    ok = hep_port:stop(Port)
                end)
            end)}
     || {Name, Frames, Expected} <- [
            {"short", <<3:32, "abc">>, {error, port_restarted}},
            {"long", <<16#7fffffff:32, 0:64, 0:1000/unit:8>>, {error, port_restarted}},
            {"no items", <<8:32, 0:64>>, {error, port_restarted}},
            {"two items", <<18:32, 0:64, 1:32, 0, 1:32, 0>>, {error, port_restarted}},
            {"cut item", <<14:32, 0:64, 3:32, 1, 2>>, {error, port_restarted}},
            {"other number", <<12:32, 7:64, 0:32>>, {error, port_restarted}},
            {"second answer", [<<26:32, 0:64, 14:32, 131, 104, 2, 119, 1, "x", 119, 1, "y", 0:24>>, Answer],
                {error, port_restarted}}
        ]
    ].

%%% Answers of the wrong shape

%% Valid terms that the call cannot return: an error of the program, not of the caller.
wrong_answers_test_() ->
    Packet = small(1),
    Record = hep:payload(<<"x">>, hep:new()),
    State = {hep, 3, []},
    [
        {lists:flatten(io_lib:format("~p ~P", [element(1, Request), Answer, 5])), fun() ->
            ?assertEqual(broken, hep_port_term:answer(Request, term_to_binary(Answer)))
        end}
     || {Requests, Answers} <- [
            {
                [{decode, Packet}, {decode, Packet, #{}}, {from_json, Packet}],
                [x, ok, {ok}, {ok, x}, {ok, setelement(1, Record, x)}, {error}, {error, 1}, {error, {}}, {error, {1}}, []]
            },
            {[{from_json, Packet}], [{ok, [Record | x]}, {ok, [x]}]},
            {
                [{parse, Packet}],
                [x, {ok, Record}, {ok, {hep, 4, []}}, {ok, {hep, 3, x}}, {ok, {hep, 3, [x]}}, {ok, {hep, 3, [{1, <<>>}]}}]
            },
            {[{encode, Record}, {encode, Record, #{}}], [x, {ok, x}, {error, "x"}]},
            {[{transform, State}, {transform, Record}], [x, [x], [{<<"x">>, 1} | x], {ok, []}, [{x, 1}]]},
            {[{to_json, Packet}, {to_json, State}, {to_json, Record}], [x, {ok, []}, {ok, <<1:3>>}, {error, 1}]},
            {[{decode, Packet}, {transform, State}], [{error, too_large, 1}]}
        ],
        Request <- Requests,
        Answer <- Answers
    ].

%% New atoms are never freed, and a compressed term may expand a thousandfold.
dangerous_answers_test() ->
    Atom = <<131, 104, 2, 119, 5, "error", 119, 12, "hep_new_atom">>,
    Compressed = term_to_binary({error, lists:duplicate(1000, not_hep)}, [compressed]),
    ?assertMatch(<<131, 80, _/binary>>, Compressed),
    [
        ?assertEqual(broken, hep_port_term:answer({decode, <<>>}, Bytes))
     || Bytes <- [Atom, Compressed, <<>>, <<131>>, <<"xy">>, <<131, 104, 2>>]
    ].

%% Callers of a broken program get an error, not an exception, and the next one gets a new program.
broken_program_test_() ->
    %% {ok, x}, with the number of the request.
    Script =
        "while head -c 4 >/dev/null; do number=$(head -c 8 | od -An -vtx1); test -n \"$number\" || exit; "
        "printf '\\000\\000\\000\\026'; for b in $number; do printf \"\\\\$(printf %o 0x$b)\"; done; "
        "printf '\\000\\000\\000\\012\\203\\150\\002\\167\\002ok\\167\\001x'; exec cat >/dev/null; done",
    with_script(Script, #{timeout => 5000}, fun(Port) ->
        Program = os_pid(Port),
        ?assertEqual({error, port_restarted}, hep_port:transform(Port, {hep, 3, []})),
        ended(Program),
        ?assertEqual({error, port_restarted}, hep_port:batch(Port, [{decode, <<>>}]))
    end).

%% A VM that has loaded the server's modules knows all atoms that a result can contain.
atoms_are_known_test() ->
    {ok, Source} = file:read_file("native/hep_term/src/builder.rs"),
    %% Options are never in results; the program has no request for SIP.
    Others = "/// (An option|A fact of a SIP message|\\[`SipError).*\\n.*;",
    Answers = re:replace(Source, Others, "", [global]),
    {match, Names} = re:run(Answers, "[A-Z][A-Za-z0-9]* = \"([a-z0-9_]+)\";", [global, {capture, all_but_first, list}]),
    Known = lists:append([atoms(Module) || Module <- hep_port_term:modules()]),
    ?assert(length(Names) > 25),
    %% In results of calls for which the program has no request: a transformed chunk, a summary of SIP.
    ?assertEqual(["plain", "compressed"], [Name || [Name] <- Names, not lists:member(Name, Known)]).

atoms(Module) ->
    {ok, {_, [{atoms, Atoms}]}} = beam_lib:chunks(code:which(Module), [atoms]),
    [atom_to_list(Atom) || {_, Atom} <- Atoms].

%%% Ends

%% A stopped program does not notice the end of its input.
stop_of_a_stopped_program_test_() ->
    quietly(fun() ->
        {ok, Port} = hep_port:start_link(#{}),
        Program = os_pid(Port),
        hep_ports:signal("STOP", Program),
        ok = hep_port:stop(Port),
        ?assertNot(hep_ports:is_running(Program))
    end).

%% Programs that cannot be executed, for each reason.
descriptors_test_() ->
    quietly(fun() ->
        in_folder(fun(Folder) ->
            File = script(Folder, "exit"),
            Start = fun() -> hep_port:start_link(#{program => File}) end,
            ok = file:change_mode(File, 8#644),
            Plain = repeated(fun() -> {error, {cannot_start, _, eacces, _}} = Start() end),
            ok = file:write_file(File, "#!/no/such/interpreter\n"),
            ok = file:change_mode(File, 8#755),
            Interpreter = repeated(fun() ->
                {ok, Port} = Start(),
                {program_ends, _} = exit_of(Port)
            end),
            ?assertEqual({0, 0}, {Plain, Interpreter})
        end)
    end).

%% The number of free descriptors.
repeated(Start) ->
    _ = Start(),
    Before = descriptors(),
    _ = [Start() || _ <- lists:seq(1, 5)],
    max(0, descriptors() - Before).

descriptors() ->
    case file:list_dir("/proc/self/fd") of
        {ok, Names} -> length(Names);
        {error, enoent} -> 0
    end.
