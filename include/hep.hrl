-ifndef(HEP_HRL).
-define(HEP_HRL, true).

%% A decoded HEP packet: one field per fact. A field that the packet does not have is `undefined'.
-record(hep, {
    %% 1, 2 or 3.
    version :: hep:version() | undefined,
    %% 2 is IPv4, 10 is IPv6; follows the addresses where there are any.
    protocol_family :: 2 | 10 | undefined,
    %% IP protocol id: 6 TCP, 17 UDP, 132 SCTP.
    protocol :: hep:uint16() | undefined,
    src_ip :: inet:ip_address() | undefined,
    src_port :: inet:port_number() | undefined,
    dst_ip :: inet:ip_address() | undefined,
    dst_port :: inet:port_number() | undefined,
    %% When the payload was captured; version 1 carries no time, it is that of decoding.
    timestamp :: erlang:timestamp() | undefined,
    %% Capture agent id: 16 bits in version 2, 32 in version 3, none in version 1.
    node_id :: hep:uint32() | undefined,
    %% As a number; `hep:payload_type/1' returns its name. SIP if the packet has none.
    payload_type = 1 :: hep:uint8(),
    payload = <<>> :: binary(),
    %% Every chunk without a field above, in the packet's order.
    chunks = [] :: [hep:record_chunk()]
}).

-endif.
