%% @doc Listeners and senders on loopback, for the tests. Each wait has a deadline.
-module(hep_net).

-include_lib("eunit/include/eunit.hrl").

-export([listening/2, until/1, until/2, until/3, wait_for/1, quietly/1, patiently/1]).
-export([logged/1, log/2]).
-export([loopback/1, udp/2, udp/3, tcp/1, tcp/2, tls/2, send/2, close/1]).
-export([certificates/0]).
-export([packet/1, number/1, take/1, take/2, flushed/0]).
-export([workers/1, connections/1, acceptors/1, child/2, processes/1, calls/3]).

-define(DEADLINE, 30_000).
%% In seconds.
-define(PATIENCE, 120).
-define(PAUSE, 1).

%% Calls a function with a listener on loopback and its port, and stops the listener. Its packets go to the
%% calling process unless the options say otherwise.
listening(Options, Test) ->
    Defaults = #{ip => {127, 0, 0, 1}, port => 0, handler => self()},
    {ok, Listener} = hep_listener:start_link(maps:merge(Defaults, Options)),
    Monitor = monitor(process, Listener),
    try
        Test(Listener, hep_listener:port(Listener))
    after
        unlink(Listener),
        try hep_listener:stop(Listener) catch exit:_ -> ok end,
        receive {'DOWN', Monitor, process, Listener, _} -> ok end,
        flushed()
    end.

%% Waits until the function returns true.
until(Test) ->
    until(Test, fun() -> no_more end).

%% Waits until the function returns true; the second one returns the state for the error at the deadline.
until(Test, Found) ->
    until(Test, Found, erlang:monotonic_time(millisecond) + ?DEADLINE).

%% With a deadline, in milliseconds of monotonic time.
until(Test, Found, Deadline) ->
    Late = erlang:monotonic_time(millisecond) > Deadline,
    case Test() of
        true -> ok;
        _ when Late -> erlang:error({deadline, Found()});
        _ -> receive after ?PAUSE -> until(Test, Found, Deadline) end
    end.

