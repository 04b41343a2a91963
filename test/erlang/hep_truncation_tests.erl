%% @doc Every truncation of every datagram has a documented result, the same in all generations.
-module(hep_truncation_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

%% The size of the longest header.
-define(HEADER, 52).

every_datagram_test_() ->
    {timeout, 60, [
        {hep_fixtures:file(Entry), fun() -> datagram(hep_fixtures:bytes(Entry)) end}
     || Entry <- hep_fixtures:entries(datagram)
    ]}.

%% A payload of version 1 or 2 may end anywhere.
datagram(<<Version, _/binary>> = Bytes) when Version =:= 1; Version =:= 2 ->
    Lengths = lists:seq(0, min(byte_size(Bytes) - 1, ?HEADER + 2)),
    [fixed(Length, binary:part(Bytes, 0, Length)) || Length <- Lengths];
datagram(Bytes) ->
    Lengths = lists:seq(0, byte_size(Bytes) - 1),
    [frame(Length, binary:part(Bytes, 0, Length), Bytes) || Length <- Lengths].

fixed(0, Bytes) ->
    ?assertEqual({error, not_hep}, hep_answers:check(Bytes));
fixed(Length, Bytes) when Length < 3 ->
    ?assertEqual({error, {truncated, Length}}, hep_answers:check(Bytes));
fixed(Length, <<Version, _, Family, _/binary>> = Bytes) ->
    case hep_answers:check(Bytes) of
        {error, {truncated, At}} ->
            ?assertEqual(Length, At),
            ?assert(Length < header(Version, Family));
        {error, Reason} ->
            Kinds = [unknown_protocol_family, invalid_header_length],
            ?assert(lists:member(element(1, Reason), Kinds));
        {ok, #hep{payload = Payload}} ->
            ?assert(Length >= header(Version, Family)),
            %% Q10 removes NUL bytes.
            Came = binary:part(Bytes, header(Version, Family), Length - header(Version, Family)),
            ?assert(Payload =:= Came orelse Came =:= <<Payload/binary, 0:(byte_size(Came) - byte_size(Payload))/unit:8>>)
    end.

header(1, 2) -> 16;
header(1, _) -> 40;
header(2, 2) -> 28;
header(2, _) -> 52.

%% A frame is truncated up to its total length; any bytes may follow, or none.
frame(0, Bytes, _) ->
    ?assertEqual({error, not_hep}, hep_answers:check(Bytes));
frame(Length, Bytes, <<Magic:4/binary, Total:16, _/binary>>) when
    (Magic =:= <<"HEP3">> orelse Magic =:= <<"EEP3">>), Total >= 6, Length < Total
->
    ?assertEqual({error, {truncated, Length}}, hep_answers:check(Bytes));
frame(Length, Bytes, <<Magic:4/binary, Total:16, _/binary>> = Whole) when
    (Magic =:= <<"HEP3">> orelse Magic =:= <<"EEP3">>), Total >= 6, Length >= Total
->
    ?assertEqual(hep:decode(Whole), hep_answers:check(Bytes));
%% Bytes after gzip are ignored.
frame(_, Bytes, <<16#1f, 16#8b, _/binary>> = Whole) ->
    case hep_answers:check(Bytes) of
        {error, _} -> ok;
        Answer -> ?assertEqual(hep:decode(Whole), Answer)
    end;
frame(_, Bytes, _) ->
    ?assertMatch({error, _}, hep_answers:check(Bytes)).

%% A header without its payload is a packet without payload.
payload_may_end_anywhere_test_() ->
    [
        {lists:flatten(io_lib:format("~s", [File])), fun() ->
            Bytes = hep_fixtures:bytes(File),
            [
                begin
                    Cut = binary:part(Bytes, 0, Length),
                    {ok, #hep{payload = Payload}} = hep_answers:check(Cut),
                    ?assertEqual(binary:part(Bytes, Header, Length - Header), Payload)
                end
             || Length <- lists:seq(Header, byte_size(Bytes))
            ]
        end}
     || {Header, File} <- [
            {16, "captures/kamailio-v1/" ++ first("captures/kamailio-v1/", 2)},
            {40, "captures/kamailio-v1/" ++ first("captures/kamailio-v1/", 10)},
            {28, "captures/kamailio-v2/" ++ first("captures/kamailio-v2/", 2)},
            {52, "captures/kamailio-v2/" ++ first("captures/kamailio-v2/", 10)}
        ]
    ].

%% The first capture in a folder whose packet is of the family.
first(Folder, Family) ->
    [File | _] = [
        lists:nthtail(length(Folder), File)
     || Entry <- hep_fixtures:entries(datagram),
        File <- [hep_fixtures:file(Entry)],
        lists:prefix(Folder, File),
        binary:at(hep_fixtures:bytes(Entry), 2) =:= Family
    ],
    File.
