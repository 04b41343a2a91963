-module(call_flow_recorder_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

-import(call_flow_fixture, [sip/1, hep/2, until/1, source/0]).

recorded_calls_are_restored_at_the_start_test_() ->
    in_folder(fun(Dir) ->
        Env = #{record => #{dir => Dir}},
        call_flow_fixture:start(Env),
        Hep = hep:correlation_id(<<"corr">>, hep:node_id(4711, hep(log, <<"text">>))),
        call_flow_fixture:send([sip(call_flow_fixture:invite(<<"kept">>)), hep:auth_key(<<"secret-key">>, Hep)]),
        ?assert(until(fun() -> length(calls()) =:= 2 end)),
        ok = call_flow_recorder:flush(),
        call_flow_fixture:stop(ok),
        [File] = files(Dir),
        {ok, Bytes} = file:read_file(File),
        ?assertEqual(nomatch, binary:match(Bytes, <<"secret-key">>)),
        {ok, [Log, Invite]} = hep_pcap:fold(File, #{}, fun(Packet, Acc) -> [Packet | Acc] end, []),
        ?assertEqual(<<"corr">>, hep:correlation_id(Log)),
        ?assertEqual(4711, hep:node_id(Log)),
        ?assertEqual(call_flow_fixture:invite(<<"kept">>), hep:payload(Invite)),
        call_flow_fixture:start(Env),
        ?assert(until(fun() -> lists:sort(calls()) =:= [<<"corr">>, <<"kept">>] end)),
        %% Each start opens a new file, and the packets read are not written again.
        ?assertMatch([File, _], files(Dir)),
        ?assertMatch(#{packets := 0}, call_flow_recorder:stats()),
        call_flow_fixture:stop(ok)
    end).

files_rotate_test_() ->
    in_folder(fun(Dir) ->
        {Queue, Pid} = recorder(#{dir => Dir, file_bytes => 10000, files => 3}),
        record(Queue, [entry(N) || N <- lists:seq(1, 100)]),
        Files = files(Dir),
        ?assertEqual(3, length(Files)),
        ?assertEqual([], [Size || File <- Files, Size <- [filelib:file_size(File)], Size > 10000]),
        %% The last packets, without a gap.
        Kept = lists:append([payloads(File) || File <- Files]),
        ?assertEqual([payload(N) || N <- lists:seq(101 - length(Kept), 100)], Kept),
        ?assertMatch(#{packets := 100, failed := 0}, call_flow_recorder:stats()),
        ok = gen_server:stop(Pid)
    end).

a_truncated_last_file_is_read_up_to_its_end_test_() ->
    in_folder(fun(Dir) ->
        {Queue, Pid} = recorder(#{dir => Dir, file_bytes => 1000000, files => 3}),
        record(Queue, [entry(N) || N <- lists:seq(1, 10)]),
        ok = gen_server:stop(Pid),
        [File] = files(Dir),
        {ok, Bytes} = file:read_file(File),
        ok = file:write_file(File, binary:part(Bytes, 0, byte_size(Bytes) - 100)),
        Self = self(),
        #{level := Level} = logger:get_primary_config(),
        ok = logger:set_primary_config(level, none),
        call_flow_recorder:restore(#{dir => Dir}, fun(Entries) -> Self ! {restored, Entries}, ok end),
        Restored = receive {restored, Entries} -> Entries after 5000 -> timeout end,
        ok = logger:set_primary_config(level, Level),
        ?assertEqual([payload(N) || N <- lists:seq(1, 9)], [hep:payload(Hep) || {Hep, _} <- Restored]),
        ?assertMatch([{_, #{source := {{127, 0, 0, 1}, 4000}, transport := udp}} | _], Restored)
    end).

%% TCP carries packets that are too large for a datagram.
large_packets_are_recorded_test_() ->
    in_folder(fun(Dir) ->
        {Queue, Pid} = recorder(#{dir => Dir, file_bytes => 1000000, files => 3}),
        Large = {hep(log, binary:copy(<<"a">>, 65520 - 100)), source()},
        Larger = {hep(log, binary:copy(<<"b">>, 65440)), source()},
        record(Queue, [Large, Larger, entry(1), Larger]),
        ok = gen_server:stop(Pid),
        [File] = files(Dir),
        ?assertEqual([65420, 65440, byte_size(payload(1)), 65440], [byte_size(Payload) || Payload <- payloads(File)])
    end).

packets_lost_in_an_unwritable_folder_are_counted_test_() ->
    in_folder(fun(Dir) ->
        #{level := Level} = logger:get_primary_config(),
        ok = logger:set_primary_config(level, none),
        ok = filelib:ensure_dir(filename:join(Dir, "x")),
        {Queue, Pid} = recorder(#{dir => Dir, file_bytes => 1000, files => 3}),
        %% The folder is deleted.
        [ok = file:delete(File) || File <- files(Dir)],
        ok = file:del_dir(Dir),
        record(Queue, [entry(N) || N <- lists:seq(1, 10)]),
        #{packets := Packets, failed := Failed} = call_flow_recorder:stats(),
        %% The first file, which is still open, takes what fits.
        ?assertEqual({true, 10}, {Failed > 0, Packets + Failed}),
        ok = logger:set_primary_config(level, Level),
        ok = gen_server:stop(Pid)
    end).

%% On a full disk a file can be made, but not written.
a_full_disk_leaves_no_file_without_a_header_test_() ->
    in_folder(fun(Dir) ->
        ok = filelib:ensure_dir(filename:join(Dir, "x")),
        case os:cmd("mount -t tmpfs -o size=64k tmpfs " ++ Dir ++ " && echo mounted") of
            "mounted\n" ->
                try
                    full_disk(Dir)
                after
                    os:cmd("umount -l " ++ Dir)
                end;
            Other ->
                io:format(user, "skipped: a small file system cannot be mounted here (~p)~n", [Other])
        end
    end).

full_disk(Dir) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    {Queue, Pid} = recorder(#{dir => Dir, file_bytes => 1000000, files => 3}),
    Filler = filename:join(Dir, "filler"),
    {error, enospc} = file:write_file(Filler, binary:copy(<<0>>, 100000)),
    record(Queue, [entry(N) || N <- lists:seq(1, 20)]),
    record(Queue, [entry(21)]),
    ?assertMatch(#{packets := 0, failed := 21}, call_flow_recorder:stats()),
    ok = file:delete(Filler),
    record(Queue, [entry(22)]),
    ?assertMatch(#{packets := 1, failed := 21}, call_flow_recorder:stats()),
    ok = gen_server:stop(Pid),
    ?assertEqual([payload(22)], payloads(lists:last(files(Dir)))),
    ok = logger:set_primary_config(level, Level).

%%% Helpers

in_folder(Test) ->
    {timeout, 30, {setup, fun call_flow_fixture:folder/0, fun(Dir) -> file:del_dir_r(Dir) end, fun(Dir) -> fun() -> Test(Dir) end end}}.

recorder(Record) ->
    Queue = call_flow_queue:new(call_flow_recorder, 100000000),
    {ok, Pid} = call_flow_recorder:start_link(Queue, Record),
    {Queue, Pid}.

record(Queue, Entries) ->
    lists:foreach(fun(Entry) -> call_flow_queue:push([Entry], 100, Queue) end, Entries),
    call_flow_recorder:flush().

entry(N) ->
    {hep(sip, payload(N)), source()}.

payload(N) ->
    call_flow_fixture:invite(<<"call-", (integer_to_binary(N))/binary>>).

files(Dir) ->
    lists:sort(filelib:wildcard(filename:join(Dir, "*.pcap"))).

payloads(File) ->
    {ok, Payloads} = hep_pcap:fold(File, #{}, fun(#hep{payload = Payload}, Acc) -> [Payload | Acc] end, []),
    lists:reverse(Payloads).

calls() ->
    #{<<"calls">> := Calls} = call_flow_fixture:json("/api/state"),
    [Key || #{<<"key">> := Key} <- Calls].
