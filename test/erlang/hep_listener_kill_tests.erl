%% @doc hep_listener: each of its processes is killed, under load, with all transports.
-module(hep_listener_kill_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [until/1, until/2, packet/1, number/1]).

%% How often each process is killed.
-define(TIMES, 25).
%% Packets with these numbers are reported to the test.
-define(PROBE, 1_000_000).

kills_test_() ->
    {setup, fun hep_net:certificates/0, fun(_) -> ok end, fun({Server, Client}) ->
        hep_net:quietly([
            {lists:flatten(io_lib:format("~p: ~s", [maps:get(transport, Options), Name])),
                {timeout, 300, fun() -> killed(Options, Client, Find) end}}
         || Options <- [#{transport => udp, shards => 2}, #{transport => tcp}, #{transport => tls, tls => Server}],
            {Name, Find} <- victims(Options)
        ])
    end}.

victims(#{transport := udp}) ->
    [
        child(owner), child(reporter), child(shards),
        {"a shard", fun(Listener) -> hd(hep_net:workers(Listener)) end},
        {"any of them", fun any/1}
    ];
victims(_) ->
    [
        child(owner), child(reporter), child(connections), child(acceptors),
        {"an acceptor", fun(Listener) -> hd(hep_net:acceptors(Listener)) end},
        {"a connection", fun(Listener) -> one(hep_net:connections(Listener)) end},
        {"any of them", fun any/1}
    ].

child(Id) ->
    {atom_to_list(Id), fun(Listener) -> hep_net:child(Listener, Id) end}.

any(Listener) ->
    [Listener | Below] = hep_net:processes(Listener),
    one(Below).

one([]) -> undefined;
one(Pids) -> lists:nth(rand:uniform(length(Pids)), Pids).

%% The user's supervisor allows one restart, and does not need it: listener and port stay the same, and nothing stays
%% open.
killed(Options, Client, Find) ->
    Before = {descriptors(), length(erlang:ports())},
    supervised(Options, fun(Listener, Supervisor) ->
        Port = hep_listener:port(Listener),
        Load = [load(Options, Port, Client) || _ <- lists:seq(1, 3)],
        probe(Options, Port, Client),
        lists:foreach(
            fun(_) ->
                timer:sleep(rand:uniform(10) - 1),
                %% The process may be restarting.
                until(fun() -> kill(Find(Listener)) end),
                probe(Options, Port, Client)
            end,
            lists:seq(1, ?TIMES)
        ),
        [stop(Process) || Process <- Load],
        ?assertMatch([{_, Listener, _, _}], supervisor:which_children(Supervisor)),
        ?assertEqual(Port, hep_listener:port(Listener)),
        Transport = maps:get(transport, Options),
        ?assertMatch(#{transport := Transport}, hep_listener:info(Listener))
    end),
    until(
        fun() -> is_as_before(Before, {descriptors(), length(erlang:ports())}) end,
        fun() -> {Before, descriptors(), length(erlang:ports())} end
    ).

kill(undefined) ->
    false;
kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, Reason} -> Reason =:= killed end.

%% Other code may open something meanwhile, but not once per kill.
is_as_before({Descriptors, Ports}, {DescriptorsNow, PortsNow}) ->
    DescriptorsNow < Descriptors + ?TIMES div 2 andalso PortsNow < Ports + ?TIMES div 2.

descriptors() ->
    case file:list_dir("/proc/self/fd") of
        {ok, Names} -> length(Names);
        {error, _} -> 0
    end.

supervised(Options, Test) ->
    Tester = self(),
    Handler = fun(Packets) -> [Tester ! {probe, N} || {Hep, _} <- Packets, N <- [number(Hep)], N >= ?PROBE] end,
    Spec = hep_listener:child_spec(maps:merge(#{ip => {127, 0, 0, 1}, port => 0, handler => Handler}, Options)),
    {ok, Supervisor} = hep_supervisor:start_link(1, [Spec]),
    [{_, Listener, _, _}] = supervisor:which_children(Supervisor),
    try Test(Listener, Supervisor) after hep_supervisor:stop(Supervisor) end.

%%% Senders

%% Sends until it is stopped, and reconnects when necessary.
load(Options, Port, Client) ->
    spawn_link(fun() -> send_always(Options, Port, Client) end).

send_always(Options, Port, Client) ->
    receive stop -> ok after 0 ->
        _ = with_connection(Options, Port, Client, fun(Send) -> sending(Send, 1) end),
        send_always(Options, Port, Client)
    end.

sending(Send, Number) ->
    receive stop -> self() ! stop, ok after 1 ->
        case Send(packet(Number)) of
            ok -> sending(Send, Number + 1);
            Error -> Error
        end
    end.

stop(Process) ->
    Monitor = monitor(process, Process),
    Process ! stop,
    receive {'DOWN', Monitor, process, Process, _} -> ok end.

%% A packet sent from now on arrives. It may be lost with a killed process, and is then sent again.
probe(Options, Port, Client) ->
    Number = ?PROBE + erlang:unique_integer([positive]),
    until(
        fun() ->
            ok =:= with_connection(Options, Port, Client, fun(Send) ->
                case Send(packet(Number)) of
                    ok -> receive {probe, Number} -> ok after 100 -> lost end;
                    Error -> Error
                end
            end)
        end,
        fun() -> {lost, Number} end
    ),
    probed().

probed() ->
    receive {probe, _} -> probed() after 0 -> ok end.

with_connection(#{transport := udp}, Port, _, Test) ->
    {ok, Socket} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    try
        Test(fun(Bytes) ->
            %% On loopback the system may report a closed port.
            case gen_udp:send(Socket, {127, 0, 0, 1}, Port, Bytes) of
                {error, econnrefused} -> ok;
                Result -> Result
            end
        end)
    after
        gen_udp:close(Socket)
    end;
with_connection(#{transport := tcp}, Port, _, Test) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [{active, false}, binary], 5000) of
        {ok, Socket} -> try Test(fun(Bytes) -> gen_tcp:send(Socket, Bytes) end) after gen_tcp:close(Socket) end;
        Error -> Error
    end;
with_connection(#{transport := tls}, Port, Client, Test) ->
    case hep_net:tls(Port, Client) of
        {ok, Socket} -> try Test(fun(Bytes) -> ssl:send(Socket, Bytes) end) after ssl:close(Socket) end;
        Error -> Error
    end.
