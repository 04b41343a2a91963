%% @doc The sources of calls: `<<"live">>', and one for each uploaded capture file. The table of sources belongs to the
%% supervisor, so that it outlives all processes.
-module(call_flow_sources).

-behaviour(gen_server).

-export([new/0, put/3, info/2, delete/1, find/1, start_link/1, upload/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-type id() :: binary().
-type info() :: #{name := binary(), state := live | receiving | reading | done, epoch := binary(), atom() => term()}.
%% A page with another epoch of the source forgets its calls.

-export_type([id/0, info/0]).

-spec new() -> ok.
new() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {read_concurrency, true}]),
    ok.

%% @doc Called by the process that owns the tables.
-spec put(id(), call_flow_calls:tables(), info()) -> ok.
put(Id, Tables, Info) ->
    true = ets:insert(?MODULE, {Id, self(), Tables, Info}),
    ok.

%% @doc Replaces the info of the source.
-spec info(id(), info()) -> ok.
info(Id, Info) ->
    _ = ets:update_element(?MODULE, Id, {4, Info}),
    ok.

-spec delete(id()) -> ok.
delete(Id) ->
    true = ets:delete(?MODULE, Id),
    ok.

-spec find(id()) -> {ok, pid(), call_flow_calls:tables(), info()} | not_found.
find(Id) ->
    case ets:lookup(?MODULE, Id) of
        [{_, Pid, Tables, Info}] -> {ok, Pid, Tables, Info};
        [] -> not_found
    end.

-spec start_link(call_flow_config:config()) -> {ok, pid()}.
start_link(Config) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

%% @doc Creates a source for a file of this size. If there are too many files, the oldest one is deleted.
-spec upload(Name :: binary(), Bytes :: non_neg_integer()) -> {ok, id()} | {error, {too_large, Max :: pos_integer()}}.
upload(Name, Bytes) ->
    gen_server:call(?MODULE, {upload, Name, Bytes}).

%%% gen_server

init(Config) ->
    process_flag(trap_exit, true),
    {ok, #{config => Config, uploads => []}}.

handle_call({upload, _, Bytes}, _, #{config := #{upload := #{bytes := Max}}} = State) when Bytes > Max ->
    {reply, {error, {too_large, Max}}, State};
handle_call({upload, Name, Bytes}, _, #{config := #{limits := Limits, upload := #{files := Files}}} = State) ->
    #{uploads := Uploads} = State,
    {Kept, Closed} = lists:split(min(Files - 1, length(Uploads)), Uploads),
    lists:foreach(fun close/1, Closed),
    Id = iolist_to_binary(["file-", integer_to_binary(erlang:unique_integer([positive]))]),
    {ok, Pid} = call_flow_upload:start_link(Id, Name, Bytes, Limits),
    {reply, {ok, Id}, State#{uploads := [{Pid, Id} | Kept]}}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({'EXIT', Pid, _}, #{uploads := Uploads} = State) ->
    lists:foreach(fun({_, Id}) -> delete(Id) end, [Upload || {P, _} = Upload <- Uploads, P =:= Pid]),
    {noreply, State#{uploads := lists:keydelete(Pid, 1, Uploads)}};
handle_info(_, State) ->
    {noreply, State}.

close({Pid, Id}) ->
    delete(Id),
    exit(Pid, kill).
