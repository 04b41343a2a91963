defmodule HEP.EncodeTest do
  use ExUnit.Case, async: true

  alias HEP.{EncodeError, Packet}

  @sip %Packet{
    version: 2,
    family: :ipv4,
    protocol: 17,
    src_ip: {192, 0, 2, 1},
    src_port: 5060,
    dst_ip: {192, 0, 2, 2},
    dst_port: 5080,
    timestamp: 1_756_196_017_250_000,
    capture_id: 2001,
    payload: "OPTIONS sip:bob@example.com"
  }

  # {field, a value that is invalid in every version, the reason}
  defp wrong do
    values = [
      version: [nil, 0, 4, 3.0, "3", :hep_v3],
      protocol: [-1, 65_536, "udp", :udp],
      src_ip: ["1.2.3.4", ~c"1.2.3.4", {1, 2, 3, 256}, {0, 0, 0, 0, 0, 0, 0, 65_536}, 1],
      src_port: [70_000, -1, 5060.0, "5060"],
      dst_ip: ["::1", {1, 2, 3, -1}, {1, 2, 3, 4, 5}],
      dst_port: [65_536, :sip],
      timestamp: [-1, 1.5, "now", {1756, 196_017, 250_000}, ~U[2025-08-26 08:13:37Z], 10 ** 30],
      capture_id: [-1, 0x1_0000_0000, "2001"],
      payload_type: [:foo, nil, 256, -1, "sip"],
      payload: [nil, :payload, ["io", "data"], <<1::7>>, 1],
      chunks: [nil, :none, %{}, {{0, 17}, "a"}, [{{0, 17}, "a"} | {{0, 17}, "b"}]]
    ]

    families = [:ipv5, :morse, "ipv4", 99, -1, 2.0]

    elements = [:chunk, {{0, 17}, nil}, {{0, 65_536}, "a"}, {{-1, 1}, "a"}, {0, 17, "a"}]

    named =
      for {field, values} <- values, value <- values do
        {field, value, {:invalid_field, field, value}}
      end

    families = for family <- families, do: {:family, family, {:unknown_protocol_family, family}}

    chunks =
      for element <- elements do
        {:chunks, [{{0, 17}, "a"}, element], {:invalid_field, :chunks, element}}
      end

    named ++ families ++ chunks
  end

  describe "encode/2" do
    test "version 2 in both styles" do
      head = <<17, 5060::16, 5080::16, 192, 0, 2, 1, 192, 0, 2, 2>>
      big = <<2, 28, 2, head::binary, 1_756_196_017::32, 250_000::32, 2001::16, 0::16>>

      little =
        <<2, 16, 2, head::binary, 1_756_196_017::little-32, 250_000::little-32, 2001::little-16,
          0::16>>

      for options <- [[], [v2_style: :documented]] do
        assert HEP.encode(@sip, options) == {:ok, big <> @sip.payload}
        assert HEP.encode!(@sip, options) == big <> @sip.payload
        assert HEP.encode_to_iodata(@sip, options) == {:ok, [big, @sip.payload]}
        assert HEP.encode_to_iodata!(@sip, options) == [big, @sip.payload]
      end

      assert HEP.encode(@sip) == {:ok, big <> @sip.payload}
      assert HEP.encode(@sip, v2_style: :c) == {:ok, little <> @sip.payload}
    end

    test "the payload is not copied" do
      payload = :crypto.strong_rand_bytes(60_000)
      assert {:ok, [_header, written]} = HEP.encode_to_iodata(%Packet{payload: payload})
      assert :erts_debug.same(written, payload)
    end

    test "names and numbers" do
      for {name, number} <- [ipv4: 2, ipv6: 10] do
        packet = %Packet{family: name, timestamp: 0}
        assert HEP.encode(%{packet | family: number}) == HEP.encode(packet)
        assert HEP.to_json(%{packet | family: number}) == HEP.to_json(packet)
      end

      for number <- 0..255 do
        packet =
          Packet.from_record(:hep.payload_type(number, :hep.timestamp({0, 0, 0}, :hep.new())))

        assert HEP.encode(%{packet | payload_type: number}) == HEP.encode(packet)
        assert HEP.to_json(%{packet | payload_type: number}) == HEP.to_json(packet)
        assert HEP.decode!(HEP.encode!(packet)) == packet
      end
    end

    test "the time of encoding for a packet without one" do
      before = System.os_time(:microsecond)
      packet = HEP.decode!(HEP.encode!(%{@sip | timestamp: nil}))
      assert packet.timestamp in before..System.os_time(:microsecond)
    end

    test "times up to the last one of the format" do
      last = 0xFFFFFFFF * 1_000_000 + 0xFFFFFFFF

      for time <- [0, 1, 999_999, 1_000_000, 0xFFFFFFFF * 1_000_000 + 999_999, last] do
        packet = %Packet{timestamp: time}
        assert HEP.decode!(HEP.encode!(packet)) == packet
        assert HEP.from_json!(HEP.to_json!(packet)) == packet
      end

      reason = {:invalid_field, :timestamp, last + 1}
      assert HEP.encode(%Packet{timestamp: last + 1}) == {:error, %EncodeError{reason: reason}}
      assert HEP.to_json(%Packet{timestamp: last + 1}) == {:error, %EncodeError{reason: reason}}
    end

    test "compress and auth_key" do
      payload = String.duplicate("a", 100_000)
      packet = %Packet{timestamp: 0, payload: payload, chunks: [{{0, 14}, "old"}]}
      assert {:error, %{reason: {:packet_too_large, size}}} = HEP.encode(packet)
      assert size > 100_000

      for compress <- [:zlib, :gzip] do
        datagram = HEP.encode!(packet, compress: compress, auth_key: "new")
        assert byte_size(datagram) < 1000
        assert HEP.decode!(datagram) == %{packet | chunks: [{{0, 14}, "new"}]}
      end
    end

    test "65535 bytes and no more" do
      rest = byte_size(HEP.encode!(%Packet{}))
      packet = %Packet{timestamp: 0, payload: :binary.copy("a", 65_535 - rest)}
      datagram = HEP.encode!(packet)
      assert byte_size(datagram) == 65_535
      assert HEP.decode!(datagram) == packet
      error = %EncodeError{reason: {:packet_too_large, 65_536}}
      assert HEP.encode(%{packet | payload: packet.payload <> "a"}) == {:error, error}
    end

    test "a value that cannot be written is reported" do
      for {field, value, reason} <- wrong(), options <- [[], [v2_style: :c], [compress: :zlib]] do
        packet = Map.put(%Packet{}, field, value)
        error = %EncodeError{reason: reason}
        assert HEP.encode(packet, options) == {:error, error}
        assert Exception.message(error) =~ "#{field}"
        assert catch_error(HEP.encode!(packet, options)) == error
      end
    end

    test "addresses of two families" do
      for {packet, field} <- [
            {%{@sip | dst_ip: {0, 0, 0, 0, 0, 0, 0, 1}, family: nil}, :dst_ip},
            {%{@sip | family: :ipv6}, :src_ip},
            {%{@sip | version: 2, dst_ip: {0, 0, 0, 0, 0, 0, 0, 1}}, :dst_ip},
            {%Packet{dst_ip: {192, 0, 2, 2}, family: :ipv6}, :dst_ip}
          ] do
        reason = {:invalid_field, field, Map.fetch!(packet, field)}
        assert HEP.encode(packet) == {:error, %EncodeError{reason: reason}}
      end

      mixed = %{@sip | version: 3, dst_ip: {0, 0, 0, 0, 0, 0, 0, 1}, family: :ipv4}
      assert HEP.decode!(HEP.encode!(mixed)) == mixed
    end

    test "required fields of versions 1 and 2" do
      for version <- [1, 2], field <- [:protocol, :src_ip, :src_port, :dst_ip, :dst_port] do
        packet = Map.put(%{@sip | version: version, capture_id: nil}, field, nil)
        assert HEP.encode(packet) == {:error, %EncodeError{reason: {:missing_field, field}}}
      end
    end

    test "fields that versions 1 and 2 cannot carry" do
      v1 = %{@sip | version: 1, capture_id: nil}

      for {packet, options, field} <- [
            {%{v1 | capture_id: 0}, [], :capture_id},
            {%{@sip | capture_id: 65_536}, [], :capture_id},
            {%{@sip | protocol: 256}, [], :protocol},
            {%{@sip | chunks: [{{0, 17}, "a"}]}, [], :chunks},
            {@sip, [auth_key: "secret"], :auth_key},
            {v1, [compress: :zlib], :compress}
          ] do
        error = %EncodeError{reason: {:unsupported_field, field, packet.version}}
        assert HEP.encode(packet, options) == {:error, error}
        assert Exception.message(error) =~ "#{field}"
      end

      for version <- [1, 2], {type, number} <- [rtcp: 5, log: 100, reserved: 0] do
        packet = %{@sip | version: version, payload_type: type}
        reason = {:unsupported_payload_type, number}
        assert HEP.encode(packet) == {:error, %EncodeError{reason: reason}}
      end
    end

    test "chunks with a field are errors; others have any width" do
      for {{key, _value} = chunk, allowed} <- [
            {{{0, 1}, <<2>>}, false},
            {{{0, 12}, <<2001::32>>}, false},
            {{{0, 15}, "payload"}, false},
            {{{0, 18}, <<1>>}, true},
            {{{0, 18}, <<1::16>>}, true},
            {{{0, 0xFFFF}, ""}, true},
            {{{1, 15}, "payload"}, true}
          ] do
        packet = %Packet{timestamp: 0, chunks: [chunk]}

        if allowed do
          assert {:ok, _} = HEP.encode(packet)
        else
          reason = {:invalid_field, :chunks, key}
          assert HEP.encode(packet) == {:error, %EncodeError{reason: reason}}
        end
      end
    end

    test "a packet must be a HEP.Packet, options a list" do
      for packet <- [nil, "HEP3", %{}, Map.from_struct(@sip), :hep.new(), [@sip]] do
        assert_raise FunctionClauseError, fn -> HEP.encode(packet) end
        assert_raise FunctionClauseError, fn -> HEP.encode(packet, v2_style: :c) end
        assert_raise FunctionClauseError, fn -> HEP.encode!(packet) end
      end

      for options <- [nil, :c, %{v2_style: :c}] do
        assert_raise FunctionClauseError, fn -> HEP.encode(@sip, options) end
      end
    end

    test "a wrong value of an option is reported" do
      for {{name, value}, wanted} <- [
            {{:v2_style, :big}, ":documented, :c or :forks"},
            {{:v2_style, nil}, ":documented, :c or :forks"},
            {{:compress, true}, ":none, :zlib or :gzip"},
            {{:compress, "zlib"}, ":none, :zlib or :gzip"},
            {{:auth_key, nil}, "a binary"},
            {{:auth_key, ~c"secret"}, "a binary"},
            {{:auth_key, <<1::7>>}, "a binary"}
          ] do
        message =
          "invalid value #{inspect(value)} for option #{inspect(name)}, expected #{wanted}"

        legal = if name == :compress, do: [auth_key: "secret"], else: [compress: :gzip]

        for options <- [[{name, value}], [{name, value} | legal], legal ++ [{name, value}]],
            packet <- [@sip, %Packet{}, %Packet{version: nil, chunks: nil}] do
          assert_raise ArgumentError, message, fn -> HEP.encode(packet, options) end
          assert_raise ArgumentError, message, fn -> HEP.encode!(packet, options) end
        end
      end
    end

    test "an unknown option is reported" do
      assert_raise ArgumentError, ~r/unknown keys \[:v2_order\]/, fn ->
        HEP.encode(@sip, v2_order: :big, compress: :none)
      end

      assert_raise ArgumentError, fn -> HEP.encode(@sip, compress: :none, compress: :zlib) end
      assert_raise ArgumentError, fn -> HEP.encode(@sip, [:compress]) end
      assert_raise ArgumentError, fn -> HEP.encode(@sip, [{"compress", :none}]) end
    end
  end

  describe "to_json/1" do
    test "a packet" do
      packet = %{@sip | version: 3, chunks: [{{0, 17}, "a84b4c"}, {{0xCAFE, 1}, <<255>>}]}

      assert HEP.to_json!(packet) ==
               ~S({"type":"HEP","version":3,"protocolFamily":2,"protocol":17,) <>
                 ~S("srcIp":"192.0.2.1","srcPort":5060,"dstIp":"192.0.2.2","dstPort":5080,) <>
                 ~S("timestamp":"2025-08-26T08:13:37.250Z","timestampUSecs":0,"captureId":2001,) <>
                 ~S("correlationId":"a84b4c",) <>
                 ~S("vendorChunks":[{"vendorId":51966,"chunkId":1,"encoding":"base64","data":"/w=="}],) <>
                 ~S("payload":{"type":"SIP","data":"OPTIONS sip:bob@example.com"}})

      assert HEP.from_json!(HEP.to_json!(packet)) == packet
    end

    test "a list" do
      packets = [@sip, %Packet{}, %{@sip | payload: <<0, 255>>}]
      assert {:ok, json} = HEP.to_json(packets)
      assert json == "[" <> Enum.map_join(packets, ",", &HEP.to_json!/1) <> "]"
      assert HEP.from_json(json) == {:ok, packets}
      assert HEP.from_json!(HEP.to_json!([@sip])) == [@sip]
    end

    test "long calls" do
      packet = %{@sip | payload: :binary.copy(<<0, 255>>, 1_000_000)}
      assert HEP.from_json!(HEP.to_json!(packet)) == packet
      assert HEP.from_json!(HEP.to_json!([packet, packet])) == [packet, packet]
    end

    test "a value that cannot be written is reported" do
      for {field, value, reason} <- wrong() do
        packet = Map.put(%Packet{}, field, value)
        error = %EncodeError{reason: reason}

        for packets <- [packet, [packet], [@sip, packet, %Packet{version: 4}]] do
          assert HEP.to_json(packets) == {:error, error}
          assert catch_error(HEP.to_json!(packets)) == error
        end
      end
    end

    test "the bytes of packets" do
      bytes = HEP.encode!(@sip)
      assert HEP.to_json(bytes) == HEP.to_json(@sip)
      assert HEP.to_json!([bytes, @sip]) == HEP.to_json!([@sip, @sip])
      error = %HEP.DecodeError{reason: {:truncated, 4}}
      assert HEP.to_json("HEP3") == {:error, error}
      assert HEP.to_json([@sip, "HEP3"]) == {:error, error}
      assert catch_error(HEP.to_json!("HEP3")) == error
    end

    test "only packets" do
      for other <- [nil, %{}, :hep.new(), [:hep.new()], [@sip | @sip], [[@sip]]] do
        assert_raise FunctionClauseError, fn -> HEP.to_json(other) end
        assert_raise FunctionClauseError, fn -> HEP.to_json!(other) end
      end
    end
  end

  describe "from_json/1" do
    test "errors have a position" do
      json = HEP.to_json!(@sip)

      for {json, line, column, message} <- [
            {"", 1, 1, "EOF"},
            {"{", 1, 2, "EOF"},
            {"{\n", 2, 1, "EOF"},
            {"null", 1, 1, "expected a packet or an array of packets"},
            {"{}", 1, 1, "missing field `type`"},
            {"[1]", 1, 2, "expected a packet"},
            {"[{}]", 1, 2, "missing field `type`"},
            {~s({"type":"SIP", "version":3}), 1, 9, "expected HEP"},
            {~s({"type":"HEP", "type":"HEP"}), 1, 16, "duplicate field `type`"},
            {~s({\n"ä": 1}), 2, 1, "unknown field `ä`"},
            {json <> "x", 1, byte_size(json) + 1, "trailing characters"},
            {<<?", 255, ?">>, 1, 2, "not UTF-8"},
            {"HEP3", 1, 1, "expected value"}
          ] do
        assert {:error, %HEP.DecodeError{reason: reason} = error} = HEP.from_json(json)
        assert {:invalid_json, ^line, found, text} = reason
        assert found == column, json
        assert text =~ message
        assert Exception.message(error) == "#{text} at line #{line}, column #{column}"
        assert catch_error(HEP.from_json!(json)) == error
      end
    end

    test "every truncation is an error" do
      json = HEP.to_json!([@sip, %Packet{payload: "ä"}])

      for length <- 0..(byte_size(json) - 1) do
        part = binary_part(json, 0, length)
        assert {:error, %HEP.DecodeError{} = error} = HEP.from_json(part)
        assert String.valid?(Exception.message(error))
      end
    end

    test "JSON must be a binary" do
      for json <- [nil, ~c"{}", ["{}"], <<1::7>>, %{}] do
        assert_raise FunctionClauseError, fn -> HEP.from_json(json) end
        assert_raise FunctionClauseError, fn -> HEP.from_json!(json) end
      end
    end
  end
end
