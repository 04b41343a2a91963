%% @doc Compares the library with plain Erlang: `sh bench/run.sh' prints the table.
%%
%% First the results are compared, then the times. The candidates are measured in turns; each run takes
%% about 100 ms in a new process with the default heap, including garbage collection.
%% The empty loop is measured, too, and subtracted. The medians of all rounds count; the ratio is
%% computed for each round, so that a temporary slowdown of the machine affects both sides.
%% Speed is printed, never asserted.
-module(hep_bench).

-include("hep.hrl").

-export([main/0]).
%% For hep_load.
-export([v3_packet/0, machine/0]).

-define(RUNS, 25).
-define(RUN_MICROSECONDS, 100_000).

%% If the target of `decode v2' is missed by less than this factor, it counts as nearly met.
-define(NEAR, 1.25).

%% A comparison of calls of `hep' with calls of the other, and the target of the ratio: the
%% other's time divided by that of hep (at_least), or the inverse (at_most).
-record(contest, {
    what :: string(),
    other :: string(),
    input :: term(),
    other_call :: fun((term()) -> term()),
    hep_call :: fun((term()) -> term()),
    target :: {at_least | at_most, float()}
}).

%% @doc Ends the VM: with 0 when everything was measured, with 1 when a result was wrong.
-spec main() -> no_return().
main() ->
    try
        check(),
        io:format("~ts~n~n", [machine()]),
        print(contests())
    of
        ok -> halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "bench: ~tp~n", [{Class, Reason, Stack}]),
            halt(1)
    end.

%%% What is measured

contests() ->
    V3 = v3_packet(),
    {ok, State} = hep_multi_parser:parse(V3),
    Decode = fun(Packet) -> hep:decode(Packet) end,
    BaseDecode = fun(Packet) -> hep_baseline:decode(Packet) end,
    Encode = fun(Hep) -> hep:encode(Hep) end,
    BaseEncode = fun(Hep) -> hep_baseline_encoder:encode(Hep) end,
    [
        #contest{
            what = "decode v3",
            other = "plain Erlang",
            input = V3,
            other_call = BaseDecode,
            hep_call = Decode,
            target = {at_least, 2.5}
        },
        #contest{
            what = "decode v3",
            other = "floor",
            input = V3,
            other_call = fun(Packet) -> hep_floor:decode(Packet) end,
            hep_call = Decode,
            target = {at_most, 1.6}
        },
        #contest{
            what = "decode v2",
            other = "plain Erlang",
            input = v2_packet(),
            other_call = BaseDecode,
            hep_call = Decode,
            target = {at_least, 1.0}
        },
        #contest{
            what = "parse v3",
            other = "plain Erlang",
            input = V3,
            other_call = fun(Packet) -> hep_baseline:parse(Packet) end,
            hep_call = fun(Packet) -> hep_multi_parser:parse(Packet) end,
            target = {at_least, 1.8}
        },
        #contest{
            what = "encode v3",
            other = "plain Erlang",
            input = hep(V3),
            other_call = BaseEncode,
            hep_call = Encode,
            target = {at_least, 3.0}
        },
        #contest{
            what = "encode v3, iolist",
            other = "plain Erlang",
            input = hep(V3),
            other_call = BaseEncode,
            hep_call = fun(Hep) -> hep:encode_iolist(Hep) end,
            target = {at_least, 3.0}
        },
        #contest{
            what = "encode v2",
            other = "plain Erlang",
            input = hep(v2_packet()),
            other_call = BaseEncode,
            hep_call = Encode,
            target = {at_least, 1.0}
        },
        #contest{
            what = "transform v3",
            other = "plain Erlang",
            input = State,
            other_call = fun(Parsed) -> hep_baseline:transform(Parsed) end,
            hep_call = fun(Parsed) -> hep_transform:transform(Parsed) end,
            target = {at_least, 2.8}
        },
        #contest{
            what = "packet -> transform",
            other = "plain Erlang",
            input = V3,
            other_call = fun(Packet) ->
                {ok, Parsed} = hep_baseline:parse(Packet),
                {ok, hep_baseline:transform(Parsed)}
            end,
            hep_call = fun(Packet) -> hep_transform:from_packet(Packet) end,
            target = {at_least, 2.8}
        },
        #contest{
            what = "packet -> JSON",
            other = hep_json_baseline:library(),
            input = V3,
            other_call = fun(Packet) -> hep_json_baseline:from_packet(Packet) end,
            hep_call = fun(Packet) -> hep_json:from_packet(Packet) end,
            target = {at_least, 3.0}
        },
        #contest{
            what = "SIP summary",
            other = "OTP's decode_packet",
            input = invite(),
            other_call = fun(Message) -> hep_sip_baseline:summary(Message) end,
            hep_call = fun(Message) -> hep_sip:summary(Message) end,
            target = {at_least, 3.0}
        }
    ].

%%% Answers

%% Both must read each packet alike, truncated at every byte and with every byte changed.
check() ->
    V3 = v3_packet(),
    Packets = [
        V3,
        v3_packet_ipv6(),
        v2_packet(),
        v2_packet_of_c(),
        v2_packet_ipv6(),
        v1_packet(),
        v1_packet_ipv6()
    ],
    lists:foreach(fun(Packet) -> {ok, _} = hep:decode(Packet) end, Packets),
    lists:foreach(fun check_json/1, [V3, v3_packet_ipv6(), v2_packet(), v2_packet_ipv6()]),
    lists:foreach(fun check/1, lists:append([[Packet | damaged(Packet)] || Packet <- Packets])),
    Written = [Hep || #hep{version = Version} = Hep <- [hep(P) || P <- Packets], Version =/= 1],
    lists:foreach(fun check_encode/1, lists:append([[Hep | changed(Hep)] || Hep <- Written])),
    same(floor, V3, hep_floor:decode(V3), hep:decode(V3)),
    same(summary, invite(), hep_sip_baseline:summary(invite()), hep_sip:summary(invite())).

check(Packet) ->
    same(decode, Packet, untimed(hep_baseline:decode(Packet)), untimed(hep:decode(Packet))),
    case {hep_baseline:parse(Packet), hep_multi_parser:parse(Packet)} of
        {{ok, State}, {ok, HepState}} ->
            same(parse, Packet, untimed(State), untimed(HepState)),
            Transformed = hep_baseline:transform(State),
            same(transform, Packet, Transformed, hep_transform:transform(State)),
            check_in_one_step(Packet, State, Transformed);
        {Error, Answer} ->
            same(parse, Packet, Error, Answer)
    end.

%% The time of version 1 is the time of the call.
check_in_one_step(_, {hep, 1, _}, _) ->
    ok;
check_in_one_step(Packet, _, Transformed) ->
    same(from_packet, Packet, {ok, Transformed}, hep_transform:from_packet(Packet)).

%% The bytes, in any parts. They equal the packet.
check_encode(Hep) ->
    case {hep_baseline_encoder:encode(Hep), hep:encode(Hep)} of
        {{ok, Parts}, {ok, Bytes}} ->
            same(encode, Hep, iolist_to_binary(Parts), Bytes),
            {ok, HepParts} = hep:encode_iolist(Hep),
            same(encode_iolist, Hep, Bytes, iolist_to_binary(HepParts)),
            {ok, _} = hep:decode(Bytes);
        %% Both may stop counting above the limit.
        {{error, {packet_too_large, _}}, {error, {packet_too_large, _}}} ->
            ok;
        {Error, Answer} ->
            same(encode, Hep, Error, Answer)
    end.

%% The packet with another value in one field, valid or invalid.
changed(Hep) ->
    Ipv6 = {16#2001, 16#db8, 0, 0, 0, 0, 0, 3},
    Values = [
        undefined, 0, 2, 5, 10, 255, 256, 65535, 65536, 16#ffffffff, 1 bsl 32, -1, 1.0, a,
        <<>>, <<0:65536/unit:8>>,
        {192, 0, 2, 3}, {192, 0, 2, 256}, {192, 0, 2}, Ipv6, setelement(8, Ipv6, 65536),
        {4294, 967295, 0}, {4294, 967296, 0}, {0, 0, 1 bsl 32},
        [], [a], [{{9, 1}, <<"ab">>}, {{0, 17}, {1, <<"c">>}}, {{0, 0}, <<>>}],
        [{{0, 17}, {2, <<"c">>}}], [{{0, 18}, <<1>>}], [{{0, 15}, <<"c">>}], [{{0, 65536}, <<>>}]
    ],
    [
        setelement(Position, Hep, Value)
     || Position <- lists:seq(3, record_info(size, hep)),
        Value <- Values,
        %% Both would use the time of their own call.
        {Position, Value} =/= {#hep.timestamp, undefined}
    ].

hep(Packet) ->
    {ok, Hep} = hep:decode(Packet),
    Hep.

%% The object, with the names in the same order.
check_json(Packet) ->
    {ok, Expected} = hep_json_baseline:from_packet(Packet),
    {ok, Json} = hep_json:from_packet(Packet),
    same(json, Packet, hep_json_baseline:read(Expected), hep_json_baseline:read(Json)).

%% The time of version 1 is that of decoding.
untimed({ok, #hep{version = 1, timestamp = {_, _, _}} = Hep}) ->
    {ok, Hep#hep{timestamp = undefined}};
untimed({hep, 1, Chunks}) ->
    {hep, 1, [Chunk || {<<0:16, Id:16>>, _} = Chunk <- Chunks, Id =/= 9, Id =/= 10]};
untimed(Answer) ->
    Answer.

same(_, _, Answer, Answer) -> ok;
same(What, Packet, Expected, Answer) -> error({different_answers, What, Packet, Expected, Answer}).

damaged(Packet) ->
    Offsets = lists:seq(0, byte_size(Packet) - 1),
    Cut = [binary:part(Packet, 0, Offset) || Offset <- Offsets],
    Changed = [change(Packet, Offset) || Offset <- Offsets],
    Cut ++ Changed.

change(Packet, Offset) ->
    <<Before:Offset/binary, Byte, After/binary>> = Packet,
    <<Before/binary, (Byte bxor 16#80), After/binary>>.

%%% Packets

%% 690 bytes, 13 chunks. `floor_nif/src/lib.rs' contains its values, too.
v3_packet() ->
    Packet = frame([
        chunk(1, <<2>>),
        chunk(2, <<17>>),
        chunk(3, <<192, 0, 2, 1>>),
        chunk(4, <<192, 0, 2, 2>>),
        chunk(7, <<5060:16>>),
        chunk(8, <<5062:16>>),
        chunk(9, <<1_700_123_456:32>>),
        chunk(10, <<654_321:32>>),
        chunk(11, <<1>>),
        chunk(12, <<2002:32>>),
        chunk(14, <<"myhep">>),
        chunk(17, call_id()),
        chunk(15, invite())
    ]),
    690 = byte_size(Packet),
    Packet.

