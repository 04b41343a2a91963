%% @private The counters of a listener. The receiving processes share them and need no messages to count.
-module(hep_listener_counters).

-export([new/0, add/3, get/2, packets/4, rejected/2, all/1, split/1]).

-export_type([counters/0, counter/0]).

-opaque counters() :: counters:counters_ref().

-type counter() ::
    bytes
    | unauthenticated
    | accepted
    | refused
    | handshakes_failed
    | idle_closed
    | resyncs
    | skipped_bytes
    | handler_crashes
    | handler_lost
    | dropped
    | accept_errors
    | errors_closed
    | proxy_failed
    | trailing
    | trailing_bytes
    | keepalives
    | cut
    | duplicates
    | filtered.

%% The indexes of the counters, from 1 to 32.
-define(COUNTERS, #{
    bytes => 1,
    unauthenticated => 2,
    accepted => 3,
    refused => 4,
    handshakes_failed => 5,
    idle_closed => 6,
    resyncs => 7,
    skipped_bytes => 8,
    handler_crashes => 9,
    handler_lost => 10,
    dropped => 11,
    accept_errors => 12,
    errors_closed => 13,
    proxy_failed => 14,
    trailing => 15,
    trailing_bytes => 16,
    keepalives => 17,
    cut => 18,
    duplicates => 19,
    filtered => 20
}).
%% Rejected packets, by the names of hep:reason() and hep_stream:reason(): from 33 to 64.
-define(REASONS, #{
    not_hep => 33,
    truncated => 34,
    unknown_protocol_family => 35,
    invalid_header_length => 36,
    invalid_total_length => 37,
    truncated_chunk => 38,
    invalid_chunk_length => 39,
    invalid_chunk => 40,
    unframed_version => 41,
    invalid_gzip => 42,
    too_many_errors => 43
}).
%% The index before that of version 1.
-define(VERSION, 64).
%% Payload type 0.
-define(TYPE, 68).
-define(SIZE, (?TYPE + 255)).
%% Values from elsewhere: the totals of all/1, and the places of connections.
-define(OTHERS, [received, decoded, connections, handshakes]).

-spec new() -> counters().
new() ->
    counters:new(?SIZE, [write_concurrency]).

-spec add(counter(), non_neg_integer(), counters()) -> ok.
add(Counter, Number, Counters) ->
    counters:add(Counters, map_get(Counter, ?COUNTERS), Number).

-spec get(counter(), counters()) -> non_neg_integer().
get(Counter, Counters) ->
    counters:get(Counters, map_get(Counter, ?COUNTERS)).

%% @doc Counts packets passed to the handler.
-spec packets(hep:version(), 0..255, non_neg_integer(), counters()) -> ok.
packets(Version, Type, Count, Counters) ->
    counters:add(Counters, ?VERSION + Version, Count),
    counters:add(Counters, ?TYPE + Type, Count).

-spec rejected(hep:reason() | hep_stream:reason(), counters()) -> ok.
rejected(Reason, Counters) when is_tuple(Reason) -> rejected(element(1, Reason), Counters);
rejected(Reason, Counters) -> counters:add(Counters, map_get(Reason, ?REASONS), 1).

%% @doc Returns all counters, without the reasons and payload types that did not occur. `received' is computed as the
%% sum of its parts, so they always agree.
-spec all(counters()) -> #{atom() => non_neg_integer() | #{term() => non_neg_integer()}}.
all(Counters) ->
    Count = fun(_, Position) -> counters:get(Counters, Position) end,
    Counts = maps:map(Count, ?COUNTERS),
    Rejected = maps:map(Count, ?REASONS),
    Versions = maps:from_list([{V, counters:get(Counters, ?VERSION + V)} || V <- [1, 2, 3]]),
    Types = lists:foldl(fun(T, Sums) -> type(T, counters:get(Counters, ?TYPE + T), Sums) end, #{}, lists:seq(0, 255)),
    Decoded = lists:sum(maps:values(Versions)),
    Counts#{
        received =>
            Decoded + lists:sum([map_get(Name, Counts) || Name <- [filtered, duplicates, unauthenticated]]) +
                lists:sum(maps:values(Rejected)),
        decoded => Decoded,
        versions => Versions,
        payload_types => Types,
        rejected => maps:filter(fun(_, Number) -> Number > 0 end, Rejected)
    }.

%% @doc Separates the measurements of an event from the rest.
-spec split(#{atom() => term()}) -> {#{atom() => number()}, #{atom() => term()}}.
split(Info) ->
    Names = maps:keys(?COUNTERS) ++ ?OTHERS,
    maps:fold(
        fun(Name, Value, {Measurements, Metadata}) ->
            case is_integer(Value) andalso lists:member(Name, Names) of
                true -> {Measurements#{Name => Value}, Metadata};
                false -> {Measurements, Metadata#{Name => Value}}
            end
        end,
        {#{}, #{}},
        Info
    ).

%% By name, if the number has one. Several numbers may share a name.
type(_, 0, Counts) ->
    Counts;
type(Number, Count, Counts) ->
    maps:update_with(hep_registry:payload_type_name(Number), fun(Sum) -> Sum + Count end, Count, Counts).
