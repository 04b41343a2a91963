%% @private Finds the native code: in `priv' next to the `ebin' from which this module was loaded. It does not use the
%% application's name, so it works in folders of any name, in releases and in escripts.
-module(hep_nif_path).

-export([load/1, program/0, program_advice/2]).

-type loader() :: fun((file:filename()) -> ok | {error, {atom(), string()}}).

%% Loads `priv/hep_nif' with the loader, which gets a path without an extension. Errors are also
%% logged, since the code server truncates the reason in its report.
-spec load(loader()) -> ok | {error, string()}.
load(Loader) ->
    Path = filename:join(priv_dir(), "hep_nif"),
    Result =
        case filelib:is_regular(Path ++ extension()) of
            true -> try_load(Path, Loader);
            false -> load_from_archive(Path, Loader)
        end,
    case Result of
        ok -> ok;
        {error, Text} -> logger:error("hep: ~ts", [Text])
    end,
    Result.

%% The port program.
-spec program() -> file:filename().
program() ->
    Extension =
        case os:type() of
            {win32, _} -> ".exe";
            _ -> ""
        end,
    filename:join(priv_dir(), "hep_port" ++ Extension).

%% Advice for a program that cannot be started.
-spec program_advice(file:filename_all(), Reason :: term()) -> string().
program_advice(Program, Reason) ->
    case {Program =:= program(), archive(beam_dir())} of
        {true, none} when Reason =:= enoent ->
            "build it with `sh native/build.sh' in hep's folder (needs Rust; README.md, section Installation)";
        {true, Archive} when Archive =/= none ->
            text(
                "the escript ~ts cannot run a program from its archive: install priv/hep_port of a built hep"
                " separately, and pass its path in the option `program'",
                [Archive]
            );
        _ ->
            "the option `program' must name an executable file"
    end.

try_load(Path, Loader) ->
    case Loader(Path) of
        ok ->
            ok;
        {error, {Loaded, _}} when Loaded =:= reload; Loaded =:= upgrade ->
            {error, "the native library is already loaded, and a VM cannot load it a second time"};
        {error, {Reason, Text}} ->
            {error, describe(Path, io_lib:format("~ts (~ts)", [Text, Reason]))}
    end.

%% The files of an escript are in an archive, from which no library can be loaded. Up to Elixir 1.14,
%% Elixir's escripts have all files in one folder.
load_from_archive(Path, Loader) ->
    Places = [Path, filename:join(beam_dir(), "hep_nif")],
    case [File || Place <- Places, {ok, File, _} <- [erl_prim_loader:get_file(Place ++ extension())]] of
        [Library | _] -> load_copy(Path, Library, Loader);
        [] -> {error, missing(Path, archive(beam_dir()))}
    end.

missing(Path, none) ->
    describe(Path, "no such file");
missing(Path, Archive) ->
    text(
        "cannot load the native library ~ts~ts: the escript ~ts does not contain it. Name it in `escript_incl_priv'"
        " (rebar3) or `include_priv_for' (Mix); README.md, section Installation",
        [Path, extension(), Archive]
    ).

%% The file that contains the folder, if any: an escript.
archive(Folder) ->
    case {filelib:is_regular(Folder), filename:dirname(Folder)} of
        {true, _} -> Folder;
        {false, Folder} -> none;
        {false, Parent} -> archive(Parent)
    end.

load_copy(Path, Library, Loader) ->
    Unique = [os:getpid(), "-", integer_to_list(erlang:unique_integer([positive]))],
    Copy = filename:join(temporary_dir(), lists:flatten(["hep_nif-", Unique])),
    case write_new(Copy ++ extension(), Library) of
        ok ->
            Result = try_load(Copy, Loader),
            _ = file:delete(Copy ++ extension()),
            Result;
        {error, Reason} ->
            {error,
                text(
                    "cannot load the native library ~ts~ts: it cannot be copied to ~ts: ~ts. Set TMPDIR to a folder"
                    " that is writable",
                    [Path, extension(), Copy, file:format_error(Reason)]
                )}
    end.

%% Never writes to an existing file or link.
write_new(File, Library) ->
    case file:open(File, [write, exclusive, raw, binary]) of
        {ok, Device} ->
            Written = file:write(Device, Library),
            Closed = file:close(Device),
            case Written of
                ok -> Closed;
                Error -> Error
            end;
        Error ->
            Error
    end.

describe(Path, Problem) ->
    text(
        "cannot load the native library ~ts~ts: ~ts. Build it with `sh native/build.sh' in hep's"
        " folder (needs Rust; README.md, section Installation)",
        [Path, extension(), Problem]
    ).

text(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

priv_dir() ->
    filename:join(filename:dirname(beam_dir()), "priv").

beam_dir() ->
    case code:which(?MODULE) of
        File when is_list(File), File =/= "" ->
            filename:dirname(File);
        _CoverCompiledOrPreloaded ->
            case code:lib_dir(hep) of
                {error, bad_name} -> "ebin";
                Dir -> filename:join(Dir, "ebin")
            end
    end.

temporary_dir() ->
    case os:type() of
        {win32, _} -> os:getenv("TEMP", "C:\\Windows\\Temp");
        _ -> os:getenv("TMPDIR", "/tmp")
    end.

extension() ->
    case os:type() of
        {win32, _} -> ".dll";
        _ -> ".so"
    end.
