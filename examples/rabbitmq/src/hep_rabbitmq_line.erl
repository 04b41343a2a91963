%% @doc The JSON line for a message: the packet as {@link hep_json} writes it, and the fields for recognising
%% duplicates.
%%
%% ```
%% {"id":"9A0C...-17","redelivered":false,"written":1700000000000000,"packet":{"type":"HEP","version":3,...}}
%% '''
%% `id' is the message's id, `written' the time in microseconds. A body that is not a HEP packet becomes
%% `"error":"...","body":"<base64>"' in place of `packet'.
-module(hep_rabbitmq_line).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([new/3]).

-spec new(Redelivered :: boolean(), #amqp_msg{}, Written :: integer()) -> iolist().
new(Redelivered, #amqp_msg{props = #'P_basic'{message_id = Id}, payload = Body}, Written) ->
    [
        <<"{\"id\":\"">>,
        id(Id),
        <<"\",\"redelivered\":">>,
        atom_to_binary(Redelivered),
        <<",\"written\":">>,
        integer_to_binary(Written),
        packet(hep_json:from_packet(Body), Body),
        <<"}\n">>
    ].

%% Anyone may publish, so the id is not trusted.
id(undefined) -> <<>>;
id(Id) -> re:replace(Id, <<"[^A-Za-z0-9-]">>, <<"?">>, [global]).

packet({ok, Json}, _) ->
    [<<",\"packet\":">>, Json];
packet({error, Reason}, Body) ->
    [<<",\"error\":\"">>, string(hep:format_error(Reason)), <<"\",\"body\":\"">>, base64:encode(Body), <<"\"">>].

string(Text) -> [char(Char) || Char <- lists:flatten(Text)].

char($") -> "\\\"";
char($\\) -> "\\\\";
char(Char) when Char >= $\s, Char < 127 -> Char;
char(_) -> $?.