v3_packet_ipv6() ->
    frame([
        chunk(1, <<10>>),
        chunk(2, <<6>>),
        chunk(5, <<16#2001:16, 16#db8:16, 1:96>>),
        chunk(6, <<16#2001:16, 16#db8:16, 2:96>>),
        chunk(7, <<5060:16>>),
        chunk(8, <<5060:16>>),
        chunk(9, <<1_700_123_456:32>>),
        chunk(10, <<654_321:32>>),
        chunk(18, <<100:16>>),
        <<2:16, 1:16, 8:16, "ab">>,
        chunk(15, ok())
    ]).

%% As documented: big-endian, and the header length counts the whole header.
v2_packet() ->
    fixed_packet(2, 28, 2, <<1_700_123_456:32, 654_321:32, 2002:16, 0:16>>).

%% As senders in C write it.
v2_packet_of_c() ->
    Time = <<1_700_123_456:32/little, 654_321:32/little, 2002:16/little, 0:16>>,
    fixed_packet(2, 16, 2, Time).

v2_packet_ipv6() ->
    fixed_packet(2, 52, 10, <<1_700_123_456:32, 654_321:32, 2002:16, 0:16>>).

v1_packet() ->
    fixed_packet(1, 16, 2, <<>>).

v1_packet_ipv6() ->
    fixed_packet(1, 40, 10, <<>>).

fixed_packet(Version, HeaderLength, Family, Time) ->
    Addresses =
        case Family of
            2 -> <<192, 0, 2, 2, 192, 0, 2, 1>>;
            10 -> <<16#2001:16, 16#db8:16, 2:96, 16#2001:16, 16#db8:16, 1:96>>
        end,
    iolist_to_binary([
        <<Version, HeaderLength, Family, 17, 5062:16, 5060:16>>, Addresses, Time, ok()
    ]).

frame(Chunks) ->
    Length = 6 + iolist_size(Chunks),
    iolist_to_binary([<<"HEP3", Length:16>> | Chunks]).

chunk(Id, Value) ->
    <<0:16, Id:16, (6 + byte_size(Value)):16, Value/binary>>.

call_id() ->
    <<"384827629822018851@pc1.example.org">>.

invite() ->
    Body = sdp(),
    lines([
        "INVITE sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds8",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@example.org>;tag=9fxced76sl",
        "To: Bob <sip:bob@example.com>",
        ["Call-ID: ", call_id()],
        "CSeq: 314159 INVITE",
        "Contact: <sip:alice@192.0.2.1:5060>",
        "User-Agent: softphone",
        "Allow: INVITE, ACK, CANCEL, BYE, REFER",
        "Content-Type: application/sdp",
        ["Content-Length: ", integer_to_list(byte_size(Body))],
        "",
        Body
    ]).

ok() ->
    Body = sdp(),
    lines([
        "SIP/2.0 200 OK",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds8",
        "From: Alice <sip:alice@example.org>;tag=9fxced76sl",
        "To: Bob <sip:bob@example.com>;tag=314159",
        ["Call-ID: ", call_id()],
        "CSeq: 314159 INVITE",
        "Contact: <sip:bob@192.0.2.2:5062>",
        "Allow: INVITE, ACK, CANCEL, BYE, REFER",
        "Content-Type: application/sdp",
        ["Content-Length: ", integer_to_list(byte_size(Body))],
        "",
        Body
    ]).

sdp() ->
    lines([
        "v=0",
        "o=- 2890844526 2890844526 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 49172 RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        ""
    ]).

lines(Lines) ->
    iolist_to_binary(lists:join("\r\n", Lines)).

%%% Times

%% The nanoseconds of one call of the other and of hep, for each round.
measure(#contest{input = Input, other_call = Other, hep_call = Hep}) ->
    Empty = fun(_) -> ok end,
    Counted = [{Call, Input, count(Call, Input, 1000)} || Call <- [Empty, Other, Hep]],
    [
        begin
            [EmptyNs, OtherNs, HepNs] = [run(Call) || Call <- Counted],
            {OtherNs - EmptyNs, HepNs - EmptyNs}
        end
     || _ <- lists:seq(1, ?RUNS)
    ].

%% The number of calls in a run.
count(Call, Input, Calls) ->
    case run({Call, Input, Calls}) * Calls / 1000 of
        Microseconds when Microseconds < ?RUN_MICROSECONDS / 10 ->
            count(Call, Input, Calls * 2);
        Microseconds ->
            round(Calls * ?RUN_MICROSECONDS / Microseconds)
    end.

run({Call, Input, Calls}) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        Start = erlang:monotonic_time(),
        repeat(Call, Input, Calls),
        exit({took, erlang:monotonic_time() - Start})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {took, Native}} ->
            erlang:convert_time_unit(Native, native, nanosecond) / Calls
    end.

repeat(_, _, 0) ->
    ok;
repeat(Call, Input, Calls) ->
    _ = Call(Input),
    repeat(Call, Input, Calls - 1).

median(Numbers) ->
    lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

%%% The table

-define(FORMAT, "~-19ts ~-13ts ~9ts ~9ts ~8ts ~8ts  ~ts").

print(Contests) ->
    line(["what", "against", "its ns", "hep ns", "ratio", "target", ""]),
    lists:foreach(fun(Contest) -> line(columns(Contest, measure(Contest))) end, Contests),
    io:format(
        "~n"
        "Times are of one call: medians of ~b runs of ~b ms, in turns, garbage collection~n"
        "included, the empty loop taken off. The ratio is the median of the rounds' ratios: the~n"
        "other's time by hep's, or hep's by that of the floor, which makes the same terms~n"
        "without parsing.~n",
        [?RUNS, ?RUN_MICROSECONDS div 1000]
    ).

line(Columns) ->
    io:format("~ts~n", [string:trim(text(?FORMAT, Columns), trailing)]).

columns(#contest{what = What, other = Other, target = {Sign, Target}}, Rounds) ->
    {OtherNs, HepNs} = lists:unzip(Rounds),
    Ratio = median([ratio(Sign, Round) || Round <- Rounds]),
    [
        What,
        Other,
        text("~.1f", [median(OtherNs)]),
        text("~.1f", [median(HepNs)]),
        text("~.2fx", [Ratio]),
        text("~ts ~.1fx", [sign(Sign), Target]),
        verdict(What, missing(Sign, Ratio, Target))
    ].

ratio(at_least, {OtherNs, HepNs}) -> OtherNs / HepNs;
ratio(at_most, {OtherNs, HepNs}) -> HepNs / OtherNs.

sign(at_least) -> ">=";
sign(at_most) -> "<=".

%% The factor by which the target is missed; up to 1 when it is met.
missing(at_least, Ratio, Target) -> Target / Ratio;
missing(at_most, Ratio, Target) -> Ratio / Target.

verdict(_, Missing) when Missing =< 1 -> "ok";
verdict("decode v2", Missing) when Missing =< ?NEAR -> "within 25 %";
verdict(_, _) -> "short".

text(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

machine() ->
    Jit =
        case erlang:system_info(emu_flavor) of
            jit -> "JIT";
            _ -> "no JIT"
        end,
    text("~ts, ~b schedulers, Erlang/OTP ~ts (~ts)", [
        processor(), erlang:system_info(schedulers_online), erlang:system_info(otp_release), Jit
    ]).

processor() ->
    case file:read_file("/proc/cpuinfo") of
        {ok, Text} ->
            case re:run(Text, "^model name\\s*:\\s*(.*)$", [multiline, {capture, [1], binary}]) of
                {match, [Model]} -> Model;
                nomatch -> erlang:system_info(system_architecture)
            end;
        {error, _} ->
            erlang:system_info(system_architecture)
    end.
