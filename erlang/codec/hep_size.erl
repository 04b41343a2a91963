%% @private The total size of the binaries that a call of the codec reads: above the size of a datagram, `hep_nif' runs
%% on a dirty scheduler. Other terms count as 0; the codec rejects them.
-module(hep_size).

-include("hep.hrl").

-export([binary/1, record/1, record_chunks/1, parsed_chunks/1, options/1]).

%% For fields of any type.
-define(IS_RECORD(Hep), element(1, Hep) =:= hep, tuple_size(Hep) >= #hep.chunks).

%% The size of a binary.
-spec binary(binary() | term()) -> non_neg_integer().
binary(Value) -> size_of(Value).

%% The size of a packet to be encoded: its payload and its chunks.
-spec record(hep:hep() | term()) -> non_neg_integer().
record(Hep) when ?IS_RECORD(Hep) ->
    record_chunks(element(#hep.chunks, Hep), size_of(element(#hep.payload, Hep)));
record(_) ->
    0.

%% The size of a packet's chunks.
-spec record_chunks(hep:hep() | term()) -> non_neg_integer().
record_chunks(Hep) when ?IS_RECORD(Hep) -> record_chunks(element(#hep.chunks, Hep), 0);
record_chunks(_) -> 0.

record_chunks([{_, {_, Value}} | Chunks], Size) when is_bitstring(Value) ->
    record_chunks(Chunks, Size + byte_size(Value));
record_chunks([{_, Value} | Chunks], Size) ->
    record_chunks(Chunks, Size + size_of(Value));
record_chunks([_ | Chunks], Size) ->
    record_chunks(Chunks, Size);
record_chunks(_, Size) ->
    Size.

%% The size of a parsed packet's chunks.
-spec parsed_chunks([hep:parsed_chunk()] | term()) -> non_neg_integer().
parsed_chunks(Chunks) -> parsed_chunks(Chunks, 0).

parsed_chunks([{Key, Value} | Chunks], Size) when is_bitstring(Key), is_bitstring(Value) ->
    parsed_chunks(Chunks, Size + byte_size(Key) + byte_size(Value));
parsed_chunks([{Key, Value} | Chunks], Size) ->
    parsed_chunks(Chunks, Size + size_of(Key) + size_of(Value));
parsed_chunks([_ | Chunks], Size) ->
    parsed_chunks(Chunks, Size);
parsed_chunks(_, Size) ->
    Size.

%% The size of the encoding options.
-spec options(hep:encode_options() | map()) -> non_neg_integer().
options(#{auth_key := Key}) -> size_of(Key);
options(_) -> 0.

size_of(Value) when is_bitstring(Value) -> byte_size(Value);
size_of(_) -> 0.
