%% A call as text: a column for each host, a line with an arrow for each packet.
-module(hep_command_ladder).

-export([draw/5]).

%% In characters: time and interval to the left of the columns, and the minimum distance between two columns.
-define(LEFT, 28).
-define(LEAST, 22).
-define(MOST, 48).
%% The maximum number of columns.
-define(MAX_HOSTS, 40).

-record(style, {
    bar :: binary(),
    right :: binary(),
    left :: binary(),
    self :: binary(),
    %% Lines by the kind of packet.
    request :: binary(),
    response :: binary(),
    other :: binary(),
    utf8 :: boolean()
}).

%% Passes the lines to a function, one at a time.
-spec draw([hep:hep()], auto | address | port, Utf8 :: boolean(), Columns :: pos_integer(), fun((binary()) -> ok)) -> ok.
draw(Packets, Hosts, Utf8, Columns, Put) ->
    #{hosts := Known, arrows := Arrows} = hep_flow:ladder(Packets, #{hosts => Hosts}),
    Labels = labels([Label || #{label := Label} <- Known]),
    Places = places(Labels, Columns),
    Legs = legs(Arrows),
    Line = fun(Text) -> Put(unicode:characters_to_binary([Text, $\n])) end,
    lists:foreach(fun(Call) -> Line([leg(Call, Legs), hep_command_text:printable(Call, Utf8)]) end, ordered(Legs)),
    ok = Line([]),
    ok = Line(header(Labels, Places)),
    Style = style(Utf8),
    _ = lists:foldl(fun(Arrow, Before) -> arrow(Arrow, Before, Legs, Places, Style, Line) end, undefined, Arrows),
    ok.

%% Hosts above the maximum share a column.
labels(Labels) when length(Labels) =< ?MAX_HOSTS -> Labels;
labels(Labels) -> lists:sublist(Labels, ?MAX_HOSTS) ++ [<<"others">>].

style(true) ->
    #style{
        bar = <<"│"/utf8>>,
        right = <<"▶"/utf8>>,
        left = <<"◀"/utf8>>,
        self = <<"├"/utf8>>,
        request = <<"─"/utf8>>,
        response = <<"╌"/utf8>>,
        other = <<"·"/utf8>>,
        utf8 = true
    };
style(false) ->
    #style{
        bar = <<"|">>,
        right = <<">">>,
        left = <<"<">>,
        self = <<"+">>,
        request = <<"-">>,
        response = <<".">>,
        other = <<"~">>,
        utf8 = false
    }.

%% The positions of the hosts' columns.
places(Labels, Columns) ->
    Longest = lists:max([string:length(Label) || Label <- Labels]),
    Half = Longest div 2,
    Room = Columns - ?LEFT - 2 * Half - 1,
    Distance = max(min(Room div max(1, length(Labels) - 1), ?MOST), max(?LEAST, Longest + 2)),
    [?LEFT + Half + N * Distance || N <- lists:seq(0, length(Labels) - 1)].

header(Labels, Places) ->
    Texts = [{Place - string:length(Label) div 2, string:to_graphemes(Label)} || {Label, Place} <- lists:zip(Labels, Places)],
    row(Texts).

%% A line of texts, each at its position; later ones overwrite earlier ones.
row(Texts) ->
    Cells = lists:foldl(fun({Place, Text}, Before) -> cells(Place, Text, Before) end, #{}, Texts),
    [maps:get(Place, Cells, $\s) || Place <- lists:seq(0, lists:max(maps:keys(Cells)))].

cells(_, [], Cells) -> Cells;
cells(Place, [Character | Text], Cells) -> cells(Place + 1, Text, Cells#{Place => Character}).

%% The calls of the ladder, in the order of their first arrow.
legs(Arrows) ->
    lists:foldl(
        fun
            (#{call := undefined}, Known) -> Known;
            (#{call := Call}, Known) when is_map_key(Call, Known) -> Known;
            (#{call := Call}, Known) -> Known#{Call => map_size(Known)}
        end,
        #{},
        Arrows
    ).

ordered(Legs) -> [Call || {_, Call} <- lists:sort([{N, Call} || {Call, N} <- maps:to_list(Legs)])].

%% A letter identifies the leg.
leg(_, Legs) when map_size(Legs) < 2 -> [];
leg(Call, Legs) ->
    case Legs of
        #{Call := N} when N < 26 -> [$A + N, $\s];
        #{} -> "  "
    end.

%% Returns the time, from which the next interval counts.
arrow(#{time := Time, call := Call} = Arrow, Before, Legs, Places, Style, Line) ->
    Left = string:to_graphemes([leg(Call, Legs), clock(Time), interval(Before, Time)]),
    Bars = [{Place, [Style#style.bar]} || Place <- Places],
    ok = Line(row([{0, Left} | Bars] ++ [drawn(Arrow, Places, Style)])),
    case Time of
        undefined -> Before;
        _ -> Time
    end.

clock(undefined) ->
    "               ";
clock(Micros) ->
    %% RFC 3339 without date and zone.
    string:slice(hep_command_text:time(Micros), 11, 15).

interval(Before, Time) when Before =:= undefined; Time =:= undefined -> [];
interval(Before, Time) -> io_lib:format(" +~.3f", [max(0, Time - Before) / 1000000]).

%% The arrow of a packet: characters from a position on.
drawn(#{from := From, to := To} = Arrow, Places, Style) ->
    drawn(place(From, Places), place(To, Places), Arrow, Style).

place(Host, Places) -> lists:nth(min(Host, length(Places)), Places).

drawn(Place, Place, Arrow, Style) ->
    {Place, [Style#style.self, $\s | text(Arrow, ?MOST, Style)]};
drawn(From, To, Arrow, Style) ->
    [Start, Stop] = lists:sort([From, To]),
    Room = Stop - Start - 1,
    Text = text(Arrow, Room - 5, Style),
    Rest = Room - length(Text) - 3,
    Before = lists:duplicate(Rest div 2, line(Arrow, Style)),
    Behind = lists:duplicate(Rest - Rest div 2, line(Arrow, Style)),
    Line = Before ++ [$\s | Text] ++ [$\s | Behind],
    case From < To of
        true -> {Start + 1, Line ++ [Style#style.right]};
        false -> {Start + 1, [Style#style.left | Line]}
    end.

line(#{kind := request}, Style) -> Style#style.request;
line(#{kind := response}, Style) -> Style#style.response;
line(_, Style) -> Style#style.other.

text(#{label := Label} = Arrow, Most, Style) ->
    Marks = [
        [" (SDP)" || maps:get(sdp, Arrow)],
        [" (again)" || maps:get(retransmission, Arrow)],
        [" (copy)" || maps:get(duplicate, Arrow)]
    ],
    Room = max(4, Most - string:length(Marks)),
    Text = [hep_command_text:cut(hep_command_text:printable(Label, Style#style.utf8), Room) | Marks],
    lists:sublist(string:to_graphemes(Text), Most).
