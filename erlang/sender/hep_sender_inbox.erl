%% @private
%% Counts the packets on their way from the callers of `hep_sender:send/2' to the sender's process, since a mailbox has
%% no limit. The data that callers need is in a table owned by the sender, which is deleted with it; only the
%% table's identifier is stored elsewhere.
%%
%% A caller that is killed between the count and the message leaves the count too high. The sender corrects it: while
%% its mailbox holds no packet, the count is the number of such callers and of those that are between the two right
%% then. The least count at such moments over a second or longer is subtracted. If callers were between the two all
%% that time, the count becomes too low by their number, which is corrected in the same way.
-module(hep_sender_inbox).

-export([new/1, delete/0, correct/1, received/3]).
-export([find/1, settings/1, put/5, refused/2, refusals/1]).

-export_type([inbox/0, shared/0]).

%% The table's only row.
-record(shared, {
    key = shared :: shared,
    counters :: atomics:atomics_ref(),
    max_packets :: pos_integer(),
    max_bytes :: pos_integer(),
    settings :: hep_sender_frame:settings()
}).

%% The sender's side. The minimum counts since the last correction; `infinity' if the mailbox was never empty.
-record(inbox, {
    counters :: atomics:atomics_ref(),
    least = {infinity, infinity} :: {integer() | infinity, integer() | infinity}
}).

-opaque shared() :: #shared{}.
-opaque inbox() :: #inbox{}.

%% Counters: packets on the way and their bytes, and refusals.
-define(PACKETS, 1).
-define(BYTES, 2).
-define(OVERLOADED, 3).
-define(TOO_LARGE, 4).
-define(UNFRAMED, 5).
-define(INVALID, 6).
-define(COUNTERS, 6).

%%% The sender's side

%% Creates the inbox of the calling process.
-spec new(map()) -> inbox().
new(#{queue := Packets, queue_bytes := Bytes} = Options) ->
    %% Erases the entry of a killed sender, which could not do so.
    Dead = [Key || {{?MODULE, Pid} = Key, _} <- persistent_term:get(), not is_process_alive(Pid)],
    lists:foreach(fun persistent_term:erase/1, Dead),
    Counters = atomics:new(?COUNTERS, []),
    Table = ets:new(hep_sender, [protected, {keypos, #shared.key}, {read_concurrency, true}]),
    true = ets:insert(Table, #shared{
        counters = Counters,
        max_packets = Packets,
        max_bytes = Bytes,
        settings = hep_sender_frame:settings(Options)
    }),
    ok = persistent_term:put({?MODULE, self()}, Table),
    #inbox{counters = Counters}.

-spec delete() -> boolean().
delete() ->
    persistent_term:erase({?MODULE, self()}).

%% Records packets taken out of the mailbox: all that it held, or the maximum handled together.
-spec received([hep_sender_route:packet()], all | some, inbox()) -> inbox().
received(Entries, Which, #inbox{counters = Counters} = Inbox) ->
    subtract(length(Entries), lists:sum([Size || {Size, _, _} <- Entries]), Counters),
    case Which of
        all -> emptied(Inbox);
        some -> Inbox
    end.

emptied(#inbox{counters = Counters, least = {Packets, Bytes}} = Inbox) ->
    %% Every number is less than an atom.
    Least = {min(Packets, atomics:get(Counters, ?PACKETS)), min(Bytes, atomics:get(Counters, ?BYTES))},
    Inbox#inbox{least = Least}.

%% Corrects the counts. Call it at intervals longer than a caller needs between count and message.
-spec correct(inbox()) -> inbox().
correct(Inbox) ->
    case process_info(self(), message_queue_len) of
        {message_queue_len, 0} -> emptied(subtract_least(emptied(Inbox)));
        _ -> subtract_least(Inbox)
    end.

subtract_least(#inbox{least = {infinity, infinity}} = Inbox) ->
    Inbox;
subtract_least(#inbox{least = {Packets, Bytes}, counters = Counters} = Inbox) ->
    subtract(Packets, Bytes, Counters),
    Inbox#inbox{least = {infinity, infinity}}.

subtract(Packets, Bytes, Counters) ->
    ok = atomics:sub(Counters, ?PACKETS, Packets),
    ok = atomics:sub(Counters, ?BYTES, Bytes).

-spec refusals(inbox()) -> hep_sender:refusals().
refusals(#inbox{counters = Counters}) ->
    #{
        overloaded => atomics:get(Counters, ?OVERLOADED),
        too_large => atomics:get(Counters, ?TOO_LARGE),
        unframed_version => atomics:get(Counters, ?UNFRAMED),
        invalid => atomics:get(Counters, ?INVALID)
    }.

%%% The callers' side

%% The sender's shared data, found without a call of its process.
-spec find(pid() | undefined) -> {ok, shared()} | not_running.
find(Pid) ->
    case persistent_term:get({?MODULE, Pid}, undefined) of
        undefined -> not_running;
        Table -> read(Table)
    end.

read(Table) ->
    try ets:lookup(Table, shared) of
        [Shared] -> {ok, Shared}
    catch
        %% The sender has ended, and its table with it.
        error:badarg -> not_running
    end.

-spec settings(shared()) -> hep_sender_frame:settings().
settings(#shared{settings = Settings}) -> Settings.

%% Sends the packet to the sender's process, unless too many are on the way.
-spec put(pid(), iodata(), non_neg_integer(), hep_sender_balance:place() | none, shared()) -> ok | {error, overloaded}.
put(Pid, Frame, Size, Place, #shared{counters = Counters} = Shared) ->
    Packets = atomics:add_get(Counters, ?PACKETS, 1),
    Bytes = atomics:add_get(Counters, ?BYTES, Size),
    case Packets =< Shared#shared.max_packets andalso Bytes =< Shared#shared.max_bytes of
        true ->
            Pid ! {packet, Frame, Size, Place},
            ok;
        false ->
            subtract(1, Size, Counters),
            refused(overloaded, Shared)
    end.

%% Counts a refusal.
-spec refused(Reason, shared()) -> {error, Reason} when Reason :: hep_sender:reason().
refused(Reason, #shared{counters = Counters}) ->
    ok = atomics:add(Counters, counter(Reason), 1),
    {error, Reason}.

counter(overloaded) -> ?OVERLOADED;
counter({packet_too_large, _}) -> ?TOO_LARGE;
counter({datagram_too_large, _}) -> ?TOO_LARGE;
counter({unframed_version, _}) -> ?UNFRAMED;
counter(_) -> ?INVALID.
