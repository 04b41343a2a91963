%% @private
%% The strategy `balance' of `hep_sender': which target gets a packet.
%%
%% The callers of `hep_sender:send/2' compute the key of a packet and, by rendezvous hashing, its target: each target
%% has a weight for each key, and the greatest weight wins. So all senders with the same targets agree, in whatever
%% order the targets are given, and without a target only its own keys move.
%%
%% The sender's process adds a packet to the queue of this target. While the target is down, the oldest packets of its
%% queue move on to the target with the next weight among those that are up: packets with the same key stay in order.
-module(hep_sender_balance).

-include("hep.hrl").

-export([names/1, place/2, key/1, choice/2]).
-export([in/2, move/3]).

-export_type([names/0, place/0]).

%% The range of hashes and weights: the largest one of `erlang:phash2/2', whose results are the same on all machines and
%% in all releases of OTP.
-define(RANGE, 1 bsl 32).
%% The payload type.
-define(SIP, 1).

-type names() :: [binary(), ...].
%% The targets, in the order of the options.

-type place() :: {Choice :: pos_integer(), Hash :: non_neg_integer()}.
%% The number of a packet's target, and the hash of its key.

-type positions() :: [[non_neg_integer()]].
%% For each caller that waits, the packet number to reach in each route.

%%% The callers' side

%% Equal for targets that differ only in how they are written.
-spec names([hep_sender:target(), ...]) -> names().
names(Targets) ->
    [name(hep_sender_connection:host(Host), Port) || {Host, Port} <- Targets].

name(Host, Port) ->
    Text = string:trim(string:lowercase(Host), trailing, "."),
    iolist_to_binary([Text, $:, integer_to_list(Port)]).

-spec place(hep:hep() | iodata(), names()) -> place().
place(Packet, Names) ->
    Hash = erlang:phash2(key(Packet), ?RANGE),
    {choice(Hash, Names), Hash}.

%% What the packets of a call have in common: the correlation id, or the Call-ID, or the two endpoints, the same in both
%% directions. A packet with none of them goes by its payload, so that copies from two agents go to the same target.
-spec key(hep:hep() | iodata()) -> term().
key(#hep{} = Hep) ->
    case hep:correlation_id(Hep) of
        Id when Id =:= undefined; Id =:= <<>> -> call_id(Hep);
        Id -> Id
    end;
key(Bytes) ->
    Packet = iolist_to_binary(Bytes),
    case hep:decode(Packet, #{lengths => lenient}) of
        {ok, Hep} -> key(Hep);
        {ok, Hep, _} -> key(Hep);
        {error, _} -> {bytes, Packet}
    end.

call_id(#hep{payload_type = ?SIP, payload = Payload} = Hep) ->
    case hep_sip:header(<<"Call-ID">>, Payload) of
        {ok, [CallId | _]} when CallId =/= <<>> -> CallId;
        _ -> endpoints(Hep)
    end;
call_id(Hep) ->
    endpoints(Hep).

endpoints(#hep{src_ip = SrcIp, src_port = SrcPort, dst_ip = DstIp, dst_port = DstPort, payload = Payload}) ->
    case {{SrcIp, SrcPort}, {DstIp, DstPort}} of
        %% Both unknown, or both the same, as in log events.
        {Same, Same} -> {payload, Payload};
        {One, Other} -> {min(One, Other), max(One, Other)}
    end.

%% The number of the target with the greatest weight.
-spec choice(Hash :: non_neg_integer(), names()) -> pos_integer().
choice(Hash, Names) -> heaviest(Hash, lists:enumerate(Names)).

heaviest(_, [{Number, _}]) ->
    Number;
heaviest(Hash, Targets) ->
    %% For equal weights, the greater name, so that the order of targets does not matter.
    {_, _, Number} = lists:max([{weight(Hash, Name), Name, Number} || {Number, Name} <- Targets]),
    Number.

weight(Hash, Name) -> erlang:phash2({Hash, Name}, ?RANGE).

%%% The sender's side

%% Adds each packet to the queue of its target.
-spec in([hep_sender_route:packet()], [hep_sender_route:route()]) -> [hep_sender_route:route()].
in(Packets, Routes) ->
    added(grouped(fun({_, _, {Choice, _}}) -> Choice end, Packets), Routes).

added(Groups, Routes) ->
    [
        case Groups of
            #{Number := Packets} -> hep_sender_route:in(Packets, Route);
            #{} -> Route
        end
     || {Number, Route} <- lists:enumerate(Routes)
    ].

grouped(Number, Packets) ->
    Add = fun(Packet, Groups) ->
        maps:update_with(Number(Packet), fun(Others) -> [Packet | Others] end, [Packet], Groups)
    end,
    lists:foldr(Add, #{}, Packets).

%% Moves packets of targets that are down to those that are up, as far as these have room. Call it after each change of
%% a route.
-spec move(names(), [hep_sender_route:route()], positions()) -> {[hep_sender_route:route()], positions()}.
move(Names, Routes, Positions) ->
    Up = [Number || {Number, Route} <- lists:enumerate(Routes), hep_sender_route:is_up(Route)],
    Informed = [
        hep_sender_route:others_up(Up -- [Number] =/= [], Route)
     || {Number, Route} <- lists:enumerate(Routes)
    ],
    Down = [Number || {Number, Route} <- lists:enumerate(Informed), not hep_sender_route:has_target(Route)],
    Targets = [{Number, lists:nth(Number, Names)} || Number <- Up],
    lists:foldl(fun(From, Moved) -> move_from(From, Targets, Moved) end, {Informed, Positions}, Down).

%% The queue of a target that is slow does not stop the packets of the others.
move_from(From, Targets, {Routes, Positions} = Before) ->
    HasRoom = lists:any(fun({Number, _}) -> hep_sender_route:has_room(lists:nth(Number, Routes)) end, Targets),
    case HasRoom andalso hep_sender_route:release(lists:nth(From, Routes)) of
        {[_ | _] = Released, Rest} ->
            Groups = grouped(fun({_, {_, _, {_, Hash}}}) -> heaviest(Hash, Targets) end, Released),
            Packets = maps:map(fun(_, Entries) -> [without_number(Entry) || Entry <- Entries] end, Groups),
            Next = added(Packets, replaced(From, Rest, Routes)),
            move_from(From, Targets, {Next, [reached(From, Groups, Routes, Position) || Position <- Positions]});
        _ ->
            Before
    end.

without_number({Size, {_, Frame, Place}}) -> {Size, Frame, Place}.

replaced(Number, Route, Routes) ->
    {Before, [_ | After]} = lists:split(Number - 1, Routes),
    Before ++ [Route | After].

%% The packet numbers to reach, after packets have moved from a route: they got new numbers.
reached(From, Groups, Routes, Position) ->
    Last = lists:nth(From, Position),
    [
        case length([Number || {_, {Number, _, _}} <- maps:get(To, Groups, []), Number =< Last]) of
            0 -> Before;
            Count -> hep_sender_route:position(Route) + Count
        end
     || {To, Route, Before} <- lists:zip3(lists:seq(1, length(Routes)), Routes, Position)
    ].
