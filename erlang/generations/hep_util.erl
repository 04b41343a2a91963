%% @doc Helpers known from the forks of the original library: parts of timestamps (other terms raise `badarg'), and the
%% names of numbers.
-module(hep_util).

-export([timestamp_secs/1, timestamp_microsecs/1]).
-export([payload_type/1, protocol_family/1]).

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

%% @doc Returns the name of a payload type's number, or the number of its name.
-spec payload_type(hep:uint8() | hep:payload_type() | term()) ->
    hep:payload_type() | hep:uint8() | {error, {invalid_protocol, term()}}.
payload_type(Type) ->
    other(Type, fun hep_registry:payload_type_name/1, fun hep_registry:payload_type_number/1, invalid_protocol).

%% @doc Returns the name of a protocol family's number, or the number of its name.
-spec protocol_family(hep:uint8() | hep:protocol_family() | term()) ->
    hep:protocol_family() | hep:uint8() | {error, {invalid_protocol_family, term()}}.
protocol_family(Family) ->
    other(
        Family,
        fun hep_registry:protocol_family_name/1,
        fun hep_registry:protocol_family_number/1,
        invalid_protocol_family
    ).

other(Number, NameOf, _, Error) when is_integer(Number) ->
    case NameOf(Number) of
        Number -> {error, {Error, Number}};
        Name -> Name
    end;
other(Name, _, NumberOf, Error) ->
    case NumberOf(Name) of
        undefined -> {error, {Error, Name}};
        Number -> Number
    end.
