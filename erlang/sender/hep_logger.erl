%% @doc Sends log events to Homer: a handler of OTP's `logger', and so of Elixir's `Logger'.
%%
%% ```
%% 1> {ok, _} = hep_sender:start_link(#{name => {local, homer}, targets => [{"127.0.0.1", 9060}]}).
%% 2> ok = logger:add_handler(homer, hep_logger, #{level => info, config => #{sender => homer}}).
%% 3> logger:notice("no route", #{call_id => <<"17@a">>}).
%% 4> hep_logger:info(homer).
%% {ok,#{sent => 1,...}}
%% '''
%%
%% An event becomes a packet of payload type 100 (log) with the text of the handler's formatter, without its last line
%% break, and the time of the event. Its correlation id is the Call-ID in the event's metadata, so Homer shows the event
%% among the packets of the call. An event has no addresses: source and destination are 127.0.0.1, UDP, port 0.
%%
%% The handler uses a {@link hep_sender} and never blocks the process that logs. Events do not wait for a sender: those
%% logged before it starts, or while it restarts, are counted as `not_running'.
%%
%% == Errors ==
%% Nothing that goes wrong removes the handler or reaches the caller. A sender that is not running, the first event that
%% it rejects, and the first crash of the formatter are each reported to the other handlers as a warning; a sender again
%% after it has worked in between. An event whose formatter crashes is sent with the text `FORMATTER CRASH' and its
%% message. The text of an event that is too large for a packet is cut to 60,000 bytes.
%%
%% The handler does not send what its own sender, the sender's connections and their telemetry handlers log, nor what
%% its formatter logs: these events would cause others without end. They are counted as `own'.
-module(hep_logger).

-include("hep.hrl").

-export([info/1, format_error/1]).
%% For logger.
-export([log/2, adding_handler/1, changing_config/3, removing_handler/1]).

-export_type([config/0, info/0, error/0]).

-type config() :: #{
    sender := hep_sender:sender(),
    call_id => atom() | [atom(), ...],
    capture_id => hep:uint32()
}.
%% The key `config' of the handler's configuration.
%% <dl>
%% <dt>`sender'</dt><dd>the sender, a pid or a name; required. It may start later than the handler</dd>
%% <dt>`call_id'</dt><dd>the key of the Call-ID in the metadata of events, `call_id' by default; of several keys the
%%   first counts that an event has. The value is text: a binary or a list of characters. Other values are ignored</dd>
%% <dt>`capture_id'</dt><dd>the capture agent's id; by default that of the sender's options</dd>
%% </dl>

-type info() :: #{
    sent := non_neg_integer(),
    overloaded := non_neg_integer(),
    not_running := non_neg_integer(),
    rejected := non_neg_integer(),
    shortened := non_neg_integer(),
    formatter_crashes := non_neg_integer(),
    own := non_neg_integer()
}.
%% <dl>
%% <dt>`sent'</dt><dd>events passed to the sender</dd>
%% <dt>`overloaded', `not_running', `rejected'</dt><dd>events lost because the sender was overloaded, was not running,
%%   or rejected them for another reason</dd>
%% <dt>`shortened', `formatter_crashes'</dt><dd>of the sent events, those with a cut text, and those whose formatter
%%   crashed</dd>
%% <dt>`own'</dt><dd>events of the sender or of the handler itself, which are not sent</dd>
%% </dl>

-type error() :: {bad_option, {atom(), term()} | term()}.
%% An option of `config' is wrong, unknown or missing.

%% The payload type.
-define(LOG, 100).
-define(UDP, 17).
%% The size of a cut text: leaves room for the headers of the packet.
-define(SHORTENED, 60000).
%% The size, in characters, of the text of an event whose formatter crashed.
-define(CRASH, 4096).
-define(MAX_ID, 16#ffffffff).

%% The indexes of the counters.
-define(COUNTERS, #{
    sent => 1, overloaded => 2, not_running => 3, rejected => 4, shortened => 5, formatter_crashes => 6, own => 7
}).
%% The indexes of the flags for what was reported.
-define(REPORTED, #{not_running => 8, rejected => 9, formatter_crashes => 10}).
-define(SIZE, 10).

%% For error messages.
-define(WANTED, #{
    sender => "a pid, an atom, {global, Name} or {via, Module, Name}",
    call_id => "an atom or a list of atoms, at least one",
    capture_id => "an integer of 32 bits"
}).

%%% The API

%% @doc Returns the counters of a handler.
-spec info(logger:handler_id()) -> {ok, info()} | {error, not_found}.
info(Id) ->
    case counters(Id) of
        undefined -> {error, not_found};
        Counters -> {ok, maps:map(fun(_, Index) -> atomics:get(Counters, Index) end, ?COUNTERS)}
    end.

