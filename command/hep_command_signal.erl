%% Ctrl-C and TERM, for commands that end regularly: a message `{signal, sigterm}' in place of the VM's own shutdown.
-module(hep_command_signal).

-behaviour(gen_event).

-export([ignore/0, receive_signals/0]).
-export([init/1, handle_event/2, handle_call/2]).

%% TERM ends the command at once, like other programs.
-spec ignore() -> ok.
ignore() -> os:set_signal(sigterm, default).

%% From now on the calling process gets a message for each signal.
-spec receive_signals() -> ok.
receive_signals() ->
    ok = gen_event:swap_handler(erl_signal_server, {erl_signal_handler, []}, {?MODULE, self()}),
    os:set_signal(sigterm, handle).

init({Pid, _}) -> {ok, Pid}.

handle_event(Signal, Pid) ->
    Pid ! {signal, Signal},
    {ok, Pid}.

handle_call(_, Pid) -> {ok, ok, Pid}.
