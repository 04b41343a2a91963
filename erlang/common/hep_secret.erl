%% @private Options that no log and no state of a process is to show: each in a function that gives it. A module of its
%% own: the functions live as long as the supervisors whose child specifications hold them.
-module(hep_secret).

-export([hide/1, hide/2, show/1]).
-export_type([hidden/1]).

-type hidden(Value) :: fun(() -> Value).
%% The function that gives a hidden value.

-spec hide(term()) -> fun(() -> term()).
hide(Hidden) when is_function(Hidden, 0) -> Hidden;
hide(Value) -> fun() -> Value end.

%% @doc Hides those of the options that have one of the names.
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

%% @doc What was hidden, or what never was. A function that raises is left for the options' check to refuse.
-spec show(term()) -> term().
show(Hidden) when is_function(Hidden, 0) ->
    try Hidden()
    catch _:_ -> Hidden
    end;
show(Value) ->
    Value.
