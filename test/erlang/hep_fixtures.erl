%% @doc The fixtures of test/fixtures: the entries of the manifest, their bytes, and their expected results.
-module(hep_fixtures).

-include("hep.hrl").

-export([top/0, entries/0, entries/1, files/0, vectors/1]).
-export([file/1, bytes/1, bytes/2, unpacked/1, has_rule/2]).
-export([parsed/2, decoded/2, options/1, packets/2, refused/1]).

-type entry() :: #{binary() => term()}.
-export_type([entry/0]).

%% The folder of the project.
-spec top() -> file:filename().
top() ->
    filename:dirname(filename:dirname(directory())).

%% The entries of the manifest, in order.
-spec entries() -> [entry()].
entries() ->
    {ok, Json} = file:read_file(path("manifest.json")),
    json(Json).

%% The entries of a kind: `datagram' or `stream'. Entries with an expiry date are left out after it.
-spec entries(datagram | stream) -> [entry()].
entries(Kind) ->
    Name = atom_to_binary(Kind),
    Now = erlang:system_time(second),
    [Entry || #{<<"kind">> := K} = Entry <- entries(), K =:= Name, maps:get(<<"until">>, Entry, infinity) > Now].

%% The existing `.bin' files, with the names of the manifest.
-spec files() -> [string()].
files() ->
    filelib:wildcard("**/*.bin", directory()).

%% The entries of a file of vectors.
-spec vectors(string()) -> [{atom(), {module(), atom(), [term()]}, term()}].
vectors(File) ->
    {ok, Vectors} = file:consult(path(filename:join("vectors", File))),
    Vectors.

-spec file(entry()) -> string().
file(#{<<"file">> := File}) -> binary_to_list(File).

-spec bytes(entry() | string()) -> binary().
bytes(Entry) when is_map(Entry) ->
    bytes(file(Entry));
bytes(File) ->
    {ok, Bytes} = file:read_file(path(File)),
    Bytes.

%% A part of a file: `[Offset, Length]'.
-spec bytes(binary(), [non_neg_integer()]) -> binary().
bytes(Bytes, [Offset, Length]) ->
    binary:part(Bytes, Offset, Length).

-spec has_rule(string(), entry()) -> boolean().
has_rule(Rule, #{<<"rules">> := Rules}) ->
    lists:member(list_to_binary(Rule), Rules).

%% The expected result of parsing: the chunks, with `any' for values that are the time of parsing.
-spec parsed(entry(), binary()) -> {ok, [{binary(), binary() | any}]} | error.
parsed(#{<<"parse_error">> := true}, _Bytes) ->
    error;
parsed(#{<<"parse">> := Chunks}, Bytes) ->
    {ok, [{<<Vendor:16, Id:16>>, value(V, Bytes)} || [Vendor, Id, V] <- Chunks]}.

%% The expected result of decoding, for an entry or for one of its options. The time is `now' in version 1; a
%% payload that is not in the manifest is `{sha256, Length, Digest}'.
-spec decoded(entry(), binary()) ->
    {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason()}.
decoded(#{<<"decode">> := _, <<"cut">> := [Reason | Details]} = Entry, Bytes) ->
    {ok, Hep} = decoded(maps:remove(<<"cut">>, Entry), Bytes),
    {ok, Hep, reason(binary_to_existing_atom(Reason), Details, Entry, unpacked(Bytes))};
decoded(#{<<"decode">> := Packet}, Bytes) ->
    #{
        <<"version">> := Version,
        <<"family">> := Family,
        <<"protocol">> := Protocol,
        <<"src_ip">> := SrcIp,
        <<"src_port">> := SrcPort,
        <<"dst_ip">> := DstIp,
        <<"dst_port">> := DstPort,
        <<"timestamp">> := Timestamp,
        <<"capture_id">> := CaptureId,
        <<"payload_type">> := PayloadType,
        <<"payload">> := Payload,
        <<"chunks">> := Chunks
    } = Packet,
    {ok, #hep{
        version = Version,
        protocol_family = optional(Family),
        protocol = optional(Protocol),
        src_ip = address(SrcIp),
        src_port = optional(SrcPort),
        dst_ip = address(DstIp),
        dst_port = optional(DstPort),
        timestamp = timestamp(Timestamp),
        node_id = optional(CaptureId),
        payload_type = PayloadType,
        payload = payload(Payload, Bytes),
        chunks = [
            {{Vendor, Id}, {byte_size(value(V, Bytes)), value(V, Bytes)}}
            || [Vendor, Id, V] <- Chunks
        ]
    }};
decoded(#{<<"decode_error">> := [Reason | Details]} = Entry, Bytes) ->
    {error, reason(binary_to_existing_atom(Reason), Details, Entry, unpacked(Bytes))}.

%% The unpacked packet of a gzip packet: offsets of errors count in it.
-spec unpacked(binary()) -> binary().
unpacked(<<16#1f, 16#8b, _/binary>> = Bytes) ->
    try
        zlib:gunzip(Bytes)
    catch
        error:_ -> Bytes
    end;
unpacked(Bytes) ->
    Bytes.

%% The expected results with other options, as entries for {@link decoded/2}.
-spec options(entry()) -> [{hep:options(), entry()}].
options(Entry) ->
    [
        {maps:fold(fun option/3, #{}, Options), maps:merge(maps:with([<<"parse">>], Entry), Other)}
        || #{<<"options">> := Options} = Other <- maps:get(<<"options">>, Entry, [])
    ].

%% The packets of a stream, with the offsets of their frames.
-spec packets(entry(), binary()) -> [{non_neg_integer(), binary()}].
packets(#{<<"frames">> := Frames} = Entry, Bytes) ->
    [{At, packet(Entry, bytes(Bytes, Frame))} || [At, _] = Frame <- Frames].

packet(#{<<"gzip">> := true}, Frame) -> zlib:gunzip(Frame);
packet(_Entry, Frame) -> Frame.

%% The frames of a stream that cannot be decoded: the reason by the frame's offset.
-spec refused(entry()) -> #{non_neg_integer() => hep:reason()}.
refused(Entry) ->
    maps:from_list([
        {At, list_to_tuple([binary_to_existing_atom(Reason) | Details])}
     || [At, [Reason | Details]] <- maps:get(<<"refused">>, Entry, [])
    ]).

option(Name, Value, Options) when is_binary(Value) ->
    Options#{binary_to_existing_atom(Name) => binary_to_existing_atom(Value)};
option(Name, Value, Options) ->
    Options#{binary_to_existing_atom(Name) => Value}.

optional(null) -> undefined;
optional(Value) -> Value.

address(null) ->
    undefined;
address(Text) ->
    {ok, Address} = inet:parse_strict_address(binary_to_list(Text)),
    Address.

timestamp(null) -> undefined;
timestamp(<<"now">>) -> now;
timestamp([Seconds, Micros]) -> {Seconds div 1000000, Seconds rem 1000000, Micros}.

payload(#{<<"hex">> := Hex}, _Bytes) -> binary:decode_hex(Hex);
payload(#{<<"sha256">> := Digest, <<"length">> := L}, _) -> {sha256, L, binary:decode_hex(Digest)};
payload(Place, Bytes) -> value(Place, Bytes).

value(null, _Bytes) -> any;
value(#{<<"hex">> := Hex}, _Bytes) -> binary:decode_hex(Hex);
value(#{<<"offset">> := Offset, <<"length">> := L}, Bytes) -> binary:part(Bytes, Offset, L);
value(Hex, _Bytes) -> binary:decode_hex(Hex).

%% Adds the parts of the reason that the manifest leaves out, since they follow from the bytes.
reason(not_hep, [], _Entry, _Bytes) ->
    not_hep;
reason(truncated, [], _Entry, Bytes) ->
    {truncated, byte_size(Bytes)};
reason(invalid_chunk, [Vendor, Id, Length], Entry, Bytes) ->
    {ok, Chunks} = parsed(Entry, Bytes),
    Values = [V || {K, V} <- Chunks, K =:= <<Vendor:16, Id:16>>, byte_size(V) =:= Length],
    {invalid_chunk, Vendor, Id, Length, wrong(Id, Length, Values)};
reason(Reason, Details, _Entry, _Bytes) ->
    list_to_tuple([Reason | [detail(Detail) || Detail <- Details]]).

detail(Name) when is_binary(Name) -> binary_to_existing_atom(Name);
detail(Number) -> Number.

%% The last of several equal chunks is the family, if it has the right width.
wrong(1, 1, Values) -> lists:last(Values);
wrong(_, _, Values) -> hd(Values).

path(File) ->
    filename:join(directory(), File).

%% The tests may run in the project's folder or below it, and their source may be a copy: finds the first folder above
%% with fixtures. The result is cached.
directory() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            Found = found(),
            persistent_term:put(?MODULE, Found),
            Found;
        Found ->
            Found
    end.

found() ->
    {ok, Here} = file:get_cwd(),
    Places = [filename:absname(?FILE), filename:absname(code:which(?MODULE)), Here],
    [Found | _] = [D || Place <- Places, D <- above(Place), is_directory(D)],
    Found.

above(Path) ->
    Fixtures = filename:join([Path, "test", "fixtures"]),
    case filename:dirname(Path) of
        Path -> [Fixtures];
        Parent -> [Fixtures | above(Parent)]
    end.

is_directory(Directory) ->
    filelib:is_regular(filename:join(Directory, "manifest.json")).

%% OTP has a JSON module since version 27; older versions need jiffy.
json(Json) ->
    case [M || M <- [json, jiffy], code:ensure_loaded(M) =:= {module, M}] of
        [json | _] -> apply(json, decode, [Json]);
        [jiffy | _] -> apply(jiffy, decode, [Json, [return_maps]]);
        [] -> error("the manifest needs OTP 27 or jiffy (Debian: apt-get install erlang-jiffy)")
    end.
