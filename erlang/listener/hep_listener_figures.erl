%% @private What a listener counts. The processes that receive add to the same counters, without messages.
-module(hep_listener_figures).

-export([new/0, add/3, packets/4, rejected/2, all/1]).

-export_type([figures/0, figure/0]).

-opaque figures() :: counters:counters_ref().

-type figure() ::
    bytes
    | unauthorised
    | accepted
    | refused
    | handshakes_failed
    | idle_closed
    | resyncs
    | skipped_bytes
    | handler_crashes
    | handler_lost.

%% Where each figure is counted.
-define(FIGURES, #{
    bytes => 1,
    unauthorised => 2,
    accepted => 3,
    refused => 4,
    handshakes_failed => 5,
    idle_closed => 6,
    resyncs => 7,
    skipped_bytes => 8,
    handler_crashes => 9,
    handler_lost => 10
}).
%% What was rejected, by the names of hep:reason() and hep_stream:reason().
-define(REASONS, #{
    not_hep => 11,
    truncated => 12,
    unknown_protocol_family => 13,
    invalid_header_length => 14,
    invalid_total_length => 15,
    truncated_chunk => 16,
    invalid_chunk_length => 17,
    invalid_chunk => 18,
    unframed_version => 19
}).
%% Version 1 is behind it.
-define(VERSION, 20).
%% Payload type 0.
-define(TYPE, 24).
-define(SIZE, (?TYPE + 255)).

-spec new() -> figures().
new() ->
    counters:new(?SIZE, [write_concurrency]).

-spec add(figure(), non_neg_integer(), figures()) -> ok.
add(Figure, Number, Figures) ->
    counters:add(Figures, map_get(Figure, ?FIGURES), Number).

%% @doc Counts packets that the handler gets.
-spec packets(hep:version(), 0..255, non_neg_integer(), figures()) -> ok.
packets(Version, Type, Count, Figures) ->
    counters:add(Figures, ?VERSION + Version, Count),
    counters:add(Figures, ?TYPE + Type, Count).

-spec rejected(hep:reason() | hep_stream:reason(), figures()) -> ok.
rejected(Reason, Figures) when is_tuple(Reason) -> rejected(element(1, Reason), Figures);
rejected(Reason, Figures) -> counters:add(Figures, map_get(Reason, ?REASONS), 1).

%% @doc All of them. Reasons and payload types that did not occur are left out. What was received is the sum of its
%% parts, whenever it is looked at.
-spec all(figures()) -> #{atom() => non_neg_integer() | #{term() => non_neg_integer()}}.
all(Figures) ->
    Count = fun(_, Position) -> counters:get(Figures, Position) end,
    Counts = maps:map(Count, ?FIGURES),
    Rejected = maps:map(Count, ?REASONS),
    Versions = maps:from_list([{V, counters:get(Figures, ?VERSION + V)} || V <- [1, 2, 3]]),
    Types = lists:foldl(fun(T, Sums) -> type(T, counters:get(Figures, ?TYPE + T), Sums) end, #{}, lists:seq(0, 255)),
    Decoded = lists:sum(maps:values(Versions)),
    Counts#{
        received => Decoded + map_get(unauthorised, Counts) + lists:sum(maps:values(Rejected)),
        decoded => Decoded,
        versions => Versions,
        payload_types => Types,
        rejected => maps:filter(fun(_, Number) -> Number > 0 end, Rejected)
    }.

%% By name, where it has one. More than one number may have the same.
type(_, 0, Counts) ->
    Counts;
type(Number, Count, Counts) ->
    maps:update_with(hep_registry:payload_type_name(Number), fun(Sum) -> Sum + Count end, Count, Counts).
