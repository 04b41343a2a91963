%% @doc Sends captured packets at a rate. Each one has its number as the name of the capture agent, and the correlation
%% id of one of the calls, in turn.
-module(hep_rabbitmq_traffic).

-export([templates/1, packet/3, number/1, call/1, start/4, stop/1]).

-export_type([sent/0]).

-type sent() :: {Number :: pos_integer(), Time :: integer()}.

-define(CALLS, 100).
%% Milliseconds between two bursts.
-define(TICK, 5).

%% @doc The captured packets of version 3.
-spec templates(file:filename()) -> tuple().
templates(Captures) ->
    Files = lists:sort(filelib:wildcard("*-v3/*/[0-9]*.bin", Captures)),
    Decoded = [decoded(filename:join(Captures, File)) || File <- Files],
    list_to_tuple([Hep || {ok, Hep} <- Decoded, hep:version(Hep) =:= hep_v3]).

decoded(File) ->
    {ok, Bytes} = file:read_file(File),
    hep:decode(Bytes).

%% @doc The packet with the number, as sent at the time (microseconds).
-spec packet(pos_integer(), integer(), Templates :: tuple()) -> binary().
packet(Number, Time, Templates) ->
    Template = element(Number rem tuple_size(Templates) + 1, Templates),
    Timestamp = {Time div 1_000_000_000_000, Time div 1_000_000 rem 1_000_000, Time rem 1_000_000},
    Numbered = hep:node_name(integer_to_binary(Number), hep:timestamp(Timestamp, Template)),
    {ok, Bytes} = hep:encode(hep:correlation_id(call(Number), Numbered)),
    Bytes.

-spec call(pos_integer()) -> binary().
call(Number) -> <<"call-", (integer_to_binary(Number rem ?CALLS))/binary>>.

%% @doc The number in a packet.
-spec number(hep:hep()) -> pos_integer().
number(Hep) ->
    binary_to_integer(hep:node_name(Hep)).

%% @doc Sends packets from this number on, until it is stopped, or until `Count' packets are sent.
-spec start(First :: pos_integer(), Amount, inet:port_number(), Templates :: tuple()) -> pid() when
    Amount :: #{rate := pos_integer(), count := pos_integer() | infinity}.
start(First, #{rate := Rate, count := Count}, Port, Templates) ->
    Last = case Count of infinity -> infinity; _ -> First + Count - 1 end,
    spawn_link(fun() ->
        {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
        Send = fun(Packet) -> send(Socket, Port, Packet) end,
        run(First, #{
            send => Send, templates => Templates, rate => Rate, last => Last, first => First, sent => [],
            start => erlang:monotonic_time(millisecond)
        })
    end).

%% A closed port is reported at the next send: the packet is lost, as with a real agent.
send(Socket, Port, Packet) ->
    case gen_udp:send(Socket, {127, 0, 0, 1}, Port, Packet) of
        ok -> ok;
        {error, econnrefused} -> ok
    end.

%% @doc Waits for the end of a run with a count, stops one without; returns the sent packets.
-spec stop(pid()) -> [sent()].
stop(Sender) ->
    Sender ! {stop, self()},
    receive
        {Sender, Sent} -> Sent
    end.

run(Number, #{last := Last, sent := Sent}) when Number > Last ->
    receive
        {stop, From} -> From ! {self(), lists:reverse(Sent)}
    end;
run(Number, #{rate := Rate, start := Start, first := First, last := Last, sent := Sent} = State) ->
    Due = First + (erlang:monotonic_time(millisecond) - Start) * Rate div 1000,
    New = [send_one(Next, State) || Next <- lists:seq(Number, min(Due, Last))],
    After = State#{sent := lists:reverse(New, Sent)},
    receive
        {stop, From} when Last =:= infinity -> From ! {self(), lists:reverse(maps:get(sent, After))}
    after ?TICK -> run(Number + length(New), After)
    end.

send_one(Number, #{send := Send, templates := Templates}) ->
    Time = os:system_time(microsecond),
    ok = Send(packet(Number, Time, Templates)),
    {Number, Time}.
