%% Reads packets from a file or standard input, in any format: a capture file, a stream of HEP, packets as JSON lines;
%% each also in gzip. One packet at a time.
-module(hep_command_source).

-export([fold/4, is_file/1]).

-include("hep.hrl").
-include_lib("kernel/include/file.hrl").

-export_type([format/0]).

-type format() :: pcap | hep | json.

%% The size of a read. Less for a slow pipe, since a read waits until all of it has arrived.
-define(PART, 65536).
-define(LEAST, 256).
%% A pipe is slow if a read takes longer, in milliseconds.
-define(SLOW, 20).
%% The longest line of JSON. A payload of 64 KiB takes six times as much if all of it is escaped.
-define(MAX_LINE, 4 * 1024 * 1024).
%% The magic numbers of pcap and pcapng.
-define(MAGICS, [
    <<16#a1b2c3d4:32>>, <<16#a1b2c3d4:32/little>>, <<16#a1b23c4d:32>>, <<16#a1b23c4d:32/little>>, <<16#a1b2cd34:32>>,
    <<16#a1b2cd34:32/little>>, <<16#0a0d0d0a:32>>
]).
%% The progress is updated after this many packets.
-define(STEP, 512).

%% The maximum number of errors of a stream that are skipped, and that are shown.
-define(MAX_ERRORS, 100000).
-define(MAX_NOTES, 10).

