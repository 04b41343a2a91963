%% @doc Writes JSON. Text from the wire need not be UTF-8: invalid bytes become U+FFFD.
-module(call_flow_json).

-export([encode/1]).

-export_type([value/0]).

-type value() ::
    binary() | number() | atom() | [value()] | #{atom() | binary() => value()} | {json, iodata()}.
%% Atoms other than `true', `false' and `null' are written as strings, `undefined' as `null'. The text of `{json, Text}'
%% is written unchanged.

-spec encode(value()) -> iodata().
encode(Text) when is_binary(Text) -> string(Text);
encode(Number) when is_integer(Number) -> integer_to_binary(Number);
encode(Number) when is_float(Number) -> float_to_binary(Number, [{decimals, 6}, compact]);
encode(undefined) -> <<"null">>;
encode(Atom) when Atom =:= true; Atom =:= false; Atom =:= null -> atom_to_binary(Atom);
encode(Atom) when is_atom(Atom) -> string(atom_to_binary(Atom));
encode({json, Text}) -> Text;
encode(List) when is_list(List) -> [$[, lists:join($,, [encode(Value) || Value <- List]), $]];
encode(Map) when is_map(Map) -> [${, lists:join($,, [member(Pair) || Pair <- maps:to_list(Map)]), $}].

member({Name, Value}) when is_atom(Name) -> member({atom_to_binary(Name), Value});
member({Name, Value}) -> [string(Name), $:, encode(Value)].

string(Text) -> escape(Text, <<$">>).

escape(<<Char, Rest/binary>>, Out) when Char >= 16#20, Char < 16#7F, Char =/= $", Char =/= $\\ ->
    escape(Rest, <<Out/binary, Char>>);
escape(<<$", Rest/binary>>, Out) -> escape(Rest, <<Out/binary, "\\\"">>);
escape(<<$\\, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, "\\\\">>);
escape(<<$\r, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, "\\r">>);
escape(<<$\n, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, "\\n">>);
escape(<<$\t, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, "\\t">>);
escape(<<Char, Rest/binary>>, Out) when Char < 16#20; Char =:= 16#7F ->
    escape(Rest, <<Out/binary, "\\u00", (hex(Char bsr 4)), (hex(Char band 15))>>);
escape(<<Char/utf8, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, Char/utf8>>);
escape(<<_, Rest/binary>>, Out) -> escape(Rest, <<Out/binary, 16#FFFD/utf8>>);
escape(<<>>, Out) -> <<Out/binary, $">>.

hex(Digit) when Digit < 10 -> $0 + Digit;
hex(Digit) -> $a + Digit - 10.
