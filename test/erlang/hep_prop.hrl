%% What a check raises makes the property false, and is printed: PropEr 1.2 itself fails on it.
-define(CHECK(Pattern, Type, Check),
    ?FORALL(Pattern, Type, hep_prop:without_raising(fun() -> Check end))
).
