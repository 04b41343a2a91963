%% @doc A handler whose callbacks are functions: its arguments map the names of callbacks to them.
-module(hep_fun_handler).

-behaviour(hep_handler).

-export([init/1, handle_packets/2, handle_error/3, handle_info/2, terminate/2]).

init([]) ->
    {ok, none};
init(#{init := Init} = Funs) ->
    case Init() of
        {ok, State} -> {ok, {Funs, State}};
        Other -> Other
    end;
init(Funs) ->
    {ok, {Funs, none}}.

handle_packets(Packets, {#{handle_packets := Handle} = Funs, State}) ->
    answer(Funs, Handle(Packets, State));
handle_packets(_, State) ->
    {ok, State}.

handle_error(Reason, Raw, {#{handle_error := Handle} = Funs, State}) ->
    answer(Funs, Handle(Reason, Raw, State));
handle_error(_, _, State) ->
    {ok, State}.

handle_info(Message, {#{handle_info := Handle} = Funs, State}) ->
    answer(Funs, Handle(Message, State));
handle_info(_, State) ->
    {ok, State}.

terminate(Reason, {#{terminate := Terminate}, State}) ->
    Terminate(Reason, State);
terminate(_, _) ->
    ok.

answer(Funs, {ok, State}) -> {ok, {Funs, State}};
answer(_, Other) -> Other.
