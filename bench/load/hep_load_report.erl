%% @doc The rows of the tables, and summaries of samples.
-module(hep_load_report).

-export([title/2, row/3, must/3, verdict/1, digits/1]).
-export([median/1, percentile/2]).
-export([memory/2, most/1, flat/2]).

%% Memory counts as flat if it has not grown by more than a tenth plus this.
-define(SLACK, 16 * 1024 * 1024).

title(Format, Arguments) ->
    io:format("~n" ++ Format ++ "~n", Arguments).

row(Label, Format, Arguments) ->
    io:format("  ~-36ts ~ts~n", [Label, io_lib:format(Format, Arguments)]).

%% @doc A row that fails the run if the condition is false.
must(Label, Number, IsWell) when is_integer(Number) ->
    must(Label, digits(Number), IsWell);
must(Label, Text, IsWell) ->
    row(Label, "~ts: ~ts", [Text, asserted(IsWell)]),
    IsWell.

asserted(true) -> "ok";
asserted(false) -> "FAILED".

%% @doc The verdict of a measured value that is not asserted.
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

%% @doc The maximum of each kind.
most([First | Samples]) ->
    Larger = fun(_, Bytes, Others) -> max(Bytes, Others) end,
    lists:foldl(fun(Sample, Most) -> maps:merge_with(Larger, Sample, Most) end, First, Samples).

%% @doc Samples come with the latest first; the oldest `Skipped' are ignored. Queues fill and empty again, and garbage
%% stays until the next collection; only a leak raises the minimum. So the minimum of the second half is compared with
%% that of the first.
flat(Latest, Skipped) ->
    Samples = lists:nthtail(min(Skipped, length(Latest) div 2), lists:reverse(Latest)),
    {First, Second} = lists:split(length(Samples) div 2, Samples),
    [flat(Kind, least(Kind, First), least(Kind, Second)) || Kind <- [total, binary, rss]].

flat(Kind, First, Second) ->
    MiB = [Bytes / 1024 / 1024 || Bytes <- [First, Second]],
    Text = io_lib:format("at least ~.1f, then ~.1f MiB", MiB),
    {["memory flat: ", atom_to_list(Kind)], Text, Second =< First * 1.1 + ?SLACK}.

least(Kind, Samples) ->
    lists:min([map_get(Kind, Sample) || Sample <- Samples]).
