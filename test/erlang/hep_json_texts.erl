%% @doc Shared by the suites of JSON: a packet, its JSON, a variant of it, and a check of
%% results.
-module(hep_json_texts).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-export([
    changed/2, changed/3, changed/4, hep/0, is_answer/1, json/0, packet/0, still/1
]).

%% Without the time of decoding.
still(#hep{version = 1} = Hep) -> Hep#hep{timestamp = undefined};
still(Hep) -> Hep.

hep() ->
    (hep_encoding:hep(3))#hep{dst_port = 5062, timestamp = {1700, 0, 5}, node_id = 7, payload = <<"text">>}.

packet() ->
    {ok, Packet} = hep:encode(hep()),
    iolist_to_binary(Packet).

json() ->
    {ok, Json} = hep_json:from_packet(packet()),
    Json.

%% The JSON with one part replaced, which must be present.
changed(What, Other) ->
    changed(json(), What, Other).

changed(What, Other, What2, Other2) ->
    changed(changed(What, Other), What2, Other2).

changed(Json, What, Other) ->
    Changed = binary:replace(Json, list_to_binary(What), iolist_to_binary(Other), [global]),
    ?assertNotEqual(Json, Changed),
    Changed.

is_answer({ok, Heps}) when is_list(Heps) ->
    lists:all(fun hep_answers:is_hep/1, Heps);
is_answer({ok, Hep}) ->
    hep_answers:is_hep(Hep);
is_answer({error, {invalid_json, Line, Column, Message}}) ->
    is_integer(Line) andalso Line >= 1 andalso is_integer(Column) andalso Column >= 0 andalso
        is_binary(Message) andalso is_list(unicode:characters_to_list(Message));
is_answer(_) ->
    false.
