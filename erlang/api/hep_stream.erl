%% @doc Splits a stream (TCP, TLS) into version 3 packets: pure, without a process or a socket.
%%
%% ```
%% 1> Stream = hep_stream:new().
%% 2> {[Packet], [], Stream1} = hep_stream:feed(Stream, Bytes).
%% 3> {ok, Hep} = hep:decode(Packet).
%% '''
%%
%% The bytes may be cut anywhere. The total length is the only thing that tells where a packet ends, so the magic is
%% checked before it, as its bytes come in. A packet that is not complete is kept: 65,535 bytes at most, beside
%% what was fed last. Versions 1 and 2 have no length: a stream of them is an error.
%%
%% Errors are `{Offset, Reason}'; offsets count from the stream's first byte.
-module(hep_stream).

-export([new/0, new/1, feed/2, finish/1, buffered/1, format_error/1]).

-export_type([stream/0, options/0, error/0, reason/0]).

%% <dl>
%% <dt>`resync'</dt><dd>what happens when something else than a packet comes: `false' (default), the stream has
%%   ended there, and each call of {@link feed/2} gives the error again; `true', bytes are skipped to the next
%%   magic. A packet that does not divide into chunks and has a magic within was broken off there by its sender;
%%   when the same is true of too many packets within it, none of it is one</dd>
%% <dt>`copy'</dt><dd>`true' (default): a packet that would keep a buffer of more than twice its size alive is
%%   copied out of it; `false': packets are parts of what was fed</dd>
%% </dl>
-type options() :: #{resync => boolean(), copy => boolean()}.

%% What is at the offset:
%% <dl>
%% <dt>`not_hep'</dt><dd>no magic where a packet should begin</dd>
%% <dt>`{unframed_version, V}'</dt><dd>a stream that begins like version 1 or 2, which cannot be divided</dd>
%% <dt>`{invalid_total_length, N}'</dt><dd>a packet whose total length is below 6</dd>
%% <dt>`{truncated, Bytes}'</dt><dd>a packet that breaks off after so many bytes: the stream ended, or (with
%%   `resync') another packet begins within</dd>
%% <dt>`{resync, Skipped}'</dt><dd>a packet again; so many bytes before it were skipped</dd>
%% </dl>
-type reason() ::
    not_hep
    | {unframed_version, 1 | 2}
    | {invalid_total_length, 0..5}
    | {truncated, Bytes :: pos_integer()}
    | {resync, Skipped :: pos_integer()}.

-type error() :: {Offset :: non_neg_integer(), reason()}.

-record(stream, {
    resync :: boolean(),
    copy :: boolean(),
    %% What is not yet divided. It is only appended to until it has `needed' bytes: the runtime system appends in
    %% place while nobody matches, so that a packet that comes byte by byte is not copied with each.
    buffer = <<>> :: binary(),
    needed = 1 :: pos_integer(),
    %% Of the buffer's first byte.
    offset = 0 :: non_neg_integer(),
    %% How often packets were broken off within the one that ends at the offset.
    broken = {0, 0} :: {Until :: non_neg_integer(), Times :: non_neg_integer()},
    %% Since when bytes are skipped, or the error that ended the stream.
    state = ok :: ok | {skipping, non_neg_integer()} | {ended, error()}
}).

-opaque stream() :: #stream{}.

%% In bytes: the magic; a header of a packet (magic, total length) and of a chunk (vendor id, chunk id, length).
-define(MAGIC, 4).
-define(HEADER, 6).
%% How often packets are taken for broken off within one: each time all of it is looked at.
-define(BROKEN, 8).

