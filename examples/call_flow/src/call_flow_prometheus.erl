%% @doc The counters in Prometheus' text format.
-module(call_flow_prometheus).

-export([text/0]).

-spec text() -> iodata().
text() ->
    #{listeners := Listeners, store := Store, recorder := Recorder, dropped := Dropped} = call_flow_metrics:sample(),
    Counters = call_flow_metrics:counters(),
    [
        counted(packets, version, <<"Packets by HEP version">>, version, Counters),
        counted(payload_type_packets, type, <<"Packets by payload type">>, type, Counters),
        counted(sender_packets, sender, <<"Packets by address of the sender">>, sender, Counters),
        counted(sip_requests, method, <<"SIP requests by method">>, method, Counters),
        counted(sip_responses, class, <<"SIP responses by class of their status">>, class, Counters),
        metric(received, counter, <<"Datagrams and packets of streams received, also invalid ones">>, [
            {listener(Info), N} || #{received := N} = Info <- Listeners
        ]),
        metric(rejected, counter, <<"Invalid packets by reason">>, [
            {[{reason, text(Reason)} | listener(Info)], N}
         || #{rejected := Rejected} = Info <- Listeners, {Reason, N} <- maps:to_list(Rejected)
        ]),
        metric(unauthenticated, counter, <<"Packets without a valid authenticate key">>, [
            {listener(Info), N} || #{unauthenticated := N} = Info <- Listeners
        ]),
        metric(kernel_dropped, counter, <<"Datagrams dropped by the kernel before they were read">>, [
            {listener(Info), N} || #{dropped := N} = Info <- Listeners, is_integer(N)
        ]),
        metric(connections, gauge, <<"Open connections">>, [
            {listener(Info), N} || #{connections := N, transport := Transport} = Info <- Listeners, Transport =/= udp
        ]),
        metric(queue_dropped, counter, <<"Packets dropped since their process was behind">>, [
            {[{process, atom_to_binary(Process)}], N} || {Process, N} <- maps:to_list(Dropped)
        ]),
        metric(calls, gauge, <<"Calls in memory">>, [{[], N} || #{calls := N} <- [Store]]),
        metric(memory_bytes, gauge, <<"Approximate memory of the calls">>, [{[], N} || #{bytes := N} <- [Store]]),
        metric(ignored, counter, <<"Packets beyond the maximum per call">>, [{[], N} || #{ignored := N} <- [Store]]),
        metric(evicted, counter, <<"Calls that had to go, by the limit that they exceeded">>, [
            {[{limit, atom_to_binary(Limit)}], N} || #{evicted := Evicted} <- [Store], {Limit, N} <- maps:to_list(Evicted)
        ]),
        metric(recorded, counter, <<"Packets written to capture files">>, [{[], N} || #{packets := N} <- [Recorder]]),
        metric(recorded_bytes, counter, <<"Bytes written to capture files">>, [{[], N} || #{bytes := N} <- [Recorder]]),
        metric(record_failures, counter, <<"Packets not recorded: invalid, or the file could not be written">>, [
            {[], N} || #{failed := N} <- [Recorder]
        ])
    ].

counted(Name, Label, Help, Kind, Counters) ->
    metric(Name, counter, Help, [{[{Label, value(Kind, Value)}], N} || {{K, Value}, N} <- Counters, K =:= Kind]).

value(class, Class) -> <<(integer_to_binary(Class))/binary, "xx">>;
value(_, Value) -> text(Value).

listener(#{transport := Transport, port := Port}) ->
    [{transport, atom_to_binary(Transport)}, {port, integer_to_binary(Port)}].

text(Value) when is_atom(Value) -> atom_to_binary(Value);
text(Value) when is_integer(Value) -> integer_to_binary(Value);
text(Value) when is_binary(Value) -> Value.

%% Only names of counters end in _total.
metric(_, _, _, []) ->
    [];
metric(Name, Type, Help, Samples) ->
    Full = ["call_flow_", atom_to_binary(Name), case Type of counter -> "_total"; gauge -> "" end],
    [
        ["# HELP ", Full, $\s, Help, $\n, "# TYPE ", Full, $\s, atom_to_binary(Type), $\n]
        | [[Full, labels(Labels), $\s, integer_to_binary(N), $\n] || {Labels, N} <- lists:sort(Samples)]
    ].

labels([]) -> [];
labels(Labels) -> [${, lists:join($,, [[atom_to_binary(Name), "=\"", Value, $"] || {Name, Value} <- Labels]), $}].
