#!/usr/bin/env escript
%% Builds the command `hep', one file: build.escript OUT. It contains the library with its NIF, which hep_nif_path
%% copies to
%% a file and loads. Called by make, in the project's folder.

main([Out]) ->
    Build = "_build/command",
    ok = filelib:ensure_dir(filename:join(Build, "x")),
    Here = filename:dirname(escript:script_name()),
    lists:foreach(fun(Source) -> compile(Source, Build) end, filelib:wildcard(filename:join(Here, "*.erl"))),
    Files = [{"hep/ebin/" ++ filename:basename(File), content(File)} || File <- beams(Build) ++ beams("ebin")] ++
        [{"hep/ebin/hep.app", content("ebin/hep.app")}] ++
        [{"hep/priv/" ++ filename:basename(File), content(File)} || File <- filelib:wildcard("priv/hep_nif.*")],
    {ok, {_, Archive}} = zip:create("hep", Files, [memory]),
    Head = ["#!/bin/sh\n", launcher(filename:join(Here, "hep.sh")), "\n%%! -noinput -escript main hep_command\n"],
    New = Out ++ ".new",
    ok = filelib:ensure_dir(New),
    ok = file:write_file(New, [Head, Archive]),
    ok = file:change_mode(New, 8#755),
    ok = file:rename(New, Out).

compile(Source, Build) ->
    Options = [report, debug_info, {outdir, Build}, {i, "include"}],
    case compile:file(Source, Options) of
        {ok, _} ->
            ok;
        error ->
            io:format(standard_error, "hep: ~ts cannot be compiled, so the command is not built.~n", [Source]),
            halt(1)
    end.

beams(Folder) -> filelib:wildcard(filename:join(Folder, "*.beam")).

content(File) ->
    {ok, Bytes} = file:read_file(File),
    Bytes.

%% One line, without comments.
launcher(File) ->
    Lines = string:lexemes(binary_to_list(content(File)), "\n"),
    lists:join($\s, [Line || [First | _] = Line <- Lines, First =/= $#]).