-record(input, {
    name :: string(),
    file :: file:fd(),
    %% `undefined' if unknown.
    size :: pos_integer() | undefined,
    %% Bytes read so far, and the size of the next read.
    read :: counters:counters_ref(),
    is_pipe :: boolean()
}).

%% Calls the function with each packet. Errors in the middle are noted on standard error; a corrupt file is an error
%% after its valid packets.
-spec fold(string(), format() | auto, fun((hep:hep(), Acc) -> Acc), Acc) -> {ok, Acc} | {error, unicode:chardata(), Acc}.
fold(Name, Format, Fun, Acc) ->
    case open(Name) of
        {ok, Input} ->
            try
                packets(Input, Format, with_progress(Input, Fun), Acc)
            after
                file:close(Input#input.file)
            end;
        {error, Reason} ->
            {error, [Name, ": ", file:format_error(Reason)], Acc}
    end.

%% Whether it can be read twice.
-spec is_file(string()) -> boolean().
is_file("-") -> false;
is_file(Name) -> filelib:is_regular(Name).

open(Name) ->
    Path = path(Name),
    case file:open(Path, [read, raw, binary]) of
        {ok, File} ->
            %% By its path: standard input may be a file, too.
            {ok, #file_info{type = Type, size = Size}} = file:read_file_info(Path),
            Read = counters:new(2, []),
            ok = counters:put(Read, 2, ?LEAST),
            Known = case Type of regular when Size > 0 -> Size; _ -> undefined end,
            {ok, #input{name = Name, file = File, size = Known, read = Read, is_pipe = Type =/= regular}};
        Error ->
            Error
    end.

path("-") -> "/dev/stdin";
path(Name) -> Name.

with_progress(#input{size = Size, read = Read}, Fun) ->
    Packets = counters:new(1, []),
    fun(Hep, Acc) ->
        ok = counters:add(Packets, 1, 1),
        Count = counters:get(Packets, 1),
        _ = Count rem ?STEP =:= 0 andalso
            hep_command_output:progress(fun() -> progress(Count, counters:get(Read, 1), Size) end),
        Fun(Hep, Acc)
    end.

progress(Packets, Read, undefined) -> io_lib:format("~b packets, ~b MB", [Packets, Read div 1000000]);
progress(Packets, Read, Size) -> io_lib:format("~b packets, ~b %", [Packets, 100 * Read div Size]).

%%% Reading

reader(#input{file = File, read = Read, is_pipe = false}) ->
    fun() -> counted(Read, file:read(File, ?PART)) end;
reader(#input{file = File, read = Read}) ->
    fun() ->
        Size = counters:get(Read, 2),
        Start = erlang:monotonic_time(millisecond),
        Result = file:read(File, Size),
        Next =
            case erlang:monotonic_time(millisecond) - Start > ?SLOW of
                true -> ?LEAST;
                false -> min(2 * Size, ?PART)
            end,
        ok = counters:put(Read, 2, Next),
        counted(Read, Result)
    end.

counted(Read, {ok, Bytes} = Result) ->
    ok = counters:add(Read, 1, byte_size(Bytes)),
    Result;
counted(_, Result) ->
    Result.

%% Returns these bytes first, then those of the reader.
behind(Bytes, Read) ->
    First = counters:new(1, []),
    fun() ->
        case counters:get(First, 1) of
            0 -> ok = counters:put(First, 1, 1), {ok, Bytes};
            _ -> Read()
        end
    end.

%%% Recognition

packets(#input{name = Name} = Input, Format, Fun, Acc) ->
    Read = reader(Input),
    case Read() of
        {ok, Bytes} ->
            Given = {Format, form(Bytes)},
            named(Name, recognised(Given, Bytes, Read, Fun, Acc));
        eof ->
            {error, [Name, ": the file is empty"], Acc};
        {error, Reason} ->
            {error, [Name, ": ", file:format_error(Reason)], Acc}
    end.

named(Name, {error, Text, Acc}) -> {error, [Name, ": ", Text], Acc};
named(_, Result) -> Result.

recognised({auto, {gzip, pcap}}, Bytes, Read, Fun, Acc) -> pcap(behind(Bytes, Read), Fun, Acc);
recognised({pcap, _}, Bytes, Read, Fun, Acc) -> pcap(behind(Bytes, Read), Fun, Acc);
recognised({auto, {gzip, Form}}, Bytes, Read, Fun, Acc) -> unpacked(Form, behind(Bytes, Read), Fun, Acc);
recognised({Form, {gzip, _}}, Bytes, Read, Fun, Acc) -> unpacked(Form, behind(Bytes, Read), Fun, Acc);
recognised({auto, Form}, Bytes, Read, Fun, Acc) -> form(Form, behind(Bytes, Read), Fun, Acc);
recognised({Form, _}, Bytes, Read, Fun, Acc) -> form(Form, behind(Bytes, Read), Fun, Acc).

form(pcap, Read, Fun, Acc) -> pcap(Read, Fun, Acc);
form(hep, Read, Fun, Acc) -> stream(Read, Fun, Acc);
form(json, Read, Fun, Acc) -> lines(Read, <<>>, 1, Fun, Acc);
form(datagram, Read, Fun, Acc) -> datagram(Read, Fun, Acc);
form(unknown, _, _, Acc) -> {error, "neither a capture file, nor a stream of HEP, nor packets as JSON", Acc}.

form(<<16#1f, 16#8b, _/binary>> = Bytes) ->
    Unpacker = unpacker(),
    try form(iolist_to_binary(some(Unpacker, Bytes))) of
        %% Gzip in gzip is a packet in gzip.
        {gzip, _} -> {gzip, hep};
        Form -> {gzip, Form}
    catch
        error:data_error -> unknown
    after
        zlib:close(Unpacker)
    end;
form(<<Magic:4/binary, _/binary>> = Bytes) ->
    case {lists:member(Magic, ?MAGICS), lists:member(Magic, hep_registry:magics())} of
        {true, _} -> pcap;
        {_, true} -> hep;
        _ -> other_form(Bytes)
    end;
form(_) ->
    unknown.

other_form(<<"HELLO HFP", _/binary>>) -> hep;
other_form(<<Version, _/binary>>) when Version =:= 1; Version =:= 2 -> datagram;
other_form(Bytes) ->
    case without_space(Bytes) of
        <<C, _/binary>> when C =:= ${; C =:= $[ -> json;
        _ -> unknown
    end.

%% Without a byte order mark, too.
without_space(<<16#ef, 16#bb, 16#bf, Rest/binary>>) -> without_space(Rest);
without_space(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t; C =:= $\r; C =:= $\n -> without_space(Rest);
without_space(Bytes) -> Bytes.

%% gzip, also with several members.
unpacker() ->
    Unpacker = zlib:open(),
    ok = zlib:inflateInit(Unpacker, 31, reset),
    Unpacker.

%% The first part of the unpacked data: limited.
some(Unpacker, Bytes) ->
    case zlib:safeInflate(Unpacker, Bytes) of
        {continue, Some} -> Some;
        {finished, Some} -> Some
    end.

unpacked(Form, Read, Fun, Acc) ->
    Unpacker = unpacker(),
    State = counters:new(1, []),
    Unpacked = fun Next() ->
        case counters:get(State, 1) of
            0 ->
                case Read() of
                    {ok, Bytes} -> inflated(Unpacker, Bytes, State, Next);
                    eof -> ended(Unpacker);
                    Error -> Error
                end;
            1 ->
                inflated(Unpacker, [], State, Next)
        end
    end,
    try
        form(Form, Unpacked, Fun, Acc)
    after
        zlib:close(Unpacker)
    end.

inflated(Unpacker, Bytes, State, Next) ->
    try zlib:safeInflate(Unpacker, Bytes) of
        {More, Some} ->
            ok = counters:put(State, 1, case More of continue -> 1; finished -> 0 end),
            case iolist_to_binary(Some) of
                <<>> -> Next();
                Plain -> {ok, Plain}
            end
    catch
        error:data_error -> {error, gzip}
    end.

%% zlib raises an error if a member is not complete.
ended(Unpacker) ->
    try zlib:inflateEnd(Unpacker) of
        ok -> eof
    catch
        error:_ -> {error, gzip}
    end.

reason(gzip) -> "the gzip is corrupt or truncated";
reason(Reason) -> file:format_error(Reason).

%%% The forms

pcap(Read, Fun, Acc) ->
    case hep_pcap:fold({read, Read}, #{stats => fun stats/1}, Fun, Acc) of
        {error, {read, Reason}, Found} -> {error, reason(Reason), Found};
        {error, Reason, Found} -> {error, hep_pcap:format_error(Reason), Found};
        Ok -> Ok
    end.

%% Notes the frames and packets that were left out.
stats(Stats) ->
    Left = [
        {invalid, "HEP packets are invalid"},
        {other, "datagrams hold neither HEP nor SIP"},
        {unknown_link, "frames are of an unknown link type"},
        {fragments_dropped, "IP packets lack a fragment"},
        {tcp_incomplete, "messages over TCP lack a part"}
    ],
    lists:foreach(
        fun({Key, Text}) ->
            case Stats of
                #{Key := N} when N > 0 -> hep_command_output:note(io_lib:format("~b ~ts", [N, Text]));
                #{} -> ok
            end
        end,
        Left
    ).

%% A stream is read on after an error.
stream(Read, Fun, Acc) ->
    Stream = hep_stream:new(#{resync => true, copy => false, max_errors => ?MAX_ERRORS}),
    stream(Read, Stream, {0, 0}, Fun, Acc).

stream(Read, Stream, Counts, Fun, Acc) ->
    case Read() of
        {ok, Bytes} ->
            {Packets, Errors, Next} = hep_stream:feed(Stream, Bytes),
            Decode = fun(Packet, {Before, Found}) -> decoded(Packet, Before, Fun, Found) end,
            {Counted, NextAcc} = lists:foldl(Decode, {broken(Errors, Counts), Acc}, Packets),
            case hep_stream:is_ended(Next) of
                false -> stream(Read, Next, Counted, Fun, NextAcc);
                true -> {error, hep_stream:format_error(lists:last(Errors)), NextAcc}
            end;
        eof ->
            case {hep_stream:finish(Stream), Counts} of
                {[], {_, 0}} -> {ok, Acc};
                {[], {_, Broken}} -> {error, io_lib:format("~b packets or places are broken", [Broken]), Acc};
                {[Error | _], _} -> {error, hep_stream:format_error(Error), Acc}
            end;
        {error, Reason} ->
            {error, reason(Reason), Acc}
    end.

broken(Errors, Counts) ->
    lists:foldl(
        fun
            ({_, {resync, _}} = Error, Before) -> noted(hep_stream:format_error(Error), Before, 0);
            (Error, Before) -> noted(hep_stream:format_error(Error), Before, 1)
        end,
        Counts,
        Errors
    ).

decoded(Packet, {Count, Broken}, Fun, Acc) ->
    case hep:decode(Packet) of
        {ok, Hep} ->
            {{Count + 1, Broken}, Fun(Hep, Acc)};
        {error, Reason} ->
            Text = io_lib:format("packet ~b: ~ts", [Count + 1, hep:format_error(Reason)]),
            {noted(Text, {Count + 1, Broken}, 1), Acc}
    end.

%% Only the first ones are shown.
noted(Text, {Count, Broken}, More) ->
    _ = Broken < ?MAX_NOTES andalso hep_command_output:note(Text),
    {Count, Broken + More}.

%% Versions 1 and 2 have no length: a file is one packet.
datagram(Read, Fun, Acc) -> datagram(Read, <<>>, Fun, Acc).

datagram(Read, Before, Fun, Acc) ->
    case Read() of
        {ok, Bytes} when byte_size(Before) + byte_size(Bytes) < ?PART ->
            datagram(Read, <<Before/binary, Bytes/binary>>, Fun, Acc);
        {ok, _} ->
            form(unknown, Read, Fun, Acc);
        eof ->
            case hep:decode(Before) of
                {ok, Hep} -> {ok, Fun(Hep, Acc)};
                {error, Reason} -> {error, hep:format_error(Reason), Acc}
            end;
        {error, Reason} ->
            {error, reason(Reason), Acc}
    end.

lines(Read, Before, Number, Fun, Acc) ->
    case Read() of
        {ok, Bytes} ->
            Split = binary:split(<<Before/binary, Bytes/binary>>, <<"\n">>, [global]),
            case each_line(Split, Number, Fun, Acc) of
                {ok, Rest, _, _} when byte_size(Rest) > ?MAX_LINE ->
                    {error, io_lib:format("line ~b is longer than ~b bytes", [Number, ?MAX_LINE]), Acc};
                {ok, Rest, Next, NextAcc} ->
                    lines(Read, Rest, Next, Fun, NextAcc);
                Error ->
                    Error
            end;
        eof ->
            case each_line([Before, <<>>], Number, Fun, Acc) of
                {ok, <<>>, _, NextAcc} -> {ok, NextAcc};
                Error -> Error
            end;
        {error, Reason} ->
            {error, reason(Reason), Acc}
    end.

each_line([Rest], Number, _, Acc) ->
    {ok, Rest, Number, Acc};
each_line([Line | Lines], Number, Fun, Acc) ->
    case line(Line) of
        {ok, Packets} ->
            each_line(Lines, Number + 1, Fun, lists:foldl(Fun, Acc, Packets));
        {error, {invalid_json, _, Column, Message}} ->
            {error, io_lib:format("line ~b, column ~b: ~ts", [Number, Column, Message]), Acc}
    end.

line(Line) ->
    case without_space(Line) of
        <<>> ->
            {ok, []};
        Json ->
            case hep_json:decode(Json) of
                {ok, Packets} when is_list(Packets) -> {ok, Packets};
                {ok, Packet} -> {ok, [Packet]};
                Error -> Error
            end
    end.
