%% @doc Collectors on loopback, and senders to them, for the tests of the sender.
-module(hep_collectors).

-include_lib("eunit/include/eunit.hrl").
-include_lib("public_key/include/public_key.hrl").
-include("hep.hrl").
-include("hep_collectors.hrl").

-export([
    packet/1, numbered/1, numbered/2, numbers/1, decoded/1, sized/1, listen/2, listen/3, port/1, free_port/1,
    accept/1, close/1, received/2, frames/2, bytes/2, more/1, whole/1, authorities/0, other_authorities/0,
    with_sender/2, with_tls/2, wait_for/3, wait/1, quietly/1, fill/2, is_connected/2, is_stuck/1
]).

-import(hep_packets, [chunk/2, frame/1]).

%%% Packets

%% A packet identified by its number.
packet(Number) ->
    #hep{
        version = 3,
        protocol = 17,
        src_ip = {192, 0, 2, 1},
        src_port = 5060,
        dst_ip = {192, 0, 2, 2},
        dst_port = 5062,
        timestamp = {1700, 123456, 654321},
        payload = <<Number:64>>
    }.

%% The same as bytes, and with a payload of another size.
numbered(Number) ->
    numbered(Number, 0).

numbered(Number, More) ->
    frame([chunk(15, <<Number:64, 0:More/unit:8>>)]).

numbers(Packets) ->
    [
        begin
            <<Number:64, _/binary>> = hep:payload(decoded(Packet)),
            Number
        end
     || Packet <- Packets
    ].

decoded(Packet) ->
    {ok, Hep} = hep:decode(Packet),
    Hep.

%% A packet of this many bytes.
sized(6) -> frame([]);
sized(Size) -> frame([chunk(15, <<0:(Size - 12)/unit:8>>)]).

%%% Collectors

listen(Transport, Address) ->
    listen(Transport, Address, 0).

listen(udp, Address, Port) ->
    {ok, Socket} = gen_udp:open(Port, [binary, family(Address), {ip, Address}, {active, false}, {recbuf, 1 bsl 20}]),
    {udp, Socket};
listen(tcp, Address, Port) ->
    {ok, Socket} = gen_tcp:listen(Port, listen_options(Address)),
    {tcp, Socket};
listen(tls, Address, Port) ->
    {ok, _} = application:ensure_all_started(ssl),
    #{server_config := Certificate} = certificates(),
    {ok, Socket} = ssl:listen(Port, listen_options(Address) ++ Certificate),
    {tls, Socket}.

listen_options(Address) ->
    [binary, family(Address), {ip, Address}, {active, false}, {reuseaddr, true}, {backlog, 100}].

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(_) -> inet6.

port({tls, Socket}) ->
    {ok, {_, Port}} = ssl:sockname(Socket),
    Port;
port({_, Socket}) ->
    {ok, Port} = inet:port(Socket),
    Port.

%% A port without a listener.
free_port(Transport) ->
    Collector = listen(if Transport =:= udp -> udp; true -> tcp end, ?V4),
    Port = port(Collector),
    close(Collector),
    Port.

accept({tcp, Listener}) ->
    {ok, Socket} = gen_tcp:accept(Listener, ?PATIENCE),
    {tcp, Socket};
accept({tls, Listener}) ->
    {ok, Socket} = ssl:transport_accept(Listener, ?PATIENCE),
    {ok, Secure} = ssl:handshake(Socket, ?PATIENCE),
    {tls, Secure}.

close({udp, Socket}) -> gen_udp:close(Socket);
close({tcp, Socket}) -> gen_tcp:close(Socket);
close({tls, Socket}) -> ssl:close(Socket).

%% Receives a number of packets; over TCP and TLS, from the first connection.
received(Count, {udp, Socket}) ->
    [
        begin
            {ok, {_, _, Datagram}} = gen_udp:recv(Socket, 0, ?PATIENCE),
            Datagram
        end
     || _ <- lists:seq(1, Count)
    ];
received(Count, Collector) ->
    frames(Count, accept(Collector)).

%% Receives the next packets of the stream.
frames(Count, Connection) ->
    [next_frame(Connection) || _ <- lists:seq(1, Count)].

next_frame(Connection) ->
    Start = <<"HEP3", Total:16>> = bytes(6, Connection),
    <<Start/binary, (bytes(Total - 6, Connection))/binary>>.

