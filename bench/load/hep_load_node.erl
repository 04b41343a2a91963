%% @doc A {@link hep_listener} in a separate VM.
-module(hep_load_node).

-export([start/3, port/1, received/1, cpu_us/1, kill/1, stop/1]).
%% Runs in the other VM.
-export([listen/3]).

-export_type([load_node/0]).

-record(node, {
    peer :: pid(),
    port :: inet:port_number()
}).

-opaque load_node() :: #node{}.

%% @doc Starts it on a port, or with 0 on one that the system chooses; with a task of {@link hep_load_handler}.
-spec start(udp | tcp, inet:port_number(), term()) -> load_node().
start(Transport, Port, Task) ->
    Folders = [filename:absname(filename:dirname(code:which(Module))) || Module <- [hep, ?MODULE]],
    %% Schedulers that wait in a loop for work would count as CPU time of packets.
    Flags = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"],
    {ok, Peer, _} = peer:start(#{connection => standard_io, args => Flags ++ ["-pa" | Folders]}),
    #node{peer = Peer, port = peer:call(Peer, ?MODULE, listen, [Transport, Port, Task])}.

-spec port(load_node()) -> inet:port_number().
port(#node{port = Port}) -> Port.

-spec received(load_node()) -> non_neg_integer().
received(#node{peer = Peer}) ->
    #{received := Received} = peer:call(Peer, hep_listener, info, [?MODULE]),
    Received.

-spec cpu_us(load_node()) -> non_neg_integer().
cpu_us(#node{peer = Peer}) -> peer:call(Peer, hep_load_system, cpu_us, []).

%% @doc With signal 9.
-spec kill(load_node()) -> ok.
kill(#node{peer = Peer}) ->
    Monitor = monitor(process, Peer),
    _ = os:cmd("kill -9 " ++ peer:call(Peer, os, getpid, [])),
    receive {'DOWN', Monitor, process, Peer, _} -> ok end.

-spec stop(load_node()) -> ok.
stop(#node{peer = Peer}) -> peer:stop(Peer).

%% @private The process that calls this ends at once: another one owns the listener.
-spec listen(udp | tcp, inet:port_number(), term()) -> inet:port_number().
listen(Transport, Port, Task) ->
    Caller = self(),
    Pid = spawn(fun() ->
        {ok, Listener} = hep_listener:start_link(#{
            transport => Transport,
            ip => {127, 0, 0, 1},
            port => Port,
            name => {local, ?MODULE},
            handler => {hep_load_handler, {hep_load_handler:new(), Task}}
        }),
        Caller ! {self(), hep_listener:port(Listener)},
        receive stop -> ok end
    end),
    receive {Pid, Listening} -> Listening end.
