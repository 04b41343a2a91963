%% @private From received bytes to the calls of the handler, the same for all transports: decoding as the listener's view
%% says, keys, counting, batches.
-module(hep_listener_batch).

-include("hep.hrl").

-export([start/1, new/1, meta/3, packet/3, stream_error/3, flush/1, stop/2]).
-export([handshake_failed/3, accept_failed/2, event/4, ip/1]).

-export_type([options/0, shared/0, batch/0]).

-type options() :: #{transport := udp | tcp | tls, adapter := module() | none, name => term(), atom() => term()}.
%% Those of the listener, checked and completed.

-type shared() :: #{
    listener := pid(),
    table := hep_listener_table:table(),
    counters := hep_listener_counters:counters(),
    limits := hep_listener_log:limits(),
    transport := udp | tcp | tls,
    view := decode | parse | transform | {transform, [module()]} | json,
    decode := hep:options(),
    auth_keys := fun(() -> [binary()]),
    handler := hep_handler:handler(),
    adapter := module() | none,
    atom() => term()
}.
%% What all processes of a listener share: the options and what they find each other by.

-record(batch, {
    shared :: shared(),
    handler :: hep_handler:started(),
    %% The batch, in reverse, and what it sums up to.
    packets = [] :: [{hep_handler:packet(), hep_handler:meta()}],
    errors = [] :: [{hep_handler:reason(), {binary(), hep_handler:meta()}}],
    received = 0 :: non_neg_integer(),
    decoded = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    %% Packets of one version and type that follow each other are counted together.
    alike = {3, 1, 0} :: {hep:version(), 0..255, non_neg_integer()},
    %% When the batch began.
    time = 0 :: integer()
}).

-opaque batch() :: #batch{}.

