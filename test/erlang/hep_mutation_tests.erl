%% @doc Every change of a single byte of some real packets has a documented result, the same in all
%% generations; so has every value of two bytes in place of a length.
-module(hep_mutation_tests).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

%% One of each kind in the fixtures.
files() ->
    [
        "captures/asterisk-16.28-v3/callid-v4/001.bin",
        "captures/asterisk-16.28-v3/callid-v6/001.bin",
        "captures/hep-js-v3/vendor-ext/001.bin",
        "captures/hep-js-v3/sip-auth-corr/001.bin",
        first("captures/kamailio-v1/"),
        first("captures/kamailio-v2/"),
        first("captures/kamailio-v3/"),
        first("captures/rtpengine-v3/"),
        first("captures/sngrep-v2/"),
        first("captures/sngrep-v3/"),
        "constructed/v3-zlib-payload.bin",
        "constructed/v3-gzip-payload.bin",
        "constructed/v3-raw-deflate-payload.bin",
        "published/hep3-specification-example.bin"
    ].

first(Folder) ->
    [File | _] = [F || E <- hep_fixtures:entries(datagram), F <- [hep_fixtures:file(E)],
        lists:prefix(Folder, F)],
    File.

every_byte_test_() ->
    [
        {timeout, 60, {File, fun() -> every_byte(hep_fixtures:bytes(File)) end}}
     || File <- files()
    ].

every_byte(Bytes) ->
    [
        hep_answers:check(<<Before/binary, Mutated, After/binary>>)
     || At <- lists:seq(0, byte_size(Bytes) - 1),
        <<Before:At/binary, Byte, After/binary>> <- [Bytes],
        Mutated <- lists:usort([0, 255, (Byte + 1) rem 256]),
        Mutated =/= Byte
    ].

%% The total length, and the length of the first chunk.
every_length_test_() ->
    Bytes = hep_packets:frame([
        hep_packets:chunk(1, <<2>>),
        hep_packets:chunk(7, <<5060:16>>),
        hep_packets:chunk(15, <<"x">>)
    ]),
    [
        {atom_to_list(Name), fun() ->
            Lengths = lists:seq(0, 65535),
            Answers = [hep_answers:check(with_length(At, L, Bytes)) || L <- Lengths],
            ?assertMatch([_], [Hep || {ok, Hep} <- Answers, Hep#hep.payload =:= <<"x">>])
        end}
     || {Name, At} <- [{total_length, 4}, {chunk_length, 10}]
    ].

with_length(At, Length, Bytes) ->
    <<Before:At/binary, _:16, After/binary>> = Bytes,
    <<Before/binary, Length:16, After/binary>>.

%% Every first byte, alone and with others after it.
every_first_byte_test() ->
    [
        hep_answers:check(<<Byte, (binary:copy(<<Rest>>, N))/binary>>)
     || Byte <- lists:seq(0, 255), Rest <- [0, 2, 10, 28, 255], N <- [0, 1, 2, 15, 27, 51, 60, 300]
    ].
