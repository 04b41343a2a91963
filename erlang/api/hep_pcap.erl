%% @doc Reads HEP and SIP from capture files, and writes packets to them.
%%
%% ```
%% 1> hep_pcap:fold("calls.pcap", #{}, fun(#hep{payload = P}, N) -> io:put_chars(P), N + 1 end, 0).
%% {ok,42}
%% '''
%%
%% == Reading ==
%% Formats: pcap and pcapng, micro- and nanoseconds, both byte orders, also in gzip. Link types: Ethernet (VLAN, QinQ,
%% PPPoE), Linux cooked 1 and 2, loopback, raw IP. IPv4 and IPv6. Fragments are reassembled, TCP streams are put in
%% order.
%%
%% <ul>
%% <li>HEP packets are decoded. They are recognised on any port: by the magic of version 3, by the complete header of
%%   versions 1 and 2, or as one of these in gzip; over TCP only version 3 without gzip. A packet of version 1 gets the
%%   time of its frame.</li>
%% <li>SIP without HEP becomes a packet to send: addresses, ports, protocol and time of its frame, payload type 1.
%%   Over TCP the Content-Length decides where a message ends; a message with a missing part is dropped and
%%   counted; one of more than 256 KiB is skipped.</li>
%% </ul>
%%
%% The file is read in parts, and memory is limited for any file: 4 MiB of unpacked gzip, a block of 1 MiB,
%% 256 fragmented packets of up to 192 KiB, 16,384 TCP streams with 32 MiB in total. Beyond that, the packet or stream
%% that has had no frame for longest is dropped. Dropped and unknown frames are counted, see {@type stats()}.
%%
%% MPLS, tunnels (IP in IP, GRE, VXLAN) and IPsec are not supported, and counted as `not_ip'. Other link types (PPP,
%% 802.11) are counted as `unknown_link'. TLS and SCTP are not decoded. In a frame that is truncated at the snapshot
%% length, HEP is `invalid', and SIP is returned as far as it was captured. If a segment or fragment was captured twice
%% with different bytes, one copy counts: the first one of a TCP segment, the last one of a fragment. Copies of a
%% datagram are all returned.
%%
%% == Writing ==
%% A decoded packet becomes the packet that was captured, so other tools can show it. The link type is raw IP.
%% Protocol 17, or none, is written as UDP, all others (TCP, TLS, SCTP, WebSocket) as TCP with the unencrypted payload.
%% Addresses, ports, time in microseconds and payload are kept; a capture file cannot contain the other fields.
-module(hep_pcap).

-include("hep.hrl").

-export([fold/4, format_error/1]).
-export([write/2, header/0, writer/0, record/2]).
%% For Elixir.
-export([open/2, next/1, close/1]).

-export_type([source/0, options/0, info/0, stats/0, error/0, reason/0, writer/0, record_reason/0]).

-type source() :: file:name_all() | {binary, binary()} | {read, fun(() -> {ok, binary()} | eof | {error, term()})}.
%% A file's name, its content, or a function that returns its next bytes with each call. An error of the function is the
%% result of {@link fold/4}.

-type options() :: #{
    ports => any | [inet:port_number()],
    decode => hep:options(),
    stats => fun((stats()) -> term())
}.
%% <dl>
%% <dt>`ports'</dt><dd>`any' (default): HEP is recognised on any port; a list: all packets to or from these ports are
%%   HEP, and no others</dd>
%% <dt>`decode'</dt><dd>options of {@link hep:decode/2}</dd>
%% <dt>`stats'</dt><dd>is called with the counts at the end, also after an error</dd>
%% </dl>

-type info() :: #{
    inside := hep | sip,
    time := Nanoseconds :: non_neg_integer() | undefined,
    protocol := 6 | 17,
    source := {inet:ip_address(), inet:port_number()},
    destination := {inet:ip_address(), inet:port_number()}
}.
%% The frame of a packet.
%% <dl>
%% <dt>`inside'</dt><dd>what was found in it</dd>
%% <dt>`time'</dt><dd>since the epoch; `undefined' for a simple packet block of pcapng</dd>
%% <dt>`protocol'</dt><dd>the IP protocol: TCP (6) or UDP (17)</dd>
%% <dt>`source', `destination'</dt><dd>for HEP the addresses of the capture agent and the collector, for SIP those of
%%   the message</dd>
%% </dl>

