%% `hep send': sends the packets of a file to a collector.
-module(hep_command_send).

-export([spec/0, run/2]).

-include("hep.hrl").

%% The maximum number of packets on their way to the sender, and the timeout for writing them, in milliseconds.
-define(BATCH, 256).
-define(TIMEOUT, 15000).

-record(state, {
    sender :: pid(),
    transport :: udp | tcp | tls,
    pace :: file | fast | {rate, pos_integer()},
    now :: boolean(),
    %% For this pass through the file: its start, in microseconds of the monotonic clock, and the time of its first
    %% packet.
    start = 0 :: integer(),
    first = none :: integer() | none,
    %% In this pass, and since the queue was empty.
    count = 0 :: non_neg_integer(),
    queued = 0 :: non_neg_integer(),
    %% Packets that cannot be sent, by reason.
    refused = #{} :: #{term() => pos_integer()}
}).

spec() ->
    #{
        usage => "hep send [OPTIONS] FILE TARGET",
        about =>
            "Sends the packets of a file, which is read as `hep show' does, to a collector: TARGET is udp:HOST:PORT, tcp:HOST:PORT\n"
            "or tls:HOST:PORT. They are sent at the speed at which they were captured.",
        options => [
            {"rate", {integer, 1, 1000000}, "N", "send N packets a second"},
            {"fast", flag, "", "send as fast as the collector takes them; over UDP the network may lose some"},
            {"loop", {integer, 1, infinity}, "N", "send the file N times"},
            {"now", flag, "", "set the time of each packet to now"},
            {"auth-key", text, "KEY", "the authenticate key; also from $HEP_AUTH_KEY"},
            {"capture-id", {integer, 0, 4294967295}, "ID", "the capture id of packets that have none"},
            {"cacertfile", text, "FILE", "TLS: trusted certificates, PEM; those of the system by default"},
            {"insecure", flag, "", "TLS: do not verify the collector's certificate"},
            {"from", format, "FORMAT", "read as pcap, hep or json: found from the content by default"}
        ],
        examples => [
            "hep send calls.pcap udp:127.0.0.1:9060",
            "hep send --rate 1000 --loop 10 --now calls.hep tcp:homer.example.com:9060",
            "hep send --fast calls.jsonl tls:[2001:db8::1]:9061"
        ]
    }.

