%% @doc The terms that transforming reads: large numbers of them, wrong ones, and keys and binaries anywhere in memory.
-module(hep_transform_terms_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [generic/1, state/1]).

%%% Keys

%% A key is found by its address. Keys in the place of the one before are recognised as that key.
keys_are_found_by_address_test() ->
    [_ | Shifted] = tuple_to_list(hep_registry:keys()),
    [_, Protocol | _] = Shifted,
    ?assertEqual(key(0, 2), Protocol),
    ?assertEqual(
        [{<<"ipProtocolFamily">>, 17}],
        hep_nif:transform([{Protocol, <<17>>}], hep_registry:names(), list_to_tuple(Shifted), 0)
    ).

%% The result does not depend on addresses.
wherever_keys_lie_test_() ->
    Ids = lists:seq(0, tuple_size(hep_registry:keys()) - 1),
    {Even, Odd} = lists:partition(fun(Id) -> Id rem 2 =:= 0 end, Ids),
    Keys = [
        {"the registry's", fun() -> hep_registry:keys() end},
        {"made one behind the other", fun() -> made_in_order(Ids) end},
        {"the last one made first", fun() -> made_in_order(lists:reverse(Ids)) end},
        {"every other one made first", fun() -> made_in_order(Even ++ Odd) end},
        {"the first ones", fun() -> made_in_order([0, 1, 2]) end},
        {"one", fun() -> made_in_order([0]) end},
        {"none", fun() -> {} end},
        {"no tuple", fun() -> none end},
        {"no binaries", fun() -> list_to_tuple(Ids) end}
    ],
    [{What, fun() -> without_collection(fun() -> found(Make()) end) end} || {What, Make} <- Keys].

%% Runs in a process with a heap so large that no GC moves a term.
without_collection(Fun) ->
    {Pid, Monitor} = spawn_opt(Fun, [monitor, {min_heap_size, 1_000_000}]),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason)
    end.

found(Keys) ->
    Names = hep_registry:names(),
    Own = [{own_key(Id, Keys), Value} || {Id, Value} <- of_all_widths()],
    Others = [{key(Vendor, Id), Value} || {Id, Value} <- of_all_widths(), Vendor <- [0, 1]],
    [
        ?assertEqual(
            hep_nif:transform(Chunks, Names, none, 0),
            hep_nif:transform(Chunks, Names, Keys, 0)
        )
     || Chunks <- [Own, lists:reverse(Own), Own ++ Own, Others, Others ++ Own]
    ].

%% Every id with a value of each possible width: each named chunk is transformed at least once.
of_all_widths() ->
    Ids = lists:seq(0, tuple_size(hep_registry:keys()) - 1),
    [{Id, <<Id:Width/unit:8>>} || Id <- Ids, Width <- [1, 2, 4, 8, 16]].

%% The keys by their ids, created one by one.
made_in_order(Ids) ->
    list_to_tuple([Key || {_, Key} <- lists:sort([{Id, key(0, Id)} || Id <- Ids])]).

%% The identical term in the tuple, if there is one.
own_key(Id, Keys) when is_tuple(Keys), Id < tuple_size(Keys), is_binary(element(1, Keys)) ->
    element(Id + 1, Keys);
own_key(Id, _) ->
    key(0, Id).

key(Vendor, Id) ->
    <<Vendor:16, Id:16>>.

%%% Many chunks, wrong arguments

many_chunks_test_() ->
    [
        {integer_to_list(N), fun() ->
            State = state([{7, <<Port:16>>} || Port <- lists:seq(1, N)]),
            Expected = [{<<"srcPort">>, Port rem 65536} || Port <- lists:seq(1, N)],
            ?assertEqual(Expected, generic(State))
        end}
     || N <- [3999, 4000, 4001, 100000]
    ].

many_chunks_of_a_record_test_() ->
    [
        {integer_to_list(N), fun() ->
            Hep = (hep:new())#hep{chunks = [{{0, 18}, <<I:16>>} || I <- lists:seq(1, N)]},
            [{<<"payloadType">>, 1}, {<<"payload">>, <<>>} | Vlans] = generic(Hep),
            ?assertEqual([{<<"vlanId">>, I rem 65536} || I <- lists:seq(1, N)], Vlans)
        end}
     || N <- [4000, 4001, 100000]
    ].

