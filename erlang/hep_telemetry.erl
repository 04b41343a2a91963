%% @private Events for the `telemetry' application, where the user has it loaded. `guides/telemetry.md' lists them.
-module(hep_telemetry).

-export([execute/3]).

%% hep does not depend on it.
-define(TELEMETRY, telemetry).
-ignore_xref([{?TELEMETRY, execute, 3}]).

-spec execute([atom(), ...], #{atom() => number()}, #{atom() => term()}) -> ok.
execute(Event, Measurements, Metadata) ->
    case erlang:function_exported(?TELEMETRY, execute, 3) of
        true -> ?TELEMETRY:execute(Event, Measurements, Metadata);
        false -> ok
    end.
