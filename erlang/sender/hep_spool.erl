%% @doc A queue of records in files, for a sender or bridge whose peer is unreachable.
%%
%% ```
%% 1> {ok, Empty} = hep_spool:open(#{dir => Dir, max_bytes => 1000000}).
%% 2> {ok, Two} = hep_spool:write([<<"first">>, <<"second">>], Empty).
%% 3> {[<<"first">>, <<"second">>], Taken} = hep_spool:take(10, 65536, Two).
%% 4> Rest = hep_spool:ack(2, Taken).
%% 5> #{records := 0} = hep_spool:info(Rest).
%% 6> ok = hep_spool:close(Rest).
%% '''
%%
%% Records keep their order. {@link take/3} reads the oldest ones, {@link ack/2} removes them once they are handled,
%% {@link rewind/1} makes the next take return them again. The functions do not start a process: the
%% spool belongs to the process that opened it, and calls wait for the disk.
%%
%% == Guarantees ==
%% <ul>
%% <li><em>At least once.</em> Records that were taken but not acknowledged when the VM ended are returned again: at
%%   most those of one `take/3'. If the machine fails, acknowledged records may be repeated, too: the position of the
%%   reader is written with each acknowledgement, but not synchronised.</li>
%% <li><em>A killed VM</em> (`kill -9') loses no record for which {@link write/2} has returned `ok', since the operating
%%   system has it. A power failure loses the data that the system had not written to the disk, on Linux usually up to
%%   30 seconds. With `sync => true' it loses no record for which `write/2' has returned, if the file system keeps new
%%   files without a synchronised directory.</li>
%% <li><em>Limits.</em> Beyond `max_bytes' the oldest records are deleted, a file at a time, and counted. The memory
%%   holds a list of the files and, during a call, at most the records of `take/3' or `write/2'.</li>
%% <li><em>A failed write</em> (disk full, directory not writable) is an error with the number of records that were
%%   written; the caller keeps the others and may retry. Both are counted.</li>
%% <li><em>Invalid bytes.</em> After an invalid record, reading continues with the next file, and the skipped records
%%   are counted as dropped. A truncated record at the end of the last file counts as one, although its write never
%%   returned `ok'.</li>
%% <li><em>One owner.</em> A lock of the operating system on the file `lock' excludes a second spool, also in another
%%   VM. It is released when the process ends in any way.</li>
%% </ul>
%%
%% == Files ==
%% A segment, `NUMBER.spool', is named after the number of its first record, so the number of records in all segments
%% but the last is known without reading them. A record is a CRC-32 and a length, each of 32 bits and big-endian, and
%% the bytes; the CRC covers length and bytes. `position' holds the number of the oldest record that is not
%% acknowledged. `new' is a segment that is not complete yet. Each start begins a new segment.
%%
%% OTP's `disk_log' is not used: its wrap logs have no reader position, overwrite unread records without counting them,
%% and cannot be read beyond an invalid record.
-module(hep_spool).

-export([open/1, write/2, put_first/2, take/3, ack/2, rewind/1, close/1]).
-export([info/1, check/1, format_error/1]).

-export_type([spool/0, options/0, info/0, reason/0]).

%% The number of a new spool's first record: records can be put before it.
-define(FIRST, 1 bsl 40).
%% An empty spool keeps its file up to this size.
-define(KEEP, 65536).

-type options() :: #{
    dir := file:name_all(),
    max_bytes => pos_integer(),
    segment_bytes => pos_integer(),
    sync => boolean()
}.
%% <dl>
%% <dt>`dir'</dt><dd>the directory, for this spool alone; it is created if it does not exist</dd>
%% <dt>`max_bytes'</dt><dd>the maximum total size of the files: 1 GiB by default, at least 65536. A record takes 8 bytes
%%   more than its size</dd>
%% <dt>`segment_bytes'</dt><dd>the size of a file, unless a single record is larger: a sixteenth of `max_bytes' by
%%   default, at least 4096 and at most 16 MiB; at most a quarter of `max_bytes'</dd>
%% <dt>`sync'</dt><dd>whether each `write/2' waits until the data is on the disk: `false' by default</dd>
%% </dl>

-type info() :: #{
    records := non_neg_integer(),
    bytes := non_neg_integer(),
    recovered := non_neg_integer(),
    dropped := non_neg_integer(),
    errors := non_neg_integer(),
    last_error := undefined | term()
}.
%% <dl>
%% <dt>`records', `bytes'</dt><dd>the records not acknowledged, and the total size of the files</dd>
%% <dt>`recovered'</dt><dd>the records that were there when the spool was opened</dd>
%% <dt>`dropped'</dt><dd>the records that were lost: beyond `max_bytes', or in invalid files</dd>
%% <dt>`errors', `last_error'</dt><dd>failed operations on files, and the reason of the last one</dd>
%% </dl>

