%% @doc Supervises the store, the recorder, the listeners and the web server. Each can be restarted alone: they find each
%% other by name, and the tables that they share belong to this process.
-module(call_flow_sup).

-behaviour(supervisor).

-export([start_link/1, init/1]).

%% The limits of the queues of the store and the recorder.
-define(QUEUE_BYTES, 64 * 1024 * 1024).

-spec start_link(call_flow_config:config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Config).

init(#{listeners := Listeners, record := Record} = Config) ->
    ok = call_flow_sources:new(),
    ok = call_flow_metrics:new(),
    Store = call_flow_queue:new(call_flow_store, ?QUEUE_BYTES),
    Recorder = [call_flow_queue:new(call_flow_recorder, ?QUEUE_BYTES) || Record =/= none],
    Named = [{call_flow:listener(N), Options} || {N, Options} <- lists:zip(lists:seq(1, length(Listeners)), Listeners)],
    Sources = #{
        store => Store, recorder => hd(Recorder ++ [none]), listeners => [Name || {Name, _} <- Named]
    },
    Children =
        [worker(call_flow_store, [Store, Config])] ++
            [worker(call_flow_recorder, [Queue, Record]) || Queue <- Recorder] ++
            [worker(call_flow_metrics, [Sources]), worker(call_flow_sources, [Config])] ++
            [listener(Name, Options, [Store | Recorder]) || {Name, Options} <- Named] ++
            [worker(call_flow_web, [Config])],
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, Children}}.

worker(Module, Arguments) ->
    #{id => Module, start => {Module, start_link, Arguments}}.

%% A handler in the options, as in the demonstration, gets the queues, too.
listener(Name, Options, Queues) ->
    Module = maps:get(handler, Options, call_flow_handler),
    Defaults = #{view => decode},
    hep_listener:child_spec(maps:merge(Defaults, Options#{name => {local, Name}, handler => {Module, Queues}})).
