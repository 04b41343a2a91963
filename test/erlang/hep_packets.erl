%% @doc Packets built by hand, for the tests: frames and chunks of version 3, headers of versions 1 and 2.
-module(hep_packets).

-include("hep.hrl").

-export([chunk/2, chunk/3, frame/1, frame/2]).
-export([v1/2, v2/3, v2/4]).
-export([decoded/1]).
-export([state/1, generic/1]).
-export([chunk_names/1, named_ids/0]).

%% A chunk of version 3, of vendor 0 unless another is given.
-spec chunk(hep:chunk_id(), binary()) -> binary().
chunk(Id, Value) ->
    chunk(0, Id, Value).

-spec chunk(hep:vendor_id(), hep:chunk_id(), binary()) -> binary().
chunk(Vendor, Id, Value) ->
    <<Vendor:16, Id:16, (6 + byte_size(Value)):16, Value/binary>>.

%% A frame of version 3.
-spec frame(iodata()) -> binary().
frame(Chunks) ->
    frame(6 + iolist_size(Chunks), Chunks).

%% A frame with the given total length.
-spec frame(non_neg_integer(), iodata()) -> binary().
frame(Total, Chunks) ->
    <<"HEP3", Total:16, (iolist_to_binary(Chunks))/binary>>.

%% A packet of version 1 with the given header length.
-spec v1(ipv4 | ipv6, byte()) -> binary().
v1(Family, HeaderLength) ->
    fixed(1, Family, HeaderLength).

%% A packet of version 2 with the given header length and time header.
-spec v2(ipv4 | ipv6, byte(), Time :: binary()) -> binary().
v2(Family, HeaderLength, Time) ->
    v2(Family, HeaderLength, Time, <<"OPTIONS sip:a">>).

-spec v2(ipv4 | ipv6, byte(), Time :: binary(), Payload :: binary()) -> binary().
v2(Family, HeaderLength, Time, Payload) ->
    <<(fixed(2, Family, HeaderLength))/binary, Time/binary, Payload/binary>>.

fixed(Version, ipv4, Length) ->
    <<Version, Length, 2, 17, 5060:16, 5080:16, 192, 0, 2, 1, 192, 0, 2, 2>>;
fixed(Version, ipv6, Length) ->
    <<Version, Length, 10, 17, 5060:16, 5080:16, 16#20010db8:32, 1:96, 16#20010db8:32, 2:96>>.

%% The decoded packet of valid bytes.
-spec decoded(binary()) -> #hep{}.
decoded(Bytes) ->
    {ok, #hep{} = Hep} = hep:decode(Bytes),
    Hep.

%% The names of a generic chunk, for values of any width: one, or none.
-spec chunk_names(hep:chunk_id()) -> [binary()].
chunk_names(Id) ->
    Answers = [hep_generic_transform:transform(Id, <<0:N/unit:8>>) || N <- [1, 2, 4, 8, 16]],
    lists:usort([Name || {ok, Name, _} <- Answers]).

%% The ids of the generic chunks that the codec knows.
-spec named_ids() -> [hep:chunk_id()].
named_ids() ->
    [Id || Id <- lists:seq(0, 65535), chunk_names(Id) =/= []].

%% A parsed packet with these generic chunks.
-spec state([{hep:chunk_id(), term()}]) -> hep:state().
state(Chunks) ->
    {hep, 3, [{<<0:16, Id:16>>, Value} || {Id, Value} <- Chunks]}.

%% The transformed generic chunks of a packet of version 3.
-spec generic(hep:state() | hep:hep()) -> [{binary(), term()}].
generic(Packet) ->
    [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, Generic}]}] = hep_transform:transform(Packet),
    Generic.
