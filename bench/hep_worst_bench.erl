%% @doc The longest calls of the codec: `sh bench/run.sh' prints the table.
%%
%% Each call runs 100 times, each time in a new process with the default heap, including the garbage collection of the
%% result. The best time is that of the call; the worst includes interruptions by the machine. The scheduler is
%% that of the NIF. Times are printed, never asserted; a call whose best time on a normal scheduler is
%% above a millisecond is marked.
-module(hep_worst_bench).

-include("hep.hrl").

-export([main/0]).

-define(RUNS, 100).
%% The limit for a call on a normal scheduler, in microseconds.
-define(MOST, 1000).

-define(FORMAT, "~-48ts ~-6ts ~-9ts ~9ts ~9ts~ts~n").

%% @doc Ends the VM.
-spec main() -> no_return().
main() ->
    io:format(?FORMAT, ["worst cases", "answer", "scheduler", "best us", "worst us", ""]),
    Over = lists:sum([print(Case) || Case <- cases()]),
    io:format("~nBest and worst of ~b calls. Above ~b us on a normal scheduler: ~b.~n", [?RUNS, ?MOST, Over]),
    halt(0).

print({What, Call}) ->
    {Answer, Scheduler} = scheduler(Call),
    Times = [time(Call) || _ <- lists:seq(1, ?RUNS)],
    IsOver = Scheduler =:= normal andalso lists:min(Times) > ?MOST,
    Mark = case IsOver of true -> " above"; false -> "" end,
    io:format(?FORMAT, [What, Answer, Scheduler, number(lists:min(Times)), number(lists:max(Times)), Mark]),
    case IsOver of true -> 1; false -> 0 end.

number(Microseconds) -> io_lib:format("~.1f", [Microseconds]).

%%% What is measured

cases() ->
    packets() ++ records() ++ json() ++ binaries() ++ bombs() ++ sip().

%% Chunks: the maximum of a packet, and both sides of the limit for a dirty scheduler.
packets() ->
    Packets = [
        {"10,921 empty chunks", frame([chunk(9, 1, <<>>) || _ <- lists:seq(1, 10_921)])},
        {"9,361 chunks of payload type", frame([chunk(0, 11, <<1>>) || _ <- lists:seq(1, 9_361)])},
        {"2,001 chunks", chunks(2001)},
        {"2,000 chunks", chunks(2000)},
        {"2,000 chunks of known ids", frame([chunk(0, Id, known(Id)) || _ <- lists:seq(1, 1000), Id <- [8, 11]])},
        {"64 KiB of payload", frame([chunk(0, 15, control(65_000))])}
    ],
    [
        {Name ++ ", " ++ What, fun() -> Call(Packet) end}
     || {What, Packet} <- Packets,
        {Name, Call} <- [
            {"decode", fun hep:decode/1},
            {"parse", fun hep_multi_parser:parse/1},
            {"transform", fun hep_transform:from_packet/1},
            {"JSON", fun hep_json:from_packet/1}
        ]
    ].

known(8) -> <<5060:16>>;
known(11) -> <<1>>.

records() ->
    Of = fun(Count) -> {ok, Hep} = hep:decode(chunks(Count)), Hep#hep{timestamp = {1, 2, 3}} end,
    Parsed = fun(Count) -> {ok, State} = hep_multi_parser:parse(chunks(Count)), State end,
    Text = (Of(1))#hep{payload = control(65_000), chunks = []},
    [
        {io_lib:format("~s, record of ~b chunks", [Name, Count]), fun() -> Call(Hep) end}
     || Count <- [2000, 2001],
        Hep <- [Of(Count)],
        {Name, Call} <- [
            {"encode", fun hep:encode/1},
            {"encode_iolist", fun hep:encode_iolist/1},
            {"transform", fun hep_transform:transform/1},
            {"JSON", fun hep_json:encode/1}
        ]
    ] ++
        [
            {io_lib:format("~s, ~b parsed chunks", [Name, Count]), fun() -> Call(State) end}
         || Count <- [2000, 2001],
            State <- [Parsed(Count)],
            {Name, Call} <- [{"transform", fun hep_transform:transform/1}, {"JSON", fun hep_json:encode/1}]
        ] ++
        [
            {"encode, 64 KiB of payload", fun() -> hep:encode(Text) end},
            {"encode, 64 KiB of payload, compressed", fun() -> hep:encode(Text, #{compress => zlib}) end},
            {"JSON, record with 64 KiB of control characters", fun() -> hep_json:encode(Text) end}
        ].

%% Reading: the maximum number of packets, the largest string, nesting, and an error at the end.
json() ->
    Texts = [
        {"8 KiB of packets", objects(8 * 1024)},
        {"8 KiB and a byte of packets", objects(8 * 1024 + 1)},
        {"8 KiB of escapes", escapes(8 * 1024)},
        {"8 KiB of chunks", json_chunks(8 * 1024)},
        {"8 KiB of brackets", binary:copy(<<"[">>, 8 * 1024)},
        {"1 MiB of packets", objects(1024 * 1024)}
    ],
    [{"from JSON, " ++ What, fun() -> hep_json:decode(Text) end} || {What, Text} <- Texts].

%% The VM copies a binary that does not begin at a byte boundary before it is read.
binaries() ->
    Small = unaligned(chunks(1)),
    Datagram = unaligned(frame([chunk(0, 15, control(65_000))])),
    Large = unaligned(<<0:(16 * 1024 * 1024)/unit:8>>),
    {ok, Hep} = hep:decode(chunks(1)),
    [
        {io_lib:format("~s, unaligned, ~s", [Name, Size]), fun() -> Call(Bytes) end}
     || {Size, Bytes} <- [{"30 bytes", Small}, {"64 KiB", Datagram}, {"16 MiB", Large}],
        {Name, Call} <- [
            {"decode", fun hep:decode/1},
            {"parse", fun hep_multi_parser:parse/1},
            {"JSON", fun hep_json:from_packet/1},
            {"SIP summary", fun hep_sip:summary/1}
        ]
    ] ++
        [{"encode, unaligned payload, 16 MiB", fun() -> hep:encode(Hep#hep{payload = Large}) end}].

%% Payloads that inflate to the limit, and beyond.
bombs() ->
    Packet = fun(Size) -> frame([chunk(0, 16, zlib:compress(<<0:Size/unit:8>>))]) end,
    Gzip = fun(Payload) -> zlib:gzip(frame([chunk(0, 15, Payload)])) end,
    Bombs = [
        {"256 KiB inflated", Packet(256 * 1024)},
        {"bomb of 50 MiB", Packet(50 * 1024 * 1024)},
        {"packet in gzip, 40 bytes", Gzip(<<"OPTIONS">>)},
        {"packet in gzip, 64 KiB", Gzip(control(65_000))}
    ],
    [
        {Name ++ ", " ++ What, fun() -> Call(Bytes) end}
     || {What, Bytes} <- Bombs,
        {Name, Call} <- [{"decode", fun hep:decode/1}, {"JSON", fun hep_json:from_packet/1}]
    ].

sip() ->
    Messages = [
        {"64 KiB of \":\\n\"", message(binary:copy(<<":\n">>, 32_000))},
        {"64 KiB of \"a:b\\r\\n\"", message(binary:copy(<<"a:b\r\n">>, 12_800))},
        {"64 KiB of folded lines", message(<<"Via: a", (binary:copy(<<"\r\n a">>, 16_000))/binary>>)},
        {"64 KiB of one line", message(<<"Via: ", (binary:copy(<<"a">>, 64_000))/binary>>)},
        {"2,000 headers", message(binary:copy(<<"a:b\r\n">>, 2000))},
        {"64 KiB of commas", message(<<"Via: ", (binary:copy(<<",">>, 64_000))/binary>>)}
    ],
    [
        {Name ++ ", " ++ What, fun() -> Call(Message) end}
     || {What, Message} <- Messages,
        {Name, Call} <- [
            {"SIP summary", fun hep_sip:summary/1},
            {"SIP headers", fun hep_sip:headers/1},
            {"SIP header", fun(Bytes) -> hep_sip:header(<<"Via">>, Bytes) end}
        ]
    ].

%%% Packets and texts

chunks(Count) ->
    frame([chunk(9, Id, <<Id:16>>) || Id <- lists:seq(1, Count)]).

frame(Chunks) ->
    iolist_to_binary([<<"HEP3", (6 + iolist_size(Chunks)):16>> | Chunks]).

chunk(Vendor, Id, Value) ->
    <<Vendor:16, Id:16, (6 + byte_size(Value)):16, Value/binary>>.

%% Each becomes six characters of JSON.
control(Size) -> binary:copy(<<1>>, Size).

unaligned(Bytes) ->
    Size = byte_size(Bytes),
    <<_:1, Unaligned:Size/binary, _/bitstring>> = <<0:1, Bytes/binary, 0:7>>,
    Unaligned.

message(Headers) ->
    <<"INVITE sip:a SIP/2.0\r\n", Headers/binary, "\r\n\r\n">>.

objects(Size) ->
    Packet = <<"{\"type\":\"HEP\",\"version\":3,\"srcPort\":1,\"payload\":{\"type\":1,\"data\":\"\"}}">>,
    Count = (Size - 2) div (byte_size(Packet) + 1),
    padded(Size, [$[, lists:join($,, lists:duplicate(Count, Packet)), $]]).

escapes(Size) ->
    Before = <<"{\"type\":\"HEP\",\"version\":3,\"payload\":{\"type\":1,\"data\":\"">>,
    padded(Size, [Before, lists:duplicate((Size - byte_size(Before) - 3) div 6, <<"\\u0001">>), <<"\"}}">>]).

json_chunks(Size) ->
    Before = <<"{\"type\":\"HEP\",\"version\":3,\"payload\":{\"type\":1,\"data\":\"\"},\"timestamp\":null,\"vendorChunks\":[">>,
    Chunk = <<"{\"vendorId\":9,\"chunkId\":1,\"data\":\"\"}">>,
    Count = (Size - byte_size(Before) - 2) div (byte_size(Chunk) + 1),
    padded(Size, [Before, lists:join($,, lists:duplicate(Count, Chunk)), <<"]}">>]).

padded(Size, Text) ->
    Bytes = iolist_to_binary(Text),
    <<Bytes/binary, (binary:copy(<<" ">>, Size - byte_size(Bytes)))/binary>>.

%%% Times

%% In microseconds.
time(Call) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        Start = erlang:monotonic_time(),
        _ = Call(),
        exit({took, erlang:monotonic_time() - Start})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {took, Native}} ->
            erlang:convert_time_unit(Native, native, nanosecond) / 1000
    end.

%% The kind of the result, and the scheduler: the id of a dirty scheduler is 0 in a trace.
scheduler(Call) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        receive go -> ok end,
        exit({answer, kind(Call())})
    end),
    1 = erlang:trace(Pid, true, [running, scheduler_id]),
    Pid ! go,
    Answer = receive {'DOWN', Monitor, _, _, {answer, Kind}} -> Kind end,
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    case [dirty || {in, {hep_nif, _, _}, 0} <- traced(Pid)] of
        [] -> {Answer, normal};
        [_ | _] -> {Answer, dirty}
    end.

kind({error, _}) -> error;
kind({error, _, _}) -> error;
kind(_) -> ok.

traced(Pid) ->
    receive {trace, Pid, Event, Where, Scheduler} -> [{Event, Where, Scheduler} | traced(Pid)]
    after 0 -> []
    end.
