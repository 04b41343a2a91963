%% `hep listen': receives packets, and prints and writes them.
-module(hep_command_listen).

-export([spec/0, run/2]).

-include("hep.hrl").

%% The maximum number of errors shown; all are counted.
-define(MAX_NOTES, 10).

-record(state, {
    filter :: fun((hep:hep()) -> boolean()),
    view :: fun((hep:hep()) -> ok),
    sink :: hep_command_sink:sink() | none,
    %% The number of packets until the end.
    left :: non_neg_integer() | infinity,
    notes = 0 :: non_neg_integer()
}).

spec() ->
    #{
        usage => "hep listen [OPTIONS]",
        about =>
            "Receives HEP and prints a line for each packet, as `hep show' does. Ctrl-C ends it and prints the counters. Without a\n"
            "port it listens on UDP port 9060; for port 0 the system chooses one.",
        options =>
            [
                {"udp", {integer, 0, 65535}, "PORT", "listen on a UDP port"},
                {"tcp", {integer, 0, 65535}, "PORT", "listen on a TCP port"},
                {"tls", {integer, 0, 65535}, "PORT", "listen on a TCP port with TLS"},
                {"certfile", text, "FILE", "TLS: the certificate, PEM"},
                {"keyfile", text, "FILE", "TLS: its key, PEM"},
                {"ip", text, "ADDRESS", "listen on this address only; `::' is all addresses"},
                {"auth-key", text, "KEY", "only packets with this authenticate key; also from $HEP_AUTH_KEY"},
                {"write", text, "FILE", "write the packets to a file, too: .pcap, .hep, .json or .jsonl"},
                {"count", {integer, 1, infinity}, "N", "end after N packets"},
                {"quiet", flag, "", "print no packets"}
            ] ++ hep_command_show:filter_options(),
        examples => [
            "hep listen",
            "hep listen --udp 9060 --tcp 9060 --method INVITE --write invites.pcap",
            "hep listen --tls 9061 --certfile cert.pem --keyfile key.pem --json | jq .srcIp"
        ]
    }.

-spec run(hep_command_args:values(), [string()]) -> ok | {usage | error, unicode:chardata()}.
run(Values, []) ->
    case {hep_command_show:filter(Values), listeners(Values)} of
        {{ok, Filter}, {ok, Options}} ->
            State = #state{
                filter = Filter,
                view = view(Values),
                sink = sink(Values),
                left = maps:get("count", Values, infinity)
            },
            ok = hep_command_signal:receive_signals(),
            listen(Options, [], State);
        {{ok, _}, Error} ->
            Error;
        {Error, _} ->
            Error
    end;
run(_, _) ->
    {usage, "expected options only"}.

