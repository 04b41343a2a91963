%% @doc Errors: all reasons with their bytes and descriptions, wrong options, wrong arguments.
-module(hep_error_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_packets, [chunk/2, frame/1, frame/2]).

%%% Reasons

%% {Bytes, reason, words of its description}
reasons() ->
    [
        {<<>>, not_hep, ["HEP3", "EEP3"]},
        {<<"OPTIONS sip:a SIP/2.0">>, not_hep, ["not a HEP packet"]},
        {<<"HEP">>, {truncated, 3}, ["truncated", "byte 3"]},
        {<<"HEP3", 100:16, 0:16>>, {truncated, 8}, ["truncated", "byte 8"]},
        {<<1, 16>>, {truncated, 2}, ["truncated", "byte 2"]},
        {<<2, 28, 2, 17, 0:160>>, {truncated, 24}, ["truncated", "byte 24"]},
        {<<1, 16, 99, 0:800>>, {unknown_protocol_family, 99}, ["protocol family", "99"]},
        {<<2, 29, 2, 0:800>>, {invalid_header_length, 29}, ["header length", "29"]},
        {frame(5, []), {invalid_total_length, 5}, ["total length", "5"]},
        {frame([chunk(1, <<2>>), <<0, 0>>]), {truncated_chunk, 13}, ["truncated chunk", "byte 13"]},
        {frame([chunk(1, <<2>>), <<0:16, 1:16, 5:16>>]), {invalid_chunk_length, 13, 5},
            ["chunk length 5", "byte 13"]},
        {frame([chunk(1, <<2>>), <<0:16, 1:16, 7:16>>]), {invalid_chunk_length, 13, 7},
            ["chunk length 7", "byte 13"]},
        {frame(chunk(7, <<1>>)), {invalid_chunk, 0, 7, 1, <<1>>}, ["0x0007", "vendor 0", "1 byte", "width"]},
        {frame(chunk(1, <<99>>)), {invalid_chunk, 0, 1, 1, <<99>>}, ["0x0001", "vendor 0", "family 99"]},
        {frame(chunk(16, <<1, 2>>)), {invalid_chunk, 0, 16, 2, <<1, 2>>}, ["0x0010", "2 bytes", "corrupt"]}
    ].

reason_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Reason])), fun() ->
            ?assertEqual({error, Reason}, hep_answers:check(Bytes)),
            ?assertEqual({error, Reason}, hep:decode(Bytes, #{})),
            Sentence = hep:format_error(Reason),
            ?assert(io_lib:printable_latin1_list(Sentence)),
            [?assertEqual({Sentence, W}, {Sentence, found(Sentence, W)}) || W <- Words]
        end}
     || {Bytes, Reason, Words} <- reasons()
    ].

found(Sentence, Words) ->
    case string:find(Sentence, Words) of
        nomatch -> nomatch;
        _ -> Words
    end.

every_kind_of_reason_is_tested_test() ->
    Kinds = [if is_atom(R) -> R; is_tuple(R) -> element(1, R) end || {_, R, _} <- reasons()],
    ?assertEqual(
        [
            invalid_chunk, invalid_chunk_length, invalid_header_length, invalid_total_length,
            not_hep, truncated, truncated_chunk, unknown_protocol_family
        ],
        lists:usort(Kinds)
    ).

format_error_of_the_largest_numbers_test_() ->
    [
        ?_assert(io_lib:printable_latin1_list(hep:format_error(Reason)))
     || Reason <- [
            {truncated, 1 bsl 64},
            {invalid_chunk_length, 65535, 65535},
            {invalid_chunk, 65535, 65535, 65529, binary:copy(<<255>>, 65529)}
        ]
    ].

format_error_of_no_reason_test() ->
    [
        ?assertError(badarg, hep:format_error(Other))
     || Other <- [foo, {truncated}, {error, not_hep}, "text"]
    ].

%%% Options

