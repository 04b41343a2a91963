%% @doc A receiver under load, a {@link hep_listener} or a bare `gen_udp' loop, and the packets for it.
-module(hep_load_run).

-include("hep_load.hrl").

-export([listener/1, listener/2, bare/0, close/1]).
-export([send/4, send/5, send/6, datagrams/2, nothing/2, sample/2]).
-export([wait/2, port/1, count/2, info/2, arrived/1, lost/2, none_lost/2]).

-export_type([run/0]).

-record(run, {
    receiver :: pid(),
    kind :: listener | bare,
    port :: inet:port_number(),
    counters :: counters:counters_ref()
}).

-opaque run() :: #run{}.

%% Sockets of the generator: enough for the system to distribute them among two shards.
-define(SOCKETS, 32).
%% The N of `{active, N}' in the bare loop.
-define(ACTIVE, 100).

%% @doc A listener whose handler counts packets.
listener(Options) ->
    listener(Options, {count, any}).

%% @doc With another task of the handler, see {@link hep_load_handler}.
listener(Options, Task) ->
    Counters = hep_load_handler:new(),
    {ok, Listener} = hep_listener:start_link(Options#{
        ip => {127, 0, 0, 1}, port => 0, handler => {hep_load_handler, {Counters, Task}}
    }),
    #run{receiver = Listener, kind = listener, port = hep_listener:port(Listener), counters = Counters}.

%% @doc The minimum of a receiver: discards the messages of a socket.
bare() ->
    Counters = hep_load_handler:new(),
    Loop = spawn_link(fun() ->
        {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}, {recbuf, ?RECBUF}, {active, ?ACTIVE}]),
        loop(Socket, 0)
    end),
    Loop ! {port, self()},
    #run{receiver = Loop, kind = bare, port = receive {Loop, Port} -> Port end, counters = Counters}.

loop(Socket, Count) ->
    receive
        {udp, Socket, _, _, _} ->
            loop(Socket, Count + 1);
        {udp_passive, Socket} ->
            ok = inet:setopts(Socket, [{active, ?ACTIVE}]),
            loop(Socket, Count);
        {count, From} ->
            From ! {self(), Count},
            loop(Socket, Count);
        {port, From} ->
            {ok, Port} = inet:port(Socket),
            From ! {self(), Port},
            loop(Socket, Count)
    end.

close(#run{kind = listener, receiver = Listener}) ->
    ok = hep_listener:stop(Listener),
    receive {'EXIT', Listener, _} -> ok end;
close(#run{kind = bare, receiver = Loop}) ->
    exit(Loop, kill),
    receive {'EXIT', Loop, killed} -> ok end.

port(#run{port = Port}) -> Port.

count(packets, #run{kind = bare, receiver = Loop}) ->
    Loop ! {count, self()},
    receive {Loop, Count} -> Count end;
count(What, #run{counters = Counters}) ->
    hep_load_handler:count(What, Counters).

info(What, #run{receiver = Listener}) ->
    maps:get(What, hep_listener:info(Listener)).

%%% Packets

datagrams(Rate, Seconds) ->
    [{rate, Rate}, {packets, Rate * Seconds}, {sockets, ?SOCKETS}].

send(Transport, Options, Run, Config) ->
    {Sent, none} = send(Transport, Options, Run, fun nothing/2, none, Config),
    Sent.

%% @doc Sends another packet than that of the benchmark.
send(Transport, Options, Packet, #run{port = Port} = Run, #config{folder = Folder}) ->
    Generator = hep_load_generator:start(Transport, Port, Folder, Packet, Options),
    {Sent, none} = hep_load_generator:result(Generator, fun nothing/2, none),
    wait(maps:get(sent, Sent), Run),
    Sent.

%% @doc Waits until all sent packets have arrived, or nothing arrives any more. The function is called every second.
send(Transport, Options, #run{port = Port} = Run, EverySecond, Sum, #config{folder = Folder}) ->
    Generator = hep_load_generator:start(Transport, Port, Folder, Options),
    {Sent, _} = Result = hep_load_generator:result(Generator, EverySecond, Sum),
    wait(maps:get(sent, Sent), Run),
    Result.

%% @doc Waits until this many packets have arrived, or nothing arrives any more.
wait(Sent, Run) -> wait(Sent, -1, Run).

wait(Sent, Before, Run) ->
    case arrived(Run) of
        Now when Now =:= Sent; Now =:= Before -> ok;
        Now ->
            timer:sleep(300),
            wait(Sent, Now, Run)
    end.

nothing(_, Sum) -> Sum.

%% The latest first.
sample(_, Samples) -> [hep_load_system:memory() | Samples].

%% @doc The packets and errors that the handler got.
arrived(#run{kind = bare} = Run) -> count(packets, Run);
arrived(Run) -> count(packets, Run) + count(errors, Run).

lost(#{sent := Sent}, Run) ->
    Sent - arrived(Run).

none_lost(#{sent := Count, seconds := Took} = Sent, Run) ->
    hep_load_report:row("sent", "~ts in ~.2f s", [hep_load_report:digits(Count), Took]),
    hep_load_report:row("received", "~ts", [hep_load_report:digits(arrived(Run))]),
    hep_load_report:must("lost", lost(Sent, Run), lost(Sent, Run) =:= 0).
