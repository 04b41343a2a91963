%% @private How many bytes the binaries have that a call of the codec reads: `hep_nif' runs on a dirty scheduler where
%% they are larger than a datagram. What is no binary counts nothing; it is for the codec to refuse.
-module(hep_size).

-include("hep.hrl").

-export([binary/1, record/1, record_chunks/1, parsed_chunks/1, options/1]).

%% Whatever the types of its fields.
-define(IS_RECORD(Hep), element(1, Hep) =:= hep, tuple_size(Hep) >= #hep.chunks).

%% Of a binary.
-spec binary(binary() | term()) -> non_neg_integer().
binary(Value) -> size_of(Value).

%% Of a packet that is to be written: its payload, and its chunks.
-spec record(hep:hep() | term()) -> non_neg_integer().
record(Hep) when ?IS_RECORD(Hep) ->
    record_chunks(element(#hep.chunks, Hep), size_of(element(#hep.payload, Hep)));
record(_) ->
    0.

%% Of the chunks of a packet.
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

%% Of the chunks of a parsed packet.
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

%% Of the options of encoding.
-spec options(hep:encode_options() | map()) -> non_neg_integer().
options(#{auth_key := Key}) -> size_of(Key);
options(_) -> 0.

size_of(Value) when is_bitstring(Value) -> byte_size(Value);
size_of(_) -> 0.
