%% Standard output, standard error, and the end of the command.
%%
%% Standard output is a separate port: a slow reader slows down the writer, and the end of the reader is an exception.
-module(hep_command_output).

-export([start/0, put/1, flush/0, note/1, quietly/1, progress/1, is_terminal/1, columns/0, is_utf8/0]).

-define(STDOUT, hep_command_stdout).
%% The interval of the progress line, in milliseconds.
-define(INTERVAL, 500).

-spec start() -> ok.
start() ->
    process_flag(trap_exit, true),
    true = register(?STDOUT, open_port({fd, 1, 1}, [out, binary])),
    ok = io:setopts(standard_error, [{encoding, unicode}]).

%% Writes to standard output. Throws `closed' when its reader has ended.
-spec put(iodata()) -> ok.
put(Bytes) ->
    try port_command(?STDOUT, Bytes) of
        true -> ok
    catch
        error:badarg -> throw(closed)
    end.

%% Waits until everything is written.
-spec flush() -> ok.
flush() ->
    ok = clear_progress(),
    case whereis(?STDOUT) of
        undefined -> ok;
        Port -> flush(Port)
    end.

flush(Port) ->
    case erlang:port_info(Port, queue_size) of
        {queue_size, Size} when Size > 0 ->
            timer:sleep(1),
            flush(Port);
        _ ->
            ok
    end.

%% A line on standard error.
-spec note(unicode:chardata()) -> ok.
note(Text) ->
    case get(quiet) of
        true ->
            ok;
        undefined ->
            clear_progress(),
            io:put_chars(standard_error, ["hep: ", Text, $\n])
    end.

%% Calls a function without showing its notes.
-spec quietly(fun(() -> Result)) -> Result.
quietly(Function) ->
    _ = put(quiet, true),
    try
        Function()
    after
        erase(quiet)
    end.

%% Shows the progress of long work: on a terminal, twice a second.
-spec progress(fun(() -> unicode:chardata())) -> ok.
progress(Text) ->
    Now = erlang:monotonic_time(millisecond),
    case is_terminal(error) andalso get(progress) of
        false ->
            ok;
        undefined ->
            _ = put(progress, {Now, none}),
            ok;
        {Before, _} when Now - Before < ?INTERVAL ->
            ok;
        _ ->
            _ = put(progress, {Now, shown}),
            io:put_chars(standard_error, ["\r\e[K", Text()])
    end.

clear_progress() ->
    case get(progress) of
        {Time, shown} ->
            _ = put(progress, {Time, none}),
            io:put_chars(standard_error, "\r\e[K");
        _ ->
            ok
    end.

%% The launcher checks this, see hep.sh.
-spec is_terminal(output | error) -> boolean().
is_terminal(Which) ->
    Digit = maps:get(Which, #{output => $1, error => $2}),
    lists:member(Digit, os:getenv("HEP_TERMINAL", "")).

%% The width of the terminal; 100 without a terminal.
-spec columns() -> pos_integer().
columns() ->
    case io_lib:fread("~d ~d", os:getenv("HEP_SIZE", "")) of
        {ok, [_Rows, Columns], _} when Columns > 0 -> Columns;
        _ -> 100
    end.

%% Whether the locale uses UTF-8.
-spec is_utf8() -> boolean().
is_utf8() ->
    case get(is_utf8) of
        undefined ->
            Is = has_utf8(),
            _ = put(is_utf8, Is),
            Is;
        Is ->
            Is
    end.

has_utf8() ->
    Set = [Value || Name <- ["LC_ALL", "LC_CTYPE", "LANG"], Value <- [os:getenv(Name, "")], Value =/= ""],
    Set =/= [] andalso re:run(hd(Set), "utf-?8", [caseless]) =/= nomatch.
