%% @private
%% The packets that wait for a collector. Limited in packets and bytes; the oldest are dropped first.
-module(hep_sender_queue).

-export([new/2, in/2, put_back/2, batch/2, batch/3, oldest/1, packets/1, bytes/1, is_half_full/1, half/1]).

-export_type([queue/0, entry/0, dropped/0]).

-record(queue, {
    entries = queue:new() :: queue:queue(entry()),
    packets = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    max_packets :: pos_integer(),
    max_bytes :: pos_integer()
}).

-opaque queue() :: #queue{}.

-type entry() :: {Size :: non_neg_integer(), Packet :: term()}.
%% A packet, and its size.

-type dropped() :: {Packets :: non_neg_integer(), Bytes :: non_neg_integer()}.
%% The dropped packets: number and bytes.

-spec new(MaxPackets :: pos_integer(), MaxBytes :: pos_integer()) -> queue().
new(MaxPackets, MaxBytes) ->
    #queue{max_packets = MaxPackets, max_bytes = MaxBytes}.

%% Appends packets.
-spec in([entry()], queue()) -> {dropped(), queue()}.
in(New, #queue{entries = Entries} = Queue) ->
    trim(added(New, lists:foldl(fun queue:in/2, Entries, New), Queue), {0, 0}).

%% Puts back packets that {@link batch/2} returned and that could not be sent. They become the oldest.
-spec put_back([entry()], queue()) -> {dropped(), queue()}.
put_back(Batch, #queue{entries = Entries} = Queue) ->
    trim(added(Batch, lists:foldr(fun queue:in_r/2, Entries, Batch), Queue), {0, 0}).

added(New, Entries, #queue{packets = Packets, bytes = Bytes} = Queue) ->
    Queue#queue{
        entries = Entries,
        packets = Packets + length(New),
        bytes = Bytes + lists:sum([Size || {Size, _} <- New])
    }.

trim(#queue{packets = Packets, bytes = Bytes} = Queue, {Count, Sum}) when
    Packets > Queue#queue.max_packets; Bytes > Queue#queue.max_bytes
->
    {{Size, _}, Rest} = out(Queue),
    trim(Rest, {Count + 1, Sum + Size});
trim(Queue, Dropped) ->
    {Dropped, Queue}.

%% Takes the oldest packets up to a total size, at least one.
-spec batch(MaxBytes :: pos_integer(), queue()) -> {[entry()], queue()}.
batch(MaxBytes, #queue{packets = Packets} = Queue) ->
    batch(Packets, MaxBytes, Queue).

%% Takes at most this many.
-spec batch(MaxPackets :: non_neg_integer(), MaxBytes :: pos_integer(), queue()) -> {[entry()], queue()}.
batch(MaxPackets, _, #queue{packets = Packets} = Queue) when Packets =:= 0; MaxPackets =:= 0 ->
    {[], Queue};
batch(MaxPackets, MaxBytes, Queue) ->
    {{Size, _} = First, Rest} = out(Queue),
    batch(MaxPackets - 1, MaxBytes - Size, Rest, [First]).

batch(Most, Left, #queue{packets = Packets} = Queue, Batch) when Packets > 0, Most > 0, Left > 0 ->
    case out(Queue) of
        {{Size, _} = Entry, Rest} when Size =< Left -> batch(Most - 1, Left - Size, Rest, [Entry | Batch]);
        _ -> {lists:reverse(Batch), Queue}
    end;
batch(_, _, Queue, Batch) ->
    {lists:reverse(Batch), Queue}.

out(#queue{entries = Entries, packets = Packets, bytes = Bytes} = Queue) ->
    {{value, {Size, _} = Entry}, Rest} = queue:out(Entries),
    {Entry, Queue#queue{entries = Rest, packets = Packets - 1, bytes = Bytes - Size}}.

-spec oldest(queue()) -> {value, entry()} | empty.
oldest(#queue{entries = Entries}) -> queue:peek(Entries).

-spec packets(queue()) -> non_neg_integer().
packets(#queue{packets = Packets}) -> Packets.

-spec bytes(queue()) -> non_neg_integer().
bytes(#queue{bytes = Bytes}) -> Bytes.

-spec is_half_full(queue()) -> boolean().
is_half_full(#queue{packets = Packets, bytes = Bytes, max_packets = MaxPackets, max_bytes = MaxBytes}) ->
    2 * Packets >= MaxPackets orelse 2 * Bytes >= MaxBytes.

%% The number of packets that may be added to a queue that is not half full.
-spec half(queue()) -> pos_integer().
half(#queue{max_packets = MaxPackets}) -> max(1, MaxPackets div 2).
