%% @doc The messages that wait for the broker, oldest first: in a {@link hep_spool} on disk, if configured, and in
%% memory.
%%
%% Messages in memory are newer than those on disk. {@link store/1} moves them to the disk; so does a number above
%% `in_memory'. Without a spool, or when the disk is full, the oldest messages in memory are dropped and counted
%% beyond `max_messages' and `max_bytes'. The spool drops and counts its oldest messages beyond its own limit.
-module(hep_rabbitmq_buffer).

-export([open/1, close/1, in/2, in_front/2, store/1, out/2, ack/2, rewind/1, on_disk/1, info/1]).

-export_type([buffer/0, options/0, info/0]).

-type options() :: #{
    max_messages := pos_integer(),
    max_bytes := pos_integer(),
    in_memory := pos_integer(),
    spool := none | hep_spool:options(),
    atom() => term()
}.
-type info() :: #{
    waiting := non_neg_integer(),
    on_disk := non_neg_integer(),
    recovered := non_neg_integer(),
    dropped := non_neg_integer(),
    spool_errors := non_neg_integer()
}.

-record(buffer, {
    options :: options(),
    spool :: none | hep_spool:spool(),
    %% The messages that were taken from the spool.
    taken = 0 :: non_neg_integer(),
    %% The messages in memory.
    queue = queue:new() :: queue:queue(hep_rabbitmq_message:message()),
    size = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    dropped = 0 :: non_neg_integer()
}).

-opaque buffer() :: #buffer{}.

%% The maximum that is read from the disk at a time.
-define(READ, 1_048_576).
%% The minimum size of a spool.
-define(LEAST, 1_048_576).

