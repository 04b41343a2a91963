%% @doc Runs a receiver on loopback, sends packets to it one by one, and returns the fields that it read.
%%
%% After every packet a marker is sent. Everything that the receiver reads before the marker belongs to
%% the packet; if there is nothing, it rejected the packet.
-module(hep_interop_receiver).

-export([feed/3]).
-export_type([receiver/0, result/0]).

-type receiver() :: kamailio | {sngrep, 2 | 3 | {password, string()}} | hep_js.

%% The meanings that it read, usually one. Or it ended, or was killed because it did not respond.
-type result() :: {read, [hep_interop_packets:meaning()]} | died | stuck.

-define(HOST, {127, 0, 0, 1}).
%% Milliseconds: to start, to read a packet, to end, between two polls.
-define(START, 15000).
-define(ANSWER, 3000).
-define(STOP, 5000).
-define(POLL, 2).
%% The maximum number of restarts.
-define(RESTARTS, 5).
%% Marks the end of an answer of sqlite3.
-define(END, "end of answer").

-record(running, {
    receiver :: receiver(),
    directory :: file:filename(),
    port :: inet:port_number(),
    socket :: gen_udp:socket(),
    process :: port(),
    pid :: pos_integer(),
    marker = 0 :: non_neg_integer(),
    %% How far its output was read; for Kamailio, the program that reads its database.
    output :: non_neg_integer() | {port(), #{string() => non_neg_integer()}}
}).

%% @doc Sends the packets to the receiver at the UDP port. The results are in the order of the packets; there
%% are fewer of them if the receiver ended too often.
-spec feed(receiver(), {file:filename(), inet:port_number()}, [binary()]) ->
    {ok, [result()]} | {error, string()}.
feed(Receiver, {Directory, Port}, Packets) ->
    case start(Receiver, Directory, Port) of
        {ok, Running} -> {ok, feed(Running, Packets, [], ?RESTARTS)};
        {error, _} = Error -> Error
    end.

feed(Running, [], Results, _) ->
    ok = stop(Running),
    lists:reverse(Results);
feed(Running, [Packet | Packets], Results, Restarts) ->
    ok = send(Running, Packet),
    case marked(Running, ?ANSWER) of
        {Read, Next} ->
            feed(Next, Packets, [{read, Read} | Results], Restarts);
        Failed ->
            ok = stop(Running),
            #running{receiver = Receiver, directory = Directory, port = Port} = Running,
            case Restarts > 0 andalso start(Receiver, Directory, Port) of
                {ok, Started} -> feed(Started, Packets, [Failed | Results], Restarts - 1);
                _ -> lists:reverse(Results, [Failed])
            end
    end.

%%% Packets and markers

send(#running{socket = Socket, port = Port}, Packet) ->
    case gen_udp:send(Socket, ?HOST, Port, Packet) of
        ok -> ok;
        %% A closed port: the error of an earlier packet. The marker shows whether the receiver still runs.
        {error, econnrefused} -> ok
    end.

%% Sends a marker: returns the packets read before it, and waits until it is read.
marked(#running{receiver = Receiver, marker = Number} = Running, Wait) ->
    {Packet, Id} = hep_interop_packets:marker(marker_kind(Receiver), Number),
    ok = send(Running, Packet),
    until_marked(Running#running{marker = Number + 1}, Id, [], deadline(Wait)).

until_marked(#running{process = Process} = Running, Id, Before, Deadline) ->
    {Read, Next} = read(Running),
    All = Before ++ Read,
    case lists:splitwith(fun(Row) -> not has(Id, Row) end, All) of
        {Packets, [_Marker | _]} ->
            {[Row || Row <- Packets, not has(<<"interop-marker-">>, Row)], Next};
        {_, []} ->
            receive
                {Process, {exit_status, _}} -> died
            after ?POLL ->
                case now_ms() < Deadline of
                    true -> until_marked(Next, Id, All, Deadline);
                    false -> stuck
                end
            end
    end.

has(Text, #{payload := Payload}) -> binary:match(Payload, Text) =/= nomatch;
has(_, _) -> false.

marker_kind({sngrep, Kind}) -> Kind;
marker_kind(_) -> 3.

deadline(Wait) -> now_ms() + Wait.

now_ms() -> erlang:monotonic_time(millisecond).

%%% Starting and stopping

start(Receiver, Directory, Port) ->
    {Arguments, Output} = prepare(Receiver, Directory, Port),
    Log = filename:join(Directory, log_name(Receiver)),
    Pids = filename:join(Directory, "pids"),
    %% The shell becomes the receiver. run.sh ends processes with a file in pids/, if this program ends first.
    Script = ": > \"$0/$$\"; log=$1; shift; exec \"$@\" < /dev/null >> \"$log\" 2>&1",
    Process = erlang:open_port(
        {spawn_executable, "/bin/sh"}, [exit_status, {args, ["-c", Script, Pids, Log | Arguments]}]
    ),
    {os_pid, Pid} = erlang:port_info(Process, os_pid),
    {ok, Socket} = gen_udp:open(0, [binary, {ip, ?HOST}, {sndbuf, 1 bsl 20}]),
    Running = #running{
        receiver = Receiver,
        directory = Directory,
        port = Port,
        socket = Socket,
        process = Process,
        pid = Pid,
        output = Output
    },
    case ready(Running, deadline(?START)) of
        {ok, Ready} ->
            {ok, Ready};
        error ->
            ok = stop(Running),
            {error, tail(Log)}
    end.

%% Ready when it has read a marker and lost none since: nobody reads markers that are sent too early.
ready(Running, Deadline) ->
    case marked(Running, 200) of
        {_, Next} ->
            {ok, Next};
        died ->
            error;
        stuck ->
            case now_ms() < Deadline of
                true -> ready(Running#running{marker = Running#running.marker + 1}, Deadline);
                false -> error
            end
    end.

%% The receiver has its own process group, like every program that Erlang starts. Processes that it left behind
%% may hold the UDP port, and end, too.
stop(#running{process = Process, pid = Pid, socket = Socket, directory = Directory, output = Output}) ->
    ok = gen_udp:close(Socket),
    ok = signal("TERM", Pid),
    _ = erlang:port_info(Process) =/= undefined andalso
        receive
            {Process, {exit_status, _}} -> ok
        after ?STOP -> ok
        end,
    timer:sleep(100),
    ok = signal("KILL", Pid),
    _ = file:delete(filename:join([Directory, "pids", integer_to_list(Pid)])),
    case Output of
        {Reader, _} -> true = erlang:port_close(Reader);
        _ -> true
    end,
    ok.

signal(Name, Pid) ->
    _ = os:cmd("kill -" ++ Name ++ " -" ++ integer_to_list(Pid) ++ " 2>/dev/null"),
    ok.

tail(Log) ->
    case file:read_file(Log) of
        {ok, Text} ->
            Lines = string:split(string:trim(Text), "\n", all),
            lists:flatten(io_lib:format("~ts", [lists:join("\n", lists:nthtail(max(0, length(Lines) - 8), Lines))]));
        {error, _} ->
            "no log"
    end.

log_name(kamailio) -> "kamailio.log";
log_name({sngrep, _}) -> "sngrep.log";
log_name(hep_js) -> "hep-js.log".

prepare(kamailio, Directory, Port) ->
    %% A new one at each start: the last reader may still be cleaning up.
    Number = integer_to_list(erlang:unique_integer([positive])),
    Database = filename:join(Directory, "kamailio-" ++ Number ++ ".db"),
    Reader = erlang:open_port(
        {spawn_executable, os:find_executable("sqlite3")}, [binary, {args, ["-batch", "-list", Database]}]
    ),
    _ = query(Reader, tables()),
    {ok, Template} = file:read_file(filename:join(source(), "kamailio.cfg")),
    Settings = filename:join(Directory, "kamailio.cfg"),
    ok = file:write_file(Settings, [
        replace([{"HEP_PORT", integer_to_list(Port)}, {"HEP_DATABASE", Database}], Template)
    ]),
    {
        ["kamailio", "-DD", "-E", "-f", Settings, "-Y", Directory, "-w", Directory, "-m", "64", "-M", "16"],
        {Reader, #{}}
    };
prepare({sngrep, What}, Directory, Port) ->
    Settings = filename:join(Directory, "sngreprc"),
    Dump = dump(Directory),
    _ = file:delete(Dump),
    ok = file:write_file(Settings, [
        "set capture.limit 20000\nset eep.listen.version ",
        case What of
            2 -> "2\n";
            3 -> "3\n";
            {password, Password} -> ["3\nset eep.listen.pass ", Password, "\n"]
        end
    ]),
    Listen = "udp:127.0.0.1:" ++ integer_to_list(Port),
    {["sngrep", "-F", "-f", Settings, "-N", "-q", "-L", Listen, "-O", Dump], 0};
prepare(hep_js, Directory, Port) ->
    File = answers(Directory),
    ok = file:write_file(File, <<>>),
    {["node", filename:join(source(), "hepjs.js"), integer_to_list(Port), File], 0}.

replace(Pairs, Text) ->
    lists:foldl(fun({From, To}, T) -> string:replace(T, From, To, all) end, Text, Pairs).

source() ->
    filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile))).

dump(Directory) -> filename:join(Directory, "sngrep.pcap").

answers(Directory) -> filename:join(Directory, "hep-js.txt").

%%% What Kamailio stored

%% The columns that sipcapture writes; WAL, so that reading does not block writing.
tables() ->
    Columns =
        "date,micro_ts,method,reply_reason,ruri,ruri_user,ruri_domain,from_user,from_domain,from_tag,"
        "to_user,to_domain,to_tag,pid_user,contact_user,auth_user,callid,callid_aleg,via_1,via_1_branch,cseq,"
        "diversion,reason,content_type,auth,user_agent,source_ip,source_port,destination_ip,destination_port,"
        "contact_ip,contact_port,originator_ip,originator_port,correlation_id,custom_field1,custom_field2,"
        "custom_field3,proto,family,rtp_stat,type,node,msg",
    [
        "PRAGMA journal_mode=WAL;\n.timeout 3000\n",
        "CREATE TABLE version (id INTEGER PRIMARY KEY, table_name, table_version);\n",
        [
            [
                "CREATE TABLE ", Table, " (id INTEGER PRIMARY KEY, ", Columns, ");\n",
                "INSERT INTO version (table_name, table_version) VALUES ('", Table, "', ", Version, ");\n"
            ]
            || {Table, Version, _} <- kinds()
        ]
    ].

%% The table shows how it classified a payload.
kinds() ->
    [
        {"sip_capture", "4", sip},
        {"rtcp_capture", "1", rtcp},
        {"report_capture", "1", report},
        {"logs_capture", "1", log}
    ].

query(Reader, Sql) ->
    true = erlang:port_command(Reader, [Sql, "SELECT '", ?END, "';\n"]),
    answer(Reader, <<>>).

answer(Reader, Text) ->
    receive
        {Reader, {data, More}} ->
            All = <<Text/binary, More/binary>>,
            Size = max(0, byte_size(All) - length(?END "\n")),
            case All of
                <<Answer:Size/binary, ?END "\n">> -> Answer;
                _ -> answer(Reader, All)
            end
    after ?START -> error(sqlite3_does_not_answer)
    end.

read(#running{receiver = kamailio, output = {Reader, Last}} = Running) ->
    Sql = [
        [
            "SELECT id, '", Table, "', source_ip, source_port, destination_ip, destination_port, proto, family,",
            " micro_ts, node, hex(correlation_id), hex(CAST(msg AS BLOB)) FROM ", Table, " WHERE id > ",
            integer_to_list(maps:get(Table, Last, 0)), " ORDER BY id;\n"
        ]
        || {Table, _, _} <- kinds()
    ],
    Lines = binary:split(query(Reader, Sql), <<"\n">>, [global, trim_all]),
    Rows = [binary:split(Line, <<"|">>, [global]) || Line <- Lines],
    Seen = lists:foldl(
        fun([Id, Table | _], Seen) -> Seen#{binary_to_list(Table) => binary_to_integer(Id)} end, Last, Rows
    ),
    %% The marker is in the first table: it must not come before earlier packets.
    {Sip, Others} = lists:partition(fun([_, Table | _]) -> Table =:= <<"sip_capture">> end, Rows),
    {[kamailio_row(Row) || Row <- Others ++ Sip], Running#running{output = {Reader, Seen}}};

%%% What sngrep dumped, and what hep-js's listener wrote

read(#running{receiver = {sngrep, _}, directory = Directory, output = Offset} = Running) ->
    {Rows, Next} = sngrep_rows(Offset, from(dump(Directory), Offset), []),
    {Rows, Running#running{output = Next}};
read(#running{receiver = hep_js, directory = Directory, output = Offset} = Running) ->
    New = from(answers(Directory), Offset),
    Lines = lists:droplast(binary:split(New, <<"\n">>, [global])),
    Length = lists:sum([byte_size(Line) + 1 || Line <- Lines]),
    {[hep_js_row(Line) || Line <- Lines], Running#running{output = Offset + Length}}.

from(File, Offset) ->
    case file:open(File, [read, raw, binary]) of
        {ok, Device} ->
            Bytes = file:pread(Device, Offset, 1 bsl 20),
            ok = file:close(Device),
            case Bytes of
                {ok, Some} -> Some;
                eof -> <<>>
            end;
        {error, enoent} ->
            <<>>
    end.

kamailio_row([_Id, Table, SrcIp, SrcPort, DstIp, DstPort, Proto, Family, Time, Node, Correlation, Payload]) ->
    {_, _, Kind} = lists:keyfind(binary_to_list(Table), 1, kinds()),
    Micros = binary_to_integer(Time),
    Row = #{
        kind => Kind,
        src_ip => address(SrcIp),
        src_port => binary_to_integer(SrcPort),
        dst_ip => address(DstIp),
        dst_port => binary_to_integer(DstPort),
        %% Its own numbers of transports.
        protocol => maps:get(Proto, #{<<"1">> => 17, <<"2">> => 6, <<"3">> => 22, <<"4">> => 132}, Proto),
        family => binary_to_integer(Family),
        time => {Micros div 1000000, Micros rem 1000000},
        correlation_id => binary:decode_hex(Correlation),
        payload => binary:decode_hex(Payload)
    },
    case binary:split(Node, <<":">>) of
        [_, CaptureId] -> Row#{capture_id => binary_to_integer(CaptureId)};
        [_] -> Row
    end.

%% The file's header has 24 bytes. Addresses of version 6 are dumped as 0.0.0.0.
sngrep_rows(0, <<16#a1b2c3d4:32/native, _:20/binary, Rest/binary>>, Rows) ->
    sngrep_rows(24, Rest, Rows);
sngrep_rows(
    Offset, <<Seconds:32/native, Micros:32/native, Length:32/native, _:32, Frame:Length/binary, Rest/binary>>, Rows
) when Offset > 0 ->
    sngrep_rows(Offset + 16 + Length, Rest, [sngrep_row({Seconds, Micros}, Frame) | Rows]);
sngrep_rows(Offset, _, Rows) ->
    {lists:reverse(Rows), Offset}.

sngrep_row(
    Time,
    <<_:12/binary, 16#0800:16, 4:4, 5:4, _:11/binary, Src:4/binary, Dst:4/binary, SrcPort:16, DstPort:16, _:32,
        Payload/binary>>
) ->
    #{
        time => Time,
        src_ip => list_to_tuple(binary_to_list(Src)),
        dst_ip => list_to_tuple(binary_to_list(Dst)),
        src_port => SrcPort,
        dst_port => DstPort,
        payload => Payload
    };
sngrep_row(Time, Frame) ->
    #{time => Time, payload => Frame}.

hep_js_row(Line) ->
    Facts = maps:from_list([
        {Name, binary:decode_hex(Hex)}
        || Fact <- binary:split(Line, <<" ">>, [global]), [Name, Hex] <- [binary:split(Fact, <<"=">>)]
    ]),
    Number = fun(Name) -> binary_to_integer(maps:get(Name, Facts, <<"-1">>)) end,
    Text = [
        {payload, <<"payload">>}, {auth_key, <<"capturePass">>}, {correlation_id, <<"correlation_id">>},
        {node_name, <<"hepNodeName">>}, {conversation_id, <<"conversation_id">>}
    ],
    Numbers = [
        {family, <<"protocolFamily">>}, {protocol, <<"protocol">>}, {src_port, <<"srcPort">>},
        {dst_port, <<"dstPort">>}, {payload_type, <<"payloadType">>}, {capture_id, <<"captureId">>}, {mos, <<"mos">>}
    ],
    Addresses = [{src_ip, <<"srcIp">>}, {dst_ip, <<"dstIp">>}],
    maps:from_list(
        [{Key, maps:get(Name, Facts)} || {Key, Name} <- Text, is_map_key(Name, Facts)] ++
            [{Key, Number(Name)} || {Key, Name} <- Numbers, is_map_key(Name, Facts)] ++
            [{Key, address(maps:get(Name, Facts))} || {Key, Name} <- Addresses, is_map_key(Name, Facts)] ++
            [{time, {Number(<<"timeSeconds">>), Number(<<"timeUseconds">>)}}]
    ).

address(Text) ->
    case inet:parse_address(binary_to_list(Text)) of
        {ok, Address} -> Address;
        {error, _} -> Text
    end.
