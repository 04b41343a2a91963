-module(hep_rabbitmq_buffer_tests).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("eunit/include/eunit.hrl").

%%% In memory

order_test() ->
    Buffer = filled([3, 4], options(#{})),
    ?assertEqual([1, 2, 3, 4, 5], all(in([5], hep_rabbitmq_buffer:in_front(messages([1, 2]), Buffer)))).

part_test() ->
    {memory, First, Rest} = hep_rabbitmq_buffer:out(2, filled([1, 2, 3], options(#{}))),
    ?assertEqual(messages([1, 2]), First),
    ?assertEqual([3], all(Rest)).

%% The oldest messages are dropped and counted.
limit_test() ->
    Buffer = filled([1, 2, 3, 4, 5], options(#{max_messages => 3})),
    ?assertMatch(#{dropped := 2, waiting := 3}, hep_rabbitmq_buffer:info(Buffer)),
    ?assertEqual([3, 4, 5], all(Buffer)),
    ?assertEqual(3, hep_rabbitmq_buffer:close(Buffer)).

bytes_test() ->
    [Message] = messages([1]),
    Size = erlang:external_size(Message),
    Buffer = filled([1, 2, 3], options(#{max_bytes => 2 * Size})),
    ?assertMatch(#{dropped := 1}, hep_rabbitmq_buffer:info(Buffer)),
    %% Freed space can be used again.
    {memory, _, Smaller} = hep_rabbitmq_buffer:out(1, Buffer),
    ?assertMatch(#{dropped := 1}, hep_rabbitmq_buffer:info(in([4], Smaller))),
    %% A message that never fits.
    ?assertMatch(#{dropped := 1, waiting := 0}, hep_rabbitmq_buffer:info(filled([1], options(#{max_bytes => Size - 1})))).

%%% On disk

disk_test_() ->
    {foreach, fun() -> string:trim(os:cmd("mktemp -d")) end, fun file:del_dir_r/1, [
        fun(Dir) -> {Name, fun() -> Test(options(#{spool => #{dir => Dir}})) end} end
     || {Name, Test} <- [
            {"older than memory", fun stored/1},
            {"above the limit of memory", fun in_memory/1},
            {"acknowledged and not", fun acknowledged/1},
            {"closed and opened", fun opened/1},
            {"not writable any more", fun unwritable/1},
            {"not a message", fun invalid/1},
            {"too small", fun too_small/1}
        ]
    ]}.

stored(Options) ->
    Buffer = in([3], hep_rabbitmq_buffer:store(filled([1, 2], Options))),
    ?assertMatch(#{on_disk := 2, waiting := 3}, hep_rabbitmq_buffer:info(Buffer)),
    {disk, First, Taken} = hep_rabbitmq_buffer:out(10, Buffer),
    ?assertEqual(messages([1, 2]), First),
    %% No newer messages before these are acknowledged.
    ?assertMatch({disk, [], _}, hep_rabbitmq_buffer:out(10, Taken)),
    ?assertMatch(#{on_disk := 2, waiting := 1}, hep_rabbitmq_buffer:info(Taken)),
    ?assertEqual([3], all(hep_rabbitmq_buffer:ack(2, Taken))).

in_memory(Options) ->
    ?assertMatch(#{on_disk := 0}, hep_rabbitmq_buffer:info(filled(lists:seq(1, 10), Options))).

acknowledged(Options) ->
    Buffer = hep_rabbitmq_buffer:store(filled([1, 2, 3], Options)),
    {disk, _, Taken} = hep_rabbitmq_buffer:out(10, Buffer),
    Rewound = hep_rabbitmq_buffer:rewind(hep_rabbitmq_buffer:ack(1, Taken)),
    ?assertMatch(#{on_disk := 2, waiting := 2}, hep_rabbitmq_buffer:info(Rewound)),
    ?assertEqual([2, 3], all(Rewound)).

opened(Options) ->
    Buffer = hep_rabbitmq_buffer:store(filled([1, 2], Options)),
    {disk, _, Taken} = hep_rabbitmq_buffer:out(10, Buffer),
    %% Messages in memory are stored, too.
    ?assertEqual(0, hep_rabbitmq_buffer:close(in([3], Taken))),
    Again = filled([], Options),
    ?assertMatch(#{recovered := 3, waiting := 3}, hep_rabbitmq_buffer:info(Again)),
    ?assertEqual([1, 2, 3], all(Again)).

%% Replaces the directory with a file.
unwritable(#{spool := #{dir := Dir}} = Options) ->
    Buffer = filled([1, 2], Options),
    ok = file:del_dir_r(Dir),
    ok = file:write_file(Dir, <<>>),
    Failed = hep_rabbitmq_buffer:store(Buffer),
    ?assertMatch(#{on_disk := 0, waiting := 2, spool_errors := 1, dropped := 0}, hep_rabbitmq_buffer:info(Failed)),
    ok = file:delete(Dir),
    Stored = hep_rabbitmq_buffer:store(Failed),
    ?assertMatch(#{on_disk := 2, waiting := 2}, hep_rabbitmq_buffer:info(Stored)),
    ?assertEqual([1, 2], all(Stored)).

invalid(#{spool := SpoolOptions} = Options) ->
    {ok, Spool} = hep_spool:open(SpoolOptions),
    Records = [<<"x">>, term_to_binary({another, format}), hep_rabbitmq_message:to_binary(hd(messages([1])))],
    {ok, Written} = hep_spool:write(Records, Spool),
    ok = hep_spool:close(Written),
    {disk, Messages, _} = hep_rabbitmq_buffer:out(10, filled([], Options)),
    ?assertEqual([invalid, invalid | messages([1])], Messages).

too_small(#{spool := SpoolOptions} = Options) ->
    Error = hep_rabbitmq_buffer:open(Options#{spool := SpoolOptions#{max_bytes => 1_000_000}}),
    ?assertMatch({error, {bad_option, {max_bytes, 1_000_000}}}, Error).

%%% Helpers

options(Options) ->
    maps:merge(#{max_messages => 100, max_bytes => 1_000_000, in_memory => 10, spool => none}, Options).

filled(Numbers, Options) ->
    {ok, Buffer} = hep_rabbitmq_buffer:open(Options),
    in(Numbers, Buffer).

in(Numbers, Buffer) -> hep_rabbitmq_buffer:in(messages(Numbers), Buffer).

messages(Numbers) ->
    [
        hep_rabbitmq_message:with_id(
            integer_to_binary(Number),
            {<<"v3.sip.none.none">>, #amqp_msg{
                props = #'P_basic'{
                    content_type = <<"application/x-hep">>,
                    delivery_mode = 2,
                    correlation_id = <<"call">>,
                    headers = [{<<"hep_number">>, long, Number}]
                },
                payload = <<Number:32>>
            }}
        )
     || Number <- Numbers
    ].

%% The numbers of all messages.
all(Buffer) ->
    case hep_rabbitmq_buffer:out(2, Buffer) of
        {_, [], _} -> [];
        {memory, Messages, Others} -> numbers(Messages) ++ all(Others);
        {disk, Messages, Others} -> numbers(Messages) ++ all(hep_rabbitmq_buffer:ack(length(Messages), Others))
    end.

numbers(Messages) ->
    Numbers = [binary_to_integer(hep_rabbitmq_message:id(Message)) || Message <- Messages],
    ?assertEqual(messages(Numbers), Messages),
    Numbers.
