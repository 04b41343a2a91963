%% @doc The rows of the tables, and what many samples come down to.
-module(hep_load_report).

-export([title/2, row/3, must/3, verdict/1, digits/1]).
-export([median/1, percentile/2]).
-export([memory/2, most/1, flat/1]).

%% Memory is flat when it has not grown by more than a tenth and this.
-define(SLACK, 8 * 1024 * 1024).

title(Format, Arguments) ->
    io:format("~n" ++ Format ++ "~n", Arguments).

row(Label, Format, Arguments) ->
    io:format("  ~-36ts ~ts~n", [Label, io_lib:format(Format, Arguments)]).

%% @doc A row that fails the run unless it is well.
must(Label, Number, IsWell) when is_integer(Number) ->
    must(Label, digits(Number), IsWell);
must(Label, Text, IsWell) ->
    row(Label, "~ts: ~ts", [Text, asserted(IsWell)]),
    IsWell.

asserted(true) -> "ok";
asserted(false) -> "FAILED".

%% @doc Of what is measured and not asserted.
verdict(true) -> "met";
verdict(false) -> "missed".

%% @doc 1234567 as 1,234,567.
digits(Number) when Number >= 1000 ->
    io_lib:format("~ts,~3..0b", [digits(Number div 1000), Number rem 1000]);
digits(Number) ->
    integer_to_list(Number).

median(Numbers) ->
    percentile(50, Numbers).

percentile(Percent, Numbers) ->
    lists:nth(max(1, (length(Numbers) * Percent + 99) div 100), lists:sort(Numbers)).

%%% Memory

memory(When, #{total := Total, binary := Binary, rss := Rss}) ->
    MiB = [Bytes / 1024 / 1024 || Bytes <- [Total, Binary, Rss]],
    row("memory " ++ When, "total ~.1f, binaries ~.1f, resident ~.1f MiB", MiB).

%% @doc The largest of each kind.
most([First | Samples]) ->
    Larger = fun(_, Bytes, Others) -> max(Bytes, Others) end,
    lists:foldl(fun(Sample, Most) -> maps:merge_with(Larger, Sample, Most) end, First, Samples).

%% @doc Of samples, the latest first: a minute (of a short run, a quarter) does not count; then the last quarter is
%% compared with the first.
flat(Latest) ->
    Samples = lists:nthtail(min(60, length(Latest) div 4), lists:reverse(Latest)),
    Quarter = max(1, length(Samples) div 4),
    {First, _} = lists:split(Quarter, Samples),
    Last = lists:nthtail(length(Samples) - Quarter, Samples),
    [flat(Kind, typical(Kind, First), typical(Kind, Last)) || Kind <- [total, binary, rss]].

flat(Kind, First, Last) ->
    MiB = [Bytes / 1024 / 1024 || Bytes <- [First, Last]],
    {["memory flat: ", atom_to_list(Kind)], io_lib:format("~.1f, then ~.1f MiB", MiB), Last =< First * 1.1 + ?SLACK}.

typical(Kind, Samples) ->
    median([map_get(Kind, Sample) || Sample <- Samples]).
