%% @doc SIP summaries: torture messages like those of RFC 4475, the captured SIP of all senders, each truncated at every
%% byte.
-module(hep_sip_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

%% The short torture test of RFC 4475, section 3.1.1.1: odd case, compact names, folding, white space before the colon,
%% several headers of one name.
torture() ->
    <<"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
        "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
        "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n"
        "MaX-fOrWaRdS: 0068\r\n"
        "Call-ID: wsinv.ndaksdj@192.0.2.1\r\n"
        "Content-Length   : 150\r\n"
        "cseq: 0009\r\n  INVITE\r\n"
        "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
        "s :\r\n"
        "NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
        "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
        "Content-Type: application/sdp\r\n"
        "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
        "m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n"
        "      newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\nv=0\r\n">>.

torture_test() ->
    {ok, Summary} = hep_sip:summary(torture()),
    ?assertMatch(
        #{
            kind := request,
            method := <<"INVITE">>,
            uri := <<"sip:vivekg@chair-dnrc.example.com;unknownparam">>,
            call_id := <<"wsinv.ndaksdj@192.0.2.1">>,
            cseq := {9, <<"INVITE">>},
            from := #{user := <<"jdrosen">>, host := <<"example.com">>, tag := <<"98asjd8">>},
            to := #{user := <<"vivekg">>, host := <<"chair-dnrc.example.com">>, tag := <<"1918181833n">>},
            via_branch := <<"390skdjuw">>,
            content_type := <<"application/sdp">>,
            content_length := 150
        },
        Summary
    ),
    ?assertNot(is_map_key(user_agent, Summary)).

headers_test() ->
    {ok, Headers} = hep_sip:headers(torture()),
    ?assertEqual(14, length(Headers)),
    ?assertEqual({<<"TO">>, <<"sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n">>}, hd(Headers)),
    ?assertEqual({ok, [<<"newfangled value continued newfangled value">>]}, hep_sip:header(<<"newfangledheader">>, torture())),
    {ok, [Via, <<"SIP  / 2.0  / TCP     spindle.example.com   ; ", _/binary>>]} = hep_sip:header(<<"VIA">>, torture()),
    ?assertEqual({ok, [Via]}, {ok, [hd(element(2, hep_sip:header(<<"v">>, torture())))]}),
    ?assertEqual({ok, [<<>>]}, hep_sip:header(<<"Subject">>, torture())),
    ?assertEqual({ok, []}, hep_sip:header(<<"Absent">>, torture())).