%% @doc A stream of which nothing has come yet.
-spec new() -> stream().
new() ->
    new(#{}).

%% @doc Raises `badarg' when an option is wrong.
-spec new(options()) -> stream().
new(#{} = Options) ->
    case maps:merge(#{resync => false, copy => true}, Options) of
        #{resync := Resync, copy := Copy} = All when is_boolean(Resync), is_boolean(Copy), map_size(All) =:= 2 ->
            #stream{resync = Resync, copy = Copy};
        _ ->
            erlang:error(badarg, [Options])
    end;
new(Options) ->
    erlang:error(badarg, [Options]).

%% @doc Takes the next bytes of the stream: the packets that are complete now, what was wrong, both in order.
-spec feed(stream(), binary()) -> {[Packet :: binary()], [error()], stream()}.
feed(#stream{state = {ended, Error}} = Stream, Bytes) when is_binary(Bytes) ->
    {[], [Error], Stream};
feed(#stream{buffer = Buffer, needed = Needed} = Stream, Bytes) when is_binary(Bytes) ->
    case append(Buffer, Bytes) of
        All when byte_size(All) < Needed -> {[], [], Stream#stream{buffer = All}};
        All -> divide(All, Stream, [], [])
    end;
feed(Stream, Bytes) ->
    erlang:error(badarg, [Stream, Bytes]).

append(<<>>, Bytes) -> Bytes;
append(Buffer, Bytes) -> <<Buffer/binary, Bytes/binary>>.

%% @doc What is wrong when the stream ends here.
-spec finish(stream()) -> [error()].
finish(#stream{state = {ended, Error}}) -> [Error];
finish(#stream{state = {skipping, Since}, offset = Offset, buffer = Rest}) ->
    End = Offset + byte_size(Rest),
    [{End, {resync, End - Since}}];
finish(#stream{buffer = <<>>}) -> [];
finish(#stream{offset = Offset, buffer = Rest}) -> [{Offset, {truncated, byte_size(Rest)}}].

%% @doc How many bytes wait for the rest of their packet.
-spec buffered(stream()) -> non_neg_integer().
buffered(#stream{buffer = Buffer}) -> byte_size(Buffer).

%% @doc A sentence about an error.
-spec format_error(error()) -> unicode:chardata().
format_error({Offset, Reason}) ->
    io_lib:format("offset ~b: ~ts", [Offset, sentence(Reason)]).

sentence({unframed_version, Version}) ->
    io_lib:format("version ~b has no length and cannot be divided into packets on a stream", [Version]);
sentence({truncated, Bytes}) ->
    io_lib:format("the packet breaks off after ~b bytes", [Bytes]);
sentence({resync, Skipped}) ->
    io_lib:format("~b bytes were skipped", [Skipped]);
sentence(Reason) ->
    hep:format_error(Reason).

%%% Dividing. Packets and errors are gathered in reverse.

divide(Bytes, #stream{state = {skipping, Since}} = Stream, Packets, Errors) ->
    {Skip, Found} = skip(Bytes, 0),
    Rest = behind(Skip, Bytes),
    Offset = Stream#stream.offset + Skip,
    case Found of
        true -> divide(Rest, Stream#stream{state = ok, offset = Offset}, Packets, [{Offset, {resync, Offset - Since}} | Errors]);
        false -> kept(Rest, byte_size(Rest) + 1, Stream#stream{offset = Offset}, Packets, Errors)
    end;
divide(Bytes, #stream{offset = Offset} = Stream, Packets, Errors) ->
    case packet(Bytes, Stream) of
        {packet, Packet, Rest} ->
            Next = Stream#stream{offset = Offset + byte_size(Packet)},
            divide(Rest, Next, [keep(Packet, Stream) | Packets], Errors);
        {needed, Needed} ->
            kept(Bytes, Needed, Stream, Packets, Errors);
        {broken, Length, Claimed} ->
            case again(Offset, Claimed, Stream#stream.broken) of
                {Until, Times} when Times > ?BROKEN ->
                    Skipping = Stream#stream{state = {skipping, Offset}, offset = Until},
                    divide(behind(Until - Offset, Bytes), Skipping, Packets, [{Offset, not_hep} | Errors]);
                Broken ->
                    Next = Stream#stream{offset = Offset + Length, broken = Broken},
                    divide(behind(Length, Bytes), Next, Packets, [{Offset, {truncated, Length}} | Errors])
            end;
        {error, Reason} when Stream#stream.resync ->
            %% Not at its own first byte again.
            Skipping = Stream#stream{state = {skipping, Offset}, offset = Offset + 1},
            divide(behind(1, Bytes), Skipping, Packets, [{Offset, Reason} | Errors]);
        {error, Reason} ->
            Error = {Offset, Reason},
            Ended = Stream#stream{state = {ended, Error}, buffer = <<>>},
            {lists:reverse(Packets), lists:reverse(Errors, [Error]), Ended}
    end.

behind(Length, Bytes) ->
    <<_:Length/binary, Rest/binary>> = Bytes,
    Rest.

%% A sender that goes wrong breaks off a packet. One that means harm sends many within each other.
again(Offset, _, {Until, Times}) when Offset < Until -> {Until, Times + 1};
again(Offset, Claimed, _) -> {Offset + Claimed, 1}.

%% What waits for more may wait long: it keeps no large buffer alive either.
kept(Rest, Needed, Stream, Packets, Errors) ->
    {lists:reverse(Packets), lists:reverse(Errors), Stream#stream{buffer = keep(Rest, Stream), needed = Needed}}.

%% What the bytes begin with.
packet(Bytes, Stream) when byte_size(Bytes) < ?MAGIC ->
    case lists:any(fun(Magic) -> is_begun(Magic, Bytes) end, hep_registry:magics()) of
        true -> {needed, byte_size(Bytes) + 1};
        false -> {error, unknown(Bytes, Stream)}
    end;
packet(<<Magic:?MAGIC/binary, _/binary>> = Bytes, Stream) ->
    case lists:member(Magic, hep_registry:magics()) of
        true -> frame(Bytes, Stream);
        false -> {error, unknown(Bytes, Stream)}
    end.

frame(<<_:?MAGIC/binary, Length:16, _/binary>>, _) when Length < ?HEADER ->
    {error, {invalid_total_length, Length}};
frame(<<_:?MAGIC/binary, Length:16, _/binary>> = Bytes, Stream) when byte_size(Bytes) >= Length ->
    <<Packet:Length/binary, Rest/binary>> = Bytes,
    whole(Packet, Rest, Stream);
frame(<<_:?MAGIC/binary, Length:16, _/binary>>, _) ->
    {needed, Length};
frame(_, _) ->
    {needed, ?HEADER}.

is_begun(Magic, Bytes) ->
    Length = min(?MAGIC, byte_size(Bytes)),
    binary:part(Magic, 0, Length) =:= binary:part(Bytes, 0, Length).

unknown(<<Version, _/binary>>, #stream{offset = 0}) when Version =:= 1; Version =:= 2 ->
    {unframed_version, Version};
unknown(_, _) ->
    not_hep.

whole(Packet, Rest, #stream{resync = true}) ->
    case interrupted(Packet) of
        false -> {packet, Packet, Rest};
        Length -> {broken, Length, byte_size(Packet)}
    end;
whole(Packet, Rest, _) ->
    {packet, Packet, Rest}.

%% Where the next packet begins within this one, which its sender broke off.
interrupted(<<_:?HEADER/binary, Chunks/binary>> = Packet) ->
    case is_divided(Chunks) orelse skip(Packet, 1) of
        {Length, true} -> Length;
        _ -> false
    end.

is_divided(<<_:32, Length:16, _:(Length - ?HEADER)/binary, Rest/binary>>) -> is_divided(Rest);
is_divided(Rest) -> Rest =:= <<>>.

%% Where the next magic is, from an offset on; without one, where it may begin.
skip(Bytes, From) ->
    case binary:match(Bytes, hep_registry:magics(), [{scope, {From, byte_size(Bytes) - From}}]) of
        {Position, _} -> {Position, true};
        nomatch -> {begun(Bytes, max(From, byte_size(Bytes) - ?MAGIC + 1)), false}
    end.

begun(Bytes, Position) when Position >= byte_size(Bytes) ->
    byte_size(Bytes);
begun(Bytes, Position) ->
    Tail = binary:part(Bytes, Position, byte_size(Bytes) - Position),
    case lists:any(fun(Magic) -> is_begun(Magic, Tail) end, hep_registry:magics()) of
        true -> Position;
        false -> begun(Bytes, Position + 1)
    end.

keep(Packet, #stream{copy = true}) -> own(Packet);
keep(Packet, _) -> Packet.

%% A binary that keeps no more than twice its size alive.
own(Bytes) ->
    case binary:referenced_byte_size(Bytes) > 2 * byte_size(Bytes) of
        true -> binary:copy(Bytes);
        false -> Bytes
    end.
