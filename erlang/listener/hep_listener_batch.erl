%% @private Turns received bytes into calls of the handler, for all transports: splits datagrams into packets, collects
%% batches within their limits, counts.
%%
%% A batch holds the packets of one read. It goes to the handler when the read is complete; earlier if it has grown to
%% `batch_bytes', or if the process must wait for more of the inflate budget.
-module(hep_listener_batch).

-export([start/1, new/1, datagram/3, packet/3, stream_error/3, info/2, flush/1, stop/2]).
-export([unpacking/2, unpacked/2, invalid/1]).
-export([handshake_failed/3, proxy_failed/3, accept_failed/2, event/4, ip/1]).

-export_type([options/0, shared/0, batch/0, source/0]).

-type options() :: #{transport := udp | tcp | tls, adapter := module() | none, name => term(), atom() => term()}.
%% The listener's options, checked and completed.

-type shared() :: #{
    listener := pid(),
    table := hep_listener_table:table(),
    counters := hep_listener_counters:counters(),
    limits := hep_listener_log:limits(),
    transport := udp | tcp | tls,
    view := decode | parse | transform | {transform, [module()]} | json | raw,
    decode := hep:options(),
    auth_keys := fun(() -> [binary()]),
    batch_bytes := pos_integer(),
    inflate_budget := pos_integer(),
    dedup := hep_listener_dedup:dedup(),
    filter := none | hep_listener_filter:filter(),
    handler := hep_handler:handler(),
    adapter := module() | none,
    atom() => term()
}.
%% Shared by all processes of a listener: the options, and the means to find each other.

-type source() :: {inet:ip_address(), inet:port_number()}.

%% The approximate memory of a packet with its `Meta', without its bytes and chunks.
-define(PACKET, 512).
%% Inflated bytes that do not yet trigger a garbage collection: one per batch would be too expensive.
-define(GARBAGE, 64 * 1024).
%% The largest unpacked gzip member, and the total for the members of a datagram: SIP takes a third of its size in gzip.
-define(MEMBER, 16#ffff).
-define(UNPACKED, 4 * ?MEMBER).

-record(batch, {
    shared :: shared(),
    handler :: hep_handler:started(),
    %% The part of `Meta' that all packets share.
    meta :: #{transport := udp | tcp | tls, listener := term(), local_port := inet:port_number()},
    %% The batch, in reverse, and its totals.
    packets = [] :: [{hep_handler:packet(), hep_handler:meta()}],
    errors = [] :: [{hep_handler:reason(), {binary(), hep_handler:meta()}}],
    received = 0 :: non_neg_integer(),
    decoded = 0 :: non_neg_integer(),
    filtered = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer(),
    %% Its memory.
    size = 0 :: non_neg_integer(),
    %% Bytes taken from the budget, bytes of these in use, and used bytes of earlier batches.
    lease = 0 :: non_neg_integer(),
    inflated = 0 :: non_neg_integer(),
    garbage = 0 :: non_neg_integer(),
    %% Invalid packets since the last valid one, over all batches.
    invalid = 0 :: non_neg_integer(),
    %% Consecutive packets of one version and type are counted together.
    alike = {3, 1, 0} :: {hep:version(), 0..255, non_neg_integer()},
    %% The start time of the batch.
    time = 0 :: integer()
}).

-opaque batch() :: #batch{}.

-spec start(shared()) -> {ok, batch()} | {error, Reason :: term()}.
start(#{handler := Handler, listener := Listener, limits := Limits, transport := Transport, table := Table} = Shared) ->
    case hep_handler:start(Handler, Listener, Limits) of
        {ok, Started} ->
            {ok, Port} = hep_listener_table:get(port, Table),
            Meta = #{transport => Transport, listener => name(Shared), local_port => Port},
            {ok, #batch{shared = Shared, handler = Started, meta = Meta}};
        {error, _} = Error ->
            Error
    end.

name(#{name := {local, Name}}) -> Name;
name(#{name := Name}) -> Name;
name(#{listener := Listener}) -> Listener.

%% @doc Starts an empty batch. The current time becomes that of its packets.
-spec new(batch()) -> batch().
new(Batch) ->
    Batch#batch{time = erlang:system_time(microsecond)}.

meta(Source, Size, #batch{time = Time, meta = Meta}) ->
    Meta#{source => Source, time => Time, size => Size}.

%%% Adding

%% @doc Adds all packets of a datagram to the batch, in order. Counts trailing bytes that are not a packet.
%%
%% A gzip member inside a member is never unpacked, and the members of a datagram are only unpacked up to `?UNPACKED'
%% bytes in total: a datagram of 600 bytes could unpack to terabytes.
-spec datagram(binary(), source(), batch()) -> batch().
datagram(Bytes, Source, Batch) ->
    datagram(Bytes, ?UNPACKED, Source, Batch).

%% `Left' bytes may still be unpacked.
datagram(<<16#1f, 16#8b, _/binary>> = Bytes, Left, Source, Batch) ->
    Ready = unpacking(?MEMBER, Batch),
    case hep_nif:unpack(Bytes) of
        {ok, Packets, Used} ->
            <<_:Used/binary, Rest/binary>> = Bytes,
            Unpacked = unpacked(byte_size(Packets), Ready),
            Others = Left - byte_size(Packets),
            case is_packet(Rest, Others) of
                true -> datagram(Rest, Others, Source, packets(Packets, Used, 0, Source, Unpacked));
                false -> trailing(byte_size(Rest), Source, packets(Packets, byte_size(Bytes), 0, Source, Unpacked))
            end;
        _ ->
            %% Decoding returns the reason.
            {error, Reason} = hep:decode(Bytes),
            Size = byte_size(Bytes),
            rejected(Reason, Bytes, meta(Source, Size, Ready), received(Size, Ready))
    end;
datagram(Bytes, Left, Source, Batch) ->
    packets(Bytes, byte_size(Bytes), Left, Source, Batch).

%% Only version 3 states its length.
packets(<<Magic:4/binary, Length:16, _/binary>> = Bytes, Received, Left, Source, Batch) when
    (Magic =:= <<"HEP3">> orelse Magic =:= <<"EEP3">>), Length >= 6, Length < byte_size(Bytes)
->
    <<Packet:Length/binary, Rest/binary>> = Bytes,
    case is_packet(Rest, Left) of
        true -> datagram(Rest, Left, Source, one(Packet, Length, Source, Batch));
        %% Decoding ignores these bytes, unless it is lenient about lengths.
        false -> trailing(byte_size(Rest), Source, one(Bytes, Received, Source, Batch))
    end;
packets(Bytes, Received, _, Source, Batch) ->
    one(Bytes, Received, Source, Batch).

is_packet(<<"HEP3", _/binary>>, _) -> true;
is_packet(<<"EEP3", _/binary>>, _) -> true;
is_packet(<<16#1f, 16#8b, _/binary>>, Left) -> Left > 0;
is_packet(_, _) -> false.

trailing(0, _, Batch) ->
    Batch;
trailing(Bytes, Source, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:add(trailing, 1, Counters),
    hep_listener_counters:add(trailing_bytes, Bytes, Counters),
    event(trailing, #{bytes => Bytes}, #{source => Source}, Shared),
    Batch.

%% @doc Adds a packet of a stream to the batch. A gzip member may hold several.
-spec packet(binary(), source(), batch()) -> batch().
packet(Bytes, Source, Batch) ->
    packets(Bytes, byte_size(Bytes), 0, Source, Batch).

%% The key is checked before anything in the packet is inflated.
one(Bytes, Size, Source, #batch{shared = Shared} = Batch) ->
    case hep_listener_view:glance(Bytes, Shared) of
        {ok, Glance} ->
            {Terms, Inflated} = hep_listener_view:need(Glance, Shared),
            Ready = unpacked(Terms, unpacking(Terms + Inflated, Batch)),
            Meta = meta(Source, Size, Ready),
            passed(hep_listener_view:read(Bytes, Glance, Shared), Glance, Bytes, Meta, received(Size, Ready));
        unauthenticated ->
            one_more(unauthenticated(Bytes, meta(Source, Size, Batch), received(Size, Batch)));
        {error, Reason} ->
            one_more(rejected(Reason, Bytes, meta(Source, Size, Batch), received(Size, Batch)))
    end.

one_more(#batch{invalid = Invalid} = Batch) ->
    Batch#batch{invalid = Invalid + 1}.

received(Size, #batch{received = Received, bytes = Sum} = Batch) ->
    Batch#batch{received = Received + 1, bytes = Sum + Size}.

%% Drops the packet if it does not pass the filter.
passed({filtered, Inflated}, _, _, _, #batch{filtered = Filtered} = Batch) ->
    unpacked(Inflated, Batch#batch{filtered = Filtered + 1, invalid = 0});
passed({filter_crashed, Reason, Inflated}, Glance, _, _, #batch{shared = Shared} = Batch) ->
    crashed(1, Shared),
    #{listener := Listener, limits := Limits} = Shared,
    Report = #{what => hep_filter_crashed, listener => Listener, reason => Reason},
    hep_listener_log:error(handler_crashed, Report, Limits),
    unpacked(Inflated, decoded(Glance, Batch));
passed(Read, Glance, Bytes, Meta, Batch) ->
    once(Read, Glance, Bytes, Meta, Batch).

%% Drops the packet if another agent has sent it.
once(Read, Glance, Bytes, #{source := {Ip, _}} = Meta, #batch{shared = #{dedup := Dedup} = Shared} = Batch) when
    element(1, Read) =/= error
->
    case hep_listener_dedup:is_duplicate(element(2, Read), Bytes, Glance, Ip, Dedup) of
        true ->
            hep_listener_counters:add(duplicates, 1, maps:get(counters, Shared)),
            unpacked(inflated(Read), Batch);
        false ->
            read(Read, Glance, Bytes, Meta, Batch)
    end;
once(Read, Glance, Bytes, Meta, Batch) ->
    read(Read, Glance, Bytes, Meta, Batch).

inflated({crashed, _}) -> 0;
inflated(Read) -> element(3, Read).

read({ok, Packet, Inflated}, Glance, Bytes, Meta, #batch{packets = Packets} = Batch) ->
    Size = ?PACKET + hep_listener_view:terms(Glance) + byte_size(Bytes) + Inflated,
    full(grown(Size, unpacked(Inflated, decoded(Glance, Batch#batch{packets = [{Packet, Meta} | Packets]}))));
read({cut, Packet, Inflated, Reason}, Glance, Bytes, Meta, #batch{shared = #{counters := Counters}} = Batch) ->
    hep_listener_counters:add(cut, 1, Counters),
    read({ok, Packet, Inflated}, Glance, Bytes, Meta#{cut => Reason}, Batch);
read({crashed, Reason}, Glance, _, _, #batch{shared = Shared} = Batch) ->
    crashed(1, Shared),
    #{view := View, listener := Listener, limits := Limits} = Shared,
    Report = #{what => hep_transform_crashed, view => View, listener => Listener, reason => Reason},
    hep_listener_log:error(handler_crashed, Report, Limits),
    decoded(Glance, Batch);
read({error, Reason}, _, Bytes, Meta, Batch) ->
    one_more(rejected(Reason, Bytes, Meta, Batch)).

decoded(#{version := Version, type := Type, payload := Payload}, #batch{decoded = Decoded} = Before) ->
    #batch{shared = #{counters := Counters}, alike = Alike} = Batch = Before#batch{invalid = 0},
    _ = Payload =:= keep_alive andalso hep_listener_counters:add(keepalives, 1, Counters),
    case Alike of
        {Version, Type, Count} ->
            Batch#batch{decoded = Decoded + 1, alike = {Version, Type, Count + 1}};
        _ ->
            count_alike(Batch),
            Batch#batch{decoded = Decoded + 1, alike = {Version, Type, 1}}
    end.

count_alike(#batch{alike = {Version, Type, Count}, shared = #{counters := Counters}}) ->
    hep_listener_counters:packets(Version, Type, Count, Counters).

%% @doc Adds an error of a stream to the batch.
-spec stream_error(hep_stream:error(), source(), batch()) -> batch().
stream_error({_, {resync, Skipped}} = Error, Source, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:add(resyncs, 1, Counters),
    hep_listener_counters:add(skipped_bytes, Skipped, Counters),
    event(resync, #{skipped_bytes => Skipped}, #{source => Source}, Shared),
    refused({stream, Error}, <<>>, meta(Source, 0, Batch), Batch);
stream_error({_, Reason} = Error, Source, Batch) ->
    rejected({stream, Error}, Reason, <<>>, meta(Source, 0, Batch), received(0, Batch)).

unauthenticated(Bytes, #{source := Source} = Meta, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:add(unauthenticated, 1, Counters),
    event(unauthenticated, #{count => 1}, #{source => Source}, Shared),
    refused(unauthenticated, Bytes, Meta, Batch).

rejected(Reason, Bytes, Meta, Batch) ->
    rejected(Reason, Reason, Bytes, Meta, Batch).

rejected(Reported, Counted, Bytes, Meta, #batch{shared = #{counters := Counters} = Shared} = Batch) ->
    hep_listener_counters:rejected(Counted, Counters),
    event(rejected, #{count => 1}, #{source => maps:get(source, Meta), reason => Reported}, Shared),
    refused(Reported, Bytes, Meta, Batch).

refused(Reason, Bytes, Meta, #batch{errors = Errors} = Batch) ->
    Next = Batch#batch{errors = [{Reason, {Bytes, Meta}} | Errors]},
    full(grown(?PACKET + byte_size(Bytes), Next)).

%% @doc Returns the number of invalid and unauthenticated packets since the last valid one.
-spec invalid(batch()) -> non_neg_integer().
invalid(#batch{invalid = Invalid}) -> Invalid.

%%% Bounds

grown(Bytes, #batch{size = Size} = Batch) -> Batch#batch{size = Size + Bytes}.

%% A full batch is worth a garbage collection: otherwise each connection keeps a heap that is several times as large.
full(#batch{size = Size, shared = #{batch_bytes := Most}} = Batch) when Size >= Most ->
    Flushed = flush(Batch),
    true = erlang:garbage_collect(),
    Flushed;
full(Batch) ->
    Batch.

%% @doc Reserves bytes of the budget before they are inflated or become terms. If they are not available, passes the
%% batch to the handler first and then waits, so that a waiting process holds none.
-spec unpacking(non_neg_integer(), batch()) -> batch().
unpacking(0, Batch) ->
    Batch;
unpacking(Need, #batch{lease = Lease, inflated = Inflated} = Batch) when Lease - Inflated >= Need ->
    Batch;
unpacking(Need, Batch) ->
    #batch{shared = #{batch_bytes := More, inflate_budget := All}} = Flushed = flush(Batch),
    %% Usually enough for the whole batch.
    Lease = min(Need + More, All),
    ok = hep_listener_budget:take(Lease, budget(Flushed)),
    Flushed#batch{lease = Lease}.

%% @doc Records bytes that were inflated or became terms.
-spec unpacked(non_neg_integer(), batch()) -> batch().
unpacked(Bytes, #batch{inflated = Inflated} = Batch) ->
    Batch#batch{inflated = Inflated + Bytes}.

%% The handler has returned: the terms that it did not keep are garbage.
released(#batch{inflated = 0, lease = 0} = Batch) ->
    Batch;
released(#batch{inflated = Inflated, garbage = Garbage} = Batch) when Inflated + Garbage =< ?GARBAGE ->
    given_back(Batch#batch{garbage = Inflated + Garbage});
released(Batch) ->
    true = erlang:garbage_collect(),
    given_back(Batch#batch{garbage = 0}).

given_back(Batch) ->
    ok = hep_listener_budget:give_back(budget(Batch)),
    Batch#batch{lease = 0, inflated = 0}.

budget(#batch{shared = #{table := Table}}) ->
    fun() ->
        case hep_listener_table:get(budget, Table) of
            {ok, Pid} -> Pid;
            undefined -> undefined
        end
    end.

%%% The handler

%% @doc Passes the batch to the handler: its packets, then its errors.
-spec flush(batch()) -> batch().
flush(#batch{received = 0, errors = []} = Batch) ->
    released(Batch);
flush(#batch{shared = #{counters := Counters} = Shared, handler = Handler} = Batch) ->
    #batch{received = Received, bytes = Bytes, decoded = Decoded, filtered = Filtered, size = Size} = Batch,
    #batch{alike = {Version, Type, _}} = Batch,
    %% Counted before the call, since the handler may end the process.
    count_alike(Batch),
    hep_listener_counters:add(bytes, Bytes, Counters),
    hep_listener_counters:add(filtered, Filtered, Counters),
    event(packets, #{received => Received, decoded => Decoded, filtered => Filtered, bytes => Bytes}, #{}, Shared),
    Packets = adapted_packets(Batch),
    After = handled(hep_handler:packets(Packets, Size, Handler), length(Packets), Handler, Shared),
    Last = lists:foldl(
        fun(Error, Next) -> handled(hep_handler:error(Error, Next), 0, Next, Shared) end,
        After,
        adapted_errors(Batch)
    ),
    released(Batch#batch{
        handler = Last,
        packets = [],
        errors = [],
        received = 0,
        decoded = 0,
        filtered = 0,
        bytes = 0,
        size = 0,
        alike = {Version, Type, 0}
    }).

adapted_packets(#batch{packets = Packets, shared = #{adapter := none}}) ->
    lists:reverse(Packets);
adapted_packets(#batch{packets = Packets, shared = #{adapter := Adapter}}) ->
    [{Adapter:packet(Packet), Meta} || {Packet, Meta} <- lists:reverse(Packets)].

adapted_errors(#batch{errors = Errors, shared = #{adapter := none}}) ->
    lists:reverse(Errors);
adapted_errors(#batch{errors = Errors, shared = #{adapter := Adapter}}) ->
    [{Adapter:error(Reason), Raw} || {Reason, Raw} <- lists:reverse(Errors)].

%% @doc Passes a message that is not the listener's to the handler. The batch must be empty.
-spec info(Message :: term(), batch()) -> batch().
info(Message, #batch{shared = Shared, handler = Handler} = Batch) ->
    Batch#batch{handler = handled(hep_handler:info(Message, Handler), 0, Handler, Shared)}.

%% Counts first: if the handler cannot be restarted, the process ends.
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

%%% Helpers

-spec handshake_failed(Reason :: term(), source(), shared()) -> ok.
handshake_failed(Reason, Source, #{counters := Counters, listener := Listener, limits := Limits} = Shared) ->
    hep_listener_counters:add(handshakes_failed, 1, Counters),
    Report = #{what => hep_listener_handshake_failed, listener => Listener, source => Source, reason => Reason},
    hep_listener_log:notice(handshake_failed, Report, Limits),
    event(handshake_failed, #{count => 1}, #{source => Source, reason => Reason}, Shared).

-spec proxy_failed(hep_listener_proxy:error(), source(), shared()) -> ok.
proxy_failed(Reason, Source, #{counters := Counters, listener := Listener, limits := Limits} = Shared) ->
    hep_listener_counters:add(proxy_failed, 1, Counters),
    Report = #{what => hep_listener_proxy_failed, listener => Listener, source => Source, reason => Reason},
    hep_listener_log:notice(proxy_failed, Report, Limits),
    event(proxy_failed, #{count => 1}, #{source => Source, reason => Reason}, Shared).

-spec accept_failed(Reason :: term(), shared()) -> ok.
accept_failed(Reason, #{counters := Counters, listener := Listener, limits := Limits} = Shared) ->
    hep_listener_counters:add(accept_errors, 1, Counters),
    Report = #{what => hep_listener_accept_failed, listener => Listener, reason => Reason},
    hep_listener_log:warning(accept_failed, Report, Limits),
    event(accept_failed, #{count => 1}, #{reason => Reason}, Shared).

%% @doc Converts IPv4-mapped addresses, as on a socket of both families, to IPv4.
-spec ip(inet:ip_address()) -> inet:ip_address().
ip({0, 0, 0, 0, 0, 16#ffff, High, Low}) -> {High bsr 8, High band 255, Low bsr 8, Low band 255};
ip(Ip) -> Ip.

-spec event(atom(), #{atom() => number()}, #{atom() => term()}, shared()) -> ok.
event(Name, Measurements, Metadata, #{listener := Listener, transport := Transport}) ->
    hep_telemetry:execute(
        [hep, listener, Name], Measurements, Metadata#{listener => Listener, transport => Transport}
    ).
