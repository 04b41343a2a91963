defmodule HEP.SIPTest do
  use ExUnit.Case, async: true

  doctest HEP.SIP

  test "takes a packet" do
    packet = %HEP.Packet{payload: "SIP/2.0 180 Ringing\r\nTo: <sip:bob@[::1]:5070>;tag=1\r\n\r\n"}

    assert {:ok, %{kind: :response, status: 180, reason: "Ringing"} = summary} =
             HEP.SIP.summary(packet)

    assert summary.to == %{
             uri: "sip:bob@[::1]:5070",
             user: "bob",
             host: "[::1]",
             port: 5070,
             tag: "1"
           }

    assert HEP.SIP.header(packet, "t") == {:ok, ["<sip:bob@[::1]:5070>;tag=1"]}
    assert HEP.SIP.headers(packet) == {:ok, [{"To", "<sip:bob@[::1]:5070>;tag=1"}]}
  end
end
