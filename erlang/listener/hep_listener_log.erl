%% @private Rate-limits log lines that a sender, a lack of resources or a broken handler can cause repeatedly. The first
%% line after a pause states how many were suppressed.
-module(hep_listener_log).

-export([new/0, notice/3, warning/3, error/3]).

-export_type([limits/0, kind/0]).

-opaque limits() :: atomics:atomics_ref().

-type kind() :: handshake_failed | accept_failed | proxy_failed | handler_crashed.

%% For each kind: its index, the number of lines, and the period in milliseconds.
-define(KINDS, #{
    handshake_failed => {1, 10, 1000},
    accept_failed => {4, 1, 60_000},
    proxy_failed => {7, 10, 1000},
    handler_crashed => {10, 10, 1000}
}).

%% For each kind: the start of the current period, its logged lines, the suppressed lines.
-spec new() -> limits().
new() ->
    Limits = atomics:new(3 * map_size(?KINDS), []),
    [atomics:put(Limits, Place, -(1 bsl 60)) || {Place, _, _} <- maps:values(?KINDS)],
    Limits.

-spec notice(kind(), #{atom() => term()}, limits()) -> ok.
notice(Kind, Report, Limits) ->
    log(notice, Kind, Report, Limits).

-spec warning(kind(), #{atom() => term()}, limits()) -> ok.
warning(Kind, Report, Limits) ->
    log(warning, Kind, Report, Limits).

-spec error(kind(), #{atom() => term()}, limits()) -> ok.
error(Kind, Report, Limits) ->
    log(error, Kind, Report, Limits).

log(Level, Kind, Report, Limits) ->
    {Place, Most, Time} = maps:get(Kind, ?KINDS),
    restart(Place, Time, Limits),
    case atomics:add_get(Limits, Place + 1, 1) =< Most of
        true -> logger:log(Level, Report#{left_out => atomics:exchange(Limits, Place + 2, 0)});
        false -> atomics:add(Limits, Place + 2, 1)
    end.

%% Of the processes that find the period expired, one starts the next.
restart(Place, Time, Limits) ->
    Now = erlang:monotonic_time(millisecond),
    Began = atomics:get(Limits, Place),
    case Now - Began >= Time andalso atomics:compare_exchange(Limits, Place, Began, Now) of
        ok -> atomics:put(Limits, Place + 1, 0);
        _ -> ok
    end.
