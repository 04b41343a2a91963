%% @private
%% The process that owns the spool of one queue of `hep_sender'. A slow disk delays this process only: the queue passes
%% one write at a time to it, and continues without waiting.
%%
%% Each request is answered by a message `{spool, Pid, Answer, Info}' to the sender, with the spool's counters:
%% <dl>
%% <dt>`{written, Count, ok | {error, Reason}}'</dt><dd>this many of the packets are in the spool</dd>
%% <dt>`{taken, Entries}'</dt><dd>the oldest packets, or an empty list</dd>
%% <dt>`settled'</dt><dd>the taken packets were removed, or are again the oldest</dd>
%% </dl>
%% A packet is stored with its number in the queue. Packets of an earlier process get the number 0.
-module(hep_sender_spool).

-behaviour(gen_server).

-export([start_link/1, write/2, take/3, ack/3, rewind/1, close/4]).
-export([init/1, handle_call/3, handle_cast/2, terminate/2]).

-record(state, {
    sender :: pid(),
    spool :: hep_spool:spool(),
    %% Marks the packets of this process.
    mark :: binary()
}).

%% Opens the spool for the calling process.
-spec start_link(hep_spool:options()) -> {ok, pid(), hep_spool:info()} | {error, hep_spool:reason()}.
start_link(Options) ->
    {ok, Pid} = gen_server:start_link(?MODULE, self(), []),
    case gen_server:call(Pid, {open, Options}, infinity) of
        {ok, Info} ->
            {ok, Pid, Info};
        {error, _} = Error ->
            ok = gen_server:stop(Pid),
            Error
    end.

-spec write(pid(), [hep_sender_route:entry()]) -> ok.
write(Pid, Entries) -> gen_server:cast(Pid, {write, Entries}).

-spec take(pid(), MaxPackets :: pos_integer(), MaxBytes :: pos_integer()) -> ok.
take(Pid, MaxPackets, MaxBytes) -> gen_server:cast(Pid, {take, MaxPackets, MaxBytes}).

%% Removes the oldest taken packets. Answered only for the last of them.
-spec ack(pid(), non_neg_integer(), last | more) -> ok.
ack(Pid, Count, Which) -> gen_server:cast(Pid, {ack, Count, Which}).

-spec rewind(pid()) -> ok.
rewind(Pid) -> gen_server:cast(Pid, rewind).

%% Writes the packets that are older than those of the spool, and those that are younger, and closes the spool. Gives up
%% after the timeout.
-spec close(pid(), [hep_sender_route:entry()], [hep_sender_route:entry()], timeout()) -> ok.
close(Pid, Older, Younger, Timeout) ->
    try
        gen_server:call(Pid, {close, Older, Younger}, Timeout)
    catch
        exit:_ -> ok
    end.

%%% Callbacks

init(Sender) ->
    {ok, Sender}.

handle_call({open, Options}, _, Sender) ->
    case hep_spool:open(Options) of
        {ok, Spool} ->
            Mark = <<(erlang:phash2({make_ref(), os:system_time()}, 1 bsl 32)):32>>,
            {reply, {ok, hep_spool:info(Spool)}, #state{sender = Sender, spool = Spool, mark = Mark}};
        {error, _} = Error ->
            {reply, Error, Sender}
    end;
handle_call({close, Older, Younger}, _, #state{spool = Spool} = State) ->
    Next =
        case hep_spool:put_first(records(Older, State), hep_spool:rewind(Spool)) of
            {ok, Longer} -> written(Younger, Longer, State);
            %% Out of order, rather than not at all.
            {error, _, 0, Same} -> written(Older ++ Younger, Same, State)
        end,
    {stop, normal, ok, State#state{spool = Next}}.

written(Entries, Spool, State) ->
    case hep_spool:write(records(Entries, State), Spool) of
        {ok, Next} -> Next;
        {error, _, _, Next} -> Next
    end.

handle_cast({write, Entries}, #state{spool = Spool} = State) ->
    case hep_spool:write(records(Entries, State), Spool) of
        {ok, Next} -> answer({written, length(Entries), ok}, Next, State);
        {error, Reason, Count, Next} -> answer({written, Count, {error, Reason}}, Next, State)
    end;
handle_cast({take, MaxPackets, MaxBytes}, #state{spool = Spool, mark = Mark} = State) ->
    {Records, Next} = hep_spool:take(MaxPackets, MaxBytes, Spool),
    answer({taken, [entry(Record, Mark) || Record <- Records]}, Next, State);
handle_cast({ack, Count, last}, #state{spool = Spool} = State) ->
    answer(settled, hep_spool:ack(Count, Spool), State);
handle_cast({ack, Count, more}, #state{spool = Spool} = State) ->
    {noreply, State#state{spool = hep_spool:ack(Count, Spool)}};
handle_cast(rewind, #state{spool = Spool} = State) ->
    answer(settled, hep_spool:rewind(Spool), State).

%% The system closes the files of a process that ends otherwise.
terminate(normal, #state{spool = Spool}) -> hep_spool:close(Spool);
terminate(_, _) -> ok.

answer(Answer, Spool, #state{sender = Sender} = State) ->
    Sender ! {spool, self(), Answer, hep_spool:info(Spool)},
    {noreply, State#state{spool = Spool}}.

records(Entries, #state{mark = Mark}) ->
    [[Mark, <<Number:64>>, Frame] || {_, {Number, Frame, _}} <- Entries].

entry(<<Mark:4/binary, Number:64, Frame/binary>>, Mark) -> {byte_size(Frame), {Number, Frame, none}};
entry(<<_:12/binary, Frame/binary>>, _) -> {byte_size(Frame), {0, Frame, none}}.
