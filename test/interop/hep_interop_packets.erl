%% @doc The packets for the receivers: built by hep, fixtures read and written again
%% by hep, and the fixtures themselves. Each with its meaning, which does not come from hep: it is
%% the input of encoding, or comes from the fixtures' manifest.
-module(hep_interop_packets).

-include("hep.hrl").

-export([all/0, save/2, marker/2]).
-export_type([packet/0, meaning/0]).

-type meaning() :: #{atom() => term()}.

-type packet() :: #{
    %% Built by hep; rewritten by hep; a fixture.
    kind := written | again | control,
    sender := string(),
    version := 1..3,
    %% For version 2, the option of encoding.
    style := none | documented | c,
    %% The purpose, or the file of the fixture.
    name := string(),
    meaning := meaning(),
    bytes := binary(),
    %% For a fixture, its deviations from the protocol.
    rules => [binary()],
    %% The password of a receiver that requires one.
    password => string(),
    %% The receiver must reject it.
    refuse => true
}.

-define(PASSWORD, "interop").

-spec all() -> [packet()].
all() ->
    written() ++ lists:append([of_fixture(Entry) || Entry <- hep_fixtures:entries(datagram)]).

%% For manual inspection: the bytes of each packet, and its meaning.
-spec save(file:filename(), [packet()]) -> ok.
save(Directory, Packets) ->
    Save = fun(Number, #{bytes := Bytes} = Packet) ->
        File = lists:flatten(io_lib:format("~4..0b.bin", [Number])),
        ok = file:write_file(filename:join(Directory, File), Bytes),
        io_lib:format("~tp.~n", [{File, maps:remove(bytes, Packet)}])
    end,
    Numbered = lists:zip(lists:seq(1, length(Packets)), Packets),
    Terms = [Save(Number, Packet) || {Number, Packet} <- Numbered],
    ok = file:write_file(filename:join(Directory, "packets.eterm"), unicode:characters_to_binary(Terms)).

%% @doc A packet built without hep, which every receiver reads, and the text in its payload.
-spec marker(2 | 3 | {password, string()}, non_neg_integer()) -> {iodata(), binary()}.
marker(Kind, Number) ->
    Id = iolist_to_binary(["interop-marker-", integer_to_binary(Number), "@hep"]),
    {framed(Kind, sip("OPTIONS", Id, <<>>)), Id}.

framed(2, Payload) ->
    [<<2, 16, 2, 17, 5060:16, 5060:16, 127, 0, 0, 1, 127, 0, 0, 1>>,
        <<1700000000:32/little, 0:32/little, 1:16/little, 0:16>>, Payload];
framed(3, Payload) ->
    framed({password, ""}, Payload);
framed({password, Password}, Payload) ->
    Values = [
        {1, <<2>>}, {2, <<17>>}, {3, <<127, 0, 0, 1>>}, {4, <<127, 0, 0, 1>>}, {7, <<5060:16>>},
        {8, <<5060:16>>}, {9, <<1700000000:32>>}, {10, <<0:32>>}, {11, <<1>>}, {12, <<1:32>>},
        {14, list_to_binary(Password)}, {15, Payload}
    ],
    Chunks = [<<0:16, Id:16, (6 + byte_size(V)):16, V/binary>> || {Id, V} <- Values],
    ["HEP3", <<(6 + iolist_size(Chunks)):16>>, Chunks].

%%% Written by hep

written() ->
    lists:append([
        [write(1, none, Name, Facts, #{}) || {Name, Facts} <- fixed()],
        [
            write(2, Style, Name, Facts, #{v2_style => Style})
            || Style <- [c, documented], {Name, Facts} <- fixed() ++ timed()
        ],
        [write(3, none, Name, Facts, #{}) || {Name, Facts} <- fixed() ++ timed() ++ chunked()],
        [
            write(3, none, atom_to_list(How), #{payload => sip(4000)}, #{compress => How})
            || How <- [zlib, gzip]
        ],
        [
            write(3, none, "key as option", #{auth_key => <<"interop">>}, #{auth_key => <<"interop">>}),
            guarded("the right key", <<?PASSWORD>>),
            (guarded("another key", <<"another">>))#{refuse => true}
        ]
    ]).

guarded(Name, Key) ->
    (write(3, none, Name, #{auth_key => Key}, #{}))#{password => ?PASSWORD}.

%% Fields that every version has.
fixed() ->
    V6 = #{src_ip => {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, dst_ip => {16#2001, 16#db8, 0, 0, 0, 0, 0, 2}},
    [
        {"IPv4, UDP", #{}},
        {"IPv4, TCP", #{protocol => 6}},
        {"IPv6, UDP", V6},
        {"IPv6, TCP", V6#{protocol => 6}},
        {"IPv6, all bits", #{src_ip => {65535, 65534, 3, 4, 5, 6, 7, 65535}, dst_ip => {0, 0, 0, 0, 0, 0, 0, 1}}},
        {"Kamailio's TLS", #{protocol => 22}},
        {"largest ports", #{src_port => 65535, dst_port => 65534}},
        {"high addresses", #{src_ip => {223, 255, 254, 253}, dst_ip => {128, 0, 0, 255}}},
        {"a response", #{payload => response()}},
        {"UTF-8", #{payload => sip("MESSAGE", <<"utf-8@hep">>, <<"Grüße, 你好"/utf8>>)}},
        {"payload of 3,500 bytes", #{payload => sip(3500)}},
        {"payload of 15,000 bytes", #{payload => sip(15000)}},
        {"payload of 60,000 bytes", #{payload => sip(60000)}}
    ].

timed() ->
    [
        {"no microseconds", #{time => {1700000001, 0}}},
        {"all microseconds", #{time => {1700000001, 999999}}},
        {"late", #{time => {16#7ffffffe, 1}}},
        {"capture id 1", #{capture_id => 1}},
        {"capture id 65535", #{capture_id => 65535}}
    ].

chunked() ->
    Correlation = #{correlation_id => <<"a84b4c76e66710@192.0.2.1">>},
    Json = <<"{\"n\":1,\"text\":\"a line\"}">>,
    [
        {"capture id 4294967295", #{capture_id => 4294967295}},
        {"time of encoding, no capture id", #{time => none, capture_id => none}},
        {"authenticate key", #{auth_key => <<"myHep">>}},
        {"correlation id", Correlation},
        {"node name", #{node_name => <<"node-1.example">>}},
        {"MOS value", #{mos => 431}},
        {"vendor's chunk", #{conversation_id => <<"7f4b9c1e">>}},
        {"chunk 0x65", Correlation#{chunks => [{{0, 16#65}, <<"{\"b2b\":\"1\"}">>}]}},
        {"unknown chunks", #{chunks => [{{0, 16#1234}, <<"x">>}, {{65535, 65535}, <<>>}]}},
        {"everything", Correlation#{
            auth_key => <<"myHep">>, node_name => <<"n">>, mos => 1, conversation_id => <<"c">>,
            src_ip => {16#fe80, 0, 0, 0, 0, 0, 0, 1}, dst_ip => {16#fe80, 0, 0, 0, 0, 0, 0, 2}
        }}
    ] ++
        [
            {"payload type " ++ integer_to_list(Type), Correlation#{payload_type => Type, payload => Json}}
            || Type <- [5, 32, 34, 53, 99, 100, 101, 255]
        ].

write(Version, Style, Name, Facts, Options) ->
    Default = #{
        protocol => 17, src_ip => {192, 0, 2, 1}, src_port => 5062, dst_ip => {198, 51, 100, 2},
        dst_port => 5080, time => {1700000001, 123456}, capture_id => 2001, payload_type => 1,
        payload => sip("INVITE", <<"written@hep">>, <<>>)
    },
    All = maps:filter(fun(_, Value) -> Value =/= none end, maps:merge(Default, Facts)),
    Known = case Version of
        1 -> maps:without([time, capture_id], All);
        _ -> All
    end,
    Hep = maps:fold(fun set/3, hep:version(Version, hep:new()), Known),
    {ok, Bytes} = hep:encode(Hep, Options),
    #{
        kind => written, sender => "hep", version => Version, style => Style, name => Name,
        meaning => with_family(maps:remove(chunks, Known)), bytes => iolist_to_binary(Bytes)
    }.

set(time, {Seconds, Micros}, Hep) -> hep:timestamp({Seconds div 1000000, Seconds rem 1000000, Micros}, Hep);
set(capture_id, Id, Hep) -> hep:node_id(Id, Hep);
set(mos, Mos, Hep) -> add([{{0, 16#20}, <<Mos:16>>}], Hep);
set(conversation_id, Id, Hep) -> add([{{8, 16#80}, Id}], Hep);
set(chunks, Chunks, Hep) -> add(Chunks, Hep);
set(Field, Value, Hep) -> hep:Field(Value, Hep).

add(Chunks, #hep{chunks = Before} = Hep) ->
    Hep#hep{chunks = Before ++ Chunks}.

with_family(#{src_ip := Address} = Meaning) when tuple_size(Address) =:= 8 -> Meaning#{family => 10};
with_family(Meaning) -> Meaning#{family => 2}.

sip(Size) ->
    Empty = byte_size(sip("MESSAGE", <<"large@hep">>, <<>>)),
    %% Content-Length then has more digits: the size is exact except for those.
    sip("MESSAGE", <<"large@hep">>, binary:copy(<<"x">>, Size - Empty)).

sip(Method, CallId, Body) ->
    iolist_to_binary([
        Method, " sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKa", CallId,
        "\r\nMax-Forwards: 70\r\nFrom: <sip:alice@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: ",
        CallId, "\r\nCSeq: 1 ", Method, "\r\nContact: <sip:alice@192.0.2.1:5062>\r\n",
        "Content-Type: text/plain\r\nContent-Length: ", integer_to_binary(byte_size(Body)), "\r\n\r\n", Body
    ]).

response() ->
    <<"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKb\r\n",
        "From: <sip:alice@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>;tag=2\r\nCall-ID: response@hep\r\n",
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n">>.

%%% Fixtures

%% Packets of real senders, packets published by other projects, and models of senders; not the fixtures
%% that only demonstrate a rule.
of_fixture(#{<<"origin">> := Origin, <<"sender">> := Sender} = Entry) ->
    Bytes = hep_fixtures:bytes(Entry),
    case hep_fixtures:decoded(Entry, Bytes) of
        {ok, Expected} when Sender =/= <<"constructed">> ->
            pair(binary_to_list(Sender), Entry, Bytes, Expected);
        {ok, Expected} ->
            case binary:match(Origin, <<"models ">>) of
                nomatch -> [];
                _ -> pair("models of others", Entry, Bytes, Expected)
            end;
        {error, _} ->
            []
    end.

pair(Sender, Entry, Bytes, #hep{version = Version} = Expected) ->
    Control = #{
        kind => control, sender => Sender, version => Version, style => none,
        name => hep_fixtures:file(Entry), meaning => meaning(Expected), bytes => Bytes,
        rules => maps:get(<<"rules">>, Entry)
    },
    {ok, Decoded} = hep:decode(Bytes),
    [Control | lists:append([again(Control, Decoded, Style) || Style <- styles(Version)])].

styles(2) -> [c, documented];
styles(_) -> [none].

again(Control, Decoded, Style) ->
    Options = case Style of
        none -> #{};
        _ -> #{v2_style => Style}
    end,
    case hep:encode(Decoded, Options) of
        {ok, Bytes} ->
            [Control#{kind => again, style => Style, bytes => iolist_to_binary(Bytes)}];
        {error, Reason} ->
            error({cannot_encode, maps:get(name, Control), Reason})
    end.

meaning(#hep{version = Version, chunks = Chunks} = Hep) ->
    All = [
        {family, Hep#hep.protocol_family}, {protocol, Hep#hep.protocol}, {src_ip, Hep#hep.src_ip},
        {src_port, Hep#hep.src_port}, {dst_ip, Hep#hep.dst_ip}, {dst_port, Hep#hep.dst_port},
        {time, time(Hep#hep.timestamp)}, {capture_id, Hep#hep.node_id},
        {payload_type, Hep#hep.payload_type}, {payload, Hep#hep.payload}
    ] ++
        [
            {Name, Value}
            || Version =:= 3, {Key, {_, Value}} <- Chunks, {K, Name} <- named(), K =:= Key, Value =/= <<>>
        ],
    maps:from_list([Fact || {_, Value} = Fact <- All, Value =/= undefined]).

named() ->
    [{{0, 16#0e}, auth_key}, {{0, 16#11}, correlation_id}, {{0, 16#13}, node_name}].

time(undefined) -> undefined;
time(now) -> undefined;
time({Mega, Seconds, Micros}) -> {Mega * 1000000 + Seconds, Micros}.
