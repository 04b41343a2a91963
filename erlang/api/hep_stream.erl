%% @doc Splits a byte stream (TCP, TLS) into packets. Purely functional: no process, no socket.
%%
%% ```
%% 1> Stream = hep_stream:new().
%% 2> {[Packet], [], Stream1} = hep_stream:feed(Stream, Bytes).
%% 3> {ok, Hep} = hep:decode(Packet).
%% '''
%%
%% The input may be cut anywhere. The total length of version 3 is the only framing, so each byte of the magic is
%% checked as it arrives. An incomplete packet is buffered: at most 65,535 bytes. Packets of versions 1 and 2 state no
%% length, so a stream of them is an error.
%%
%% heplify can send each packet as a separate gzip member. A member is unpacked to at most 65,535 bytes. At most 67,583
%% bytes of an incomplete member are buffered, and the data unpacked from them. The line `HELLO HFP', with
%% which HEPfix proxies before 2023 begin a connection, is skipped.
%%
%% Errors are `{Offset, Reason}'; offsets count from the stream's first byte.
-module(hep_stream).

-export([new/0, new/1, feed/2, finish/1, buffered/1, format_error/1]).
%% For the listener.
-export([feed/3, is_ended/1]).
%% Explains a badarg of this module to the shell (error_info of erlang:error/3).
-export([format_error/2]).

-export_type([stream/0, options/0, error/0, reason/0]).

-type options() :: #{resync => boolean(), max_errors => pos_integer() | infinity, copy => boolean()}.
%% <dl>
%% <dt>`resync'</dt><dd>the reaction to an error: `false' (default), the stream ends, and each further call of
%%   {@link feed/2} returns the error again; `true', bytes are skipped up to the next magic. If a packet's chunks do not
%%   fit its length and it contains a magic, its sender broke it off there; after 8 such nested breaks
%%   the whole span is skipped as not HEP</dd>
%% <dt>`max_errors'</dt><dd>with `resync': the number of errors that are reported. The next error ends the stream with
%%   `too_many_errors'. `infinity' by default; {@link hep_listener} sets it</dd>
%% <dt>`copy'</dt><dd>`true' (default): a packet is copied if it would otherwise keep a buffer of more than twice its
%%   size in memory; `false': packets are sub-binaries of the input</dd>
%% </dl>

-type reason() ::
    not_hep
    | {unframed_version, 1 | 2}
    | {invalid_total_length, 0..5}
    | invalid_gzip
    | {truncated, Bytes :: pos_integer()}
    | {resync, Skipped :: pos_integer()}
    | {too_many_errors, Before :: pos_integer()}.
%% The error at the offset:
%% <dl>
%% <dt>`not_hep'</dt><dd>no magic where a packet must begin</dd>
%% <dt>`{unframed_version, V}'</dt><dd>the stream begins like version 1 or 2, which have no length</dd>
%% <dt>`{invalid_total_length, N}'</dt><dd>a packet whose total length is below 6</dd>
%% <dt>`invalid_gzip'</dt><dd>a gzip member that is corrupt or unpacks to more than a packet</dd>
%% <dt>`{truncated, Bytes}'</dt><dd>a packet that ends after this many bytes: the stream ended, or (with
%%   `resync') another packet begins inside it</dd>
%% <dt>`{resync, Skipped}'</dt><dd>the next packet, after this many skipped bytes</dd>
%% <dt>`{too_many_errors, N}'</dt><dd>an error after the N allowed by `max_errors'</dd>
%% </dl>

-type error() :: {Offset :: non_neg_integer(), reason()}.
%% An error and its place: the offset counts from the first byte of the stream.

