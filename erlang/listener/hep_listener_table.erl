%% @private The table in which the processes of a {@link hep_listener} find each other. It belongs to the listener's
%% supervisor, so it survives their restarts.
-module(hep_listener_table).

-export([new/0, put/3, get/2]).

-export_type([table/0, key/0]).

-opaque table() :: ets:table().

-type key() :: owner | sockets | port | connections | budget.
%% The owner's pid, the listening socket or the sockets of UDP, the port (which stays when the owner is restarted),
%% the pid of the connections' supervisor, and that of the budget.

%% @doc Creates the table, owned by the calling process.
-spec new() -> table().
new() ->
    ets:new(?MODULE, [public, {read_concurrency, true}]).

-spec put(key(), term(), table()) -> ok.
put(Key, Value, Table) ->
    true = ets:insert(Table, {Key, Value}),
    ok.

%% @doc Looks up an entry. Exits if the listener has ended.
-spec get(key(), table()) -> {ok, Value :: term()} | undefined.
get(Key, Table) ->
    try ets:lookup(Table, Key) of
        [{Key, Value}] -> {ok, Value};
        [] -> undefined
    catch
        error:badarg -> exit(shutdown)
    end.
