%% Writes packets to a file or standard output: as a capture file, a stream of HEP, or JSON lines.
-module(hep_command_sink).

-export([new/2, write/2, is_open/1, close/1, format/1]).

-include("hep.hrl").

-record(sink, {
    format :: hep_command_source:format(),
    name :: string(),
    %% The file is created with its first packet.
    file = none :: none | file:fd() | stdout,
    writer = hep_pcap:writer() :: hep_pcap:writer(),
    written = 0 :: non_neg_integer(),
    %% The number of packets that were left out, by reason.
    left = #{} :: #{binary() => pos_integer()}
}).

-opaque sink() :: #sink{}.
-export_type([sink/0]).

%% The format according to the file's name.
-spec format(string()) -> hep_command_source:format() | unknown.
format(Name) ->
    case string:lowercase(filename:extension(Name)) of
        Extension when Extension =:= ".pcap"; Extension =:= ".cap" -> pcap;
        Extension when Extension =:= ".json"; Extension =:= ".jsonl"; Extension =:= ".ndjson" -> json;
        ".hep" -> hep;
        _ -> unknown
    end.

-spec new(string(), hep_command_source:format()) -> sink().
new(Name, Format) -> #sink{format = Format, name = Name}.

%% Writes a packet. Throws `{failed, Text}' if that fails.
-spec write(hep:hep(), sink()) -> sink().
write(Hep, #sink{file = none} = Sink) ->
    write(Hep, open(Sink));
write(Hep, #sink{format = pcap, writer = Writer} = Sink) ->
    case hep_pcap:record(Hep, Writer) of
        {ok, Record, Next} -> written(out(Record, Sink#sink{writer = Next}));
        {error, Reason} -> left(hep_pcap:format_error(Reason), Sink)
    end;
write(Hep, #sink{format = hep} = Sink) ->
    %% The other versions have no length.
    case hep:encode_iolist(Hep#hep{version = 3}) of
        {ok, Packet} -> written(out(Packet, Sink));
        {error, Reason} -> left(hep:format_error(Reason), Sink)
    end;
write(Hep, #sink{format = json} = Sink) ->
    case hep_json:encode_record(Hep) of
        {ok, Json} -> written(out([Json, $\n], Sink));
        {error, Reason} -> left(hep:format_error(Reason), Sink)
    end.

open(#sink{name = "-"} = Sink) ->
    begun(Sink#sink{file = stdout});
open(#sink{name = Name} = Sink) ->
    case file:open(Name, [write, raw, binary, {delayed_write, 65536, 1000}]) of
        {ok, File} -> begun(Sink#sink{file = File});
        {error, Reason} -> failed(Reason, Sink)
    end.

begun(#sink{format = pcap} = Sink) -> out(hep_pcap:header(), Sink);
begun(Sink) -> Sink.

-spec failed(file:posix() | badarg | terminated | system_limit, sink()) -> no_return().
failed(Reason, #sink{name = Name}) -> throw({failed, [Name, ": ", file:format_error(Reason)]}).

out(Bytes, #sink{file = stdout} = Sink) ->
    ok = hep_command_output:put(Bytes),
    Sink;
out(Bytes, #sink{file = File} = Sink) ->
    case file:write(File, Bytes) of
        ok -> Sink;
        {error, Reason} -> failed(Reason, Sink)
    end.

written(#sink{written = Written} = Sink) -> Sink#sink{written = Written + 1}.

left(Text, #sink{left = Left} = Sink) ->
    Reason = unicode:characters_to_binary(Text),
    %% There may be many reasons with numbers.
    Key = case map_size(Left) < 16 of true -> Reason; false -> <<"other reasons">> end,
    Sink#sink{left = maps:update_with(Key, fun(N) -> N + 1 end, 1, Left)}.

%% Whether the file was created.
-spec is_open(sink()) -> boolean().
is_open(#sink{file = File}) -> File =/= none.

%% Closes the file, also one without packets, and notes the packets left out. Throws like {@link write/2}.
-spec close(sink()) -> Written :: non_neg_integer().
close(#sink{file = none} = Sink) ->
    close(open(Sink));
close(#sink{file = File, written = Written, left = Left} = Sink) ->
    _ = maps:foreach(
        fun(Reason, N) -> hep_command_output:note(io_lib:format("~b packets left out: ~ts", [N, Reason])) end,
        Left
    ),
    case File =:= stdout orelse file:close(File) of
        {error, Reason} -> failed(Reason, Sink);
        _ -> Written
    end.
