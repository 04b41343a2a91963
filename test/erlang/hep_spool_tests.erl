%% @doc The spool on disk: order, limits, restarts, invalid files, a full disk, a killed VM.
-module(hep_spool_tests).

-include_lib("eunit/include/eunit.hrl").

%% Large enough: nothing is dropped.
-define(LARGE, #{max_bytes => 1 bsl 20, segment_bytes => 4096}).

-import(hep_spools, [with_dir/1, with_disk/2, files/1, segments/1, open/1, open/2, take_all/1]).

%%% Order

in_and_out_test() ->
    with_dir(fun(Dir) ->
        Spool = write([<<"a">>, [<<"b">>, "c"], <<>>], open(Dir)),
        {[<<"a">>, <<"bc">>], Taken} = hep_spool:take(2, 1000, Spool),
        ?assertMatch(#{records := 3, recovered := 0, dropped := 0, errors := 0}, hep_spool:info(Taken)),
        ?assertError(badarg, hep_spool:take(1, 1, Taken)),
        ?assertError(badarg, hep_spool:ack(3, Taken)),
        Part = hep_spool:ack(1, Taken),
        {[<<"bc">>, <<>>], Again} = hep_spool:take(10, 1000, hep_spool:rewind(Part)),
        Done = hep_spool:ack(2, Again),
        ?assertMatch({[], _}, hep_spool:take(10, 1000, Done)),
        ?assertMatch(#{records := 0}, hep_spool:info(Done)),
        ok = hep_spool:close(Done),
        ?assertEqual([], segments(Dir))
    end).

%% A take is limited by records and bytes, but returns at least one record.
take_limits_test() ->
    with_dir(fun(Dir) ->
        Spool = write([binary:copy(<<N>>, 1000) || N <- lists:seq(1, 5)], open(Dir, maps:put(segment_bytes, 8192, ?LARGE))),
        Count = fun(Records, Bytes) -> length(element(1, hep_spool:take(Records, Bytes, Spool))) end,
        ?assertEqual([1, 1, 2, 3, 5], [
            Count(R, B)
         || {R, B} <- [{5, 1}, {5, 2015}, {5, 2016}, {3, 10000}, {9, 100000}]
        ]),
        ok = hep_spool:close(Spool)
    end).

%% Random operations, compared with a list. Reopening repeats only what was taken and not acknowledged.
random_test_() ->
    {timeout, 60, fun() ->
        lists:foreach(
            fun(Seed) ->
                _ = rand:seed(exsss, Seed),
                with_dir(fun(Dir) -> random(200, Dir, open(Dir, ?LARGE), {1, [], []}) end)
            end,
            lists:seq(1, 10)
        )
    end}.

random(0, _, Spool, {_, Taken, Waiting}) ->
    ?assertEqual(Taken ++ Waiting, take_all(hep_spool:rewind(Spool)));
random(Left, Dir, Spool, {Number, Taken, Waiting}) ->
    #{records := Records, dropped := 0, errors := 0} = hep_spool:info(Spool),
    ?assertEqual(length(Taken ++ Waiting), Records),
    case rand:uniform(20) of
        Dice when Dice < 8 ->
            New = [
                <<N:64, 0:(rand:uniform(900))/unit:8>>
             || N <- lists:seq(Number, Number + rand:uniform(12) - 1)
            ],
            random(Left - 1, Dir, write(New, Spool), {Number + length(New), Taken, Waiting ++ New});
        Dice when Dice < 13, Taken =:= [] ->
            Most = rand:uniform(20),
            {Some, Next} = hep_spool:take(Most, rand:uniform(9000), Spool),
            ?assert(length(Some) =< Most),
            ?assert(Some =/= [] orelse Waiting =:= []),
            ?assertEqual(Some, lists:sublist(Waiting, length(Some))),
            random(Left - 1, Dir, Next, {Number, Some, lists:nthtail(length(Some), Waiting)});
        Dice when Dice < 18 ->
            Count = rand:uniform(length(Taken) + 1) - 1,
            random(Left - 1, Dir, hep_spool:ack(Count, Spool), {Number, lists:nthtail(Count, Taken), Waiting});
        18 ->
            random(Left - 1, Dir, hep_spool:rewind(Spool), {Number, [], Taken ++ Waiting});
        _ ->
            ok = hep_spool:close(Spool),
            random(Left - 1, Dir, open(Dir, ?LARGE), {Number, [], Taken ++ Waiting})
    end.

%%% Limits

%% Beyond `max_bytes' the oldest records are deleted and counted; the files stay within the limit.
oldest_dropped_test() ->
    with_dir(fun(Dir) ->
        Records = [<<N:32, 0:996/unit:8>> || N <- lists:seq(1, 300)],
        Spool = lists:foldl(
            fun(Record, Before) ->
                After = write([Record], Before),
                ?assert(lists:sum([filelib:file_size(File) || File <- segments(Dir)]) =< 65536),
                After
            end,
            open(Dir),
            Records
        ),
        #{dropped := Dropped, records := Left, bytes := Bytes} = hep_spool:info(Spool),
        ?assertEqual(300, Dropped + Left),
        ?assert(Bytes > 55000),
        ?assertEqual(lists:nthtail(Dropped, Records), take_all(Spool))
    end).

%% An empty spool has no large file.
emptied_test() ->
    with_dir(fun(Dir) ->
        Spool = write([<<0:40000/unit:8>>, <<0:40000/unit:8>>], open(Dir, #{max_bytes => 1000000, segment_bytes => 200000})),
        {[_, _], Taken} = hep_spool:take(2, 100000, Spool),
        ?assertMatch([_], segments(Dir)),
        Empty = hep_spool:ack(2, Taken),
        ?assertEqual([], segments(Dir)),
        ?assertMatch(#{records := 0, bytes := 0}, hep_spool:info(Empty)),
        ?assertEqual([<<"next">>], take_all(write([<<"next">>], Empty)))
    end).

%% Each acknowledgement is in the position file, also one of a part of the taken records.
acknowledged_part_test() ->
    with_dir(fun(Dir) ->
        ended(fun() ->
            {[_, _, _], Taken} = hep_spool:take(3, 1000, write([<<"1">>, <<"2">>, <<"3">>], open(Dir))),
            hep_spool:ack(2, Taken)
        end),
        ?assertEqual([<<"3">>], take_all(open(Dir)))
    end).

%% Runs a function in a process that ends without closing its spool.
ended(Function) ->
    {_, Monitor} = spawn_monitor(Function),
    receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end.

%% With `sync', each write and each full file waits for the disk.
sync_test() ->
    with_dir(fun(Dir) ->
        Syncs = fun(Sync) ->
            {Writer, Monitor} = spawn_monitor(fun() ->
                receive start -> ok end,
                Spool = write([<<"one">>], open(Dir, #{sync => Sync})),
                ok = close(write([<<"two">>], Spool))
            end),
            1 = erlang:trace(Writer, true, [call]),
            _ = erlang:trace_pattern({file, datasync, 1}, true, []),
            Writer ! start,
            receive {'DOWN', Monitor, process, _, normal} -> ok end,
            _ = erlang:trace_pattern({file, datasync, 1}, false, []),
            traced(Writer, 0)
        end,
        ?assertEqual({0, true}, {Syncs(false), Syncs(true) >= 2})
    end).

traced(Pid, Count) ->
    receive {trace, Pid, call, _} -> traced(Pid, Count + 1) after 0 -> Count end.

%% A file that cannot be deleted is counted, and the records are done nevertheless.
undeletable_test() ->
    with_dir(fun(Dir) ->
        Big = <<0:3000/unit:8>>,
        {[Big], Taken} = hep_spool:take(1, 5000, write([Big, Big, Big], open(Dir, #{segment_bytes => 4096}))),
        First = hd(segments(Dir)),
        ok = file:delete(First),
        ok = filelib:ensure_path(filename:join(First, "below")),
        Acked = hep_spool:ack(1, Taken),
        ?assertMatch(#{errors := 1, records := 2, dropped := 0}, hep_spool:info(Acked)),
        ?assertEqual([Big, Big], take_all(Acked))
    end).

%% Records whose file is deleted after they were taken: they are lost only if they are rewound.
taken_and_deleted_test() ->
    with_dir(fun(Dir) ->
        Records = [<<N:32, 0:996/unit:8>> || N <- lists:seq(1, 200)],
        {[_, _] = First, Taken} = hep_spool:take(2, 10000, write(lists:sublist(Records, 2), open(Dir))),
        ?assertEqual(lists:sublist(Records, 2), First),
        Full = write(lists:nthtail(2, Records), Taken),
        #{dropped := Dropped, records := Left} = hep_spool:info(Full),
        ?assertEqual(200, Dropped + Left),
        #{dropped := More, records := Fewer} = hep_spool:info(hep_spool:rewind(Full)),
        ?assertEqual({Dropped + 2, Left - 2}, {More, Fewer}),
        ?assertEqual(lists:nthtail(Dropped + 2, Records), take_all(hep_spool:ack(2, Full)))
    end).

too_large_test() ->
    with_dir(fun(Dir) ->
        Spool = write([binary:copy(<<"x">>, 16384)], open(Dir)),
        ?assertError(badarg, hep_spool:write([binary:copy(<<"x">>, 16385)], Spool)),
        ?assertEqual([binary:copy(<<"x">>, 16384)], take_all(Spool))
    end).

options_test() ->
    [
        begin
            {error, {bad_option, _} = Error} = hep_spool:open(Options),
            ?assertNotEqual(nomatch, string:find(hep_spool:format_error(Error), Text))
        end
     || {Options, Text} <- [
            {#{}, "dir is missing"},
            {#{dir => <<>>}, "path of a directory"},
            {#{dir => "a\0b"}, "path of a directory"},
            {#{dir => "x", max_bytes => 65535}, "at least 65536"},
            {#{dir => "x", max_bytes => 65536, segment_bytes => 16385}, "a quarter"},
            {#{dir => "x", sync => 1}, "true or false"},
            {#{dir => "x", size => 1}, "unknown option size"},
            {x, "expected a map"}
        ]
    ].

%%% The directory

%% A second spool is rejected until the owner of the first one has ended, in any way.
lock_test() ->
    with_dir(fun(Dir) ->
        Self = self(),
        Owner = spawn(fun() ->
            Self ! {opened, open(Dir)},
            receive stop -> ok end
        end),
        receive {opened, _} -> ok end,
        {error, {spool, _, locked} = Error} = hep_spool:open(#{dir => Dir}),
        ?assertNotEqual(nomatch, string:find(hep_spool:format_error(Error), "in use by another process")),
        exit(Owner, kill),
        ok = hep_spool:close(open(Dir)),
        ok = hep_spool:close(open(Dir))
    end).

%% The owner before is still ending.
lock_is_awaited_test() ->
    with_dir(fun(Dir) ->
        Self = self(),
        Owner = spawn(fun() ->
            _ = open(Dir),
            Self ! opened,
            receive stop -> ok end
        end),
        receive opened -> ok end,
        _ = erlang:send_after(20, Owner, stop),
        ok = hep_spool:close(open(Dir))
    end).

not_a_directory_test() ->
    with_dir(fun(Dir) ->
        File = filename:join(Dir, "file"),
        ok = file:write_file(File, <<"x">>),
        [
            begin
                {error, {spool, Path, Reason} = Error} = hep_spool:open(#{dir => Where}),
                ?assert(lists:member(Reason, [enotdir, eexist])),
                Text = hep_spool:format_error(Error),
                ?assertNotEqual(nomatch, string:find(Text, Path)),
                ?assertNotEqual(nomatch, string:find(Text, atom_to_list(Reason)))
            end
         || Where <- [File, filename:join(File, "below")]
        ]
    end).

%% The directory is replaced by a file: errors are counted; when the directory is back, writing continues.
directory_lost_test() ->
    with_dir(fun(Dir) ->
        Spool = write([<<N:32, 0:4092/unit:8>> || N <- [1, 2]], open(Dir)),
        ok = file:rename(Dir, Dir ++ ".away"),
        ok = file:write_file(Dir, <<>>),
        {error, enotdir, 0, Failed} = hep_spool:write([<<"x">>], Spool),
        ?assertMatch(#{errors := 1, last_error := enotdir, records := 2}, hep_spool:info(Failed)),
        ok = file:delete(Dir),
        ok = file:rename(Dir ++ ".away", Dir),
        ?assertMatch([<<1:32, _/binary>>, <<2:32, _/binary>>, <<"x">>], take_all(write([<<"x">>], Failed)))
    end).

%% The directory is deleted: it is created again.
directory_deleted_test() ->
    with_dir(fun(Dir) ->
        Spool = open(Dir),
        ok = file:del_dir_r(Dir),
        ?assertEqual([<<"x">>], take_all(write([<<"x">>], Spool)))
    end).

%% A file system of 10 MB: written records are counted, none of them is lost, and writing continues when there is room.
full_disk_test_() ->
    {timeout, 60, fun() ->
        with_disk(10, fun(Disk) ->
            Dir = filename:join(Disk, "spool"),
            Spool = open(Dir, #{max_bytes => 1 bsl 30}),
            {Written, Full} = fill(0, Spool),
            ?assertMatch(#{last_error := enospc, records := Written, dropped := 0}, hep_spool:info(Full)),
            ?assert(Written > 7000),
            {Taken, Rest} = take_count(Written - 10, [], Full),
            {ok, More} = hep_spool:write([<<(Written + 1):64>>], Rest),
            ?assertEqual(lists:seq(1, Written + 1), numbers(Taken ++ take_all(More)))
        end),
        %% Nothing of the truncated write is left.
        with_disk(10, fun(Disk) ->
            Dir = filename:join(Disk, "spool"),
            {Written, Full} = fill(0, open(Dir, #{max_bytes => 1 bsl 30})),
            ok = hep_spool:close(Full),
            Again = open(Dir, #{max_bytes => 1 bsl 30}),
            ?assertMatch(#{recovered := Written}, hep_spool:info(Again)),
            {_, Done} = hep_spools:taken(Again),
            ?assertMatch(#{dropped := 0, errors := 0}, hep_spool:info(Done)),
            ok = hep_spool:close(Done)
        end)
    end}.

%% The last write of several records is truncated by the full disk.
fill(Written, Spool) ->
    Records = [<<N:64, 0:1000/unit:8>> || N <- lists:seq(Written + 1, Written + 50)],
    case hep_spool:write(Records, Spool) of
        {ok, Next} -> fill(Written + 50, Next);
        {error, enospc, Count, Next} -> {Written + Count, Next}
    end.

take_count(0, Taken, Spool) ->
    {lists:reverse(Taken), Spool};
take_count(Count, Taken, Spool) ->
    {Some, Next} = hep_spool:take(Count, 65536, Spool),
    take_count(Count - length(Some), lists:reverse(Some, Taken), hep_spool:ack(length(Some), Next)).

numbers(Records) ->
    [Number || <<Number:64, _/binary>> <- Records].

%%% Invalid files

%% Truncated at each byte: the complete records are read, the truncated one is counted, and later records are read, too.
cut_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            ok = close(write([<<"one">>, <<"two">>, <<"three">>], open(Dir))),
            [File] = segments(Dir),
            {ok, Bytes} = file:read_file(File),
            [
                begin
                    [ok = file:delete(Some) || Some <- files(Dir)],
                    ok = file:write_file(File, binary:part(Bytes, 0, Size)),
                    Spool = write([<<"four">>], open(Dir)),
                    {Whole, Cut} = whole(Size),
                    ?assertEqual({Size, Whole ++ [<<"four">>]}, {Size, take_all(Spool, Cut)})
                end
             || Size <- lists:seq(0, byte_size(Bytes))
            ]
        end)
    end}.

%% Records have 11, 11 and 13 bytes.
whole(Size) when Size < 11 -> {[], min(1, Size)};
whole(Size) when Size < 22 -> {[<<"one">>], min(1, Size - 11)};
whole(Size) when Size < 35 -> {[<<"one">>, <<"two">>], min(1, Size - 22)};
whole(_) -> {[<<"one">>, <<"two">>, <<"three">>], 0}.

%% The same, with the number of dropped records.
take_all(Spool, Dropped) ->
    {Records, Done} = hep_spools:taken(Spool),
    ?assertMatch(#{dropped := Dropped, records := 0}, hep_spool:info(Done)),
    ok = hep_spool:close(Done),
    Records.

%% A changed byte anywhere: no invalid record is returned, later files are read, and each record is returned or counted.
changed_byte_test_() ->
    {timeout, 60, fun() ->
        with_dir(fun(Dir) ->
            Records = [<<N:64, 0:500/unit:8>> || N <- lists:seq(1, 30)],
            lists:foreach(
                fun(Seed) ->
                    _ = rand:seed(exsss, Seed),
                    [ok = file:delete(Some) || Some <- files(Dir)],
                    ok = close(write(Records, open(Dir, #{segment_bytes => 4096}))),
                    %% Not in the last file, whose number of records may be unknown.
                    Files = lists:droplast(segments(Dir)),
                    change(lists:nth(rand:uniform(length(Files)), Files)),
                    {Left, Done} = hep_spools:taken(open(Dir, #{segment_bytes => 4096})),
                    #{dropped := Dropped, errors := 1} = hep_spool:info(Done),
                    ?assert(Dropped > 0 andalso Dropped < 10),
                    ?assertEqual(30, length(Left) + Dropped),
                    ?assertEqual([], Left -- Records),
                    ?assertEqual(Left, lists:sort(Left)),
                    ok = hep_spool:close(Done)
                end,
                lists:seq(1, 60)
            )
        end)
    end}.

change(File) ->
    change(File, rand:uniform(filelib:file_size(File)) - 1, rand:uniform(255)).

change(File, Place, Bits) ->
    {ok, <<Before:Place/binary, Byte, After/binary>>} = file:read_file(File),
    ok = file:write_file(File, [Before, Byte bxor Bits, After]).

%% Any byte of the open file: reading and writing continue in the next one.
changed_open_file_test() ->
    [
        with_dir(fun(Dir) ->
            Spool = write([<<"one">>, <<"two">>], open(Dir)),
            change(hd(segments(Dir)), Place, 1),
            {[], Empty} = skip_valid(hep_spool:take(1, 100, Spool)),
            #{errors := 1, records := 0} = hep_spool:info(Empty),
            ?assertEqual([<<"three">>], take_all(write([<<"three">>], Empty)))
        end)
     || Place <- lists:seq(0, 21)
    ].

skip_valid({[<<"one">>], Spool}) -> hep_spool:take(1, 100, hep_spool:ack(1, Spool));
skip_valid(Result) -> Result.

%% Missing files, zeros at the end, foreign files, and an invalid position.
strange_directory_test() ->
    with_dir(fun(Dir) ->
        Records = [<<N:64, 0:1000/unit:8>> || N <- lists:seq(1, 12)],
        ok = close(write(Records, open(Dir, #{segment_bytes => 4096}))),
        [First, Second, Third] = segments(Dir),
        ok = file:delete(Second),
        ok = file:write_file(Third, binary:copy(<<0>>, 5000), [append]),
        ok = file:write_file(filename:join(Dir, "position"), <<"not a number">>),
        ok = file:write_file(filename:join(Dir, "readme.txt"), <<"x">>),
        %% Behind 12 records and what the zeros count as.
        Number = list_to_integer(filename:basename(First, ".spool")) + 13,
        Empty = filename:join(Dir, io_lib:format("~20..0b.spool", [Number])),
        ok = file:write_file(Empty, <<>>),
        Spool = open(Dir, #{segment_bytes => 4096}),
        ?assertNot(filelib:is_file(Empty)),
        {Left, Done} = hep_spools:taken(write([<<13:64>>], Spool)),
        %% Four of the second file, and one for the zeros.
        ?assertEqual([1, 2, 3, 4, 9, 10, 11, 12, 13], numbers(Left)),
        ?assertMatch(#{dropped := 5, errors := 2}, hep_spool:info(Done)),
        ok = hep_spool:close(Done)
    end).

%%% A killed VM

%% The VM is killed while it writes and reads: the reported records are read in order, and at most one take
%% is repeated.
killed_vm_test_() ->
    {timeout, 60, fun() -> [with_dir(fun(Dir) -> killed(Delay, Dir) end) || Delay <- [0, 30, 100]] end}.

killed(Delay, Dir) ->
    {Written, Done} = hep_spools:killed_vm(Dir, Delay),
    {Left, Spool} = hep_spools:taken(open(Dir, #{max_bytes => 1 bsl 30})),
    #{dropped := Dropped} = hep_spool:info(Spool),
    Numbers = numbers(Left),
    First = hd(Numbers),
    ?assertEqual(lists:seq(First, First + length(Numbers) - 1), Numbers),
    ?assert(lists:last(Numbers) >= Written),
    ?assert(First =< Done + hep_spools:batch() + 1),
    ?assert(First > Done),
    ?assert(Dropped =< 1),
    ok = hep_spool:close(Spool).

%%% Helpers

write(Records, Spool) ->
    {ok, Next} = hep_spool:write(Records, Spool),
    Next.

close(Spool) ->
    hep_spool:close(Spool).

%%% Records before the oldest

%% They come first, whatever was acknowledged, whatever the segments, and after the spool was opened again.
put_first_test_() ->
    [
        {lists:flatten(io_lib:format("~b written, ~b acknowledged, ~p", [Written, Acked, When])), fun() ->
            hep_spools:with_dir(fun(Dir) -> put_first(Written, Acked, When, Dir) end)
        end}
     || {Written, Acked} <- [{0, 0}, {1, 0}, {1, 1}, {100, 0}, {100, 1}, {100, 50}, {100, 99}, {100, 100}, {1000, 700}],
        When <- [at_once, reopened, killed]
    ].

put_first(Written, Acked, When, Dir) ->
    {ok, Full} = hep_spool:write([record(N) || N <- lists:seq(1, Written)], hep_spools:open(Dir)),
    Left = acked(Acked, Full),
    {ok, Longer} = hep_spool:put_first([<<"a">>, [<<"b">>]], Left),
    {ok, Longest} = hep_spool:put_first([<<"0">>], Longer),
    {ok, Both} = hep_spool:write([<<"last">>], Longest),
    Spool =
        case When of
            at_once ->
                Both;
            reopened ->
                ok = hep_spool:close(Both),
                hep_spools:open(Dir);
            killed ->
                Copy = filename:join(Dir, "copy"),
                ok = file:make_dir(Copy),
                Files = [File || File <- hep_spools:files(Dir), filelib:is_regular(File)],
                [{ok, _} = file:copy(File, filename:join(Copy, filename:basename(File))) || File <- Files],
                ok = hep_spool:close(Both),
                hep_spools:open(Copy)
        end,
    Expected = [<<"0">>, <<"a">>, <<"b">>] ++ [record(N) || N <- lists:seq(Acked + 1, Written)] ++ [<<"last">>],
    ?assertEqual(length(Expected), maps:get(records, hep_spool:info(Spool))),
    ?assertMatch(#{dropped := 0, errors := 0}, hep_spool:info(Spool)),
    ?assertEqual(Expected, hep_spools:take_all(Spool)).

acked(0, Spool) ->
    Spool;
acked(Count, Spool) ->
    {Records, Taken} = hep_spool:take(Count, 1 bsl 20, Spool),
    acked(Count - length(Records), hep_spool:ack(length(Records), Taken)).

record(Number) -> <<Number:(40 * 8)>>.

%% Beyond `max_bytes' they are the oldest, and so the ones that are dropped.
put_first_full_test() ->
    hep_spools:with_dir(fun(Dir) ->
        {ok, Full} = hep_spool:write([<<0:(16000 * 8)>> || _ <- [1, 2, 3, 4]], hep_spools:open(Dir)),
        {ok, Same} = hep_spool:put_first([<<0:(16000 * 8)>>], Full),
        ?assertMatch(#{records := 4, dropped := 1}, hep_spool:info(Same)),
        ok = hep_spool:close(Same)
    end).

%% An error leaves the spool as it was.
put_first_error_test() ->
    hep_spools:with_dir(fun(Dir) ->
        {ok, Full} = hep_spool:write([<<"b">>, <<"c">>], hep_spools:open(Dir)),
        ok = file:make_dir(filename:join(Dir, "new")),
        {error, eisdir, 0, Same} = hep_spool:put_first([<<"a">>], Full),
        ?assertMatch(#{records := 2, errors := 1}, hep_spool:info(Same)),
        ?assertError(badarg, hep_spool:put_first([<<0:(20000 * 8)>>], Same)),
        {[_], Taken} = hep_spool:take(1, 1000, Same),
        ?assertError(badarg, hep_spool:put_first([<<"a">>], Taken)),
        ?assertEqual([<<"b">>, <<"c">>], hep_spools:take_all(hep_spool:rewind(Taken)))
    end).
