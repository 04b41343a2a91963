%% @doc Properties of encoding: any term has a documented result, and a generated packet is read back unchanged.
-module(hep_prop_encode_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_prop.hrl").

-import(hep_generators, [any_packet/0, any_packet/1, octets_or_none/0, uint/1]).

-define(LIMIT, 65535).
-define(SECOND, 1000000).

property_test_() ->
    {inparallel, [
        {timeout, 120, {atom_to_list(Name), fun() -> hep_prop:holds(?MODULE, Name, Cases) end}}
     || {Name, Cases} <- [
            {prop_any_term, 1000},
            {prop_any_fields, 3000},
            {prop_any_field_of_a_packet, 3000},
            {prop_any_chunks, 2000},
            {prop_any_options, 2000},
            {prop_version_3, 1500},
            {prop_fixed_headers, 1500},
            {prop_order_of_chunks, 1000},
            {prop_size, 1000}
        ]
    ]}.

%%% Any term

prop_any_term() ->
    ?CHECK(Term, term(), answers(Term)).

%% A record with any terms.
prop_any_fields() ->
    ?CHECK(Fields, vector(record_size() - 1, near()), answers(list_to_tuple([hep | Fields]))).

%% A packet with any term in one field.
prop_any_field_of_a_packet() ->
    ?CHECK(
        {Hep, Position, Term},
        {any_packet(), integer(2, record_size()), near()},
        answers(setelement(Position, Hep, Term))
    ).

%% Any terms as chunks.
prop_any_chunks() ->
    ?CHECK(
        {Hep, Chunks, Tail},
        {any_packet(), list({{near(), near()}, oneof([near(), {near(), near()}])}), oneof([[], term()])},
        answers(Hep#hep{chunks = Chunks ++ Tail})
    ).

record_size() ->
    record_info(size, hep).

%% Values that are valid, or nearly valid, for a field.
near() ->
    oneof([
        term(), undefined, integer(), large(), binary(), bitstring(), integer(0, 20), [],
        oneof([hep_v1, hep_v2, hep_v3, ipv4, ipv6, sip, rtcp]),
        vector_of([3, 4, 8], oneof([byte(), uint(16), large(), term()])),
        list({{uint(16), uint(16)}, binary()})
    ]).

vector_of(Lengths, Type) ->
    ?LET(Length, oneof(Lengths), ?LET(List, vector(Length, Type), list_to_tuple(List))).

large() ->
    ?LET({Sign, Bits, Less}, {oneof([1, -1]), integer(0, 80), integer(0, 1)}, Sign * ((1 bsl Bits) - Less)).

%% The results of all encoders are consistent.
answers(Term) ->
    Answer = hep:encode(Term),
    is_answer(Answer) andalso
        untimed(Term, Answer) =:= untimed(Term, hep:encode(Term, #{})) andalso
        lists:all(
            fun({Version, Encoder}) ->
                Fitting = fitting(Version, Term),
                Expected = second(Term, hep:encode(Fitting)),
                untimed(Fitting, Expected) =:= untimed(Fitting, in_one(Encoder:encode(Term)))
            end,
            [{1, hep_v1_encoder}, {2, hep_v2_encoder}, {3, hep_v3_encoder}]
        ).

%% The part of the record that an encoder of one version encodes.
fitting(1, #hep{} = Hep) -> Hep#hep{version = 1, node_id = undefined, chunks = []};
fitting(2, #hep{} = Hep) -> Hep#hep{version = 2, chunks = []};
fitting(3, #hep{} = Hep) -> Hep#hep{version = 3};
fitting(_, Term) -> Term.

%% Its result for a result of hep:encode/1.
second(_, {ok, _} = Ok) -> Ok;
second(_, {error, {unknown_protocol_family, _}} = Error) -> Error;
second(_, {error, {unsupported_payload_type, _}} = Error) -> Error;
second(Term, {error, {packet_too_large, _}}) -> {error, {packet_too_large, Term}};
second(Term, {error, _}) -> {error, {invalid_hep, Term}}.

in_one({ok, Packet}) -> {ok, iolist_to_binary(Packet)};
in_one(Error) -> Error.

is_answer({ok, Packet}) ->
    is_binary(Packet) andalso byte_size(Packet) =< ?LIMIT;
is_answer({error, Reason}) ->
    is_reason(Reason) andalso is_list(hep:format_error(Reason)).

is_reason({invalid_hep, _}) -> true;
is_reason({invalid_field, Field, _}) -> is_field(Field);
is_reason({missing_field, Field}) -> is_field(Field);
is_reason({unsupported_field, timestamp, V}) -> lists:member(V, [2, 3]);
is_reason({unsupported_field, Field, V}) -> is_field(Field) andalso lists:member(V, [1, 2]);
is_reason({unknown_protocol_family, _}) -> true;
is_reason({unsupported_payload_type, Type}) -> Type >= 0 andalso Type =< 255;
is_reason({packet_too_large, Size}) -> Size > ?LIMIT;
is_reason(_) -> false.

is_field(Field) ->
    lists:member(Field, [auth_key, compress | record_info(fields, hep)]).

%% The bytes; in a packet without a time, those of the time differ.
untimed(#hep{timestamp = undefined}, {ok, Parts}) ->
    {ok, Hep} = hep:decode(iolist_to_binary(Parts)),
    {ok, Hep#hep{timestamp = undefined}};
untimed(_, {ok, Parts}) ->
    {ok, iolist_to_binary(Parts)};
untimed(_, Error) ->
    Error.

%% Options are valid or raise badarg, whatever the packet.
prop_any_options() ->
    ?CHECK(
        {Term, Options},
        {oneof([term(), any_packet()]), oneof([term(), any_options()])},
        try hep:encode(Term, Options) of
            Answer -> is_right(Options) andalso is_answer(Answer)
        catch
            error:badarg -> not is_right(Options)
        end
    ).

any_options() ->
    ?LET(
        Pairs,
        list({
            frequency([{9, oneof([v2_style, compress, auth_key])}, {1, atom()}]),
            oneof([documented, c, none, zlib, gzip, binary(), bitstring(), term()])
        }),
        maps:from_list(Pairs)
    ).

is_right(Options) ->
    is_map(Options) andalso lists:all(fun is_option/1, maps:to_list(Options)).

is_option({v2_style, Style}) -> lists:member(Style, [documented, c]);
is_option({compress, Compress}) -> lists:member(Compress, [none, zlib, gzip]);
is_option({auth_key, Key}) -> is_binary(Key);
is_option(_) -> false.

%%% Generated packets

%% Every field of a packet of version 3 is read back, with any compression.
prop_version_3() ->
    ?CHECK(
        {Hep, Compress, Key},
        {any_packet(3), oneof([none, none, zlib, gzip]), oneof([undefined, undefined, octets_or_none()])},
        begin
            Options = maps:from_list([{compress, Compress}] ++ [{auth_key, Key} || Key =/= undefined]),
            Bytes = encoded(Hep, Options),
            {ok, Again} = hep:decode(Bytes, #{timestamp => keep}),
            Again =:= written(with_key(Key, Hep), Again)
        end
    ).

prop_fixed_headers() ->
    ?CHECK(
        {Hep, {Style, Order}},
        {oneof([any_packet(1), any_packet(2)]), oneof([{documented, big}, {c, little}])},
        begin
            Bytes = encoded(Hep, #{v2_style => Style}),
            {ok, Again} = hep:decode(Bytes, #{v2_order => Order}),
            Written = written(Hep, Again),
            %% Versions 1 and 2 always have the family, and version 2 a capture id.
            NodeId =
                case Hep of
                    #hep{version = 2, node_id = undefined} -> 0;
                    #hep{node_id = Id} -> Id
                end,
            Again =:= Written#hep{node_id = NodeId}
        end
    ).

%% Generic chunks in the order of their ids, then the payload, then the chunks of vendors.
prop_order_of_chunks() ->
    ?CHECK(
        Hep,
        any_packet(3),
        begin
            Bytes = encoded(Hep, #{}),
            {ok, State} = hep_multi_parser:parse(Bytes),
            Keys = [Key || {<<Key:32>>, _} <- hep:get_chunks(State)],
            {Small, [15 | Vendors]} = lists:splitwith(fun(Key) -> Key =/= 15 end, Keys),
            Small =:= lists:sort(Small) andalso
                lists:all(fun(Key) -> Key < 1 bsl 16 end, Small) andalso
                Vendors =:= [V bsl 16 + Id || {{V, Id}, _} <- Hep#hep.chunks, V =/= 0]
        end
    ).

%% Packets of up to 65535 bytes are encoded, larger ones are errors.
prop_size() ->
    ?CHECK(
        {Hep, Size},
        {any_packet(), oneof([integer(65300, 65600), integer(0, 200000)])},
        begin
            Without = byte_size(encoded(Hep#hep{payload = <<>>}, #{})),
            case hep:encode(Hep#hep{payload = binary:copy(<<"x">>, Size)}) of
                {ok, Parts} -> iolist_size(Parts) =:= Without + Size andalso Without + Size =< ?LIMIT;
                {error, {packet_too_large, Told}} -> Told > ?LIMIT andalso Told =< Without + Size
            end
        end
    ).

encoded(Hep, Options) ->
    {ok, Parts} = hep:encode(Hep, Options),
    iolist_to_binary(Parts).

%% The packet as read back. Empty known chunks are absent.
written(#hep{chunks = Chunks} = Hep, #hep{timestamp = {_, _, _} = Now}) ->
    Long = [{Key, long(Value)} || {Key, Value} <- Chunks],
    {Generic, Vendors} = lists:partition(fun({{Vendor, _}, _}) -> Vendor =:= 0 end, Long),
    Hep#hep{
        protocol_family = family(Hep),
        timestamp = time(Hep, Now),
        chunks = [C || C <- lists:keysort(1, Generic), not is_empty(C)] ++ Vendors
    }.

long({Length, Value}) -> {Length, Value};
long(Value) -> {byte_size(Value), Value}.

is_empty({{0, Id}, {0, <<>>}}) -> hep_packets:chunk_names(Id) =/= [];
is_empty(_) -> false.

family(#hep{src_ip = undefined, dst_ip = undefined, protocol_family = Family}) -> Family;
family(#hep{src_ip = undefined, dst_ip = Address}) -> family_of(Address);
family(#hep{src_ip = Address}) -> family_of(Address).

family_of({_, _, _, _}) -> 2;
family_of({_, _, _, _, _, _, _, _}) -> 10.

time(#hep{version = 1}, Now) ->
    Now;
time(#hep{timestamp = undefined}, Now) ->
    Now;
time(#hep{timestamp = {Mega, Seconds, Micros}}, _) ->
    Whole = Mega * ?SECOND + Seconds,
    {Whole div ?SECOND, Whole rem ?SECOND, Micros}.

with_key(undefined, Hep) ->
    Hep;
with_key(Key, #hep{chunks = Chunks} = Hep) ->
    Others = [Chunk || {Id, _} = Chunk <- Chunks, Id =/= {0, 14}],
    Hep#hep{chunks = Others ++ [{{0, 14}, Key}]}.
