%% @doc Counters for the page's chart and for Prometheus. The number of labels is limited, since senders are hostile:
%% methods, payload types and status classes come from closed lists, and after 100 senders the label is `other'.
-module(call_flow_metrics).

-behaviour(gen_server).

-include_lib("hep/include/hep.hrl").

-export([new/0, count/1, start_link/1, counters/0, rates/0, sample/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% The number of senders with a separate label.
-define(SENDERS, 100).
%% Seconds that the chart shows.
-define(SECONDS, 120).

-define(METHODS, [
    <<"INVITE">>, <<"ACK">>, <<"BYE">>, <<"CANCEL">>, <<"REGISTER">>, <<"OPTIONS">>, <<"SUBSCRIBE">>, <<"NOTIFY">>,
    <<"PUBLISH">>, <<"INFO">>, <<"REFER">>, <<"MESSAGE">>, <<"UPDATE">>, <<"PRACK">>
]).

%% @doc Creates the tables, which belong to the caller.
-spec new() -> ok.
new() ->
    Options = [named_table, public, {write_concurrency, true}, {read_concurrency, true}],
    ?MODULE = ets:new(?MODULE, Options),
    call_flow_rates = ets:new(call_flow_rates, [ordered_set | Options]),
    call_flow_senders = ets:new(call_flow_senders, Options),
    ok.

%% @doc Counts a batch of packets.
-spec count([{hep:hep(), hep_handler:meta()}]) -> ok.
count(Packets) ->
    Second = erlang:system_time(second),
    Counts = lists:foldl(fun({Hep, Meta}, Counts) -> labels(Hep, Meta, Counts) end, #{}, Packets),
    maps:foreach(fun(Label, N) -> add(Label, N, Second) end, Counts).

add({Kind, _} = Label, N, Second) when Kind =:= type; Kind =:= sender ->
    _ = ets:update_counter(?MODULE, Label, N, {Label, 0}),
    Key = {Second, Label},
    _ = ets:update_counter(call_flow_rates, Key, N, {Key, 0}),
    ok;
add(Label, N, _) ->
    _ = ets:update_counter(?MODULE, Label, N, {Label, 0}),
    ok.

labels(#hep{version = Version} = Hep, #{source := {Ip, _}}, Counts) ->
    Type = hep:payload_type(Hep),
    lists:foldl(fun increment/2, Counts, [{version, Version}, {type, Type}, {sender, sender(Ip)} | sip(Type, Hep)]).

increment(Label, Counts) ->
    maps:update_with(Label, fun(N) -> N + 1 end, 1, Counts).

sip(sip, Hep) ->
    case hep_sip:summary(Hep) of
        {ok, #{kind := request, method := Method}} ->
            [{method, case lists:member(Method, ?METHODS) of true -> binary:copy(Method); false -> <<"other">> end}];
        {ok, #{kind := response, status := Status}} when Status < 700 ->
            [{class, Status div 100}];
        _ ->
            []
    end;
sip(_, _) ->
    [].

%% Two processes may add the last sender at the same time, so there can be a few more.
sender(Ip) ->
    case ets:lookup(call_flow_senders, Ip) of
        [{_, Label}] ->
            Label;
        [] ->
            case ets:info(call_flow_senders, size) < ?SENDERS of
                true ->
                    Label = list_to_binary(inet:ntoa(Ip)),
                    true = ets:insert(call_flow_senders, {Ip, Label}),
                    Label;
                false ->
                    <<"other">>
            end
    end.

%% @doc Packets per second of the last two minutes, by type and by sender.
-spec rates() -> #{second := integer(), type := map(), sender := map()}.
rates() ->
    Now = erlang:system_time(second),
    First = Now - ?SECONDS,
    %% The current second is not over.
    Rows = ets:select(call_flow_rates, [{{{'$1', {'$2', '$3'}}, '$4'}, [{'>=', '$1', First}, {'<', '$1', Now}], ['$$']}]),
    Series = fun(Kind) ->
        maps:map(
            fun(_, Counts) -> [maps:get(Second, Counts, 0) || Second <- lists:seq(First, Now - 1)] end,
            lists:foldl(
                fun([Second, _, Label, N], Acc) ->
                    maps:update_with(label(Label), fun(Counts) -> Counts#{Second => N} end, #{Second => N}, Acc)
                end,
                #{},
                [Row || [_, K, _, _] = Row <- Rows, K =:= Kind]
            )
        )
    end,
    #{second => First, type => Series(type), sender => Series(sender)}.

label(Label) when is_atom(Label) -> atom_to_binary(Label);
label(Label) when is_integer(Label) -> integer_to_binary(Label);
label(Label) -> Label.

%% @doc The counters by label.
-spec counters() -> [{{version | type | sender | method | class, term()}, pos_integer()}].
counters() ->
    ets:select(?MODULE, [{{{'$1', '$2'}, '$3'}, [], [{{{{'$1', '$2'}}, '$3'}}]}]).

%% @doc The listeners' counters, the store's and the recorder's, at most a second old.
-spec sample() -> map().
sample() ->
    case ets:lookup(?MODULE, sample) of
        [{_, Sample}] -> Sample;
        [] -> #{listeners => [], store => #{}, recorder => #{}, dropped => #{}}
    end.

-spec start_link(#{atom() => term()}) -> {ok, pid()}.
start_link(Sources) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Sources, []).

%%% gen_server

init(Sources) ->
    {ok, tick(Sources)}.

handle_call(_, _, State) ->
    {reply, ok, State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info(tick, State) ->
    {noreply, tick(State)};
handle_info(_, State) ->
    {noreply, State}.

tick(#{listeners := Names, store := Store, recorder := Recorder} = Sources) ->
    _ = erlang:send_after(1000, self(), tick),
    Old = erlang:system_time(second) - 2 * ?SECONDS,
    _ = ets:select_delete(call_flow_rates, [{{{'$1', '_'}, '_'}, [{'<', '$1', Old}], [true]}]),
    Sample = #{
        listeners => [Info || Name <- Names, Info <- asked(fun() -> hep_listener:info(Name) end)],
        store => first(asked(fun call_flow_store:stats/0)),
        recorder => first([Stats || Recorder =/= none, Stats <- asked(fun call_flow_recorder:stats/0)]),
        dropped => maps:from_list(
            [{store, call_flow_queue:dropped(Store)}] ++
                [{recorder, call_flow_queue:dropped(Recorder)} || Recorder =/= none]
        )
    },
    true = ets:insert(?MODULE, {sample, Sample}),
    Sources.

first([Stats]) -> Stats;
first([]) -> #{}.

%% Empty while the process is restarting.
asked(Fun) ->
    try
        [Fun()]
    catch
        exit:_ -> []
    end.
