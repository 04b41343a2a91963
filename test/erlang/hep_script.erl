%% @doc The main module of an escript, for the tests: decodes the packet given in hex and prints the
%% payload, or why the codec is not there. With `port' behind it the port program does it, that of the path behind that.
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
    case code:ensure_loaded(hep_nif) of
        {module, hep_nif} ->
            {ok, Hep} = hep:decode(binary:decode_hex(list_to_binary(Hex))),
            io:format("payload ~s~n", [hep:payload(Hep)]);
        {error, _} ->
            {error, Text} = hep_nif_path:load(fun(_) -> ok end),
            io:format("~ts~n", [Text])
    end.
