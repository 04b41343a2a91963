defmodule HEP.EncodeErrorTest do
  use ExUnit.Case, async: true

  doctest HEP.EncodeError

  test "a message for every reason" do
    for {reason, message} <- [
          {{:invalid_field, :src_ip, "192.0.2.1"}, ~s(invalid value for src_ip: "192.0.2.1")},
          {{:invalid_field, :version, nil}, "invalid value for version: nil"},
          {{:missing_field, :dst_port}, "dst_port is missing"},
          {{:unsupported_field, :capture_id, 1}, "version 1 cannot carry this capture_id"},
          {{:unknown_protocol_family, :morse}, "unknown protocol family :morse"},
          {{:unsupported_payload_type, 5}, "payload type 5"},
          {{:packet_too_large, 65_536}, "65536 bytes"},
          {{:invalid_hep, :no_packet}, "no_packet"}
        ] do
      text = Exception.message(%HEP.EncodeError{reason: reason})
      assert String.valid?(text)
      assert text =~ message
    end
  end

  test "a message stays short" do
    for value <- [Enum.to_list(1..100_000), List.duplicate("text", 1000), %{payload: {1, 2}}] do
      message = Exception.message(%HEP.EncodeError{reason: {:invalid_field, :payload, value}})
      assert "invalid value for payload: " <> _ = message
      assert String.length(message) < 200
    end
  end

  test "can be raised with a reason" do
    assert_raise HEP.EncodeError, ~r/payload type 5/, fn ->
      raise HEP.EncodeError, reason: {:unsupported_payload_type, 5}
    end
  end
end