-spec start(shared()) -> {ok, batch()} | {error, Reason :: term()}.
start(#{handler := Handler, listener := Listener} = Shared) ->
    case hep_handler:start(Handler, Listener) of
        {ok, Started} -> {ok, #batch{shared = Shared, handler = Started}};
        {error, _} = Error -> Error
    end.

%% @doc Empty, of this moment: the time of its packets.
-spec new(batch()) -> batch().
new(Batch) ->
    Batch#batch{time = erlang:system_time(microsecond)}.

-spec meta({inet:ip_address(), inet:port_number()}, binary(), batch()) -> hep_handler:meta().
meta(Source, Bytes, #batch{time = Time, shared = #{transport := Transport}}) ->
    #{
        source => Source,
        time => Time,
        size => byte_size(Bytes),
        transport => Transport
    }.

%% @doc Takes a datagram, or a packet of a stream, into the batch.
-spec packet(binary(), hep_handler:meta(), batch()) -> batch().
packet(Bytes, Meta, #batch{received = Received, bytes = Sum, shared = #{counters := Counters} = Shared} = Batch) ->
    Counted = Batch#batch{received = Received + 1, bytes = Sum + byte_size(Bytes)},
    case read(Bytes, Shared) of
        {ok, Packet, Version, Type} ->
            decoded(Version, Type, Counted#batch{packets = [{Packet, Meta} | Counted#batch.packets]});
        {crashed, Reason, Version, Type} ->
            crashed(1, Shared),
            #{view := View, listener := Listener} = Shared,
            logger:error(#{what => hep_transform_crashed, view => View, listener => Listener, reason => Reason}),
            decoded(Version, Type, Counted);
        unauthenticated ->
            hep_listener_counters:add(unauthenticated, 1, Counters),
            event(unauthenticated, #{count => 1}, #{source => maps:get(source, Meta)}, Shared),
            refused(unauthenticated, Bytes, Meta, Counted);
        {error, Reason} ->
            rejected(Reason, Reason, Bytes, Meta, Counted)
    end.

decoded(Version, Type, #batch{decoded = Decoded, alike = {Version, Type, Count}} = Batch) ->
    Batch#batch{decoded = Decoded + 1, alike = {Version, Type, Count + 1}};
decoded(Version, Type, #batch{decoded = Decoded} = Batch) ->
    count_alike(Batch),
    Batch#batch{decoded = Decoded + 1, alike = {Version, Type, 1}}.

count_alike(#batch{alike = {Version, Type, Count}, shared = #{counters := Counters}}) ->
    hep_listener_counters:packets(Version, Type, Count, Counters).

%% @doc Takes what was wrong with a stream into the batch.
-spec stream_error(hep_stream:error(), hep_handler:meta(), batch()) -> batch().
stream_error({_, {resync, Skipped}} = Error, Meta, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:add(resyncs, 1, Counters),
    hep_listener_counters:add(skipped_bytes, Skipped, Counters),
    event(resync, #{skipped_bytes => Skipped}, #{source => maps:get(source, Meta)}, Shared),
    refused({stream, Error}, <<>>, Meta, Batch);
stream_error({_, Reason} = Error, Meta, #batch{received = Received} = Batch) ->
    rejected({stream, Error}, Reason, <<>>, Meta, Batch#batch{received = Received + 1}).

rejected(Reported, Counted, Bytes, Meta, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:rejected(Counted, Counters),
    event(rejected, #{count => 1}, #{source => maps:get(source, Meta), reason => Reported}, Shared),
    refused(Reported, Bytes, Meta, Batch).

refused(Reason, Bytes, Meta, #batch{errors = Errors} = Batch) ->
    Batch#batch{errors = [{Reason, {Bytes, Meta}} | Errors]}.

%% @doc Gives the batch to the handler: its packets, then what was wrong.
-spec flush(batch()) -> batch().
flush(#batch{received = 0, errors = []} = Batch) ->
    Batch;
flush(#batch{shared = #{counters := Counters} = Shared, handler = Handler} = Batch) ->
    #batch{received = Received, bytes = Bytes, decoded = Decoded, alike = {Version, Type, _}} = Batch,
    %% Before the handler is called, which may end the process.
    count_alike(Batch),
    hep_listener_counters:add(bytes, Bytes, Counters),
    event(packets, #{received => Received, decoded => Decoded, bytes => Bytes}, #{}, Shared),
    Packets = packets(Batch),
    After = handled(hep_handler:packets(Packets, Handler), length(Packets), Handler, Shared),
    Last = lists:foldl(
        fun(Error, Next) -> handled(hep_handler:error(Error, Next), 0, Next, Shared) end,
        After,
        errors(Batch)
    ),
    #batch{shared = Shared, handler = Last, alike = {Version, Type, 0}}.

packets(#batch{packets = Packets, shared = #{adapter := none}}) ->
    lists:reverse(Packets);
packets(#batch{packets = Packets, shared = #{adapter := Adapter}}) ->
    [{Adapter:packet(Packet), Meta} || {Packet, Meta} <- lists:reverse(Packets)].

errors(#batch{errors = Errors, shared = #{adapter := none}}) ->
    lists:reverse(Errors);
errors(#batch{errors = Errors, shared = #{adapter := Adapter}}) ->
    [{Adapter:error(Reason), Raw} || {Reason, Raw} <- lists:reverse(Errors)].

%% Counted first: a handler that does not begin again ends the process.
handled({ok, Handler}, _, _, _) ->
    Handler;
handled({crashed, Reason}, Lost, Handler, Shared) ->
    crashed(Lost, Shared),
    hep_handler:restart(Reason, Handler).

crashed(Lost, #{counters := Counters} = Shared) ->
    hep_listener_counters:add(handler_crashes, 1, Counters),
    hep_listener_counters:add(handler_lost, Lost, Counters),
    event(handler_crashed, #{lost => Lost}, #{}, Shared).

-spec stop(Reason :: term(), batch()) -> ok.
stop(Reason, #batch{handler = Handler}) ->
    hep_handler:stop(Reason, Handler).

-spec handshake_failed(Reason :: term(), {inet:ip_address(), inet:port_number()}, shared()) -> ok.
handshake_failed(Reason, Source, #{counters := Counters, listener := Listener, limits := Limits} = Shared) ->
    hep_listener_counters:add(handshakes_failed, 1, Counters),
    Report = #{what => hep_listener_handshake_failed, listener => Listener, source => Source, reason => Reason},
    hep_listener_log:notice(handshake_failed, Report, Limits),
    event(handshake_failed, #{count => 1}, #{source => Source, reason => Reason}, Shared).

-spec accept_failed(Reason :: term(), shared()) -> ok.
accept_failed(Reason, #{counters := Counters, listener := Listener, limits := Limits} = Shared) ->
    hep_listener_counters:add(accept_errors, 1, Counters),
    Report = #{what => hep_listener_accept_failed, listener => Listener, reason => Reason},
    hep_listener_log:warning(accept_failed, Report, Limits),
    event(accept_failed, #{count => 1}, #{reason => Reason}, Shared).

%% @doc IPv4 on a socket of both families is IPv4.
-spec ip(inet:ip_address()) -> inet:ip_address().
ip({0, 0, 0, 0, 0, 16#ffff, High, Low}) -> {High bsr 8, High band 255, Low bsr 8, Low band 255};
ip(Ip) -> Ip.

-spec event(atom(), #{atom() => number()}, #{atom() => term()}, shared()) -> ok.
event(Name, Measurements, Metadata, #{listener := Listener, transport := Transport}) ->
    hep_telemetry:execute(
        [hep, listener, Name], Measurements, Metadata#{listener => Listener, transport => Transport}
    ).

%%% Reading: what the handler gets, the version, the payload type

read(Bytes, #{view := decode, decode := Options, auth_keys := Keys}) ->
    case decode(Bytes, Options) of
        {ok, #hep{version = Version, payload_type = Type} = Hep} ->
            case is_authenticated(Keys, Hep) of
                true -> {ok, Hep, Version, Type};
                false -> unauthenticated
            end;
        {error, _} = Error ->
            Error
    end;
read(Bytes, #{view := json, decode := Options} = Shared) ->
    case read(Bytes, Shared#{view := decode}) of
        {ok, _, Version, Type} ->
            {ok, Json} = hep_json:from_packet(Bytes, Options),
            {ok, Json, Version, Type};
        Error ->
            Error
    end;
read(Bytes, #{view := parse, auth_keys := Keys}) ->
    parse(Bytes, Keys, fun(State) -> {ok, State} end);
read(Bytes, #{view := transform, auth_keys := Keys}) ->
    parse(Bytes, Keys, fun(State) -> {ok, hep_transform:transform(State)} end);
read(Bytes, #{view := {transform, Modules}, auth_keys := Keys}) ->
    parse(Bytes, Keys, fun(State) -> transform(Modules, State) end).

%% The modules are the user's, as the handler is.
transform(Modules, State) ->
    try
        {ok, hep_transform:transform(Modules, State)}
    catch
        Class:Reason:Stack -> {crashed, {Class, Reason, Stack}}
    end.

decode(Bytes, Options) when map_size(Options) =:= 0 -> hep:decode(Bytes);
decode(Bytes, Options) -> hep:decode(Bytes, Options).

parse(Bytes, Keys, View) ->
    case hep_multi_parser:parse(Bytes) of
        {ok, State} ->
            case is_authenticated(Keys, State) of
                true -> viewed(View(State), hep:get_version(State), payload_type(State));
                false -> unauthenticated
            end;
        {error, invalid_packet, _} ->
            %% Decoding says why.
            {error, _} = hep:decode(Bytes)
    end.

viewed({What, Result}, Version, Type) -> {What, Result, Version, Type}.

%% Any other width, and none, is that of a packet without it.
payload_type(State) ->
    case last(payload_type, State) of
        <<Type>> -> Type;
        _ -> #hep{version = 3}#hep.payload_type
    end.

is_authenticated(Keys, Packet) ->
    has_one_of(Keys(), Packet).

has_one_of([], _) ->
    true;
has_one_of(Keys, Packet) ->
    case key(Packet) of
        undefined -> false;
        %% All are compared, so that the time does not tell which.
        Key -> lists:foldl(fun(Wanted, Found) -> is_equal(Wanted, Key) or Found end, false, Keys)
    end.

key(#hep{} = Hep) ->
    hep:auth_key(Hep);
key(State) ->
    last(auth_key, State).

%% Of a generic chunk that is there more than once the last counts, and of empty ones none, as in decoding.
last(Name, State) ->
    Key = <<0:16, (hep_registry:chunk_id(Name)):16>>,
    lists:foldl(
        fun
            ({Chunk, Value}, _) when Chunk =:= Key, Value =/= <<>> -> Value;
            (_, Last) -> Last
        end,
        undefined,
        hep:get_chunks(State)
    ).

is_equal(Wanted, Key) ->
    byte_size(Wanted) =:= byte_size(Key) andalso crypto:hash_equals(Wanted, Key).
