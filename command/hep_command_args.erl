%% Arguments of the command line, described by a table. (OTP has argparse since OTP 26.)
-module(hep_command_args).

-export([parse/2, options/1, bytes/1, auth_key/1]).

-export_type([option/0, values/0]).

-type type() :: flag | text | format | {integer, Least :: integer(), Most :: integer() | infinity}.
-type option() :: {Name :: string(), type(), What :: string(), Help :: string()}.
%% `--NAME', or `--NAME WHAT'.

-type values() :: #{string() => true | binary() | integer() | atom()}.

%% The options, and the other arguments in order. `--' ends the options; `-' is an argument.
-spec parse([option()], [string()]) -> {ok, values(), [string()]} | {error, unicode:chardata()}.
parse(Options, Arguments) -> parse(Options, Arguments, #{}, []).

parse(_, [], Values, Rest) ->
    {ok, Values, lists:reverse(Rest)};
parse(_, ["--" | More], Values, Rest) ->
    {ok, Values, lists:reverse(Rest, More)};
parse(Options, ["-h" | More], Values, Rest) ->
    parse(Options, ["--help" | More], Values, Rest);
parse(Options, ["--" ++ Long | More], Values, Rest) ->
    {Name, Attached} = split(Long),
    case {lists:keyfind(Name, 1, Options), Attached, More} of
        {false, _, _} -> {error, ["unknown option --", Name]};
        {{_, flag, _, _}, none, _} -> parse(Options, More, Values#{Name => true}, Rest);
        {{_, flag, _, _}, _, _} -> {error, ["--", Name, " takes no value"]};
        {Option, none, [Value | Behind]} -> add(Option, Value, Options, Behind, Values, Rest);
        {{_, _, What, _}, none, []} -> {error, ["--", Name, " needs a value: ", What]};
        {Option, {value, Value}, _} -> add(Option, Value, Options, More, Values, Rest)
    end;
parse(_, [[$-, _ | _] = Short | _], _, _) ->
    {error, ["unknown option ", Short]};
parse(Options, [Argument | More], Values, Rest) ->
    parse(Options, More, Values, [Argument | Rest]).

split(Long) ->
    case string:split(Long, "=") of
        [Name, Value] -> {Name, {value, Value}};
        [Name] -> {Name, none}
    end.

add({Name, Type, _, _}, Text, Options, More, Values, Rest) ->
    case value(Type, Text) of
        {ok, Value} -> parse(Options, More, Values#{Name => Value}, Rest);
        {error, Wanted} -> {error, ["--", Name, " ", Text, ": expected ", Wanted]}
    end.

value(text, Text) ->
    {ok, bytes(Text)};
value(format, Text) ->
    case Text of
        "pcap" -> {ok, pcap};
        "hep" -> {ok, hep};
        "json" -> {ok, json};
        _ -> {error, "pcap, hep or json"}
    end;
value({integer, Least, Most}, Text) ->
    try list_to_integer(Text) of
        Value when Value >= Least, Value =< Most -> {ok, Value};
        _ -> {error, range(Least, Most)}
    catch
        error:badarg -> {error, range(Least, Most)}
    end.

range(Least, infinity) -> io_lib:format("a number of at least ~b", [Least]);
range(Least, Most) -> io_lib:format("a number from ~b to ~b", [Least, Most]).

%% The bytes of an argument. The VM reads arguments as UTF-8; invalid UTF-8 is kept as bytes.
-spec bytes(string()) -> binary().
bytes(Text) ->
    case unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes) -> Bytes;
        _ -> list_to_binary([C band 255 || C <- Text])
    end.

%% The options as lines of the help text.
-spec options([option()]) -> unicode:chardata().
options(Options) ->
    [io_lib:format("  ~-24ts ~ts~n", [named(Option), Help]) || {_, _, _, Help} = Option <- Options].

named({Name, flag, _, _}) -> ["--", Name];
named({Name, _, What, _}) -> ["--", Name, $\s, What].

%% The authenticate key: arguments are visible in lists of processes, the environment is not.
-spec auth_key(values()) -> binary() | none.
auth_key(#{"auth-key" := Key}) ->
    Key;
auth_key(_) ->
    case os:getenv("HEP_AUTH_KEY", "") of
        "" -> none;
        Key -> bytes(Key)
    end.
