%% @private
%% The frames between `hep_port' and its program: a length of 32 bits, a number of 64 bits, and items, each a length of
%% 32 bits and a term. The port delivers a byte stream; frames are assembled here, so that a length stated by the
%% program allocates nothing.
-module(hep_port_frames).

-export([new/1, add/2, frame/2, size/1, items/1]).

-export_type([frames/0]).

%% The sizes of a frame's number and of a length field.
-define(NUMBER, 8).
-define(LENGTH, 4).
%% The minimum that the program reserves for an answer, so that an error always fits.
-define(LEAST, 40).

-record(frames, {
    longest :: pos_integer(),
    %% The number of expected bytes, of received bytes, and these in reverse.
    wanted = ?LENGTH :: pos_integer(),
    size = 0 :: non_neg_integer(),
    parts = [] :: [binary()]
}).

-opaque frames() :: #frames{}.

-spec new(Longest :: pos_integer()) -> frames().
new(Longest) ->
    #frames{longest = Longest}.

%% Adds bytes written by the program, and returns the complete frames.
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

%% A copy, so that earlier frames can be garbage collected.
rest(Rest, Wanted, Found, Frames) ->
    Parts = [binary:copy(Rest) || Rest =/= <<>>],
    {ok, lists:reverse(Found), Frames#frames{wanted = Wanted, size = byte_size(Rest), parts = Parts}}.

%% Encodes a frame of requests.
-spec frame(non_neg_integer(), [binary()]) -> iodata().
frame(Number, Items) ->
    Length = lists:sum([?LENGTH + byte_size(Item) || Item <- Items]),
    [<<(?NUMBER + Length):32, Number:64>> | [[<<(byte_size(Item)):32>>, Item] || Item <- Items]].

%% The size of this frame. Each item counts at least the minimum size of its answer.
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
