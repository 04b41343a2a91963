%% @doc Packets that inflate to a thousand times their size, or whose terms take twenty times their size: their effect
%% on memory, and on valid packets.
-module(hep_load_attack).

-include("hep_load.hrl").

-export([all/1]).

-import(hep_load_report, [title/2, row/3, must/3, digits/1]).
-import(hep_load_run, [listener/1, close/1, send/5, count/2, lost/2]).

%% The inflated size of each: the default of `max_inflated'.
-define(INFLATED, 256 * 1024).
%% How much more memory the VM may take than at its start.
-define(MOST_MEMORY, 256 * 1024 * 1024).

-define(CONNECTIONS, 100).
%% Bytes of zip bombs on each connection.
-define(SENT, 195_000).
-define(DATAGRAMS, 100_000).
%% Packets with many chunks: the number of chunks, and the bytes of each. They fill the largest datagram, or are just
%% below the limit for many chunks.
-define(CHUNKS, [{10_890, 0}, {2724, 18}, {256, 0}]).
%% The total size of these packets.
-define(CHUNKS_SENT, 100_000_000).
%% Packets with only a capture id, on each connection.
-define(SMALL_PACKETS, 20_000).

-define(KEY, <<"secret">>).
-define(BOMBS, 3000).
-define(GOOD, 2000).

all(Config) ->
    %% Memory that an attack leaves in the allocators counts for the next one.
    persistent_term:put(?MODULE, hep_load_system:memory()),
    Bombs = [streams(Config), datagrams(Config)],
    Chunks = [
        chunks(many_chunks(Number, Size), [Number, Size], Transport, View, Config)
     || {Number, Size} <- ?CHUNKS, Transport <- [tcp, udp], View <- [decode, parse, transform, json]
    ],
    Bombs ++ Chunks ++ [small(Config), wrong_key(Config)].

streams(Config) ->
    Bomb = bomb([]),
    Each = ?SENT div byte_size(Bomb),
    title("Attack: ~b TCP connections, each with ~b packets of ~b bytes that inflate to ~b KiB", [
        ?CONNECTIONS, Each, byte_size(Bomb), ?INFLATED div 1024
    ]),
    Options = [{connections, ?CONNECTIONS}, {packets, ?CONNECTIONS * Each}],
    Run = listener(#{transport => tcp}),
    memory(fun() -> send(tcp, Options, Bomb, Run, Config) end, Run).

datagrams(Config) ->
    Bomb = bomb([]),
    title("Attack: UDP, view json, 4 shards, ~s datagrams of ~b bytes that inflate to ~b KiB", [
        digits(?DATAGRAMS), byte_size(Bomb), ?INFLATED div 1024
    ]),
    Options = [{rate, ?DATAGRAMS}, {packets, ?DATAGRAMS}, {sockets, 64}],
    Run = listener(#{transport => udp, view => json, shards => 4}),
    memory(fun() -> send(udp, Options, Bomb, Run, Config) end, Run).

chunks(Packet, Numbers, Transport, View, Config) ->
    Packets = ?CHUNKS_SENT div byte_size(Packet),
    title("Attack: ~s, view ~s, ~ts packets of ~b chunks with ~b bytes each", [
        Transport, View, digits(Packets) | Numbers
    ]),
    Options = [{packets, Packets} | chunks_options(Transport, Packets)],
    Run = listener(#{transport => Transport, view => View}),
    memory(fun() -> send(Transport, Options, Packet, Run, Config) end, Run).

chunks_options(tcp, _) -> [{connections, ?CONNECTIONS}];
%% Within a second.
chunks_options(udp, Packets) -> [{rate, Packets}, {sockets, 64}].

small(Config) ->
    Packet = <<"HEP3", 16:16, 0:16, 12:16, 10:16, 0:32>>,
    title("Attack: ~b TCP connections, each with ~s packets of ~b bytes", [
        ?CONNECTIONS, digits(?SMALL_PACKETS), byte_size(Packet)
    ]),
    Options = [{connections, ?CONNECTIONS}, {packets, ?CONNECTIONS * ?SMALL_PACKETS}],
    Run = listener(#{transport => tcp}),
    memory(fun() -> send(tcp, Options, Packet, Run, Config) end, Run).

memory(Send, Run) ->
    _ = hep_load_system:peak(),
    #{sent := Sent} = Send(),
    Peak = hep_load_system:peak(),
    #{rss := Start} = persistent_term:get(?MODULE),
    row("sent, handled", "~ts, ~ts", [digits(Sent), digits(hep_load_run:arrived(Run))]),
    close(Run),
    Text = io_lib:format("~.1f MiB, ~.1f at the start", [Bytes / 1024 / 1024 || Bytes <- [Peak, Start]]),
    must("the most memory", Text, Peak - Start =< ?MOST_MEMORY).

%% Another generator sends the valid packets at the same time.
wrong_key(Config) ->
    Seconds = min(10, Config#config.seconds),
    title("Attack: ~s packets/s with a wrong key, ~s good packets/s beside them, ~b s", [
        digits(?BOMBS), digits(?GOOD), Seconds
    ]),
    Run = listener(#{transport => udp, auth_keys => [?KEY]}),
    Test = self(),
    Bombs = spawn_link(fun() ->
        Sent = send(udp, paced(?BOMBS, Seconds), bomb([{auth_key, <<"wrong">>}]), Run, Config),
        Test ! {self(), Sent}
    end),
    _ = send(udp, paced(?GOOD, Seconds), good(), Run, Config),
    #{sent := Sent} = receive {Bombs, Result} -> Result end,
    Lost = ?GOOD * Seconds - count(packets, Run),
    Refused = hep_load_run:info(unauthenticated, Run),
    close(Run),
    row("unauthenticated", "~ts of ~ts", [digits(Refused), digits(Sent)]),
    must("good packets lost", Lost, Lost =:= 0).

paced(Rate, Seconds) ->
    [{rate, Rate}, {packets, Rate * Seconds}, {sockets, 4}].

good() ->
    packet(<<"OPTIONS sip:a SIP/2.0\r\n\r\n">>, [{auth_key, ?KEY}]).

bomb(Chunks) ->
    Inflated = binary:copy(<<0>>, ?INFLATED),
    {ok, Packet} = hep:encode(hep:payload(Inflated, header(Chunks)), #{compress => zlib}),
    iolist_to_binary(Packet).

packet(Payload, Chunks) ->
    {ok, Packet} = hep:encode(hep:payload(Payload, header(Chunks))),
    iolist_to_binary(Packet).

%% Chunks of a vendor, without a field.
many_chunks(Number, Size) ->
    <<"HEP3", _:16, Header/binary>> = Good = good(),
    Chunks = binary:copy(<<1:16, 1:16, (6 + Size):16, 0:Size/unit:8>>, Number),
    <<"HEP3", (byte_size(Good) + byte_size(Chunks)):16, Header/binary, Chunks/binary>>.

header(Chunks) ->
    Hep = hep:node_id(1, hep:src_ip({192, 0, 2, 1}, hep:dst_ip({192, 0, 2, 2}, hep:new()))),
    lists:foldl(fun({auth_key, Key}, Next) -> hep:auth_key(Key, Next) end, Hep, Chunks).
