%% @doc Formats a transformed packet as readable text.
-module(udp_listener_print).

-export([packet/3]).

%% Longer values are truncated.
-define(WIDTH, 72).

%% @doc `From' is the sender of the datagram.
-spec packet(unicode:chardata(), non_neg_integer(), {ok, hep_transform:transformed()} | {error, hep_handler:reason()}) ->
    unicode:chardata().
packet(From, Size, {ok, [{<<"hep">>, [{<<"version">>, Version} | Namespaces]}]}) ->
    [
        io_lib:format("~n-- ~ts: HEPv~b, ~b bytes~n", [From, Version, Size])
        | [namespace(Namespace) || Namespace <- Namespaces]
    ];
packet(From, Size, {error, Reason}) ->
    io_lib:format("~n-- ~ts: ~b bytes refused: ~ts~n", [From, Size, hep_handler:format_error(Reason)]).

namespace({Name, Properties}) ->
    [["   ", Name, $\n] | [property(Property) || Property <- Properties]].

property({Name, Value}) ->
    io_lib:format("     ~-24ts~ts~n", [Name, value(Value)]).

value(Value) when is_integer(Value) ->
    integer_to_list(Value);
value(Value) when is_tuple(Value) ->
    inet:ntoa(Value);
value(Value) when is_binary(Value) ->
    [Line | _] = binary:split(Value, [<<"\r\n">>, <<"\n">>]),
    case byte_size(Value) =:= byte_size(Line) andalso byte_size(Value) =< ?WIDTH of
        true -> text(Value);
        false -> [text(binary:part(Line, 0, min(?WIDTH, byte_size(Line)))), io_lib:format(" ... (~b bytes)", [byte_size(Value)])]
    end.

text(Bytes) ->
    case io_lib:printable_unicode_list(unicode_list(Bytes)) of
        true -> Bytes;
        false -> io_lib:format("~w", [Bytes])
    end.

unicode_list(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        List when is_list(List) -> List;
        _NotUtf8 -> [0]
    end.
