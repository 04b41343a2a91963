%% @doc Where the native library is searched, and the messages if it is missing.
-module(hep_nif_path_tests).

-include_lib("eunit/include/eunit.hrl").

%% The logger handler of these tests.
-export([log/2]).

-define(COMMAND, "sh native/build.sh").

%%% In this VM

loader_gets_the_path_without_an_extension_test() ->
    Self = self(),
    ?assertEqual(ok, hep_nif_path:load(fun(Path) -> Self ! {path, Path}, ok end)),
    Path = receive {path, P} -> P after 0 -> none end,
    ?assertEqual("hep_nif", filename:basename(Path)),
    ?assertEqual("priv", filename:basename(filename:dirname(Path))),
    ?assert(filelib:is_regular(Path ++ extension())).

errors_of_the_loader_are_passed_on_test() ->
    Loader = fun(_) -> {error, {load_failed, "wrong ELF class"}} end,
    {{error, Text}, Logged} = logged(fun() -> hep_nif_path:load(Loader) end),
    says(Text, ["wrong ELF class", "load_failed", "hep_nif" ++ extension(), ?COMMAND]),
    ?assertMatch([_], Logged),
    says(hd(Logged), [Text]).

success_is_not_logged_test() ->
    ?assertEqual({ok, []}, logged(fun() -> hep_nif_path:load(fun(_) -> ok end) end)).

%% A NIF library cannot be loaded twice: the first one keeps running.
loading_again_leaves_the_codec_running_test() ->
    {_, _} = logged(fun() -> code:load_file(hep_nif) end),
    ?assertEqual({error, not_hep}, hep:decode(<<>>)).

%%% In another VM

another_vm_test_() ->
    [
        {Title, {timeout, 60, fun() -> hep_ports:in_folder(Test) end}}
     || {Title, Test} <- [
            {"any folder", fun any_folder/1},
            {"no library", fun no_library/1},
            {"file that is no library", fun broken_library/1},
            {"archive", fun archive/1},
            {"archive without a library", fun archive_without_library/1},
            {"archive and program", fun archive_and_program/1}
        ]
    ].

%% The folder may have any name.
any_folder(Folder) ->
    Root = filename:join(Folder, "some folder (2)"),
    copy(beams(), filename:join(Root, "ebin")),
    copy([library()], filename:join(Root, "priv")),
    with_peer(filename:join(Root, "ebin"), fun(Peer) ->
        ?assertEqual({error, not_hep}, peer:call(Peer, hep, decode, [<<>>]))
    end).

