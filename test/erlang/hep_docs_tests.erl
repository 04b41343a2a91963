%% @doc Every public module, function, type and callback has a doc for the shell: h(hep, decode).
-module(hep_docs_tests).

-include_lib("eunit/include/eunit.hrl").

%% For hep_edoc_tests.
-export([public_modules/0, callbacks/1, forms/1]).

documented_test_() ->
    Modules = [{Module, Docs} || Module <- modules(), {ok, Docs} <- [code:get_doc(Module)]],
    [{atom_to_list(Module), ?_assertEqual([], undocumented(Module, Docs))} || {Module, Docs} <- Modules].

%% Fails without EDoc: the other tests would check nothing.
all_modules_have_docs_test() ->
    ?assertEqual([], [Module || Module <- modules(), element(1, code:get_doc(Module)) =:= error]).

modules() ->
    Beams = filelib:wildcard(filename:join(filename:dirname(code:which(hep)), "*.beam")),
    Modules = [list_to_atom(filename:basename(Beam, ".beam")) || Beam <- Beams],
    [Module || Module <- Modules, lists:prefix("hep", atom_to_list(Module))].

%% @doc The modules without `@private'.
-spec public_modules() -> [module()].
public_modules() ->
    [Module || Module <- modules(), {ok, {docs_v1, _, _, _, Doc, _, _}} <- [code:get_doc(Module)], Doc =/= hidden].

undocumented(_, {docs_v1, _, _, _, hidden, _, _}) ->
    [];
undocumented(Module, {docs_v1, _, _, _, ModuleDoc, _, Docs}) ->
    Public = public(Module),
    [module || ModuleDoc =:= none] ++
        [What || {What, _, _, Doc, _} <- Docs, lists:member(What, Public), is_missing(Doc)].

is_missing(none) -> true;
is_missing(Doc) -> Doc =:= #{}.

public(Module) ->
    [{function, Name, Arity} || {Name, Arity} <- Module:module_info(exports)] ++
        [{type, Name, Arity} || {attribute, _, export_type, Types} <- forms(Module), {Name, Arity} <- Types] ++
        [{callback, Name, Arity} || {Name, Arity} <- callbacks(Module)].

-spec callbacks(module()) -> [{atom(), arity()}].
callbacks(Module) ->
    [Callback || {attribute, _, callback, {Callback, _}} <- forms(Module)].

%% @doc The module's abstract code.
-spec forms(module()) -> [erl_parse:abstract_form()].
forms(Module) ->
    {ok, {_, [{abstract_code, {raw_abstract_v1, Forms}}]}} = beam_lib:chunks(code:which(Module), [abstract_code]),
    Forms.
