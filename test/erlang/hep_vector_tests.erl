%% @doc The recorded results of the original library, for all of its modules that exist here.
-module(hep_vector_tests).

-include_lib("eunit/include/eunit.hrl").

generation_1_test_() -> vectors("generation1.eterm").

generation_2_test_() -> vectors("generation2.eterm").

generation_1_is_complete_test() ->
    ?assertEqual(
        [
            {{hep, get_chunk, 3}, 24},
            {{hep, get_chunks, 1}, 6},
            {{hep, get_version, 1}, 6},
            {{hep_generic_transform, transform, 2}, 40},
            {{hep_generic_transform, vendor_id, 0}, 1},
            {{hep_multi_parser, parse, 1}, 20},
            {{hep_transform, transform, 1}, 6},
            {{hep_v1_parser, parse, 1}, 3},
            {{hep_v2_parser, parse, 1}, 2}
        ],
        counts("generation1.eterm")
    ).

generation_2_is_complete_test() ->
    ?assertEqual(
        [
            {{hep_multi_decoder, decode, 1}, 18},
            {{hep_util, timestamp_secs, 1}, 1},
            {{hep_v1_decoder, decode, 1}, 3},
            {{hep_v1_encoder, encode, 1}, 5},
            {{hep_v2_decoder, decode, 1}, 3},
            {{hep_v2_encoder, encode, 1}, 7}
        ],
        counts("generation2.eterm")
    ).

vectors(File) ->
    [
        {lists:flatten(io_lib:format("~s ~b ~s", [File, N, Name])), ?_test(vector(Call, Expected))}
     || {N, {Name, Call, Expected}} <- runnable(File)
    ].

vector({Module, Function, Arguments}, Expected) ->
    Answer = apply(Module, Function, Arguments),
    ?assertEqual(Expected, hide(Expected, Answer)).

%% The result, with '_' wherever the expected term has it.
hide('_', _) ->
    '_';
hide([Expected | Rest], [Answer | Answers]) ->
    [hide(Expected, Answer) | hide(Rest, Answers)];
hide(Expected, Answer) when tuple_size(Expected) =:= tuple_size(Answer) ->
    list_to_tuple(hide(tuple_to_list(Expected), tuple_to_list(Answer)));
hide(_, Answer) ->
    Answer.

%% The vectors whose module and function exist here, with their numbers.
runnable(File) ->
    Vectors = hep_fixtures:vectors(File),
    [
        Numbered
     || {_, {_, {M, F, A}, _}} = Numbered <- lists:zip(lists:seq(1, length(Vectors)), Vectors),
        code:ensure_loaded(M) =:= {module, M},
        erlang:function_exported(M, F, length(A))
    ].

counts(File) ->
    Functions = [{M, F, length(A)} || {_, {_, {M, F, A}, _}} <- runnable(File)],
    [{MFA, length([1 || Same <- Functions, Same =:= MFA])} || MFA <- lists:usort(Functions)].
