%% @doc Appends lines to a file. When {@link write/2} returns, its lines are on disk.
%%
%% An incomplete last line, left by a crash, is removed when the file is opened again: its message was not acknowledged
%% and is delivered again.
-module(hep_rabbitmq_writer).

-export([open/1, write/2, close/1]).

-export_type([writer/0]).

-record(writer, {
    device :: file:fd(),
    position :: non_neg_integer()
}).

-opaque writer() :: #writer{}.

%% The number of bytes that are searched at a time for the end of the last complete line.
-define(BLOCK, 65536).

-spec open(file:name_all()) -> {ok, writer()} | {error, file:posix()}.
open(File) ->
    case file:open(File, [read, write, raw, binary]) of
        {ok, Device} -> opened(Device);
        {error, _} = Error -> Error
    end.

opened(Device) ->
    try
        {ok, End} = file:position(Device, eof),
        Position = whole_lines(End, Device),
        ok = truncated(Position, End, Device),
        {ok, #writer{device = Device, position = Position}}
    catch
        error:{badmatch, {error, _} = Error} ->
            _ = file:close(Device),
            Error
    end.

whole_lines(0, _) ->
    0;
whole_lines(End, Device) ->
    Start = max(0, End - ?BLOCK),
    {ok, Block} = file:pread(Device, Start, End - Start),
    case binary:matches(Block, <<"\n">>) of
        [] -> whole_lines(Start, Device);
        Found -> Start + element(1, lists:last(Found)) + 1
    end.

truncated(End, End, _) ->
    ok;
truncated(Position, _, Device) ->
    {ok, Position} = file:position(Device, Position),
    file:truncate(Device).

%% @doc Appends lines. After an error the file is unchanged, if the system allows it.
-spec write(iodata(), writer()) -> {ok, writer()} | {error, file:posix()}.
write(Lines, #writer{device = Device, position = Position} = Writer) ->
    try
        ok = file:pwrite(Device, Position, Lines),
        ok = file:datasync(Device),
        {ok, Writer#writer{position = Position + iolist_size(Lines)}}
    catch
        error:{badmatch, {error, _} = Error} ->
            _ = file:position(Device, Position),
            _ = file:truncate(Device),
            Error
    end.

-spec close(writer()) -> ok.
close(#writer{device = Device}) ->
    _ = file:close(Device),
    ok.
