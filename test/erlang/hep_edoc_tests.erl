%% @doc The pages that EDoc writes with the options of rebar.config: every option and every callback has its
%% description, and the overview names every public module.
-module(hep_edoc_tests).

-include_lib("eunit/include/eunit.hrl").

pages_test_() ->
    {setup, fun generate/0, fun file:del_dir_r/1, fun(Directory) ->
        [
            {"pages", ?_assertEqual([], hep_docs_tests:public_modules() -- pages(Directory))},
            {"overview", ?_assertEqual([], missing_links(read(Directory, "overview-summary")))}
        ] ++
            [{atom_to_list(Module), ?_assertEqual([], missing(Module, Directory))} || Module <- pages(Directory)]
    end}.

%% The types and callbacks are found: an empty list would pass the tests above.
declarations_are_found_test_() ->
    [
        ?_assert(length(keys(hep_listener, options)) > 15),
        ?_assert(length(keys(hep_sender, options)) > 15),
        ?_assert(length(keys(hep, options)) + length(keys(hep, encode_options)) > 5),
        ?_assertEqual(5, length(hep_docs_tests:callbacks(hep_handler)))
    ].

generate() ->
    Directory = filename:join([hep_fixtures:top(), "_build", "edoc." ++ os:getpid()]),
    {ok, Config} = file:consult(top("rebar.config")),
    Options = [absolute(Option) || Option <- proplists:get_value(edoc_opts, Config)],
    ok = edoc:application(hep, hep_fixtures:top(), [{dir, Directory} | Options]),
    Directory.

absolute({overview, File}) -> {overview, top(File)};
absolute({Paths, Folders}) when is_list(Folders) -> {Paths, [top(Folder) || Folder <- Folders]};
absolute(Option) -> Option.

top(File) ->
    filename:join(hep_fixtures:top(), File).

pages(Directory) ->
    Pages = [filename:basename(Page, ".html") || Page <- filelib:wildcard(filename:join(Directory, "hep*.html"))],
    [list_to_atom(Page) || Page <- Pages].

read(Directory, Page) ->
    {ok, Html} = file:read_file(filename:join(Directory, Page ++ ".html")),
    Html.

missing_links(Overview) ->
    IsLinked = fun(Module) -> contains(Overview, ["href=\"", atom_to_list(Module), ".html\""]) end,
    [Module || Module <- hep_docs_tests:public_modules(), not IsLinked(Module)].

missing(Module, Directory) ->
    Html = read(Directory, atom_to_list(Module)),
    [{Type, Key} || {Type, Keys} <- maps(Module), Key <- Keys, not is_named(Key, section(Type, Html))] ++
        [{Type, Key} || {Type, Keys} <- maps(Module), is_options(Type), Key <- Keys -- terms(section(Type, Html))] ++
        [Callback || Callback <- hep_docs_tests:callbacks(Module), not lists:member(Callback, heads(Html))].

%% The keys of a map type, as the module declares them.
keys(Module, Type) ->
    proplists:get_value(Type, maps(Module)).

maps(Module) ->
    Forms = hep_docs_tests:forms(Module),
    Exported = lists:append([Types || {attribute, _, export_type, Types} <- Forms]),
    [
        {Name, [Key || {type, _, _, [{atom, _, Key}, _]} <- Fields]}
     || {attribute, _, type, {Name, {type, _, map, Fields}, []}} <- Forms,
        is_list(Fields),
        lists:member({Name, 0}, Exported)
    ].

is_options(Type) ->
    Type =:= config orelse lists:suffix("options", atom_to_list(Type)).

%% The section of a page about a type: up to the next heading.
section(Type, Html) ->
    Anchor = ["(?:name|id)=\"type-", atom_to_list(Type), "\""],
    [_, Behind] = re:split(Html, Anchor, [{parts, 2}]),
    [Section | _] = re:split(Behind, "<h[1-6]", [{parts, 2}]),
    Section.

is_named(Key, Section) ->
    contains(Section, ["<code>", atom_to_list(Key), "</code>"]).

contains(Html, Text) ->
    string:find(Html, iolist_to_binary(Text)) =/= nomatch.

%% The terms of description lists with a description.
terms(Section) ->
    [binary_to_atom(Term) || Terms <- described(Section), Term <- code(Terms)].

described(Html) ->
    case re:run(Html, "<dt>(.*?)</dt>\\s*<dd>(?!\\s*</dd>)", [global, dotall, {capture, [1], binary}]) of
        {match, Found} -> lists:append(Found);
        nomatch -> []
    end.

code(Html) ->
    case re:run(Html, "<code>(.*?)</code>", [global, dotall, {capture, [1], binary}]) of
        {match, Found} -> lists:append(Found);
        nomatch -> []
    end.

%% The functions with arguments and result among the terms, such as `init(Args) -> {ok, State}'.
heads(Html) ->
    [
        head(Head)
     || Terms <- described(Html), Code <- code(Terms), [Head, _] <- [binary:split(Code, [<<" -&gt; ">>])]
    ].

head(Head) ->
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Head) ++ "."),
    {ok, [{call, _, {atom, _, Name}, Arguments}]} = erl_parse:parse_exprs(Tokens),
    {Name, length(Arguments)}.