view(#{"quiet" := true}) -> fun(_) -> ok end;
view(Values) -> hep_command_show:view(Values).

sink(#{"write" := File}) ->
    Name = unicode:characters_to_list(File),
    case hep_command_sink:format(Name) of
        unknown -> hep_command_sink:new(Name, pcap);
        Format -> hep_command_sink:new(Name, Format)
    end;
sink(_) ->
    none.

%%% Options of the listeners

listeners(Values) ->
    Ports = [{Transport, Port} || {Name, Transport} <- [{"udp", udp}, {"tcp", tcp}, {"tls", tls}], #{Name := Port} <- [Values]],
    Given =
        case Ports of
            [] -> [{udp, 9060}];
            _ -> Ports
        end,
    try
        Common = maps:merge(ip(Values), auth_keys(Values)),
        {ok, [listener(Transport, Port, Values, Common) || {Transport, Port} <- Given]}
    catch
        throw:Text -> {usage, Text}
    end.

listener(tls, Port, #{"certfile" := Cert, "keyfile" := Key}, Common) ->
    Common#{transport => tls, port => Port, handler => self(), tls => [{certfile, Cert}, {keyfile, Key}]};
listener(tls, _, _, _) ->
    throw("--tls needs --certfile and --keyfile");
listener(Transport, Port, _, Common) ->
    Common#{transport => Transport, port => Port, handler => self()}.

ip(#{"ip" := Text}) ->
    case inet:parse_address(binary_to_list(Text)) of
        {ok, Ip} -> #{ip => Ip};
        {error, _} -> throw(["--ip ", Text, ": expected an IP address"])
    end;
ip(_) ->
    #{}.

auth_keys(Values) ->
    case hep_command_args:auth_key(Values) of
        none -> #{};
        Key -> #{auth_keys => [Key]}
    end.

%%% Receiving

listen([Options | More], Started, State) ->
    case hep_listener:start_link(Options) of
        {ok, Listener} ->
            hep_command_output:note(["listening on ", named(Listener)]),
            listen(More, Started ++ [Listener], State);
        {error, Reason} ->
            lists:foreach(fun stopped/1, Started),
            {error, hep_listener:format_error(Reason)}
    end;
listen([], Started, State) ->
    try
        received(Started, State)
    catch
        throw:{failed, Text} -> {error, Text}
    end.

%% If the reader of the output has ended, the remaining packets only go to the file.
received(Started, State) ->
    try
        {Result, Last} = loop(Started, State),
        closed(Result, ended(Started, Last))
    catch
        throw:{closed, Next} -> closed(ok, ended(Started, Next#state{view = fun(_) -> ok end}))
    end.

named(Listener) ->
    #{transport := Transport, port := Port} = hep_listener:info(Listener),
    io_lib:format("~ts port ~b", [string:uppercase(atom_to_list(Transport)), Port]).

loop(_, #state{left = 0} = State) ->
    {ok, State};
loop(Listeners, State) ->
    receive
        {hep_packets, _, Packets} ->
            loop(Listeners, lists:foldl(fun({Hep, _}, Before) -> taken(Hep, Before) end, State, Packets));
        {hep_error, _, Reason, {_, #{source := {Ip, Port}}}} ->
            loop(Listeners, noted([hep_command_text:endpoint(Ip, Port), ": ", hep_handler:format_error(Reason)], State));
        {signal, _} ->
            {ok, State};
        {'EXIT', Pid, Reason} when is_pid(Pid) ->
            case lists:member(Pid, Listeners) of
                true -> {{error, io_lib:format("a listener ended: ~0tp", [Reason])}, State};
                false -> loop(Listeners, State)
            end;
        %% The port of standard output.
        {'EXIT', _, _} ->
            {ok, State}
    end.

taken(_, #state{left = 0} = State) ->
    State;
taken(Hep, #state{filter = Filter} = State) ->
    case Filter(Hep) of
        true -> shown(Hep, State);
        false -> State
    end.

shown(Hep, #state{view = View, sink = Sink, left = Left} = State) ->
    Next = State#state{sink = written(Hep, Sink), left = less(Left)},
    try View(Hep) of
        ok -> Next
    catch
        throw:closed -> throw({closed, Next})
    end.

written(_, none) -> none;
written(Hep, Sink) -> hep_command_sink:write(Hep, Sink).

less(infinity) -> infinity;
less(Left) -> Left - 1.

noted(Text, #state{notes = Notes} = State) ->
    _ = Notes < ?MAX_NOTES andalso hep_command_output:note(Text),
    State#state{notes = Notes + 1}.

%% Shows the counters, and handles the remaining packets.
ended(Listeners, State) ->
    lists:foreach(fun stopped/1, Listeners),
    rest(State).

%% A listener may have ended already.
stopped(Listener) ->
    try
        counted(Listener),
        hep_listener:stop(Listener)
    catch
        exit:_ -> ok
    end.

counted(Listener) ->
    #{received := Received, decoded := Decoded, rejected := Rejected, unauthenticated := Wrong} =
        Info = hep_listener:info(Listener),
    Counted = [
        io_lib:format("~b received", [Received]),
        io_lib:format("~b decoded", [Decoded]),
        io_lib:format("~b invalid", [lists:sum(maps:values(Rejected))]),
        io_lib:format("~b without a valid key", [Wrong])
        | [io_lib:format("~b dropped by the system", [Dropped]) || #{dropped := Dropped} <- [Info], is_integer(Dropped)]
    ],
    hep_command_output:note([named(Listener), ": ", lists:join(", ", Counted)]).

rest(State) ->
    receive
        {hep_packets, _, Packets} ->
            rest(lists:foldl(fun({Hep, _}, Before) -> taken(Hep, Before) end, State, Packets))
    after 0 -> State
    end.

closed(Result, #state{sink = none}) ->
    Result;
closed(Result, #state{sink = Sink}) ->
    _ = hep_command_sink:close(Sink),
    Result.
