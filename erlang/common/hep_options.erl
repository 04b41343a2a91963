%% @private Checks and error messages shared by the options of `hep', `hep_listener', `hep_sender', `hep_port' and
%% `hep_pcap'.
-module(hep_options).

-export([is_name/1, is_tls_versions/1, tls_versions/0, all/2]).
-export([values/1, first_wrong/2, wrong/2]).
-export([format_error/3]).

-type kind() :: decode | encode.

%% @doc Whether the term is a name under which a process can be registered.
-spec is_name(term()) -> boolean().
is_name({local, Name}) -> is_atom(Name) andalso Name =/= undefined;
is_name({global, _}) -> true;
is_name({via, Module, _}) -> is_atom(Module);
is_name(_) -> false.

%% @doc Whether the list of TLS versions is not empty: an empty list makes OTP 25 loop forever.
-spec is_tls_versions(term()) -> boolean().
is_tls_versions(Versions) -> Versions =/= [].

%% @doc The default TLS versions.
-spec tls_versions() -> [ssl:protocol_version()].
tls_versions() -> ['tlsv1.3', 'tlsv1.2'].

%% @doc True for proper lists only.
-spec all(fun((term()) -> boolean()), term()) -> boolean().
all(Is, List) when length(List) >= 0 -> lists:all(Is, List);
all(_, _) -> false.

%% @doc The valid values of the decoding and encoding options: a list of atoms, or a description.
-spec values(kind()) -> #{atom() => [atom()] | string()}.
values(decode) ->
    #{
        header_length => [strict, ignore],
        v2_order => [auto, big, little],
        capture_id => [keep, repair],
        timestamp => [repair, keep],
        lengths => [strict, lenient],
        max_inflated => "an integer from 0 to 18446744073709551615"
    };
values(encode) ->
    #{
        v2_style => [documented, c, forks],
        compress => [none, zlib, gzip],
        auth_key => "a binary"
    }.

%% @doc The first option that is unknown or has an invalid value. Only the codec decides which are valid.
-spec first_wrong(kind(), map()) -> {term(), term()} | none.
first_wrong(Kind, Options) ->
    case [Option || Option <- lists:sort(maps:to_list(Options)), not is_taken(Kind, Option)] of
        [Wrong | _] -> Wrong;
        [] -> none
    end.

is_taken(Kind, Option) ->
    Function =
        case Kind of
            decode -> fun hep_nif:decode/3;
            encode -> fun hep_nif:encode/3
        end,
    try
        _ = Function(<<>>, [Option], 0),
        true
    catch
        error:badarg -> false
    end.

%% @doc Describes wrong decoding or encoding options in a sentence.
-spec wrong(kind(), term()) -> string().
wrong(Kind, Options) when is_map(Options) ->
    Values = values(Kind),
    case first_wrong(Kind, Options) of
        {auth_key, _} -> say("the option auth_key is wrong: expected a binary", []);
        {Name, Value} when is_map_key(Name, Values) ->
            say("the option ~ts is ~0tP: expected ~ts", [Name, Value, 12, one_of(maps:get(Name, Values))]);
        {Name, _} -> say("unknown option ~0tP: known are ~ts", [Name, 12, enumerated(lists:sort(maps:keys(Values)), "and")]);
        %% The other argument is wrong.
        none -> "no wrong option"
    end;
wrong(Kind, _Options) ->
    {Name, Example} =
        case Kind of
            decode -> {v2_order, big};
            encode -> {v2_style, c}
        end,
    say("not a map of options, such as #{~ts => ~ts}", [Name, Example]).

one_of([Atom | _] = Atoms) when is_atom(Atom) -> enumerated(Atoms, "or");
one_of(Text) -> Text.

enumerated(Atoms, Last) ->
    Names = [atom_to_list(Atom) || Atom <- Atoms],
    lists:flatten([lists:join(", ", lists:droplast(Names)), $\s, Last, $\s, lists:last(Names)]).

%% @doc Describes a `bad_option' of `start_link' in a sentence; `Wanted' describes each option's valid values. The
%% value of a secret is not printed.
-spec format_error({bad_option, term()}, #{atom() => string()}, Secrets :: [atom()]) -> string().
format_error({bad_option, {Name, Value}}, Wanted, Secrets) ->
    case {Wanted, lists:member(Name, Secrets)} of
        {#{Name := Text}, _} when Value =:= missing -> say("the option ~p is missing: ~ts", [Name, Text]);
        {#{Name := Text}, true} -> say("the option ~p is wrong: expected ~ts", [Name, Text]);
        {#{Name := Text}, false} -> say("the option ~p is ~0tp: expected ~ts", [Name, Value, Text]);
        _ -> say("unknown option ~0tp", [Name])
    end;
format_error({bad_option, Options}, _, _) ->
    say("the options are ~0tP: expected a map (in Elixir, a keyword list)", [Options, 12]).

say(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).
