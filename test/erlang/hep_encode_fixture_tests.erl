%% @doc Encoding: decode -> encode -> decode of every fixture.
-module(hep_encode_fixture_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-import(hep_encoding, [encoded/1, encoded/2, second_generation/1, second_generation/2]).

%%% The fixtures, there and back

%% Decoded fixtures that cannot be encoded again, and why.
designed_exceptions() ->
    [
        %% An inflated payload may be larger than a packet.
        {"constructed/v3-gzip-256-kib.bin", packet_too_large},
        {"constructed/v3-raw-deflate-256-kib.bin", packet_too_large},
        {"constructed/v3-zlib-256-kib.bin", packet_too_large}
    ].

fixture_test_() ->
    {timeout, 120, [
        {hep_fixtures:file(Entry), fun() -> lists:foreach(fun there_and_back/1, Packets) end}
     || {Entry, Packets} <- decodable(), exception(Entry) =:= none
    ]}.

exception_test_() ->
    [
        {hep_fixtures:file(Entry), fun() ->
            {error, Reason} = hep:encode(Hep),
            ?assertEqual(Expected, element(1, Reason))
        end}
     || {Entry, Packets} <- decodable(),
        Expected <- [exception(Entry)],
        Expected =/= none,
        Hep <- Packets
    ].

fixtures_are_there_test() ->
    Files = [hep_fixtures:file(Entry) || {Entry, _} <- decodable()],
    ?assert(length(Files) >= 757),
    ?assertEqual([], [File || {File, _} <- designed_exceptions(), not lists:member(File, Files)]).

exception(Entry) ->
    proplists:get_value(hep_fixtures:file(Entry), designed_exceptions(), none).

%% Decoded packets: with the default options, and with others.
decodable() ->
    Options = [#{}, #{header_length => ignore, capture_id => repair}],
    [
        {Entry, Packets}
     || Entry <- hep_fixtures:entries(datagram),
        Bytes <- [hep_fixtures:bytes(Entry)],
        Packets <- [[Hep || O <- Options, {ok, Hep} <- [hep:decode(Bytes, O)]]],
        Packets =/= []
    ].

there_and_back(#hep{version = Version} = Hep) ->
    Packed = [#{compress => C} || C <- [zlib, gzip], Version =:= 3],
    Ways = [#{} | Packed] ++ [#{v2_style => c} || Version =:= 2],
    [
        begin
            Again = comes_back(Hep, encoded(Hep, Options), #{}),
            comes_back(Again, encoded(Again, Options), #{})
        end
     || Options <- Ways
    ],
    comes_back(Hep, second_generation(Hep), #{}).

%% The decoded packet; fails unless it equals the encoded one.
comes_back(Hep, Bytes, Options) ->
    {ok, Again} = hep:decode(Bytes, Options),
    ?assertEqual(written(Hep, Again), Again),
    Again.

%% A time of version 2 that was read in the wrong byte order is written as read, and read back. Only microseconds that
%% would be read swapped are carried over into the seconds. Where the clock decides, the order must be given.
byte_order_test_() ->
    [
        {lists:flatten(io_lib:format("~s ~p", [hep_fixtures:file(Entry), Order])), fun() ->
            [
                comes_back(Carried, encoded(Hep, #{v2_style => Style}), #{v2_order => V2Order})
             || {Style, Given} <- [{documented, big}, {c, little}, {forks, big}],
                Carried <- [carried(Style, Hep)],
                V2Order <- [Given | [auto || not is_open(Carried)]]
            ]
        end}
     || {Entry, _} <- decodable(),
        Order <- [big, little],
        {ok, #hep{version = 2} = Hep} <- [hep:decode(hep_fixtures:bytes(Entry), #{v2_order => Order})]
    ].

is_open(#hep{timestamp = {_, _, Micros}}) ->
    Micros < 1000000 andalso swapped(Micros) < 1000000.

swapped(Micros) ->
    <<Swapped:32/little>> = <<Micros:32>>,
    Swapped.

carried(Style, #hep{timestamp = {Mega, Seconds, Micros}} = Hep) ->
    Whole = Mega * 1000000 + Seconds + Micros div 1000000,
    case Micros >= 1000000 andalso (Style =:= forks orelse swapped(Micros) < 1000000) of
        true -> Hep#hep{timestamp = {Whole div 1000000, Whole rem 1000000, Micros rem 1000000}};
        false -> Hep
    end.

%% The packet as read back: chunks in the order of writing, the current time if it had none.
written(#hep{chunks = Chunks} = Hep, #hep{timestamp = Now}) ->
    {Generic, Vendors} = lists:partition(fun({{Vendor, _}, _}) -> Vendor =:= 0 end, Chunks),
    Timed =
        case Hep of
            #hep{version = 1} -> Hep#hep{timestamp = Now};
            #hep{timestamp = undefined} -> Hep#hep{timestamp = Now};
            _ -> Hep
        end,
    ?assertMatch({_, _, _}, Now),
    Timed#hep{chunks = lists:keysort(1, Generic) ++ Vendors}.
