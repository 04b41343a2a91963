%% @doc Properties: any term, any bytes, generated packets of all versions.
-module(hep_prop_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").
-include("hep_prop.hrl").

-import(hep_generators, [any_bytes/0, optional/1, uint/1]).

-import(hep_packets, [chunk/3, frame/1]).

property_test_() ->
    {inparallel, [
        {timeout, 120, {atom_to_list(Name), fun() -> hep_prop:holds(?MODULE, Name, Cases) end}}
     || {Name, Cases} <- [
            {prop_any_term, 1000},
            {prop_any_term_to_the_originals_modules, 1000},
            {prop_any_term_to_a_getter, 1000},
            {prop_any_term_to_a_setter, 1000},
            {prop_any_options, 1000},
            {prop_well_typed_record, 500},
            {prop_any_bytes, 1000},
            {prop_any_frame, 1000},
            {prop_any_fixed_header, 1000},
            {prop_parse_gives_the_chunks, 1000},
            {prop_decode_gives_the_facts, 1000},
            {prop_fixed_headers, 1000},
            {prop_nothing_is_copied, 1000},
            {prop_unaligned_bytes, 500},
            {prop_transform_leaves_no_value_out, 500},
            {prop_inflated, 500}
        ]
    ]}.

%%% Any term

prop_any_term() ->
    ?CHECK(
        {Term, Other, Third},
        {term(), term(), term()},
        lists:all(fun is_allowed/1, [
            fun() -> hep:decode(Term) end,
            fun() -> hep:decode(Term, Other) end,
            fun() -> hep:decode(<<"HEP3", 6:16>>, Other) end,
            fun() -> hep:format_error(Term) end,
            fun() -> hep:get_version(Term) end,
            fun() -> hep:get_chunks(Term) end,
            fun() -> hep:get_chunk(Term, Other, {hep, 3, []}) end,
            fun() -> hep:get_chunk(Term, Other, Third) end,
            fun() -> hep:chunk(Term, Other, hep:new()) end,
            fun() -> hep:chunk(Term, Other, Third) end,
            fun() -> hep_transform:transform(Term) end,
            fun() -> hep_transform:transform({hep, 3, Term}) end,
            fun() -> hep_transform:transform({hep, 3, [{Term, Other}]}) end,
            fun() -> hep_transform:transform((hep:new())#hep{chunks = Term}) end,
            fun() -> hep_transform:transform((hep:new())#hep{chunks = [{Term, Other}]}) end,
            fun() -> hep_transform:transform((hep:new())#hep{timestamp = Term}) end,
            fun() -> hep_generic_transform:transform(Term, Other) end,
            fun() -> hep_generic_transform:transform(15, Other) end,
            fun() -> hep_registry:payload_type_number(Term) end,
            fun() -> hep_registry:vendor_number(Term) end,
            fun() -> hep_registry:protocol_family_number(Term) end
        ])
    ).

%% Generations 1 and 2 never raise.
prop_any_term_to_the_originals_modules() ->
    ?CHECK(
        Term,
        ?SUCHTHAT(T, term(), not is_binary(T)),
        lists:all(
            fun(Answer) -> Answer =:= {error, invalid_packet, Term} end,
            [
                hep_multi_parser:parse(Term),
                hep_v1_parser:parse(Term),
                hep_v2_parser:parse(Term),
                hep_v3_parser:parse(Term),
                hep_multi_decoder:decode(Term),
                hep_v1_decoder:decode(Term),
                hep_v2_decoder:decode(Term),
                hep_v3_decoder:decode(Term)
            ]
        )
    ).

fields() ->
    [
        version, protocol_family, protocol, src_ip, src_port, dst_ip, dst_port, timestamp, node_id,
        payload_type, payload, vendor, correlation_id, vlan_id, node_name, auth_key
    ].

prop_any_term_to_a_getter() ->
    ?CHECK(
        {Field, Term},
        {oneof(fields()), term()},
        is_allowed(fun() -> hep:Field(Term) end)
    ).

prop_any_term_to_a_setter() ->
    ?CHECK(
        {Field, Term, Other},
        {oneof(fields()), term(), term()},
        is_allowed(fun() -> hep:Field(Term, Other) end) andalso
            is_allowed(fun() -> #hep{} = hep:Field(Term, hep:new()) end)
    ).

prop_any_options() ->
    ?CHECK(
        {Bytes, Options},
        {any_bytes(), any_options()},
        is_allowed(fun() -> {A, _} = hep:decode(Bytes, Options), true = is_atom(A) end)
    ).

any_options() ->
    ?LET(
        Pairs,
        list({
            oneof([header_length, v2_order, capture_id, max_inflated, atom()]),
            oneof([strict, ignore, auto, big, little, keep, repair, integer(), large(), term()])
        }),
        maps:from_list(Pairs)
    ).

large() ->
    ?LET(Bits, integer(0, 80), 1 bsl Bits).

%% A call may return a result, or raise an error for a wrong argument; the accessors' records may be
%% invalid.
is_allowed(Call) ->
    try
        _ = Call(),
        true
    catch
        error:badarg -> true
    end.

%% Getters, setters and transform accept every record with the documented types.
prop_well_typed_record() ->
    ?CHECK(
        {Hep, Field},
        {record(), oneof(fields())},
        begin
            _ = hep:Field(hep:Field(Hep), Hep),
            #hep{} = Hep,
            [{<<"hep">>, [{<<"version">>, _}, {<<"generic">>, Properties}]}] =
                hep_transform:transform(Hep),
            is_list(Properties)
        end
    ).

record() ->
    ?LET(
        {Facts, Chunks},
        {facts(), list({{oneof([0, 1, uint(16)]), ?SUCHTHAT(I, id(), I =/= 18)}, value_form()})},
        (expected(Facts, []))#hep{chunks = Chunks}
    ).

value_form() ->
    ?LET(Value, binary(), oneof([Value, {byte_size(Value), Value}])).

%%% Any bytes

prop_any_bytes() ->
    ?CHECK(Bytes, any_bytes(), is_answered(Bytes)).

%% With a correct total length, so that the chunks are read.
prop_any_frame() ->
    ?CHECK(Chunks, binary(), is_answered(frame(Chunks))).

prop_any_fixed_header() ->
    ?CHECK(
        {Version, Length, Family, Rest},
        {integer(1, 2), oneof([0, 16, 28, 40, 52, byte()]), oneof([2, 10, 23, 30, byte()]),
            binary()},
        is_answered(<<Version, Length, Family, Rest/binary>>)
    ).

is_answered(Bytes) ->
    _ = hep_answers:check(Bytes),
    true.

%%% Generated packets of version 3

%% Any chunks come back, in order, and together they are the frame.
prop_parse_gives_the_chunks() ->
    ?CHECK(
        {Chunks, Behind},
        {list({vendor(), id(), binary()}), oneof([<<>>, binary()])},
        begin
            Frame = frame([chunk(V, I, Value) || {V, I, Value} <- Chunks]),
            {ok, State} = hep_multi_parser:parse(<<Frame/binary, Behind/binary>>),
            Parsed = [{V, I, Value} || {<<V:16, I:16>>, Value} <- hep:get_chunks(State)],
            Again = frame([chunk(V, I, Value) || {V, I, Value} <- Parsed]),
            hep:get_version(State) =:= 3 andalso Parsed =:= Chunks andalso Again =:= Frame
        end
    ).

%% The order of chunks does not change the decoded fields.
prop_decode_gives_the_facts() ->
    ?FORALL(
        {Facts, Others},
        {facts(), others()},
        ?CHECK(
            Chunks,
            shuffled([{0, Id, Value} || {Id, Value} <- chunks(Facts)] ++ Others),
            begin
                Kept = [
                    {{V, I}, {byte_size(Value), Value}}
                 || {V, I, Value} = C <- Chunks, lists:member(C, Others)
                ],
                Bytes = frame([chunk(V, I, Value) || {V, I, Value} <- Chunks]),
                %% A time ahead of the clock may be repaired.
                hep:decode(Bytes, #{timestamp => keep}) =:= {ok, expected(Facts, Kept)}
            end
        )
    ).

%% A value is `undefined' or as on the wire.
facts() ->
    ?LET(
        {Addresses, Facts},
        {
            oneof([
                {optional(<<2>>), address(3), address(4)},
                {optional(<<10>>), address(5), address(6)},
                {optional(oneof([<<2>>, <<10>>])), undefined, undefined}
            ]),
            [
                {Id, optional(Type)}
             || {Id, Type} <- [
                    {2, binary(1)}, {7, binary(2)}, {8, binary(2)}, {9, binary(4)}, {10, micros()},
                    {11, binary(1)}, {12, binary(4)}, {15, ?SUCHTHAT(P, binary(), P =/= <<>>)}
                ]
            ]
        },
        {Addresses, Facts}
    ).

address(Id) when Id =< 4 -> optional({Id, binary(4)});
address(Id) -> optional({Id, binary(16)}).

micros() ->
    ?LET(Micros, integer(0, 999999), <<Micros:32>>).

chunks({{Family, Source, Destination}, Facts}) ->
    [{1, Family} || Family =/= undefined] ++
        [Address || {_, _} = Address <- [Source, Destination]] ++
        [Fact || {_, Value} = Fact <- Facts, Value =/= undefined].

expected({{Family, Source, Destination}, Facts}, Chunks) ->
    Get = fun(Id) -> proplists:get_value(Id, Facts) end,
    #hep{
        version = 3,
        protocol_family = family(Family, [Source, Destination]),
        protocol = number(Get(2)),
        src_ip = ip(Source),
        src_port = number(Get(7)),
        dst_ip = ip(Destination),
        dst_port = number(Get(8)),
        timestamp = timestamp(number(Get(9)), number(Get(10))),
        node_id = number(Get(12)),
        payload_type = value_or(number(Get(11)), 1),
        payload = value_or(Get(15), <<>>),
        chunks = Chunks
    }.

family(undefined, [undefined, undefined]) -> undefined;
family(<<Family>>, [undefined, undefined]) -> Family;
family(_, Addresses) ->
    [Id | _] = [Id || {Id, _} <- Addresses],
    case Id =< 4 of
        true -> 2;
        false -> 10
    end.

number(undefined) -> undefined;
number(Bytes) -> binary:decode_unsigned(Bytes).

ip(undefined) -> undefined;
ip({_, <<A, B, C, D>>}) -> {A, B, C, D};
ip({_, Bytes}) -> list_to_tuple([Segment || <<Segment:16>> <= Bytes]).

timestamp(undefined, undefined) -> undefined;
timestamp(Seconds, Micros) ->
    Whole = value_or(Seconds, 0),
    {Whole div 1000000, Whole rem 1000000, value_or(Micros, 0)}.

value_or(undefined, Default) -> Default;
value_or(Value, _) -> Value.

%% Chunks without a field: of vendors, unknown, and generic ones of the right width.
others() ->
    list(oneof([
        {?SUCHTHAT(V, uint(16), V =/= 0), uint(16), binary()},
        {0, oneof([25, 31, 42, 99, 102, 65535]), binary()},
        {0, oneof([18, 22, 32, 33, 39, 40]), binary(2)},
        {0, oneof([20, 21]), binary(8)},
        {0, oneof([14, 17, 19, 34, 36, 101]), ?SUCHTHAT(B, binary(), B =/= <<>>)}
    ])).

shuffled(List) ->
    ?LET(Keys, vector(length(List), integer(0, 1000000)),
        [Element || {_, Element} <- lists:keysort(1, lists:zip(Keys, List))]).

vendor() -> oneof([0, 0, 0, 1, 8, uint(16)]).

id() -> oneof([integer(0, 50), integer(0, 50), uint(16)]).

%%% Generated packets of versions 1 and 2

prop_fixed_headers() ->
    ?CHECK(
        {Version, Family, Form, Facts, Payload},
        {integer(1, 2), oneof([2, 10]), oneof([documented, short]), fixed_facts(), binary()},
        begin
            Width = width(Family),
            {Protocol, SrcPort, DstPort, <<Src:Width/binary, _/binary>>,
                <<Dst:Width/binary, _/binary>>, {Seconds, Micros}, Id} = Facts,
            %% The last byte keeps the payload from ending with NUL bytes.
            Bytes =
                <<Version, (header_length(Version, Family, Form)), Family, Protocol, SrcPort:16,
                    DstPort:16, Src/binary, Dst/binary,
                    (time(Version, Form, Seconds, Micros, Id))/binary, Payload/binary, "x">>,
            {ok, _} = hep_answers:check(Bytes),
            {ok, Hep} = hep:decode(Bytes, #{v2_order => order(Form)}),
            Now = Hep#hep.timestamp,
            Hep =:=
                #hep{
                    version = Version,
                    protocol_family = Family,
                    protocol = Protocol,
                    src_ip = ip({src, Src}),
                    src_port = SrcPort,
                    dst_ip = ip({dst, Dst}),
                    dst_port = DstPort,
                    timestamp = of_version(Version, Now, timestamp(Seconds, Micros)),
                    node_id = of_version(Version, undefined, Id),
                    payload_type = 1,
                    payload = <<Payload/binary, "x">>,
                    chunks = []
                }
        end
    ).

fixed_facts() ->
    {
        byte(), uint(16), uint(16), binary(16), binary(16), {uint(32), integer(0, 999999)}, uint(16)
    }.

order(documented) -> big;
order(short) -> little.

width(2) -> 4;
width(10) -> 16.

header_length(1, Family, _) -> 8 + 2 * width(Family);
header_length(2, Family, short) -> 8 + 2 * width(Family);
header_length(2, Family, documented) -> 20 + 2 * width(Family).

time(1, _, _, _, _) -> <<>>;
time(2, documented, Seconds, Micros, Id) -> <<Seconds:32, Micros:32, Id:16, 0:16>>;
time(2, short, S, M, Id) -> <<S:32/little, M:32/little, Id:16/little, 0:16>>.

of_version(1, Value, _) -> Value;
of_version(2, _, Value) -> Value.

%%% Binaries

%% Payload, chunks of the record and values of the chunk view are sub-binaries of the datagram. (The VM
%% copies a part of fewer than 65 bytes where that is cheaper.)
prop_nothing_is_copied() ->
    ?CHECK(
        [Payload, Key, Vendors, Id],
        vector(4, ?LET(Value, binary(), <<0:65/unit:8, Value/binary>>)),
        begin
            Bytes = binary:copy(
                frame([
                    chunk(0, 15, Payload), chunk(0, 14, Key), chunk(9, 1, Vendors), chunk(0, 17, Id)
                ])
            ),
            Hep = hep_packets:decoded(Bytes),
            {ok, State} = hep_multi_parser:parse(Bytes),
            Parts =
                [hep:payload(Hep) | [Value || {_, {_, Value}} <- Hep#hep.chunks]] ++
                    [Value || {_, Value} <- hep:get_chunks(State)],
            8 =:= length(Parts) andalso
                [byte_size(Bytes)] =:= lists:usort([binary:referenced_byte_size(P) || P <- Parts])
        end
    ).

%% A datagram that begins inside a byte of another binary.
prop_unaligned_bytes() ->
    ?CHECK(
        {Bits, Chunks, Behind},
        {integer(0, 7), list({vendor(), id(), binary()}), binary()},
        begin
            Bytes = frame([chunk(V, I, Value) || {V, I, Value} <- Chunks]),
            <<_:Bits, Same:(byte_size(Bytes))/binary, _/bitstring>> =
                <<0:Bits, Bytes/binary, Behind/binary>>,
            hep:decode(Same) =:= hep:decode(Bytes) andalso
                hep_multi_parser:parse(Same) =:= hep_multi_parser:parse(Bytes)
        end
    ).

%%% Transforming

%% Octet-strings come back unchanged, and integers as integers.
prop_transform_leaves_no_value_out() ->
    ?CHECK(
        Chunks,
        list(oneof([{oneof([14, 15, 17, 19]), binary()}, {oneof([7, 8, 13, 18]), binary(2)}])),
        begin
            State = {hep, 3, [{<<0:16, Id:16>>, Value} || {Id, Value} <- Chunks]},
            [{<<"hep">>, [{<<"version">>, 3}, {<<"generic">>, Properties}]}] =
                hep_transform:transform(State),
            [of_chunk(Chunk) || Chunk <- Chunks] =:= [Value || {_, Value} <- Properties]
        end
    ).

of_chunk({Id, <<Number:16>>}) when Id =:= 7; Id =:= 8; Id =:= 13; Id =:= 18 -> Number;
of_chunk({_, Value}) -> Value.

%%% Compressed payloads

prop_inflated() ->
    ?CHECK(
        {Payload, Compress, Times},
        {binary(), oneof([fun zlib:compress/1, fun zlib:gzip/1, fun zlib:zip/1]), integer(1, 50)},
        begin
            Text = binary:copy(Payload, Times),
            Bytes = frame(chunk(0, 16, Compress(Text))),
            {ok, Hep} = hep_answers:check(Bytes),
            Text =:= Hep#hep.payload
        end
    ).
