%% Packets as text. The bytes of packets are shown as text only, whatever they contain.
-module(hep_command_text).

-export([printable/1, printable/2, is_shown/2, cut/2, time/1, endpoint/2, line/1, verbose/1, json/1]).

-include("hep.hrl").

%% How much a line shows of a payload that is not SIP.
-define(GLANCE, 120).

%% Text for a terminal: control characters, bytes that are not UTF-8 and backslashes become `\\xNN'. So do characters
%% without a width, and those that change the direction of writing.
-spec printable(binary()) -> binary().
printable(Bytes) -> printable(Bytes, hep_command_output:is_utf8()).

-spec printable(binary(), Utf8 :: boolean()) -> binary().
printable(Bytes, Utf8) ->
    case is_plain(Bytes) of
        true -> Bytes;
        false -> <<<<(shown(Part, Utf8))/binary>> || Part <- characters(Bytes)>>
    end.

is_plain(<<C, Rest/binary>>) when C >= 32, C < 127, C =/= $\\ -> is_plain(Rest);
is_plain(Rest) -> Rest =:= <<>>.

characters(<<Character/utf8, Rest/binary>>) -> [Character | characters(Rest)];
characters(<<Byte, Rest/binary>>) -> [<<Byte>> | characters(Rest)];
characters(<<>>) -> [].

shown($\\, _) -> <<"\\\\">>;
shown(Character, _) when is_integer(Character), Character >= 32, Character < 127 -> <<Character>>;
shown(Character, Utf8) when is_integer(Character) ->
    case Utf8 andalso is_visible(Character) of
        true -> <<Character/utf8>>;
        false -> shown(<<Character/utf8>>, Utf8)
    end;
shown(Bytes, _) ->
    <<<<"\\x", (binary:encode_hex(<<Byte>>))/binary>> || <<Byte>> <= Bytes>>.

%% Excludes C1 controls, soft hyphens, combining or formatting characters, surrogates, private use and non-characters.
is_visible(C) when C < 16#a0; C =:= 16#ad -> false;
is_visible(C) when C >= 16#300, C =< 16#36f -> false;
is_visible(C) when C =:= 16#61c; C =:= 16#180e; C =:= 16#feff -> false;
is_visible(C) when C >= 16#200b, C =< 16#200f -> false;
is_visible(C) when C >= 16#2028, C =< 16#202e -> false;
is_visible(C) when C >= 16#2060, C =< 16#206f -> false;
is_visible(C) when C >= 16#e000, C =< 16#f8ff -> false;
is_visible(C) when C >= 16#fe00, C =< 16#fe0f -> false;
is_visible(C) when C >= 16#fff0, C =< 16#fffb; C band 16#fffe =:= 16#fffe -> false;
is_visible(C) when C >= 16#e0000 -> false;
is_visible(_) -> true.

%% Whether bytes of a packet equal those given by a user, either unchanged or as they are shown.
-spec is_shown(binary(), Given :: binary()) -> boolean().
is_shown(Bytes, Given) -> Bytes =:= Given orelse printable(Bytes) =:= Given.

%% The first characters of a printable text; the last one shows that it was cut.
-spec cut(binary(), pos_integer()) -> binary().
cut(Text, Most) ->
    case string:length(Text) =< Most of
        true -> Text;
        false -> unicode:characters_to_binary([string:slice(Text, 0, max(0, Most - 1)), $~])
    end.

%% RFC 3339, in UTC.
-spec time(erlang:timestamp() | integer() | undefined) -> iodata().
time(undefined) ->
    "-                          ";
time({Mega, Seconds, Micros}) ->
    time((Mega * 1000000 + Seconds) * 1000000 + Micros);
time(Micros) ->
    calendar:system_time_to_rfc3339(Micros, [{unit, microsecond}, {offset, "Z"}]).

-spec endpoint(inet:ip_address() | undefined, inet:port_number() | undefined) -> iodata().
endpoint(undefined, _) -> "?";
endpoint(Ip, undefined) -> inet:ntoa(Ip);
endpoint(Ip, Port) when tuple_size(Ip) =:= 8 -> [$[, inet:ntoa(Ip), $], $:, integer_to_list(Port)];
endpoint(Ip, Port) -> [inet:ntoa(Ip), $:, integer_to_list(Port)].

%% A packet in one line: time, source, destination, type, summary.
-spec line(hep:hep()) -> iodata().
line(#hep{} = Hep) -> [head(Hep), $\s, summary(Hep), $\n].

head(#hep{timestamp = Timestamp, src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort} = Hep) ->
    [time(Timestamp), $\s, endpoint(Src, SrcPort), " -> ", endpoint(Dst, DstPort), $\s, type(Hep)].

type(Hep) ->
    case hep:payload_type(Hep) of
        Type when is_atom(Type) -> atom_to_binary(Type);
        Type -> integer_to_binary(Type)
    end.

summary(#hep{payload_type = 1, payload = Payload} = Hep) ->
    case hep_sip:summary(Payload) of
        {ok, Sip} -> sip(Sip);
        {error, _} -> other(Hep)
    end;
summary(Hep) ->
    other(Hep).

sip(#{kind := request, method := Method, uri := Uri} = Sip) ->
    [printable(Method), $\s, printable(Uri), call_id(Sip)];
sip(#{kind := response, status := Status, reason := Reason} = Sip) ->
    Of =
        case Sip of
            #{cseq := {_, Method}} -> [" (", printable(Method), $)];
            #{} -> []
        end,
    [integer_to_list(Status), [[$\s, printable(Reason)] || Reason =/= <<>>], Of, call_id(Sip)].

call_id(#{call_id := CallId}) -> [" Call-ID: ", printable(CallId)];
call_id(_) -> [].

other(#hep{payload = Payload} = Hep) ->
    Glance = printable(hd(binary:split(binary:part(Payload, 0, min(?GLANCE, byte_size(Payload))), [<<"\r">>, <<"\n">>]))),
    Cut = [" ..." || byte_size(Payload) > ?GLANCE],
    [integer_to_list(byte_size(Payload)), " bytes", correlation(Hep), [[": ", Glance, Cut] || Glance =/= <<>>]].

correlation(Hep) ->
    case hep:correlation_id(Hep) of
        undefined -> [];
        Id -> [", correlation id ", printable(Id)]
    end.

%% The packet's fields, and its payload.
-spec verbose(hep:hep()) -> iodata().
verbose(#hep{payload = Payload} = Hep) ->
    Facts = [
        {"HEP version", Hep#hep.version},
        {"protocol", Hep#hep.protocol},
        {"capture id", Hep#hep.node_id},
        {"capture agent", hep:node_name(Hep)},
        {"correlation id", hep:correlation_id(Hep)},
        {"vlan", hep:vlan_id(Hep)}
    ],
    [
        head(Hep),
        $\n,
        [["  ", Name, ": ", fact(Value), $\n] || {Name, Value} <- Facts, Value =/= undefined],
        [["  | ", printable(Line), $\n] || Line <- lines(Payload)],
        $\n
    ].

fact(Value) when is_integer(Value) -> integer_to_binary(Value);
fact(Value) -> printable(Value).

%% Without the empty line after the last line break.
lines(Payload) ->
    Lines = binary:split(Payload, [<<"\r\n">>, <<"\n">>], [global]),
    case lists:last(Lines) of
        <<>> -> lists:droplast(Lines);
        _ -> Lines
    end.

%% As JSON. On a terminal, controls are escaped that JSON does not require to be escaped, too.
-spec json(hep:hep()) -> {ok, iodata()} | {error, hep:encode_reason()}.
json(Hep) ->
    case hep_json:encode_record(Hep) of
        {ok, Json} -> {ok, [escaped(Json), $\n]};
        Error -> Error
    end.

escaped(Json) ->
    case hep_command_output:is_terminal(output) of
        true -> [escaped_character(C) || <<C/utf8>> <= Json];
        false -> Json
    end.

escaped_character(C) when C >= 32, C < 127 -> C;
escaped_character(C) ->
    case is_visible(C) of
        true -> <<C/utf8>>;
        false -> [io_lib:format("\\u~4.16.0b", [Unit]) || <<Unit:16>> <= <<C/utf16>>]
    end.
