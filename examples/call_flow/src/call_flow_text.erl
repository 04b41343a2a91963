%% @doc Text from the wire as UTF-8.
-module(call_flow_text).

-export([utf8/1]).

%% @doc Invalid bytes become U+FFFD.
-spec utf8(iodata()) -> binary().
utf8(Bytes) ->
    valid(unicode:characters_to_binary(Bytes), <<>>).

valid(Text, Before) when is_binary(Text) -> <<Before/binary, Text/binary>>;
valid({_, Text, Rest}, Before) ->
    <<_, After/binary>> = iolist_to_binary(Rest),
    valid(unicode:characters_to_binary(After), <<Before/binary, Text/binary, 16#FFFD/utf8>>).