-type stats() :: #{
    frames := non_neg_integer(),
    hep := non_neg_integer(),
    sip := non_neg_integer(),
    invalid := non_neg_integer(),
    other := non_neg_integer(),
    not_ip := non_neg_integer(),
    unknown_link := non_neg_integer(),
    fragments_dropped := non_neg_integer(),
    tcp_missing := non_neg_integer(),
    tcp_incomplete := non_neg_integer()
}.
%% <dl>
%% <dt>`frames'</dt><dd>frames read</dd>
%% <dt>`hep', `sip'</dt><dd>HEP packets and SIP messages found</dd>
%% <dt>`invalid'</dt><dd>HEP packets that cannot be decoded</dd>
%% <dt>`other'</dt><dd>datagrams with neither HEP nor SIP</dd>
%% <dt>`not_ip'</dt><dd>frames without UDP or TCP over IP</dd>
%% <dt>`unknown_link'</dt><dd>frames of unknown link types</dd>
%% <dt>`fragments_dropped'</dt><dd>IP packets with a missing or invalid fragment</dd>
%% <dt>`tcp_missing'</dt><dd>bytes missing in TCP streams</dd>
%% <dt>`tcp_incomplete'</dt><dd>messages dropped because a part of them was missing</dd>
%% </dl>

-type error() ::
    {Offset :: non_neg_integer(), reason()}
    | {file, file:posix() | badarg | terminated | system_limit}
    | {read, term()}.
%% The position of an error in the file, and its reason; or the reason why the file cannot be read or written; or the
%% error of a source's function. In a file in gzip, offsets count its unpacked bytes.

-type reason() ::
    not_pcap
    | truncated
    | invalid_gzip
    | {too_large, Bytes :: non_neg_integer()}
    | invalid_block
    | {unknown_interface, non_neg_integer()}
    | too_many_interfaces.
%% <dl>
%% <dt>`not_pcap'</dt><dd>neither pcap nor pcapng</dd>
%% <dt>`truncated'</dt><dd>the file ends inside a header, a frame or a block that begins at the offset</dd>
%% <dt>`invalid_gzip'</dt><dd>the gzip around the file is corrupt or truncated</dd>
%% <dt>`{too_large, N}'</dt><dd>a frame of more than 256 KiB, or a block of more than 1 MiB</dd>
%% <dt>`invalid_block'</dt><dd>a pcapng block that contradicts itself</dd>
%% <dt>`{unknown_interface, N}'</dt><dd>a frame of an interface that no block describes</dd>
%% <dt>`too_many_interfaces'</dt><dd>more than 4096 in a section of pcapng</dd>
%% </dl>

-type record_reason() ::
    no_address | mixed_families | {too_large, Bytes :: pos_integer()} | {invalid_time, erlang:timestamp()}.
%% Why a packet cannot be written: an address is missing, the addresses are of different families, the payload is
%% larger than a UDP datagram, or the time is later than 2106-02-07T06:28:15Z, the last one of the format.

-record(reader, {
    pcap :: reference(),
    source :: {file, file:fd()} | {binary, binary()} | {read, fun(() -> {ok, binary()} | eof | {error, term()})},
    found = [] :: [hep_nif:pcap_found()],
    status = incomplete :: again | incomplete | eof | {error, error()},
    decode :: hep:options(),
    invalid = 0 :: non_neg_integer(),
    stats :: fun((stats()) -> term())
}).

-opaque writer() :: hep_pcap_packet:flows().
%% The state of writing: the TCP sequence numbers of the flows so far.

%% The size of a read.
-define(PART, 65536).