%% Waits until the function returns `{true, Value}', and returns the value.
wait_for(Test) ->
    Waiting = make_ref(),
    until(fun() ->
        case Test() of
            {true, Value} -> self() ! {Waiting, Value}, true;
            false -> false
        end
    end),
    receive {Waiting, Value} -> Value end.

%% Runs tests without showing their reports.
quietly(Tests) ->
    {setup,
        fun() ->
            #{level := Level} = logger:get_primary_config(),
            ok = logger:set_primary_config(level, none),
            Level
        end,
        fun(Level) -> ok = logger:set_primary_config(level, Level) end,
        patiently(Tests)}.

%% Gives each test a timeout for a busy machine.
patiently(Tests) when is_list(Tests) -> [patiently(Test) || Test <- Tests];
patiently({inparallel, Tests}) -> {inparallel, patiently(Tests)};
patiently({Name, {Line, Test}}) when is_integer(Line) -> {Name, patiently({Line, Test})};
patiently({Line, Test}) when is_integer(Line) -> {timeout, ?PATIENCE, {Line, Test}};
patiently({Name, Test}) when is_function(Test) -> {Name, patiently(Test)};
patiently(Test) when is_function(Test) -> {timeout, ?PATIENCE, Test};
patiently(Test) -> Test.

%% The reports that are logged while the function runs, from notices up. Nothing is shown.
logged(Test) ->
    #{level := Level} = logger:get_primary_config(),
    {ok, #{level := Shown}} = logger:get_handler_config(default),
    ok = logger:set_handler_config(default, level, none),
    ok = logger:set_primary_config(level, notice),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    try
        _ = Test(),
        reports()
    after
        ok = logger:remove_handler(?MODULE),
        ok = logger:set_primary_config(level, Level),
        ok = logger:set_handler_config(default, level, Shown)
    end.

%% Called in the process that logs.
log(#{msg := {report, Report}}, #{config := Pid}) -> Pid ! {?MODULE, logged, report(Report)};
log(#{msg := Message}, #{config := Pid}) -> Pid ! {?MODULE, logged, #{message => Message}}.

report(Report) when is_map(Report) -> Report;
report(Report) -> #{report => Report}.

reports() ->
    receive {?MODULE, logged, Report} -> [Report | reports()] after 0 -> [] end.

%%% Senders

loopback(inet) -> {127, 0, 0, 1};
loopback(inet6) -> {0, 0, 0, 0, 0, 0, 0, 1}.

%% Sends datagrams from one port, and returns the port.
udp(Port, Datagrams) ->
    udp(inet, Port, Datagrams).

udp(Family, Port, Datagrams) ->
    {ok, Socket} = gen_udp:open(0, [Family, binary, {ip, loopback(Family)}]),
    {ok, Source} = inet:port(Socket),
    [ok = gen_udp:send(Socket, loopback(Family), Port, Datagram) || Datagram <- Datagrams],
    ok = gen_udp:close(Socket),
    Source.

tcp(Port) ->
    tcp(inet, Port).

tcp(Family, Port) ->
    Options = [Family, binary, {active, false}, {nodelay, true}],
    {ok, Socket} = gen_tcp:connect(loopback(Family), Port, Options, ?DEADLINE),
    Socket.

tls(Port, Options) ->
    ssl:connect(loopback(inet), Port, [{active, false}, binary | Options], ?DEADLINE).

send(Socket, Bytes) when is_port(Socket) -> gen_tcp:send(Socket, Bytes);
send(Socket, Bytes) -> ssl:send(Socket, Bytes).

close(Socket) when is_port(Socket) -> gen_tcp:close(Socket);
close(Socket) -> ssl:close(Socket).

%% Options of a server, and of a client that trusts it.
certificates() ->
    {ok, _} = application:ensure_all_started(ssl),
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    Name = {extensions, [{'Extension', {2, 5, 29, 17}, false, [{iPAddress, <<127, 0, 0, 1>>}]}]},
    Chain = #{root => Key, intermediates => [], peer => Key},
    #{server_config := Server, client_config := Client} = public_key:pkix_test_data(#{
        server_chain => Chain#{peer => [Name | Key]}, client_chain => Chain
    }),
    {Server, [{verify, verify_peer} | Client]}.

%%% Packets with a number, to tell them apart

packet(Number) ->
    hep_packets:frame([
        hep_packets:chunk(1, <<2>>),
        hep_packets:chunk(2, <<17>>),
        hep_packets:chunk(11, <<1>>),
        hep_packets:chunk(15, <<"OPTIONS ", (integer_to_binary(Number))/binary>>)
    ]).

number(Hep) ->
    <<"OPTIONS ", Number/binary>> = hep:payload(Hep),
    binary_to_integer(Number).

%% Receives this many packets of a listener whose handler is this process, with their meta.
take(Count) ->
    take(Count, []).

take(Count, Taken) when Count =< 0 ->
    ?assertEqual(0, Count),
    lists:append(lists:reverse(Taken));
take(Count, Taken) ->
    receive
        {hep_packets, _, Packets} -> take(Count - length(Packets), [Packets | Taken])
    after ?DEADLINE -> erlang:error({missing, Count})
    end.

%% The other packets so far.
flushed() ->
    receive
        {Tag, _, _} = Message when Tag =:= hep_packets -> [Message | flushed()];
        {Tag, _, _, _} = Message when Tag =:= hep_error -> [Message | flushed()]
    after 0 -> []
    end.

%%% Processes of a listener

%% The UDP shards.
workers(Listener) ->
    children(Listener, shards).

%% The processes of TCP and TLS connections.
connections(Listener) ->
    children(Listener, connections).

%% The acceptors.
acceptors(Listener) ->
    children(Listener, acceptors).

%% The owner of the sockets, the supervisors and the reporter, by their names.
child(Listener, Id) ->
    hep_listener_sup:child(Listener, Id).

%% All processes of a listener, including the listener.
processes(Listener) ->
    Children = [{Id, Pid} || {Id, Pid, _, _} <- supervisor:which_children(Listener), is_pid(Pid)],
    Below = [Pid || {Id, _} <- Children, lists:member(Id, [shards, connections, acceptors]), Pid <- children(Listener, Id)],
    [Listener | [Pid || {_, Pid} <- Children]] ++ Below.

%% How often a process calls a function while another function runs here.
calls(Pid, Function, Test) ->
    _ = erlang:trace_pattern(Function, true, []),
    1 = erlang:trace(Pid, true, [call]),
    _ = Test(),
    1 = erlang:trace(Pid, false, [call]),
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    _ = erlang:trace_pattern(Function, false, []),
    calls(Pid, 0).

calls(Pid, Count) ->
    receive {trace, Pid, call, _} -> calls(Pid, Count + 1)
    after 0 -> Count
    end.

children(Listener, Id) ->
    case child(Listener, Id) of
        undefined -> [];
        Supervisor -> [Pid || {_, Pid, _, _} <- supervisor:which_children(Supervisor), is_pid(Pid)]
    end.