-type reason() ::
    {bad_option, {atom(), term()} | term()}
    | {spool, Path :: binary(), locked | file:posix() | term()}.
%% `locked': another process, of this VM or another, has the spool open.

-record(segment, {
    first :: pos_integer(),
    bytes :: non_neg_integer()
}).

-record(spool, {
    dir :: binary(),
    max_bytes :: pos_integer(),
    segment_bytes :: pos_integer(),
    sync :: boolean(),
    lock :: reference(),
    position_file :: file:fd(),
    %% The segments, oldest first, without the one that is being written.
    closed = [] :: [#segment{}],
    %% The segment that is being written, and its file.
    open :: {#segment{}, file:fd()} | undefined,
    %% The number of the next record to write, and of the next to read.
    next :: pos_integer(),
    read :: pos_integer(),
    %% The records taken: from this number to before the other. They are older than `read'.
    taken :: {pos_integer(), pos_integer()} | undefined,
    %% The place of `read', if its segment is open.
    reader :: {First :: pos_integer(), file:fd(), Offset :: non_neg_integer()} | undefined,
    recovered = 0 :: non_neg_integer(),
    dropped = 0 :: non_neg_integer(),
    errors = 0 :: non_neg_integer(),
    last_error :: undefined | term()
}).

-opaque spool() :: #spool{}.
%% An open spool: each call returns the next state, and earlier states must not be used again.

%%% Opening

%% @doc Opens the spool of a directory, with the records that are in it.
-spec open(options()) -> {ok, spool()} | {error, reason()}.
open(Options) ->
    case check(Options) of
        {ok, #{dir := Dir} = Checked} ->
            case hep_spool_file:lock(Dir) of
                {ok, Lock} -> opened(Lock, Checked);
                {error, {Path, Reason}} -> {error, {spool, Path, Reason}}
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc Checks and completes the options.
-spec check(term()) -> {ok, options()} | {error, {bad_option, term()}}.
check(Options) ->
    hep_spool_options:check(Options).

%% @doc Describes an error in a sentence. Raises `badarg' for any other term.
-spec format_error(reason()) -> string().
format_error(Reason) ->
    hep_spool_options:format_error(Reason).

opened(Lock, #{dir := Dir} = Options) ->
    Path = filename:join(Dir, <<"position">>),
    case {file:open(Path, [read, write, raw, binary]), file:list_dir(Dir)} of
        {{ok, File}, {ok, Names}} ->
            Spool = #spool{
                dir = Dir,
                max_bytes = maps:get(max_bytes, Options),
                segment_bytes = maps:get(segment_bytes, Options),
                sync = maps:get(sync, Options),
                lock = Lock,
                position_file = File,
                next = 1,
                read = 1
            },
            {ok, recovered(Names, Spool)};
        {{error, Reason}, _} ->
            failed(Lock, Path, Reason);
        {{ok, File}, {error, Reason}} ->
            _ = file:close(File),
            failed(Lock, Dir, Reason)
    end.