%% @doc Calls a function with each packet, in the order in which the packets become complete: `Fun(Packet, Acc)', or
%% `Fun(Packet, Info, Acc)' if it takes three arguments.
%%
%% For a corrupt or truncated file, returns an error after all packets before it. Raises `badarg' when an option is
%% wrong.
-spec fold(source(), options(), Fun, Acc) -> {ok, Acc} | {error, error(), Acc} when
    Fun :: fun((hep:hep(), Acc) -> Acc) | fun((hep:hep(), info(), Acc) -> Acc).
fold(Source, Options, Fun, Acc) when is_function(Fun, 2) ->
    fold(Source, Options, fun(Hep, _, Before) -> Fun(Hep, Before) end, Acc);
fold(Source, Options, Fun, Acc) when is_function(Fun, 3) ->
    case open(Source, Options) of
        {ok, Reader} ->
            try
                fold(Reader, Fun, Acc)
            after
                close(Reader)
            end;
        {error, Reason} ->
            {error, Reason, Acc}
    end;
fold(Source, Options, Fun, Acc) ->
    erlang:error(badarg, [Source, Options, Fun, Acc]).

fold(Reader, Fun, Acc) ->
    case next(Reader) of
        {Hep, Info, Next} -> fold(Next, Fun, Fun(Hep, Info, Acc));
        eof -> {ok, Acc};
        {error, Reason} -> {error, Reason, Acc}
    end.

%% @private
-spec open(source(), options()) -> {ok, #reader{}} | {error, error()}.
open(Source, #{} = Options) ->
    case maps:merge(#{ports => any, decode => #{}, stats => fun(_) -> ok end}, Options) of
        #{ports := Ports, decode := Decode, stats := Stats} = All when
            map_size(All) =:= 3, is_map(Decode), is_function(Stats, 1)
        ->
            _ = is_ports(Ports) orelse erlang:error(badarg, [Source, Options]),
            %% Finds a wrong option of decoding before the first packet.
            _ = hep:decode(<<>>, Decode),
            open(Source, hep_nif:pcap_open(Ports), Decode, Stats);
        _ ->
            erlang:error(badarg, [Source, Options])
    end;
open(Source, Options) ->
    erlang:error(badarg, [Source, Options]).

open({binary, Bytes}, Pcap, Decode, Stats) when is_binary(Bytes) ->
    {ok, #reader{pcap = Pcap, source = {binary, Bytes}, decode = Decode, stats = Stats}};
open({read, Read}, Pcap, Decode, Stats) when is_function(Read, 0) ->
    {ok, #reader{pcap = Pcap, source = {read, Read}, decode = Decode, stats = Stats}};
open(File, Pcap, Decode, Stats) ->
    case file:open(File, [read, raw, binary]) of
        {ok, Fd} -> {ok, #reader{pcap = Pcap, source = {file, Fd}, decode = Decode, stats = Stats}};
        {error, Reason} -> {error, {file, Reason}}
    end.

is_ports(any) -> true;
is_ports(Ports) -> hep_options:all(fun(Port) -> is_integer(Port) andalso Port >= 0 andalso Port =< 65535 end, Ports).

%% @private The next packet.
-spec next(#reader{}) -> {hep:hep(), info(), #reader{}} | eof | {error, error()}.
next(#reader{found = [Found | Rest]} = Reader) ->
    case packet(Found, Reader) of
        {ok, Hep} -> {Hep, info(Found), Reader#reader{found = Rest}};
        error -> next(Reader#reader{found = Rest, invalid = Reader#reader.invalid + 1})
    end;
next(#reader{status = again} = Reader) ->
    next(read(<<>>, Reader));
next(#reader{status = incomplete, source = {binary, <<Part:?PART/binary, Rest/binary>>}} = Reader) ->
    next(read(Part, Reader#reader{source = {binary, Rest}}));
next(#reader{status = incomplete, source = {binary, <<>>}} = Reader) ->
    next(read(eof, Reader));
next(#reader{status = incomplete, source = {binary, Part}} = Reader) ->
    next(read(Part, Reader#reader{source = {binary, <<>>}}));
next(#reader{status = incomplete, source = {file, Fd}} = Reader) ->
    case file:read(Fd, ?PART) of
        {ok, Part} -> next(read(Part, Reader));
        eof -> next(read(eof, Reader));
        {error, Reason} -> next(Reader#reader{status = {error, {file, Reason}}})
    end;
next(#reader{status = incomplete, source = {read, Read}} = Reader) ->
    case Read() of
        {ok, Bytes} when is_binary(Bytes) -> next(read(Bytes, Reader));
        eof -> next(read(eof, Reader));
        {error, Reason} -> next(Reader#reader{status = {error, {read, Reason}}})
    end;
next(#reader{status = Status} = Reader) ->
    _ = (Reader#reader.stats)((hep_nif:pcap_stats(Reader#reader.pcap))#{invalid => Reader#reader.invalid}),
    Status.

read(Bytes, #reader{pcap = Pcap} = Reader) ->
    {Status, Found} = hep_nif:pcap_read(Pcap, Bytes),
    Reader#reader{status = Status, found = Found}.

%% @private
-spec close(#reader{}) -> ok.
close(#reader{source = {file, Fd}}) ->
    _ = file:close(Fd),
    ok;
close(_) ->
    ok.

packet({hep, Time, _, _, _, Bytes}, #reader{decode = Options}) ->
    case hep:decode(Bytes, Options) of
        {ok, #hep{version = 1} = Hep} -> {ok, Hep#hep{timestamp = timestamp(Time, Hep#hep.timestamp)}};
        {ok, Hep} -> {ok, Hep};
        {ok, Hep, _Cut} -> {ok, Hep};
        {error, _} -> error
    end;
packet({sip, Time, Protocol, {SrcIp, SrcPort}, {DstIp, DstPort}, Bytes}, _) ->
    {ok, #hep{
        version = 3,
        protocol_family = family(SrcIp),
        protocol = Protocol,
        src_ip = SrcIp,
        src_port = SrcPort,
        dst_ip = DstIp,
        dst_port = DstPort,
        timestamp = timestamp(Time, undefined),
        payload = Bytes
    }}.

info({Inside, Time, Protocol, Source, Destination, _}) ->
    #{inside => Inside, time => Time, protocol => Protocol, source => Source, destination => Destination}.

family(Ip) when tuple_size(Ip) =:= 4 -> 2;
family(_) -> 10.

timestamp(undefined, Default) ->
    Default;
timestamp(Nanoseconds, _) ->
    Microseconds = Nanoseconds div 1000,
    Seconds = Microseconds div 1000000,
    {Seconds div 1000000, Seconds rem 1000000, Microseconds rem 1000000}.

%% @doc Describes an error of a file, or the reason why a packet cannot be written, in a sentence.
-spec format_error(error() | record_reason()) -> unicode:chardata().
format_error({file, Reason}) -> file:format_error(Reason);
format_error({read, Reason}) -> io_lib:format("cannot read: ~0tp", [Reason]);
format_error({Offset, Reason}) when is_integer(Offset) -> io_lib:format("offset ~b: ~ts", [Offset, sentence(Reason)]);
format_error(no_address) -> "the packet has no source or destination address";
format_error(mixed_families) -> "source and destination address are of different families";
format_error({invalid_time, _}) -> "the time is later than a capture file can hold (2106)";
format_error({too_large, Bytes}) -> io_lib:format("a payload of ~b bytes does not fit into a UDP datagram", [Bytes]).

sentence(not_pcap) -> "not a capture file";
sentence(truncated) -> "the file is truncated here";
sentence(invalid_gzip) -> "the gzip around the file is corrupt or truncated";
sentence({too_large, Bytes}) -> io_lib:format("a frame or block of ~b bytes is too large", [Bytes]);
sentence(invalid_block) -> "invalid block";
sentence({unknown_interface, Id}) -> io_lib:format("no block describes the interface ~b", [Id]);
sentence(too_many_interfaces) -> "too many interfaces".

%% @doc Writes packets to a pcap file. Those that cannot be written are left out and returned, each with its reason.
-spec write(file:name_all(), [hep:hep()]) ->
    {ok, [{hep:hep(), record_reason()}]} | {error, error()}.
write(File, Packets) when is_list(Packets) ->
    case file:open(File, [write, raw, binary, {delayed_write, ?PART, 2000}]) of
        {ok, Fd} ->
            try {write_all(Fd, Packets), file:close(Fd)} of
                {{ok, Skipped}, ok} -> {ok, Skipped};
                {{error, Reason}, _} -> {error, {file, Reason}};
                %% A delayed write failed.
                {_, {error, Reason}} -> {error, {file, Reason}}
            catch
                Class:Reason:Stack ->
                    _ = file:close(Fd),
                    erlang:raise(Class, Reason, Stack)
            end;
        {error, Reason} ->
            {error, {file, Reason}}
    end;
write(File, Packets) ->
    erlang:error(badarg, [File, Packets]).

write_all(Fd, Packets) ->
    case file:write(Fd, header()) of
        ok -> write_all(Fd, Packets, writer(), []);
        Error -> Error
    end.

write_all(_, [], _, Skipped) ->
    {ok, lists:reverse(Skipped)};
write_all(Fd, [#hep{} = Hep | Packets], Writer, Skipped) ->
    case record(Hep, Writer) of
        {ok, Record, Next} ->
            case file:write(Fd, Record) of
                ok -> write_all(Fd, Packets, Next, Skipped);
                Error -> Error
            end;
        {error, Reason} ->
            write_all(Fd, Packets, Writer, [{Hep, Reason} | Skipped])
    end;
write_all(_, Packets, _, _) ->
    erlang:error(badarg, [Packets]).

%% @doc Returns the header of a file.
-spec header() -> binary().
header() -> hep_pcap_packet:header().

%% @doc Returns the initial state for {@link record/2}.
-spec writer() -> writer().
writer() -> hep_pcap_packet:flows().

%% @doc Returns the record of a packet, for a file with {@link header/0} and the earlier packets. A packet without a
%% time gets that of the call. Raises `badarg' when a field is invalid.
-spec record(hep:hep(), writer()) -> {ok, iodata(), writer()} | {error, record_reason()}.
record(#hep{} = Hep, Writer) ->
    case hep_pcap_packet:is_valid(Hep, Writer) of
        true -> hep_pcap_packet:record(Hep, Writer);
        false -> erlang:error(badarg, [Hep, Writer])
    end;
record(Hep, Writer) ->
    erlang:error(badarg, [Hep, Writer]).
