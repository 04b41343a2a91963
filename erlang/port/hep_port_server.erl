%% @private
%% The process of `hep_port' that owns the program: starts, kills and restarts it, and passes on requests and answers.
-module(hep_port_server).

-behaviour(gen_server).

-include_lib("kernel/include/file.hrl").

-export([start_link/1, start_link/2, ask/2, broken/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% The limit of pending requests, as a multiple of the longest frame: a program that does not read must not exhaust the
%% VM's memory.
-define(UNDER_WAY, 4).
%% If the program ends more often within the period, in milliseconds, the server gives up: its supervisor decides.
-define(INTENSITY, 5).
-define(PERIOD, 10000).
%% The timeout for the program to end after its input is closed, and the interval of the check, in milliseconds.
-define(GRACE, 1000).
-define(CHECK, 10).

-record(state, {
    program :: file:filename_all(),
    longest :: pos_integer(),
    timeout :: pos_integer(),
    port :: port(),
    %% The process id of the program in the operating system.
    os_pid :: non_neg_integer() | undefined,
    %% The received part of the next frame.
    frames :: hep_port_frames:frames(),
    next = 0 :: non_neg_integer(),
    %% The pending requests: the caller (none after a timeout), the timer, which is restarted once after a timeout, and
    %% the size.
    waiting = #{} :: #{non_neg_integer() => {gen_server:from() | nobody, reference(), pos_integer()}},
    %% Their total size.
    under_way = 0 :: non_neg_integer(),
    %% When the program last answered, or got a request while idle.
    alive :: integer(),
    %% The times of the program's recent ends.
    ends = [] :: [integer()]
}).

-spec start_link(map()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link(?MODULE, Options, []).

-spec start_link(gen_server:server_name(), map()) -> gen_server:start_ret().
start_link(Name, Options) ->
    gen_server:start_link(Name, ?MODULE, Options, []).

%% Sends requests, which fit into a frame, to the program. The returned port is for {@link broken/2}.
-spec ask(hep_port:server(), [binary()]) ->
    {answers, port(), binary()}
    | {too_large, Size :: pos_integer(), Longest :: pos_integer()}
    | {error, timeout | port_restarted | overloaded}.
ask(Server, Requests) ->
    gen_server:call(Server, {ask, Requests}, infinity).

%% Reports that the program of this port wrote an invalid answer: it is killed and restarted.
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
    %% With busy limits, this process would be suspended while the program does not read.
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
        %% The program has just ended; the port's message about it will follow.
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
    %% No exit status arrived: the program has closed its input, but may still run.
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

%% A program that writes unsolicited frames could fill this process's mailbox: it is killed at the first one.
answered([], State) ->
    {noreply, State};
answered([{Number, Items} | Others], #state{port = Port} = State) ->
    case done(Number, {answers, Port, Items}, State) of
        {ok, Rest} -> answered(Others, Rest);
        error -> replace(unasked_frame, State)
    end.

%% After a timeout no caller waits for the answer.
done(Number, Answer, #state{waiting = Waiting, under_way = UnderWay} = State) ->
    case maps:take(Number, Waiting) of
        {{From, Timer, Size}, Others} ->
            _ = erlang:cancel_timer(Timer),
            From =/= nobody andalso gen_server:reply(From, Answer),
            {ok, State#state{waiting = Others, under_way = UnderWay - Size, alive = now_ms()}};
        error ->
            error
    end.

%% Kills the program and restarts it. Unread output of the old program is dropped.
replace(Reason, #state{port = Port, os_pid = OsPid} = State) ->
    %% First, so that it cannot write any more.
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

%% Whether the process exists.
signal(_, undefined) ->
    false;
signal(Name, OsPid) ->
    case os:type() of
        {unix, _} -> os:cmd(lists:concat(["kill -", Name, " ", OsPid, " 2>&1"])) =:= "";
        _ -> false
    end.

%% The program ends at the end of its input. If it is suspended or busy with a request it does not notice, and is
%% killed.
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
