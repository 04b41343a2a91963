%% @doc The main module of an escript, for the tests: decodes a packet given in hex and prints the
%% payload, or why the codec is missing. After `port' the port program decodes it; its path may follow.
-module(hep_script).

-export([main/1]).

main([Hex, "port" | Program]) ->
    process_flag(trap_exit, true),
    case hep_port:start_link(maps:from_list([{program, Path} || Path <- Program])) of
        {ok, Port} ->
            {ok, Hep} = hep_port:decode(Port, binary:decode_hex(list_to_binary(Hex))),
            io:format("payload ~s~n", [hep:payload(Hep)]);
        {error, {Reason, _, _, Advice}} ->
            io:format("~s ~ts~n", [Reason, Advice])
    end;
main([Hex]) ->
    ok = logger:set_primary_config(level, none),
    try hep:decode(binary:decode_hex(list_to_binary(Hex))) of
        {ok, Hep} -> io:format("payload ~s~n", [hep:payload(Hep)])
    catch
        error:{not_loaded, Text} -> io:format("~ts~n", [Text])
    end.
