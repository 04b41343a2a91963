%% @doc Runs the Erlang snippets of README.md and the guides, and compares their output with the text.
%%
%% The snippets of a document share their variables, in order. A snippet with shell prompts (`1> ') shows results below
%% the commands; `...' matches any text. A snippet without prompts is run, and `% => Result' after an expression shows
%% its result. A snippet with `-module' is compiled and loaded. A fence with a file name (```` ```erlang rebar.config
%% ````)
%% contains terms, which are only parsed.
-module(hep_guide_tests).

-include_lib("eunit/include/eunit.hrl").

snippets_test_() ->
    [
        {timeout, 60, {Document, {spawn, fun() -> run(Document) end}}}
     || Document <- documents(), snippets(Document) =/= []
    ].

%% Without a closing fence a document would have no snippets.
there_are_snippets_test() ->
    ?assert(length(snippets(top("README.md"))) >= 3).

documents() ->
    [top("README.md") | lists:sort(filelib:wildcard(top("guides/*.md")))].

top(File) ->
    filename:join(hep_fixtures:top(), File).

%% Each with its line and the words after `erlang' in its fence.
snippets(Document) ->
    {ok, Text} = file:read_file(Document),
    Lines = string:split(unicode:characters_to_list(Text), "\n", all),
    outside(lists:zip(lists:seq(1, length(Lines)), Lines)).

outside([]) ->
    [];
outside([{Line, "```erlang" ++ Words} | Rest]) ->
    {Inside, [_Fence | Behind]} = lists:splitwith(fun({_, Text}) -> Text =/= "```" end, Rest),
    [{Line + 1, string:trim(Words), [Text || {_, Text} <- Inside]} | outside(Behind)];
outside([_ | Rest]) ->
    outside(Rest).

run(Document) ->
    Run = fun(Snippet, Session) -> snippet(Document, Snippet, Session) end,
    {ok, Directory} = file:get_cwd(),
    ok = file:set_cwd(hep_fixtures:top()),
    try
        Session = #{bindings => erl_eval:new_bindings(), records => [], printer => printer()},
        lists:foldl(Run, Session, snippets(Document))
    after
        ok = file:set_cwd(Directory)
    end.

snippet(Document, {Line, "", Lines}, Session) ->
    case lists:prefix("-module(", hd(Lines)) of
        true -> module(Document, Line, Lines, Session);
        false -> commands(Document, Line, Lines, Session)
    end;
snippet(_, {_, _File, Lines}, Session) ->
    _ = parsed(Lines),
    Session.

module(Document, Line, Lines, Session) ->
    "-module(" ++ Rest = hd(Lines),
    File = filename:join([hep_fixtures:top(), "_build", "guides", hd(string:split(Rest, ")")) ++ ".erl"]),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, lists:join("\n", Lines)),
    Options = [binary, return, warnings_as_errors, debug_info, {i, "include"}],
    case compile:file(File, Options) of
        {ok, Module, Beam, []} ->
            {module, Module} = code:load_binary(Module, Document, Beam),
            Session;
        Other ->
            error({Document, Line, Other})
    end.

parsed(Lines) ->
    {ok, Tokens, _} = erl_scan:string(lists:append(lists:join("\n", Lines))),
    [{ok, _} = erl_parse:parse_exprs(Sentence) || Sentence <- sentences(Tokens, [])].

sentences([], []) -> [];
sentences([{dot, _} = Dot | Rest], Sentence) -> [lists:reverse(Sentence, [Dot]) | sentences(Rest, [])];
sentences([Token | Rest], Sentence) -> sentences(Rest, [Token | Sentence]).

commands(Document, Line, Lines, Session) ->
    lists:foldl(
        fun({Command, Expected}, Now) ->
            {Answer, Next} = evaluated(Document, Line, Command, Now),
            _ = is_as_shown(Answer, Expected) orelse error({Document, Line, Command, {shown, Expected}, {answer, Answer}}),
            Next
        end,
        Session,
        split(Lines)
    ).

%% Commands, each with the text shown below it.
split(Lines) ->
    case lists:any(fun is_prompt/1, Lines) of
        true -> prompted(Lines);
        false -> plain(Lines)
    end.

is_prompt(Line) ->
    re:run(Line, "^[0-9]+> ") =/= nomatch.

prompted([]) ->
    [];
