defmodule HEP.PcapTest do
  use ExUnit.Case, async: true
  doctest HEP.Pcap

  @file_name "test/fixtures/pcap/mergecap.pcapng"

  setup do
    path = Path.join(System.tmp_dir!(), "hep-pcap-#{System.unique_integer([:positive])}.pcap")
    on_exit(fn -> File.rm(path) end)
    {:ok, path: path}
  end

  test "a stream is lazy, and can be run again" do
    stream = HEP.Pcap.stream!(@file_name)
    assert [%HEP.Packet{payload_type: :sip, protocol: 17}] = Enum.take(stream, 1)
    assert [17, 17, 6] = Enum.map(stream, & &1.protocol)
  end

  test "with the frame" do
    assert [{%HEP.Packet{}, %{inside: :sip, protocol: 17, source: {_, 5060}}} | _] =
             HEP.Pcap.stream!(@file_name, info: true) |> Enum.to_list()
  end

  test "complete packets come before the error" do
    bytes = File.read!(@file_name)
    cut = {:binary, binary_part(bytes, 0, byte_size(bytes) - 5)}
    parent = self()

    error =
      assert_raise HEP.Pcap.Error, ~r/^offset \d+: the file is truncated here$/, fn ->
        HEP.Pcap.stream!(cut) |> Enum.each(&send(parent, &1))
      end

    assert %{reason: {_, :truncated}} = error
    assert_received %HEP.Packet{}
    assert_received %HEP.Packet{}
    refute_received %HEP.Packet{}
    assert {:error, {_, :truncated}, 2} = HEP.Pcap.fold(cut, [], 0, fn _, n -> n + 1 end)

    assert_raise HEP.Pcap.Error, ~r/no such file/, fn ->
      HEP.Pcap.stream!("nowhere") |> Enum.to_list()
    end
  end

  test "written packets are read again", %{path: path} do
    packets = Enum.to_list(HEP.Pcap.stream!(@file_name))
    assert {:ok, []} = HEP.Pcap.write(path, HEP.Pcap.stream!(@file_name))
    assert packets == Enum.to_list(HEP.Pcap.stream!(path))
    assert {:error, {:file, _}} = HEP.Pcap.write(Path.join(path, "below"), packets)
  end

  test "wrong options raise" do
    assert_raise ArgumentError, fn -> HEP.Pcap.stream!(@file_name, port: 1) end

    assert_raise ArgumentError, fn ->
      HEP.Pcap.stream!(@file_name, ports: [70_000]) |> Enum.to_list()
    end
  end
end
