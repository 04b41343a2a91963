%% @private
%% The requests and answers of `hep_port' as terms: encodes requests for the program, and checks that its answers are
%% possible results of the calls.
-module(hep_port_term).

-include("hep.hrl").

-export([modules/0, request/1, answer/2, refused/1]).

%% The tag of a compressed term, where a few bytes may become gigabytes. The program never writes it.
-define(COMPRESSED, 80).

%% The modules that contain all atoms of valid answers: answers with other atoms are rejected.
-spec modules() -> [module()].
modules() ->
    [hep, hep_registry, ?MODULE].

%% The request as the program reads it.
-spec request(hep_port:request() | term()) -> {ok, binary()} | badarg.
request(Request) ->
    case wire(Request) of
        badarg -> badarg;
        Wired -> {ok, term_to_binary(Wired)}
    end.

wire({parse, Packet}) when is_binary(Packet) -> {parse, Packet};
wire({decode, Packet}) -> wire({decode, Packet, #{}});
wire({decode, Packet, Options}) when is_binary(Packet), is_map(Options) ->
    {decode, Packet, maps:to_list(Options)};
wire({encode, Hep}) -> wire({encode, Hep, #{}});
wire({encode, Hep, Options}) when is_map(Options) ->
    {encode, hep:numbered(Hep), maps:to_list(Options)};
wire({transform, #hep{} = Hep}) -> {transform_record, Hep};
wire({transform, {hep, _Version, Chunks}}) -> {transform, Chunks};
wire({to_json, Packet}) when is_binary(Packet) -> {packet_to_json, Packet, []};
wire({to_json, #hep{} = Hep}) -> {record_to_json, hep:numbered(Hep)};
wire({to_json, {hep, Version, Chunks}}) -> {chunks_to_json, Version, Chunks};
wire({from_json, Json}) when is_binary(Json) -> {from_json, Json};
wire(_) -> badarg.

%% The result of the call, or `broken' if the program wrote anything else.
-spec answer(hep_port:request(), binary()) -> {ok, term()} | broken.
answer(_, <<_Version, ?COMPRESSED, _/binary>>) ->
    broken;
answer(Request, Bytes) ->
    %% `safe' rejects new atoms, which are never freed.
    try binary_to_term(Bytes, [safe]) of
        badarg -> {ok, refused(Request)};
        {error, {too_large, Size}} = TooLarge when is_integer(Size), Size > 0 -> {ok, TooLarge};
        Term -> checked(element(1, Request), Request, Term)
    catch
        error:badarg -> broken
    end.

checked(parse, _, {ok, {hep, Version, Chunks}} = Answer) when Version >= 1, Version =< 3 ->
    all(fun is_chunk/1, Chunks, Answer);
checked(parse, {_, Packet}, {error, Reason}) ->
    reason(Reason, {error, invalid_packet, Packet});
checked(decode, _, {ok, #hep{}} = Answer) ->
    {ok, Answer};
checked(decode, _, {ok, #hep{}, Reason} = Answer) ->
    reason(Reason, Answer);
checked(encode, _, {ok, Packet} = Answer) when is_binary(Packet) ->
    {ok, Answer};
checked(transform, {_, Packet}, Properties) ->
    case all(fun is_property/1, Properties, Properties) of
        {ok, _} -> {ok, hep_transform:nested([], Packet, Properties)};
        broken -> broken
    end;
checked(to_json, _, {ok, Json} = Answer) when is_binary(Json) ->
    {ok, Answer};
checked(to_json, {_, Packet}, {error, Reason}) when not is_binary(Packet) ->
    reason(Reason, {error, badarg});
checked(from_json, _, {ok, #hep{}} = Answer) ->
    {ok, Answer};
checked(from_json, _, {ok, Packets} = Answer) ->
    all(fun(Packet) -> is_record(Packet, hep) end, Packets, Answer);
checked(_, _, {error, Reason} = Answer) ->
    reason(Reason, Answer);
checked(_, _, _) ->
    broken.

all(Is, List, Answer) ->
    case hep_options:all(Is, List) of
        true -> {ok, Answer};
        false -> broken
    end.

is_chunk({<<_:32>>, Value}) -> is_binary(Value);
is_chunk(_) -> false.

is_property({Name, _}) -> is_binary(Name);
is_property(_) -> false.

reason(Reason, Answer) when is_atom(Reason) -> {ok, Answer};
reason(Reason, Answer) when is_atom(element(1, Reason)) -> {ok, Answer};
reason(_, _) -> broken.

%% The result in a batch where the call raises `badarg'.
-spec refused(hep_port:request() | term()) -> {error, invalid_packet, term()} | {error, badarg}.
refused({parse, Packet}) -> {error, invalid_packet, Packet};
refused(_) -> {error, badarg}.
