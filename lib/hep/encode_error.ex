defmodule HEP.EncodeError do
  @moduledoc """
  Why a packet cannot be encoded. Returned by `HEP.encode/2` and `HEP.to_json/1`, raised by
  `HEP.encode!/2` and `HEP.to_json!/1`.

  `reason` is for programs; `message/1` describes it in a sentence. Fields are named as in
  `HEP.Packet`, options as in `t:HEP.encode_option/0`.

    * `{:invalid_field, field, value}` - the value is out of the field's range, of a wrong type, or an
      address of the wrong family (in version 3 the destination's family may differ from the source's
      if `:family` is that of the source). For `:chunks`, the value is the wrong element, the whole
      field if it is not a list, or the `{vendor_id, chunk_id}` of a chunk that has a wrong width or
      belongs in a field
    * `{:missing_field, field}` - versions 1 and 2 require it
    * `{:unsupported_field, field, version}` - the version cannot carry the field's value, or does not
      support the option
    * `{:unknown_protocol_family, family}` - `family` is neither IPv4 nor IPv6
    * `{:unsupported_payload_type, number}` - versions 1 and 2 carry SIP only
    * `{:packet_too_large, size}` - it would have at least that many bytes; the limit is 65535

  `t::hep.encode_reason/0` has one more, `{:invalid_hep, term}`, which a `HEP.Packet` never causes.
  """
  @moduledoc since: "1.0.0"

  defexception [:reason]

  @typedoc since: "1.0.0"
  @type t :: %__MODULE__{reason: :hep.encode_reason()}

  @doc """
  Describes the reason in a sentence.

  ## Examples

      iex> HEP.EncodeError.message(%HEP.EncodeError{reason: {:invalid_field, :src_port, 70_000}})
      "invalid value for src_port: 70000"
  """
  @doc since: "1.0.0"
  @impl true
  @spec message(t()) :: String.t()
  def message(%__MODULE__{reason: {:invalid_field, field, value}}) when field != :chunks,
    do: "invalid value for #{field}: #{short(value)}"

  def message(%__MODULE__{reason: {:unknown_protocol_family, family}}),
    do: "unknown protocol family #{short(family)}: neither IPv4 nor IPv6"

  def message(%__MODULE__{reason: reason}), do: List.to_string(:hep.format_error(reason))

  @doc false
  # The Erlang library's reason, with the packet's names and values in place of the record's.
  @spec of(:hep.encode_reason(), HEP.Packet.t()) :: t()
  def of(reason, packet), do: %__MODULE__{reason: translated(reason, packet)}

  defp translated({:invalid_field, :chunks, _wrong} = reason, _packet), do: reason

  defp translated({:invalid_field, field, _value}, packet) do
    field = translated(field)
    {:invalid_field, field, Map.fetch!(packet, field)}
  end

  defp translated({:missing_field, field}, _packet), do: {:missing_field, translated(field)}

  defp translated({:unsupported_field, field, version}, _packet),
    do: {:unsupported_field, translated(field), version}

  defp translated({:unknown_protocol_family, _family}, packet),
    do: {:unknown_protocol_family, packet.family}

  defp translated(reason, _packet), do: reason

  defp translated(:node_id), do: :capture_id
  defp translated(field), do: field

  defp short(value), do: inspect(value, limit: 12, printable_limit: 80)
end
