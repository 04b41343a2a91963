-module(hep_rabbitmq_buffer_tests).

-include_lib("eunit/include/eunit.hrl").

order_test() ->
    {0, Buffer} = fill([a, b, c], #{max_messages => 3, max_bytes => 1000}),
    ?assertEqual(3, hep_rabbitmq_buffer:size(Buffer)),
    ?assertEqual([a, b, c], all(Buffer)).

%% The oldest go, and are counted.
limit_test() ->
    {2, Buffer} = fill([a, b, c, d, e], #{max_messages => 3, max_bytes => 1000}),
    ?assertEqual([c, d, e], all(Buffer)).

bytes_test() ->
    Message = fun(Byte) -> binary:copy(<<Byte>>, 1000) end,
    {1, Buffer} = fill([Message(1), Message(2), Message(3)], #{max_messages => 9, max_bytes => 2500}),
    ?assertEqual([Message(2), Message(3)], all(Buffer)),
    %% Room that is free again.
    {_, Smaller} = hep_rabbitmq_buffer:out(Buffer),
    ?assertMatch({0, _}, hep_rabbitmq_buffer:in(Message(4), Smaller)),
    %% One that never fits.
    ?assertMatch({1, _}, fill([Message(5)], #{max_messages => 9, max_bytes => 500})).

fill(Messages, Limits) ->
    lists:foldl(
        fun(Message, {Sum, Buffer}) ->
            {Dropped, Next} = hep_rabbitmq_buffer:in(Message, Buffer),
            {Sum + Dropped, Next}
        end,
        {0, hep_rabbitmq_buffer:new(Limits)},
        Messages
    ).

all(Buffer) ->
    case hep_rabbitmq_buffer:out(Buffer) of
        {empty, _} -> [];
        {Message, Others} -> [Message | all(Others)]
    end.