failed(Lock, Path, Reason) ->
    ok = hep_nif:file_unlock(Lock),
    {error, {spool, Path, Reason}}.

%% The last segment may be cut: its complete records are counted.
recovered(Names, #spool{dir = Dir, position_file = File} = Spool) ->
    Segments = [#segment{first = First, bytes = Bytes} || {First, Bytes} <- hep_spool_file:segments(Names, Dir)],
    Stored = hep_spool_file:read_position(File),
    {Start, Next} =
        case Segments of
            [] ->
                {max(Stored, ?FIRST), max(Stored, ?FIRST)};
            [#segment{first = Oldest} | _] ->
                #segment{first = Last, bytes = Size} = lists:last(Segments),
                {Oldest, Last + hep_spool_file:count(Last, Size, Dir)}
        end,
    Position = max(Start, min(Stored, Next)),
    Kept = [Segment || #segment{first = Number} = Segment <- Segments, Number < Next],
    _ = [file:delete(path(Segment, Dir)) || Segment <- Segments -- Kept],
    finished(Spool#spool{closed = Kept, next = Next, read = Position, recovered = Next - Position}).

path(#segment{first = First}, Dir) -> hep_spool_file:path(First, Dir).

%%% Writing

%% @doc Appends records. After an error the first `Written' of them are in the spool. Raises `badarg' for a record above
%% 16 MiB or a quarter of `max_bytes'.
-spec write([iodata()], spool()) ->
    {ok, spool()} | {error, Reason :: term(), Written :: non_neg_integer(), spool()}.
write(Records, #spool{max_bytes = Max} = Spool) ->
    Most = min(hep_spool_file:max_record(), Max div 4),
    append([framed(Record, Most) || Record <- Records], 0, Spool).

framed(Record, Most) ->
    case hep_spool_file:frame(Record, Most) of
        too_large -> erlang:error(badarg, [Record]);
        Framed -> Framed
    end.

%% @doc Puts records before the oldest one: for a caller that has kept older records in memory. After an error, none of
%% them is in the spool. They are dropped if the spool has no room for them. Raises `badarg' as {@link write/2}, and if
%% records are taken.
-spec put_first([iodata()], spool()) -> {ok, spool()} | {error, Reason :: term(), 0, spool()}.
put_first([], Spool) ->
    {ok, Spool};
put_first(Records, #spool{taken = undefined, max_bytes = Max} = Before) ->
    Framed = [framed(Record, min(hep_spool_file:max_record(), Max div 4)) || Record <- Records],
    Segment = #segment{first = Before#spool.read - length(Records), bytes = lists:sum([Size || {Size, _} <- Framed])},
    Spool = finished(closed(Before)),
    case bytes(Spool) + Segment#segment.bytes > Max of
        true -> {ok, lost(length(Records), Spool)};
        false -> first_segment(Segment, [Bytes || {_, Bytes} <- Framed], split(Spool))
    end;
put_first(Records, Spool) ->
    erlang:error(badarg, [Records, Spool]).

%% The position goes first: without the segment it is invalid, and the oldest segment counts.
first_segment(#segment{first = First} = Segment, Bytes, {ok, #spool{dir = Dir, closed = Closed} = Spool}) when
    First > 0
->
    Positioned = stored((without_reader(Spool))#spool{read = First}),
    case hep_spool_file:write_segment(First, Bytes, Spool#spool.sync, Dir) of
        ok -> {ok, Positioned#spool{closed = [Segment | Closed]}};
        {error, Reason} -> {error, Reason, 0, stored(failure(Reason, Positioned#spool{read = Spool#spool.read}))}
    end;
first_segment(_, _, {ok, Spool}) ->
    {error, no_number, 0, Spool};
first_segment(_, _, {error, Reason, Spool}) ->
    {error, Reason, 0, failure(Reason, Spool)}.

%% Makes the oldest record that is not acknowledged the first one of its segment.
split(#spool{closed = [#segment{first = First, bytes = Bytes} = Segment | Others], read = Read, dir = Dir} = Spool) when
    First < Read
->
    case hep_spool_file:copy_rest(First, Read, Bytes, Dir) of
        {ok, Rest} ->
            Split = (without_reader(Spool))#spool{closed = [#segment{first = Read, bytes = Rest} | Others]},
            {ok, delete(Segment, Split)};
        {error, Reason} ->
            {error, Reason, Spool}
    end;
split(Spool) ->
    {ok, Spool}.

append([], _, Spool) ->
    {ok, synced(Spool)};
append([{First, _} | _] = Records, Written, Before) ->
    case writable(First, Before) of
        {ok, #spool{open = {#segment{bytes = Bytes}, _}, segment_bytes = Most} = Spool} ->
            {Count, Size, Some, Others} = fitting(Records, Most - Bytes),
            case put(Some, Count, Size, dropped_oldest(Size, Spool)) of
                {ok, Next} -> append(Others, Written + Count, Next);
                {error, Reason, Next} -> {error, Reason, Written, Next}
            end;
        {error, Reason, Spool} ->
            {error, Reason, Written, Spool}
    end.

%% At least one record, and as many as fit.
fitting([{Size, Bytes} | Others], Left) ->
    fitting(Others, Left - Size, 1, Size, [Bytes]).

fitting([{Size, Bytes} | Others], Left, Count, Sum, Some) when Size =< Left ->
    fitting(Others, Left - Size, Count + 1, Sum + Size, [Bytes | Some]);
fitting(Others, _, Count, Sum, Some) ->
    {Count, Sum, lists:reverse(Some), Others}.

%% Opens a segment if none is open, or if this many bytes do not fit.
writable(Size, #spool{open = {#segment{bytes = Bytes}, _}, segment_bytes = Most} = Spool) when
    Bytes + Size =< Most; Bytes =:= 0
->
    {ok, Spool};
writable(_, #spool{open = undefined, next = First, dir = Dir} = Spool) ->
    case hep_spool_file:create(First, Dir) of
        {ok, File} -> {ok, Spool#spool{open = {#segment{first = First, bytes = 0}, File}}};
        {error, Reason} -> {error, Reason, failure(Reason, Spool)}
    end;
writable(Size, Spool) ->
    writable(Size, closed(Spool)).

closed(#spool{open = undefined} = Spool) ->
    Spool;
closed(#spool{open = {#segment{bytes = 0} = Segment, File}} = Spool) ->
    _ = file:close(File),
    delete(Segment, Spool#spool{open = undefined});
closed(#spool{open = {Segment, File}, closed = Closed} = Spool) ->
    Synced = synced(Spool),
    _ = file:close(File),
    Synced#spool{open = undefined, closed = Closed ++ [Segment]}.

put(Bytes, Count, Size, #spool{open = {#segment{bytes = Before} = Segment, File}, next = Next} = Spool) ->
    case file:pwrite(File, Before, Bytes) of
        ok -> {ok, Spool#spool{open = {Segment#segment{bytes = Before + Size}, File}, next = Next + Count}};
        {error, Reason} -> {error, Reason, cut(failure(Reason, Spool))}
    end.

%% Removes the written part. If that fails, the next record begins a new segment: reading depends on the number of
%% records.
cut(#spool{open = {#segment{bytes = Bytes}, File}} = Spool) ->
    case file:position(File, Bytes) of
        {ok, Bytes} ->
            case file:truncate(File) of
                ok -> Spool;
                {error, _} -> closed(Spool)
            end;
        _ ->
            closed(Spool)
    end.

synced(#spool{sync = true, open = {_, File}} = Spool) ->
    case file:datasync(File) of
        ok -> Spool;
        %% The records are written: whether they are on the disk is unknown.
        {error, Reason} -> failure(Reason, Spool)
    end;
synced(Spool) ->
    Spool.

%% Makes room for this many bytes.
dropped_oldest(Size, #spool{closed = [Oldest | Others], max_bytes = Max} = Spool) ->
    case bytes(Spool) + Size > Max of
        true -> dropped_oldest(Size, passed(delete(Oldest, (without_reader_of(Oldest, Spool))#spool{closed = Others})));
        false -> Spool
    end;
dropped_oldest(_, Spool) ->
    Spool.

%% The oldest segments were deleted: reading continues after them.
passed(#spool{read = Read} = Spool) ->
    case first(Spool) of
        First when First > Read -> lost(First - Read, moved(First, Spool));
        _ -> Spool
    end.

first(#spool{closed = [#segment{first = First} | _]}) -> First;
first(#spool{open = {#segment{first = First}, _}}) -> First;
first(#spool{next = Next}) -> Next.

lost(Count, #spool{dropped = Dropped} = Spool) ->
    Spool#spool{dropped = Dropped + Count}.

moved(Number, Spool) ->
    (without_reader(Spool))#spool{read = Number}.

without_reader(#spool{reader = undefined} = Spool) ->
    Spool;
without_reader(#spool{reader = {_, File, _}} = Spool) ->
    _ = file:close(File),
    Spool#spool{reader = undefined}.

delete(Segment, #spool{dir = Dir} = Spool) ->
    case file:delete(path(Segment, Dir), [raw]) of
        ok -> Spool;
        {error, enoent} -> Spool;
        {error, Reason} -> failure(Reason, Spool)
    end.

failure(Reason, #spool{errors = Errors} = Spool) ->
    Spool#spool{errors = Errors + 1, last_error = Reason}.

%%% Reading

%% @doc Reads the oldest records, up to a number of records and of bytes, counting 8 bytes more per record; a larger
%% single record is returned alone. The list is empty if the spool is. Raises `badarg' while records of the last call
%% are neither acknowledged nor rewound.
-spec take(MaxRecords :: pos_integer(), MaxBytes :: pos_integer(), spool()) -> {[binary()], spool()}.
take(MaxRecords, MaxBytes, #spool{taken = undefined} = Spool) when MaxRecords > 0, MaxBytes > 0 ->
    next(MaxRecords, MaxBytes, Spool);
take(MaxRecords, MaxBytes, Spool) ->
    erlang:error(badarg, [MaxRecords, MaxBytes, Spool]).

next(_, _, #spool{read = Next, next = Next} = Spool) ->
    {[], Spool};
next(MaxRecords, MaxBytes, #spool{read = Read} = Spool) ->
    {#segment{first = First} = Segment, End} = at(Read, Spool),
    case positioned(Segment, Spool) of
        {ok, #spool{reader = {_, File, Offset}} = Ready} ->
            Most = min(MaxRecords, End - Read),
            case hep_spool_file:read(Most, MaxBytes, Offset, File) of
                {[], _} ->
                    next(MaxRecords, MaxBytes, skipped(invalid_record, End, Ready));
                {Records, After} ->
                    To = Read + length(Records),
                    {Records, Ready#spool{read = To, taken = {Read, To}, reader = {First, File, After}}}
            end;
        {error, Reason} ->
            next(MaxRecords, MaxBytes, skipped(Reason, End, Spool))
    end.

%% The segment with this record, and the number of the first record after it.
at(Number, #spool{closed = Closed, open = Open, next = Next}) ->
    Segments = Closed ++ [Segment || {Segment, _} <- [Open], Open =/= undefined],
    at(Number, Segments, Next).

at(Number, [Segment, #segment{first = Following} | _], _) when Number < Following -> {Segment, Following};
at(_, [Segment], Next) -> {Segment, Next};
at(Number, [_ | Others], Next) -> at(Number, Others, Next).

positioned(#segment{first = First}, #spool{reader = {First, _, _}} = Spool) ->
    {ok, Spool};
positioned(#segment{first = First, bytes = Bytes} = Segment, #spool{dir = Dir, read = Read} = Before) ->
    Spool = without_reader(Before),
    case file:open(path(Segment, Dir), [read, raw, binary]) of
        {ok, File} ->
            case hep_spool_file:seek(Read - First, Bytes, File) of
                {ok, Offset} ->
                    {ok, Spool#spool{reader = {First, File, Offset}}};
                {error, _} = Error ->
                    _ = file:close(File),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

%% Reading continues after the segment, and so does writing if it is the last one.
skipped(Reason, End, #spool{read = Read, next = Next} = Before) ->
    Spool = lost(End - Read, failure(Reason, moved(End, Before))),
    case End of
        Next -> finished(closed(Spool));
        _ -> finished(Spool)
    end.

%% @doc Removes this number of the oldest taken records. The others remain taken.
-spec ack(non_neg_integer(), spool()) -> spool().
ack(Count, #spool{taken = {From, To}} = Spool) when Count >= 0, Count < To - From ->
    stored(Spool#spool{taken = {From + Count, To}});
ack(Count, #spool{taken = {From, To}} = Spool) when Count =:= To - From ->
    stored(finished(Spool#spool{taken = undefined}));
ack(0, #spool{taken = undefined} = Spool) ->
    Spool;
ack(Count, Spool) ->
    erlang:error(badarg, [Count, Spool]).

%% @doc Makes the next {@link take/3} return the taken records again. Those whose file was deleted meanwhile are counted
%% as dropped.
-spec rewind(spool()) -> spool().
rewind(#spool{taken = undefined} = Spool) ->
    Spool;
rewind(#spool{taken = {From, To}} = Spool) ->
    Untaken = Spool#spool{taken = undefined},
    case first(Spool) of
        First when First =< From -> moved(From, Untaken);
        %% All of one segment: it was deleted.
        _ -> lost(To - From, Untaken)
    end.

stored(#spool{position_file = File} = Spool) ->
    case hep_spool_file:write_position(oldest(Spool), File) of
        ok -> Spool;
        {error, Reason} -> failure(Reason, Spool)
    end.

%% The oldest record that is not acknowledged.
oldest(#spool{taken = {From, _}}) -> From;
oldest(#spool{read = Read}) -> Read.

%% Deletes the segments whose records are all acknowledged.
finished(#spool{taken = undefined, read = Next, next = Next, open = {#segment{bytes = Bytes}, _}} = Spool) when
    Bytes > ?KEEP
->
    finished(closed(Spool));
finished(#spool{closed = [Segment | Others], taken = undefined, read = Read} = Spool) ->
    case at(Read, Spool) of
        {Segment, End} when Read < End -> Spool;
        _ -> finished(delete(Segment, (without_reader_of(Segment, Spool))#spool{closed = Others}))
    end;
finished(Spool) ->
    Spool.

without_reader_of(#segment{first = First}, #spool{reader = {First, _, _}} = Spool) -> without_reader(Spool);
without_reader_of(_, Spool) -> Spool.

%%% The end

%% @doc Closes the spool. Its records stay in the directory.
-spec close(spool()) -> ok.
close(#spool{lock = Lock, position_file = File} = Spool) ->
    _ = stored(finished(closed(without_reader(rewind(Spool))))),
    _ = file:close(File),
    hep_nif:file_unlock(Lock).

%% @doc Returns the counters.
-spec info(spool()) -> info().
info(#spool{next = Next, read = Read} = Spool) ->
    #{
        records => Next - Read + taken(Spool),
        bytes => bytes(Spool),
        recovered => Spool#spool.recovered,
        dropped => Spool#spool.dropped,
        errors => Spool#spool.errors,
        last_error => Spool#spool.last_error
    }.

taken(#spool{taken = {From, To}}) -> To - From;
taken(#spool{taken = undefined}) -> 0.

bytes(#spool{closed = Closed, open = Open}) ->
    lists:sum([Bytes || #segment{bytes = Bytes} <- Closed]) + open_bytes(Open).

open_bytes({#segment{bytes = Bytes}, _}) -> Bytes;
open_bytes(undefined) -> 0.
