%% @doc Writes the ids of confirmed messages to a file, which survives kill -9 of the bridge. Without it, the ids would be
%% lost with the bridge.
-module(hep_rabbitmq_demo_log).

-export([confirmed/1]).

%% @doc Called by the publisher. Its process keeps the file open.
-spec confirmed([binary()]) -> ok.
confirmed(Ids) ->
    ok = file:write(device(), [[Id, $\n] || Id <- Ids]).

device() ->
    case get(?MODULE) of
        undefined ->
            {ok, Device} = file:open(os:getenv("CONFIRMED"), [append, raw]),
            _ = put(?MODULE, Device),
            Device;
        Device ->
            Device
    end.
