%% @doc Replays captured datagrams to the listener through a real socket, and prints the results.
-module(udp_listener_replay).

-export([run/2, main/1]).

%% The timeout for one datagram on loopback.
-define(TIMEOUT, 5000).
%% The number of datagrams per sender and version.
-define(OF_EACH, 2).

%% @doc Called by run.sh: `[CapturesFolder]' replays and ends; `[CapturesFolder, Port]' replays and keeps
%% listening.
-spec main([string()]) -> no_return() | ok.
main([Captures | Port]) ->
    ok = io:setopts([{encoding, unicode}]),
    {Options, Listens} =
        case Port of
            [] -> {#{ip => {127, 0, 0, 1}, port => 0}, false};
            [Number] -> {#{ip => {0, 0, 0, 0}, port => list_to_integer(Number)}, true}
        end,
    case udp_listener_sup:start_link(Options#{handler => {udp_listener_handler, [self()]}}) of
        {ok, _} ->
            Lost = run(hep_listener:port(udp_listener), Captures),
            case Listens of
                false -> halt(min(Lost, 1));
                true -> listen()
            end;
        {error, {shutdown, {failed_to_start_child, _, {listen, udp, Reason}}}} ->
            #{ip := Ip, port := P} = Options,
            io:format("Cannot listen on ~s, port ~b: ~s~n", [inet:ntoa(Ip), P, inet:format_error(Reason)]),
            halt(1)
    end.

%% The supervisor is linked to this process, and the handler keeps sending messages to it.
listen() ->
    io:format("~nListening on UDP port ~b; Ctrl-C ends it.~n", [hep_listener:port(udp_listener)]),
    listening().

listening() ->
    receive
        {printed, _, _} -> listening()
    end.

%% @doc Replays the datagrams in the folder of captures; returns how many were lost. Some captures contain datagrams
%% that are not HEP; these are rejected.
-spec run(inet:port_number(), file:filename()) -> non_neg_integer().
run(Port, Captures) ->
    Folders = lists:sort(filelib:wildcard("*-v[123]", Captures)),
    summary([replay(Port, Captures, Folder) || Folder <- Folders]).

%% Each sender has its own socket, as in reality.
replay(Port, Captures, Folder) ->
    io:format("~n== ~ts~n", [Folder]),
    {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
    Counts = [send(Socket, Port, File) || File <- choose(filename:join(Captures, Folder))],
    ok = gen_udp:close(Socket),
    {Folder, Counts}.

%% The first datagram of the first and of the last run: usually one with IPv4 and one with IPv6.
choose(Folder) ->
    Runs = lists:sort(filelib:wildcard(filename:join([Folder, "*", "*.bin"]))),
    Firsts = [hd(Files) || Files <- by_run(Runs), hd(filename:basename(hd(Files))) =/= $s],
    lists:sublist([hd(Firsts) | lists:reverse(tl(Firsts))], ?OF_EACH).

by_run(Files) ->
    Runs = lists:usort([filename:dirname(File) || File <- Files]),
    [[File || File <- Files, filename:dirname(File) =:= Run] || Run <- Runs].

send(Socket, Port, File) ->
    {ok, Packet} = file:read_file(File),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, Port, Packet),
    {ok, Source} = inet:port(Socket),
    receive
        {printed, {_, Source}, Outcome} -> Outcome
    after ?TIMEOUT ->
        io:format("~n-- nothing arrived of ~ts~n", [File]),
        lost
    end.

summary(Results) ->
    io:format("~n~-28ts~10ts~10ts~10ts~n", ["sender and version", "packets", "refused", "lost"]),
    All = lists:append([Outcomes || {_, Outcomes} <- Results]),
    lists:foreach(fun line/1, Results ++ [{"total", All}]),
    case count(ok, All) of
        0 -> length(All);
        _ -> count(lost, All)
    end.

line({Name, Outcomes}) ->
    io:format("~-28ts~10b~10b~10b~n", [Name, length(Outcomes), count(error, Outcomes), count(lost, Outcomes)]).

count(Outcome, Outcomes) ->
    length([O || O <- Outcomes, O =:= Outcome]).
