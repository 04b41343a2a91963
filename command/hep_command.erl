%% The command `hep': capture files, streams and JSON of HEP on the command line. bin/hep calls it.
-module(hep_command).

-export([main/1]).

%% The exit statuses.
-define(BAD_INPUT, 1).
-define(WRONG_USAGE, 2).

-define(COMMANDS, [
    {"show", hep_command_show, "print the packets of a file"},
    {"flow", hep_command_flow, "list the calls of a file, or print the ladder of one"},
    {"convert", hep_command_convert, "convert between pcap, HEP streams and JSON lines"},
    {"listen", hep_command_listen, "receive packets over UDP, TCP and TLS, and print them"},
    {"send", hep_command_send, "send the packets of a file to a collector"}
]).

-spec main([string()]) -> no_return().
main(Arguments) ->
    ok = hep_command_output:start(),
    ok = quiet_logger(),
    ok = hep_command_signal:ignore(),
    Status =
        try
            run(Arguments)
        catch
            %% As when `head' has read enough.
            throw:closed ->
                0;
            %% hep_nif has logged the reason.
            error:{not_loaded, _} ->
                ?BAD_INPUT;
            Class:Reason:Stack ->
                hep_command_output:note(io_lib:format("internal error: ~0tp~n~tp", [{Class, Reason}, Stack])),
                ?BAD_INPUT
        end,
    ok = hep_command_output:flush(),
    %% Waits until the logged errors are written.
    _ = logger_std_h:filesync(default),
    erlang:halt(Status).

%% Standard output is for packets.
quiet_logger() ->
    _ = logger:remove_handler(default),
    logger:add_handler(default, logger_std_h, #{
        level => error,
        config => #{type => standard_error},
        formatter => {logger_formatter, #{single_line => true, template => [msg, "\n"]}}
    }).

run([]) ->
    ok = io:put_chars(standard_error, overview()),
    ?WRONG_USAGE;
run([Help]) when Help =:= "help"; Help =:= "--help"; Help =:= "-h" ->
    ok = hep_command_output:put(overview()),
    0;
run(["--version"]) ->
    ok = hep_command_output:put(["hep ", version(), $\n]),
    0;
run(["help", Name]) ->
    run([Name, "--help"]);
run([Name | Arguments]) ->
    case lists:keyfind(Name, 1, ?COMMANDS) of
        {_, Module, _} -> command(Name, Module, Arguments);
        false -> wrong(["unknown command ", Name], "hep help")
    end.

command(Name, Module, Arguments) ->
    #{options := Options} = Spec = Module:spec(),
    case hep_command_args:parse([{"help", flag, "", "this text"} | Options], Arguments) of
        {ok, #{"help" := true}, _} ->
            ok = hep_command_output:put(unicode:characters_to_binary(help(Spec))),
            0;
        {ok, Values, Rest} ->
            %% Loads the native library.
            {error, _} = hep:decode(<<>>),
            ended(Name, Module:run(Values, Rest));
        {error, Text} ->
            wrong(Text, ["hep help ", Name])
    end.

ended(_, ok) -> 0;
ended(_, {error, Text}) -> hep_command_output:note(Text), ?BAD_INPUT;
ended(Name, {usage, Text}) -> wrong(Text, ["hep help ", Name]).

wrong(Text, Help) ->
    hep_command_output:note([Text, " (see `", Help, "')"]),
    ?WRONG_USAGE.

help(#{usage := Usage, about := About, options := Options, examples := Examples}) ->
    [
        ["Usage: ", Usage, "\n\n", About, "\n\nOptions:\n", hep_command_args:options(Options), "\nExamples:\n"],
        [["  ", Example, $\n] || Example <- Examples]
    ].

overview() ->
    [
        "Usage: hep COMMAND [OPTIONS] [ARGUMENTS]\n\n"
        "Reads, shows, converts, receives and sends HEP, the Homer Encapsulation Protocol.\n\nCommands:\n",
        [io_lib:format("  ~-10s ~s~n", [Name, About]) || {Name, _, About} <- ?COMMANDS],
        "\n`hep help COMMAND' shows the options of a command, with examples. `hep --version' shows the version.\n"
        "Exit status: 0 success, 1 bad input, 2 wrong usage.\n"
    ].

version() ->
    _ = application:load(hep),
    {ok, Version} = application:get_key(hep, vsn),
    Version.
