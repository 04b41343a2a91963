-module(hep_rabbitmq_writer_tests).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("eunit/include/eunit.hrl").

file_test_() ->
    {setup, fun() -> string:trim(os:cmd("mktemp -d")) end, fun file:del_dir_r/1, fun(Folder) ->
        File = filename:join(Folder, "lines"),
        [
            {"append", fun() ->
                ?assertEqual(<<"a\nb\nc\n">>, written(File, <<>>, ["a\nb\n", "c\n"])),
                ?assertEqual(<<"a\nd\n">>, written(File, <<"a\n">>, ["d\n"]))
            end},
            {"a line that was cut off", fun() ->
                ?assertEqual(<<"a\nd\n">>, written(File, <<"a\nbc">>, ["d\n"])),
                ?assertEqual(<<"d\n">>, written(File, <<"bc">>, ["d\n"])),
                Long = binary:copy(<<"x">>, 200_000),
                ?assertEqual(<<"a\nd\n">>, written(File, <<"a\n", Long/binary>>, ["d\n"])),
                ?assertEqual(<<Long/binary, "\nd\n">>, written(File, <<Long/binary, "\ny">>, ["d\n"]))
            end},
            {"errors", fun() ->
                ?assertEqual({error, eisdir}, hep_rabbitmq_writer:open(Folder)),
                ?assertEqual({error, enoent}, hep_rabbitmq_writer:open(filename:join([Folder, "none", "lines"])))
            end},
            {"a full disk", fun full/0}
        ]
    end}.

full() ->
    case file:read_file_info("/dev/full") of
        {ok, _} ->
            {ok, Writer} = hep_rabbitmq_writer:open("/dev/full"),
            ?assertEqual({error, enospc}, hep_rabbitmq_writer:write("a\n", Writer));
        {error, _} ->
            ok
    end.

written(File, Before, Writes) ->
    ok = file:write_file(File, Before),
    {ok, Opened} = hep_rabbitmq_writer:open(File),
    Written = lists:foldl(
        fun(Lines, Writer) ->
            {ok, Next} = hep_rabbitmq_writer:write(Lines, Writer),
            Next
        end,
        Opened,
        Writes
    ),
    ok = hep_rabbitmq_writer:close(Written),
    {ok, Bytes} = file:read_file(File),
    Bytes.

line_test() ->
    {ok, Packet} = hep:encode(hep:payload(<<"x">>, hep:version(hep_v3, hep:new()))),
    {ok, Json} = hep_json:from_packet(Packet),
    ?assertEqual(
        <<"{\"id\":\"A-1\",\"redelivered\":true,\"written\":7,\"packet\":", Json/binary, "}\n">>,
        line(<<"A-1">>, Packet)
    ).

%% Anyone may publish: an invalid packet becomes a line, too, and an id cannot break the line.
foreign_test() ->
    ?assertEqual(
        iolist_to_binary([
            "{\"id\":\"\",\"redelivered\":true,\"written\":7,\"error\":\"", error_text(), "\",\"body\":\"Zm9v\"}\n"
        ]),
        line(undefined, <<"foo">>)
    ),
    ?assertMatch(<<"{\"id\":\"a???b\",", _/binary>>, line(<<"a\"\\\nb">>, <<"foo">>)).

error_text() ->
    {error, Reason} = hep:decode(<<"foo">>),
    hep:format_error(Reason).

line(Id, Body) ->
    iolist_to_binary(hep_rabbitmq_line:new(true, #amqp_msg{props = #'P_basic'{message_id = Id}, payload = Body}, 7)).
