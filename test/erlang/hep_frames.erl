%% @doc Capture files built by hand: frames of each link type, in each format.
-module(hep_frames).

-export([pcap/2, pcap/3, ng/2, frame/2, links/0, udp/4, tcp/4, tcp/5, ip/4, fragments/5]).

-type address() :: {inet:ip_address(), inet:port_number()}.

%% A file of frames of a link type, with their times in nanoseconds.
-spec pcap(integer(), [{non_neg_integer(), iodata()}]) -> binary().
pcap(Link, Frames) -> pcap({big, 1000}, Link, Frames).

%% With a byte order, and a unit of the time in nanoseconds.
-spec pcap({big | little, 1 | 1000}, integer(), [{non_neg_integer(), iodata()}]) -> binary().
pcap({Order, Unit}, Link, Frames) ->
    Magic = case Unit of 1000 -> 16#a1b2c3d4; 1 -> 16#a1b23c4d end,
    Numbers = fun(Ns) -> numbers(Order, Ns) end,
    Records = [
        begin
            Data = iolist_to_binary(Frame),
            Size = byte_size(Data),
            [Numbers([{32, Time div 1000000000}, {32, Time rem 1000000000 div Unit}, {32, Size}, {32, Size}]), Data]
        end
        || {Time, Frame} <- Frames
    ],
    iolist_to_binary([Numbers([{32, Magic}, {16, 2}, {16, 4}, {32, 0}, {32, 0}, {32, 65535}, {32, Link}]) | Records]).

