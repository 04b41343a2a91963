%% An exception of a check makes the property false, and is printed: PropEr 1.2 itself cannot handle it.
-define(CHECK(Pattern, Type, Check),
    ?FORALL(Pattern, Type, hep_prop:without_raising(fun() -> Check end))
).
