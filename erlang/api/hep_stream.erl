%% @doc Splits a stream (TCP, TLS) into packets: pure, without a process or a socket.
%%
%% ```
%% 1> Stream = hep_stream:new().
%% 2> {[Packet], [], Stream1} = hep_stream:feed(Stream, Bytes).
%% 3> {ok, Hep} = hep:decode(Packet).
%% '''
%%
%% The bytes may be cut anywhere. The total length of version 3 is the only framing, so the magic is checked first, as
%% its bytes arrive. An incomplete packet is kept: 65,535 bytes at most. Versions 1 and 2 have no length: a stream of
%% them is an error.
%%
%% heplify can send each packet as a gzip member of its own. A member is unpacked to 65,535 bytes at most, whatever is
%% in it; at most 67,583 bytes of an incomplete one are kept, with what they unpack to. The line `HELLO HFP', with
%% which HEPfix proxies before 2023 begin a connection, is skipped.
%%
%% Errors are `{Offset, Reason}'; offsets count from the stream's first byte.
-module(hep_stream).

-export([new/0, new/1, feed/2, finish/1, buffered/1, format_error/1]).
%% For the listener.
-export([feed/3, is_ended/1]).

-export_type([stream/0, options/0, error/0, reason/0]).

-type options() :: #{resync => boolean(), max_errors => pos_integer() | infinity, copy => boolean()}.
%% <dl>
%% <dt>`resync'</dt><dd>what happens after an error: `false' (default), the stream has ended there, and each call of
%%   {@link feed/2} returns the error again; `true', bytes are skipped to the next magic. A packet whose chunks do not
%%   fit its length and which has a magic within was broken off there by its sender; after 8 such nested breaks
%%   the whole span is skipped as not HEP</dd>
%% <dt>`max_errors'</dt><dd>with `resync': so many errors are reported. The next one ends the stream as
%%   `too_many_errors'. `infinity' by default; {@link hep_listener} sets it</dd>
%% <dt>`copy'</dt><dd>`true' (default): a packet that would keep a buffer of more than twice its size alive is
%%   copied out of it; `false': packets are parts of what was fed</dd>
%% </dl>

-type reason() ::
    not_hep
    | {unframed_version, 1 | 2}
    | {invalid_total_length, 0..5}
    | invalid_gzip
    | {truncated, Bytes :: pos_integer()}
    | {resync, Skipped :: pos_integer()}
    | {too_many_errors, Before :: pos_integer()}.
%% What is at the offset:
%% <dl>
%% <dt>`not_hep'</dt><dd>no magic where a packet should begin</dd>
%% <dt>`{unframed_version, V}'</dt><dd>a stream that begins like version 1 or 2, which cannot be split</dd>
%% <dt>`{invalid_total_length, N}'</dt><dd>a packet whose total length is below 6</dd>
%% <dt>`invalid_gzip'</dt><dd>a gzip member that is broken, or larger than a packet</dd>
%% <dt>`{truncated, Bytes}'</dt><dd>a packet that breaks off after so many bytes: the stream ended, or (with
%%   `resync') another packet begins within</dd>
%% <dt>`{resync, Skipped}'</dt><dd>a packet again; so many bytes before it were skipped</dd>
%% <dt>`{too_many_errors, N}'</dt><dd>an error after the N allowed by `max_errors'</dd>
%% </dl>

-type error() :: {Offset :: non_neg_integer(), reason()}.
%% What is wrong, and where: the offset counts from the first byte of the stream.