-spec open(options()) -> {ok, buffer()} | {error, hep_spool:reason()}.
open(#{spool := none} = Options) ->
    {ok, #buffer{options = Options, spool = none}};
%% A record may take a quarter of the spool, and a message is a packet of 64 KiB with its headers.
open(#{spool := #{max_bytes := Bytes}}) when is_integer(Bytes), Bytes < ?LEAST ->
    {error, {bad_option, {max_bytes, Bytes}}};
open(#{spool := SpoolOptions} = Options) ->
    case hep_spool:open(SpoolOptions) of
        {ok, Spool} -> {ok, #buffer{options = Options, spool = Spool}};
        {error, _} = Error -> Error
    end.

%% @doc Stores everything, if there is a spool; returns the number of lost messages.
-spec close(buffer()) -> Lost :: non_neg_integer().
close(#buffer{spool = none, size = Lost}) ->
    Lost;
close(Buffer) ->
    #buffer{spool = Spool, size = Lost} = store(Buffer),
    ok = hep_spool:close(Spool),
    Lost.

%% @doc Adds messages after all others.
-spec in([hep_rabbitmq_message:message()], buffer()) -> buffer().
in(Messages, Buffer) ->
    limited(lists:foldl(fun(Message, Next) -> queued(in, Message, Next) end, Buffer, Messages)).

%% @doc Adds messages before those in memory.
-spec in_front([hep_rabbitmq_message:message()], buffer()) -> buffer().
in_front(Messages, Buffer) ->
    limited(lists:foldr(fun(Message, Next) -> queued(in_r, Message, Next) end, Buffer, Messages)).

queued(Where, Message, #buffer{queue = Queue, size = Size, bytes = Bytes} = Buffer) ->
    Buffer#buffer{queue = queue:Where(Message, Queue), size = Size + 1, bytes = Bytes + bytes(Message)}.

bytes(Message) -> erlang:external_size(Message).

limited(#buffer{spool = Spool, size = Size, options = #{in_memory := Most}} = Buffer) when
    Spool =/= none, Size > Most
->
    dropped(store(Buffer));
limited(Buffer) ->
    dropped(Buffer).

dropped(#buffer{size = Size, bytes = Bytes, options = #{max_messages := Messages, max_bytes := Most}} = Buffer) when
    Size > Messages; Bytes > Most
->
    {_, #buffer{dropped = Dropped} = Smaller} = oldest(Buffer),
    dropped(Smaller#buffer{dropped = Dropped + 1});
dropped(Buffer) ->
    Buffer.

oldest(#buffer{queue = Queue, size = Size, bytes = Bytes} = Buffer) ->
    {{value, Message}, Others} = queue:out(Queue),
    {Message, Buffer#buffer{queue = Others, size = Size - 1, bytes = Bytes - bytes(Message)}}.

%% @doc Moves the messages in memory to the disk, if there is a spool. If a write fails, they stay in memory.
-spec store(buffer()) -> buffer().
store(#buffer{spool = Spool, size = Size} = Buffer) when Spool =:= none; Size =:= 0 ->
    Buffer;
store(#buffer{spool = Spool, queue = Queue} = Buffer) ->
    Messages = queue:to_list(Queue),
    case hep_spool:write([hep_rabbitmq_message:to_binary(Message) || Message <- Messages], Spool) of
        {ok, After} ->
            Buffer#buffer{spool = After, queue = queue:new(), size = 0, bytes = 0};
        {error, _, Written, After} ->
            Stored = lists:foldl(fun(_, Next) -> element(2, oldest(Next)) end, Buffer, lists:seq(1, Written)),
            Stored#buffer{spool = After}
    end.

%% @doc Takes the oldest messages. Those from the disk must be acknowledged before more are taken. `invalid' replaces a
%% record that is not a message.
-spec out(Most :: pos_integer(), buffer()) -> {disk | memory, [hep_rabbitmq_message:message() | invalid], buffer()}.
out(Most, #buffer{taken = 0} = Buffer) ->
    case on_disk(Buffer) of
        0 -> from_memory(Most, [], Buffer);
        _ -> from_disk(Most, Buffer)
    end;
out(_, Buffer) ->
    {disk, [], Buffer}.

from_memory(Most, Taken, #buffer{size = Size} = Buffer) when Most =:= 0; Size =:= 0 ->
    {memory, lists:reverse(Taken), Buffer};
from_memory(Most, Taken, Buffer) ->
    {Message, Others} = oldest(Buffer),
    from_memory(Most - 1, [Message | Taken], Others).

%% An unreadable file returns nothing: its records are counted as dropped.
from_disk(Most, #buffer{spool = Spool} = Buffer) ->
    case hep_spool:take(Most, ?READ, Spool) of
        {[], After} ->
            from_memory(Most, [], Buffer#buffer{spool = After});
        {Records, After} ->
            Messages = [hep_rabbitmq_message:from_binary(Record) || Record <- Records],
            {disk, Messages, Buffer#buffer{spool = After, taken = length(Messages)}}
    end.

%% @doc Acknowledges this number of the oldest messages taken from the disk.
-spec ack(non_neg_integer(), buffer()) -> buffer().
ack(0, Buffer) -> Buffer;
ack(Count, #buffer{spool = Spool, taken = Taken} = Buffer) ->
    Buffer#buffer{spool = hep_spool:ack(Count, Spool), taken = Taken - Count}.

%% @doc The other messages taken from the disk are returned again.
-spec rewind(buffer()) -> buffer().
rewind(#buffer{taken = 0} = Buffer) -> Buffer;
rewind(#buffer{spool = Spool} = Buffer) -> Buffer#buffer{spool = hep_spool:rewind(Spool), taken = 0}.

%% @doc The messages on disk, including those that are taken.
-spec on_disk(buffer()) -> non_neg_integer().
on_disk(#buffer{spool = none}) -> 0;
on_disk(#buffer{spool = Spool}) -> maps:get(records, hep_spool:info(Spool)).

-spec info(buffer()) -> info().
info(#buffer{spool = none, size = Size, dropped = Dropped}) ->
    #{waiting => Size, on_disk => 0, recovered => 0, dropped => Dropped, spool_errors => 0};
info(#buffer{spool = Spool, taken = Taken, size = Size, dropped = Dropped}) ->
    #{records := Records, recovered := Recovered, dropped := DroppedOnDisk, errors := Errors} = hep_spool:info(Spool),
    #{
        waiting => Size + Records - Taken,
        on_disk => Records,
        recovered => Recovered,
        dropped => Dropped + DroppedOnDisk,
        spool_errors => Errors
    }.