-record(stream, {
    resync :: boolean(),
    copy :: boolean(),
    %% The number of further errors that are reported.
    errors :: non_neg_integer() | infinity,
    max_errors :: pos_integer() | infinity,
    %% The start of an incomplete packet. Until it has `needed' bytes it is only appended to, not matched: the runtime
    %% system then appends in place, so a packet that arrives byte by byte is not copied for each byte.
    buffer = <<>> :: binary(),
    needed = 1 :: pos_integer(),
    %% Of the buffer's first byte.
    offset = 0 :: non_neg_integer(),
    %% What may come before the first packet: a greeting, its line break, nothing.
    opening = greeting :: greeting | newline | none,
    %% The number of packets broken off inside the one that ends at the offset.
    broken = {0, 0} :: {Until :: non_neg_integer(), Times :: non_neg_integer()},
    state = ok ::
        ok
        | {skipping, Since :: non_neg_integer()}
        %% All bytes of the buffer were passed to the gzip member.
        | {member, reference(), Step :: non_neg_integer()}
        | {ended, error()}
}).

-opaque stream() :: #stream{}.
%% The state of a stream, with the bytes of an incomplete packet.

%% In bytes: the magic; a header of a packet (magic, total length) and of a chunk (vendor id, chunk id, length); the
%% largest packet.
-define(MAGIC, 4).
-define(HEADER, 6).
-define(PACKET, 16#ffff).
%% A member that has not ended after these bytes is invalid. Passing no more spares the copy of a long unaligned rest.
-define(MEMBER, 67_584).
%% Why an argument of a function is wrong, for format_error/2.
-define(CAUSE(Argument, Text), [{error_info, #{cause => #{Argument => Text}}}]).
%% The limit of nested breaks inside one packet: each break costs a search of all of it.
-define(BROKEN, 8).
%% RFC 1952: two bytes, and deflate, the only method.
-define(GZIP, <<16#1f, 16#8b, 8>>).
-define(GREETING, <<"HELLO HFP">>).

%% @doc A stream that has received nothing yet.
-spec new() -> stream().
new() ->
    new(#{}).

%% @doc Like {@link new/0}, with options. Raises `badarg' when an option is wrong.
-spec new(options()) -> stream().
new(#{} = Options) ->
    case maps:merge(#{resync => false, max_errors => infinity, copy => true}, Options) of
        #{resync := Resync, max_errors := Max, copy := Copy} = All when
            is_boolean(Resync), is_boolean(Copy), map_size(All) =:= 3,
            (Max =:= infinity orelse (is_integer(Max) andalso Max > 0))
        ->
            #stream{resync = Resync, copy = Copy, errors = Max, max_errors = Max};
        _ ->
            erlang:error(badarg, [Options], ?CAUSE(1, "unknown option, or an option of the wrong type"))
    end;
new(Options) ->
    erlang:error(badarg, [Options], ?CAUSE(1, "not a map of options")).

%% @doc Adds the next bytes of the stream. Returns the completed packets and the errors, both in order.
-spec feed(stream(), binary()) -> {[Packet :: binary()], [error()], stream()}.
feed(Stream, Bytes) ->
    {Packets, Errors, Next, done} = feed(Stream, Bytes, infinity),
    {Packets, Errors, Next}.

%% @private Like {@link feed/2}, but unpacks no further gzip member when fewer than 65,535 of the allowed bytes are
%% left: the result then ends with `packed', and the next call, with an empty binary, continues. (A member that was
%% already begun is completed in any case.)
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
        %% This stream value was fed before: its gzip member is unpacked again from its first byte.
        stale ->
            frames(append(Buffer, Bytes), Stream#stream{state = ok}, Allowed, [], [])
    end;
feed(#stream{buffer = Buffer, needed = Needed} = Stream, Bytes, Allowed) when is_binary(Bytes) ->
    case append(Buffer, Bytes) of
        All when byte_size(All) < Needed -> {[], [], Stream#stream{buffer = All}, done};
        All -> frames(All, Stream, Allowed, [], [])
    end;
feed(#stream{} = Stream, Bytes, _) ->
    erlang:error(badarg, [Stream, Bytes], ?CAUSE(2, "not a binary"));
feed(Stream, Bytes, _) ->
    erlang:error(badarg, [Stream, Bytes], ?CAUSE(1, "not a stream")).

append(<<>>, Bytes) -> Bytes;
append(Buffer, Bytes) -> <<Buffer/binary, Bytes/binary>>.

%% @private Whether an error ended the stream.
-spec is_ended(stream()) -> boolean().
is_ended(#stream{state = State}) -> is_tuple(State) andalso element(1, State) =:= ended.

%% @doc Returns the errors of a stream that ends here.
-spec finish(stream()) -> [error()].
finish(#stream{state = {ended, Error}}) -> [Error];
finish(#stream{state = {skipping, Since}, offset = Offset, buffer = Rest}) ->
    End = Offset + byte_size(Rest),
    [{End, {resync, End - Since}}];
finish(#stream{buffer = <<>>}) -> [];
finish(#stream{offset = Offset, buffer = Rest}) -> [{Offset, {truncated, byte_size(Rest)}}].

%% @doc Returns the number of buffered bytes.
-spec buffered(stream()) -> non_neg_integer().
buffered(#stream{buffer = Buffer}) -> byte_size(Buffer).

%% @doc Describes an error in a sentence.
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

%% @private
-spec format_error(term(), erlang:stacktrace()) -> #{pos_integer() => string()}.
format_error(badarg, [{_, _, _, Info} | _]) ->
    maps:get(cause, proplists:get_value(error_info, Info)).

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

%% An incomplete packet may wait long, so it must not keep a large buffer in memory either.
incomplete(Rest, Needed, Stream, More, Packets, Errors) ->
    Next = Stream#stream{buffer = keep(Rest, Stream), needed = Needed},
    {lists:reverse(Packets), lists:reverse(Errors), Next, More}.

invalid(Reason, _, #stream{resync = false, offset = Offset} = Stream, _, Packets, Errors) ->
    ended({Offset, Reason}, Stream, Packets, Errors);
invalid(Reason, Bytes, #stream{offset = Offset} = Stream, Allowed, Packets, Errors) ->
    %% Not at its first byte again.
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

%% The length of the greeting at the start, and what may follow it.
opening(_, <<>>) ->
    {needed, 1};
opening(greeting, Bytes) ->
    case {is_prefix(?GREETING, Bytes), byte_size(?GREETING)} of
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
    case hep_nif:unpack(binary:part(Bytes, 0, min(?MEMBER, byte_size(Bytes)))) of
        {ok, Packet, Length} -> {unpacked, Packet, Length};
        {partial, _, _} = Partial -> Partial;
        invalid -> {error, invalid_gzip}
    end;
packet(Bytes, Stream, _) when byte_size(Bytes) < ?MAGIC ->
    case lists:any(fun(Magic) -> is_prefix(Magic, Bytes) end, [?GZIP | hep_registry:magics()]) of
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

is_prefix(Magic, Bytes) ->
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

%% The start of the next packet inside this one, which its sender broke off.
interrupted(<<_:?HEADER/binary, Chunks/binary>> = Packet) ->
    case is_chunks(Chunks) orelse skip(Packet, 1, hep_registry:magics()) of
        {Length, true} -> Length;
        _ -> false
    end.

is_chunks(<<_:32, Length:16, _:(Length - ?HEADER)/binary, Rest/binary>>) -> is_chunks(Rest);
is_chunks(Rest) -> Rest =:= <<>>.

%% The next magic from an offset on; without one, the place where one may begin.
skip(Bytes, From, Magics) ->
    case binary:match(Bytes, Magics, [{scope, {From, byte_size(Bytes) - From}}]) of
        {Position, _} -> {Position, true};
        nomatch -> {partial_magic(Bytes, max(From, byte_size(Bytes) - ?MAGIC + 1), Magics), false}
    end.

partial_magic(Bytes, Position, _) when Position >= byte_size(Bytes) ->
    byte_size(Bytes);
partial_magic(Bytes, Position, Magics) ->
    Tail = binary:part(Bytes, Position, byte_size(Bytes) - Position),
    case lists:any(fun(Magic) -> is_prefix(Magic, Tail) end, Magics) of
        true -> Position;
        false -> partial_magic(Bytes, Position + 1, Magics)
    end.

keep(Packet, #stream{copy = true}) -> copy_if_wasteful(Packet);
keep(Packet, _) -> Packet.

%% Copies a binary that would keep more than twice its size in memory.
copy_if_wasteful(Bytes) ->
    case binary:referenced_byte_size(Bytes) > 2 * byte_size(Bytes) of
        true -> binary:copy(Bytes);
        false -> Bytes
    end.
