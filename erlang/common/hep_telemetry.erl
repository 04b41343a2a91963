%% @private Events for the `telemetry' application, where the user has it loaded. `guides/telemetry.md' lists them.
-module(hep_telemetry).

-export([execute/3]).

-spec execute([atom(), ...], #{atom() => number()}, #{atom() => term()}) -> ok.
execute(Event, Measurements, Metadata) ->
    execute(telemetry, Event, Measurements, Metadata).

%% hep does not depend on it: the module is a variable, so that nobody misses it.
execute(Module, Event, Measurements, Metadata) ->
    case erlang:function_exported(Module, execute, 3) of
        true -> Module:execute(Event, Measurements, Metadata);
        false -> ok
    end.
