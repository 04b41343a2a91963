defmodule HEP.TransformTest do
  use ExUnit.Case, async: true

  alias HEP.{Fixtures, MultiParser, Transform}

  doctest HEP.Transform

  defmodule Vendor do
    @behaviour HEP.Transform

    @impl true
    def vendor_id, do: 0xCAFE

    @impl true
    def namespace, do: "hep-js"

    @impl true
    def transform(1, text), do: {:ok, "text", text}
    def transform(2, <<number::32>>), do: {:ok, "number", number}
  end

  defmodule Picky do
    @behaviour HEP.Transform

    @impl true
    def vendor_id, do: 0xCAFE

    @impl true
    def namespace, do: "picky"

    @impl true
    def transform(2, <<number::32>>), do: {:ok, "number", number}
    def transform(_id, _value), do: :no_call
  end

  defmodule Other do
    @behaviour HEP.Transform

    @impl true
    def vendor_id, do: 0xBEEF

    @impl true
    def namespace, do: "other"

    @impl true
    def transform(_id, _value), do: raise("not called")
  end

  @generic [
    {"ipProtocolFamily", 2},
    {"ipProtocol", 17},
    {"srcIpAddress", {127, 0, 0, 1}},
    {"dstIpAddress", {127, 0, 0, 2}},
    {"srcPort", 5060},
    {"dstPort", 5080},
    {"timestampSeconds", 1_795_372_142},
    {"timestampMicroseconds", 9000},
    {"payloadType", 1},
    {"captureAgentId", 2001}
  ]

  setup_all do
    packet = Fixtures.read("captures/hep-js-v3/vendor-ext/001.bin")
    {:ok, state} = MultiParser.parse(packet)
    payload = {"payload", binary_part(packet, 109, 209)}
    {:ok, state: state, packet: HEP.decode!(packet), payload: payload}
  end

  test "a parsed packet, in its order", %{state: state, payload: payload} do
    generic = @generic ++ [{"captureAgentName", "2001"}, payload]
    assert Transform.transform(state) == [{"hep", [{"version", 3}, {"generic", generic}]}]
    assert Transform.transform([], state) == Transform.transform(state)
  end

  test "a decoded packet, in the order of the ids", %{packet: packet, payload: payload} do
    expected = [
      {"hep",
       [
         {"version", 3},
         {"generic", @generic ++ [payload, {"captureAgentName", "2001"}]},
         {"hep-js", [{"text", "vendor text 0"}, {"number", 7}]}
       ]}
    ]

    assert Transform.transform([Vendor], packet) == expected
    assert Transform.transform([Vendor], HEP.Packet.to_record(packet)) == expected
  end

  test "modules", %{state: state} do
    assert vendors([Vendor], state) == [{"hep-js", [{"text", "vendor text 0"}, {"number", 7}]}]
    assert vendors([Picky], state) == [{"picky", [{"number", 7}]}]
    assert vendors([Other], state) == [{"other", []}]

    assert vendors([Other, Picky, Vendor], state) ==
             [{"other", []}, {"picky", [{"number", 7}]}, {"hep-js", []}]
  end

  test "modules count for version 3 only" do
    {:ok, state} = MultiParser.parse(Fixtures.read("captures/kamailio-v2/flag-v4/007.bin"))
    assert Transform.transform([Vendor], state) == Transform.transform(state)
  end

  test "a packet, in one step", %{state: state} do
    bytes = Fixtures.read("captures/hep-js-v3/vendor-ext/001.bin")
    assert Transform.from_packet(bytes) == {:ok, Transform.transform(state)}
    assert Transform.from_packet([Vendor], bytes) == {:ok, Transform.transform([Vendor], state)}
    assert Transform.from_packet([Vendor], nil) == {:error, :invalid_packet, nil}
  end

  defp vendors(modules, state) do
    assert [{"hep", [{"version", 3}, {"generic", _} | vendors]}] =
             Transform.transform(modules, state)

    vendors
  end
end
