defmodule HEP.FixturesTest do
  use ExUnit.Case, async: true

  alias HEP.Fixtures

  setup_all do
    datagrams = Fixtures.datagrams()
    assert length(datagrams) >= 924
    {:ok, datagrams: datagrams}
  end

  test "decode", %{datagrams: datagrams} do
    for datagram <- datagrams, do: check_decode(datagram, datagram, [])
  end

  test "decode with options", %{datagrams: datagrams} do
    entries =
      for datagram <- datagrams, entry <- Map.get(datagram, "options", []) do
        check_decode(entry, datagram, Fixtures.options(entry["options"]))
      end

    assert length(entries) >= 219
  end

  test "decode! agrees with decode", %{datagrams: datagrams} do
    for %{"packet" => packet, "file" => file} <- datagrams do
      case HEP.decode(packet) do
        {:ok, %{version: 1} = decoded} ->
          assert %{HEP.decode!(packet) | timestamp: decoded.timestamp} == decoded, file

        {:ok, decoded} ->
          assert HEP.decode!(packet) == decoded, file

        {:error, error} ->
          assert catch_error(HEP.decode!(packet)) == error, file
      end
    end
  end

  test "decode, encode, decode", %{datagrams: datagrams} do
    options = %{
      1 => [[]],
      2 => [[], [v2_style: :documented], [v2_style: :c], [v2_style: :forks]],
      3 => [[], [compress: :none], [compress: :zlib], [compress: :gzip]]
    }

    counts =
      for %{"packet" => packet, "file" => file} <- datagrams,
          {:ok, decoded} <- [HEP.decode(packet)],
          options <- options[decoded.version] do
        check_encode(HEP.encode(decoded, options), decoded, options, file)
      end

    assert %{same: same, error: errors} = Enum.frequencies(counts)

    # Three payloads of 256 KiB must be compressed.
    assert same > 1200 and errors == 3 * 2
  end

  test "to_json, from_json", %{datagrams: datagrams} do
    packets =
      for %{"packet" => packet, "file" => file} <- datagrams,
          {:ok, decoded} <- [HEP.decode(packet)] do
        assert {:ok, json} = HEP.to_json(decoded), file
        assert String.valid?(json), file
        assert HEP.from_json(json) == {:ok, decoded}, file
        assert HEP.to_json!(decoded) == json, file
        assert HEP.from_json!(json) == decoded, file

        # Directly from the datagram, JSON keeps microseconds of a second or more; version 1 has the time
        # of decoding.
        {:ok, direct} = :hep_json.from_packet(packet)
        again = HEP.from_json!(direct)
        again = if decoded.version == 1, do: %{again | timestamp: decoded.timestamp}, else: again
        assert again == decoded, file
        decoded
      end

    assert length(packets) > 400
    assert {:ok, json} = HEP.to_json(packets)
    assert json == "[" <> Enum.map_join(packets, ",", &HEP.to_json!/1) <> "]"
    assert HEP.from_json(json) == {:ok, packets}
  end

  test "to_record and from_record", %{datagrams: datagrams} do
    counts =
      for %{"packet" => packet, "file" => file} <- datagrams,
          {:ok, record} <- [:hep.decode(packet)] do
        decoded = HEP.Packet.from_record(record)
        assert HEP.Packet.from_record(HEP.Packet.to_record(decoded)) == decoded, file

        {megaseconds, seconds, microseconds} =
          case :hep.timestamp(record) do
            :undefined -> {0, 0, 0}
            timestamp -> timestamp
          end

        if microseconds < 1_000_000 do
          assert HEP.Packet.to_record(decoded) == record, file
          :kept
        else
          total = (megaseconds * 1_000_000 + seconds) * 1_000_000 + microseconds
          assert decoded.timestamp == total, file
          carried = :hep.timestamp(HEP.Packet.to_record(decoded))
          assert HEP.Packet.to_record(decoded) == :hep.timestamp(carried, record), file
          :carried
        end
      end

    assert %{kept: kept, carried: carried} = Enum.frequencies(counts)
    assert kept > 400 and carried > 0
  end

  test "MultiParser", %{datagrams: datagrams} do
    for %{"packet" => packet, "file" => file} = datagram <- datagrams do
      case datagram do
        %{"parse_error" => true} ->
          assert HEP.MultiParser.parse(packet) == {:error, :invalid_packet, packet}, file

        %{"parse" => expected} ->
          assert {:ok, state} = HEP.MultiParser.parse(packet), file
          chunks = :hep.get_chunks(state)
          assert length(chunks) == length(expected), file

          for {[vendor, id, value], {key, found}} <- Enum.zip(expected, chunks) do
            assert key == <<vendor::16, id::16>>, file
            if value, do: assert(found == Fixtures.bytes(value, packet), file)
          end
      end
    end
  end

  test "MultiDecoder", %{datagrams: datagrams} do
    for %{"packet" => packet, "file" => file} <- datagrams do
      case HEP.decode(packet) do
        {:ok, decoded} ->
          assert {:ok, record} = HEP.MultiDecoder.decode(packet)
          again = HEP.Packet.from_record(record)
          assert %{again | timestamp: nil} == %{decoded | timestamp: nil}, file

        {:error, %{reason: {:invalid_chunk, 0, _, _, _} = reason}} ->
          assert HEP.MultiDecoder.decode(packet) == {:error, reason, packet}, file

        {:error, _} ->
          assert HEP.MultiDecoder.decode(packet) == {:error, :invalid_packet, packet}, file
      end
    end
  end

  test "Transform takes all three kinds of packet", %{datagrams: datagrams} do
    for %{"packet" => packet, "file" => file} <- datagrams,
        {:ok, %{version: version} = decoded} when version > 1 <- [HEP.decode(packet)] do
      record = HEP.Packet.to_record(decoded)
      assert HEP.Transform.transform(decoded) == :hep_transform.transform(record), file
      assert HEP.Transform.transform(record) == :hep_transform.transform(record), file

      {:ok, state} = HEP.MultiParser.parse(packet)
      assert HEP.Transform.transform(state) == :hep_transform.transform(state), file
    end
  end

  test "every truncation of a version 3 packet is an error" do
    for file <- [
          "captures/asterisk-16.28-v3/callid-v6/001.bin",
          "captures/hep-js-v3/vendor-ext/001.bin",
          "published/hep3-specification-example.bin"
        ] do
      packet = Fixtures.read(file)
      assert {:ok, _} = HEP.decode(packet)

      for part <- truncations(packet) do
        assert {:error, %HEP.DecodeError{reason: reason} = error} = HEP.decode(part)
        assert reason == :not_hep or match?({:truncated, _}, reason)
        assert is_binary(Exception.message(error))
        assert HEP.MultiParser.parse(part) == {:error, :invalid_packet, part}
        assert HEP.MultiDecoder.decode(part) == {:error, :invalid_packet, part}
      end
    end
  end

  # Versions 1 and 2 do not state the length of the payload.
  test "every truncation of the header is an error in versions 1 and 2" do
    for {file, header} <- [
          {"captures/kamailio-v2/flag-v4/007.bin", 28},
          {"captures/kamailio-v2/flag-v6/002.bin", 52},
          {"constructed/v1-ipv4-length-16.bin", 16}
        ] do
      packet = Fixtures.read(file)
      assert {:ok, _} = HEP.decode(packet)

      for part <- truncations(packet) do
        case HEP.decode(part) do
          {:error, %HEP.DecodeError{reason: reason}} when byte_size(part) < header ->
            assert reason == :not_hep or match?({:truncated, _}, reason)

          {:ok, %HEP.Packet{payload: payload}} when byte_size(part) >= header ->
            assert String.starts_with?(packet, binary_part(part, 0, header) <> payload)
        end
      end
    end
  end

  defp truncations(packet) do
    for length <- 0..(byte_size(packet) - 1), do: binary_part(packet, 0, length)
  end

  defp check_encode({:ok, written}, decoded, options, file) do
    # The header length of the forks means little-endian if the time is ambiguous.
    order = if options[:v2_style] == :forks, do: :big, else: :auto
    assert {:ok, again} = HEP.decode(written, v2_order: order), file

    # Version 1 has no time, and a packet without one gets the time of encoding.
    again = if timed?(decoded), do: again, else: %{again | timestamp: decoded.timestamp}
    assert again == %{decoded | chunks: in_written_order(decoded.chunks)}, file
    if timed?(decoded), do: assert(HEP.encode!(decoded, options) == written, file)
    :same
  end

  defp check_encode({:error, error}, decoded, options, file) do
    assert {:packet_too_large, size} = error.reason, file
    assert size > 65_535 and options[:compress] in [nil, :none], file
    assert catch_error(HEP.encode!(decoded, options)) == error, file
    :error
  end

  # The result without the reason for a truncated packet.
  defp whole(answer, nil, _file), do: answer

  defp whole({:ok, packet, %HEP.DecodeError{reason: reason}}, cut, file) do
    assert Fixtures.reason_of(reason) == Fixtures.reason(cut), file
    {:ok, packet}
  end

  defp timed?(%{version: version, timestamp: time}), do: version != 1 and time != nil

  # Generic chunks in the order of their ids, then those of vendors.
  defp in_written_order(chunks) do
    {generic, vendors} = Enum.split_with(chunks, &match?({{0, _}, _}, &1))
    Enum.sort_by(generic, fn {{0, id}, _} -> id end) ++ vendors
  end

  defp check_decode(%{"decode_error" => expected}, %{"packet" => packet, "file" => file}, options) do
    assert {:error, %HEP.DecodeError{reason: reason} = error} = HEP.decode(packet, options), file
    assert Fixtures.reason_of(reason) == Fixtures.reason(expected), file
    assert Exception.message(error) == List.to_string(:hep.format_error(reason)), file
  end

  defp check_decode(
         %{"decode" => expected} = entry,
         %{"packet" => packet, "file" => file},
         options
       ) do
    cut = entry["cut"]
    before = System.os_time(:microsecond)
    assert {:ok, %HEP.Packet{} = decoded} = whole(HEP.decode(packet, options), cut, file), file
    fields = Fixtures.fields(expected, packet)
    assert Map.take(decoded, Map.keys(fields)) == fields, file

    case expected["timestamp"] do
      nil ->
        assert decoded.timestamp == nil, file

      "now" ->
        assert decoded.timestamp in before..System.os_time(:microsecond), file

      [seconds, microseconds] ->
        assert decoded.timestamp == seconds * 1_000_000 + microseconds, file
        time = DateTime.to_unix(HEP.Packet.datetime(decoded), :microsecond)
        assert time == decoded.timestamp, file
    end

    case expected["payload"] do
      %{"length" => length, "sha256" => sha256} ->
        assert byte_size(decoded.payload) == length, file
        assert Base.encode16(:crypto.hash(:sha256, decoded.payload), case: :lower) == sha256, file

      payload ->
        assert decoded.payload == Fixtures.bytes(payload, packet), file
    end
  end
end
