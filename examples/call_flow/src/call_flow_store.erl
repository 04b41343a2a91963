%% @doc The live calls: takes packets from the listeners' processes through a bounded queue and keeps them in ETS.
-module(call_flow_store).

-behaviour(gen_server).

-export([start_link/2, stats/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(EXPIRE_INTERVAL, 1000).

-spec start_link(call_flow_queue:queue(), call_flow_config:config()) -> {ok, pid()}.
start_link(Queue, Config) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, {Queue, Config}, []).

-spec stats() -> map().
stats() ->
    gen_server:call(?MODULE, stats).

%%% gen_server

init({Queue, #{limits := Limits, record := Record}}) ->
    Calls = call_flow_calls:new(Limits),
    ok = call_flow_queue:reset(Queue),
    %% A page with another epoch forgets its calls.
    Epoch = integer_to_binary(erlang:system_time(microsecond), 36),
    call_flow_sources:put(<<"live">>, call_flow_calls:tables(Calls), #{name => <<"live">>, state => live, epoch => Epoch}),
    Store = self(),
    _ = call_flow_recorder:restore(Record, fun(Entries) -> gen_server:call(Store, {add, Entries}, infinity) end),
    _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
    {ok, {Queue, Calls}}.

handle_call({add, Entries}, _, {Queue, Calls}) ->
    {reply, ok, {Queue, add(Entries, Calls)}};
handle_call(stats, _, {_, Calls} = State) ->
    {reply, call_flow_calls:stats(Calls), State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({packets, Entries, Bytes}, {Queue, Calls}) ->
    Added = add(Entries, Calls),
    call_flow_queue:handled(length(Entries), Bytes, Queue),
    {noreply, {Queue, Added}};
handle_info(expire, {Queue, Calls}) ->
    _ = erlang:send_after(?EXPIRE_INTERVAL, self(), expire),
    {noreply, {Queue, call_flow_calls:expire(erlang:monotonic_time(second), Calls)}};
handle_info(_, State) ->
    {noreply, State}.

add(Entries, Calls) ->
    call_flow_calls:add(Entries, erlang:monotonic_time(second), Calls).
