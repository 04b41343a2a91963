%% @doc For `make run': the capture server whose listener also prints, with captured packets replayed to it.
-module(call_flow_demo).

-behaviour(hep_handler).

-export([main/1]).
-export([init/1, handle_packets/2, handle_error/3]).

%% The port of the page; another one if it is in use.
-define(HTTP_PORT, 9080).
-define(TIMEOUT, 5000).

%% @doc Called by run.sh: `[CapturesFolder, "end"]' replays and ends; `[CapturesFolder, "stay", Port]' replays and keeps
%% listening.
-spec main([string()]) -> no_return().
main([Captures | Mode]) ->
    ok = io:setopts([{encoding, unicode}]),
    ok = logger:set_primary_config(level, warning),
    true = register(?MODULE, self()),
    case Mode of
        ["end"] ->
            start(#{ip => {127, 0, 0, 1}, port => 0}, 0),
            halt(min(udp_listener_replay:run(call_flow:port(), Captures), 1));
        ["stay", Port] ->
            start(#{ip => {0, 0, 0, 0}, port => list_to_integer(Port)}, ?HTTP_PORT),
            _ = udp_listener_replay:run(call_flow:port(), Captures),
            replay_quietly(Captures),
            io:format("~nListening on UDP port ~b. Calls: ~s~nCtrl-C ends it.~n", [call_flow:port(), call_flow:url()]),
            stay()
    end.

start(#{ip := Ip, port := Port} = Listener, HttpPort) ->
    Env = [{listeners, [Listener#{handler => ?MODULE, view => raw}]}, {http, #{port => HttpPort}}],
    ok = application:set_env([{call_flow, Env}], [{persistent, true}]),
    case application:ensure_all_started(call_flow) of
        {ok, _} ->
            ok;
        {error, {call_flow, {{shutdown, {failed_to_start_child, call_flow_web, _}}, _}}} when HttpPort =/= 0 ->
            start(Listener, 0);
        {error, {call_flow, {{shutdown, {failed_to_start_child, _, {listen, udp, Reason}}}, _}}} ->
            io:format("Cannot listen on ~s, port ~b: ~s~n", [inet:ntoa(Ip), Port, inet:format_error(Reason)]),
            halt(1)
    end.

%% All datagrams of the captures, so that the page has whole calls.
replay_quietly(Captures) ->
    true = unregister(?MODULE),
    #{received := Before} = hep_listener:info(call_flow:listener(1)),
    {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
    Files = filelib:wildcard("*-v[123]/*/[0-9]*.bin", Captures),
    lists:foreach(fun(File) -> send(Socket, filename:join(Captures, File)) end, lists:sort(Files)),
    received(Before + length(Files), erlang:monotonic_time(millisecond) + ?TIMEOUT),
    true = register(?MODULE, self()),
    ok.

send(Socket, File) ->
    {ok, Packet} = file:read_file(File),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, call_flow:port(), Packet).

received(Expected, Deadline) ->
    case hep_listener:info(call_flow:listener(1)) of
        #{received := Received} when Received < Expected ->
            timer:sleep(50),
            erlang:monotonic_time(millisecond) < Deadline andalso received(Expected, Deadline);
        _ ->
            true
    end.

stay() ->
    receive
        _ -> stay()
    end.

%%% The handler: prints while the replay waits for it, or real senders send

init(Queues) ->
    {ok, Queues}.

%% The view is `raw', since the printed form shows all chunks in their original order.
handle_packets(Packets, Queues) ->
    Transformed = [{Packet, Meta} || {Bytes, Meta} <- Packets, {ok, Packet} <- [hep_transform:from_packet(Bytes)]],
    lists:foreach(fun(Observer) -> udp_listener_handler:handle_packets(Transformed, [Observer]) end, observers()),
    Decoded = [{Hep, Meta} || {Bytes, Meta} <- Packets, {ok, Hep} <- [hep:decode(Bytes)]],
    call_flow_handler:handle_packets(Decoded, Queues).

handle_error(Reason, Raw, Queues) ->
    lists:foreach(fun(Observer) -> udp_listener_handler:handle_error(Reason, Raw, [Observer]) end, observers()),
    {ok, Queues}.

observers() ->
    [Pid || Pid <- [whereis(?MODULE)], is_pid(Pid)].