bytes(0, _) ->
    <<>>;
bytes(Count, Connection) ->
    {ok, Bytes} = recv(Connection, Count),
    Bytes.

recv({tcp, Socket}, Count) -> gen_tcp:recv(Socket, Count, ?PATIENCE);
recv({tls, Socket}, Count) -> ssl:recv(Socket, Count, ?PATIENCE).

%% Data after the expected packets.
more(Connection) ->
    {error, Reason} = recv(Connection, 0),
    Reason.

%% The complete packets of a connection; the last one may be incomplete.
whole(<<"HEP3", Total:16, _/binary>> = Bytes) when byte_size(Bytes) >= Total ->
    {Frame, Rest} = split_binary(Bytes, Total),
    [Frame | whole(Rest)];
whole(Bytes) ->
    Magic = binary:part(<<"HEP3">>, 0, min(4, byte_size(Bytes))),
    ?assertEqual(Magic, binary:part(Bytes, 0, byte_size(Magic))),
    [].

%%% Certificates

certificates() ->
    case persistent_term:get({?MODULE, certificates}, undefined) of
        undefined ->
            ok = persistent_term:put({?MODULE, certificates}, new_certificates()),
            certificates();
        Certificates ->
            Certificates
    end.

%% For localhost, 127.0.0.1 and *.wild.example.
new_certificates() ->
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    Names = [{dNSName, "localhost"}, {iPAddress, <<127, 0, 0, 1>>}, {dNSName, "*.wild.example"}],
    For = #'Extension'{extnID = ?'id-ce-subjectAltName', extnValue = Names, critical = false},
    Chain = #{root => Key, intermediates => [], peer => Key},
    public_key:pkix_test_data(#{
        server_chain => Chain#{peer := [{extensions, [For]} | Key]},
        client_chain => Chain
    }).

%% The CA certificates of the collector, and others.
authorities() ->
    authorities(certificates()).

other_authorities() ->
    authorities(new_certificates()).

authorities(#{client_config := Config}) ->
    proplists:get_value(cacerts, Config).

%%% Senders

with_sender(Options, Test) ->
    {ok, Sender} = hep_sender:start_link(Options),
    try
        Test(Sender)
    after
        unlink(Sender),
        Monitor = monitor(process, Sender),
        exit(Sender, shutdown),
        receive {'DOWN', Monitor, _, _, _} -> ok end
    end.

with_tls(tls, Options) -> Options#{transport => tls, tls => [{cacerts, authorities()}]};
with_tls(Transport, Options) -> Options#{transport => Transport}.

%% Waits until the target has these counters.
wait_for(Sender, Number, Figures) ->
    wait(fun() ->
        #{targets := Targets} = hep_sender:info(Sender),
        maps:with(maps:keys(Figures), lists:nth(Number, Targets)) =:= Figures
    end).

wait(Condition) ->
    hep_net:until(Condition, fun() -> no_more end, erlang:monotonic_time(millisecond) + ?PATIENCE).

%% Sends until the system's buffers are full, and returns the last number.
fill(Sender, Number) ->
    [ok = hep_sender:send(Sender, numbered(N, 500)) || N <- lists:seq(Number, Number + 49)],
    case hep_sender:info(Sender) of
        #{queued := Queued} when Queued < 200 -> fill(Sender, Number + 50);
        _ -> fill_if_not_stuck(is_stuck(Sender), Sender, Number + 50)
    end.

fill_if_not_stuck(true, _, Next) -> Next - 1;
fill_if_not_stuck(false, Sender, Next) -> fill(Sender, Next).

is_stuck(Sender) ->
    #{sent := Sent} = hep_sender:info(Sender),
    timer:sleep(300),
    #{sent := Later, queued := Queued} = hep_sender:info(Sender),
    Sent > 0 andalso Sent =:= Later andalso Queued > 0.

is_connected(Socket, Port) ->
    {name, Driver} = erlang:port_info(Socket, name),
    lists:member(Driver, ["tcp_inet", "udp_inet"]) andalso inet:peername(Socket) =:= {ok, {?V4, Port}}.

%% Suppresses the log messages of ssl about failures that a test causes.
quietly(Test) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Test()
    after
        logger:set_primary_config(level, Level)
    end.
