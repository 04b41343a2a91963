%% @private
%% The frames between `hep_port' and its program: a length of 32 bits, a number of 64 bits, and items, each a length of
%% 32 bits and a term. The port delivers bytes as they come; a frame is put together here, so that a length that the
%% program claims allocates nothing.
-module(hep_port_frames).

-export([new/1, add/2, frame/2, size/1, items/1]).

-export_type([frames/0]).

%% The bytes of a frame's number, and of a length.
-define(NUMBER, 8).
-define(LENGTH, 4).
%% What the program keeps for an answer at the least, so that it can always say that one is too large.
-define(LEAST, 40).

-record(frames, {
    longest :: pos_integer(),
    %% How many bytes to wait for, how many have come, and these, the last first.
    wanted = ?LENGTH :: pos_integer(),
    size = 0 :: non_neg_integer(),
    parts = [] :: [binary()]
}).

-opaque frames() :: #frames{}.

-spec new(Longest :: pos_integer()) -> frames().
new(Longest) ->
    #frames{longest = Longest}.

%% Adds what the program wrote, and takes the frames that are complete.
-spec add(binary(), frames()) -> {ok, [{Number :: non_neg_integer(), Items :: binary()}], frames()} | error.
add(Bytes, #frames{wanted = Wanted, size = Size, parts = Parts} = Frames) ->
    case Size + byte_size(Bytes) of
        More when More < Wanted -> {ok, [], Frames#frames{size = More, parts = [Bytes | Parts]}};
        _ -> split(joined(Bytes, Parts), [], Frames)
    end.

joined(Bytes, []) -> Bytes;
joined(Bytes, Parts) -> iolist_to_binary(lists:reverse(Parts, [Bytes])).

split(<<Length:32, _/binary>>, _, #frames{longest = Longest}) when Length < ?NUMBER; Length > Longest ->
    error;
split(<<Length:32, Number:64, Items:(Length - ?NUMBER)/binary, Rest/binary>>, Found, Frames) ->
    split(Rest, [{Number, Items} | Found], Frames);
split(<<Length:32, _/binary>> = Rest, Found, Frames) ->
    rest(Rest, ?LENGTH + Length, Found, Frames);
split(Rest, Found, Frames) ->
    rest(Rest, ?LENGTH, Found, Frames).

%% A copy: the frames before it need not stay in memory.
rest(Rest, Wanted, Found, Frames) ->
    Parts = [binary:copy(Rest) || Rest =/= <<>>],
    {ok, lists:reverse(Found), Frames#frames{wanted = Wanted, size = byte_size(Rest), parts = Parts}}.

%% A frame of requests, as it is written.
-spec frame(non_neg_integer(), [binary()]) -> iodata().
frame(Number, Items) ->
    Length = lists:sum([?LENGTH + byte_size(Item) || Item <- Items]),
    [<<(?NUMBER + Length):32, Number:64>> | [[<<(byte_size(Item)):32>>, Item] || Item <- Items]].

%% The size of such a frame. Each item counts as what its answer needs at the least.
-spec size([binary()]) -> pos_integer().
size(Items) ->
    lists:sum([?NUMBER | [max(?LENGTH + byte_size(Item), ?LEAST) || Item <- Items]]).

%% The items of a frame.
-spec items(binary()) -> {ok, [binary()]} | error.
items(Bytes) ->
    items(Bytes, []).

items(<<Length:32, Item:Length/binary, Rest/binary>>, Items) -> items(Rest, [Item | Items]);
items(<<>>, Items) -> {ok, lists:reverse(Items)};
items(_, _) -> error.
