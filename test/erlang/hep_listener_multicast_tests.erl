%% @doc hep_listener with multicast groups, on the loopback interface. (Linux routes no groups of IPv6 there: these are
%% only joined.)
-module(hep_listener_multicast_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hep_net, [listening/2, until/1, packet/1, take/1]).

-define(GROUP, {239, 255, 90, 60}).
-define(LOOPBACK, {127, 0, 0, 1}).
-define(ANY, {0, 0, 0, 0}).
-define(ANY6, {0, 0, 0, 0, 0, 0, 0, 0}).

multicast_test_() ->
    hep_net:quietly([
        {"once, with several shards", fun() -> received(#{shards => 3}) end},
        {"on the group's address", fun() -> received(#{ip => ?GROUP}) end},
        {"on addresses of both families", fun() -> received(#{ip => ?ANY6}) end},
        {"killed shards", fun() -> killed(fun hep_net:workers/1) end},
        {"a new owner joins again", fun() -> killed(fun(Listener) -> [hep_net:child(Listener, owner)] end) end},
        {"left with the end of the listener", fun left/0},
        {"groups that cannot be joined", fun not_joined/0}
    ]).

with(Options, Test) ->
    listening(maps:merge(#{ip => ?ANY, multicast => [{?GROUP, ?LOOPBACK}]}, Options), Test).

received(Options) ->
    with(Options, fun(Listener, Port) ->
        send([packet(N) || N <- lists:seq(1, 20)], Port),
        ?assertEqual(lists:seq(1, 20), lists:sort([hep_net:number(Hep) || {Hep, _} <- take(20)])),
        ?assertMatch(#{received := 20}, hep_listener:info(Listener))
    end).

killed(Find) ->
    with(#{shards => 2}, fun(Listener, Port) ->
        Monitors = [{monitor(process, Pid), exit(Pid, kill)} || Pid <- Find(Listener)],
        [receive {'DOWN', Monitor, process, _, _} -> ok end || {Monitor, true} <- Monitors],
        %% What arrives before the port is open again is lost.
        until(fun() ->
            send([packet(7)], Port),
            receive {hep_packets, _, _} -> true after 10 -> false end
        end)
    end).

left() ->
    Before = memberships(),
    with(#{}, fun(_, _) -> ?assertEqual(Before + 1, memberships()) end),
    ?assertEqual(Before, memberships()).

%% How many groups have been joined, on Linux.
memberships() ->
    case file:read_file("/proc/net/igmp") of
        {ok, Text} -> length(binary:matches(Text, <<"3C5AFFEF">>)) + length(binary:matches(Text, <<"EFFF5A3C">>));
        {error, enoent} -> 0
    end.

not_joined() ->
    NoAddress = {?GROUP, {198, 51, 100, 7}},
    NoIndex = {{16#ff15, 0, 0, 0, 0, 0, 0, 16#9060}, 1 bsl 30},
    [
        begin
            Options = #{ip => Ip, port => 0, handler => self(), multicast => [Group]},
            {error, {listen, udp, {multicast, Group, _}} = Error} = hep_listener:start_link(Options),
            Sentence = lists:flatten(io_lib:format("the multicast group ~0p cannot be joined: ", [Group])),
            ?assert(lists:prefix(Sentence, hep_listener:format_error(Error)))
        end
     || {Ip, Group} <- [{?ANY, NoAddress}, {?ANY6, NoIndex}]
    ].

send(Packets, Port) ->
    {ok, Sender} = gen_udp:open(0, [binary, {multicast_if, ?LOOPBACK}, {multicast_loop, true}]),
    [ok = gen_udp:send(Sender, ?GROUP, Port, Packet) || Packet <- Packets],
    ok = gen_udp:close(Sender).
