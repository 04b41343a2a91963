%% @doc Parts of timestamps. What is no timestamp raises `badarg'.
-module(hep_util).

-export([timestamp_secs/1, timestamp_microsecs/1]).

-define(MEGA, 1000000).

%% @doc The seconds since the epoch.
-spec timestamp_secs(erlang:timestamp()) -> non_neg_integer().
timestamp_secs({MegaSecs, Secs, _MicroSecs}) when is_integer(MegaSecs), is_integer(Secs) ->
    MegaSecs * ?MEGA + Secs;
timestamp_secs(_) ->
    erlang:error(badarg).

%% @doc The microseconds within the second.
-spec timestamp_microsecs(erlang:timestamp()) -> non_neg_integer().
timestamp_microsecs({_MegaSecs, _Secs, MicroSecs}) -> MicroSecs;
timestamp_microsecs(_) -> erlang:error(badarg).
