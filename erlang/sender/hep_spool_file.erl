%% @private
%% The files of {@link hep_spool}: the lock, the segments with their records, and the position.
-module(hep_spool_file).

-export([lock/1]).
-export([segments/2, path/2, create/2, write_segment/4, copy_rest/4, count/3, seek/3]).
-export([frame/2, max_record/0, read/4]).
-export([read_position/1, write_position/2]).

%% The size of a record's header, and of one read while records are counted.
-define(HEADER, 8).
-define(READ, 65536).
-define(MAX_RECORD, 16#1000000).
%% Attempts to lock, and the milliseconds between them: the system may still be ending the previous owner.
-define(ATTEMPTS, 20).
-define(ATTEMPT, 10).

%%% The lock

%% Creates the directory if it does not exist, and locks it.
-spec lock(Dir :: binary()) -> {ok, reference()} | {error, {Path :: binary(), locked | term()}}.
lock(Dir) ->
    Path = filename:join(Dir, <<"lock">>),
    case filelib:ensure_path(Dir) of
        ok ->
            case file:write_file(Path, <<>>, [append]) of
                ok -> lock(Dir, Path, ?ATTEMPTS);
                {error, Reason} -> {error, {Path, Reason}}
            end;
        {error, Reason} ->
            {error, {Dir, Reason}}
    end.

lock(Dir, Path, Attempts) ->
    case hep_nif:file_lock(Path) of
        {ok, Lock} ->
            {ok, Lock};
        {error, locked} when Attempts > 1 ->
            timer:sleep(?ATTEMPT),
            lock(Dir, Path, Attempts - 1);
        {error, locked} ->
            {error, {Dir, locked}};
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

%%% Segments

%% The segments among the files of a directory, oldest first: the number of the first record, and the size.
-spec segments([file:filename_all()], Dir :: binary()) -> [{First :: pos_integer(), Bytes :: non_neg_integer()}].
segments(Names, Dir) ->
    lists:sort([Segment || Name <- Names, Segment <- segment(Name, Dir)]).

segment(Name, Dir) ->
    case re:run(Name, "^([0-9]{20})\\.spool$", [{capture, all_but_first, list}]) of
        {match, [Digits]} -> [{max(1, list_to_integer(Digits)), file_size(filename:join(Dir, Name))}];
        nomatch -> []
    end.

file_size(Path) ->
    case file:read_file_info(Path, [raw]) of
        {ok, Info} -> element(2, Info);
        {error, _} -> 0
    end.

-spec path(First :: pos_integer(), Dir :: binary()) -> file:filename_all().
path(First, Dir) -> filename:join(Dir, io_lib:format("~20..0b.spool", [First])).

%% The directory may have been removed.
-spec create(First :: pos_integer(), Dir :: binary()) -> {ok, file:fd()} | {error, term()}.
create(First, Dir) ->
    Path = path(First, Dir),
    case file:open(Path, [write, raw, binary]) of
        {error, enoent} ->
            _ = filelib:ensure_path(Dir),
            file:open(Path, [write, raw, binary]);
        Result ->
            Result
    end.

%% Writes a whole segment. It has its name only when it is complete.
-spec write_segment(First :: pos_integer(), iodata(), Sync :: boolean(), Dir :: binary()) -> ok | {error, term()}.
write_segment(First, Bytes, Sync, Dir) ->
    complete(First, Sync, Dir, fun(File) -> file:write(File, Bytes) end).

%% Copies a segment from one of its records on to a segment of its own, and returns its size.
-spec copy_rest(First :: pos_integer(), From :: pos_integer(), Bytes :: non_neg_integer(), Dir :: binary()) ->
    {ok, Rest :: non_neg_integer()} | {error, term()}.
copy_rest(First, From, Bytes, Dir) ->
    case file:open(path(First, Dir), [read, raw, binary]) of
        {ok, File} ->
            Result = copied(seek(From - First, Bytes, File), File, From, Bytes, Dir),
            _ = file:close(File),
            Result;
        {error, _} = Error ->
            Error
    end.

copied({ok, Offset}, File, From, Bytes, Dir) ->
    {ok, Offset} = file:position(File, Offset),
    Copy = fun(New) ->
        case file:copy(File, New) of
            {ok, Copied} when Copied =:= Bytes - Offset -> ok;
            {ok, _} -> {error, invalid_record};
            {error, _} = Error -> Error
        end
    end,
    case complete(From, true, Dir, Copy) of
        ok -> {ok, Bytes - Offset};
        {error, _} = Error -> Error
    end;
copied({error, _} = Error, _, _, _, _) ->
    Error.

%% The file of an attempt that failed is overwritten by the next one.
complete(First, Sync, Dir, Write) ->
    Path = filename:join(Dir, <<"new">>),
    case file:open(Path, [write, raw, binary]) of
        {ok, File} ->
            Steps = [
                fun() -> Write(File) end,
                fun() -> if Sync -> file:datasync(File); true -> ok end end,
                fun() -> file:close(File) end,
                fun() -> file:rename(Path, path(First, Dir)) end
            ],
            steps(Steps, File);
        {error, _} = Error ->
            Error
    end.

steps([Step | Others], File) ->
    case Step() of
        ok ->
            steps(Others, File);
        {error, _} = Error ->
            _ = file:close(File),
            Error
    end;
steps([], _) ->
    ok.

%% The number of records in a segment, by their lengths.
-spec count(First :: pos_integer(), Bytes :: non_neg_integer(), Dir :: binary()) -> non_neg_integer().
count(First, Bytes, Dir) ->
    case file:open(path(First, Dir), [read, raw, binary]) of
        {ok, File} ->
            {Count, Offset} = walk(infinity, 0, 0, Bytes, File),
            _ = file:close(File),
            %% The number of records in the rest is unknown: it counts as one.
            Count + min(1, Bytes - Offset);
        {error, _} ->
            0
    end.

%% The offset after this many records.
-spec seek(Count :: non_neg_integer(), Bytes :: non_neg_integer(), file:fd()) ->
    {ok, Offset :: non_neg_integer()} | {error, invalid_record}.
seek(Count, Bytes, File) ->
    case walk(Count, 0, 0, Bytes, File) of
        {Count, Offset} -> {ok, Offset};
        _ -> {error, invalid_record}
    end.

%% Skips at most `Most' records; returns their number and the offset after them.
walk(Most, Count, Offset, Size, File) when Count < Most ->
    case file:pread(File, Offset, ?READ) of
        {ok, Bytes} when byte_size(Bytes) >= ?HEADER -> walk(Bytes, Most, Count, Offset, Size, File);
        _ -> {Count, Offset}
    end;
walk(_, Count, Offset, _, _) ->
    {Count, Offset}.

walk(<<Crc:32, Length:32, Rest/binary>>, Most, Count, Offset, Size, File) when
    %% After a power failure a file may end with zeros.
    Count < Most, Crc + Length > 0, Offset + ?HEADER + Length =< Size
->
    After = Offset + ?HEADER + Length,
    case Rest of
        <<_:Length/binary, Others/binary>> -> walk(Others, Most, Count + 1, After, Size, File);
        _ -> walk(Most, Count + 1, After, Size, File)
    end;
walk(<<_:64, _/binary>>, _, Count, Offset, _, _) ->
    {Count, Offset};
walk(_, Most, Count, Offset, Size, File) ->
    walk(Most, Count, Offset, Size, File).

%%% Records

%% The bytes of a record, and their size.
-spec frame(iodata(), MaxSize :: pos_integer()) -> {Size :: pos_integer(), iodata()} | too_large.
frame(Record, MaxSize) ->
    case iolist_size(Record) of
        Size when Size =< MaxSize ->
            Length = <<Size:32>>,
            {?HEADER + Size, [<<(erlang:crc32([Length, Record])):32>>, Length, Record]};
        _ ->
            too_large
    end.

-spec max_record() -> pos_integer().
max_record() -> ?MAX_RECORD.

%% Reads records up to an invalid one: at most this many, and at most this many bytes unless the first one is larger.
%% Returns the offset after them.
-spec read(Most :: pos_integer(), MaxBytes :: pos_integer(), Offset :: non_neg_integer(), file:fd()) ->
    {[binary()], Offset :: non_neg_integer()}.
read(Most, MaxBytes, Offset, File) ->
    case file:pread(File, Offset, max(?HEADER, min(MaxBytes, ?MAX_RECORD))) of
        {ok, <<_:32, Length:32, Rest/binary>>} when Length > byte_size(Rest), Length =< ?MAX_RECORD ->
            case file:pread(File, Offset, ?HEADER + Length) of
                {ok, Bytes} -> valid(Bytes, Most, MaxBytes, Offset, [], true);
                _ -> {[], Offset}
            end;
        {ok, Bytes} ->
            valid(Bytes, Most, MaxBytes, Offset, [], true);
        _ ->
            {[], Offset}
    end.

valid(<<Crc:32, Length:32, Record:Length/binary, Rest/binary>>, Most, Left, Offset, Records, IsFirst) when
    Most > 0, ?HEADER + Length =< Left orelse IsFirst
->
    case erlang:crc32([<<Length:32>>, Record]) of
        Crc -> valid(Rest, Most - 1, Left - ?HEADER - Length, Offset + ?HEADER + Length, [Record | Records], false);
        _ -> {lists:reverse(Records), Offset}
    end;
valid(_, _, _, Offset, Records, _) ->
    {lists:reverse(Records), Offset}.

%%% The position

%% The number of the oldest record that is not acknowledged; 1 if the file is invalid.
-spec read_position(file:fd()) -> pos_integer().
read_position(File) ->
    case file:pread(File, 0, 12) of
        {ok, <<Number:64, Crc:32>>} when Number > 0 -> valid_position(Number, Crc, erlang:crc32(<<Number:64>>));
        _ -> 1
    end.

valid_position(Number, Crc, Crc) -> Number;
valid_position(_, _, _) -> 1.

-spec write_position(pos_integer(), file:fd()) -> ok | {error, term()}.
write_position(Position, File) ->
    Number = <<Position:64>>,
    file:pwrite(File, 0, [Number, <<(erlang:crc32(Number)):32>>]).
