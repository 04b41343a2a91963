defmodule HEP.SenderTest do
  use ExUnit.Case, async: true

  alias HEP.{EncodeError, Packet, Sender}

  doctest HEP.Sender

  @loopback {127, 0, 0, 1}
  @patience 10_000

  setup do
    {:ok, socket} = :gen_udp.open(0, [:binary, ip: @loopback, active: false])
    {:ok, port} = :inet.port(socket)
    %{socket: socket, port: port}
  end

  test "sends structs, records and bytes", %{socket: socket, port: port} do
    sender = start_supervised!({Sender, targets: [{"127.0.0.1", port}]})
    packet = %Packet{timestamp: 0, src_ip: {192, 0, 2, 1}, payload_type: :rtcp, payload: "ping"}
    bytes = HEP.encode!(packet)

    for sent <- [packet, Packet.to_record(packet), bytes, IO.iodata_to_binary(bytes)] do
      assert Sender.send(sender, sent) == :ok
      assert receive_from(socket) == IO.iodata_to_binary(bytes)
    end

    assert Sender.flush(sender, @patience) == :ok
    assert %{sent: 4, dropped: 0, targets: [%{state: :up}]} = Sender.info(sender)
  end

  test "options fill in missing fields", %{socket: socket, port: port} do
    options = [capture_id: 7, node_name: "edge", auth_key: "key", encode: [compress: :gzip]]
    sender = start_supervised!({Sender, [targets: [{@loopback, port}]] ++ options})
    assert Sender.send(sender, %Packet{payload: "ping"}) == :ok
    packet = HEP.decode!(receive_from(socket))
    assert {packet.capture_id, packet.payload} == {7, "ping"}
    assert Enum.sort(packet.chunks) == [{{0, 0x0E}, "key"}, {{0, 0x13}, "edge"}]
  end

  test "the Call-ID becomes the correlation id", %{socket: socket, port: port} do
    sender = start_supervised!({Sender, targets: [{@loopback, port}], correlation: :sip_call_id})

    assert Sender.send(sender, %Packet{payload: "BYE sip:b SIP/2.0\r\nCall-ID: 7@host\r\n\r\n"}) ==
             :ok

    assert Packet.correlation_id(HEP.decode!(receive_from(socket))) == "7@host"
  end

  test "balance sends a call to one of several collectors", %{port: port} do
    {:ok, other} = :gen_udp.open(0, [:binary, ip: @loopback, active: false])
    {:ok, other_port} = :inet.port(other)
    targets = [{@loopback, port}, {@loopback, other_port}]
    sender = start_supervised!({Sender, strategy: :balance, targets: targets})

    for {call, count} <- [{"17@host", 3}, {"18@host", 2}], _ <- 1..count do
      packet = %Packet{payload: "BYE sip:b SIP/2.0\r\nCall-ID: #{call}\r\n\r\n"}
      assert Sender.send(sender, packet) == :ok
    end

    assert Sender.flush(sender, @patience) == :ok
    assert %{strategy: :balance, sent: 5, dropped: 0, targets: targets} = Sender.info(sender)
    assert Enum.sort(Enum.map(targets, & &1.sent)) in [[0, 5], [2, 3]]
  end

  test "packets that cannot be sent", %{port: port} do
    sender = start_supervised!({Sender, targets: [{@loopback, port}]})

    assert Sender.send(sender, %Packet{capture_id: -1}) ==
             {:error, %EncodeError{reason: {:invalid_field, :capture_id, -1}}}

    assert {:error, %EncodeError{reason: {:packet_too_large, _}}} =
             Sender.send(sender, %Packet{payload: String.duplicate("x", 65_536)})

    assert {:error, {:datagram_too_large, size}} =
             Sender.send(sender, %Packet{payload: String.duplicate("x", 65_480)})

    assert size > 65_507
    assert Sender.send(sender, :x) == {:error, {:invalid_hep, :x}}
    assert %{refused: %{invalid: 2, too_large: 2}} = Sender.info(sender)
  end

  test "a spool keeps packets while the collector is unreachable" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: @loopback, active: false, reuseaddr: true])
    {:ok, port} = :inet.port(listener)
    :ok = :gen_tcp.close(listener)
    folder = "hep_spool_#{System.pid()}_#{System.unique_integer([:positive])}"
    dir = Path.join(System.tmp_dir!(), folder)
    on_exit(fn -> File.rm_rf!(dir) end)

    options = [
      transport: :tcp,
      targets: [{@loopback, port}],
      spool: [dir: dir, max_bytes: 1_048_576],
      spool_rate: :infinity
    ]

    bytes = IO.iodata_to_binary(HEP.encode!(%Packet{timestamp: 0, payload: "ping"}))
    first = start_supervised!({Sender, options}, id: :first)
    :ok = Sender.send(first, bytes)
    :ok = stop_supervised(:first)

    second = start_supervised!({Sender, options}, id: :second)
    assert %{spooled: 1, spool_recovered: 1, spool_dropped: 0} = Sender.info(second)

    {:ok, listener} =
      :gen_tcp.listen(port, [:binary, ip: @loopback, active: false, reuseaddr: true])

    {:ok, connection} = :gen_tcp.accept(listener, @patience)
    assert {:ok, ^bytes} = :gen_tcp.recv(connection, byte_size(bytes), @patience)

    assert Sender.start_link(spool: [dir: dir, size: 1], targets: [{@loopback, 9}]) ==
             {:error, {:bad_option, {:spool, [dir: dir, size: 1]}}}
  end

  test "a stream rejects versions 1 and 2, and begins when the collector starts" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: @loopback, active: false, reuseaddr: true])
    {:ok, port} = :inet.port(listener)
    :ok = :gen_tcp.close(listener)

    sender =
      start_supervised!(
        {Sender, transport: :tcp, targets: [{"localhost", port}], backoff: {5, 20}}
      )

    v2 = %Packet{version: 2, src_ip: {192, 0, 2, 1}, dst_ip: {192, 0, 2, 2}, payload: "ping"}
    assert Sender.send(sender, v2) == {:error, {:unframed_version, 2}}
    assert Sender.send(sender, %Packet{payload: "ping"}) == :ok
    assert Sender.flush(sender, 10) == {:error, :timeout}

    {:ok, listener} =
      :gen_tcp.listen(port, [:binary, ip: @loopback, active: false, reuseaddr: true])

    {:ok, connection} = :gen_tcp.accept(listener, @patience)
    {:ok, <<"HEP3", size::16>> = start} = :gen_tcp.recv(connection, 6, @patience)
    {:ok, rest} = :gen_tcp.recv(connection, size - 6, @patience)
    assert HEP.decode!(start <> rest).payload == "ping"
  end

  test "names", %{socket: socket, port: port} do
    via = {:via, :global, HEP.SenderTest.Via}

    for {name, sender} <- [
          {HEP.SenderTest.Named, HEP.SenderTest.Named},
          {{:local, HEP.SenderTest.Local}, HEP.SenderTest.Local},
          {{:global, HEP.SenderTest.Global}, {:global, HEP.SenderTest.Global}},
          {via, via}
        ] do
      options = [name: name, targets: [{@loopback, port}]]
      assert Sender.child_spec(options).id == name
      start_supervised!({Sender, options})
      assert Sender.send(sender, %Packet{payload: "ping"}) == :ok
      assert receive_from(socket)
      assert stop_supervised(name) == :ok
      assert Sender.send(sender, %Packet{}) == {:error, :not_running}
    end

    {:ok, sender} = Sender.start_link(targets: [{@loopback, port}])
    assert Sender.stop(sender) == :ok

    assert Sender.child_spec([]).id == {Sender, [:default, :default]}
    assert Sender.send(HEP.SenderTest.Nobody, %Packet{}) == {:error, :not_running}
  end

  test "wrong options" do
    right = [targets: [{"localhost", 9060}]]

    for wrong <- [
          {:foo, 1},
          {:name, nil},
          {:name, "x"},
          {:transport, :sctp},
          {:targets, []},
          {:targets, [{:localhost, 9060}]},
          {:queue, 0},
          {:encode, :x},
          {:node_name, ~c"edge"},
          {:tls, []}
        ] do
      assert Sender.start_link(Keyword.merge(right, [wrong])) == {:error, {:bad_option, wrong}}
    end

    assert Sender.start_link(right ++ [encode: [compress: :brotli]]) ==
             {:error, {:bad_option, {:encode, [compress: :brotli]}}}

    assert Sender.start_link(right ++ [name: "x"]) == {:error, {:bad_option, {:name, "x"}}}

    assert Sender.start_link([]) == {:error, {:bad_option, {:targets, :undefined}}}

    # The first one counts.
    assert Sender.start_link(right ++ [queue: 0, queue: 1]) ==
             {:error, {:bad_option, {:queue, 0}}}

    for wrong <- [:x, %{}, [:x], [{"queue", 1}]] do
      assert Sender.start_link(wrong) == {:error, {:bad_option, wrong}}
    end
  end

  defp receive_from(socket) do
    {:ok, {_address, _port, datagram}} = :gen_udp.recv(socket, 0, @patience)
    datagram
  end
end
