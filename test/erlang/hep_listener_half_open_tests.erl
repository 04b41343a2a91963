%% @doc hep_listener over TCP when its peer disappears without closing the connection. The test runs in a VM in a network
%% namespace of its own (Linux, `unshare'), whose loopback it shuts down. It is skipped, with the reason, where that is
%% not possible.
-module(hep_listener_half_open_tests).

-include_lib("eunit/include/eunit.hrl").

%% Called in the other VM.
-export([half_open/0]).

-define(LOOPBACK, "lo").

half_open_test_() ->
    {setup, fun started/0, fun stopped/1, fun
        ({ok, Peer}) ->
            {"half-open connection", {timeout, 120, fun() -> ok = peer:call(Peer, ?MODULE, half_open, [], 100_000) end}};
        ({error, Reason}) ->
            Name = lists:flatten(io_lib:format("half-open connection: skipped: ~0p", [Reason])),
            io:format(user, "~ts~n", [Name]),
            {Name, fun() -> ok end}
    end}.

started() ->
    case os:find_executable("unshare") of
        false -> {error, "no unshare"};
        Unshare -> started(Unshare)
    end.

%% As root, and as another user, where the system allows it.
started(Unshare) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Ways = [["--net"], ["--map-root-user", "--net"]],
    Tried = [{Way, os:cmd(lists:flatten(lists:join(" ", [Unshare | Way] ++ ["true 2>&1"])))} || Way <- Ways],
    case {lists:keyfind("", 2, Tried), code:ensure_loaded(peer)} of
        {{Way, ""}, {module, peer}} ->
            {ok, Peer, _} = peer:start(#{
                exec => {Unshare, Way ++ [Erl]}, connection => standard_io, args => ["-pa" | code:get_path()]
            }),
            {ok, Peer};
        {false, _} ->
            {error, Tried};
        {_, Error} ->
            {error, Error}
    end.

stopped({ok, Peer}) -> peer:stop(Peer);
stopped({error, _}) -> ok.

%% The probes of TCP keep-alive find it. They are made more frequent here than by the listener.
half_open() ->
    ok = loopback(true),
    hep_net:listening(#{transport => tcp}, fun(Listener, Port) ->
        <<Part:10/binary, _/binary>> = Packet = hep_net:packet(1),
        {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary]),
        ok = gen_tcp:send(Client, [Packet, Part]),
        hep_net:until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 1 end),
        [Connection] = hep_net:connections(Listener),
        Monitor = monitor(process, Connection),
        Socket = element(3, sys:get_state(Connection)),
        Sooner = [{raw, 6, Option, <<Value:32/native>>} || {Option, Value} <- [{4, 1}, {5, 1}, {6, 2}]],
        ok = inet:setopts(Socket, Sooner),
        ok = loopback(false),
        receive
            {'DOWN', Monitor, process, Connection, Reason} -> ?assertMatch({shutdown, _}, Reason)
        after 60_000 -> error(still_open)
        end,
        %% Also the incomplete packet is counted.
        ?assertMatch(
            #{connections := 0, received := 2, rejected := #{truncated := 1}}, hep_listener:info(Listener)
        ),
        ok = loopback(true),
        %% The listener accepts others.
        {ok, Other} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary]),
        ok = gen_tcp:send(Other, Packet),
        hep_net:until(fun() -> maps:get(decoded, hep_listener:info(Listener)) =:= 2 end),
        ok = gen_tcp:close(Other),
        ok = gen_tcp:close(Client)
    end).

loopback(IsUp) ->
    {ok, Socket} = socket:open(inet, dgram, udp),
    Result = socket:ioctl(Socket, sifflags, ?LOOPBACK, #{up => IsUp}),
    ok = socket:close(Socket),
    Result.
