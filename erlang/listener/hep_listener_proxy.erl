%% @private Reads the header of the PROXY protocol, versions 1 and 2: a load balancer begins a connection with it to
%% state the original source. See HAProxy's document "The PROXY protocol".
-module(hep_listener_proxy).

-export([read/1]).

-export_type([error/0]).

-type error() :: missing | invalid | truncated | timeout.
%% The connection begins with something else; the header is malformed; the connection ended inside it; it did not arrive
%% in time.

%% Version 1: the longest line, with its end.
-define(MAX_LINE, 107).
-define(SIGNATURE, <<"\r\n\r\n", 0, "\r\nQUIT\n">>).

%% @doc Returns the source that the header states, or `unknown' if it states none (a health check of the balancer, or
%% a connection not over IP), with the size of the header; `more' while it is incomplete.
-spec read(binary()) ->
    {ok, {inet:ip_address(), inet:port_number()} | unknown, Used :: pos_integer()} | more | {error, missing | invalid}.
read(Bytes) ->
    case {is_prefix(<<"PROXY ">>, Bytes), is_prefix(?SIGNATURE, Bytes)} of
        {false, false} -> {error, missing};
        {true, _} -> line(Bytes);
        {_, true} -> block(Bytes)
    end.

is_prefix(Start, Bytes) ->
    Length = min(byte_size(Start), byte_size(Bytes)),
    binary:part(Start, 0, Length) =:= binary:part(Bytes, 0, Length).

%%% Version 1 (section 2.1): one line of text

line(Bytes) ->
    case binary:match(Bytes, <<"\r\n">>, [{scope, {0, min(?MAX_LINE, byte_size(Bytes))}}]) of
        {End, _} -> fields(binary:split(binary:part(Bytes, 0, End), <<" ">>, [global]), End + 2);
        nomatch when byte_size(Bytes) < ?MAX_LINE -> more;
        nomatch -> {error, invalid}
    end.

%% The rest of the line after UNKNOWN must be ignored.
fields([<<"PROXY">>, <<"UNKNOWN">> | _], Used) ->
    {ok, unknown, Used};
fields([<<"PROXY">>, Family, Source, Destination, SourcePort, DestinationPort], Used) ->
    Numbers = [
        address(Family, Source), address(Family, Destination), port(SourcePort), port(DestinationPort)
    ],
    case lists:member(invalid, Numbers) of
        true -> {error, invalid};
        false -> {ok, {hd(Numbers), lists:nth(3, Numbers)}, Used}
    end;
fields(_, _) ->
    {error, invalid}.

address(<<"TCP4">>, Text) -> parsed(inet:parse_ipv4strict_address(binary_to_list(Text)));
address(<<"TCP6">>, Text) -> parsed(inet:parse_ipv6strict_address(binary_to_list(Text)));
address(_, _) -> invalid.

%% Addresses with a scope id are not valid here.
parsed({ok, {_, _, _, _} = Ip}) -> Ip;
parsed({ok, {_, _, _, _, _, _, _, _} = Ip}) -> Ip;
parsed(_) -> invalid.

%% Decimal, without leading zeros.
port(Text) ->
    try binary_to_integer(Text) of
        Port when Port >= 0, Port =< 16#ffff ->
            case integer_to_binary(Port) of
                Text -> Port;
                _ -> invalid
            end;
        _ ->
            invalid
    catch
        error:badarg -> invalid
    end.

%%% Version 2 (section 2.2): a signature, version and command, family and protocol, the length of the rest

block(<<_:12/binary, Version:4, _:4, _/binary>>) when Version =/= 2 ->
    {error, invalid};
block(<<_:12/binary, _:4, Command:4, Family, Length:16, Rest/binary>>) when byte_size(Rest) >= Length ->
    %% Only TLVs follow the addresses.
    case source(Command, Family, binary:part(Rest, 0, Length)) of
        invalid -> {error, invalid};
        Source -> {ok, Source, 16 + Length}
    end;
block(_) ->
    more.

-define(LOCAL, 0).
-define(PROXY, 1).

source(?LOCAL, _, _) ->
    unknown;
%% AF_INET over TCP or UDP, AF_INET6 over TCP or UDP.
source(?PROXY, Family, <<Source:4/binary, _:4/binary, Port:16, _:16, _/binary>>) when Family =:= 16#11; Family =:= 16#12 ->
    {list_to_tuple(binary_to_list(Source)), Port};
source(?PROXY, Family, <<Source:16/binary, _:16/binary, Port:16, _:16, _/binary>>) when Family =:= 16#21; Family =:= 16#22 ->
    {list_to_tuple([Part || <<Part:16>> <= Source]), Port};
%% AF_UNSPEC, AF_UNIX over stream or datagram.
source(?PROXY, 16#00, _) ->
    unknown;
source(?PROXY, Family, <<_:216/binary, _/binary>>) when Family =:= 16#31; Family =:= 16#32 ->
    unknown;
source(_, _, _) ->
    invalid.
