%% @doc Runs the load generator, a separate program, and reads its report.
-module(hep_load_generator).

-export([start/4, start/5, result/3, certificates/1]).

-export_type([generator/0, sent/0]).

-include_lib("public_key/include/public_key.hrl").

-opaque generator() :: port().

%% Packets: in total and by kind. The duration.
-type sent() :: #{
    sent := non_neg_integer(),
    valid := non_neg_integer(),
    mutated := non_neg_integer(),
    truncated := non_neg_integer(),
    wrong_length := non_neg_integer(),
    bomb := non_neg_integer(),
    seconds := float()
}.

%% @doc Starts sending the benchmark's packet to a port of this machine. `Folder' is for the files that the
%% generator reads.
-spec start(udp | tcp | tls, inet:port_number(), file:filename(), [{atom(), term()}]) -> generator().
start(Transport, Port, Folder, Options) ->
    start(Transport, Port, Folder, hep_bench:v3_packet(), Options).

%% @doc Sends another packet, of version 3 with a capture id.
-spec start(udp | tcp | tls, inet:port_number(), file:filename(), binary(), [{atom(), term()}]) -> generator().
start(Transport, Port, Folder, Bytes, Options) ->
    Packet = filename:join(Folder, io_lib:format("packet-~8.16.0b.hep", [erlang:phash2(Bytes)])),
    %% Another generator may read it at the same time.
    _ = file:read_file(Packet) =:= {ok, Bytes} orelse (ok = file:write_file(Packet, Bytes)),
    Arguments =
        [atom_to_list(Transport), "127.0.0.1:" ++ integer_to_list(Port), Packet] ++
            lists:append([argument(Option) || Option <- Options]),
    open_port(
        {spawn_executable, filename:join(Folder, "hep_load_generator")},
        [{args, Arguments}, {line, 1000}, binary, exit_status]
    ).

argument({Name, true}) -> ["--" ++ atom_to_list(Name)];
argument({Name, Value}) -> ["--" ++ atom_to_list(Name), text(Value)].

text(Value) when is_list(Value) -> Value;
text(Value) -> io_lib:format("~p", [Value]).

%% @doc Waits for the generator to end. Meanwhile the function is called every second, with the number of the second
%% and its last result.
-spec result(generator(), fun((pos_integer(), Sum) -> Sum), Sum) -> {sent(), Sum}.
result(Generator, EverySecond, Sum) ->
    {ok, Timer} = timer:send_interval(1000, {Generator, second}),
    Result = wait(Generator, EverySecond, 1, Sum, none),
    {ok, cancel} = timer:cancel(Timer),
    Result.

wait(Generator, EverySecond, Second, Sum, Sent) ->
    receive
        {Generator, second} ->
            wait(Generator, EverySecond, Second + 1, EverySecond(Second, Sum), Sent);
        {Generator, {data, {eol, Line}}} ->
            Words = binary:split(Line, <<" ">>, [global]),
            wait(Generator, EverySecond, Second, Sum, maps:from_list([pair(Word) || Word <- Words]));
        {Generator, {exit_status, 0}} when is_map(Sent) ->
            {Sent, Sum};
        {Generator, {exit_status, Status}} ->
            error({generator_failed, Status})
    end.

pair(Word) ->
    case binary:split(Word, <<"=">>) of
        [<<"seconds">>, Value] -> {seconds, binary_to_float(Value)};
        [Name, Value] -> {binary_to_atom(Name), binary_to_integer(Value)}
    end.

%% @doc Makes a certificate for `localhost': the listener's TLS options, and the file that the generator trusts.
-spec certificates(file:filename()) -> {[ssl:tls_server_option()], file:filename()}.
certificates(Folder) ->
    Localhost = #'Extension'{
        extnID = ?'id-ce-subjectAltName', extnValue = [{dNSName, "localhost"}], critical = false
    },
    Options = [{digest, sha256}, {key, {rsa, 2048, 65537}}],
    Chain = #{root => Options, intermediates => [], peer => [{extensions, [Localhost]} | Options]},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
    {Type, Key} = proplists:get_value(key, Server),
    {
        [
            {certfile, pem(Folder, "certificate.pem", [{'Certificate', proplists:get_value(cert, Server)}])},
            {keyfile, pem(Folder, "key.pem", [{Type, Key}])}
        ],
        pem(Folder, "trusted.pem", [{'Certificate', Der} || Der <- proplists:get_value(cacerts, Client)])
    }.

pem(Folder, Name, Entries) ->
    File = filename:join(Folder, Name),
    ok = file:write_file(File, public_key:pem_encode([{Type, Der, not_encrypted} || {Type, Der} <- Entries])),
    File.