%% pcapng: a section with an interface for each link type, and an unused block.
-spec ng(big | little, [{integer(), non_neg_integer(), iodata()}]) -> binary().
ng(Order, Frames) ->
    Links = lists:usort([Link || {Link, _, _} <- Frames]),
    Block = fun(Type, Body) ->
        Data = iolist_to_binary(Body),
        Size = numbers(Order, [{32, byte_size(Data) + 12}]),
        [numbers(Order, [{32, Type}]), Size, Data, Size]
    end,
    Section = Block(16#0a0d0d0a, [numbers(Order, [{32, 16#1a2b3c4d}, {16, 1}, {16, 0}]), <<-1:64>>]),
    %% if_tsresol: nanoseconds.
    Resolution = [numbers(Order, [{16, 9}, {16, 1}]), <<9, 0, 0, 0, 0:32>>],
    Interfaces = [Block(1, [numbers(Order, [{16, Link}, {16, 0}, {32, 0}]), Resolution]) || Link <- Links],
    Unknown = Block(16#0badcafe, binary:copy(<<0>>, 400)),
    Packets = [
        begin
            Data = iolist_to_binary(Frame),
            Size = byte_size(Data),
            Id = length(lists:takewhile(fun(L) -> L =/= Link end, Links)),
            Padding = binary:copy(<<0>>, (4 - Size rem 4) rem 4),
            Numbers = [{32, Id}, {32, Time bsr 32}, {32, Time band 16#ffffffff}, {32, Size}, {32, Size}],
            Block(6, [numbers(Order, Numbers), Data, Padding])
        end
        || {Link, Time, Frame} <- Frames
    ],
    iolist_to_binary([Section, Interfaces, Unknown | Packets]).

numbers(big, Numbers) -> <<<<N:Size/big>> || {Size, N} <- Numbers>>;
numbers(little, Numbers) -> <<<<N:Size/little>> || {Size, N} <- Numbers>>.

%% The link types, each with its name in this module.
-spec links() -> [{integer(), atom()}].
links() ->
    [
        {1, ethernet}, {1, vlan}, {1, qinq}, {1, old_qinq}, {1, pppoe}, {113, cooked}, {276, cooked2}, {0, null}, {0, null_big}, {108, loop},
        {101, raw}, {12, raw}, {14, raw}, {228, raw}, {229, raw}
    ].

%% A frame around an IP packet.
-spec frame(atom(), iodata()) -> iodata().
frame(Link, Packet) -> [link_header(Link, type(iolist_to_binary(Packet))), Packet].

type(<<4:4, _/bitstring>>) -> {16#0800, 2};
type(<<6:4, _/bitstring>>) -> {16#86dd, 30}.

link_header(ethernet, {Type, _}) -> <<1:48, 2:48, Type:16>>;
link_header(vlan, {Type, _}) -> <<1:48, 2:48, 16#8100:16, 100:16, Type:16>>;
link_header(qinq, {Type, _}) -> <<1:48, 2:48, 16#88a8:16, 7:16, 16#8100:16, 100:16, Type:16>>;
link_header(old_qinq, {Type, _}) -> <<1:48, 2:48, 16#9100:16, 7:16, 16#8100:16, 100:16, Type:16>>;
link_header(pppoe, {Type, _}) ->
    Protocol = case Type of 16#0800 -> 16#21; 16#86dd -> 16#57 end,
    %% The length includes protocol and packet; it is ignored.
    <<1:48, 2:48, 16#8864:16, 16#1100:16, 7:16, 0:16, Protocol:16>>;
link_header(cooked, {Type, _}) -> <<0:16, 1:16, 6:16, 2:64, Type:16>>;
link_header(cooked2, {Type, _}) -> <<Type:16, 0:16, 1:32, 1:16, 0, 6, 2:64>>;
link_header(null, {_, Family}) -> <<Family:32/little>>;
link_header(null_big, {_, Family}) -> <<Family:32/big>>;
link_header(loop, {_, Family}) -> <<Family:32/big>>;
link_header(raw, _) -> <<>>.

-spec udp(address(), address(), iodata(), map()) -> iodata().
udp({_, SrcPort} = Src, {_, DstPort} = Dst, Payload, Options) ->
    Length = iolist_size(Payload) + 8,
    ip(Src, Dst, 17, {[<<SrcPort:16, DstPort:16, Length:16, 0:16>>, Payload], Options}).

%% A segment with ACK, or with other flags.
-spec tcp(address(), address(), non_neg_integer(), iodata()) -> iodata().
tcp(Src, Dst, Number, Payload) -> tcp(Src, Dst, Number, 16#10, Payload).

-spec tcp(address(), address(), non_neg_integer(), byte(), iodata()) -> iodata().
tcp({_, SrcPort} = Src, {_, DstPort} = Dst, Number, Flags, Payload) ->
    Header = <<SrcPort:16, DstPort:16, Number:32, 1:32, 5:4, 0:4, Flags, 1000:16, 0:32>>,
    ip(Src, Dst, 6, {[Header, Payload], #{}}).

-spec ip(address(), address(), byte(), {iodata(), map()}) -> iodata().
ip({Src, _}, {Dst, _}, Protocol, {Payload, Options}) ->
    Length = iolist_size(Payload),
    Offset = maps:get(offset, Options, 0),
    More = maps:get(more, Options, 0),
    Id = maps:get(id, Options, 0),
    case {tuple_size(Src), maps:is_key(offset, Options)} of
        {4, _} ->
            [<<16#4500:16, (Length + 20):16, Id:16, 0:2, More:1, (Offset div 8):13, 64, Protocol, 0:16>>, address(Src),
                address(Dst), Payload];
        {8, false} ->
            [<<6:4, 0:28, Length:16, Protocol, 64>>, address(Src), address(Dst), Payload];
        {8, true} ->
            [<<6:4, 0:28, (Length + 8):16, 44, 64>>, address(Src), address(Dst),
                <<Protocol, 0, (Offset div 8):13, 0:2, More:1, Id:32>>, Payload]
    end.

%% A UDP datagram in fragments of the given size.
-spec fragments(address(), address(), iodata(), non_neg_integer(), pos_integer()) -> [iodata()].
fragments({_, SrcPort} = Src, {_, DstPort} = Dst, Payload, Id, Size) ->
    Length = iolist_size(Payload) + 8,
    Datagram = iolist_to_binary([<<SrcPort:16, DstPort:16, Length:16, 0:16>>, Payload]),
    [
        begin
            Part = binary:part(Datagram, Offset, min(Size, Length - Offset)),
            More = case Offset + Size < Length of true -> 1; false -> 0 end,
            ip(Src, Dst, 17, {Part, #{id => Id, offset => Offset, more => More}})
        end
        || Offset <- lists:seq(0, Length - 1, Size)
    ].

address({A, B, C, D}) -> <<A, B, C, D>>;
address(Ip) -> <<<<Word:16>> || Word <- tuple_to_list(Ip)>>.
