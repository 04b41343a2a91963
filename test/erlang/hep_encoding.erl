%% @doc Shared by the suites of encoding: a packet of each version, its bytes, and checks of packets that
%% cannot be encoded.
-module(hep_encoding).

-include("hep.hrl").
-include_lib("eunit/include/eunit.hrl").

-export([
    bytes/1, encoded/1, encoded/2, encoder/1, hep/1, ipv6/1, is_refused/2, is_sentence/2,
    left_out/1, refused/2, refused/3, second_generation/1, second_generation/2, set/3, words/1
]).

-define(PAYLOAD, "OPTIONS sip:a").

%%% Packets and their bytes

%% Fields of a packet with IPv4 addresses.
hep(1) ->
    (hep(3))#hep{version = 1, node_id = undefined};
hep(Version) ->
    #hep{
        version = Version,
        protocol_family = 2,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5080,
        timestamp = {1700, 139840, 654321},
        node_id = 2002,
        payload_type = 1,
        payload = <<?PAYLOAD>>
    }.

ipv6(Hep) ->
    Hep#hep{
        protocol_family = 10,
        src_ip = {16#2001, 16#db8, 0, 0, 0, 0, 0, 1},
        dst_ip = {16#fe80, 0, 0, 0, 0, 0, 0, 2}
    }.

encoded(Hep) ->
    bytes(hep:encode(Hep)).

encoded(Hep, Options) ->
    bytes(hep:encode(Hep, Options)).

%% The encoders of versions 1 and 2 return a binary, that of version 3 an iolist.
second_generation(#hep{version = 3} = Hep) ->
    {ok, [_, _ | _]} = Answer = hep_v3_encoder:encode(Hep),
    bytes(Answer);
second_generation(#hep{version = Version} = Hep) ->
    {ok, Bytes} = (encoder(Version)):encode(Hep),
    ?assert(is_binary(Bytes)),
    Bytes.

bytes({ok, Parts}) -> iolist_to_binary(Parts).

encoder(1) -> hep_v1_encoder;
encoder(2) -> hep_v2_encoder;
encoder(3) -> hep_v3_encoder.

%%% Packets that cannot be encoded

%% The part of the record that its version can carry.
left_out(#hep{version = 1} = Hep) -> Hep#hep{node_id = undefined, chunks = []};
left_out(#hep{version = 2} = Hep) -> Hep#hep{chunks = []};
left_out(Hep) -> Hep.

set(Field, Value, Hep) ->
    Fields = record_info(fields, hep),
    {Before, _} = lists:splitwith(fun(F) -> F =/= Field end, Fields),
    setelement(2 + length(Before), Hep, Value).

refused(Hep, Reason) ->
    refused(Hep, #{}, Reason).

%% Checks the reason, its description, and the error of the second generation.
refused(Hep, Options, Reason) ->
    {lists:flatten(io_lib:format("~P", [Reason, 12])), fun() ->
        ?assertEqual({error, Reason}, hep:encode(Hep, Options)),
        [is_refused(Hep, Reason) || Options =:= #{}],
        ?assert(is_sentence(hep:format_error(Reason), words(Reason)))
    end}.

is_refused(Hep, Reason) ->
    ?assertEqual({error, Reason}, hep:encode(Hep)),
    Encoders = [encoder(V) || V <- [1, 2, 3], V =:= Hep#hep.version],
    case left_out(Hep) of
        Hep ->
            Error = {error, second_generation(Reason, Hep)},
            [?assertEqual(Error, Encoder:encode(Hep)) || Encoder <- Encoders];
        Fitting ->
            Bytes = encoded(Fitting),
            [?assertEqual(Bytes, bytes(Encoder:encode(Hep))) || Encoder <- Encoders]
    end.

second_generation({unknown_protocol_family, _} = Reason, _Hep) -> Reason;
second_generation({unsupported_payload_type, _} = Reason, _Hep) -> Reason;
second_generation({packet_too_large, _}, Hep) -> {packet_too_large, Hep};
second_generation(_, Hep) -> {invalid_hep, Hep}.

words({invalid_field, Field, _}) -> [atom_to_list(Field), "invalid value"];
words({missing_field, Field}) -> [atom_to_list(Field), "missing"];
words({unsupported_field, Field, V}) -> [atom_to_list(Field), "version " ++ integer_to_list(V)];
words({unknown_protocol_family, _}) -> ["unknown protocol family"];
words({unsupported_payload_type, Type}) -> ["payload type " ++ integer_to_list(Type), "SIP"];
words({packet_too_large, Size}) -> [integer_to_list(Size) ++ " bytes", "65535"].

is_sentence(Sentence, Words) ->
    io_lib:printable_unicode_list(Sentence) andalso
        lists:all(fun(W) -> string:find(Sentence, W) =/= nomatch end, Words).
