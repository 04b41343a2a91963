%% `hep flow': the calls of a file, and the ladder of one.
-module(hep_command_flow).

-export([spec/0, run/2]).

%% The limits of listed calls, of pairs of legs, and of packets in a ladder.
-define(MAX_CALLS, 100000).
-define(MAX_PAIRS, 100000).
-define(MAX_PACKETS, 10000).

spec() ->
    #{
        usage => "hep flow [OPTIONS] FILE [CALL-ID]",
        about =>
            "Lists the calls of a file. With a Call-ID it prints the ladder of that call: its messages, and the RTCP reports and\n"
            "logs with the Call-ID as correlation id. Other legs of the call, named by X-Call-ID, X-CID or the correlation id,\n"
            "are part of it; of standard input, only those that are named before they come.",
        options => [
            {"hosts", text, "KIND", "columns are addresses, or ports of them: address, port or auto (default)"},
            {"one-leg", flag, "", "without the other legs of the call"},
            {"ascii", flag, "", "draw with ASCII; the default where the locale is not UTF-8"},
            {"from", format, "FORMAT", "read as pcap, hep or json: found from the content by default"}
        ],
        examples => ["hep flow calls.pcap", "hep flow calls.pcap 3848276298220188511@atlanta.example.com | less"]
    }.

-spec run(hep_command_args:values(), [string()]) -> ok | {usage | error, unicode:chardata()}.
run(Values, [Name | Rest]) when length(Rest) =< 1 ->
    case hosts(maps:get("hosts", Values, <<"auto">>)) of
        {ok, Hosts} when Rest =:= [] -> _ = Hosts, list(Name, Values);
        {ok, Hosts} -> ladder(Name, hep_command_args:bytes(hd(Rest)), Values, Hosts);
        error -> {usage, "--hosts: expected address, port or auto"}
    end;
run(_, _) ->
    {usage, "expected a FILE and at most one CALL-ID"}.

hosts(<<"auto">>) -> {ok, auto};
hosts(<<"address">>) -> {ok, address};
hosts(<<"port">>) -> {ok, port};
hosts(_) -> error.

fold(Name, Values, Fun, Acc) -> hep_command_source:fold(Name, maps:get("from", Values, auto), Fun, Acc).

%%% The calls

list(Name, Values) ->
    {Calls, Left, Result} =
        case fold(Name, Values, fun counted/2, {#{}, 0}) of
            {ok, {Found, Over}} -> {Found, Over, ok};
            {error, Text, {Found, Over}} -> {Found, Over, {error, Text}}
        end,
    Rows = [row(hep_flow:summary(Call), Key) || {Key, Call} <- by_start(Calls)],
    _ = Rows =/= [] andalso hep_command_output:put(unicode:characters_to_binary(table([header() | Rows]))),
    _ = Left > 0 andalso
        hep_command_output:note(io_lib:format("~b packets of more than ~b calls are left out", [Left, ?MAX_CALLS])),
    Result.

counted(Hep, {Calls, Left}) ->
    case hep_flow:key(Hep) of
        undefined -> {Calls, Left};
        Key when is_map_key(Key, Calls) -> {Calls#{Key := hep_flow:add(Hep, map_get(Key, Calls))}, Left};
        _ when map_size(Calls) >= ?MAX_CALLS -> {Calls, Left + 1};
        Key -> {Calls#{binary:copy(Key) => hep_flow:add(Hep, hep_flow:new())}, Left}
    end.

by_start(Calls) ->
    Started = [{maps:get(start, hep_flow:summary(Call)), Key, Call} || {Key, Call} <- maps:to_list(Calls)],
    [{Key, Call} || {_, Key, Call} <- lists:sort(Started)].

%% Columns of the required width.
table(Rows) ->
    Widths = lists:foldl(
        fun(Row, Known) -> lists:zipwith(fun(Text, Width) -> max(Width, string:length(Text)) end, Row, Known) end,
        [0 || _ <- hd(Rows)],
        Rows
    ),
    [table_row(Row, Widths) || Row <- Rows].

table_row([Text], _) -> [Text, $\n];
table_row([Text | Texts], [Width | Widths]) -> [string:pad(Text, Width + 2) | table_row(Texts, Widths)].

header() ->
    ["start", "method", "state", "status", "duration", "messages", "from", "to", "Call-ID"].

row(#{start := Start, duration := Duration, messages := Messages} = Summary, Key) ->
    [
        hep_command_text:time(Start),
        hep_command_text:printable(maps:get(method, Summary, <<"-">>)),
        atom_to_binary(maps:get(state, Summary, '-')),
        case Summary of
            #{status := Status} -> integer_to_binary(Status);
            #{} -> "-"
        end,
        duration(Duration),
        integer_to_binary(Messages),
        party(from, Summary),
        party(to, Summary),
        hep_command_text:printable(Key)
    ].

duration(undefined) ->
    "-";
duration(Micros) ->
    Seconds = Micros div 1000000,
    io_lib:format("~b:~2..0b", [Seconds div 60, Seconds rem 60]).

party(Which, Summary) ->
    Text =
        case Summary of
            #{Which := #{user := User, host := Host}} -> <<User/binary, "@", Host/binary>>;
            #{Which := #{host := Host}} -> Host;
            #{Which := #{uri := Uri}} -> Uri;
            #{} -> <<"-">>
        end,
    hep_command_text:cut(hep_command_text:printable(Text), 32).

%%% A ladder

ladder(Name, Id, Values, Hosts) ->
    Keys = keys(Name, Id, Values),
    case fold(Name, Values, fun(Hep, State) -> chosen(Hep, Id, Values, State) end, {Keys, [], 0}) of
        {ok, {_, Packets, Count}} -> drawn(lists:reverse(Packets), Count, Id, Values, Hosts, ok);
        {error, Text, {_, Packets, Count}} -> drawn(lists:reverse(Packets), Count, Id, Values, Hosts, {error, Text})
    end.

%% The Call-IDs of all legs. Reads a file twice.
keys(Name, Id, Values) ->
    case hep_command_source:is_file(Name) andalso not is_map_key("one-leg", Values) of
        true ->
            Read = fun() -> fold(Name, Values, fun paired/2, #{}) end,
            Pairs =
                case hep_command_output:quietly(Read) of
                    {ok, Found} -> Found;
                    {error, _, Found} -> Found
                end,
            joined([Key || Key <- maps:keys(Pairs), hep_command_text:is_shown(Key, Id)], Pairs, #{});
        false ->
            #{}
    end.

paired(Hep, Pairs) when map_size(Pairs) < ?MAX_PAIRS ->
    Key = hep_flow:key(Hep),
    Linked = [{binary:copy(Key), binary:copy(Link)} || Key =/= undefined, Link <- hep_flow:links(Hep)],
    lists:foldl(fun({A, B}, Found) -> pair(B, A, pair(A, B, Found)) end, Pairs, Linked);
paired(_, Pairs) ->
    Pairs.

pair(A, B, Pairs) -> Pairs#{A => (maps:get(A, Pairs, #{}))#{B => true}}.

joined([], _, Known) ->
    Known;
joined([Key | Keys], Pairs, Known) when is_map_key(Key, Known) ->
    joined(Keys, Pairs, Known);
joined([Key | Keys], Pairs, Known) ->
    joined(maps:keys(maps:get(Key, Pairs, #{})) ++ Keys, Pairs, Known#{Key => true}).

chosen(Hep, Id, Values, {Keys, Packets, Count}) ->
    Key = hep_flow:key(Hep),
    Links = [Link || not is_map_key("one-leg", Values), Link <- hep_flow:links(Hep)],
    IsOf = fun(K) -> is_map_key(K, Keys) orelse hep_command_text:is_shown(K, Id) end,
    case Key =/= undefined andalso lists:any(IsOf, [Key | Links]) of
        true when Count < ?MAX_PACKETS ->
            {legs([Key | Links], Keys), [Hep | Packets], Count + 1};
        true ->
            {Keys, Packets, Count + 1};
        false ->
            {Keys, Packets, Count}
    end.

%% A packet may name thousands of legs.
legs(Found, Keys) when map_size(Keys) < ?MAX_PAIRS ->
    maps:merge(Keys, maps:from_list([{binary:copy(Key), true} || Key <- Found]));
legs(_, Keys) -> Keys.

drawn([], _, _, _, _, {error, Text}) ->
    {error, Text};
drawn([], _, Id, _, _, ok) ->
    {error, ["no call ", hep_command_text:printable(Id), "; `hep flow FILE' lists the calls"]};
drawn(Packets, Count, _, Values, Hosts, Result) ->
    Utf8 = not is_map_key("ascii", Values) andalso hep_command_output:is_utf8(),
    ok = hep_command_ladder:draw(Packets, Hosts, Utf8, hep_command_output:columns(), fun hep_command_output:put/1),
    _ = Count > ?MAX_PACKETS andalso
        hep_command_output:note(io_lib:format("~b packets after the first ~b are left out", [Count - ?MAX_PACKETS, ?MAX_PACKETS])),
    Result.
