%% @doc The API that the page uses, in JSON. All answers are `{Code, Headers, Body}'.
-module(call_flow_api).

-include_lib("hep/include/hep.hrl").

-export([get/2, post/3, json/1, failure/2]).

-type answer() :: {Code :: pos_integer(), [{atom() | string(), string()}], iodata()}.

-export_type([answer/0]).

%% Calls per answer.
-define(LIMIT, 2000).
%% Packets in a ladder. Downloads have all.
-define(LADDER, 4000).

-spec get(Path :: [string()], Query :: #{string() => string()}) -> answer().
get(["metrics"], _) ->
    {200, [{content_type, "text/plain; version=0.0.4; charset=utf-8"}], call_flow_prometheus:text()};
get(["api" | Path], Query) ->
    case call_flow_sources:find(list_to_binary(maps:get("source", Query, "live"))) of
        {ok, Pid, Tables, Info} ->
            try
                source(Path, Query, Tables, Info)
            catch
                %% The process that owns the tables has just ended.
                error:badarg:Stack ->
                    _ = is_process_alive(Pid) andalso erlang:raise(error, badarg, Stack),
                    failure(503, <<"restarting">>)
            end;
        not_found ->
            failure(404, <<"unknown source">>)
    end;
get(_, _) ->
    failure(404, <<"not found">>).

source(["state"], Query, Tables, Info) -> state(Query, Tables, Info);
source(["calls"], Query, Tables, _) -> calls(Query, Tables);
source(["call", Name], Query, Tables, _) -> call(string:split(Name, "."), Query, Tables);
source(["message", Id, Number], _, Tables, _) -> message(integer(Id), integer(Number), Tables);
source(_, _, _, _) -> failure(404, <<"not found">>).

-spec post(Path :: [string()], Query :: #{string() => string()}, Body :: binary()) -> answer().
post(["api", "upload"], #{"name" := Name, "bytes" := Bytes}, _) ->
    case {unicode:characters_to_binary(lists:sublist(Name, 255)), integer(Bytes)} of
        {Text, Size} when is_binary(Text), Size > 0 -> upload(Text, Size);
        _ -> failure(400, <<"name or bytes is wrong">>)
    end;
post(["api", "upload", Id], #{"offset" := Offset}, Body) ->
    part(call_flow_sources:find(list_to_binary(Id)), integer(Offset), Body);
post(_, _, _) ->
    failure(404, <<"not found">>).

-spec json(call_flow_json:value()) -> answer().
json(Value) ->
    json(200, Value).

-spec failure(Code :: pos_integer(), binary()) -> answer().
failure(Code, Text) ->
    json(Code, #{error => Text}).

json(Code, Value) ->
    {Code, [{content_type, "application/json"}], call_flow_json:encode(Value)}.

%% 0 for anything but a positive integer: no call and no change has this number.
integer(Text) ->
    case string:to_integer(Text) of
        {Number, []} when Number > 0 -> Number;
        _ -> 0
    end.

%%% State and calls

state(Query, Tables, Info) ->
    Epoch = binary_to_list(maps:get(epoch, Info)),
    Since =
        case Query of
            #{"epoch" := Epoch, "since" := Text} -> integer(Text);
            _ -> 0
        end,
    #{ids := Ids, seq := Seq, oldest := Oldest, more := More} = call_flow_calls:changes(Since, ?LIMIT, Tables),
    Live = maps:get(state, Info) =:= live,
    json(#{
        source => Info,
        seq => Seq,
        oldest => Oldest,
        more => More,
        now => erlang:system_time(microsecond),
        calls => rows(Ids, Tables),
        rates => case Live of true -> call_flow_metrics:rates(); false -> null end,
        totals => case Live of true -> totals(call_flow_metrics:sample()); false -> null end
    }).

totals(#{listeners := Listeners, store := Store, dropped := Dropped}) ->
    Sum = fun(Key) -> lists:sum([N || Info <- Listeners, N <- [maps:get(Key, Info, 0)], is_integer(N)]) end,
    #{
        received => Sum(received),
        decoded => Sum(decoded),
        rejected => lists:sum([N || #{rejected := Rejected} <- Listeners, N <- maps:values(Rejected)]),
        unauthenticated => Sum(unauthenticated),
        dropped => Sum(dropped) + lists:sum(maps:values(Dropped)),
        evicted => lists:sum(maps:values(maps:get(evicted, Store, #{}))),
        listeners => [
            #{transport => Transport, ip => list_to_binary(inet:ntoa(Ip)), port => Port}
         || #{transport := Transport, ip := Ip, port := Port} <- Listeners
        ]
    }.

rows(Ids, Tables) ->
    [{json, Row} || Id <- Ids, {ok, {Row, _}} <- [row(Id, Tables)]].

%% The JSON of a call in the list, and the text that a filter searches.
row(Id, Tables) ->
    call_flow_calls:cached(
        Id,
        fun(Call) ->
            Row = row(Call),
            {iolist_to_binary(call_flow_json:encode(Row)), string:lowercase(text(Row))}
        end,
        Tables
    ).

row(#{id := Id, seq := Seq, key := Key, stored := Stored, ignored := Ignored, flow := Flow}) ->
    #{packets := Packets, messages := Messages, methods := Methods, start := Start, stop := Stop, duration := Duration} =
        Summary = hep_flow:summary(Flow),
    #{
        id => Id,
        seq => Seq,
        key => key(Key),
        time => Start,
        stop => Stop,
        duration => Duration,
        from => address(Summary, from),
        to => address(Summary, to),
        source => endpoint(maps:get(source, Summary, undefined)),
        destination => endpoint(maps:get(destination, Summary, undefined)),
        method => maps:get(method, Summary, null),
        methods => maps:keys(Methods),
        state => maps:get(state, Summary, null),
        status => maps:get(status, Summary, null),
        reason => maps:get(reason, Summary, null),
        messages => Messages,
        packets => Packets,
        stored => Stored,
        ignored => Ignored
    }.

key(Key) when is_binary(Key) ->
    Key;
key({Type, Source, Destination}) ->
    #hep{} = Hep = #hep{payload_type = Type},
    iolist_to_binary([name(hep:payload_type(Hep)), $\s, ip(Source), <<" - ">>, ip(Destination)]).

name(Type) when is_atom(Type) -> atom_to_binary(Type);
name(Type) -> integer_to_binary(Type).

ip(undefined) -> <<"?">>;
ip(Ip) -> inet:ntoa(Ip).

address(Summary, Key) ->
    case Summary of
        #{Key := #{user := User, host := Host}} -> <<User/binary, $@, Host/binary>>;
        #{Key := #{host := Host}} -> Host;
        #{Key := #{user := User}} -> User;
        #{Key := #{uri := Uri}} -> Uri;
        _ -> null
    end.

endpoint({Ip, Port}) when is_tuple(Ip), is_integer(Port) ->
    Colon = [$: | integer_to_list(Port)],
    case tuple_size(Ip) of
        4 -> iolist_to_binary([inet:ntoa(Ip), Colon]);
        8 -> iolist_to_binary([$[, inet:ntoa(Ip), $], Colon])
    end;
endpoint({Ip, undefined}) when is_tuple(Ip) ->
    list_to_binary(inet:ntoa(Ip));
endpoint(_) ->
    null.

text(#{methods := Methods} = Row) ->
    Fields = [maps:get(Name, Row) || Name <- [key, from, to, source, destination, state, status, reason]],
    call_flow_text:utf8(lists:join($\n, [text_of(Field) || Field <- Fields ++ Methods])).

text_of(null) -> <<>>;
text_of(Number) when is_integer(Number) -> integer_to_binary(Number);
text_of(State) when is_atom(State) -> atom_to_binary(State);
text_of(Text) -> Text.

%% Calls with all words of the filter, the most recent first.
calls(Query, Tables) ->
    Words = string:lexemes(string:lowercase(maps:get("filter", Query, "")), " "),
    Limit =
        case integer(maps:get("limit", Query, "")) of
            0 -> ?LIMIT;
            Number -> min(Number, ?LIMIT)
        end,
    json(#{calls => found(call_flow_calls:ids(Tables), Words, Limit, Tables)}).

found([Id | Ids], Words, Left, Tables) when Left > 0 ->
    case row(Id, Tables) of
        {ok, {Row, Text}} ->
            case lists:all(fun(Word) -> string:find(Text, Word) =/= nomatch end, Words) of
                true -> [{json, Row} | found(Ids, Words, Left - 1, Tables)];
                false -> found(Ids, Words, Left, Tables)
            end;
        not_found ->
            found(Ids, Words, Left, Tables)
    end;
found(_, _, _, _) ->
    [].

%%% A call

call([Id | Form], Query, Tables) ->
    case call_flow_calls:call(integer(Id), Tables) of
        {ok, #{id := Number, seq := Seq}} ->
            Related = call_flow_calls:related(Number, Tables),
            Legs =
                case Query of
                    #{"related" := "1"} -> [Number | Related];
                    _ -> [Number]
                end,
            Packets = lists:append([packets(Leg, Tables) || Leg <- Legs]),
            form(Form, Number, Seq, Legs, Related, Packets, Tables);
        not_found ->
            failure(404, <<"the call is not there any more">>)
    end.

packets(Id, Tables) ->
    [{Id, Number, Hep} || {Number, Hep, _} <- call_flow_calls:packets(Id, Tables)].

form([], Id, Seq, Legs, Related, Packets, Tables) ->
    Shown = lists:sublist(Packets, ?LADDER),
    #{hosts := Hosts, arrows := Arrows} = hep_flow:ladder([Hep || {_, _, Hep} <- Shown]),
    Refs = list_to_tuple(Shown),
    {_, LeftOut} = pcap(Packets),
    json(#{
        id => Id,
        seq => Seq,
        legs => rows(Legs, Tables),
        related => rows(Related, Tables),
        hosts => [Label || #{label := Label} <- Hosts],
        arrows => [arrow(Arrow, element(Index, Refs)) || #{packet := Index} = Arrow <- Arrows],
        not_shown => length(Packets) - length(Shown),
        not_in_pcap => LeftOut
    });
form(["pcap"], Id, _, _, _, Packets, _) ->
    {Content, LeftOut} = pcap(Packets),
    download(Id, "pcap", "application/vnd.tcpdump.pcap", [{"X-Left-Out", integer_to_list(LeftOut)}], Content);
form(["json"], Id, _, _, _, Packets, _) ->
    download(Id, "json", "application/json", [], hep_json:encode([Hep || {_, _, Hep} <- Packets]));
form(_, _, _, _, _, _, _) ->
    failure(404, <<"unknown form">>).

arrow(Arrow, {Id, Number, _}) ->
    Shown = maps:with([time, from, to, kind, label, sdp, retransmission, duplicate, method, status, cseq], Arrow),
    Shown#{call => Id, number => Number}.

download(Id, Suffix, Type, Headers, Content) ->
    Name = lists:flatten(io_lib:format("attachment; filename=\"call-~b.~s\"", [Id, Suffix])),
    {200, [{content_type, Type}, {"Content-Disposition", Name} | Headers], Content}.

%% A capture file, and how many packets cannot be in it: those without addresses, for example.
pcap(Packets) ->
    {Records, _, LeftOut} = lists:foldl(
        fun({_, _, Hep}, {Before, Writer, Left}) ->
            case hep_pcap:record(Hep, Writer) of
                {ok, Record, Next} -> {[Before | Record], Next, Left};
                {error, _} -> {Before, Writer, Left + 1}
            end
        end,
        {[], hep_pcap:writer(), 0},
        Packets
    ),
    {[hep_pcap:header() | Records], LeftOut}.

message(Id, Number, Tables) ->
    case call_flow_calls:packet(Id, Number, Tables) of
        {ok, {Hep, Meta}} ->
            json(#{
                packet => {json, hep_json:encode(Hep)},
                type => name(hep:payload_type(Hep)),
                sender => endpoint(maps:get(source, Meta, undefined)),
                transport => maps:get(transport, Meta, null),
                received => maps:get(time, Meta)
            });
        not_found ->
            failure(404, <<"the message is not there any more">>)
    end.

%%% Uploads

upload(Name, Size) ->
    case call_flow_sources:upload(Name, Size) of
        {ok, Id} ->
            json(#{source => Id});
        {error, {too_large, Max}} ->
            failure(413, iolist_to_binary(io_lib:format("the file has ~b bytes, the maximum is ~b", [Size, Max])))
    end.

part({ok, Pid, _, #{state := receiving}}, Offset, Body) ->
    case call_flow_upload:part(Pid, Offset, Body) of
        {ok, Received} -> json(#{offset => Received});
        {error, {offset, Expected}} -> failure(409, iolist_to_binary(io_lib:format("the next offset is ~b", [Expected])));
        {error, too_long} -> failure(413, <<"more bytes than announced">>);
        {error, complete} -> failure(409, <<"the file is complete">>)
    end;
part({ok, _, _, _}, _, _) ->
    failure(409, <<"this source takes no file">>);
part(not_found, _, _) ->
    failure(404, <<"unknown upload">>).
