#!/usr/bin/env escript
%% Puts EDoc's documentation of each module into its .beam file, as the chunk "Docs" of EEP 48: then h(hep, decode) works in
%% the Erlang shell, and h(:hep.decode) in IEx. make, rebar3 and Mix run it after the compiler: docs.escript EBIN...
%%
%% A module that has the chunk is left alone. Without EDoc (Debian: erlang-edoc) there are no docs, and nothing fails.

main(Folders) ->
    Sources = filelib:wildcard(filename:join(filename:dirname(escript:script_name()), "*/*.erl")),
    Missing = [{Source, Beam} || Folder <- Folders, Source <- Sources, Beam <- [beam(Folder, Source)], lacks_docs(Beam)],
    case code:which(edoc_doclet_chunks) of
        non_existing -> ok;
        _ -> document(Missing)
    end.

beam(Ebin, Source) ->
    filename:join(Ebin, filename:basename(Source, ".erl") ++ ".beam").

lacks_docs(Beam) ->
    case beam_lib:chunks(Beam, ["Docs"]) of
        {ok, _} -> false;
        {error, beam_lib, Reason} -> element(1, Reason) =:= missing_chunk
    end.

document([]) ->
    ok;
document(Modules) ->
    Include = filename:join(filename:dirname(filename:dirname(escript:script_name())), "include"),
    Directory = filename:join(os:getenv("TMPDIR", "/tmp"), "hep-docs." ++ os:getpid()),
    Options = [{doclet, edoc_doclet_chunks}, {layout, edoc_layout_chunks}, {preprocess, true}, {includes, [Include]}],
    try
        ok = edoc:files([Source || {Source, _} <- Modules], [{dir, Directory} | Options]),
        lists:foreach(fun({_, Beam}) -> insert(Directory, Beam) end, Modules)
    catch
        Class:Reason -> io:format(standard_error, "hep: no documentation for the shell: ~tp~n", [{Class, Reason}])
    after
        _ = file:del_dir_r(Directory)
    end.

%% Under another name first: a reader finds the old file or the new one, never half of one.
insert(Directory, Beam) ->
    Chunk = filename:join([Directory, "chunks", filename:basename(Beam, ".beam") ++ ".chunk"]),
    case file:read_file(Chunk) of
        {ok, Docs} ->
            {ok, _, Chunks} = beam_lib:all_chunks(Beam),
            {ok, Binary} = beam_lib:build_module([{"Docs", Docs} | lists:keydelete("Docs", 1, Chunks)]),
            New = Beam ++ ".new",
            ok = file:write_file(New, Binary),
            ok = file:rename(New, Beam);
        {error, enoent} ->
            ok
    end.