%% @doc Describes an error of `logger:add_handler/3' or of a change of the configuration in a sentence. Raises `badarg'
%% for any other term.
-spec format_error(error() | {handler_not_added, error()}) -> string().
format_error({handler_not_added, Error}) -> format_error(Error);
format_error({bad_option, _} = Error) -> hep_options:format_error(Error, ?WANTED, []);
format_error(Error) -> erlang:error(badarg, [Error]).

%%% Callbacks

%% @private
-spec adding_handler(logger:handler_config()) -> {ok, logger:handler_config()} | {error, error()}.
adding_handler(#{id := Id} = Config) ->
    case check(maps:get(config, Config, #{}), #{call_id => call_id}) of
        {ok, Checked} ->
            ok = persistent_term:put({?MODULE, Id}, atomics:new(?SIZE, [])),
            {ok, Config#{config => Checked}};
        {error, _} = Error ->
            Error
    end.

%% @private
-spec changing_config(set | update, logger:handler_config(), logger:handler_config()) ->
    {ok, logger:handler_config()} | {error, error()}.
changing_config(update, #{config := Old}, #{config := New} = Config) -> changed(check(New, Old), Config);
changing_config(set, _, Config) -> changed(check(maps:get(config, Config, #{}), #{call_id => call_id}), Config).

changed({ok, Checked}, Config) -> {ok, Config#{config => Checked}};
changed({error, _} = Error, _) -> Error.

%% @private
-spec removing_handler(logger:handler_config()) -> ok.
removing_handler(#{id := Id}) ->
    _ = persistent_term:erase({?MODULE, Id}),
    ok.

%% @private Runs in the process that logs. logger removes a handler that raises.
-spec log(logger:log_event(), logger:handler_config()) -> ok.
log(Event, #{id := Id} = Config) ->
    case counters(Id) of
        %% Just removed.
        undefined -> ok;
        Counters -> once(Event, Config, Counters)
    end.

%% An event that is logged while this handler handles another one comes from the formatter or from a report.
once(Event, #{id := Id} = Config, Counters) ->
    Key = {?MODULE, Id},
    case put(Key, busy) of
        undefined ->
            try
                handle(Event, Config, Counters)
            after
                erase(Key)
            end;
        busy ->
            add(own, Counters)
    end.

handle(#{meta := Meta} = Event, #{config := #{sender := Sender}} = Config, Counters) ->
    Pid = find(Sender),
    case is_own(Pid, Sender, Meta) of
        true -> add(own, Counters);
        false when is_pid(Pid) -> send(Pid, packet(Event, Config, Counters), Config, Counters);
        false -> not_running(Config, Counters)
    end.

%%% Options

check(Options, Defaults) when is_map(Options) ->
    All = maps:merge(Defaults#{sender => maps:get(sender, Defaults, missing)}, Options),
    case [Option || {Name, Value} = Option <- lists:sort(maps:to_list(All)), not is_valid(Name, Value)] of
        [] -> {ok, All};
        [Wrong | _] -> {error, {bad_option, Wrong}}
    end;
check(Options, _) ->
    {error, {bad_option, Options}}.

is_valid(sender, Sender) when is_atom(Sender) -> not lists:member(Sender, [undefined, nil, missing]);
is_valid(sender, Sender) -> is_pid(Sender) orelse hep_options:is_name(Sender) andalso element(1, Sender) =/= local;
is_valid(call_id, [_ | _] = Keys) -> hep_options:all(fun is_atom/1, Keys);
is_valid(call_id, Key) -> is_atom(Key);
is_valid(capture_id, Id) -> is_integer(Id) andalso Id >= 0 andalso Id =< ?MAX_ID;
is_valid(_, _) -> false.

%%% The sender

%% The module of a via name may raise: in Elixir a Registry that is not running.
find(Sender) ->
    try
        hep_sender:find(Sender)
    catch
        _:_ -> undefined
    end.

%% Whether the sender or one of its connections logs. The ancestors are pids or registered names.
is_own(Pid, Sender, Meta) ->
    Names = [Name || Name <- [Pid, Sender], Name =/= undefined],
    lists:member(maps:get(pid, Meta, undefined), Names) orelse has_ancestor(get('$ancestors'), Names).

has_ancestor(Ancestors, Names) when is_list(Ancestors) -> lists:any(fun(Name) -> lists:member(Name, Names) end, Ancestors);
has_ancestor(_, _) -> false.

send(Pid, Packet, Config, Counters) ->
    case hep_sender:send(Pid, Packet) of
        ok ->
            %% The next time is reported again.
            atomics:put(Counters, map_get(not_running, ?REPORTED), 0),
            add(sent, Counters);
        {error, overloaded} ->
            add(overloaded, Counters);
        {error, not_running} ->
            not_running(Config, Counters);
        {error, {Reason, _}} when
            (Reason =:= packet_too_large orelse Reason =:= datagram_too_large),
            byte_size(Packet#hep.payload) > ?SHORTENED
        ->
            add(shortened, Counters),
            send(Pid, Packet#hep{payload = shortened(Packet#hep.payload)}, Config, Counters);
        {error, Reason} ->
            add(rejected, Counters),
            report(rejected, #{what => hep_logger_event_rejected, reason => hep_sender:format_error(Reason)}, Config, Counters)
    end.

not_running(#{config := #{sender := Sender}} = Config, Counters) ->
    add(not_running, Counters),
    report(not_running, #{what => hep_logger_sender_not_running, sender => Sender}, Config, Counters).

%% Ends with a whole character.
shortened(Text) -> binary:part(Text, 0, whole(Text, ?SHORTENED)).

whole(Text, Size) ->
    case binary:at(Text, Size) of
        %% A following byte of a character in UTF-8.
        Byte when Byte band 16#c0 =:= 16#80, Size > ?SHORTENED - 4 -> whole(Text, Size - 1);
        _ -> Size
    end.

%%% The packet

packet(#{meta := Meta} = Event, #{config := Options} = Config, Counters) ->
    Time = time(Meta),
    Seconds = Time div 1000000,
    Hep = #hep{
        version = 3,
        protocol = ?UDP,
        src_ip = {127, 0, 0, 1},
        src_port = 0,
        dst_ip = {127, 0, 0, 1},
        dst_port = 0,
        timestamp = {Seconds div 1000000, Seconds rem 1000000, Time rem 1000000},
        node_id = maps:get(capture_id, Options, undefined),
        payload_type = ?LOG,
        payload = without_break(text(Event, Config, Counters))
    },
    hep:correlation_id(call_id(maps:get(call_id, Options), Meta), Hep).

%% Microseconds. The event's metadata may hold anything.
time(#{time := Time}) when is_integer(Time) -> Time;
time(_) -> os:system_time(microsecond).

call_id(Keys, Meta) when is_list(Keys) ->
    case [Id || Key <- Keys, Id <- [call_id(Key, Meta)], Id =/= undefined] of
        [Id | _] -> Id;
        [] -> undefined
    end;
call_id(Key, Meta) ->
    case Meta of
        #{Key := Value} when is_binary(Value), Value =/= <<>>; is_list(Value), Value =/= [] -> characters(Value);
        _ -> undefined
    end.

characters(Value) ->
    try
        to_binary(Value)
    catch
        error:badarg -> undefined
    end.

%% The formatter is user code.
text(Event, #{formatter := {Module, Options}} = Config, Counters) ->
    try
        to_binary(Module:format(Event, Options))
    catch
        Class:Reason:Stack ->
            add(formatter_crashes, Counters),
            Report = #{what => hep_logger_formatter_crashed, formatter => Module, reason => {Class, Reason, Stack}},
            report(formatter_crashes, Report, Config, Counters),
            crashed(Event)
    end.

crashed(#{msg := Message} = Event) ->
    Crash = Event#{msg := {"FORMATTER CRASH: ~0tp", [Message]}},
    to_binary(logger_formatter:format(Crash, #{chars_limit => ?CRASH, template => [level, ": ", msg]})).

%% Text, or bytes in another encoding as they are.
to_binary(Text) ->
    case unicode:characters_to_binary(Text) of
        Binary when is_binary(Binary) -> Binary;
        _ -> iolist_to_binary(Text)
    end.

without_break(Text) ->
    case byte_size(Text) of
        0 -> Text;
        Size -> without_break(binary:last(Text), Size - 1, Text)
    end.

without_break($\n, Size, Text) -> binary:part(Text, 0, Size);
without_break(_, _, Text) -> Text.

%%% Counters and reports

counters(Id) -> persistent_term:get({?MODULE, Id}, undefined).

add(Counter, Counters) -> atomics:add(Counters, map_get(Counter, ?COUNTERS), 1).

%% This handler ignores the report, since it is busy: see `once/3'.
report(What, Report, #{id := Id}, Counters) ->
    case atomics:exchange(Counters, map_get(What, ?REPORTED), 1) of
        0 -> logger:warning(Report#{handler => Id});
        1 -> ok
    end.
