%% `hep convert': converts packets between file formats.
-module(hep_command_convert).

-export([spec/0, run/2]).

spec() ->
    #{
        usage => "hep convert [OPTIONS] IN OUT",
        about =>
            "Reads IN as `hep show' does and writes its packets to OUT: as a capture file (.pcap), a stream of HEP (.hep), or\n"
            "JSON lines (.json, .jsonl). `-' is standard input or output. A capture file holds addresses, ports, time and\n"
            "payload; the other forms hold all fields.",
        options => [
            {"from", format, "FORMAT", "read as pcap, hep or json: found from the content by default"},
            {"to", format, "FORMAT", "write pcap, hep or json: found from the name of OUT by default"}
        ],
        examples => [
            "hep convert calls.pcapng calls.jsonl",
            "hep convert calls.jsonl calls.pcap",
            "hep convert --to json calls.pcap - | jq .srcIp"
        ]
    }.

-spec run(hep_command_args:values(), [string()]) -> ok | {usage | error, unicode:chardata()}.
run(Values, [In, Out]) ->
    case {maps:get("to", Values, hep_command_sink:format(Out)), is_same(In, Out)} of
        {unknown, _} -> {usage, [Out, ": give the format with --to, or end the name in .pcap, .hep, .json or .jsonl"]};
        {_, true} -> {usage, "IN and OUT are the same file"};
        {To, false} -> convert(In, maps:get("from", Values, auto), Out, To)
    end;
run(_, _) ->
    {usage, "expected IN and OUT"}.

convert(In, From, Out, To) ->
    try hep_command_source:fold(In, From, fun hep_command_sink:write/2, hep_command_sink:new(Out, To)) of
        {ok, Sink} ->
            _ = hep_command_sink:close(Sink),
            ok;
        {error, Text, Sink} ->
            _ = hep_command_sink:is_open(Sink) andalso hep_command_sink:close(Sink),
            {error, Text}
    catch
        throw:{failed, Text} -> {error, Text}
    end.

is_same("-", _) -> false;
is_same(In, Out) ->
    case {file:read_file_info(In), file:read_file_info(Out)} of
        {{ok, Info}, {ok, Info}} -> true;
        _ -> false
    end.
