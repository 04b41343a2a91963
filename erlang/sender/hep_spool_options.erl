%% @private
%% The options of `hep_spool:open/1', checked and completed, and sentences about errors.
-module(hep_spool_options).

-export([check/1, format_error/1]).

-spec check(term()) -> {ok, hep_spool:options()} | {error, {bad_option, term()}}.
check(#{} = Options) ->
    Given = maps:merge(#{dir => missing, max_bytes => 1 bsl 30, sync => false}, Options),
    case [Option || {Name, Value} = Option <- lists:sort(maps:to_list(Given)), not is_right(Name, Value, Given)] of
        [] -> {ok, completed(Given)};
        [Wrong | _] -> {error, {bad_option, Wrong}}
    end;
check(Options) ->
    {error, {bad_option, Options}}.

completed(#{dir := Dir, max_bytes := Max} = Options) ->
    Segment = min(1 bsl 24, max(4096, Max div 16)),
    maps:merge(#{segment_bytes => Segment}, Options#{dir := path(Dir)}).

is_right(dir, Dir, _) -> is_binary(path(Dir)) andalso path(Dir) =/= <<>>;
is_right(max_bytes, Bytes, _) -> is_integer(Bytes) andalso Bytes >= 65536;
is_right(segment_bytes, Bytes, #{max_bytes := Max}) ->
    is_integer(Bytes) andalso Bytes >= 4096 andalso is_integer(Max) andalso Bytes =< Max div 4;
is_right(sync, Sync, _) -> is_boolean(Sync);
is_right(_, _, _) -> false.

path(Dir) when is_binary(Dir); is_list(Dir) ->
    try unicode:characters_to_binary(Dir) of
        <<Path/binary>> -> path_without_zero(binary:match(Path, <<0>>), Path);
        _ -> invalid
    catch
        error:badarg -> invalid
    end;
path(_) ->
    invalid.

path_without_zero(nomatch, Path) -> Path;
path_without_zero(_, _) -> invalid.

-spec format_error(hep_spool:reason()) -> string().
format_error({bad_option, Wrong}) ->
    Wanted = #{
        dir => "the path of a directory",
        max_bytes => "an integer of at least 65536",
        segment_bytes => "an integer from 4096 to a quarter of max_bytes",
        sync => "true or false"
    },
    hep_options:format_error({bad_option, Wrong}, Wanted, []);
format_error({spool, Path, locked}) ->
    say("the spool ~ts is in use by another process", [Path]);
format_error({spool, Path, Reason}) when is_atom(Reason) ->
    say("the spool cannot use ~ts: ~ts (~p)", [Path, file:format_error(Reason), Reason]);
format_error({spool, Path, Reason}) ->
    say("the spool cannot use ~ts: ~0p", [Path, Reason]);
format_error(_) ->
    erlang:error(badarg).

say(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).