no_library(Folder) ->
    copy(beams(), filename:join(Folder, "ebin")),
    with_peer(filename:join(Folder, "ebin"), fun(Peer) ->
        Path = filename:join([Folder, "priv", "hep_nif" ++ extension()]),
        [
            {Call, says(not_loaded(Peer, Call), [Path, "no such file", ?COMMAND])}
         || Call <- [
                {hep, decode, [<<>>]},
                {hep, decode, [<<>>, #{v2_order => big}]},
                {hep, encode, [hep:new()]},
                {hep, encode, [hep:new(), #{v2_style => c}]},
                {hep, encode_iolist, [hep:new()]},
                {hep, encode_iolist, [hep:new(), #{v2_style => c}]},
                {hep_multi_parser, parse, [<<>>]},
                {hep_multi_decoder, decode, [<<>>]},
                {hep_v3_encoder, encode, [hep:new()]},
                {hep_transform, transform, [hep:new()]},
                {hep_transform, from_packet, [<<>>]},
                {hep_json, encode, [hep:new()]},
                {hep_json, encode, [[hep:new()]]},
                {hep_json, from_packet, [<<>>]},
                {hep_json, decode, [<<>>]},
                {hep_listener, start_link, [#{handler => fun ?MODULE:log/2}]},
                {hep_sender, start_link, [#{targets => [{"localhost", 9}], encode => #{v2_style => c}}]}
            ]
        ]
    end).

broken_library(Folder) ->
    copy(beams(), filename:join(Folder, "ebin")),
    Path = filename:join([Folder, "priv", "hep_nif" ++ extension()]),
    ok = filelib:ensure_dir(Path),
    ok = file:write_file(Path, "no library"),
    with_peer(filename:join(Folder, "ebin"), fun(Peer) ->
        says(not_loaded(Peer, {hep, decode, [<<>>]}), [Path, ?COMMAND]),
        ?assertEqual({error, on_load_failure}, peer:call(Peer, code, load_file, [hep_nif])),
        ok = file:delete(Path),
        copy([library()], filename:dirname(Path)),
        {module, hep_nif} = peer:call(Peer, code, load_file, [hep_nif]),
        ?assertEqual({error, not_hep}, peer:call(Peer, hep, decode, [<<>>]))
    end).

%% The error of a call without the library.
not_loaded(Peer, {Module, Function, Arguments}) ->
    try peer:call(Peer, Module, Function, Arguments) of
        Answer -> error({answered, Module, Function, Answer})
    catch
        error:{not_loaded, Text} -> Text
    end.

%% A library cannot be loaded from an escript: it is copied to a temporary file, which is deleted.
archive(Folder) ->
    Script = escript(Folder, [library()]),
    Temporary = filename:join(Folder, "tmp"),
    ok = file:make_dir(Temporary),
    ?assertEqual({0, "payload hello\n"}, run(Script, Temporary)),
    ?assertEqual({ok, []}, file:list_dir(Temporary)),
    {Status, Text} = run(Script, filename:join(Folder, "no such folder")),
    ?assertEqual(0, Status),
    says(Text, ["cannot be copied to", "no such file or directory", "TMPDIR"]),
    does_not_say(Text, ?COMMAND).

archive_without_library(Folder) ->
    Script = escript(Folder, []),
    {0, Text} = run(Script, Folder),
    says(Text, [Script, "does not contain it", "escript_incl_priv", "include_priv_for"]),
    does_not_say(Text, ?COMMAND).

%% Nor can a program be run from an escript.
archive_and_program(Folder) ->
    Script = escript(Folder, [library(), hep_nif_path:program()]),
    {0, Text} = run(Script, Folder, ["port"]),
    says(Text, ["cannot_start", Script, "`program'"]),
    does_not_say(Text, ?COMMAND),
    ?assertEqual({0, "payload hello\n"}, run(Script, Folder, ["port", hep_nif_path:program()])).

%%% Helpers

says(Text, Parts) ->
    [?assertNotEqual({nomatch, P, Text}, {string:find(Text, P), P, Text}) || P <- Parts].

does_not_say(Text, Part) -> ?assertEqual({nomatch, Text}, {string:find(Text, Part), Text}).

ebin() -> filename:join(code:lib_dir(hep), "ebin").

beams() -> filelib:wildcard(filename:join(ebin(), "*")).

library() -> filename:join(code:priv_dir(hep), "hep_nif" ++ extension()).

extension() ->
    case os:type() of
        {win32, _} -> ".dll";
        _ -> ".so"
    end.

copy(Files, Folder) ->
    [
        begin
            Target = filename:join(Folder, filename:basename(File)),
            ok = filelib:ensure_dir(Target),
            {ok, _} = file:copy(File, Target)
        end
     || File <- Files
    ].

with_peer(Ebin, Test) ->
    {ok, Peer, _} = peer:start_link(#{
        connection => standard_io,
        wait_boot => 60000,
        args => ["-kernel", "logger_level", "none", "-pa", Ebin]
    }),
    try
        Test(Peer)
    after
        peer:stop(Peer)
    end.

escript(Folder, Libraries) ->
    Script = filename:join(Folder, "script"),
    Main = code:which(hep_script),
    Files =
        [{filename:basename(Main), read(Main)}] ++
            [{"hep/ebin/" ++ filename:basename(File), read(File)} || File <- beams()] ++
            [{"hep/priv/" ++ filename:basename(File), read(File)} || File <- Libraries],
    ok = escript:create(Script, [
        shebang, {emu_args, "-escript main hep_script"}, {archive, Files, []}
    ]),
    Script.

read(File) ->
    {ok, Bytes} = file:read_file(File),
    Bytes.

%% The exit status of an escript that decodes a packet, and what it prints.
run(Script, Temporary) ->
    run(Script, Temporary, []).

run(Script, Temporary, More) ->
    Packet = hep_packets:frame(hep_packets:chunk(15, <<"hello">>)),
    Arguments = [Script, binary_to_list(binary:encode_hex(Packet)) | More],
    Escript = filename:join([code:root_dir(), "bin", "escript"]),
    Port = open_port({spawn_executable, Escript}, [
        {args, Arguments}, {env, [{"TMPDIR", Temporary}]}, exit_status, stderr_to_stdout
    ]),
    output(Port, "").

output(Port, Text) ->
    receive
        {Port, {data, Data}} -> output(Port, Text ++ Data);
        {Port, {exit_status, Status}} -> {Status, Text}
    after 30000 ->
        error({no_answer, Text})
    end.

%% The result of the call, and the texts that it logs, which are not shown.
logged(Call) ->
    Levels = [{Id, Level} || #{id := Id, level := Level} <- logger:get_handler_config()],
    [ok = logger:set_handler_config(Id, level, none) || {Id, _} <- Levels],
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    try
        Answer = Call(),
        {Answer, received()}
    after
        ok = logger:remove_handler(?MODULE),
        [ok = logger:set_handler_config(Id, level, Level) || {Id, Level} <- Levels]
    end.

received() ->
    receive
        {logged, Text} -> [Text | received()]
    after 0 -> []
    end.

log(#{msg := {"hep: " ++ _ = Format, Arguments}}, #{config := Receiver}) ->
    Receiver ! {logged, lists:flatten(io_lib:format(Format, Arguments))};
log(_, _) ->
    ok.