bytes_that_are_not_utf8_test() ->
    Message = <<"MESSAGE sip:a SIP/2.0\r\nf: \"", 255, 254, "\" <sip:", 200, "@h>\r\nCall-ID: ", 128, 0, 129, "\r\n\r\n">>,
    ?assertMatch(
        {ok, #{from := #{display := <<255, 254>>, user := <<200>>}, call_id := <<128, 0, 129>>}},
        hep_sip:summary(Message)
    ).

response_test() ->
    Message = <<"SIP/2.0 486 Busy Here\r\nServer: pbx\r\n\r\n">>,
    ?assertEqual(
        {ok, #{kind => response, status => 486, reason => <<"Busy Here">>, user_agent => <<"pbx">>}},
        hep_sip:summary(Message)
    ).

errors_test_() ->
    [
        ?_assertEqual({error, Reason}, Function(Message))
     || {Message, Reason} <- [
            {<<>>, empty},
            {<<"\r\n\r\n">>, empty},
            {<<"GET / HTTP/1.1\r\n\r\n">>, not_sip},
            {<<0, 1, 2>>, not_sip},
            {<<"INVITE sip:a">>, truncated}
        ],
        Function <- [fun hep_sip:summary/1, fun hep_sip:headers/1, fun(M) -> hep_sip:header(<<"i">>, M) end]
    ].

sentences_test() ->
    ?assert(lists:all(fun is_list/1, [hep_sip:format_error(Reason) || Reason <- [empty, not_sip, truncated]])),
    ?assertError(badarg, hep_sip:format_error(other)).

badarg_test_() ->
    [
        ?_assertError(badarg, hep_sip:summary(Term))
     || Term <- [undefined, "INVITE", <<1:1>>, #hep{payload = 1}]
    ] ++ [?_assertError(badarg, hep_sip:header("Via", torture()))].

%% Sub-binaries, not copies: the result keeps the payload in memory and nothing else.
no_copies_test() ->
    %% Since OTP 27 the VM copies parts of up to 64 bytes.
    Uri = [<<"sip:">>, binary:copy(<<"a">>, 100)],
    Message = iolist_to_binary([<<"OPTIONS ">>, Uri, <<" SIP/2.0\r\n\r\n">>, binary:copy(<<"x">>, 1000)]),
    {ok, #{uri := Part}} = hep_sip:summary(Message),
    ?assertEqual(iolist_to_binary(Uri), Part),
    ?assert(binary:referenced_byte_size(Part) >= byte_size(Message)).

%%% Captured SIP

captured() ->
    Decoded = [{hep_fixtures:file(Entry), hep:decode(hep_fixtures:bytes(Entry))} || Entry <- hep_fixtures:entries(datagram)],
    [{File, Hep} || {"captures/" ++ _ = File, {ok, #hep{payload_type = 1} = Hep}} <- Decoded, is_sip(Hep#hep.payload)].

is_sip(Payload) -> re:run(Payload, "^(SIP/2.0 [1-6]|[A-Z]+ sips?:[^ ]+ SIP/2.0)") =/= nomatch.

%% The same Call-ID and CSeq as found by a plain search.
captured_test_() ->
    {timeout, 60, fun() ->
        Captured = captured(),
        ?assert(length(Captured) > 100),
        lists:foreach(fun({File, Hep}) -> ?assertEqual({File, searched(Hep)}, {File, glanced(Hep)}) end, Captured)
    end}.

glanced(Hep) ->
    {ok, Summary} = hep_sip:summary(Hep),
    {maps:get(call_id, Summary, none), maps:get(cseq, Summary, none)}.

searched(#hep{payload = Payload}) ->
    {
        case found(Payload, "^(?:Call-ID|i)[ \t]*:[ \t]*(.*?)[ \t]*\r?$") of
            [CallId] -> CallId;
            none -> none
        end,
        case found(Payload, "^CSeq[ \t]*:[ \t]*([0-9]+)[ \t]+(.*?)[ \t]*\r?$") of
            [Number, Method] -> {binary_to_integer(Number), Method};
            none -> none
        end
    }.

found(Payload, Pattern) ->
    [Head | _] = re:split(Payload, "\r?\n\r?\n"),
    case re:run(Head, Pattern, [multiline, caseless, {capture, all_but_first, binary}]) of
        {match, Parts} -> Parts;
        nomatch -> none
    end.

%% The values of a truncated message are prefixes of those of the complete one.
cut_test_() ->
    {timeout, 120, fun() ->
        lists:foreach(fun every_cut/1, lists:usort([Hep#hep.payload || {_, Hep} <- captured()]))
    end}.

every_cut(Payload) ->
    {ok, Whole} = hep_sip:summary(Payload),
    {FirstLine, _} = binary:match(Payload, <<"\n">>),
    lists:foreach(
        fun(Size) ->
            case hep_sip:summary(binary:part(Payload, 0, Size)) of
                {ok, Cut} -> ?assert(begins(maps:get(call_id, Cut, <<>>), maps:get(call_id, Whole, <<>>)));
                {error, Reason} -> ?assert(Size < FirstLine andalso lists:member(Reason, [truncated, empty]))
            end
        end,
        lists:seq(0, byte_size(Payload))
    ).

begins(Part, Whole) -> binary:longest_common_prefix([Part, Whole]) =:= byte_size(Part).
