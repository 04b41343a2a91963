%% @private The option `filter' of {@link hep_listener}: which packets the handler gets.
%%
%% A packet passes if it meets all criteria of the filter. A criterion is a list, of which one element must match, or a
%% function.
-module(hep_listener_filter).

-include("hep.hrl").

-export([check/1, by_type/2, passes/3]).

-export_type([filter/0, options/0, network/0]).

-type network() :: string() | binary() | inet:ip_address() | {inet:ip_address(), Prefix :: 0..128}.
%% An address as text or tuple, or a network: `"10.0.0.0/8"', `{{10, 0, 0, 0}, 8}'.

-type options() :: #{
    payload_types => [hep:payload_type() | 0..255, ...],
    methods => [binary(), ...],
    capture_ids => [hep:uint32(), ...],
    networks => [network(), ...],
    function => fun((hep:hep()) -> boolean())
}.

%% The criteria, ready for use: sets as maps, networks as numbers.
-opaque filter() :: #{
    payload_types => #{0..255 => []},
    methods => #{binary() => []},
    capture_ids => #{hep:uint32() => []},
    networks => [{Bits :: 32 | 128, Shift :: 0..128, Value :: non_neg_integer()}],
    function => fun((hep:hep()) -> boolean())
}.

%% The payload type.
-define(SIP, 1).

%% @doc Checks the option and prepares it for use.
-spec check(term()) -> {ok, none | filter()} | error.
check(none) ->
    {ok, none};
check(Options) when is_map(Options), map_size(Options) > 0 ->
    Criteria = [{Name, criterion(Name, Value)} || {Name, Value} <- maps:to_list(Options)],
    case lists:keymember(error, 2, Criteria) of
        true -> error;
        false -> {ok, maps:from_list(Criteria)}
    end;
check(_) ->
    error.

criterion(payload_types, Types) -> set(fun payload_type/1, Types);
criterion(methods, Methods) -> set(fun method/1, Methods);
criterion(capture_ids, Ids) -> set(fun capture_id/1, Ids);
criterion(networks, Networks) -> list(fun network/1, Networks);
criterion(function, Function) when is_function(Function, 1) -> Function;
criterion(_, _) -> error.

set(Read, Values) ->
    case list(Read, Values) of
        error -> error;
        Elements -> maps:from_list([{Element, []} || Element <- Elements])
    end.

list(Read, [_ | _] = Values) when length(Values) > 0 ->
    Elements = [Read(Value) || Value <- Values],
    case lists:member(error, Elements) of
        true -> error;
        false -> Elements
    end;
list(_, _) ->
    error.

payload_type(Type) when is_integer(Type), Type >= 0, Type =< 255 -> Type;
payload_type(Type) when is_atom(Type) ->
    case hep_registry:payload_type_number(Type) of
        undefined -> error;
        Number -> Number
    end;
payload_type(_) -> error.

method(Method) when is_binary(Method), Method =/= <<>> -> Method;
method(_) -> error.

capture_id(Id) when is_integer(Id), Id >= 0, Id =< 16#ffffffff -> Id;
capture_id(_) -> error.

network({Ip, Prefix}) when is_integer(Prefix), Prefix >= 0 ->
    case number(Ip) of
        {Bits, Number} when Prefix =< Bits -> {Bits, Bits - Prefix, Number bsr (Bits - Prefix)};
        _ -> error
    end;
network(Text) when is_binary(Text) ->
    network(binary_to_list(Text));
network(Text) when is_list(Text) ->
    case hep_options:all(fun(Character) -> is_integer(Character) end, Text) andalso string:split(Text, "/") of
        [Ip, Prefix] -> network(Ip, Prefix);
        [Ip] -> network(address(Ip));
        false -> error
    end;
network(Ip) ->
    case number(Ip) of
        {Bits, Number} -> {Bits, 0, Number};
        error -> error
    end.

network(Ip, Prefix) ->
    case string:to_integer(Prefix) of
        {Number, ""} -> network({address(Ip), Number});
        _ -> error
    end.

%% Not the short forms of IPv4 addresses, such as 10.1.
address(Text) ->
    case inet:parse_strict_address(Text) of
        {ok, Ip} -> Ip;
        {error, _} -> error
    end.

%% IPv6 addresses that hold one of IPv4 are those of IPv4.
number(Ip) ->
    case inet:is_ip_address(Ip) andalso hep_listener_batch:ip(Ip) of
        {A, B, C, D} ->
            {32, binary:decode_unsigned(<<A, B, C, D>>)};
        {A, B, C, D, E, F, G, H} ->
            {128, binary:decode_unsigned(<<A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16>>)};
        false ->
            error
    end.

%% @doc What is known from the payload type alone: the packet does not pass, it passes, or it must be decoded.
-spec by_type(0..255, filter()) -> boolean() | unknown.
by_type(Type, #{payload_types := Types}) when not is_map_key(Type, Types) -> false;
by_type(_, #{payload_types := _} = Filter) when map_size(Filter) =:= 1 -> true;
by_type(_, _) -> unknown.

%% @doc Whether a packet passes. The function gets what the adapter makes of the packet.
-spec passes(hep:hep(), filter(), Adapter :: module() | none) -> boolean() | {crashed, Reason :: term()}.
passes(Hep, Filter, Adapter) ->
    %% The function is called last, and only for packets that meet the other criteria.
    lists:all(fun(Name) -> meets(Name, Filter, Hep) end, [payload_types, capture_ids, networks, methods]) andalso
        called(Filter, Hep, Adapter).

meets(payload_types, #{payload_types := Types}, #hep{payload_type = Type}) -> is_map_key(Type, Types);
meets(capture_ids, #{capture_ids := Ids}, #hep{node_id = Id}) -> is_map_key(Id, Ids);
meets(networks, #{networks := Networks}, #hep{src_ip = Source, dst_ip = Destination}) ->
    is_in(Source, Networks) orelse is_in(Destination, Networks);
meets(methods, #{methods := Methods}, #hep{payload_type = ?SIP} = Hep) ->
    is_map_key(method_of(hep_sip:summary(Hep)), Methods);
meets(_, _, _) ->
    true.

is_in(undefined, _) ->
    false;
is_in(Ip, Networks) ->
    {Bits, Number} = number(Ip),
    lists:any(fun({Size, Shift, Value}) -> Size =:= Bits andalso Number bsr Shift =:= Value end, Networks).

%% A response belongs to the request that its CSeq names.
method_of({ok, #{kind := request, method := Method}}) -> Method;
method_of({ok, #{cseq := {_, Method}}}) -> Method;
method_of(_) -> undefined.

%% The function is user code, like the handler.
called(#{function := Function}, Hep, Adapter) ->
    try Function(adapted(Hep, Adapter)) of
        Passes when is_boolean(Passes) -> Passes;
        Other -> {crashed, {bad_return_value, Other}}
    catch
        Class:Reason:Stack -> {crashed, {Class, Reason, Stack}}
    end;
called(_, _, _) ->
    true.

adapted(Hep, none) -> Hep;
adapted(Hep, Adapter) -> Adapter:packet(Hep).
