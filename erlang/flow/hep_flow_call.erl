%% @private What is known of a call: counts, times, parties, and the state of its main request, for {@link hep_flow}.
-module(hep_flow_call).

-include("hep.hrl").

-export([new/0, add/4, summary/1, text/1]).

-export_type([call/0]).

-record(attempt, {
    cseq :: hep:uint32() | undefined,
    branch :: binary(),
    source :: {inet:ip_address() | undefined, inet:port_number() | undefined}
}).

-record(call, {
    packets = 0 :: non_neg_integer(),
    messages = 0 :: non_neg_integer(),
    methods = #{} :: #{binary() => pos_integer()},
    start :: integer() | undefined,
    stop :: integer() | undefined,
    answer :: integer() | undefined,
    bye :: integer() | undefined,
    %% call_id, from, to, source and destination, from the first message.
    first = #{} :: map(),
    method :: binary() | undefined,
    state :: hep_flow:state() | undefined,
    %% status and reason.
    response = #{} :: map(),
    %% The latest request of the caller.
    attempt :: #attempt{} | undefined
}).

-opaque call() :: #call{}.

%% The number of methods that a call counts.
-define(MAX_METHODS, 16).
%% The maximum length of stored and shown texts.
-define(MAX_TEXT, 255).

-spec new() -> call().
new() -> #call{}.

