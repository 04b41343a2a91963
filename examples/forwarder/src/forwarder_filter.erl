%% @doc Decides which packets are dropped: those that match one of the rules.
-module(forwarder_filter).

-export([is_dropped/2]).

-export_type([rule/0]).

%% <dl>
%% <dt>`keep_alive'</dt><dd>the payload is empty, or only line breaks, blanks or zero bytes, as SIP clients send them to
%%   keep a connection open (RFC 5626)</dd>
%% <dt>`{method, Method}'</dt><dd>SIP: requests of that method, and the responses to them</dd>
%% <dt>`{payload_type, Type}'</dt><dd>the payload type as returned by `hep:payload_type/1', such as `log' or 99</dd>
%% </dl>
-type rule() :: keep_alive | {method, binary()} | {payload_type, hep:payload_type() | hep:uint8()}.

-spec is_dropped(hep:hep(), [rule()]) -> boolean().
is_dropped(Hep, Rules) ->
    lists:any(fun(Rule) -> is_fitting(Rule, Hep) end, Rules).

is_fitting(keep_alive, Hep) -> is_blank(hep:payload(Hep));
is_fitting({method, Method}, Hep) -> hep:payload_type(Hep) =:= sip andalso method(hep:payload(Hep)) =:= Method;
is_fitting({payload_type, Type}, Hep) -> hep:payload_type(Hep) =:= Type.

is_blank(<<Byte, Rest/binary>>) when Byte =:= $\r; Byte =:= $\n; Byte =:= $\s; Byte =:= 0 -> is_blank(Rest);
is_blank(Rest) -> Rest =:= <<>>.

%% A request begins with its method. A response has it after the number in its CSeq.
method(<<"SIP/2.0 ", _/binary>> = Response) ->
    Options = [multiline, caseless, {newline, anycrlf}, {capture, all_but_first, binary}],
    case re:run(Response, <<"^CSeq[ \\t]*:\\s*[0-9]+\\s+(\\S+)">>, Options) of
        {match, [Method]} -> Method;
        nomatch -> unknown
    end;
method(Request) ->
    hd(binary:split(Request, <<" ">>)).
