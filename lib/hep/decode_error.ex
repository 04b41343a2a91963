defmodule HEP.DecodeError do
  @moduledoc """
  Why bytes are not a HEP packet, or text is not the JSON of packets. Returned by `HEP.decode/2` and
  `HEP.from_json/1`, raised by `HEP.decode!/2` and `HEP.from_json!/1`, passed to handlers by
  `HEP.Listener`.

  `reason` is for programs; `message/1` describes it in a sentence. Offsets count from the packet's
  first byte.

    * `:not_hep` - it begins with neither 1, 2, `HEP3` nor `EEP3`
    * `{:truncated, offset}` - it ends at the offset, inside a header or before its total length is
      reached
    * `{:unknown_protocol_family, family}` - version 1 or 2, byte 2
    * `{:invalid_header_length, length}` - version 1 or 2, byte 1: no sender writes it
    * `{:invalid_total_length, length}` - version 3, bytes 4 and 5: below 6
    * `{:truncated_chunk, offset}` - fewer than 6 bytes left of the total length
    * `{:invalid_chunk_length, offset, length}` - below 6 or beyond the total length
    * `{:invalid_chunk, vendor_id, chunk_id, value_length, value}` - a chunk of a known field with a
      wrong width, an unknown protocol family, or a compressed payload that is corrupt or inflates
      beyond the limit
    * `{:invalid_gzip, problem}` - a packet in gzip that cannot be unpacked: it is `:truncated`,
      `:corrupt`, or inflates beyond the limit (`:too_large`)
    * `{:invalid_json, line, column, message}` - from `HEP.from_json/1`: the text is not JSON, or not
      the JSON of packets. `t::hep_json.reason/0` describes the place; lines and columns count from 1,
      columns in bytes
    * `{:stream, {offset, reason}}` - from a connection of `HEP.Listener`: an error of `HEP.Stream`
    * `:unauthenticated` - from `HEP.Listener`: the packet has none of its authenticate keys
  """
  @moduledoc since: "1.0.0"

  defexception [:reason]

  @typedoc since: "1.0.0"
  @type t :: %__MODULE__{reason: :hep.reason() | :hep_json.reason() | :hep_handler.reason()}

  @doc """
  Describes the reason in a sentence.

  ## Examples

      iex> HEP.DecodeError.message(%HEP.DecodeError{reason: {:invalid_total_length, 5}})
      "invalid total length 5 at byte 4: the minimum is 6"
  """
  @doc since: "1.0.0"
  @impl true
  @spec message(t()) :: String.t()
  def message(%__MODULE__{reason: reason}), do: List.to_string(:hep_handler.format_error(reason))
end
