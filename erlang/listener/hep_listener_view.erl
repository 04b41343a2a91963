%% @private Checks and decodes the packets of a {@link hep_listener}: checks the authenticate key before anything is
%% inflated, and builds the handler's view.
-module(hep_listener_view).

-include("hep.hrl").

-export([glance/2, terms/1, need/2, need/1, read/3]).

-export_type([glance/0]).

-type glance() :: #{
    version := hep:version(),
    type := 0..255,
    payload := plain | compressed | keep_alive,
    chunks := non_neg_integer()
}.
%% The facts about a packet before it is decoded.

%% The JSON of an inflated payload takes up to 6 bytes per byte, in addition to the payload.
-define(JSON, 8).
%% The approximate memory of a chunk, without its bytes. Packets with more chunks than these take memory from the
%% budget. Real packets have at most 30 chunks; a datagram can hold 10,900.
-define(CHUNK, 128).
-define(FEW_CHUNKS, 256).

%% @doc Scans the packet and checks its key.
-spec glance(binary(), hep_listener_batch:shared()) -> {ok, glance()} | unauthenticated | {error, hep:reason()}.
glance(Bytes, #{auth_keys := Keys} = Shared) ->
    case hep_nif:glance(Bytes, lengths(Shared), byte_size(Bytes)) of
        {Version, Type, Key, Payload, Chunks} ->
            Glance = #{version => Version, type => Type, payload => Payload, chunks => Chunks},
            case is_authenticated(Keys(), Key) of
                true -> {ok, Glance};
                false -> unauthenticated(Version, Bytes, Shared)
            end;
        {error, _} = Error ->
            Error
    end.

%% The other views have no decoding options.
lengths(#{view := View, decode := #{lengths := Lengths}}) when View =:= decode; View =:= json -> Lengths;
lengths(_) -> strict.

is_authenticated([], _) -> true;
is_authenticated(_, undefined) -> false;
%% Compares with all keys, so that the time does not reveal which one matches.
is_authenticated(Keys, Key) -> lists:foldl(fun(Wanted, Found) -> is_equal(Wanted, Key) or Found end, false, Keys).

is_equal(Wanted, Key) ->
    byte_size(Wanted) =:= byte_size(Key) andalso crypto:hash_equals(Wanted, Key).

%% Versions 1 and 2 have no key. Bytes that only begin like them are invalid.
unauthenticated(3, _, _) ->
    unauthenticated;
unauthenticated(_, Bytes, #{decode := Options}) ->
    case hep:decode(Bytes, Options) of
        {error, _} = Error -> Error;
        _ -> unauthenticated
    end.

%% @doc The memory of the packet's chunks, without their bytes.
-spec terms(glance()) -> non_neg_integer().
terms(#{chunks := Chunks}) -> ?CHUNK * Chunks.

%% @doc How many bytes of the budget decoding the packet may take: for its terms, if it has many chunks, and for what
%% it may inflate, with the terms made of that.
-spec need(glance(), hep_listener_batch:shared()) -> {Terms :: non_neg_integer(), Inflated :: non_neg_integer()}.
need(_, #{view := raw, filter := none}) -> {0, 0};
need(#{payload := compressed} = Glance, Shared) -> {many(Glance), need(Shared)};
need(Glance, _) -> {many(Glance), 0}.

%% Twice, since a garbage collection copies them.
many(#{chunks := Chunks} = Glance) when Chunks > ?FEW_CHUNKS -> 2 * terms(Glance);
many(_) -> 0.

%% @doc The maximum that a packet may inflate. A filter decodes it in every view.
-spec need(#{view := term(), decode := hep:options(), filter := term(), atom() => term()}) -> non_neg_integer().
need(#{view := decode, decode := Options}) -> max_inflated(Options);
need(#{view := json, decode := Options}) -> ?JSON * max_inflated(Options);
need(#{filter := none}) -> 0;
need(#{decode := Options}) -> max_inflated(Options).

max_inflated(#{max_inflated := Max}) -> Max;
max_inflated(_) -> hep_registry:max_inflated().

%% @doc Returns the packet in the listener's view, the bytes of it that are not part of the received packet, and the
%% reason if it was cut; or that it does not pass the filter, or that the filter crashed, with the inflated bytes.
-spec read(binary(), glance(), hep_listener_batch:shared()) ->
    {ok, hep_handler:packet(), Bytes :: non_neg_integer()}
    | {cut, hep_handler:packet(), Bytes :: non_neg_integer(), hep:reason()}
    | {crashed, Reason :: term()}
    | {filtered, Bytes :: non_neg_integer()}
    | {filter_crashed, Reason :: term(), Bytes :: non_neg_integer()}
    | {error, hep:reason()}.
read(Bytes, Glance, #{filter := none} = Shared) ->
    view(Bytes, Glance, Shared);
read(Bytes, #{type := Type} = Glance, #{filter := Filter} = Shared) ->
    case hep_listener_filter:by_type(Type, Filter) of
        true -> view(Bytes, Glance, Shared);
        false -> {filtered, 0};
        unknown -> passing(Bytes, Glance, Shared)
    end.

%% With the view `decode' the packet is decoded once.
passing(Bytes, Glance, #{view := decode} = Shared) ->
    Viewed = view(Bytes, Glance, Shared),
    passed(Viewed, Shared, fun() -> Viewed end);
passing(Bytes, Glance, #{decode := Options} = Shared) ->
    Decoded = decoded(Bytes, Glance, Options#{lengths => lengths(Shared)}),
    passed(Decoded, Shared, fun() -> with_inflated(Decoded, view(Bytes, Glance, Shared)) end).

%% What the filter inflated is garbage, but still takes memory.
with_inflated(Decoded, {ok, Packet, Bytes}) -> {ok, Packet, Bytes + element(3, Decoded)};
with_inflated(Decoded, {cut, Packet, Bytes, Reason}) -> {cut, Packet, Bytes + element(3, Decoded), Reason};
with_inflated(_, View) -> View.

passed({error, _} = Error, _, _) ->
    Error;
passed(Decoded, #{filter := Filter, adapter := Adapter}, View) ->
    Bytes = element(3, Decoded),
    case hep_listener_filter:passes(element(2, Decoded), Filter, Adapter) of
        true -> View();
        false -> {filtered, Bytes};
        {crashed, Reason} -> {filter_crashed, Reason, Bytes}
    end.

view(Bytes, Glance, #{view := decode, decode := Options}) ->
    decoded(Bytes, Glance, Options);
view(Bytes, _, #{view := json, decode := Options}) ->
    case hep_json:from_packet(Bytes, Options) of
        {ok, Json} -> {ok, Json, byte_size(Json)};
        {ok, Json, Reason} -> {cut, Json, byte_size(Json), Reason};
        {error, _} = Error -> Error
    end;
view(Bytes, _, #{view := View}) ->
    case hep_multi_parser:parse(Bytes) of
        {ok, _} when View =:= raw -> {ok, Bytes, 0};
        {ok, State} -> viewed(View, State);
        %% Decoding returns the reason.
        {error, invalid_packet, _} -> {error, _} = hep:decode(Bytes)
    end.

decoded(Bytes, Glance, Options) ->
    case decode(Bytes, Options) of
        {ok, #hep{payload = Payload} = Hep} -> {ok, Hep, inflated(Payload, Glance)};
        {ok, #hep{payload = Payload} = Hep, Reason} -> {cut, Hep, inflated(Payload, Glance), Reason};
        {error, _} = Error -> Error
    end.

decode(Bytes, Options) when map_size(Options) =:= 0 -> hep:decode(Bytes);
decode(Bytes, Options) -> hep:decode(Bytes, Options).

inflated(Payload, #{payload := compressed}) -> byte_size(Payload);
inflated(_, _) -> 0.

viewed(parse, State) ->
    {ok, State, 0};
viewed(transform, State) ->
    {ok, hep_transform:transform(State), 0};
%% The modules are user code, like the handler.
viewed({transform, Modules}, State) ->
    try
        {ok, hep_transform:transform(Modules, State), 0}
    catch
        Class:Reason:Stack -> {crashed, {Class, Reason, Stack}}
    end.
