%% @doc Turns a packet into a message: the packet itself as the body, its fields as headers, and a routing key of four
%% words, `<version>.<payload type>.<capture id>.<SIP method>', such as `v3.sip.2001.INVITE'.
%%
%% Packets are hostile: words of the routing key have a fixed alphabet and length; long or non-UTF-8 texts become
%% no headers.
-module(hep_rabbitmq_message).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([new/2, with_id/2, id/1, call/1, to_binary/1, from_binary/1]).

-export_type([message/0]).

-type message() :: {RoutingKey :: binary(), #amqp_msg{}}.

%% AMQP limits a property to 255 bytes. A header is limited so that all headers fit one frame.
-define(PROPERTY, 255).
-define(HEADER, 1024).
-define(WORD, 32).
%% The format of messages in files.
-define(FORMAT, hep_rabbitmq_1).

%% @doc The message for a packet.
-spec new(Packet :: binary(), hep_handler:meta()) -> message().
new(Packet, Meta) ->
    Facts = facts(Packet, Meta),
    message(routing_key(Facts), correlation(Facts), headers(Facts), Packet).

message(Key, Call, Headers, Packet) ->
    Properties = #'P_basic'{
        content_type = <<"application/x-hep">>, delivery_mode = 2, correlation_id = Call, headers = Headers
    },
    {Key, #amqp_msg{props = Properties, payload = Packet}}.

%% @doc Sets the message's id: unique, so that consumers can recognise duplicates.
-spec with_id(Id :: binary(), message()) -> message().
with_id(Id, {Key, #amqp_msg{props = Properties} = Message}) ->
    {Key, Message#amqp_msg{props = Properties#'P_basic'{message_id = Id}}}.

-spec id(message()) -> binary().
id({_, #amqp_msg{props = #'P_basic'{message_id = Id}}}) -> Id.

%% @doc The property that the messages of a call share.
-spec call(message()) -> binary() | undefined.
call({_, #amqp_msg{props = #'P_basic'{correlation_id = Call}}}) -> Call.

%% @doc The message for a file. The format does not depend on the records of amqp_client.
-spec to_binary(message()) -> binary().
to_binary({Key, #amqp_msg{props = Properties, payload = Packet}}) ->
    #'P_basic'{message_id = Id, correlation_id = Call, headers = Headers} = Properties,
    term_to_binary({?FORMAT, Key, Id, Call, Headers, Packet}).

-spec from_binary(binary()) -> message() | invalid.
from_binary(Bytes) ->
    try binary_to_term(Bytes, [safe]) of
        {?FORMAT, Key, Id, Call, Headers, Packet} -> with_id(Id, message(Key, Call, Headers, Packet));
        _ -> invalid
    catch
        error:badarg -> invalid
    end.

%% Packets with a corrupt compressed payload are passed on, too, with fewer headers.
facts(Packet, #{source := {Ip, Port}, time := Received}) ->
    Facts = #{agent_ip => ip(Ip), agent_port => Port, received => Received},
    case hep:decode(Packet) of
        {ok, Hep} -> maps:merge(Facts, known(maps:merge(packet_facts(Hep), sip_facts(Hep))));
        {error, _} -> Facts
    end.

known(Facts) -> maps:filter(fun(_, Value) -> Value =/= undefined end, Facts).

packet_facts(Hep) ->
    #{
        version => hep:version(Hep),
        payload_type => hep:payload_type(Hep),
        capture_id => hep:node_id(Hep),
        protocol => hep:protocol(Hep),
        src_ip => ip(hep:src_ip(Hep)),
        src_port => hep:src_port(Hep),
        dst_ip => ip(hep:dst_ip(Hep)),
        dst_port => hep:dst_port(Hep),
        time => microseconds(hep:timestamp(Hep)),
        correlation_id => hep:correlation_id(Hep)
    }.

ip(undefined) -> undefined;
ip(Address) -> list_to_binary(inet:ntoa(Address)).

microseconds(undefined) -> undefined;
microseconds({Mega, Seconds, Micro}) -> (Mega * 1_000_000 + Seconds) * 1_000_000 + Micro.

%% A response has the method of its request.
sip_facts(Hep) ->
    case hep:payload_type(Hep) =:= sip andalso hep_sip:summary(Hep) of
        {ok, #{kind := request} = Summary} ->
            maps:with([method, call_id], Summary);
        {ok, #{cseq := {_, Method}} = Summary} ->
            (maps:with([status, call_id], Summary))#{method => Method};
        {ok, Summary} ->
            maps:with([status, call_id], Summary);
        _ ->
            #{}
    end.

%%% The parts of a message

routing_key(Facts) ->
    Words = [
        case Facts of
            #{version := hep_v1} -> <<"v1">>;
            #{version := hep_v2} -> <<"v2">>;
            #{version := hep_v3} -> <<"v3">>;
            #{} -> <<"none">>
        end
        | [word(maps:get(Name, Facts, none)) || Name <- [payload_type, capture_id, method]]
    ],
    iolist_to_binary(lists:join($., Words)).

word(Number) when is_integer(Number) -> integer_to_binary(Number);
word(Name) when is_atom(Name) -> word(atom_to_binary(Name));
word(Text) ->
    case byte_size(Text) =< ?WORD andalso re:run(Text, <<"\\A[A-Za-z0-9_-]+\\z">>, [{capture, none}]) of
        match -> Text;
        _ -> <<"other">>
    end.

%% Keeps the packets of a call together: the correlation id, else the Call-ID, else both addresses, else the agent.
correlation(#{correlation_id := Id}) when Id =/= <<>> -> property(Id);
correlation(#{call_id := Id}) when Id =/= <<>> -> property(Id);
correlation(#{src_ip := _, dst_ip := _} = Facts) ->
    Ends = lists:sort([end_of(src_ip, src_port, Facts), end_of(dst_ip, dst_port, Facts)]),
    iolist_to_binary(lists:join($-, Ends));
correlation(#{agent_ip := Ip}) -> Ip.

end_of(Ip, Port, Facts) ->
    [maps:get(Ip, Facts), $:, integer_to_list(maps:get(Port, Facts, 0))].

%% Client libraries of other languages expect UTF-8. The hash of other text also keeps a call together.
property(Text) ->
    case is_text(Text, ?PROPERTY) of
        true -> Text;
        false -> <<"sha256-", (binary:encode_hex(crypto:hash(sha256, Text)))/binary>>
    end.

is_text(Text, Most) ->
    byte_size(Text) =< Most andalso unicode:characters_to_binary(Text) =:= Text andalso
        re:run(Text, <<"[\\x00-\\x1f\\x7f]">>, [{capture, none}]) =:= nomatch.

headers(Facts) ->
    lists:append([header(Name, Value) || {Name, Value} <- lists:sort(maps:to_list(Facts))]).

header(Name, Value) when is_integer(Value) -> [{name(Name), long, Value}];
header(Name, Value) when is_atom(Value) -> [{name(Name), longstr, atom_to_binary(Value)}];
header(Name, Value) ->
    case is_text(Value, ?HEADER) of
        true -> [{name(Name), longstr, Value}];
        false -> []
    end.

name(Name) -> <<"hep_", (atom_to_binary(Name))/binary>>.
