%% @doc Turns a packet into nested property lists with readable names.
%%
%% ```
%% 1> {ok, State} = hep_multi_parser:parse(Packet).
%% 2> hep_transform:transform(State).
%% [{<<"hep">>,
%%   [{<<"version">>,3},
%%    {<<"generic">>,
%%     [{<<"ipProtocolFamily">>,2},
%%      {<<"ipProtocol">>,17},
%%      {<<"srcIpAddress">>,{192,0,2,1}},
%%      {<<"payload">>,<<"INVITE sip:bob">>}]}]}]
%% '''
%%
%% {@link hep_generic_transform} transforms the generic chunks. Your modules with this behaviour transform the chunks of
%% a vendor or, with vendor id 0, generic chunks with an unknown id. They are called for packets of version 3 only.
%%
%% == Callbacks ==
%% All are required.
%% <dl>
%% <dt>`vendor_id() -> hep:vendor_id()'</dt><dd>the vendor whose chunks the module transforms</dd>
%% <dt>`namespace() -> binary()'</dt><dd>the name of the property list of these chunks</dd>
%% <dt>`transform(ChunkId, Value) -> {ok, Name, Term} | no_call'</dt><dd>a chunk's name and value, or `no_call' to leave
%%   it out</dd>
%% </dl>
-module(hep_transform).

-include("hep.hrl").

-export([transform/1, transform/2]).
-export([from_packet/1, from_packet/2]).
%% For hep_port.
-export([nested/3]).
%% For hep_generic_transform.
-export([generic/1]).

-export_type([transformed/0]).

-callback vendor_id() -> hep:vendor_id().
%% The vendor whose chunks the module transforms; 0 for generic chunks unknown to the library.

-callback namespace() -> binary().
%% The name of the property list of these chunks.

-callback transform(hep:chunk_id(), Value :: binary()) -> {ok, Name :: binary(), term()} | no_call.
%% A chunk's name and value, or `no_call' to leave it out.

-type properties() :: [{Name :: binary(), term()}].
-type transformed() :: [{binary(), [{binary(), hep:version() | properties()}]}].
%% `[{<<"hep">>, [{<<"version">>, Version}, {Namespace, [{Name, Value}]}, ...]}]'

%% @doc Transforms the generic chunks of a parsed or decoded packet.
-spec transform(hep:state() | hep:hep()) -> transformed().
transform(Packet) ->
    around(version(Packet), generic(Packet), []).

%% @doc Transforms the generic chunks of a parsed or decoded packet, and those of the modules' vendors.
%%
%% Chunks keep their order; those of a decoded packet are ordered by id. A chunk is left out if no module transforms its
%% vendor, or if the module returns `no_call'. If several modules have the same vendor, the first is called. The fields
%% of a record that you built yourself are not checked. Anything but a packet raises `badarg'.
-spec transform([module()], hep:state() | hep:hep()) -> transformed().
transform(Modules, Packet) when length(Modules) >= 0 ->
    nested(Modules, Packet, generic(Packet));
transform(_, _) ->
    erlang:error(badarg).

%% @private The generic chunks of a packet, or of a list of chunks, with readable names and values.
-spec generic(hep:hep() | hep:state() | [hep:parsed_chunk()]) -> properties().
generic(#hep{} = Hep) ->
    hep_nif:transform_record(Hep, hep_registry:names(), hep_size:record_chunks(Hep));
generic(Chunks) when is_list(Chunks) ->
    {Names, Keys} = {hep_registry:names(), hep_registry:keys()},
    case hep_nif:transform(Chunks, Names, Keys, unmeasured) of
        %% Counting takes half as long as transforming, so only chunks that were not parsed here are counted.
        unmeasured -> hep_nif:transform(Chunks, Names, Keys, hep_size:parsed_chunks(Chunks));
        Properties -> Properties
    end;
generic(State) ->
    generic(hep:get_chunks(State)).

%% @doc Parses a packet and transforms its generic chunks in one step. Returns the same as {@link transform/1} after
%% {@link hep_multi_parser:parse/1}, but is faster: no list of chunks is built in between. Any other term is an error,
%% too.
-spec from_packet(Packet :: binary() | term()) ->
    {ok, transformed()} | {error, invalid_packet, term()}.
from_packet(Packet) when is_binary(Packet) ->
    case hep_nif:transform_packet(Packet, hep_registry:names(), byte_size(Packet)) of
        {ok, Version, Generic} -> {ok, around(Version, Generic, [])};
        {error, _} -> {error, invalid_packet, Packet}
    end;
from_packet(Other) ->
    {error, invalid_packet, Other}.

%% @doc Parses a packet and transforms its generic chunks, and those of the modules' vendors: {@link
%% hep_multi_parser:parse/1}, then {@link transform/2}.
-spec from_packet([module()], Packet :: binary() | term()) ->
    {ok, transformed()} | {error, invalid_packet, term()}.
from_packet([], Packet) ->
    from_packet(Packet);
from_packet(Modules, Packet) when length(Modules) >= 0 ->
    case hep_multi_parser:parse(Packet) of
        {ok, State} -> {ok, transform(Modules, State)};
        Error -> Error
    end;
from_packet(_, _) ->
    erlang:error(badarg).

%% @private Builds the nested lists around the list of generic chunks that the codec returns.
-spec nested([module()], hep:state() | hep:hep(), properties()) -> transformed().
nested(Modules, Packet, Generic) ->
    case {version(Packet), Modules} of
        {3, [_ | _]} ->
            Chunks = [Chunk || Chunk <- chunks(Packet), not is_named(Chunk)],
            around(3, Generic, namespaces(Modules, [], Chunks));
        {Version, _} ->
            around(Version, Generic, [])
    end.

around(Version, Generic, Namespaces) ->
    [
        {<<"hep">>, [
            {<<"version">>, Version},
            {hep_generic_transform:namespace(), Generic}
            | Namespaces
        ]}
    ].

version(#hep{version = Version}) -> Version;
version(State) -> hep:get_version(State).

chunks(#hep{chunks = Chunks}) ->
    [{Vendor, Id, value(Value)} || {{Vendor, Id}, Value} <- Chunks];
chunks(State) ->
    [{Vendor, Id, Value} || {<<Vendor:16, Id:16>>, Value} <- hep:get_chunks(State)].

%% Whether the generic transform handles the chunk.
is_named({0, Id, _}) ->
    Names = hep_registry:names(),
    Id < tuple_size(Names) andalso element(Id + 1, Names) =/= <<>>;
is_named(_) ->
    false.

value({_Length, Value}) -> Value;
value(Value) -> Value.

namespaces([], _Seen, _Chunks) ->
    [];
namespaces([Module | Modules], Seen, Chunks) ->
    Vendor = Module:vendor_id(),
    Properties =
        case lists:member(Vendor, Seen) of
            true -> [];
            false -> properties(Module, [{Id, Value} || {V, Id, Value} <- Chunks, V =:= Vendor])
        end,
    [{Module:namespace(), Properties} | namespaces(Modules, [Vendor | Seen], Chunks)].

properties(Module, Chunks) ->
    lists:flatmap(
        fun({Id, Value}) ->
            case Module:transform(Id, Value) of
                {ok, Name, Transformed} -> [{Name, Transformed}];
                no_call -> []
            end
        end,
        Chunks
    ).
