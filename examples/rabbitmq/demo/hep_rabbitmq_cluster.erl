%% @doc A RabbitMQ cluster of three nodes on loopback, in its own folders.
-module(hep_rabbitmq_cluster).

-export([start/1, alarm/2]).

-export_type([broker/0]).

-type broker() :: #{node := node(), port := inet:port_number(), process := hep_rabbitmq_os:process()}.

-define(NODES, 3).
-define(BOOT, 60_000).

%% @doc Starts the nodes, and waits until all have joined the cluster.
-spec start(Work :: file:filename()) -> [broker()].
start(Work) ->
    Numbers = lists:seq(1, ?NODES),
    {Amqp, Distribution} = lists:split(?NODES, hep_rabbitmq_os:free_ports(2 * ?NODES)),
    Brokers = [
        #{node => name(Number), port => Port, process => start(Number, Port, Dist, Work)}
     || {Number, Port, Dist} <- lists:zip3(Numbers, Amqp, Distribution)
    ],
    Deadline = erlang:monotonic_time(millisecond) + ?BOOT,
    lists:foreach(fun(Broker) -> await(Broker, Deadline) end, Brokers),
    Brokers.

name(Number) -> list_to_atom("rabbit" ++ integer_to_list(Number) ++ "@localhost").

start(Number, Port, Distribution, Work) ->
    Name = atom_to_list(name(Number)),
    Folder = filename:join(Work, Name),
    In = fun(File) -> filename:join(Folder, File) end,
    ok = filelib:ensure_dir(In("file")),
    ok = file:write_file(In("enabled_plugins"), "[rabbitmq_consistent_hash_exchange].\n"),
    ok = file:write_file(In("rabbitmq.conf"), configuration(Port)),
    hep_rabbitmq_os:start(Work, Name, [server()], [
        {"RABBITMQ_NODENAME", Name},
        {"RABBITMQ_DIST_PORT", integer_to_list(Distribution)},
        {"RABBITMQ_CONF_ENV_FILE", "/dev/null"},
        {"RABBITMQ_CONFIG_FILE", In("rabbitmq.conf")},
        {"RABBITMQ_ADVANCED_CONFIG_FILE", In("none.config")},
        {"RABBITMQ_ENABLED_PLUGINS_FILE", In("enabled_plugins")},
        {"RABBITMQ_MNESIA_BASE", In("data")},
        {"RABBITMQ_LOG_BASE", In("log")},
        {"RABBITMQ_GENERATED_CONFIG_DIR", In("generated")},
        {"RABBITMQ_FEATURE_FLAGS_FILE", In("feature_flags")},
        {"RABBITMQ_PID_FILE", In("pid")},
        %% The script becomes the node instead of waiting for it: its pid is that of the node.
        {"RUNNING_UNDER_SYSTEMD", "true"},
        {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 1:1 +A 8 +sbwt none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"}
    ]).

%% Next to the folder of the plugins, the first one in ERL_LIBS.
server() ->
    [Plugins | _] = string:lexemes(os:getenv("ERL_LIBS"), ":"),
    filename:join([filename:dirname(Plugins), "sbin", "rabbitmq-server"]).

configuration(Port) ->
    [
        io_lib:format("listeners.tcp.1 = 127.0.0.1:~b~n", [Port]),
        "cluster_formation.peer_discovery_backend = classic_config\n",
        [
            io_lib:format("cluster_formation.classic_config.nodes.~b = ~s~n", [Number, name(Number)])
         || Number <- lists:seq(1, ?NODES)
        ]
    ].

await(#{node := Node, process := Process} = Broker, Deadline) ->
    ok = hep_rabbitmq_os:check(Process),
    Up =
        try
            erpc:call(Node, rabbit, is_running, [], 5000) andalso
                length(erpc:call(Node, rabbit_nodes, all_running, [], 5000)) =:= ?NODES
        catch
            %% Any error during the start.
            _:_ -> false
        end,
    case Up orelse erlang:monotonic_time(millisecond) > Deadline of
        true when Up ->
            ok;
        true ->
            error({not_started, Node});
        false ->
            timer:sleep(300),
            await(Broker, Deadline)
    end.

%% @doc Raises or clears the memory alarm: while it is on, the broker blocks publishers.
-spec alarm(on | off, [broker()]) -> ok.
alarm(Switch, Brokers) ->
    Watermark = case Switch of on -> 0.00001; off -> 0.4 end,
    lists:foreach(
        fun(#{node := Node}) -> erpc:call(Node, vm_memory_monitor, set_vm_memory_high_watermark, [Watermark]) end,
        Brokers
    ).
