%% @private The total of inflated bytes that the processes of a {@link hep_listener} may hold at a time.
%%
%% A process takes bytes from the budget before it inflates, and waits, without reading its socket, until enough are
%% free. It returns them after its handler has returned and the garbage is collected. A waiting process holds none, so
%% there is no deadlock. All processes are monitored: the bytes of a process that ends are returned.
%%
%% A budget that is killed starts again with all its bytes, while processes may still hold earlier ones: until these
%% have handled their batches, the total may be twice the budget.
-module(hep_listener_budget).

-behaviour(gen_server).

-export([start_link/2, take/2, give_back/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([budget/0]).

-type budget() :: fun(() -> pid() | undefined).
%% Finds the budget process, which may be restarting.

%% The waiting time for a restart, in milliseconds.
-define(RESTART, 10).
%% The interval for looking for an exit signal, in milliseconds.
-define(INTERVAL, 100).

-record(state, {
    free :: non_neg_integer(),
    %% The bytes of each process. Entries stay until the process ends.
    taken = #{} :: #{pid() => non_neg_integer()},
    %% Waiting processes: first come, first served.
    waiting = queue:new() :: queue:queue({pid(), reference(), pos_integer()})
}).

%% @doc Starts a budget of `Bytes'. The function publishes the process's pid.
-spec start_link(Bytes :: pos_integer(), fun((pid()) -> ok)) -> gen_server:start_ret().
start_link(Bytes, Register) ->
    gen_server:start_link(?MODULE, {Bytes, Register}, []).

%% @doc Takes bytes for the calling process, which must hold none. Waits until they are free; an exit signal ends the
%% wait and the process.
-spec take(pos_integer(), budget()) -> ok.
take(Bytes, Budget) ->
    case Budget() of
        undefined ->
            timer:sleep(?RESTART),
            take(Bytes, Budget);
        Pid ->
            Request = monitor(process, Pid, [{alias, reply_demonitor}]),
            gen_server:cast(Pid, {take, self(), Request, Bytes}),
            case reply(Pid, Request) of
                taken ->
                    ok;
                restarts ->
                    timer:sleep(?RESTART),
                    take(Bytes, Budget)
            end
    end.

%% Exit signals are looked for at intervals, since that scans the mailbox; the other messages are found without.
reply(Pid, Request) ->
    receive
        {Request, taken} -> taken;
        {'DOWN', Request, process, Pid, _} -> restarts
    after ?INTERVAL ->
        receive
            {'EXIT', _, Reason} when Reason =/= normal -> exit(Reason)
        after 0 -> reply(Pid, Request)
        end
    end.

%% @doc Returns all bytes that the calling process has taken.
-spec give_back(budget()) -> ok.
give_back(Budget) ->
    case Budget() of
        undefined -> ok;
        Pid -> gen_server:cast(Pid, {give_back, self()})
    end.

init({Bytes, Register}) ->
    ok = Register(self()),
    {ok, #state{free = Bytes}}.

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast({take, Pid, Request, Bytes}, #state{waiting = Waiting} = State) ->
    {noreply, served((monitored(Pid, State))#state{waiting = queue:in({Pid, Request, Bytes}, Waiting)})};
handle_cast({give_back, Pid}, State) ->
    {noreply, served(given_back(Pid, State))}.

handle_info({'DOWN', _, process, Pid, _}, State) ->
    #state{taken = Taken, waiting = Waiting} = Next = given_back(Pid, State),
    Others = queue:filter(fun({Each, _, _}) -> Each =/= Pid end, Waiting),
    {noreply, served(Next#state{taken = maps:remove(Pid, Taken), waiting = Others})};
handle_info(_, State) ->
    {noreply, State}.

monitored(Pid, #state{taken = Taken} = State) when is_map_key(Pid, Taken) ->
    State;
monitored(Pid, #state{taken = Taken} = State) ->
    _ = monitor(process, Pid),
    State#state{taken = Taken#{Pid => 0}}.

%% After a restart, the budget does not know about bytes taken earlier.
given_back(Pid, #state{free = Free, taken = Taken} = State) when is_map_key(Pid, Taken) ->
    State#state{free = Free + map_get(Pid, Taken), taken = Taken#{Pid := 0}};
given_back(_, State) ->
    State.

served(#state{free = Free, taken = Taken, waiting = Waiting} = State) ->
    case queue:peek(Waiting) of
        {value, {Pid, Request, Bytes}} when Bytes =< Free ->
            Request ! {Request, taken},
            Now = Taken#{Pid := map_get(Pid, Taken) + Bytes},
            served(State#state{free = Free - Bytes, taken = Now, waiting = queue:drop(Waiting)});
        _ ->
            State
    end.
