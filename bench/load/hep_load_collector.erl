%% @doc A {@link hep_load_node} over TCP that is killed repeatedly, always on the same port.
-module(hep_load_collector).

-export([start/1, stop/1]).

-export_type([collector/0, result/0]).

%% The time without a collector after a kill, in milliseconds.
-define(DOWN, 3000).

-opaque collector() :: pid().

%% The number of kills, and of received packets, as reported before each kill.
-type result() :: #{kills := non_neg_integer(), received := non_neg_integer()}.

-record(state, {
    every :: pos_integer(),
    node :: hep_load_node:load_node(),
    kills = 0 :: non_neg_integer(),
    received = 0 :: non_neg_integer()
}).

%% @doc Starts it, on a port that the system chooses. It is killed at this interval, in milliseconds.
-spec start(pos_integer()) -> {collector(), inet:port_number()}.
start(Every) ->
    Caller = self(),
    Pid = spawn_link(fun() ->
        Node = collector(0),
        Caller ! {self(), hep_load_node:port(Node)},
        loop(#state{every = Every, node = Node})
    end),
    receive {Pid, Port} -> {Pid, Port} end.

%% @doc Ends it. A collector that is down is started first, and gets time to receive the waiting packets.
-spec stop(collector()) -> result().
stop(Pid) ->
    Pid ! {stop, self()},
    receive {Pid, Result} -> Result end.

loop(#state{every = Every, node = Node} = State) ->
    receive
        {stop, From} ->
            #state{kills = Kills, received = Received} = counted(State),
            ok = hep_load_node:stop(Node),
            From ! {self(), #{kills => Kills, received => Received}}
    after Every ->
        Counted = counted(State),
        ok = hep_load_node:kill(Node),
        timer:sleep(?DOWN),
        loop(Counted#state{node = collector(hep_load_node:port(Node)), kills = Counted#state.kills + 1})
    end.

counted(#state{node = Node, received = Before} = State) ->
    State#state{received = Before + hep_load_node:received(Node)}.

collector(Port) ->
    hep_load_node:start(tcp, Port, {count, any}).
