%% @doc The codec in a separate operating-system process, for users who do not want native code in their VM: if it
%% crashes, the program is restarted and the VM keeps running.
%%
%% ```
%% 1> {ok, Port} = hep_port:start_link(#{}).
%% 2> {ok, Hep} = hep_port:decode(Port, Packet).
%% 3> [{ok, _}, {error, not_hep}] = hep_port:batch(Port, [{decode, Packet}, {decode, <<"x">>}]).
%% '''
%%
%% The results are exactly those of `hep:decode/1', `hep_multi_parser:parse/1', `hep:encode/1',
%% `hep_transform:transform/1' and `hep_json'; no NIF is loaded for them. In addition, a call may return one of {@link
%% failure()}. Many processes may call at the same time; for many packets, {@link batch/2} is the fastest way.
%%
%% == Failures of the program ==
%% The program is killed and restarted, and pending requests are answered with `port_restarted', when it
%% <ul>
%% <li>ends, or closes its input or output;</li>
%% <li>does not answer a request within twice the timeout;</li>
%% <li>writes an unsolicited frame, or one longer than `max_frame';</li>
%% <li>answers with an invalid term, with a term that contains new atoms, or with one that the call cannot return.</li>
%% </ul>
%% If the program ends five times in ten seconds, the server ends with `{program_ends, Reason}'. {@link stop/1} closes
%% the program's input, which ends it; if it has not ended after a second, it is killed (on Unix; elsewhere only its
%% input is closed).
%%
%% == Memory ==
%% Pending requests take at most four times `max_frame' in total; further ones are `overloaded'. The server
%% buffers one incomplete frame of at most `max_frame' bytes. The program holds one frame of requests, the answers to
%% that frame, and the parts of one answer. It handles one request at a time, so only one payload is inflated at a
%% time: to the request's option `max_inflated', 256 KiB by default.
-module(hep_port).

-export([start_link/1, child_spec/1, stop/1, format_error/1]).
-export([parse/2, decode/2, decode/3, encode/2, encode/3, transform/2, to_json/2, from_json/2, batch/2]).

-export_type([options/0, server/0, request/0, failure/0]).

-type options() :: #{
    name => {local, atom()} | {global, term()} | {via, module(), term()},
    program => file:filename_all(),
    timeout => pos_integer(),
    max_frame => pos_integer()
}.
%% <dl>
%% <dt>`name'</dt><dd>the registered name, as for `gen_server:start_link/4'</dd>
%% <dt>`program'</dt><dd>the path of the program; by default the one in hep's `priv'</dd>
%% <dt>`timeout'</dt><dd>the timeout of a request in milliseconds: 5000 by default</dd>
%% <dt>`max_frame'</dt><dd>the maximum size of a frame of requests or answers in bytes: 64 MiB by default, 128 KiB to
%%   2 GiB - 1. A call is one frame, and so is a batch</dd>
%% </dl>

-type server() :: gen_server:server_ref().
%% The server's pid or registered name.

-type request() ::
    {parse, binary()}
    | {decode, binary()}
    | {decode, binary(), hep:options()}
    | {encode, hep:hep()}
    | {encode, hep:hep(), hep:encode_options()}
    | {transform, hep:state() | hep:hep()}
    | {to_json, binary() | hep:state() | hep:hep()}
    | {from_json, binary()}.
%% A request of {@link batch/2}: a call of this module without the server.

-type failure() :: timeout | port_restarted | overloaded | {too_large, Bytes :: pos_integer()}.
%% Why a call has no result.
%% <dl>
%% <dt>`timeout'</dt><dd>no answer within the option `timeout'</dd>
%% <dt>`port_restarted'</dt><dd>the program ended, or was killed, before it answered</dd>
%% <dt>`overloaded'</dt><dd>too many bytes of requests are pending</dd>
%% <dt>`{too_large, Bytes}'</dt><dd>the request of this size, or its answer of at least this size, does not fit into the
%%   frame</dd>
%% </dl>

-define(TIMEOUT, 5000).
-define(MAX_FRAME, 64 * 1024 * 1024).
%% The largest packet fits.
-define(LEAST_FRAME, 128 * 1024).
-define(MOST_FRAME, 16#7fffffff).

%% For error messages.
-define(WANTED, #{
    name => "{local, Atom}, {global, Term} or {via, Module, Term}",
    program => "the path of the program, a string or a binary",
    timeout => "milliseconds, at least 1",
    max_frame => "an integer from 131072 to 2147483647, in bytes"
}).

%%% The server

%% @doc Starts the server and its program.
%%
%% `{bad_option, {Name, Value}}': an option is wrong or unknown. `{bad_option, Options}': the options are not a map.
-spec start_link(options()) ->
    gen_server:start_ret() | {error, {bad_option, {atom(), term()} | term()}}.
