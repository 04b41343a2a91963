%% @private
%% Encodes and checks packets before sending. Runs in the process that calls `hep_sender:send/2'.
-module(hep_sender_frame).

-include("hep.hrl").

-export([settings/1, new/2, format_error/1]).

-export_type([settings/0, reason/0]).

%% The limit of UDP over IPv4: 65535 bytes without the headers of both.
-define(UDP_PAYLOAD, 65507).
%% The payload type.
-define(SIP, 1).

-record(settings, {
    stream :: boolean(),
    capture_id :: hep:uint32() | undefined,
    node_name :: binary() | undefined,
    %% In a function, to keep it out of logs and tables.
    auth_key :: fun(() -> binary()) | undefined,
    correlation :: none | sip_call_id,
    encode :: hep:encode_options(),
    %% With the strategy `balance'.
    names :: hep_sender_balance:names() | undefined
}).

-opaque settings() :: #settings{}.

-type reason() ::
    hep:encode_reason()
    | not_hep
    | {unframed_version, 1 | 2}
    | {wrong_total_length, hep:uint16(), Size :: non_neg_integer()}
    | {datagram_too_large, Size :: pos_integer()}.
%% Why a packet is not sent.

-spec settings(map()) -> settings().
settings(#{transport := Transport, encode := Encode, strategy := Strategy, targets := Targets} = Options) ->
    #settings{
        stream = Transport =/= udp,
        capture_id = maps:get(capture_id, Options, undefined),
        node_name = maps:get(node_name, Options, undefined),
        auth_key = hidden(Options),
        correlation = maps:get(correlation, Options),
        encode = Encode,
        names = if Strategy =:= balance -> hep_sender_balance:names(Targets); true -> undefined end
    }.

hidden(#{auth_key := Key}) -> hep_secret:hide(Key);
hidden(_) -> undefined.

-spec new(hep:hep() | iodata() | term(), settings()) ->
    {ok, iodata(), Size :: non_neg_integer(), hep_sender_balance:place() | none} | {error, reason()}.
new(#hep{} = Hep, Settings) ->
    record(hep:numbered(Hep), Settings);
new(Bytes, Settings) when is_binary(Bytes); is_list(Bytes) ->
    try iolist_size(Bytes) of
        Size -> encoded(Bytes, Size, Settings)
    catch
        error:badarg -> {error, not_hep}
    end;
new(Term, _) ->
    {error, {invalid_hep, Term}}.

record(#hep{version = Version}, #settings{stream = true}) when Version =:= 1; Version =:= 2 ->
    {error, {unframed_version, Version}};
record(Hep, Settings) ->
    Complete = with_node_name(with_capture_id(Hep, Settings), Settings),
    case with_correlation(Complete, Settings) of
        Complete -> framed(Complete, Settings);
        Correlated -> correlated(framed(Correlated, Settings), Complete, Settings)
    end.

%% The id must not be the reason why a packet is too large.
correlated({error, {Reason, _}}, Hep, Settings) when Reason =:= packet_too_large; Reason =:= datagram_too_large ->
    framed(Hep, Settings);
correlated(Result, _, _) ->
    Result.

framed(Hep, Settings) ->
    case encode(Hep, options(Settings)) of
        {ok, Frame} -> sized(Frame, iolist_size(Frame), Hep, Settings);
        {error, _} = Error -> Error
    end.

options(#settings{encode = Encode, auth_key = undefined}) -> Encode;
options(#settings{encode = Encode, auth_key = Key}) -> Encode#{auth_key => Key()}.

%% Without options the codec is faster.
encode(Hep, Options) when map_size(Options) =:= 0 -> hep:encode_iolist(Hep);
encode(Hep, Options) -> hep:encode_iolist(Hep, Options).

%% Version 1 cannot carry it.
with_capture_id(#hep{node_id = undefined, version = Version} = Hep, #settings{capture_id = Id}) when Version =/= 1 ->
    Hep#hep{node_id = Id};
with_capture_id(Hep, _) ->
    Hep.

%% Only version 3 can carry it. If `chunks' is not a list, the codec rejects it.
with_node_name(#hep{version = 3, chunks = Chunks} = Hep, #settings{node_name = <<_/binary>> = Name}) when
    length(Chunks) >= 0
->
    Key = {0, hep_registry:chunk_id(node_name)},
    case lists:keymember(Key, 1, Chunks) of
        true -> Hep;
        false -> Hep#hep{chunks = [{Key, Name} | Chunks]}
    end;
with_node_name(Hep, _) ->
    Hep.

%% Only version 3 can carry it. An empty id equals none, as in decoding.
with_correlation(#hep{version = 3, payload_type = ?SIP, chunks = Chunks} = Hep, #settings{correlation = sip_call_id}) when
    length(Chunks) >= 0, is_binary(Hep#hep.payload)
->
    case lists:member(hep:correlation_id(Hep), [undefined, <<>>]) andalso hep_sip:summary(Hep) of
        {ok, #{call_id := CallId}} when CallId =/= <<>> -> hep:correlation_id(CallId, Hep);
        _ -> Hep
    end;
with_correlation(Hep, _) ->
    Hep.

sized(_, Size, _, #settings{stream = false}) when Size > ?UDP_PAYLOAD -> {error, {datagram_too_large, Size}};
sized(Frame, Size, Packet, Settings) -> accepted(Frame, Size, Packet, Settings).

accepted(Frame, Size, _, #settings{names = undefined}) -> {ok, Frame, Size, none};
accepted(Frame, Size, Packet, #settings{names = Names}) ->
    {ok, Frame, Size, hep_sender_balance:place(Packet, Names)}.

%% On a stream, one wrong length makes all following packets unreadable.
encoded(Bytes, Size, #settings{stream = true} = Settings) ->
    case start(Bytes) of
        <<Version, _/binary>> when Version =:= 1; Version =:= 2 ->
            {error, {unframed_version, Version}};
        <<Magic:4/binary, Total:16, _/binary>> ->
            case lists:member(Magic, hep_registry:magics()) of
                true when Total =:= Size -> accepted(Bytes, Size, Bytes, Settings);
                true -> {error, {wrong_total_length, Total, Size}};
                false -> {error, not_hep}
            end;
        _ ->
            {error, not_hep}
    end;
encoded(Bytes, Size, Settings) ->
    sized(Bytes, Size, Bytes, Settings).

%% The first bytes. Copies only if the first piece is shorter than a header.
start(Bytes) when is_binary(Bytes) -> Bytes;
start([<<_:6/binary, _/binary>> = Start | _]) -> Start;
start(Bytes) -> iolist_to_binary(Bytes).

%% A sentence about a reason.
-spec format_error(reason()) -> string().
format_error({unframed_version, Version}) ->
    text("packets of version ~b state no length and cannot be sent on a stream", [Version]);
format_error({datagram_too_large, Size}) ->
    text("the packet has ~b bytes: the limit of UDP is ~b", [Size, ?UDP_PAYLOAD]);
format_error({wrong_total_length, Total, Size}) ->
    text("the packet states a total length of ~b, but has ~b bytes", [Total, Size]);
format_error(Reason) ->
    hep:format_error(Reason).

text(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).
