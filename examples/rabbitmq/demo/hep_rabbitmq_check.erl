%% @doc Compares sent and confirmed messages with the lines that the consumers wrote. Pure.
-module(hep_rabbitmq_check).

-export([line/1, check/1]).

-export_type([line/0, result/0]).

-type line() :: #{
    id := binary(), redelivered := boolean(), written := integer(), number := pos_integer(), packet := binary()
}.
-type result() :: #{
    lines := non_neg_integer(),
    packets := non_neg_integer(),
    duplicates := non_neg_integer(),
    unmarked := non_neg_integer(),
    confirmed := non_neg_integer(),
    confirmed_missing := [binary()],
    changed := [pos_integer()],
    disordered := [{Call :: binary(), pos_integer(), After :: pos_integer()}],
    missing := [pos_integer()]
}.
%% <dl>
%% <dt>`packets'</dt><dd>different packets among the lines</dd>
%% <dt>`duplicates', `unmarked'</dt><dd>repeated lines of a message; those without the mark `redelivered': the
%%   bridge published the message twice</dd>
%% <dt>`confirmed_missing'</dt><dd>ids that the broker confirmed, but that are in no line</dd>
%% <dt>`changed'</dt><dd>packets whose JSON differs from that of the sent packet</dd>
%% <dt>`disordered'</dt><dd>packets first written after a later one of their call</dd>
%% <dt>`missing'</dt><dd>packets without a line</dd>
%% </dl>

%% @doc Reads a line of {@link hep_rabbitmq_line}.
-spec line(binary()) -> line().
line(Line) ->
    {match, [Id, Redelivered, Written, Packet]} = re:run(
        Line,
        <<"^\\{\"id\":\"([^\"]*)\",\"redelivered\":(true|false),\"written\":(\\d+),\"packet\":(.*)\\}$">>,
        [{capture, all_but_first, binary}]
    ),
    {ok, Hep} = hep_json:decode(Packet),
    #{
        id => Id,
        redelivered => Redelivered =:= <<"true">>,
        written => binary_to_integer(Written),
        number => hep_rabbitmq_traffic:number(Hep),
        packet => Packet
    }.

%% @doc `sent': the JSON and the call of a sent packet, by number. `lines': of one or more files, each in its order.
-spec check(#{
    sent := [pos_integer()],
    json := fun((pos_integer()) -> binary()),
    call := fun((pos_integer()) -> binary()),
    confirmed := [binary()],
    lines := [line()]
}) -> result().
check(#{sent := Sent, json := Json, call := Call, confirmed := Confirmed, lines := Lines}) ->
    %% A stable sort: the order within a file is kept.
    Ordered = lists:sort(fun(#{written := A}, #{written := B}) -> A =< B end, Lines),
    {First, Further} = split(Ordered),
    Ids = sets:from_list([Id || #{id := Id} <- Lines], [{version, 2}]),
    Numbers = sets:from_list([Number || #{number := Number} <- Lines], [{version, 2}]),
    #{
        lines => length(Lines),
        packets => sets:size(Numbers),
        duplicates => length(Further),
        unmarked => length([Line || #{redelivered := false} = Line <- Further]),
        confirmed => length(lists:usort(Confirmed)),
        confirmed_missing => [Id || Id <- Confirmed, not sets:is_element(Id, Ids)],
        changed => [Number || #{number := Number, packet := Packet} <- Lines, Packet =/= Json(Number)],
        disordered => disordered([Number || #{number := Number} <- First], Call),
        missing => [Number || Number <- Sent, not sets:is_element(Number, Numbers)]
    }.

%% The first line of each packet, and the others.
split(Lines) ->
    {First, Further, _} = lists:foldl(
        fun(#{number := Number} = Line, {First, Further, Seen}) ->
            case Seen of
                #{Number := _} -> {First, [Line | Further], Seen};
                #{} -> {[Line | First], Further, Seen#{Number => true}}
            end
        end,
        {[], [], #{}},
        Lines
    ),
    {lists:reverse(First), lists:reverse(Further)}.

disordered(Numbers, Call) ->
    {Found, _} = lists:foldl(
        fun(Number, {Found, Latest}) ->
            Name = Call(Number),
            case Latest of
                #{Name := Later} when Later > Number -> {[{Name, Number, Later} | Found], Latest};
                #{} -> {Found, Latest#{Name => Number}}
            end
        end,
        {[], #{}},
        Numbers
    ),
    lists:reverse(Found).
