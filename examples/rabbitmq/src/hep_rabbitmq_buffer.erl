%% @doc The messages that wait for the broker, oldest first, in memory. Beyond the limits, the oldest are dropped.
-module(hep_rabbitmq_buffer).

-export([new/1, in/2, out/1, size/1]).

-export_type([buffer/0]).

-record(buffer, {
    max_messages :: pos_integer(),
    max_bytes :: pos_integer(),
    size = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    queue = queue:new() :: queue:queue(hep_rabbitmq_message:message())
}).

-opaque buffer() :: #buffer{}.

-spec new(#{max_messages := pos_integer(), max_bytes := pos_integer()}) -> buffer().
new(#{max_messages := Messages, max_bytes := Bytes}) ->
    #buffer{max_messages = Messages, max_bytes = Bytes}.

-spec size(buffer()) -> non_neg_integer().
size(#buffer{size = Size}) -> Size.

%% @doc Adds a message; returns how many were dropped for it.
-spec in(hep_rabbitmq_message:message(), buffer()) -> {Dropped :: non_neg_integer(), buffer()}.
in(Message, #buffer{size = Size, bytes = Bytes, queue = Queue} = Buffer) ->
    limit(0, Buffer#buffer{size = Size + 1, bytes = Bytes + bytes(Message), queue = queue:in(Message, Queue)}).

limit(Dropped, #buffer{size = Size, bytes = Bytes, max_messages = MaxMessages, max_bytes = MaxBytes} = Buffer) when
    Size > MaxMessages; Bytes > MaxBytes
->
    {_, Smaller} = out(Buffer),
    limit(Dropped + 1, Smaller);
limit(Dropped, Buffer) ->
    {Dropped, Buffer}.

%% @doc Takes the oldest message.
-spec out(buffer()) -> {hep_rabbitmq_message:message() | empty, buffer()}.
out(#buffer{size = Size, bytes = Bytes, queue = Queue} = Buffer) ->
    case queue:out(Queue) of
        {{value, Message}, Others} ->
            {Message, Buffer#buffer{size = Size - 1, bytes = Bytes - bytes(Message), queue = Others}};
        {empty, _} ->
            {empty, Buffer}
    end.

bytes(Message) -> erlang:external_size(Message).
