%% @doc Parses packets of any version into the chunk view: every chunk, in order and unchanged.
%%
%% ```
%% 1> {ok, State} = hep_multi_parser:parse(Packet).
%% 2> hep:get_version(State).
%% 3
%% 3> hep:get_chunk(0, 15, State).
%% {ok,<<"INVITE sip:bob">>}
%% '''
%%
%% A packet of version 1 or 2 becomes the chunks of the equivalent packet of version 3. Only lengths are
%% checked: see {@link hep:decode/1} for the view that reads the values.
-module(hep_multi_parser).

-export([parse/1]).
%% For the parsers of one version.
-export([parse/2]).

%% @doc Parses a packet. Any other term is an error, too.
-spec parse(Packet :: binary() | term()) -> {ok, hep:state()} | {error, invalid_packet, term()}.
parse(Packet) when is_binary(Packet) ->
    case hep_nif:parse(Packet, hep_registry:keys(), byte_size(Packet)) of
        {ok, _} = Ok -> Ok;
        {error, _} -> {error, invalid_packet, Packet}
    end;
parse(Other) ->
    {error, invalid_packet, Other}.

%% @private
-spec parse(hep:version(), term()) -> {ok, hep:state()} | {error, invalid_packet, term()}.
parse(Version, Packet) ->
    case parse(Packet) of
        {ok, State} = Ok ->
            case hep:get_version(State) of
                Version -> Ok;
                _ -> {error, invalid_packet, Packet}
            end;
        Error ->
            Error
    end.
