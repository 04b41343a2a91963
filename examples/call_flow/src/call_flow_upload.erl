%% @doc An uploaded capture file: receives its parts, then reads the packets into separate tables.
-module(call_flow_upload).

-behaviour(gen_server).

-export([start_link/4, part/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2]).

%% An upload ends after this time without a part; a file is deleted after a day without a reader.
-define(PART_TIMEOUT, 60000).
-define(KEEP, 86400000).
%% Packets per insertion.
-define(BATCH, 200).

-record(upload, {
    id :: call_flow_sources:id(),
    name :: binary(),
    size :: non_neg_integer(),
    received = 0 :: non_neg_integer(),
    parts = [] :: [binary()] | done,
    calls :: call_flow_calls:calls()
}).

-spec start_link(call_flow_sources:id(), Name :: binary(), Bytes :: non_neg_integer(), call_flow_config:limits()) -> {ok, pid()}.
start_link(Id, Name, Bytes, Limits) ->
    gen_server:start_link(?MODULE, {Id, Name, Bytes, Limits}, []).

%% @doc Adds the part at an offset, which must be the end of the part before.
-spec part(pid(), Offset :: non_neg_integer(), binary()) ->
    {ok, Received :: non_neg_integer()} | {error, {offset, Expected :: non_neg_integer()} | too_long | complete}.
part(Pid, Offset, Bytes) ->
    gen_server:call(Pid, {part, Offset, Bytes}).

%%% gen_server

init({Id, Name, Bytes, Limits}) ->
    Calls = call_flow_calls:new(Limits),
    State = #upload{id = Id, name = Name, size = Bytes, calls = Calls},
    call_flow_sources:put(Id, call_flow_calls:tables(Calls), info(State, receiving)),
    {ok, State, ?PART_TIMEOUT}.

handle_call({part, _, _}, _, #upload{parts = done} = State) ->
    {reply, {error, complete}, State, ?KEEP};
handle_call({part, Received, Bytes}, _, #upload{received = Received, size = Size, parts = Parts} = State) ->
    case Received + byte_size(Bytes) of
        Size -> {reply, {ok, Size}, State#upload{received = Size, parts = [Bytes | Parts]}, {continue, read}};
        Now when Now < Size -> {reply, {ok, Now}, State#upload{received = Now, parts = [Bytes | Parts]}, ?PART_TIMEOUT};
        _ -> {reply, {error, too_long}, State, ?PART_TIMEOUT}
    end;
handle_call({part, _, _}, _, #upload{received = Received} = State) ->
    {reply, {error, {offset, Received}}, State, ?PART_TIMEOUT}.

handle_cast(_, State) ->
    {noreply, State, ?KEEP}.

handle_info(timeout, State) ->
    {stop, normal, State};
handle_info(_, State) ->
    {noreply, State, ?KEEP}.

handle_continue(read, #upload{id = Id, parts = Parts, calls = Calls} = State) ->
    call_flow_sources:info(Id, info(State, reading)),
    File = iolist_to_binary(lists:reverse(Parts)),
    {Outcome, Read} = call_flow_file:fold({binary, File}, ?BATCH, fun add/2, Calls),
    #{evicted := Evicted} = call_flow_calls:stats(Read),
    call_flow_sources:info(Id, maps:merge((info(State, done))#{evicted => lists:sum(maps:values(Evicted))}, Outcome)),
    {noreply, State#upload{parts = done, calls = Read}, {continue, collect}};
handle_continue(collect, State) ->
    {noreply, State, ?KEEP}.

add(Entries, Calls) ->
    call_flow_calls:add(Entries, erlang:monotonic_time(second), Calls).

info(#upload{id = Id, name = Name, size = Size}, Outcome) ->
    #{name => Name, state => Outcome, epoch => Id, bytes => Size}.
