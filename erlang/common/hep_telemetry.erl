%% @private Events for the `telemetry' application, if the user has loaded it. `guides/telemetry.md' lists them.
-module(hep_telemetry).

-export([execute/3]).

-spec execute([atom(), ...], #{atom() => number()}, #{atom() => term()}) -> ok.
execute(Event, Measurements, Metadata) ->
    execute(telemetry, Event, Measurements, Metadata).

%% hep does not depend on telemetry: with the module in a variable, xref and Dialyzer do not miss it.
execute(Module, Event, Measurements, Metadata) ->
    case erlang:function_exported(Module, execute, 3) of
        true -> Module:execute(Event, Measurements, Metadata);
        false -> ok
    end.
