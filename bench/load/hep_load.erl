%% @doc Puts load on {@link hep_listener}: `sh bench/load/run.sh' prints the tables.
%%
%% Each part runs in a new VM. Packets come from the load generator, a separate program on
%% the same cores. A failure (a lost packet on a stream, a wrong order, growing memory in the soak, a crash) ends the VM
%% with 1; speed is printed, never asserted.
-module(hep_load).

-include("hep_load.hrl").

-export([main/0]).

%% @doc Runs one part and ends the VM: with 0 when all is well, with 1 after a failure.
-spec main() -> no_return().
main() ->
    process_flag(trap_exit, true),
    ok = hep_load_system:watch_log(),
    %% The listener warns of dropped datagrams; the tables contain their number.
    ok = logger:set_primary_config(level, error),
    [Part, Folder | Numbers] = init:get_plain_arguments(),
    [Seconds, Packets, Soak, Rate] = [list_to_integer(Number) || Number <- Numbers],
    Config = #config{folder = Folder, seconds = Seconds, packets = Packets, soak = Soak, rate = Rate},
    try
        Checks = part(Part, Config),
        lists:all(fun(IsWell) -> IsWell end, [no_crash() | Checks])
    of
        true -> halt(0);
        false -> halt(1)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "load: ~tP~n", [{Class, Reason, Stack}, 50]),
            halt(1)
    end.

part("cpu", Config) -> hep_load_udp:cpu(Config);
part("udp", Config) -> hep_load_udp:rates(Config);
part("delay", Config) -> hep_load_udp:delay(Config);
part("tcp", Config) -> hep_load_stream:tcp(Config);
part("tls", Config) -> hep_load_stream:tls(Config);
part("nodes", Config) -> hep_load_nodes:all(Config);
part("attack", Config) -> hep_load_attack:all(Config);
part("soak", Config) -> hep_load_soak:soak(Config).

no_crash() ->
    Ended = ended(),
    Logged = hep_load_system:errors_logged(),
    Text = io_lib:format("~b, ~b", [length(Ended), Logged]),
    hep_load_report:must("crashes, errors logged", Text, Ended =:= [] andalso Logged =:= 0).

ended() ->
    receive
        {'EXIT', _, Reason} when Reason =:= normal; Reason =:= shutdown -> ended();
        {'EXIT', _, Reason} -> [Reason | ended()]
    after 0 -> []
    end.
