defmodule CollectorTest do
  use ExUnit.Case

  import ExUnit.CaptureIO

  test "a packet becomes a line of JSON" do
    {:ok, device} = StringIO.open("")
    {_listener, send} = listener(device)
    send.(HEP.encode!(%HEP.Packet{src_ip: {192, 0, 2, 1}, payload: "OPTIONS sip:a SIP/2.0\r\n"}))

    assert [json, ""] = device |> printed() |> String.split("\n")
    assert {:ok, %HEP.Packet{src_ip: {192, 0, 2, 1}} = packet} = HEP.from_json(json)
    assert packet.payload == "OPTIONS sip:a SIP/2.0\r\n"
  end

  test "an invalid packet is reported on standard error" do
    {:ok, device} = StringIO.open("")

    told =
      capture_io(:stderr, fn ->
        {listener, send} = listener(device)
        send.("garbage")
        send.(HEP.encode!(%HEP.Packet{payload: "ping"}))
        printed(device)
        # The listener stops after its handler has finished.
        HEP.Listener.stop(listener)
      end)

    assert told =~ "7 bytes: not a HEP packet"
  end

  # The application's listener, and a function that sends it a datagram.
  defp listener(device) do
    options = [ip: {127, 0, 0, 1}, port: 0, view: :json, handler: {Collector.Printer, device}]
    {:ok, listener} = HEP.Listener.start_link(options)
    port = HEP.Listener.port(listener)
    {:ok, socket} = :gen_udp.open(0)
    {listener, fn datagram -> :ok = :gen_udp.send(socket, {127, 0, 0, 1}, port, datagram) end}
  end

  # Waits for it.
  defp printed(device) do
    case StringIO.contents(device) do
      {"", ""} ->
        Process.sleep(10)
        printed(device)

      {"", printed} ->
        printed
    end
  end
end