wrong_list_is_a_badarg_test_() ->
    Many = [{<<0:16, 7:16>>, <<1:16>>} || _ <- lists:seq(1, 5000)],
    [
        {lists:flatten(io_lib:format("~P", [Wrong, 8])),
            ?_assertError(badarg, hep_transform:transform({hep, 3, Wrong}))}
     || Wrong <- [
            not_a_list,
            <<>>,
            [foo],
            [{}],
            [{<<0:32>>}],
            [{<<0:32>>, <<>>, <<>>}],
            [{<<0:24>>, <<>>}],
            [{<<0:40>>, <<>>}],
            [{<<0:31>>, <<>>}],
            [{7, <<1:16>>}],
            [{{0, 7}, <<1:16>>}],
            [{<<0:16, 7:16>>, <<1:16>>} | improper],
            [{<<0:16, 7:16>>, <<1:16>>}, foo],
            Many ++ foo,
            Many ++ [foo],
            Many ++ [{<<0:16, 7:16>>, <<1:16>>} | foo]
        ]
    ].

wrong_chunks_of_a_record_are_a_badarg_test_() ->
    Many = [{{0, 18}, <<1:16>>} || _ <- lists:seq(1, 5000)],
    [
        {lists:flatten(io_lib:format("~P", [Wrong, 8])),
            ?_assertError(badarg, hep_transform:transform((hep:new())#hep{chunks = Wrong}))}
     || Wrong <- [
            foo,
            [foo],
            [{0, <<>>}],
            [{{0}, <<>>}],
            [{{0, 1, 2}, <<>>}],
            [{{a, 1}, <<>>}],
            [{{0, a}, <<>>}],
            [{{0, -1}, <<>>}],
            [{{-1, 1}, <<>>}],
            [{{0, 65536}, <<>>}],
            [{{0, 18}, <<1:16>>} | foo],
            Many ++ foo,
            Many ++ [foo]
        ]
    ].

wrong_timestamp_of_a_record_is_a_badarg_test_() ->
    [
        ?_assertError(badarg, hep_transform:transform((hep:new())#hep{timestamp = Wrong}))
     || Wrong <- [now, {1, 2}, {1, 2, 3, 4}, {a, 2, 3}, {1, b, 3}, {1 bsl 60, 0, 0}, {-1, 0, 0}]
    ].

%% A value other than a binary has no transformed form.
wrong_values_are_left_out_test() ->
    Wrong = [foo, 7, <<1:15>>, "ab", {2, <<1:16>>}],
    [?assertEqual(no_call, hep_generic_transform:transform(7, V)) || V <- Wrong],
    [?assertEqual(no_call, hep_generic_transform:transform(15, V)) || V <- Wrong],
    ?assertEqual([], generic(state([{15, V} || V <- Wrong]))).

wrong_packet_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Wrong])), fun() ->
            ?assertError(badarg, hep_transform:transform(Wrong))
        end}
     || Wrong <- [foo, <<>>, [], {hep, 3}, {pah, 3, []}, {hep, 3, [], []}]
    ].

%%% Binaries that begin inside a byte

unaligned_test() ->
    State = fun(Make) -> {hep, 3, [{Make(Key), Make(Value)} || {Key, Value} <- unaligned_chunks()]} end,
    Unaligned = fun(Bytes) ->
        <<_:3, Bits/bitstring>> = <<0:3, Bytes/binary>>,
        Bits
    end,
    ?assertEqual(
        hep_transform:transform(State(fun(Bytes) -> Bytes end)), hep_transform:transform(State(Unaligned))
    ).

unaligned_chunks() ->
    [{<<0:16, 1:16>>, <<2>>}, {<<0:16, 9:16>>, <<1, 2, 3, 4>>}, {<<0:16, 15:16>>, <<"payload">>}].

%% Reading an unaligned binary copies it: a list of large ones must not multiply the memory.
large_unaligned_test_() ->
    {timeout, 60, fun() ->
        Large = binary:copy(<<1>>, 16 * 1024 * 1024),
        <<_:3, Value/bitstring>> = <<0:3, Large/binary>>,
        Chunks = lists:duplicate(3999, {<<0:16, 1:16>>, Value}),
        ?assertError(badarg, hep_transform:transform({hep, 3, Chunks})),
        Keys = lists:duplicate(3999, {Value, <<1>>}),
        ?assertError(badarg, hep_transform:transform({hep, 3, Keys}))
    end}.

chunk_id_out_of_range_test_() ->
    [
        ?_assertEqual(no_call, hep_generic_transform:transform(Id, <<1>>))
     || Id <- [-1, 16#10000, 16#10001, 1 bsl 32, (1 bsl 32) + 1, 1 bsl 64, foo]
    ].
