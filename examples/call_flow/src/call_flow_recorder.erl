%% @doc Writes received packets to rotating capture files, and reads them back.
%%
%% A record is the HEP packet as a UDP datagram from its sender to port 9060, so that no field of a packet is lost and
%% any tool that reads HEP can open the file. A packet too large for a datagram is written as TCP. The authenticate key
%% is left out.
-module(call_flow_recorder).

-behaviour(gen_server).

-include_lib("hep/include/hep.hrl").
-include_lib("kernel/include/logger.hrl").

-export([start_link/2, restore/2, flush/0, stats/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(SUFFIX, ".pcap").
-define(FLUSH_INTERVAL, 1000).
-define(BUFFER, 262144).
-define(BATCH, 200).
%% HEP in a datagram is shorter, because of the 16-bit lengths of IP and UDP.
-define(DATAGRAM, 65507).

-record(recorder, {
    queue :: call_flow_queue:queue(),
    record :: call_flow_config:recording(),
    number = 0 :: non_neg_integer(),
    file :: file:fd() | closed,
    written = 0 :: non_neg_integer(),
    buffer = [] :: iolist(),
    buffered = 0 :: non_neg_integer(),
    %% The packets in the buffer.
    waiting = 0 :: non_neg_integer(),
    writer :: hep_pcap:writer(),
    stats = #{bytes => 0, packets => 0, failed => 0} :: #{bytes | packets | failed => non_neg_integer()}
}).

-spec start_link(call_flow_queue:queue(), call_flow_config:recording()) -> {ok, pid()} | {error, term()}.
start_link(Queue, Record) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, {Queue, Record}, []).

%% @doc Starts a process that reads the files, oldest first, and calls the function with the packets received before now.
-spec restore(call_flow_config:recording(), fun(([call_flow_calls:entry()]) -> ok)) -> pid() | none.
restore(none, _) ->
    none;
restore(#{dir := Dir}, Add) ->
    Now = erlang:system_time(microsecond),
    Files = [File || {_, File} <- files(Dir)],
    proc_lib:spawn(fun() -> lists:foreach(fun(File) -> restore(File, Now, Add) end, Files) end).

restore(File, Now, Add) ->
    Before = fun(Entries) -> [Entry || {_, #{time := Time}} = Entry <- Entries, Time < Now] end,
    case call_flow_file:fold(File, ?BATCH, fun(Entries, ok) -> Add(Before(Entries)) end, ok) of
        {#{error := Error, packets := Packets}, ok} ->
            ?LOG_WARNING("call_flow: ~ts: ~b packets read, then ~ts", [File, Packets, Error]);
        {#{packets := _}, ok} ->
            ok
    end.

%% @doc Writes the buffered data.
-spec flush() -> ok.
flush() ->
    gen_server:call(?MODULE, flush).

%% @doc Packets and bytes written, and packets lost because the file could not be written.
-spec stats() -> #{bytes | packets | failed => non_neg_integer()}.
stats() ->
    gen_server:call(?MODULE, stats).

%%% gen_server

init({Queue, #{dir := Dir} = Record}) ->
    process_flag(trap_exit, true),
    ok = call_flow_queue:reset(Queue),
    case filelib:ensure_dir(filename:join(Dir, "x")) of
        ok ->
            Number = lists:max([0 | [N || {N, _} <- files(Dir)]]),
            _ = erlang:send_after(?FLUSH_INTERVAL, self(), flush),
            State = #recorder{queue = Queue, record = Record, number = Number, file = closed, writer = hep_pcap:writer()},
            {ok, rotate(State)};
        {error, Reason} ->
            {stop, {record, Dir, file:format_error(Reason)}}
    end.

handle_call(flush, _, State) ->
    {reply, ok, write(State)};
handle_call(stats, _, #recorder{stats = Stats} = State) ->
    {reply, Stats, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({packets, Entries, Bytes}, #recorder{queue = Queue} = State) ->
    Recorded = lists:foldl(fun record/2, State, Entries),
    call_flow_queue:handled(length(Entries), Bytes, Queue),
    {noreply, Recorded};
handle_info(flush, State) ->
    _ = erlang:send_after(?FLUSH_INTERVAL, self(), flush),
    {noreply, write(State)};
handle_info(_, State) ->
    {noreply, State}.

terminate(_, State) ->
    close(write(State)).

record({Hep, Meta}, #recorder{writer = Writer} = State) ->
    case datagram(Hep, Meta) of
        {ok, Datagram} ->
            {ok, Record, Next} = hep_pcap:record(Datagram, Writer),
            buffer(Record, iolist_size(Record), State#recorder{writer = Next});
        error ->
            count(failed, 1, State)
    end.

datagram(Hep, #{source := {Ip, Port}, time := Time}) ->
    case hep:encode(Hep) of
        {ok, Bytes} ->
            {ok, #hep{
                protocol = protocol(Bytes),
                src_ip = Ip,
                src_port = Port,
                dst_ip = loopback(Ip),
                dst_port = 9060,
                timestamp = timestamp(Time),
                payload = Bytes
            }};
        {error, _} ->
            error
    end.

protocol(Bytes) when byte_size(Bytes) =< ?DATAGRAM -> 17;
protocol(_) -> 6.

loopback(Ip) when tuple_size(Ip) =:= 4 -> {127, 0, 0, 1};
loopback(_) -> {0, 0, 0, 0, 0, 0, 0, 1}.

timestamp(Microseconds) ->
    Seconds = Microseconds div 1000000,
    {Seconds div 1000000, Seconds rem 1000000, Microseconds rem 1000000}.

buffer(Record, Size, #recorder{record = #{file_bytes := Max}, written = Written, buffered = Buffered} = State) when
    Written + Buffered + Size > Max, Written + Buffered > 24
->
    %% A new file, since this one is full. Its TCP flows start afresh.
    buffer(Record, Size, rotate(write(State)));
buffer(Record, Size, #recorder{buffer = Buffer, buffered = Buffered, waiting = Waiting} = State) ->
    case State#recorder{buffer = [Buffer | Record], buffered = Buffered + Size, waiting = Waiting + 1} of
        #recorder{buffered = Full} = Next when Full > ?BUFFER -> write(Next);
        Next -> Next
    end.

write(#recorder{buffered = 0} = State) ->
    State;
write(#recorder{file = closed} = State) ->
    case rotate(State) of
        #recorder{file = closed, waiting = Waiting} = Closed -> count(failed, Waiting, emptied(Closed));
        Open -> write(Open)
    end;
write(#recorder{file = File, buffer = Buffer, buffered = Buffered, waiting = Waiting} = State) ->
    case file:write(File, Buffer) of
        ok ->
            count(packets, Waiting, count(bytes, Buffered, emptied(State)));
        {error, Reason} ->
            ?LOG_ERROR("call_flow: cannot record: ~ts", [file:format_error(Reason)]),
            rotate(count(failed, Waiting, emptied(State)))
    end.

emptied(#recorder{buffered = Buffered, written = Written} = State) ->
    State#recorder{buffer = [], buffered = 0, waiting = 0, written = Written + Buffered}.

%% Without a file, because of missing space or permissions, each flush retries.
rotate(#recorder{record = #{dir := Dir, files := Files}, number = Number} = State) ->
    close(State),
    Next = State#recorder{number = Number + 1, written = 24, writer = hep_pcap:writer()},
    Name = filename:join(Dir, io_lib:format("call_flow-~8..0b" ?SUFFIX, [Number + 1])),
    delete_old(files(Dir), Files - 1),
    case created(Name) of
        {ok, File} ->
            Next#recorder{file = File};
        {error, Reason} ->
            ?LOG_ERROR("call_flow: cannot record to ~ts: ~ts", [Name, file:format_error(Reason)]),
            Next#recorder{file = closed}
    end.

%% A file without its header would be unreadable.
created(Name) ->
    case file:open(Name, [write, raw, binary, exclusive]) of
        {ok, File} ->
            case file:write(File, hep_pcap:header()) of
                ok ->
                    {ok, File};
                Error ->
                    _ = file:close(File),
                    _ = file:delete(Name),
                    Error
            end;
        Error ->
            Error
    end.

close(#recorder{file = closed}) -> ok;
close(#recorder{file = File}) -> _ = file:close(File), ok.

delete_old(Files, Keep) when length(Files) > Keep ->
    [{_, Oldest} | Rest] = Files,
    _ = file:delete(Oldest),
    delete_old(Rest, Keep);
delete_old(_, _) ->
    ok.

count(Key, N, #recorder{stats = Stats} = State) ->
    State#recorder{stats = Stats#{Key := map_get(Key, Stats) + N}}.

%% The files of a folder with their numbers, oldest first.
files(Dir) ->
    Names = filelib:wildcard("call_flow-*" ?SUFFIX, Dir),
    lists:sort([{Number, filename:join(Dir, Name)} || Name <- Names, Number <- number(Name)]).

number("call_flow-" ++ Rest) ->
    case string:to_integer(Rest) of
        {Number, ?SUFFIX} -> [Number];
        _ -> []
    end.
