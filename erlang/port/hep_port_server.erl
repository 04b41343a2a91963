%% @private
%% The process of `hep_port' that owns the program: starts it, passes on requests and answers, ends it and starts it
%% again.
-module(hep_port_server).

-behaviour(gen_server).

-include_lib("kernel/include/file.hrl").

-export([start_link/1, start_link/2, ask/2, broken/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% The bytes of requests that may be under way, in longest frames. A program that does not read must not fill the
%% VM's memory.
-define(UNDER_WAY, 4).
%% More ends of the program within the period, in milliseconds, and the server gives up: its supervisor decides.
-define(INTENSITY, 5).
-define(PERIOD, 10000).
%% How long the program may take to end when its input ends, in milliseconds, and how often that is checked.
-define(GRACE, 1000).
-define(CHECK, 10).

-record(state, {
    program :: file:filename_all(),
    longest :: pos_integer(),
    timeout :: pos_integer(),
    port :: port(),
    %% The number that the operating system has for the program.
    os_pid :: non_neg_integer() | undefined,
    %% What the program has written of the next frame.
    frames :: hep_port_frames:frames(),
    next = 0 :: non_neg_integer(),
    %% The requests under way: the caller (nobody any more after a timeout), the timer of the answer, which is
    %% started again after a timeout, the size.
    waiting = #{} :: #{non_neg_integer() => {gen_server:from() | nobody, reference(), pos_integer()}},
    %% Their sizes together.
    under_way = 0 :: non_neg_integer(),
    %% When the program answered last, or was asked while it had nothing to do.
    alive :: integer(),
    %% When the program ended lately.
    ends = [] :: [integer()]
}).

-spec start_link(map()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link(?MODULE, Options, []).

-spec start_link(gen_server:server_name(), map()) -> gen_server:start_ret().
start_link(Name, Options) ->
    gen_server:start_link(Name, ?MODULE, Options, []).

%% Has the program answer requests, which fit into a frame. The port is for {@link broken/2}.
-spec ask(hep_port:server(), [binary()]) ->
    {answers, port(), binary()}
    | {too_large, Size :: pos_integer(), Longest :: pos_integer()}
    | {error, timeout | port_restarted | overloaded}.
ask(Server, Requests) ->
    gen_server:call(Server, {ask, Requests}, infinity).

%% Says that the program of this port wrote an answer that is none: it is ended and started again.
-spec broken(hep_port:server(), port()) -> ok.
broken(Server, Port) ->
    gen_server:cast(Server, {broken, Port}).

%%% Callbacks

init(#{program := Program, max_frame := Longest, timeout := Timeout}) ->
    process_flag(trap_exit, true),
    ok = code:ensure_modules_loaded(hep_port_term:modules()),
    case open(Program, Longest) of
        {ok, Port} ->
            {ok, #state{
                program = Program,
                longest = Longest,
                timeout = Timeout,
                port = Port,
                os_pid = os_pid(Port),
                frames = hep_port_frames:new(Longest),
                alive = now_ms()
            }};
        {error, Reason} ->
            {stop, Reason}
    end.

open(Program, Longest) ->
    %% The limits would suspend this process while the program does not read.
    Options = [{busy_limits_port, disabled}, {busy_limits_msgq, disabled}],
    try
        ok = check_executable(Program),
        Arguments = {args, [integer_to_list(Longest)]},
        {ok, open_port({spawn_executable, Program}, [Arguments, stream, binary, exit_status, use_stdio | Options])}
    catch
        error:Reason -> {error, {cannot_start, Program, Reason, hep_nif_path:program_advice(Program, Reason)}}
    end.

%% When open_port/2 itself finds that a file is not executable, OTP 25 leaves a descriptor open.
check_executable(Program) ->
    case file:read_file_info(Program) of
        {ok, #file_info{type = regular, mode = Mode}} when Mode band 8#111 =/= 0 -> ok;
        {ok, #file_info{type = regular}} -> error(eacces);
        _ -> error(enoent)
    end.

handle_call({ask, Requests}, From, #state{under_way = UnderWay, longest = Longest} = State) ->
    case hep_port_frames:size(Requests) of
        Size when Size > Longest -> {reply, {too_large, Size, Longest}, State};
        Size when UnderWay + Size > ?UNDER_WAY * Longest -> {reply, {error, overloaded}, State};
        Size -> send(Requests, From, Size, State)
    end.

send(Requests, From, Size, #state{port = Port, next = Number, waiting = Waiting, under_way = UnderWay} = State) ->
    try port_command(Port, hep_port_frames:frame(Number, Requests)) of
        true ->
            Alive =
                case map_size(Waiting) of
                    0 -> now_ms();
                    _ -> State#state.alive
                end,
            {noreply, State#state{
                next = Number + 1,
                waiting = Waiting#{Number => {From, start_timer(Number, State), Size}},
                under_way = UnderWay + Size,
                alive = Alive
            }}
    catch
        %% The program has just ended; the message that says so is on its way.
        error:badarg -> {reply, {error, port_restarted}, State}
    end.

start_timer(Number, #state{timeout = Timeout}) ->
    erlang:start_timer(Timeout, self(), Number).

now_ms() ->
    erlang:monotonic_time(millisecond).

handle_cast({broken, Port}, #state{port = Port} = State) ->
    replace(invalid_answer, State);
handle_cast(_, State) ->
    {noreply, State}.

handle_info({Port, {data, Bytes}}, #state{port = Port, frames = Frames} = State) ->
    case hep_port_frames:add(Bytes, Frames) of
        {ok, Found, Later} -> answered(Found, State#state{frames = Later});
        error -> replace(invalid_frame, State)
    end;
handle_info({timeout, _Timer, Number}, #state{waiting = Waiting} = State) ->
    case Waiting of
        #{Number := {From, _, Size}} ->
            From =/= nobody andalso gen_server:reply(From, {error, timeout}),
            Entry = {nobody, start_timer(Number, State), Size},
            unless_stuck(State#state{waiting = Waiting#{Number := Entry}});
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

%% A program that writes frames without requests for them could fill this process's mailbox: the first one ends it.
answered([], State) ->
    {noreply, State};
answered([{Number, Items} | Others], #state{port = Port} = State) ->
    case done(Number, {answers, Port, Items}, State) of
        {ok, Rest} -> answered(Others, Rest);
        error -> replace(unasked_frame, State)
    end.

%% An answer that comes too late finds nobody waiting.
done(Number, Answer, #state{waiting = Waiting, under_way = UnderWay} = State) ->
    case maps:take(Number, Waiting) of
        {{From, Timer, Size}, Others} ->
            _ = erlang:cancel_timer(Timer),
            From =/= nobody andalso gen_server:reply(From, Answer),
            {ok, State#state{waiting = Others, under_way = UnderWay - Size, alive = now_ms()}};
        error ->
            error
    end.

%% Ends the program, and starts it again. What the old one has written and is not read yet is dropped.
replace(Reason, #state{port = Port, os_pid = OsPid} = State) ->
    %% First of all it cannot write any more.
    ok = close(Port),
    ok = signal_kill(OsPid),
    restart(Reason, State).

restart(Reason, #state{waiting = Waiting, program = Program, longest = Longest} = State) ->
    Answered = lists:foldl(fun interrupted/2, State, maps:keys(Waiting)),
    Now = now_ms(),
    Ends = [Now | [End || End <- State#state.ends, Now - End < ?PERIOD]],
    case length(Ends) =< ?INTENSITY andalso open(Program, Longest) of
        {ok, Port} ->
            {noreply, Answered#state{
                port = Port,
                os_pid = os_pid(Port),
                frames = hep_port_frames:new(Longest),
                ends = Ends,
                alive = Now
            }};
        {error, Error} ->
            {stop, Error, Answered};
        false ->
            {stop, {program_ends, Reason}, Answered}
    end.

interrupted(Number, State) ->
    {ok, Next} = done(Number, {error, port_restarted}, State),
    Next.

%% `undefined' when the port is closed.
os_pid(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, OsPid} -> OsPid;
        undefined -> undefined
    end.

close(Port) ->
    try port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end.

signal_kill(OsPid) ->
    _ = signal("KILL", OsPid),
    ok.

%% Whether there is such a process.
signal(_, undefined) ->
    false;
signal(Name, OsPid) ->
    case os:type() of
        {unix, _} -> os:cmd(lists:concat(["kill -", Name, " ", OsPid, " 2>&1"])) =:= "";
        _ -> false
    end.

%% The program ends when its input does. One that is stopped, or at a request, does not notice, and is killed.
terminate(_Reason, #state{port = Port, waiting = Waiting}) ->
    OsPid = os_pid(Port),
    ok = close(Port),
    await_end(OsPid, if map_size(Waiting) > 0 -> 0; true -> ?GRACE div ?CHECK end).

await_end(OsPid, 0) ->
    signal_kill(OsPid);
await_end(OsPid, Times) ->
    case signal("0", OsPid) of
        true -> timer:sleep(?CHECK), await_end(OsPid, Times - 1);
        false -> ok
    end.