-spec run(hep_command_args:values(), [string()]) -> ok | {usage | error, unicode:chardata()}.
run(#{"rate" := _, "fast" := true}, _) ->
    {usage, "--rate and --fast exclude each other"};
run(#{"loop" := Loops}, ["-", _]) when Loops > 1 ->
    {usage, "standard input cannot be sent more than once"};
run(Values, [Name, Target]) ->
    case target(Target) of
        {ok, Transport, Host, Port} -> start(Name, Transport, {Host, Port}, Values);
        error -> {usage, ["TARGET ", Target, ": expected udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT"]}
    end;
run(_, _) ->
    {usage, "expected FILE and TARGET"}.

target(Text) ->
    Pattern = "^(udp|tcp|tls):(?:\\[([^]]+)\\]|([^:\\[\\]]+)):([0-9]{1,5})$",
    case re:run(Text, Pattern, [{capture, all_but_first, list}]) of
        {match, [Transport, Ip, Name, Port]} ->
            case list_to_integer(Port) of
                Number when Number > 0, Number < 65536 -> {ok, list_to_existing_atom(Transport), Ip ++ Name, Number};
                _ -> error
            end;
        nomatch ->
            error
    end.

start(Name, Transport, Target, Values) ->
    case hep_sender:start_link(maps:merge(#{transport => Transport, targets => [Target]}, options(Transport, Values))) of
        {ok, Sender} ->
            State = #state{
                sender = Sender,
                transport = Transport,
                pace = pace(Values),
                now = is_map_key("now", Values)
            },
            case connected(State, ?TIMEOUT) of
                ok -> ended(loop(maps:get("loop", Values, 1), Name, Values, State));
                Error -> Error
            end;
        {error, Reason} ->
            {error, hep_sender:format_error(Reason)}
    end.

options(Transport, Values) ->
    Key =
        case hep_command_args:auth_key(Values) of
            none -> #{};
            Given -> #{auth_key => Given}
        end,
    Id =
        case Values of
            #{"capture-id" := Number} -> #{capture_id => Number};
            #{} -> #{}
        end,
    maps:merge(maps:merge(Key, Id), tls(Transport, Values)).

tls(tls, #{"insecure" := true}) -> #{tls => [{verify, verify_none}]};
tls(tls, #{"cacertfile" := File}) -> #{tls => [{cacertfile, File}]};
tls(_, _) -> #{}.

pace(#{"fast" := true}) -> fast;
pace(#{"rate" := Rate}) -> {rate, Rate};
pace(_) -> file.

%% Waits for the connection.
connected(#state{sender = Sender} = State, Left) ->
    case hep_sender:info(Sender) of
        #{targets := [#{state := up}]} -> ok;
        #{targets := [#{last_error := Reason}]} when Reason =/= undefined -> {error, unreachable(Reason)};
        _ when Left =< 0 -> {error, unreachable(timeout)};
        _ -> timer:sleep(10), connected(State, Left - 10)
    end.

unreachable(Reason) -> ["the collector cannot be reached: ", reason(Reason)].

reason({tls_alert, {_, Text}}) -> string:trim(Text);
reason(Reason) when is_atom(Reason) -> inet:format_error(Reason);
reason(Reason) -> io_lib:format("~0tp", [Reason]).

%%% Sending

loop(0, _, _, State) ->
    flushed(ok, State);
loop(Times, Name, Values, State) ->
    Begun = State#state{start = erlang:monotonic_time(microsecond), first = none, count = 0},
    try hep_command_source:fold(Name, maps:get("from", Values, auto), fun send/2, Begun) of
        {ok, Next} -> loop(Times - 1, Name, Values, Next);
        {error, Text, Next} -> flushed({error, Text}, Next)
    catch
        throw:{stopped, Text} -> {{error, Text}, State}
    end.

send(Hep, #state{sender = Sender, count = Count} = State) ->
    Paced = wait(Hep, State),
    case hep_sender:send(Sender, outgoing(Hep, State)) of
        ok -> queued(Paced#state{count = Count + 1, queued = Paced#state.queued + 1});
        {error, Reason} -> Paced#state{count = Count + 1, refused = refused(Reason, Paced#state.refused)}
    end.

refused(Reason, Refused) ->
    %% Of a reason with numbers, only the kind.
    Kind = case Reason of _ when is_tuple(Reason) -> element(1, Reason); _ -> Reason end,
    maps:update_with(Kind, fun(N) -> N + 1 end, 1, Refused).

%% Only version 3 has a length, which streams need.
outgoing(Hep, #state{now = true} = State) -> outgoing(Hep#hep{timestamp = os:timestamp()}, State#state{now = false});
outgoing(Hep, #state{transport = udp}) -> Hep;
outgoing(Hep, _) -> Hep#hep{version = 3}.

%% Waits until a packet is due.
wait(_, #state{pace = fast} = State) ->
    State;
wait(_, #state{pace = {rate, Rate}, start = Start, count = Count} = State) ->
    sleep_until(Start + Count * 1000000 div Rate, State);
wait(#hep{timestamp = undefined}, State) ->
    State;
wait(#hep{timestamp = {Mega, Seconds, Micros}}, #state{start = Start, first = First} = State) ->
    Time = (Mega * 1000000 + Seconds) * 1000000 + Micros,
    case First of
        none -> State#state{first = Time};
        _ -> sleep_until(Start + Time - First, State)
    end.

sleep_until(Due, State) ->
    case (Due - erlang:monotonic_time(microsecond)) div 1000 of
        Milliseconds when Milliseconds > 0 -> timer:sleep(Milliseconds);
        _ -> ok
    end,
    State.

%% Waits for the sender, so that its queue never overflows.
queued(#state{queued = Queued} = State) when Queued < ?BATCH -> State;
queued(#state{sender = Sender} = State) ->
    case hep_sender:flush(Sender, ?TIMEOUT) of
        ok -> State#state{queued = 0};
        {error, timeout} -> throw({stopped, lost(State)})
    end.

lost(#state{sender = Sender}) ->
    case hep_sender:info(Sender) of
        #{targets := [#{last_error := Reason}]} when Reason =/= undefined -> unreachable(Reason);
        _ -> "the collector takes no more packets"
    end.

flushed(Result, #state{sender = Sender} = State) ->
    case {hep_sender:flush(Sender, ?TIMEOUT), Result} of
        {{error, timeout}, ok} -> {{error, lost(State)}, State};
        _ -> {Result, State}
    end.

%% The counters. An unsent packet is an error.
ended({Result, #state{sender = Sender, refused = Refused}}) ->
    #{sent := Sent, sent_bytes := Bytes, dropped := Dropped, queued := Queued} = hep_sender:info(Sender),
    Lost = Dropped + Queued,
    ok = hep_command_output:put(io_lib:format("sent ~b packets, ~b bytes; dropped ~b~n", [Sent, Bytes, Lost])),
    _ = maps:foreach(
        fun(Kind, N) -> hep_command_output:note(io_lib:format("~b packets cannot be sent: ~ts", [N, Kind])) end,
        Refused
    ),
    ok = hep_sender:stop(Sender),
    case Result of
        ok when Lost > 0; map_size(Refused) > 0 -> {error, "not all packets were sent"};
        _ -> Result
    end.
