%% `hep show': the packets of a file as lines. `hep listen' has the same filters.
-module(hep_command_show).

-export([spec/0, run/2]).
-export([filter_options/0, filter/1, view/1]).

-include("hep.hrl").

-type filter() :: fun((hep:hep()) -> boolean()).

spec() ->
    #{
        usage => "hep show [OPTIONS] FILE",
        about =>
            "Prints a line for each packet of a file: a capture file (pcap, pcapng), a stream of HEP, or packets as JSON\n"
            "lines, each also in gzip. With `-' for FILE it reads standard input.",
        options => filter_options() ++ [{"from", format, "FORMAT", "read as pcap, hep or json: found from the content by default"}],
        examples => [
            "hep show calls.pcap",
            "hep show --method INVITE --host 192.0.2.1 calls.pcapng",
            "tcpdump -U -i any -w - port 9060 | hep show -"
        ]
    }.

%% The options for filters and output.
-spec filter_options() -> [hep_command_args:option()].
filter_options() ->
    [
        {"verbose", flag, "", "all fields and the payload of each packet"},
        {"json", flag, "", "each packet as a line of JSON"},
        {"type", text, "TYPE", "only this payload type: sip, rtcp, log, ... or its number"},
        {"call-id", text, "CALL-ID", "only this Call-ID or correlation id"},
        {"method", text, "METHOD", "only SIP requests of this method, and responses to them"},
        {"host", text, "ADDRESS", "only packets from or to this address"}
    ].

-spec run(hep_command_args:values(), [string()]) -> ok | {usage | error, unicode:chardata()}.
run(Values, [Name]) ->
    case filter(Values) of
        {ok, Filter} ->
            View = view(Values),
            Show = fun(Hep, ok) -> shown(Filter(Hep), View, Hep) end,
            case hep_command_source:fold(Name, maps:get("from", Values, auto), Show, ok) of
                {ok, ok} -> ok;
                {error, Text, ok} -> {error, Text}
            end;
        Error ->
            Error
    end;
run(_, _) ->
    {usage, "expected one FILE"}.

shown(true, View, Hep) -> View(Hep);
shown(false, _, _) -> ok.

%% The output of packets.
-spec view(hep_command_args:values()) -> fun((hep:hep()) -> ok).
view(#{"json" := true}) ->
    fun(Hep) ->
        case hep_command_text:json(Hep) of
            {ok, Json} -> hep_command_output:put(Json);
            {error, Reason} -> hep_command_output:note(hep:format_error(Reason))
        end
    end;
view(#{"verbose" := true}) ->
    fun(Hep) -> hep_command_output:put(hep_command_text:verbose(Hep)) end;
view(_) ->
    fun(Hep) -> hep_command_output:put(hep_command_text:line(Hep)) end.

%% Whether a packet matches the options.
-spec filter(hep_command_args:values()) -> {ok, filter()} | {usage, unicode:chardata()}.
filter(Values) ->
    Given = [{Name, Value} || {Name, Value} <- maps:to_list(Values), lists:member(Name, ["type", "call-id", "method", "host"])],
    try [test(Name, Value) || {Name, Value} <- Given] of
        Tests -> {ok, fun(Hep) -> lists:all(fun(Test) -> Test(Hep) end, Tests) end}
    catch
        throw:Text -> {usage, Text}
    end.

test("type", Text) ->
    Type = payload_type(Text),
    fun(#hep{payload_type = Found}) -> Found =:= Type end;
test("call-id", CallId) ->
    fun(Hep) ->
        Key = hep_flow:key(Hep),
        Key =/= undefined andalso hep_command_text:is_shown(Key, CallId)
    end;
test("method", Text) ->
    %% ASCII only.
    Method = <<<<(if C >= $a, C =< $z -> C - 32; true -> C end)>> || <<C>> <= Text>>,
    fun(Hep) -> method(Hep) =:= Method end;
test("host", Text) ->
    case inet:parse_address(binary_to_list(Text)) of
        {ok, Ip} -> fun(#hep{src_ip = Src, dst_ip = Dst}) -> Src =:= Ip orelse Dst =:= Ip end;
        {error, _} -> throw(["--host ", Text, ": expected an IP address"])
    end.

payload_type(Text) ->
    case [Number || Number <- lists:seq(0, 255), lists:member(Text, names(Number))] of
        [Number] -> Number;
        [] -> throw(["--type ", Text, ": unknown payload type"])
    end.

names(Number) ->
    case hep_registry:payload_type_name(Number) of
        Number -> [integer_to_binary(Number)];
        Name -> [integer_to_binary(Number), atom_to_binary(Name)]
    end.

method(#hep{payload_type = 1, payload = Payload}) ->
    case hep_sip:summary(Payload) of
        {ok, #{method := Method}} -> Method;
        {ok, #{cseq := {_, Method}}} -> Method;
        _ -> undefined
    end;
method(_) ->
    undefined.
