%% @private Hides options from logs and process states: each is wrapped in a function that returns it. This module
%% must change rarely: the functions live as long as the supervisors whose child specifications hold them.
-module(hep_secret).

-export([hide/1, hide/2, show/1]).
-export_type([hidden/1]).

-type hidden(Value) :: fun(() -> Value).
%% The function that returns a hidden value.

-spec hide(term()) -> fun(() -> term()).
hide(Hidden) when is_function(Hidden, 0) -> Hidden;
hide(Value) -> fun() -> Value end.

%% @doc Hides the options with these names.
-spec hide([atom()], Options) -> Options when Options :: term().
hide(Names, Options) when is_map(Options) ->
    maps:merge(Options, maps:map(fun(_, Value) -> hide(Value) end, maps:with(Names, Options)));
hide(Names, [{Name, Value} = Option | Options]) ->
    case lists:member(Name, Names) of
        true -> [{Name, hide(Value)} | hide(Names, Options)];
        false -> [Option | hide(Names, Options)]
    end;
hide(_, Options) ->
    Options.

%% @doc Returns the value, hidden or not. A function that raises is returned unchanged; the check of the options
%% rejects it.
-spec show(term()) -> term().
show(Hidden) when is_function(Hidden, 0) ->
    try Hidden()
    catch _:_ -> Hidden
    end;
show(Value) ->
    Value.