-record(stream, {
    resync :: boolean(),
    copy :: boolean(),
    %% How many more errors are reported.
    errors :: non_neg_integer() | infinity,
    max_errors :: pos_integer() | infinity,
    %% The start of an incomplete packet. It is only appended to until it has `needed' bytes: the runtime system appends
    %% in place while nobody matches, so that a packet that arrives byte by byte is not copied with each.
    buffer = <<>> :: binary(),
    needed = 1 :: pos_integer(),
    %% Of the buffer's first byte.
    offset = 0 :: non_neg_integer(),
    %% What may precede the first packet: a greeting, the end of its line, nothing.
    opening = greeting :: greeting | newline | none,
    %% How often packets were broken off within the one that ends at the offset.
    broken = {0, 0} :: {Until :: non_neg_integer(), Times :: non_neg_integer()},
    state = ok ::
        ok
        | {skipping, Since :: non_neg_integer()}
        %% The buffer's bytes were all given to the member.
        | {member, reference(), Step :: non_neg_integer()}
        | {ended, error()}
}).

-opaque stream() :: #stream{}.
%% A stream, and the bytes of a packet that is not complete.

%% In bytes: the magic; a header of a packet (magic, total length) and of a chunk (vendor id, chunk id, length); the
%% largest packet.
-define(MAGIC, 4).
-define(HEADER, 6).
-define(PACKET, 16#ffff).
%% How often packets are taken for broken off within one: each time all of it is searched.
-define(BROKEN, 8).
%% RFC 1952: two bytes, and deflate, the only method.
-define(GZIP, <<16#1f, 16#8b, 8>>).
-define(GREETING, <<"HELLO HFP">>).

%% @doc A stream that has received nothing yet.
-spec new() -> stream().
new() ->
    new(#{}).

%% @doc As {@link new/0}, with options. Raises `badarg' when an option is wrong.
-spec new(options()) -> stream().
new(#{} = Options) ->
    case maps:merge(#{resync => false, max_errors => infinity, copy => true}, Options) of
        #{resync := Resync, max_errors := Max, copy := Copy} = All when
            is_boolean(Resync), is_boolean(Copy), map_size(All) =:= 3,
            (Max =:= infinity orelse (is_integer(Max) andalso Max > 0))
        ->
            #stream{resync = Resync, copy = Copy, errors = Max, max_errors = Max};
        _ ->
            erlang:error(badarg, [Options])
    end;
new(Options) ->
    erlang:error(badarg, [Options]).

%% @doc Takes the next bytes of the stream. Returns the packets that are complete now and the errors, both in order.
-spec feed(stream(), binary()) -> {[Packet :: binary()], [error()], stream()}.
feed(Stream, Bytes) ->
    {Packets, Errors, Next, done} = feed(Stream, Bytes, infinity),
    {Packets, Errors, Next}.

%% @private As {@link feed/2}, but no gzip member is unpacked once fewer than 65,535 of the allowed bytes are left: then
%% the answer ends with `packed', and the next call, with no bytes, goes on. (A member that was cut before is completed
%% in any case.)
-spec feed(stream(), binary(), Allowed :: non_neg_integer() | infinity) ->
    {[Packet :: binary()], [error()], stream(), done | packed}.
feed(#stream{state = {ended, Error}} = Stream, Bytes, _) when is_binary(Bytes) ->
    {[], [Error], Stream, done};
feed(#stream{state = {member, Member, Step}, buffer = Buffer} = Stream, Bytes, Allowed) when is_binary(Bytes) ->
    case hep_nif:unpack_more(Member, Step, Bytes) of
        {partial, Member, Next} ->
            {[], [], Stream#stream{state = {member, Member, Next}, buffer = append(Buffer, Bytes)}, done};
        {ok, Packet, Used} ->
            Offset = Stream#stream.offset + byte_size(Buffer) + Used,
            frames(behind(Used, Bytes), Stream#stream{state = ok, offset = Offset}, Allowed, [Packet], []);
        invalid ->
            invalid(invalid_gzip, append(Buffer, Bytes), Stream#stream{state = ok}, Allowed, [], []);
        %% This value of the stream was fed before: its member is unpacked from its first byte again.
        stale ->
            frames(append(Buffer, Bytes), Stream#stream{state = ok}, Allowed, [], [])
    end;
feed(#stream{buffer = Buffer, needed = Needed} = Stream, Bytes, Allowed) when is_binary(Bytes) ->
    case append(Buffer, Bytes) of
        All when byte_size(All) < Needed -> {[], [], Stream#stream{buffer = All}, done};
        All -> frames(All, Stream, Allowed, [], [])
    end;
feed(Stream, Bytes, _) ->
    erlang:error(badarg, [Stream, Bytes]).

append(<<>>, Bytes) -> Bytes;
append(Buffer, Bytes) -> <<Buffer/binary, Bytes/binary>>.

%% @private Whether an error ended it.
-spec is_ended(stream()) -> boolean().
is_ended(#stream{state = State}) -> is_tuple(State) andalso element(1, State) =:= ended.

%% @doc The errors of a stream that ends here.
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
    io_lib:format("version ~b has no length: a stream of it cannot be split into packets", [Version]);
sentence({truncated, Bytes}) ->
    io_lib:format("the packet breaks off after ~b bytes", [Bytes]);
sentence(invalid_gzip) ->
    io_lib:format("the gzip member is broken, or unpacks to more than ~b bytes", [?PACKET]);
sentence({resync, Skipped}) ->
    io_lib:format("~b bytes were skipped", [Skipped]);
sentence({too_many_errors, Before}) ->
    io_lib:format("the stream ends here: one more error after ~b", [Before]);
sentence(Reason) ->
    hep:format_error(Reason).

%%% Splitting. Packets and errors are gathered in reverse.

frames(Bytes, #stream{opening = Opening} = Stream, Allowed, Packets, Errors) when Opening =/= none ->
    case opening(Opening, Bytes) of
        {needed, Needed} ->
            incomplete(Bytes, Needed, Stream, done, Packets, Errors);
        {Length, Next} ->
            Offset = Stream#stream.offset + Length,
            frames(behind(Length, Bytes), Stream#stream{opening = Next, offset = Offset}, Allowed, Packets, Errors)
    end;
frames(Bytes, #stream{state = {skipping, Since}} = Stream, Allowed, Packets, Errors) ->
    {Skip, Found} = skip(Bytes, 0, [?GZIP | hep_registry:magics()]),
    Rest = behind(Skip, Bytes),
    Offset = Stream#stream.offset + Skip,
    case Found of
        true ->
            Error = {Offset, {resync, Offset - Since}},
            frames(Rest, Stream#stream{state = ok, offset = Offset}, Allowed, Packets, [Error | Errors]);
        false ->
            incomplete(Rest, byte_size(Rest) + 1, Stream#stream{offset = Offset}, done, Packets, Errors)
    end;
frames(Bytes, #stream{offset = Offset} = Stream, Allowed, Packets, Errors) ->
    case packet(Bytes, Stream, Allowed) of
        {packet, Packet, Length} ->
            Next = Stream#stream{offset = Offset + Length},
            frames(behind(Length, Bytes), Next, Allowed, [keep(Packet, Stream) | Packets], Errors);
        {unpacked, Packet, Length} ->
            Next = Stream#stream{offset = Offset + Length},
            Left = allowed(Allowed, byte_size(Packet)),
            frames(behind(Length, Bytes), Next, Left, [Packet | Packets], Errors);
        {needed, Needed} ->
            incomplete(Bytes, Needed, Stream, done, Packets, Errors);
        {partial, Member, Step} ->
            incomplete(Bytes, 1, Stream#stream{state = {member, Member, Step}}, done, Packets, Errors);
        packed ->
            incomplete(Bytes, 1, Stream, packed, Packets, Errors);
        {broken, Length, Claimed} ->
            broken(Length, Claimed, Bytes, Stream, Allowed, Packets, Errors);
        {error, Reason} ->
            invalid(Reason, Bytes, Stream, Allowed, Packets, Errors)
    end.

behind(Length, Bytes) ->
    <<_:Length/binary, Rest/binary>> = Bytes,
    Rest.

allowed(infinity, _) -> infinity;
allowed(Allowed, Size) -> Allowed - Size.

%% What waits for more may wait long: it keeps no large buffer alive either.
incomplete(Rest, Needed, Stream, More, Packets, Errors) ->
    Next = Stream#stream{buffer = keep(Rest, Stream), needed = Needed},
    {lists:reverse(Packets), lists:reverse(Errors), Next, More}.

invalid(Reason, _, #stream{resync = false, offset = Offset} = Stream, _, Packets, Errors) ->
    ended({Offset, Reason}, Stream, Packets, Errors);
invalid(Reason, Bytes, #stream{offset = Offset} = Stream, Allowed, Packets, Errors) ->
    %% Not at its own first byte again.
    skipped(1, {Offset, Reason}, Bytes, Stream, Allowed, Packets, Errors).

%% A sender that restarts breaks off a packet. An attacker sends many within each other.
broken(Length, Claimed, Bytes, #stream{offset = Offset} = Stream, Allowed, Packets, Errors) ->
    case breaks(Offset, Claimed, Stream#stream.broken) of
        {Until, Times} when Times > ?BROKEN ->
            skipped(Until - Offset, {Offset, not_hep}, Bytes, Stream, Allowed, Packets, Errors);
        Broken ->
            Next = Stream#stream{offset = Offset + Length, broken = Broken},
            reported({Offset, {truncated, Length}}, behind(Length, Bytes), Next, Allowed, Packets, Errors)
    end.

breaks(Offset, _, {Until, Times}) when Offset < Until -> {Until, Times + 1};
breaks(Offset, Claimed, _) -> {Offset + Claimed, 1}.

skipped(Length, {Offset, _} = Error, Bytes, Stream, Allowed, Packets, Errors) ->
    Skipping = Stream#stream{state = {skipping, Offset}, offset = Offset + Length},
    reported(Error, behind(Length, Bytes), Skipping, Allowed, Packets, Errors).

reported({Offset, _}, _, #stream{errors = 0, max_errors = Max} = Stream, _, Packets, Errors) ->
    ended({Offset, {too_many_errors, Max}}, Stream, Packets, Errors);
reported(Error, Rest, #stream{errors = Left} = Stream, Allowed, Packets, Errors) ->
    frames(Rest, Stream#stream{errors = allowed(Left, 1)}, Allowed, Packets, [Error | Errors]).

ended(Error, Stream, Packets, Errors) ->
    Ended = Stream#stream{state = {ended, Error}, buffer = <<>>},
    {lists:reverse(Packets), lists:reverse(Errors, [Error]), Ended, done}.

%%% What the bytes begin with

%% How much of it is no packet, and what may follow.
opening(_, <<>>) ->
    {needed, 1};
opening(greeting, Bytes) ->
    case {is_begun(?GREETING, Bytes), byte_size(?GREETING)} of
        {true, Length} when byte_size(Bytes) >= Length -> {Length, newline};
        {true, _} -> {needed, byte_size(Bytes) + 1};
        {false, _} -> {0, none}
    end;
opening(newline, <<"\r\n", _/binary>>) ->
    {2, none};
opening(newline, <<"\n", _/binary>>) ->
    {1, none};
opening(newline, <<"\r">>) ->
    {needed, 2};
opening(newline, _) ->
    {0, none}.

packet(<<16#1f, 16#8b, _/binary>>, _, Allowed) when Allowed < ?PACKET ->
    packed;
packet(<<16#1f, 16#8b, _/binary>> = Bytes, _, _) ->
    case hep_nif:unpack(Bytes) of
        {ok, Packet, Length} -> {unpacked, Packet, Length};
        {partial, _, _} = Partial -> Partial;
        invalid -> {error, invalid_gzip}
    end;
packet(Bytes, Stream, _) when byte_size(Bytes) < ?MAGIC ->
    case lists:any(fun(Magic) -> is_begun(Magic, Bytes) end, [?GZIP | hep_registry:magics()]) of
        true -> {needed, byte_size(Bytes) + 1};
        false -> {error, unknown(Bytes, Stream)}
    end;
packet(<<Magic:?MAGIC/binary, _/binary>> = Bytes, Stream, _) ->
    case lists:member(Magic, hep_registry:magics()) of
        true -> frame(Bytes, Stream);
        false -> {error, unknown(Bytes, Stream)}
    end.

frame(<<_:?MAGIC/binary, Length:16, _/binary>>, _) when Length < ?HEADER ->
    {error, {invalid_total_length, Length}};
frame(<<_:?MAGIC/binary, Length:16, _/binary>> = Bytes, Stream) when byte_size(Bytes) >= Length ->
    whole(binary:part(Bytes, 0, Length), Stream);
frame(<<_:?MAGIC/binary, Length:16, _/binary>>, _) ->
    {needed, Length};
frame(_, _) ->
    {needed, ?HEADER}.

is_begun(Magic, Bytes) ->
    Length = min(byte_size(Magic), byte_size(Bytes)),
    binary:part(Magic, 0, Length) =:= binary:part(Bytes, 0, Length).

unknown(<<Version, _/binary>>, #stream{offset = 0}) when Version =:= 1; Version =:= 2 ->
    {unframed_version, Version};
unknown(_, _) ->
    not_hep.

whole(Packet, #stream{resync = true}) ->
    case interrupted(Packet) of
        false -> {packet, Packet, byte_size(Packet)};
        Length -> {broken, Length, byte_size(Packet)}
    end;
whole(Packet, _) ->
    {packet, Packet, byte_size(Packet)}.

%% Where the next packet begins within this one, which its sender broke off.
interrupted(<<_:?HEADER/binary, Chunks/binary>> = Packet) ->
    case is_divided(Chunks) orelse skip(Packet, 1, hep_registry:magics()) of
        {Length, true} -> Length;
        _ -> false
    end.

is_divided(<<_:32, Length:16, _:(Length - ?HEADER)/binary, Rest/binary>>) -> is_divided(Rest);
is_divided(Rest) -> Rest =:= <<>>.

%% Where the next magic is, from an offset on; without one, where it may begin.
skip(Bytes, From, Magics) ->
    case binary:match(Bytes, Magics, [{scope, {From, byte_size(Bytes) - From}}]) of
        {Position, _} -> {Position, true};
        nomatch -> {begun(Bytes, max(From, byte_size(Bytes) - ?MAGIC + 1), Magics), false}
    end.

begun(Bytes, Position, _) when Position >= byte_size(Bytes) ->
    byte_size(Bytes);
begun(Bytes, Position, Magics) ->
    Tail = binary:part(Bytes, Position, byte_size(Bytes) - Position),
    case lists:any(fun(Magic) -> is_begun(Magic, Tail) end, Magics) of
        true -> Position;
        false -> begun(Bytes, Position + 1, Magics)
    end.

keep(Packet, #stream{copy = true}) -> copy_if_wasteful(Packet);
keep(Packet, _) -> Packet.

%% A binary that keeps no more than twice its size alive.
copy_if_wasteful(Bytes) ->
    case binary:referenced_byte_size(Bytes) > 2 * byte_size(Bytes) of
        true -> binary:copy(Bytes);
        false -> Bytes
    end.