start_link(Options) ->
    case check(Options) of
        {ok, #{name := Name} = Checked} -> hep_port_server:start_link(Name, Checked);
        {ok, Checked} -> hep_port_server:start_link(Checked);
        {error, _} = Error -> Error
    end.

%% @doc Returns a child specification.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    #{id => maps:get(name, Options, ?MODULE), start => {?MODULE, start_link, [Options]}}.

%% @doc Stops the server and the program.
-spec stop(server()) -> ok.
stop(Server) ->
    gen_server:stop(Server).

check(#{} = Options) ->
    case [Option || Option <- lists:sort(maps:to_list(Options)), not is_right(Option)] of
        [] -> {ok, maps:merge(defaults(), Options)};
        [Option | _] -> {error, {bad_option, Option}}
    end;
check(Options) ->
    {error, {bad_option, Options}}.

%% @doc A sentence about an error of {@link start_link/1}, or about a reason of one of the calls. Raises `badarg' for
%% what is neither.
-spec format_error({bad_option, term()} | failure() | hep:reason() | hep:encode_reason() | hep_json:reason()) -> string().
format_error({bad_option, _} = Error) ->
    hep_options:format_error(Error, ?WANTED, []);
format_error(timeout) ->
    "the program did not answer in time";
format_error(port_restarted) ->
    "the program ended before it answered";
format_error(overloaded) ->
    "too many bytes of requests are pending";
format_error({too_large, Bytes}) ->
    lists:flatten(io_lib:format("the request or its answer has ~b bytes or more, which exceeds max_frame", [Bytes]));
format_error(Reason) ->
    hep:format_error(Reason).

defaults() ->
    #{program => hep_nif_path:program(), timeout => ?TIMEOUT, max_frame => ?MAX_FRAME}.

is_right({name, Name}) -> hep_options:is_name(Name);
is_right({program, Path}) -> is_list(Path) orelse is_binary(Path);
is_right({timeout, Time}) -> is_integer(Time) andalso Time > 0;
is_right({max_frame, Bytes}) -> is_integer(Bytes) andalso Bytes >= ?LEAST_FRAME andalso Bytes =< ?MOST_FRAME;
is_right(_) -> false.

%%% Calls

%% @doc Like `hep_multi_parser:parse/1'.
-spec parse(server(), Packet :: binary() | term()) ->
    {ok, hep:state()} | {error, invalid_packet, term()} | {error, failure()}.
parse(Server, Packet) -> one(Server, {parse, Packet}).

%% @doc Like `hep:decode/1'.
-spec decode(server(), Packet :: binary()) -> {ok, hep:hep()} | {error, hep:reason() | failure()}.
decode(Server, Packet) -> one(Server, {decode, Packet}).

%% @doc Like `hep:decode/2'.
-spec decode(server(), Packet :: binary(), hep:options()) ->
    {ok, hep:hep()} | {ok, hep:hep(), hep:reason()} | {error, hep:reason() | failure()}.
decode(Server, Packet, Options) -> one(Server, {decode, Packet, Options}).

%% @doc Like `hep:encode/1'.
-spec encode(server(), hep:hep()) -> {ok, binary()} | {error, hep:encode_reason() | failure()}.
encode(Server, Hep) -> one(Server, {encode, Hep}).

%% @doc Like `hep:encode/2'.
-spec encode(server(), hep:hep(), hep:encode_options()) ->
    {ok, binary()} | {error, hep:encode_reason() | failure()}.
encode(Server, Hep, Options) -> one(Server, {encode, Hep, Options}).

%% @doc Like `hep_transform:transform/1'.
-spec transform(server(), hep:state() | hep:hep()) -> hep_transform:transformed() | {error, failure()}.
transform(Server, Packet) -> one(Server, {transform, Packet}).

%% @doc Writes a raw, decoded or parsed packet as JSON, like `hep_json'.
-spec to_json(server(), binary() | hep:state() | hep:hep()) ->
    {ok, binary()} | {error, hep:reason() | failure()}.
to_json(Server, Packet) -> one(Server, {to_json, Packet}).

%% @doc Like `hep_json:decode/1'.
-spec from_json(server(), binary()) ->
    {ok, hep:hep() | [hep:hep()]} | {error, hep_json:reason() | failure()}.
from_json(Server, Json) -> one(Server, {from_json, Json}).

%% @doc Sends many requests in one frame. Returns their results in order. Where the call would raise `badarg', the
%% result is `{error, badarg}'; where the request or its answer is too large, it is `{error, {too_large, Bytes}}'.
%%
%% The answers have one frame together, `max_frame'. Each may fill it except for the room that is kept back
%% for the requests after it: eight times their bytes and 512 bytes for each, but no more than their share of the
%% frame. So packets that inflate a thousandfold only take room from each other. When all requests together are larger
%% than a frame, nothing is answered but `{error, {too_large, Bytes}}'.
-spec batch(server(), [request()]) -> [term()] | {error, failure()}.
batch(Server, Requests) when length(Requests) >= 0 ->
    Wired = [{Request, hep_port_term:request(Request)} || Request <- Requests],
    case ask(Server, Wired) of
        {ok, Answers} -> Answers;
        {error, _} = Error -> Error
    end;
batch(_, _) ->
    erlang:error(badarg).

one(Server, Request) ->
    case ask(Server, [{Request, hep_port_term:request(Request)}]) of
        {ok, [{error, badarg}]} -> erlang:error(badarg);
        {ok, [Answer]} -> Answer;
        {error, _} = Error -> Error
    end.

%% The caller encodes and decodes the terms, so the server only passes binaries on.
ask(Server, Wired) ->
    case [Bytes || {_, {ok, Bytes}} <- Wired] of
        [] -> read(<<>>, Wired);
        Items -> answers(hep_port_server:ask(Server, Items), Server, Wired)
    end.

answers({answers, Port, Frame}, Server, Wired) ->
    case read(Frame, Wired) of
        {ok, _} = Answers ->
            Answers;
        broken ->
            ok = hep_port_server:broken(Server, Port),
            {error, port_restarted}
    end;
answers({too_large, Size, Longest}, Server, Wired) ->
    %% Without requests that are too large by themselves.
    Fitting = [fitting(W, Longest) || W <- Wired],
    case Fitting =:= Wired of
        true -> {error, {too_large, Size}};
        false -> ask(Server, Fitting)
    end;
answers({error, _} = Error, _, _) ->
    Error.

fitting({Request, {ok, Bytes}} = Wired, Longest) ->
    case hep_port_frames:size([Bytes]) of
        Size when Size > Longest -> {Request, {error, {too_large, Size}}};
        _ -> Wired
    end;
fitting(Wired, _) ->
    Wired.

read(Frame, Wired) ->
    case hep_port_frames:items(Frame) of
        {ok, Items} -> read(Wired, Items, []);
        error -> broken
    end.

read([{Request, {ok, _}} | Wired], [Item | Items], Answers) ->
    case hep_port_term:answer(Request, Item) of
        {ok, Answer} -> read(Wired, Items, [Answer | Answers]);
        broken -> broken
    end;
read([{Request, badarg} | Wired], Items, Answers) ->
    read(Wired, Items, [hep_port_term:refused(Request) | Answers]);
read([{_, {error, _} = Error} | Wired], Items, Answers) ->
    read(Wired, Items, [Error | Answers]);
read([], [], Answers) ->
    {ok, lists:reverse(Answers)};
read(_, _, _) ->
    broken.