%% @doc Adds a packet: its SIP message, or `none', and its time.
-spec add(hep:hep(), hep_sip:summary() | none, Microseconds :: integer() | undefined, call()) -> call().
add(Hep, Sip, Time, #call{packets = Packets, start = Start, stop = Stop} = Call) ->
    Counted = Call#call{packets = Packets + 1, start = bound(fun min/2, Start, Time), stop = bound(fun max/2, Stop, Time)},
    case Sip of
        none -> Counted;
        _ -> state(Sip, Time, Hep, first(Sip, Hep, counted(Sip, Counted)))
    end;
add(_, _, _, Call) ->
    erlang:error(badarg, [Call]).

bound(_, undefined, Time) -> Time;
bound(_, Bound, undefined) -> Bound;
bound(Of, Bound, Time) -> Of(Bound, Time).

counted(#{kind := request, method := Method}, #call{messages = N, methods = Methods} = Call) ->
    Name = kept(Method),
    Counts =
        case Methods of
            #{Name := Count} -> Methods#{Name := Count + 1};
            #{} when map_size(Methods) < ?MAX_METHODS -> Methods#{Name => 1};
            #{} -> Methods
        end,
    Call#call{messages = N + 1, methods = Counts};
counted(_, #call{messages = N} = Call) ->
    Call#call{messages = N + 1}.

kept(Text) -> binary:copy(text(Text)).

first(Sip, Hep, #call{messages = 1} = Call) ->
    #hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort} = Hep,
    {Source, Destination} =
        case Sip of
            #{kind := request} -> {{Src, SrcPort}, {Dst, DstPort}};
            #{kind := response} -> {{Dst, DstPort}, {Src, SrcPort}}
        end,
    Parties = maps:map(fun(_, Party) -> address(Party) end, maps:with([from, to], Sip)),
    Id = maps:map(fun(_, CallId) -> binary:copy(CallId) end, maps:with([call_id], Sip)),
    Call#call{first = maps:merge(Parties, Id#{source => Source, destination => Destination})};
first(_, _, Call) ->
    Call.

address(Party) ->
    maps:map(
        fun
            (_, Text) when is_binary(Text) -> kept(Text);
            (_, Port) -> Port
        end,
        maps:remove(tag, Party)
    ).

%%% States

state(#{kind := request, method := Method} = Sip, Time, Hep, Call) ->
    requested(text(Method), Sip, Time, Hep, started(text(Method), Call));
state(#{kind := response, status := Status, cseq := {_, Method}} = Sip, Time, #hep{dst_ip = Ip}, Call) ->
    Started = started(text(Method), Call),
    case text(Method) of
        Name when Name =:= Started#call.method ->
            case Status < 300 orelse is_caller(Sip, Ip, Started) of
                true -> responded(Status, Sip, Time, Started);
                false -> Started
            end;
        %% The BYE itself may be missing in the capture.
        <<"BYE">> when Status >= 200, Status < 300 -> hung_up(Time, Started);
        _ -> Started
    end;
state(_, _, _, Call) ->
    Call.

%% A proxy may try another destination after a negative response, or cancel one of several attempts: only messages
%% between it and the caller count. They are recognised by the branch (RFC 3261, sections 9.1 and 17.1.3), without one
%% by the caller's address.
is_caller(Sip, Ip, #call{attempt = Attempt, first = #{source := {Source, _}}}) ->
    case {Attempt, branch(Sip)} of
        {#attempt{branch = Known}, Branch} when Known =/= <<>>, Branch =/= <<>> -> Known =:= Branch;
        _ -> Ip =:= Source
    end.

branch(Sip) -> text(maps:get(via_branch, Sip, <<>>)).

%% The method of the state.
started(<<"INVITE">> = Method, #call{method = Known} = Call) when Known =/= Method ->
    Call#call{method = Method, state = trying, response = #{}, attempt = undefined};
started(<<"CANCEL">>, #call{method = undefined} = Call) ->
    started(<<"INVITE">>, Call);
started(<<"ACK">>, Call) ->
    Call;
started(Method, #call{method = undefined} = Call) ->
    Call#call{method = binary:copy(Method), state = trying};
started(_, Call) ->
    Call.

requested(<<"BYE">>, _, Time, _, #call{method = <<"INVITE">>} = Call) ->
    hung_up(Time, Call);
requested(<<"CANCEL">>, Sip, _, #hep{src_ip = Ip}, #call{method = <<"INVITE">>, state = State} = Call) when
    State =:= trying; State =:= ringing
->
    case is_caller(Sip, Ip, Call) of
        true -> Call#call{state = cancelled};
        false -> Call
    end;
requested(<<"INVITE">>, _, _, _, #call{state = State} = Call) when State =:= answered; State =:= completed ->
    Call;
requested(Method, Sip, _, Hep, #call{method = Method, attempt = Known} = Call) ->
    Attempt = #attempt{cseq = cseq(Sip), branch = binary:copy(branch(Sip)), source = {Hep#hep.src_ip, Hep#hep.src_port}},
    case is_new(Attempt, Known) of
        true -> attempted(Call#call{attempt = Attempt});
        false -> Call
    end;
requested(_, _, _, _, Call) ->
    Call.

hung_up(Time, #call{method = <<"INVITE">>, state = State} = Call) when
    State =:= trying; State =:= ringing; State =:= answered
->
    Call#call{state = completed, bye = Time};
hung_up(_, Call) ->
    Call.

cseq(#{cseq := {Number, _}}) -> Number;
cseq(_) -> undefined.

%% A new attempt of the caller has a higher CSeq. A proxy that tries another destination keeps the CSeq and changes the
%% branch; it is the caller if the capture begins after it. Requests from other addresses are those of the next hop.
is_new(_, undefined) -> true;
is_new(#attempt{source = {Ip, _}}, #attempt{source = {Other, _}}) when Ip =/= Other -> false;
is_new(#attempt{cseq = New}, #attempt{cseq = Old}) when is_integer(New), is_integer(Old), New =/= Old -> New > Old;
is_new(#attempt{branch = New, source = Source}, #attempt{branch = Old, source = Source}) -> New =/= Old;
is_new(_, _) -> false.

attempted(#call{state = State} = Call) when State =:= trying; State =:= ringing -> Call;
attempted(Call) -> Call#call{state = trying, response = #{}}.

responded(Status, Sip, Time, #call{method = Method, state = State} = Call) ->
    Known = Call#call{response = #{status => Status, reason => kept(maps:get(reason, Sip, <<>>))}},
    case {Method, final(Status)} of
        {<<"INVITE">>, _} when State =:= answered; State =:= completed -> Call;
        {<<"INVITE">>, success} -> Known#call{state = answered, answer = Time};
        {_, success} -> Known#call{state = completed};
        {_, trying} when State =:= trying -> Known;
        {<<"INVITE">>, ringing} when State =:= trying; State =:= ringing -> Known#call{state = ringing};
        {_, Provisional} when Provisional =:= trying; Provisional =:= ringing -> Call;
        {_, _} when State =:= cancelled -> Known;
        {_, Negative} when State =:= trying; State =:= ringing -> Known#call{state = Negative};
        {_, _} -> Call
    end.

final(100) -> trying;
final(Status) when Status < 200 -> ringing;
final(Status) when Status < 300 -> success;
final(Status) when Status < 400 -> redirected;
final(487) -> cancelled;
final(Status) when Status =:= 408; Status >= 500, Status < 600 -> failed;
final(_) -> rejected.

%%% The summary

-spec summary(call()) -> hep_flow:summary().
summary(#call{} = Call) ->
    Optional = #{method => Call#call.method, state => Call#call.state},
    Always = #{
        packets => Call#call.packets,
        messages => Call#call.messages,
        methods => Call#call.methods,
        start => Call#call.start,
        stop => Call#call.stop,
        duration => duration(Call)
    },
    Known = maps:filter(fun(_, Value) -> Value =/= undefined end, Optional),
    lists:foldl(fun maps:merge/2, Always, [Known, Call#call.response, Call#call.first]);
summary(Call) ->
    erlang:error(badarg, [Call]).

duration(#call{answer = Answer, bye = Bye}) when is_integer(Answer), is_integer(Bye) -> max(0, Bye - Answer);
duration(_) -> undefined.

%% @doc The part of a text that is stored and shown.
-spec text(binary()) -> binary().
text(Text) -> binary:part(Text, 0, min(byte_size(Text), ?MAX_TEXT)).
