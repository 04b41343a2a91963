%% @doc A bounded queue in front of a registered process. `push/3' never waits, so it cannot slow down a listener: if
%% the process is too slow, packets are dropped and counted.
-module(call_flow_queue).

-export([new/2, push/3, handled/3, reset/1, dropped/1, drop/2]).

-export_type([queue/0]).

-opaque queue() :: {Process :: atom(), atomics:atomics_ref(), MaxBytes :: pos_integer()}.

-define(BYTES, 1).
-define(PACKETS, 2).
-define(DROPPED, 3).

-spec new(Process :: atom(), MaxBytes :: pos_integer()) -> queue().
new(Process, MaxBytes) ->
    {Process, atomics:new(3, []), MaxBytes}.

%% @doc Sends `{packets, Packets, Bytes}' to the process, unless its queue would exceed the maximum.
-spec push([term()], Bytes :: non_neg_integer(), queue()) -> ok.
push(Packets, Bytes, {Process, Atomics, Max} = Queue) ->
    case {atomics:add_get(Atomics, ?BYTES, Bytes) =< Max, whereis(Process)} of
        {true, Pid} when is_pid(Pid) ->
            atomics:add(Atomics, ?PACKETS, length(Packets)),
            Pid ! {packets, Packets, Bytes},
            ok;
        _ ->
            atomics:sub(Atomics, ?BYTES, Bytes),
            drop(length(Packets), Queue)
    end.

%% @doc Called by the process for each message.
-spec handled(Packets :: non_neg_integer(), Bytes :: non_neg_integer(), queue()) -> ok.
handled(Packets, Bytes, {_, Atomics, _}) ->
    atomics:sub(Atomics, ?PACKETS, Packets),
    atomics:sub(Atomics, ?BYTES, Bytes).

%% @doc Called by the process when it starts: the messages of the previous process are lost.
-spec reset(queue()) -> ok.
reset({_, Atomics, _} = Queue) ->
    atomics:put(Atomics, ?BYTES, 0),
    drop(max(0, atomics:exchange(Atomics, ?PACKETS, 0)), Queue).

-spec dropped(queue()) -> non_neg_integer().
dropped({_, Atomics, _}) ->
    atomics:get(Atomics, ?DROPPED).

%% @doc Counts packets as dropped.
-spec drop(non_neg_integer(), queue()) -> ok.
drop(Packets, {_, Atomics, _}) ->
    atomics:add(Atomics, ?DROPPED, Packets).
