defmodule HEP.DecodeErrorTest do
  use ExUnit.Case, async: true

  doctest HEP.DecodeError

  test "a message for every reason" do
    for {reason, message} <- [
          {:not_hep, "not a HEP packet"},
          {{:truncated, 7}, "byte 7"},
          {{:unknown_protocol_family, 99}, "99"},
          {{:invalid_header_length, 17}, "17"},
          {{:invalid_total_length, 5}, "5"},
          {{:truncated_chunk, 147}, "byte 147"},
          {{:invalid_chunk_length, 12, 3}, "3 of the chunk at byte 12"},
          {{:invalid_chunk, 0, 7, 1, <<1>>}, "chunk 0x0007 of vendor 0 (1 bytes)"},
          {{:invalid_json, 3, 14, "unknown field `ä`"}, "unknown field `ä` at line 3, column 14"},
          {{:stream, {35, {:resync, 2}}}, "offset 35: 2 bytes were skipped"},
          {:unauthenticated, "no valid authenticate key"}
        ] do
      text = Exception.message(%HEP.DecodeError{reason: reason})
      assert String.valid?(text)
      assert text =~ message
    end
  end

  test "can be raised with a reason" do
    assert_raise HEP.DecodeError, ~r/not a HEP packet/, fn ->
      raise HEP.DecodeError, reason: :not_hep
    end
  end
end
