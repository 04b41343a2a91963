%% @doc The codec in an operating-system process of its own, for those who will not load native code into their
%% VM: a crash of it is a restart, and not the VM's.
%%
%% ```
%% 1> {ok, Port} = hep_port:start_link(#{}).
%% 2> {ok, Hep} = hep_port:decode(Port, Packet).
%% 3> [{ok, _}, {error, not_hep}] = hep_port:batch(Port, [{decode, Packet}, {decode, <<"x">>}]).
%% '''
%%
%% The answers are those of `hep:decode/1', `hep_multi_parser:parse/1', `hep:encode/1',
%% `hep_transform:transform/1' and `hep_json', term for term; no NIF is loaded for them. Beside these a call
%% answers `{error, timeout}'; `{error, port_restarted}' when the program ended while it was at the request, or
%% answered what is no term; `{error, {too_large, Bytes}}' for a request or an answer beyond the longest frame; and
%% `{error, overloaded}' while the program has too much to do. Terms that are nested more deeply than any packet are
%% a `badarg'. Requests of many processes are under way at once; {@link batch/2} is the fastest way for many packets.
%%
%% A program that is asked and says nothing for twice the time-out is stuck: it is killed and started again. (With the
%% `kill' of Unix; elsewhere its input is closed, upon which it ends unless it is stuck for good.)
-module(hep_port).

-include("hep.hrl").

-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1]).
-export([parse/2, decode/2, decode/3, encode/2, encode/3, transform/2, to_json/2, from_json/2, batch/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0, server/0, request/0, failure/0]).

%% <dl>
%% <dt>`name'</dt><dd>what the server is registered as, as for `gen_server:start_link/4'</dd>
%% <dt>`program'</dt><dd>the path of the program; by default that of hep's own `priv'</dd>
%% <dt>`timeout'</dt><dd>how long a request may take, in milliseconds: 5000 by default</dd>
%% </dl>
-type options() :: #{
    name => {local, atom()} | {global, term()} | {via, module(), term()},
    program => file:filename_all(),
    timeout => pos_integer()
}.

-type server() :: gen_server:server_ref().

%% What {@link batch/2} takes: the calls of this module without the server.
-type request() ::
    {parse, binary()}
    | {decode, binary()}
    | {decode, binary(), hep:options()}
    | {encode, hep:hep()}
    | {encode, hep:hep(), hep:encode_options()}
    | {transform, hep:state() | hep:hep()}
    | {to_json, binary() | hep:state() | hep:hep()}
    | {from_json, binary()}.

%% Why there is no answer.
-type failure() :: timeout | port_restarted | overloaded | {too_large, Bytes :: pos_integer()}.

%% The longest frame. The program is told, and keeps to it as well.
-define(LONGEST, 64 * 1024 * 1024).
%% How many bytes of requests may be under way. A program that does not read must not fill the VM's memory.
-define(UNDER_WAY, 4 * ?LONGEST).
-define(TIMEOUT, 5000).
%% How deep a request's terms may be nested.
-define(DEPTH, 64).
%% More ends of the program within the period, in milliseconds, and the server gives up: its supervisor decides.
-define(INTENSITY, 5).
-define(PERIOD, 10000).

-record(state, {
    program :: file:filename_all(),
    timeout :: pos_integer(),
    port :: port(),
    %% The number that the operating system has for the program.
    os_pid :: non_neg_integer() | undefined,
    next = 0 :: non_neg_integer(),
    %% The requests under way: who asked (nobody any more after a timeout), the timer of the answer, which goes on
    %% after a timeout, the size.
    waiting = #{} :: #{non_neg_integer() => {gen_server:from() | nobody, reference(), pos_integer()}},
    %% Their sizes together.
    under_way = 0 :: non_neg_integer(),
    %% When the program answered last, or was asked while it had nothing to do.
    alive :: integer(),
    %% When the program ended lately.
    ends = [] :: [integer()]
}).

%%% The server

%% @doc Starts the program and the process that owns it.
%%
%% A wrong or unknown option is `{bad_option, {Name, Value}}', and what is no map `{bad_option, Options}'.
-spec start_link(options()) ->
    gen_server:start_ret() | {error, {bad_option, {atom(), term()} | term()}}.
