%% @doc The application. The README describes its configuration.
-module(call_flow_app).

-behaviour(application).

-include_lib("kernel/include/logger.hrl").

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    case call_flow_config:load() of
        {ok, Config} -> start(Config);
        {error, Text} -> {error, {configuration, lists:flatten(Text)}}
    end.

start(Config) ->
    case call_flow_sup:start_link(Config) of
        {ok, _} = Started ->
            ?LOG_NOTICE("The page is at ~s", [call_flow:url()]),
            Started;
        Error ->
            Error
    end.

stop(_State) ->
    ok.