wrong_option_test_() ->
    Unknown = ": known are capture_id, header_length, lengths, max_inflated, timestamp and v2_order",
    Number = ": expected an integer from 0 to 18446744073709551615",
    [
        {lists:flatten(io_lib:format("~p", [Options])),
            ?_assertEqual({#{2 => Expected}, Expected}, badarg(<<>>, Options))}
     || {Options, Expected} <- [
            {#{header_length => lax}, "the option header_length is lax: expected strict or ignore"},
            {#{header_length => <<"strict">>}, "the option header_length is <<\"strict\">>: expected strict or ignore"},
            {#{header_length => undefined}, "the option header_length is undefined: expected strict or ignore"},
            {#{v2_order => native}, "the option v2_order is native: expected auto, big or little"},
            {#{v2_order => 1}, "the option v2_order is 1: expected auto, big or little"},
            {#{capture_id => shift}, "the option capture_id is shift: expected keep or repair"},
            {#{timestamp => true}, "the option timestamp is true: expected repair or keep"},
            {#{lengths => x}, "the option lengths is x: expected strict or lenient"},
            {#{max_inflated => -1}, "the option max_inflated is -1" ++ Number},
            {#{max_inflated => 1 bsl 64}, "the option max_inflated is 18446744073709551616" ++ Number},
            {#{max_inflated => 1.0}, "the option max_inflated is 1.0" ++ Number},
            {#{max_inflated => infinity}, "the option max_inflated is infinity" ++ Number},
            {#{max_inflated => "1"}, "the option max_inflated is \"1\"" ++ Number},
            {#{no_such_option => 1}, "unknown option no_such_option" ++ Unknown},
            {#{"header_length" => strict}, "unknown option \"header_length\"" ++ Unknown},
            {#{1 => 2}, "unknown option 1" ++ Unknown},
            {#{{} => {}}, "unknown option {}" ++ Unknown},
            {#{header_length => ignore, v2_order => middle}, "the option v2_order is middle: expected auto, big or little"}
        ]
    ].

%% The codec accepts the values that the error message lists, and the message lists all options.
named_values_are_taken_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Option])), ?_assertEqual(none, hep_options:first_wrong(Kind, Option))}
     || Kind <- [decode, encode], {Name, Values} <- maps:to_list(hep_options:values(Kind)), Value <- taken(Values),
        Option <- [#{Name => Value}]
    ].

taken("an integer" ++ _) -> [0, 18446744073709551615];
taken("a binary") -> [<<>>];
taken(Values) -> Values.

%% A badarg contains the function, the wrong argument, and what is wrong with it.
named_function_test_() ->
    Hep = hep:new(),
    Getters = [
        version, protocol_family, protocol, src_ip, src_port, dst_ip, dst_port, timestamp, node_id, payload_type, payload,
        vendor, correlation_id, vlan_id, node_name, auth_key
    ],
    Calls =
        [{Getter, [undefined], #{1 => "not a #hep{} record"}} || Getter <- Getters] ++
            [{Setter, [undefined, x], #{2 => "not a #hep{} record"}} || Setter <- Getters -- [payload_type]] ++
            [
                {payload_type, [undefined, Hep], #{1 => "not a value of this field"}},
                {version, [4, Hep], #{1 => "not a value of this field"}},
                {protocol_family, [ipv5, Hep], #{1 => "not a value of this field"}},
                {vendor, [nobody, Hep], #{1 => "not a value of this field"}},
                {vlan_id, [65536, Hep], #{1 => "not a value of this field"}},
                {node_name, ["name", Hep], #{1 => "not a value of this field"}},
                {correlation_id, [Hep#hep{chunks = x}], #{1 => "the chunks are not a list"}},
                {chunk, [0, 17, x], #{3 => "not a #hep{} record"}},
                {get_version, [x], #{1 => "not a parsed packet"}},
                {get_chunk, [0, 15, x], #{3 => "not a parsed packet"}},
                {get_chunks, [x], #{1 => "not a parsed packet"}}
            ],
    [badarg_explained(hep, Function, Arguments, Info) || {Function, Arguments, Info} <- Calls].

badarg_of_other_modules_test_() ->
    Stream = hep_stream:new(),
    Broken = #hep{version = 3, src_port = x},
    [
        badarg_explained(Module, Function, Arguments, Info)
     || {Module, Function, Arguments, Info} <- [
            {hep_json, encode, [x], #{1 => "not a packet, or not a list of packets"}},
            {hep_json, encode, [[Broken, x]], #{1 => "invalid value for src_port: x"}},
            {hep_json, encode, [[hep:new() | x]], #{1 => "not a packet, or not a list of packets"}},
            {hep_json, decode, ["{}"], #{1 => "not a binary"}},
            {hep_stream, new, [x], #{1 => "not a map of options"}},
            {hep_stream, new, [#{resync => 1}], #{1 => "unknown option, or an option of the wrong type"}},
            {hep_stream, new, [#{sync => true}], #{1 => "unknown option, or an option of the wrong type"}},
            {hep_stream, feed, [Stream, "HEP3"], #{2 => "not a binary"}},
            {hep_stream, feed, [x, <<>>], #{1 => "not a stream"}}
        ]
    ].

badarg_explained(Module, Function, Arguments, Info) ->
    {lists:concat([Module, ":", Function]), fun() ->
        try apply(Module, Function, Arguments) of
            Answer -> error({no_badarg, Answer})
        catch
            error:badarg:Stacktrace ->
                ?assertMatch([{Module, Function, Arguments, _} | _], Stacktrace),
                ?assertMatch(#{}, proplists:get_value(error_info, element(4, hd(Stacktrace)))),
                ?assertEqual(Info, Module:format_error(badarg, Stacktrace))
        end
    end}.

address_as_text_test() ->
    {error, Reason} = hep:encode((hep:new())#hep{src_ip = "192.0.2.1"}),
    ?assertEqual("invalid value for src_ip: \"192.0.2.1\" is not a tuple such as {192,0,2,1}", hep:format_error(Reason)).

%% As the shell shows it.
the_shell_explains_a_badarg_test() ->
    try
        hep:decode(<<>>, #{no_such_option => 1})
    catch
        error:badarg:Stacktrace ->
            Shown = lists:flatten(erl_error:format_exception(error, badarg, Stacktrace)),
            ?assertNotEqual(nomatch, string:find(Shown, "argument 2: unknown option no_such_option: known are"))
    end.

options_that_are_not_a_map_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Options])), fun() ->
            {Info, Text} = badarg(<<"HEP3", 6:16>>, Options),
            ?assertMatch([2], maps:keys(Info)),
            ?assertNotEqual(nomatch, string:find(Text, "not a map"))
        end}
     || Options <- [[], [{header_length, ignore}], foo, none, {}, <<>>, 1, maps:iterator(#{header_length => ignore})]
    ].

right_options_test_() ->
    Bytes = hep_packets:v2(ipv4, 28, <<0:96>>),
    [
        {lists:flatten(io_lib:format("~p", [Options])),
            ?_assertMatch({ok, #hep{version = 2}}, hep:decode(Bytes, Options))}
     || Options <- [
            #{},
            #{header_length => strict},
            #{header_length => ignore},
            #{v2_order => auto},
            #{v2_order => big},
            #{v2_order => little},
            #{capture_id => keep},
            #{capture_id => repair},
            #{max_inflated => 0},
            #{max_inflated => 1 bsl 62},
            #{header_length => ignore, v2_order => big, capture_id => repair, max_inflated => 1}
        ]
    ].

%% Options are checked before the packet, so a wrong option is found with every packet.
wrong_option_with_any_packet_test_() ->
    [
        ?_assertError(badarg, hep:decode(Bytes, #{v2_order => middle}))
     || Bytes <- [<<>>, <<"HEP3", 6:16>>, <<1, 16>>, hep_packets:v1(ipv4, 16)]
    ].

%%% Arguments of wrong types

not_binaries() ->
    [foo, 1, 1.0, [], "HEP3", [<<"HEP3">>], {}, #{}, self(), make_ref(), fun() -> ok end, <<1:7>>].

not_a_binary_test_() ->
    [
        {lists:flatten(io_lib:format("~p", [Other])), fun() ->
            ?assertError(badarg, hep:decode(Other)),
            {Info, Text} = badarg(Other, #{}),
            ?assertMatch([1], maps:keys(Info)),
            ?assertNotEqual(nomatch, string:find(Text, "not a binary"))
        end}
     || Other <- not_binaries()
    ].

not_a_binary_for_the_originals_modules_test_() ->
    [
        {lists:flatten(io_lib:format("~s:~s ~p", [Module, Function, Other])),
            ?_assertEqual({error, invalid_packet, Other}, Module:Function(Other))}
     || Other <- not_binaries(),
        {Module, Function} <- [
            {hep_multi_parser, parse},
            {hep_v1_parser, parse},
            {hep_v2_parser, parse},
            {hep_v3_parser, parse},
            {hep_multi_decoder, decode},
            {hep_v1_decoder, decode},
            {hep_v2_decoder, decode},
            {hep_v3_decoder, decode}
        ]
    ].

%% The explanation of a badarg of hep:decode/2 for the shell: by argument, and as one text.
badarg(Packet, Options) ->
    try hep:decode(Packet, Options) of
        Answer -> error({no_badarg, Answer})
    catch
        error:badarg:Stacktrace ->
            ?assertMatch([{hep, decode, [Packet, Options], _} | _], Stacktrace),
            ?assertMatch(#{}, proplists:get_value(error_info, element(4, hd(Stacktrace)))),
            Info = hep:format_error(badarg, Stacktrace),
            {Info, lists:flatten(io_lib:format("~ts", [lists:join($\n, maps:values(Info))]))}
    end.
