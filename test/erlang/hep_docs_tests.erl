%% @doc Every public module, function, type and callback is documented where the shell shows it: h(hep, decode).
-module(hep_docs_tests).

-include_lib("eunit/include/eunit.hrl").

documented_test_() ->
    Modules = [{Module, Docs} || Module <- modules(), {ok, Docs} <- [code:get_doc(Module)]],
    [{atom_to_list(Module), ?_assertEqual([], undocumented(Module, Docs))} || {Module, Docs} <- Modules].

%% Without EDoc there would be nothing to look at.
all_modules_have_docs_test() ->
    ?assertEqual([], [Module || Module <- modules(), element(1, code:get_doc(Module)) =:= error]).

modules() ->
    Beams = filelib:wildcard(filename:join(filename:dirname(code:which(hep)), "*.beam")),
    Modules = [list_to_atom(filename:basename(Beam, ".beam")) || Beam <- Beams],
    [Module || Module <- Modules, lists:prefix("hep", atom_to_list(Module))].

undocumented(_, {docs_v1, _, _, _, hidden, _, _}) ->
    [];
undocumented(Module, {docs_v1, _, _, _, ModuleDoc, _, Docs}) ->
    Public = public(Module),
    [module || ModuleDoc =:= none] ++
        [What || {What, _, _, Doc, _} <- Docs, lists:member(What, Public), is_missing(Doc)].

is_missing(none) -> true;
is_missing(Doc) -> Doc =:= #{}.

public(Module) ->
    {ok, {_, [{abstract_code, {raw_abstract_v1, Forms}}]}} = beam_lib:chunks(code:which(Module), [abstract_code]),
    [{function, Name, Arity} || {Name, Arity} <- Module:module_info(exports)] ++
        [{type, Name, Arity} || {attribute, _, export_type, Types} <- Forms, {Name, Arity} <- Types] ++
        [{callback, Name, Arity} || {attribute, _, callback, {{Name, Arity}, _}} <- Forms].