prompted([Line | Lines]) ->
    [_Prompt, First] = string:split(Line, "> "),
    {Command, Behind} = command(First, Lines),
    {Shown, Rest} = lists:splitwith(fun(Text) -> not is_prompt(Text) end, Behind),
    [{Command, lists:append(lists:join("\n", Shown))} | prompted(Rest)].

plain(Lines) ->
    case lists:dropwhile(fun(Text) -> string:trim(Text) =:= "" end, Lines) of
        [] ->
            [];
        [First | Rest] ->
            {Command, Behind} = command(First, Rest),
            {Shown, Others} = lists:splitwith(fun(Text) -> lists:prefix("% => ", Text) end, Behind),
            [{Command, lists:append([lists:nthtail(5, Text) || Text <- Shown])} | plain(Others)]
    end.

%% The lines up to the full stop.
command(Command, Lines) ->
    case {erl_scan:tokens([], Command ++ "\n", 1), Lines} of
        {{done, {ok, _, _}, _}, _} -> {Command, Lines};
        {{more, _}, [Line | Rest]} -> command(Command ++ "\n" ++ Line, Rest)
    end.

%% The value, and the output before it.
evaluated(Document, Line, Command, #{records := Records, printer := Printer} = Session) ->
    {ok, Tokens, _} = erl_scan:string(Command),
    case Tokens of
        [{atom, _, rr}, {'(', _}, {string, _, Header} | _] ->
            {ok, Forms} = epp:parse_file(Header, []),
            Read = [Form || {attribute, _, record, _} = Form <- Forms],
            {none, Session#{records := Read ++ Records}};
        _ ->
            {ok, Expressions} = erl_parse:parse_exprs(Tokens),
            Group = group_leader(),
            true = group_leader(Printer, self()),
            try erl_eval:exprs(expanded(Expressions, Records), maps:get(bindings, Session)) of
                {value, Value, Bindings} -> {{printed(Printer), Value}, Session#{bindings := Bindings}}
            catch
                Class:Reason:Stack -> erlang:raise(error, {Document, Line, Command, {Class, Reason}}, Stack)
            after
                true = group_leader(Group, self())
            end
    end.

%% Expands records like the shell, since `erl_eval' does not.
expanded(Expressions, Records) ->
    Clause = {clause, 1, [], [], Expressions},
    Forms = [{attribute, 1, module, shell} | Records] ++ [{function, 1, snippet, 0, [Clause]}],
    Expanded = erl_expand_records:module(Forms, []),
    [{clause, _, [], [], Body}] = hd([Clauses || {function, _, snippet, 0, Clauses} <- Expanded]),
    Body.

is_as_shown(_, "") ->
    true;
is_as_shown({Printed, Value}, Shown) ->
    is_value(Value, Shown) orelse is_text(Printed ++ io_lib:format("~tp", [Value]), Shown) orelse
        is_text(Printed, Shown).

is_value(Value, Shown) ->
    maybe_term(fun() ->
        {ok, Tokens, _} = erl_scan:string(Shown ++ "."),
        {ok, Term} = erl_parse:parse_term(Tokens),
        Term =:= Value
    end).

maybe_term(Compare) ->
    try
        Compare()
    catch
        error:{badmatch, _} -> false
    end.

%% White space is ignored, and `...' matches any text.
is_text(Answer, Shown) ->
    Solid = fun(Text) -> re:replace(Text, "\\s+", "", [global, {return, list}, unicode]) end,
    Parts = string:split(Solid(Shown), "...", all),
    Pattern = ["^", lists:join(".*", [["\\Q", Part, "\\E"] || Part <- Parts]), "$"],
    re:run(Solid(lists:flatten(Answer)), unicode:characters_to_binary(Pattern), [dotall, unicode]) =/= nomatch.

%% A group leader that collects its output.
printer() ->
    spawn_link(fun() -> printer([]) end).

printer(Text) ->
    receive
        {io_request, From, As, Request} ->
            From ! {io_reply, As, ok},
            printer([Text | written(Request)]);
        {printed, From} ->
            From ! {printed, self(), unicode:characters_to_list(Text)},
            printer([])
    end.

written({put_chars, _Encoding, Text}) -> [Text];
written({put_chars, _Encoding, Module, Function, Arguments}) -> [apply(Module, Function, Arguments)];
written(_) -> [].

printed(Printer) ->
    Printer ! {printed, self()},
    receive
        {printed, Printer, Text} -> Text
    after 5000 -> error(no_output)
    end.
