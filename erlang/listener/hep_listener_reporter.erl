%% @private Reports every 10 seconds: the counters of a {@link hep_listener} as an event, and the kernel's drops as an
%% event and a log line.
-module(hep_listener_reporter).

-behaviour(gen_server).

-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(PERIOD, 10_000).

-record(state, {
    shared :: hep_listener_batch:shared(),
    dropped = 0 :: non_neg_integer()
}).

-spec start_link(hep_listener_batch:shared()) -> gen_server:start_ret().
start_link(Shared) ->
    gen_server:start_link(?MODULE, Shared, []).

%% Drops that the previous process reported are not reported again.
init(#{counters := Counters} = Shared) ->
    {ok, scheduled(#state{shared = Shared, dropped = hep_listener_counters:get(dropped, Counters)})}.

handle_call(_, _, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info(report, #state{shared = Shared} = State) ->
    Info = hep_listener_owner:info(Shared),
    {Measurements, Metadata} = hep_listener_counters:split(maps:without([transport], Info)),
    hep_listener_batch:event(stats, Measurements, Metadata, Shared),
    {noreply, scheduled(drops(Info, State))};
handle_info(_, State) ->
    {noreply, State}.

drops(#{dropped := Now, port := Port}, #state{shared = Shared, dropped = Before} = State) when
    is_integer(Now), Now > Before
->
    logger:warning(#{what => hep_listener_dropped, port => Port, datagrams => Now - Before}),
    hep_listener_batch:event(dropped, #{count => Now - Before}, #{}, Shared),
    State#state{dropped = Now};
drops(_, State) ->
    State.

scheduled(State) ->
    _ = erlang:send_after(?PERIOD, self(), report),
    State.