start_link(Options) ->
    case check(Options) of
        {ok, #{name := Name} = Checked} -> gen_server:start_link(Name, ?MODULE, Checked, []);
        {ok, Checked} -> gen_server:start_link(?MODULE, Checked, []);
        {error, _} = Error -> Error
    end.

%% @doc For a supervisor.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    #{id => maps:get(name, Options, ?MODULE), start => {?MODULE, start_link, [Options]}}.

%% @doc Ends the process and the program.
-spec stop(server()) -> ok.
stop(Server) ->
    gen_server:stop(Server).

check(#{} = Options) ->
    case [Option || Option <- lists:sort(maps:to_list(Options)), not is_right(Option)] of
        [] -> {ok, maps:merge(#{program => hep_nif_path:program(), timeout => ?TIMEOUT}, Options)};
        [Option | _] -> {error, {bad_option, Option}}
    end;
check(Options) ->
    {error, {bad_option, Options}}.

is_right({name, Name}) -> hep_options:is_name(Name);
is_right({program, Path}) -> is_list(Path) orelse is_binary(Path);
is_right({timeout, Time}) -> is_integer(Time) andalso Time > 0;
is_right(_) -> false.

%%% Calls

%% @doc As `hep_multi_parser:parse/1'.
-spec parse(server(), Packet :: binary() | term()) ->
    {ok, hep:state()} | {error, invalid_packet, term()} | {error, failure()}.
parse(Server, Packet) -> one(Server, {parse, Packet}).

%% @doc As `hep:decode/1'.
-spec decode(server(), Packet :: binary()) -> {ok, hep:hep()} | {error, hep:reason() | failure()}.
decode(Server, Packet) -> one(Server, {decode, Packet}).

%% @doc As `hep:decode/2'.
-spec decode(server(), Packet :: binary(), hep:options()) ->
    {ok, hep:hep()} | {error, hep:reason() | failure()}.
decode(Server, Packet, Options) -> one(Server, {decode, Packet, Options}).

%% @doc As `hep:encode/1'.
-spec encode(server(), hep:hep()) -> {ok, iolist()} | {error, hep:encode_reason() | failure()}.
encode(Server, Hep) -> one(Server, {encode, Hep}).

%% @doc As `hep:encode/2'.
-spec encode(server(), hep:hep(), hep:encode_options()) ->
    {ok, iolist()} | {error, hep:encode_reason() | failure()}.
encode(Server, Hep, Options) -> one(Server, {encode, Hep, Options}).

%% @doc As `hep_transform:transform/1'.
-spec transform(server(), hep:state() | hep:hep()) -> hep_transform:transformed() | {error, failure()}.
transform(Server, Packet) -> one(Server, {transform, Packet}).

%% @doc The JSON of a packet as it came from the network, of a decoded or of a parsed one; as `hep_json'.
-spec to_json(server(), binary() | hep:state() | hep:hep()) ->
    {ok, binary()} | {error, hep:reason() | failure()}.
to_json(Server, Packet) -> one(Server, {to_json, Packet}).

%% @doc As `hep_json:decode/1'.
-spec from_json(server(), binary()) ->
    {ok, hep:hep() | [hep:hep()]} | {error, hep_json:reason() | failure()}.
from_json(Server, Json) -> one(Server, {from_json, Json}).

%% @doc Many requests in one frame; the answers are in the order of the requests. A request for which the call
%% would raise `badarg' is answered with `{error, badarg}'.
-spec batch(server(), [request()]) -> [term()] | {error, failure()}.
batch(Server, Requests) when length(Requests) >= 0 ->
    Wired = [checked(Request) || Request <- Requests],
    case ask(Server, {batch, [W || W <- Wired, is_tuple(W)]}) of
        {answer, badarg} -> [refused(Request) || Request <- Requests];
        {answer, Answers} -> answers(Requests, Wired, Answers);
        {error, _} = Error -> Error
    end;
batch(_, _) ->
    erlang:error(badarg).

answers([Request | Requests], [badarg | Wired], Answers) ->
    [refused(Request) | answers(Requests, Wired, Answers)];
answers([Request | Requests], [_ | Wired], [badarg | Answers]) ->
    [refused(Request) | answers(Requests, Wired, Answers)];
answers([Request | Requests], [_ | Wired], [Answer | Answers]) ->
    [read(Request, Answer) | answers(Requests, Wired, Answers)];
answers([], [], []) ->
    [].

refused({parse, Packet}) -> {error, invalid_packet, Packet};
refused(_) -> {error, badarg}.

one(Server, Request) ->
    case checked(Request) of
        badarg ->
            one_refused(Request);
        Wired ->
            case ask(Server, Wired) of
                {answer, badarg} -> one_refused(Request);
                {answer, Answer} -> one_read(Request, read(Request, Answer));
                {error, _} = Error -> Error
            end
    end.

one_read(Request, {error, badarg}) -> one_refused(Request);
one_read(_, Answer) -> Answer.

one_refused(Request) ->
    case refused(Request) of
        {error, badarg} -> erlang:error(badarg);
        Answer -> Answer
    end.

checked(Request) ->
    Wired = wire(Request),
    case is_shallow(Wired, ?DEPTH) of
        true -> Wired;
        false -> badarg
    end.

%% No packet is nested deeply. The program reads terms by recursion, and its stack has an end.
is_shallow(_, 0) -> false;
is_shallow([Head | Tail], Depth) -> is_shallow(Head, Depth - 1) andalso is_shallow(Tail, Depth);
is_shallow(Tuple, Depth) when is_tuple(Tuple) -> is_shallow(tuple_to_list(Tuple), Depth - 1);
is_shallow(Map, Depth) when is_map(Map) -> is_shallow(maps:to_list(Map), Depth - 1);
is_shallow(_, _) -> true.

%% The request as the program knows it.
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

%% The program's answer as the call gives it.
read({parse, Packet}, {error, _}) -> {error, invalid_packet, Packet};
read({to_json, Packet}, {error, _}) when not is_binary(Packet) -> {error, badarg};
read({transform, Packet}, Generic) -> hep_transform:nested([], Packet, Generic);
read(_, Answer) -> Answer.

%% The terms are written and read by the caller, so that the server only hands them on.
ask(Server, Wired) ->
    %% In the newer form all atoms are UTF-8, which the program reads.
    Request = term_to_binary(Wired, [{minor_version, 2}]),
    case byte_size(Request) + 8 of
        Size when Size > ?LONGEST ->
            {error, {too_large, Size}};
        _ ->
            case gen_server:call(Server, {request, Request}, infinity) of
                {answer, Port, Answer} -> term(Server, Port, Answer);
                {error, _} = Error -> Error
            end
    end.

%% The program's answer, or its word that the answer would be beyond the longest frame: no call answers that. A
%% program that answers what is no term is broken: its server ends it.
term(Server, Port, Answer) ->
    try binary_to_term(Answer) of
        {error, {too_large, _}} = Error -> Error;
        Term -> {answer, Term}
    catch
        error:badarg ->
            ok = gen_server:cast(Server, {broken, Port}),
            {error, port_restarted}
    end.

%%% Callbacks

%% @private
init(#{program := Program, timeout := Timeout}) ->
    process_flag(trap_exit, true),
    case open(Program) of
        {ok, Port} ->
            {ok, #state{
                program = Program,
                timeout = Timeout,
                port = Port,
                os_pid = os_pid(Port),
                alive = now_ms()
            }};
        {error, Reason} -> {stop, Reason}
    end.

open(Program) ->
    %% The limits would suspend this process while the program does not read.
    Options = [{busy_limits_port, disabled}, {busy_limits_msgq, disabled}],
    try
        filelib:is_regular(Program) orelse error(enoent),
        Arguments = {args, [integer_to_list(?LONGEST)]},
        Settings = [Arguments, {packet, 4}, binary, exit_status, use_stdio | Options],
        {ok, open_port({spawn_executable, Program}, Settings)}
    catch
        error:Reason ->
            {error, {cannot_start, Program, Reason, "build it with `sh native/build.sh' in hep's folder"}}
    end.

%% @private
handle_call({request, Request}, From, #state{under_way = UnderWay} = State) ->
    case UnderWay + byte_size(Request) of
        Size when Size =< ?UNDER_WAY -> send(Request, From, Size, State);
        _ -> {reply, {error, overloaded}, State}
    end.

send(Request, From, UnderWay, #state{port = Port, next = Id, waiting = Waiting} = State) ->
    try port_command(Port, [<<Id:64>>, Request]) of
        true ->
            Entry = {From, start_timer(Id, State), byte_size(Request)},
            Alive =
                case map_size(Waiting) of
                    0 -> now_ms();
                    _ -> State#state.alive
                end,
            {noreply, State#state{
                next = Id + 1,
                waiting = Waiting#{Id => Entry},
                under_way = UnderWay,
                alive = Alive
            }}
    catch
        %% The program has just ended; the message that says so is on its way.
        error:badarg -> {reply, {error, port_restarted}, State}
    end.

start_timer(Id, #state{timeout = Timeout}) ->
    erlang:start_timer(Timeout, self(), Id).

now_ms() ->
    erlang:monotonic_time(millisecond).

%% @private
handle_cast({broken, Port}, #state{port = Port} = State) ->
    replace(unreadable_answer, State);
handle_cast(_, State) ->
    {noreply, State}.

%% @private
handle_info({Port, {data, <<Id:64, Answer/binary>>}}, #state{port = Port} = State) ->
    {noreply, done(Id, {answer, Port, Answer}, State)};
handle_info({timeout, _Timer, Id}, #state{waiting = Waiting} = State) ->
    case Waiting of
        #{Id := {From, _, Size}} ->
            From =/= nobody andalso gen_server:reply(From, {error, timeout}),
            Entry = {nobody, start_timer(Id, State), Size},
            unless_stuck(State#state{waiting = Waiting#{Id := Entry}});
        _ ->
            {noreply, State}
    end;
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    restart({exit_status, Status}, State);
handle_info({'EXIT', Port, Reason}, #state{port = Port, os_pid = OsPid} = State) ->
    %% Its exit status was not seen: the program has closed its input, but may live on.
    ok = signal_kill(OsPid),
    restart(Reason, State);
handle_info({'EXIT', Pid, Reason}, State) when is_pid(Pid), Reason =/= normal ->
    {stop, Reason, State};
handle_info(_, State) ->
    {noreply, State}.

unless_stuck(#state{alive = Alive, timeout = Timeout} = State) ->
    case now_ms() - Alive >= 2 * Timeout of
        true -> replace(stuck, State);
        false -> {noreply, State}
    end.

%% An answer that comes too late finds nobody waiting, and neither does a second one.
done(Id, Answer, #state{waiting = Waiting, under_way = UnderWay} = State) ->
    case maps:take(Id, Waiting) of
        {{From, Timer, Size}, Others} ->
            _ = erlang:cancel_timer(Timer),
            From =/= nobody andalso gen_server:reply(From, Answer),
            State#state{waiting = Others, under_way = UnderWay - Size, alive = now_ms()};
        error ->
            State
    end.

%% Ends the program, and starts it again. What the old one still says is not heard.
replace(Reason, #state{port = Port} = State) ->
    ok = kill(Port),
    restart(Reason, State).

restart(Reason, #state{waiting = Waiting, program = Program} = State) ->
    Ids = maps:keys(Waiting),
    Answered = lists:foldl(fun(Id, S) -> done(Id, {error, port_restarted}, S) end, State, Ids),
    Now = now_ms(),
    Ends = [Now | [End || End <- State#state.ends, Now - End < ?PERIOD]],
    case length(Ends) =< ?INTENSITY andalso open(Program) of
        {ok, Port} ->
            Fresh = Answered#state{port = Port, os_pid = os_pid(Port), ends = Ends, alive = Now},
            {noreply, Fresh};
        {error, Error} -> {stop, Error, Answered};
        false -> {stop, {program_ends, Reason}, Answered}
    end.

%% To close the port closes the program's input, which one that is stuck does not see. The port is open, so the
%% number is that of a program that has not ended, or has only just.
kill(Port) ->
    ok = signal_kill(os_pid(Port)),
    close(Port).

%% `undefined' when the port is closed.
os_pid(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, OsPid} -> OsPid;
        undefined -> undefined
    end.

signal_kill(undefined) ->
    ok;
signal_kill(OsPid) ->
    _ =
        case os:type() of
            {unix, _} -> os:cmd("kill -KILL " ++ integer_to_list(OsPid));
            _ -> []
        end,
    ok.

close(Port) ->
    try port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% @private
terminate(_Reason, #state{port = Port, waiting = Waiting}) when map_size(Waiting) > 0 ->
    kill(Port);
terminate(_Reason, #state{port = Port}) ->
    close(Port).
