defmodule HEP.PacketTest do
  use ExUnit.Case, async: true

  alias HEP.{Fixtures, Packet}

  doctest HEP.Packet

  describe "to_record/1 and from_record/1" do
    test "an empty packet is an empty record" do
      assert Packet.to_record(%Packet{}) == :hep.new()
      assert Packet.from_record(:hep.new()) == %Packet{}
    end

    test "every field" do
      packet = %Packet{
        version: 2,
        family: :ipv6,
        protocol: 6,
        src_ip: {0, 0, 0, 0, 0, 0, 0, 1},
        src_port: 5060,
        dst_ip: {0, 0, 0, 0, 0, 0, 0, 2},
        dst_port: 5061,
        timestamp: 1_756_196_017_250_001,
        capture_id: 2001,
        payload_type: :rtcp,
        payload: "{}",
        chunks: [{{0, 17}, "a84b4c"}, {{0xCAFE, 1}, ""}]
      }

      record = Packet.to_record(packet)
      assert :hep.version(record) == :hep_v2
      assert :hep.protocol_family(record) == :ipv6
      assert :hep.protocol(record) == 6
      assert :hep.src_ip(record) == packet.src_ip
      assert :hep.src_port(record) == 5060
      assert :hep.dst_ip(record) == packet.dst_ip
      assert :hep.dst_port(record) == 5061
      assert :hep.timestamp(record) == {1756, 196_017, 250_001}
      assert :hep.node_id(record) == 2001
      assert :hep.payload_type(record) == :rtcp
      assert :hep.payload(record) == "{}"
      assert :hep.correlation_id(record) == "a84b4c"
      assert :hep.chunk(0xCAFE, 1, record) == ""

      assert elem(record, tuple_size(record) - 1) ==
               [{{0, 17}, {6, "a84b4c"}}, {{0xCAFE, 1}, {0, ""}}]

      assert Packet.from_record(record) == packet
    end

    test "every payload type" do
      for number <- 0..255 do
        record = :hep.payload_type(number, :hep.new())
        packet = Packet.from_record(record)
        assert packet.payload_type in [number, :hep.payload_type(record)]
        assert Packet.to_record(packet) == record
        assert Packet.to_record(%Packet{payload_type: number}) == record
      end
    end

    test "names that the protocol does not have" do
      for field <- [:family, :payload_type] do
        packet = Map.put(%Packet{}, field, :morse)
        assert_raise ArgumentError, fn -> Packet.to_record(packet) end
      end

      assert_raise ArgumentError, fn -> Packet.to_record(%Packet{payload_type: nil}) end
    end

    test "chunks without their length, as the original's encoder takes them" do
      record = put_elem(:hep.new(), 12, [{{0, 17}, "a84b4c"}])
      assert Packet.from_record(record) == %Packet{chunks: [{{0, 17}, "a84b4c"}]}
    end

    test "microseconds of a second or more are carried over" do
      packet = Packet.from_record(:hep.timestamp({0, 1, 4_000_000_000}, :hep.new()))
      assert packet.timestamp == 4_001_000_000
      assert :hep.timestamp(Packet.to_record(packet)) == {0, 4001, 0}
    end

    test "seconds have at most 32 bits, as in a packet" do
      largest = :hep.timestamp({4294, 967_295, 4_294_967_295}, :hep.new())
      assert Packet.to_record(Packet.from_record(largest)) == largest
    end

    test "no chunk is skipped" do
      for wrong <- [:chunk, {{0, 17}, "a", "b"}, ["a"]] do
        packet = %Packet{chunks: [{{0, 17}, "a84b4c"}, wrong]}
        assert_raise FunctionClauseError, fn -> Packet.to_record(packet) end
        record = put_elem(:hep.new(), 12, [wrong])
        assert_raise FunctionClauseError, fn -> Packet.from_record(record) end
      end
    end

    test "only packets and records" do
      for other <- [nil, %{}, {:hep, 3, []}] do
        assert_raise FunctionClauseError, fn -> Packet.to_record(other) end
        assert_raise FunctionClauseError, fn -> Packet.from_record(other) end
      end
    end
  end

  describe "inspect/2" do
    test "shortens the payload and chunks" do
      packet = HEP.decode!(Fixtures.read("captures/hep-js-v3/vendor-ext/001.bin"))

      assert inspect(packet, width: 400) ==
               ~S(#HEP.Packet<version: 3, family: :ipv4, protocol: 17, src_ip: {127, 0, 0, 1}, ) <>
                 ~S(src_port: 5060, dst_ip: {127, 0, 0, 2}, dst_port: 5080, ) <>
                 ~S(timestamp: 1795372142009000, capture_id: 2001, payload_type: :sip, ) <>
                 ~S|payload: "OPTIONS sip:bob@127.0.0.2 SIP/2." <> ... (209 bytes), | <>
                 ~S(chunks: [{{0, 19}, "2001"}, {{51966, 1}, "vendor text 0"}, ) <>
                 ~S({{51966, 2}, <<0, 0, 0, 7>>}]>)

      packet = %Packet{chunks: [{{0, 19}, String.duplicate("n", 33)}]}
      assert inspect(packet) =~ ~s|"#{String.duplicate("n", 32)}" <> ... (33 bytes)|
    end

    test "32 bytes are shown" do
      assert inspect(%Packet{payload: String.duplicate("a", 32)}) =~
               ~s(payload: "#{String.duplicate("a", 32)}">)
    end

    test "text is not cut inside a character" do
      packet = %Packet{payload: "a" <> String.duplicate("ä", 20)}
      assert inspect(packet) =~ ~s|payload: "a#{String.duplicate("ä", 15)}" <> ... (41 bytes)|
    end

    test "binaries that are not text" do
      packet = %Packet{payload: <<255, 0::size(8000)>>}
      assert inspect(packet) =~ "payload: <<255, 0, 0,"
      assert inspect(packet) =~ "0>> <> ... (1001 bytes)"
    end

    test "leaves out absent fields" do
      assert inspect(%Packet{}) == ~S(#HEP.Packet<version: 3, payload_type: :sip, payload: "">)
    end

    test "obeys options" do
      packet = %Packet{src_port: 5060, payload: String.duplicate("a", 100)}
      assert inspect(packet, limit: 1) == "#HEP.Packet<version: 3, ...>"
      assert inspect(packet, binaries: :as_binaries) =~ "payload: <<97, 97,"
      assert inspect(packet, structs: false) =~ String.duplicate("a", 100)
    end

    test "accepts fields of wrong types" do
      assert inspect(%Packet{payload: nil, chunks: [:chunk, {{0, 1}, 2}]}) =~
               "chunks: [:chunk, {{0, 1}, 2}]"

      assert inspect(%Packet{payload: ["io", "data"], chunks: :none}) =~
               ~S(payload: ["io", "data"], chunks: :none)
    end
  end

  describe "fields in chunks" do
    test "the same as the Erlang functions" do
      names = [correlation_id: "id", node_name: "name", auth_key: "key", vlan_id: 7]

      for {name, value} <- names do
        assert apply(Packet, name, [%Packet{}]) == nil
        record = apply(:hep, name, [value, :hep.new()])
        packet = apply(Packet, :"put_#{name}", [%Packet{}, value])
        assert packet == Packet.from_record(record)
        assert apply(Packet, name, [packet]) == value
        assert apply(Packet, :"put_#{name}", [packet, nil]) == %Packet{}
      end
    end

    test "a chunk keeps its position, and the last of several counts" do
      packet = %Packet{chunks: [{{9, 1}, "a"}, {{0, 17}, "b"}, {{9, 1}, "c"}]}
      assert Packet.chunk(packet, 9, 1) == "c"
      assert Packet.put_chunk(packet, 9, 1, "d").chunks == [{{9, 1}, "d"}, {{0, 17}, "b"}]
    end

    test "a VLAN of another width" do
      assert Packet.vlan_id(%Packet{chunks: [{{0, 18}, <<5>>}]}) == 5
      assert Packet.vlan_id(%Packet{chunks: [{{0, 18}, <<1, 0, 0>>}]}) == nil
      assert_raise FunctionClauseError, fn -> Packet.put_vlan_id(%Packet{}, 65_536) end
      assert_raise FunctionClauseError, fn -> Packet.put_node_name(%Packet{}, :name) end
    end
  end
end
