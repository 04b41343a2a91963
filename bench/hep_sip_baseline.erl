%% @doc The baseline of the row `SIP summary': written with OTP, whose parser of header lines is in C
%% (`erlang:decode_packet/3').
%%
%% It reads complete requests in the usual spelling only: no compact names, no folded headers.
-module(hep_sip_baseline).

-export([summary/1]).

-spec summary(binary()) -> {ok, hep_sip:summary()}.
summary(Message) ->
    [Line, Rest] = binary:split(Message, <<"\r\n">>),
    [Method, Uri, <<"SIP/2.0">>] = binary:split(Line, <<" ">>, [global]),
    {ok, headers(Rest, #{kind => request, method => Method, uri => Uri})}.

headers(Rest, Summary) ->
    case erlang:decode_packet(httph_bin, Rest, []) of
        {ok, {http_header, _, Name, _, Value}, Next} -> headers(Next, header(Name, Value, Summary));
        {ok, http_eoh, _} -> Summary
    end.

header('Via', Value, Summary) when not is_map_key(via_branch, Summary) ->
    Summary#{via_branch => param(<<"branch=">>, Value)};
header('From', Value, Summary) ->
    Summary#{from => address(Value)};
header(<<"To">>, Value, Summary) ->
    Summary#{to => address(Value)};
header(<<"Call-Id">>, Value, Summary) ->
    Summary#{call_id => Value};
header(<<"Cseq">>, Value, Summary) ->
    [Number, Method] = binary:split(Value, <<" ">>),
    Summary#{cseq => {binary_to_integer(Number), Method}};
header('User-Agent', Value, Summary) ->
    Summary#{user_agent => Value};
header('Content-Type', Value, Summary) ->
    Summary#{content_type => Value};
header('Content-Length', Value, Summary) ->
    Summary#{content_length => binary_to_integer(Value)};
header(_, _, Summary) ->
    Summary.

address(Value) ->
    [Display, Rest] = binary:split(Value, <<" <">>),
    [Uri, Params] = binary:split(Rest, <<">">>),
    [_, Address] = binary:split(Uri, <<":">>),
    [User, Host] = binary:split(Address, <<"@">>),
    tag(param(<<"tag=">>, Params), #{display => Display, uri => Uri, user => User, host => Host}).

tag(undefined, Address) -> Address;
tag(Tag, Address) -> Address#{tag => Tag}.

param(Name, Value) ->
    case binary:split(Value, Name) of
        [_, Param] -> hd(binary:split(Param, <<";">>));
        [_] -> undefined
    end.
