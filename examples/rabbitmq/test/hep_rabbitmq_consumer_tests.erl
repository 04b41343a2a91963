%% The consumer without a broker: this process acts as the channel.
-module(hep_rabbitmq_consumer_tests).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("eunit/include/eunit.hrl").

consumer_test_() ->
    {timeout, 60, [
        {"lines, then acknowledgements", fun written/0},
        {"a file that cannot be written", fun unwritable/0},
        {"a full disk", fun full/0}
    ]}.

%% One acknowledgement after the lines, for all of them.
written() ->
    with_file(fun(File) ->
        ok = filelib:ensure_dir(File),
        Consumer = start(File),
        connect(Consumer),
        Consumer ! message(1, false),
        Consumer ! message(2, true),
        ok = acknowledged(2),
        {ok, Lines} = file:read_file(File),
        [First, Second, <<>>] = binary:split(Lines, <<"\n">>, [global]),
        ?assertMatch(<<"{\"id\":\"m-1\",\"redelivered\":false,", _/binary>>, First),
        ?assertMatch(<<"{\"id\":\"m-2\",\"redelivered\":true,", _/binary>>, Second),
        ?assertMatch(#{written := 2, redelivered := 1, connected := true}, hep_rabbitmq_consumer:info(Consumer)),
        %% A message of a lost channel is not acknowledged to the next one.
        Consumer ! {hep_rabbitmq_connection, {down, test}},
        Consumer ! message(3, false),
        ?assertMatch(#{written := 2, connected := false}, hep_rabbitmq_consumer:info(Consumer)),
        connect(Consumer),
        Consumer ! message(1, true),
        ok = acknowledged(1),
        ok = gen_server:stop(Consumer)
    end).

%% It waits for the file, without a connection, and continues when the file can be opened.
unwritable() ->
    with_file(fun(File) ->
        Consumer = start(File),
        ?assertMatch(#{write_errors := 1, connected := false}, hep_rabbitmq_consumer:info(Consumer)),
        ok = filelib:ensure_dir(File),
        Consumer ! open,
        connect(Consumer),
        Consumer ! message(1, false),
        ok = acknowledged(1),
        ok = gen_server:stop(Consumer)
    end).

%% A full disk: nothing is acknowledged, the connection is closed.
full() ->
    case file:read_file_info("/dev/full") of
        {ok, _} ->
            Consumer = start("/dev/full"),
            connect(Consumer),
            Consumer ! message(1, false),
            _ = sys:get_state(Consumer),
            ?assertMatch(#{write_errors := 1, connected := false, written := 0}, hep_rabbitmq_consumer:info(Consumer)),
            receive
                {'$gen_cast', _} = Cast -> error(Cast)
            after 0 -> ok
            end,
            ok = gen_server:stop(Consumer);
        {error, _} ->
            ok
    end.

%% A file in a folder that does not exist.
with_file(Test) ->
    Folder = string:trim(os:cmd("mktemp -d")),
    try
        Test(filename:join([Folder, "lines", "file"]))
    after
        ok = file:del_dir_r(Folder)
    end.

%% A closed port. No queues: subscribing would need a broker.
start(File) ->
    {ok, Consumer} = hep_rabbitmq_consumer:start_link(#{nodes => [{"127.0.0.1", 1}], file => File, queues => 0}),
    Consumer.

connect(Consumer) -> Consumer ! {hep_rabbitmq_connection, {up, self()}}.

message(Number, Redelivered) ->
    {#'basic.deliver'{delivery_tag = Number, redelivered = Redelivered}, #amqp_msg{
        props = #'P_basic'{message_id = <<"m-", (integer_to_binary(Number))/binary>>}, payload = <<"body">>
    }}.

%% Waits for the acknowledgement of the message, alone or with others.
acknowledged(Number) ->
    receive
        {'$gen_cast', {cast, #'basic.ack'{delivery_tag = Number, multiple = true}, _, _, _}} -> ok
    after 5000 -> error({not_acknowledged, Number})
    end.
