%% @doc The application's interface for other code: its ports, and the address of the page.
-module(call_flow).

-export([listener/1, port/0, url/0]).

%% @doc The registered name of the N-th listener of the configuration.
-spec listener(pos_integer()) -> atom().
listener(Number) ->
    list_to_atom("call_flow_listener_" ++ integer_to_list(Number)).

%% @doc The port of the first listener.
-spec port() -> inet:port_number().
port() ->
    hep_listener:port(listener(1)).

%% @doc The address of the page, for a browser on this host.
-spec url() -> string().
url() ->
    {Ip, Port} = call_flow_web:address(),
    lists:flatten(io_lib:format("http://~s:~b", [host(Ip), Port])).

host({0, 0, 0, 0}) -> "127.0.0.1";
host({0, 0, 0, 0, 0, 0, 0, 0}) -> "[::1]";
host(Ip) when tuple_size(Ip) =:= 8 -> [$[, inet:ntoa(Ip), $]];
host(Ip) -> inet:ntoa(Ip).
