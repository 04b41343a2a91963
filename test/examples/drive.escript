#!/usr/bin/env escript
%% Starts an example on a free UDP port ($PORT), sends a datagram to it until it prints a line with the
%% expected text, prints its output, and ends it.
%%
%%     drive.escript EXPECTED DATAGRAM PROGRAM [ARGUMENT...]

main([Expected, File, Program | Arguments]) ->
    {ok, Datagram} = file:read_file(File),
    {ok, Socket} = gen_udp:open(0, [binary]),
    Number = free(),
    Example = open_port({spawn_executable, program(Program)}, [
        {args, Arguments},
        {env, [{"PORT", integer_to_list(Number)}]},
        {line, 65536},
        binary,
        exit_status,
        stderr_to_stdout
    ]),
    {os_pid, Pid} = erlang:port_info(Example, os_pid),
    Deadline = erlang:monotonic_time(millisecond) + 60_000,
    Result = await(Expected, Example, fun() -> gen_udp:send(Socket, {127, 0, 0, 1}, Number, Datagram) end, Deadline),
    Result =:= ended orelse stop(Example, integer_to_list(Pid)),
    halt(case Result of ok -> 0; _ -> 1 end).

program(Name) ->
    case os:find_executable(Name) of
        false -> filename:absname(Name);
        Found -> Found
    end.

stop(Example, Pid) ->
    _ = os:cmd("kill " ++ Pid),
    receive
        {Example, {exit_status, _}} -> ok
    after 10_000 ->
        os:cmd("kill -9 " ++ Pid)
    end.

free() ->
    {ok, Socket} = gen_udp:open(0),
    {ok, Number} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    Number.

await(Expected, Example, Send, Deadline) ->
    _ = Send(),
    receive
        {Example, {data, {_, Line}}} ->
            io:format("~ts~n", [Line]),
            case string:find(Line, Expected) of
                nomatch -> await(Expected, Example, Send, Deadline);
                _ -> ok
            end;
        {Example, {exit_status, Status}} ->
            io:format("ended with ~b~n", [Status]),
            ended
    after 200 ->
        case erlang:monotonic_time(millisecond) < Deadline of
            true -> await(Expected, Example, Send, Deadline);
            false -> io:format("nothing with ~ts~n", [Expected]), late
        end
    end.
