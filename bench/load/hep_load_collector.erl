%% @doc A collector in a separate VM, which is killed repeatedly: a {@link hep_listener} over TCP, always on the
%% same port.
-module(hep_load_collector).

-export([start/1, stop/1]).
%% Runs in the other VM.
-export([listen/1]).

-export_type([collector/0, result/0]).

%% The time without a collector after a kill, in milliseconds.
-define(DOWN, 3000).

-opaque collector() :: pid().

%% The number of kills, and of received packets, as reported before each kill.
-type result() :: #{kills := non_neg_integer(), received := non_neg_integer()}.

-record(state, {
    every :: pos_integer(),
    port :: inet:port_number(),
    peer :: pid(),
    kills = 0 :: non_neg_integer(),
    received = 0 :: non_neg_integer()
}).

%% @doc Starts it, on a port that the system chooses. It is killed at this interval, in milliseconds.
-spec start(pos_integer()) -> {collector(), inet:port_number()}.
start(Every) ->
    Caller = self(),
    Pid = spawn_link(fun() ->
        {Peer, Port} = vm(0),
        Caller ! {self(), Port},
        loop(#state{every = Every, port = Port, peer = Peer})
    end),
    receive {Pid, Port} -> {Pid, Port} end.

%% @doc Ends it. A collector that is down is started first, and gets time to receive the waiting packets.
-spec stop(collector()) -> result().
stop(Pid) ->
    Pid ! {stop, self()},
    receive {Pid, Result} -> Result end.

loop(#state{every = Every} = State) ->
    receive
        {stop, From} ->
            #state{kills = Kills, received = Received} = counted(State),
            ok = peer:stop(State#state.peer),
            From ! {self(), #{kills => Kills, received => Received}}
    after Every ->
        Counted = counted(State),
        kill(State#state.peer),
        timer:sleep(?DOWN),
        {Peer, _} = vm(State#state.port),
        loop(Counted#state{peer = Peer, kills = Counted#state.kills + 1})
    end.

counted(#state{peer = Peer, received = Before} = State) ->
    #{received := Received} = peer:call(Peer, hep_listener, info, [?MODULE]),
    State#state{received = Before + Received}.

kill(Peer) ->
    Monitor = monitor(process, Peer),
    _ = os:cmd("kill -9 " ++ peer:call(Peer, os, getpid, [])),
    receive {'DOWN', Monitor, process, Peer, _} -> ok end.

vm(Port) ->
    Folders = [filename:absname(filename:dirname(code:which(Module))) || Module <- [hep, ?MODULE]],
    {ok, Peer, _} = peer:start(#{connection => standard_io, args => ["-pa" | Folders]}),
    {Peer, peer:call(Peer, ?MODULE, listen, [Port])}.

%% @private The process that calls this ends at once: another one owns the listener.
-spec listen(inet:port_number()) -> inet:port_number().
listen(Port) ->
    Caller = self(),
    Pid = spawn(fun() ->
        {ok, Listener} = hep_listener:start_link(#{
            transport => tcp, ip => {127, 0, 0, 1}, port => Port, name => {local, ?MODULE}, handler => fun(_) -> ok end
        }),
        Caller ! {self(), hep_listener:port(Listener)},
        receive stop -> ok end
    end),
    receive {Pid, Listening} -> Listening end.
