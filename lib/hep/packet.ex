defmodule HEP.Packet do
  @moduledoc """
  A decoded packet, or one to be encoded. Absent fields are `nil`.

    * `version` - of the protocol: 1, 2 or 3
    * `family` - `:ipv4` or `:ipv6`; that of the addresses if there are any
    * `protocol` - the IP protocol id: 6 TCP, 17 UDP, 132 SCTP. Kamailio writes 22 for TLS
    * `src_ip`, `src_port`, `dst_ip`, `dst_port` - of the captured packet, addresses as tuples
    * `timestamp` - when the payload was captured, in microseconds since the epoch; see `datetime/1`.
      Version 1 carries no time: it is the time of decoding. `HEP.encode/2` writes the time of
      encoding for `nil`
    * `capture_id` - the capture agent's: 16 bits in version 2, 32 in version 3, none in version 1
    * `payload_type` - the type of the payload: a name, or the number if it has no name; `:sip` if the
      packet does not state it. If two numbers share a name, the second one stays a number
    * `payload` - the captured payload, inflated if it was compressed
    * `chunks` - all chunks of version 3 without a field here, as
      `{{vendor_id, chunk_id}, value}` in the packet's order; vendor 0 is generic

  `to_record/1` and `from_record/1` convert to and from the record `#hep{}` of the Erlang library.

  `inspect/2` omits absent fields and shortens binaries; `structs: false` shows everything:

      iex> inspect(%HEP.Packet{src_port: 5060, payload: "OPTIONS sip:bob@example.com SIP/2.0\\r\\n"})
      ~S|#HEP.Packet<version: 3, src_port: 5060, payload_type: :sip, | <>
        ~S|payload: "OPTIONS sip:bob@example.com SIP/" <> ... (37 bytes)>|
  """
  @moduledoc since: "1.0.0"

  require Record

  @hrl Path.expand("../../include/hep.hrl", __DIR__)
  @external_resource @hrl
  Record.defrecordp(:hep, Record.extract(:hep, from: @hrl))

  @second 1_000_000
  @megasecond 1_000_000
  # The seconds in packets have 32 bits.
  @last_second 0xFFFFFFFF

  @typedoc since: "1.0.0"
  @type t :: %__MODULE__{
          version: :hep.version(),
          family: :hep.protocol_family() | nil,
          protocol: :hep.uint16() | nil,
          src_ip: :inet.ip_address() | nil,
          src_port: :inet.port_number() | nil,
          dst_ip: :inet.ip_address() | nil,
          dst_port: :inet.port_number() | nil,
          timestamp: integer() | nil,
          capture_id: :hep.uint32() | nil,
          payload_type: :hep.payload_type() | :hep.uint8(),
          payload: binary(),
          chunks: [chunk()]
        }

  @typedoc since: "1.0.0"
  @type chunk :: {{:hep.vendor_id(), :hep.chunk_id()}, value :: binary()}

  defstruct version: 3,
            family: nil,
            protocol: nil,
            src_ip: nil,
            src_port: nil,
            dst_ip: nil,
            dst_port: nil,
            timestamp: nil,
            capture_id: nil,
            payload_type: :sip,
            payload: "",
            chunks: []

  @doc """
  Returns the time of capture as a `DateTime` in UTC.

  ## Examples

      iex> HEP.Packet.datetime(%HEP.Packet{timestamp: 1_756_196_017_250_000})
      ~U[2025-08-26 08:13:37.250000Z]

      iex> HEP.Packet.datetime(%HEP.Packet{timestamp: nil})
      nil
  """
  @doc since: "1.0.0"
  @spec datetime(t()) :: DateTime.t() | nil
  def datetime(%__MODULE__{timestamp: nil}), do: nil
  def datetime(%__MODULE__{timestamp: time}), do: DateTime.from_unix!(time, :microsecond)

  @doc """
  Returns the value of a chunk in `chunks`; the last one's if there are several.

  ## Examples

      iex> packet = %HEP.Packet{chunks: [{{0, 17}, "call-1"}, {{9, 1}, "x"}]}
      iex> {HEP.Packet.chunk(packet, 9, 1), HEP.Packet.chunk(packet, 9, 2)}
      {"x", nil}
  """
  @doc since: "1.0.0"
  @spec chunk(t(), :hep.vendor_id(), :hep.chunk_id()) :: binary() | nil
  def chunk(%__MODULE__{chunks: chunks}, vendor_id, chunk_id) do
    key = {vendor_id, chunk_id}

    Enum.reduce(chunks, nil, fn {other, value}, last -> if other == key, do: value, else: last end)
  end

  @doc """
  Replaces a chunk in place, or appends it; `nil` removes it.

  ## Examples

      iex> packet = HEP.Packet.put_chunk(%HEP.Packet{}, 9, 1, "x")
      iex> packet.chunks
      [{{9, 1}, "x"}]
      iex> HEP.Packet.put_chunk(packet, 9, 1, nil).chunks
      []
  """
  @doc since: "1.0.0"
  @spec put_chunk(t(), :hep.vendor_id(), :hep.chunk_id(), binary() | nil) :: t()
  def put_chunk(%__MODULE__{chunks: chunks} = packet, vendor_id, chunk_id, value)
      when is_binary(value) or is_nil(value) do
    key = {vendor_id, chunk_id}
    {before, rest} = Enum.split_while(chunks, fn {other, _} -> other != key end)
    own = if value, do: [{key, value}], else: []
    %{packet | chunks: before ++ own ++ Enum.reject(rest, fn {other, _} -> other == key end)}
  end

  @doc """
  Returns the correlation id, shared by the packets of one call.

  ## Examples

      iex> packet = HEP.Packet.put_correlation_id(%HEP.Packet{}, "call-1")
      iex> HEP.Packet.correlation_id(packet)
      "call-1"
  """
  @doc since: "1.0.0"
  @spec correlation_id(t()) :: binary() | nil
  def correlation_id(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:correlation_id))

  @doc """
  Sets the correlation id; `nil` removes it. See `correlation_id/1`.
  """
  @doc since: "1.0.0"
  @spec put_correlation_id(t(), binary() | nil) :: t()
  def put_correlation_id(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:correlation_id), value)

  @doc """
  Returns the name of the capture agent: a binary, usually UTF-8.

  ## Examples

      iex> packet = HEP.Packet.put_node_name(%HEP.Packet{}, "edge")
      iex> HEP.Packet.node_name(packet)
      "edge"
  """
  @doc since: "1.0.0"
  @spec node_name(t()) :: binary() | nil
  def node_name(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:node_name))

  @doc """
  Sets the name of the capture agent; `nil` removes it. See `node_name/1`.
  """
  @doc since: "1.0.0"
  @spec put_node_name(t(), binary() | nil) :: t()
  def put_node_name(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:node_name), value)

  @doc """
  Returns the key by which the capture agent authenticates itself.

  ## Examples

      iex> packet = HEP.Packet.put_auth_key(%HEP.Packet{}, "secret")
      iex> HEP.Packet.auth_key(packet)
      "secret"
  """
  @doc since: "1.0.0"
  @spec auth_key(t()) :: binary() | nil
  def auth_key(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:auth_key))

  @doc """
  Sets the authenticate key; `nil` removes it. See `auth_key/1`.
  """
  @doc since: "1.0.0"
  @spec put_auth_key(t(), binary() | nil) :: t()
  def put_auth_key(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:auth_key), value)

  @doc """
  Returns the VLAN id of the captured packet; `nil` if it does not fit 16 bits.

  ## Examples

      iex> HEP.Packet.vlan_id(HEP.Packet.put_vlan_id(%HEP.Packet{}, 100))
      100
  """
  @doc since: "1.0.0"
  @spec vlan_id(t()) :: :hep.uint16() | nil
  def vlan_id(%__MODULE__{} = packet),
    do: to_nil(:hep.vlan_id(hep(:hep.new(), chunks: packet.chunks)))

  @doc """
  Sets the VLAN id; `nil` removes it. See `vlan_id/1`.
  """
  @doc since: "1.0.0"
  @spec put_vlan_id(t(), :hep.uint16() | nil) :: t()
  def put_vlan_id(packet, nil), do: put_chunk(packet, 0, :hep_registry.chunk_id(:vlan_id), nil)

  def put_vlan_id(packet, id) when id in 0..0xFFFF,
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:vlan_id), <<id::16>>)

  @doc """
  Converts the packet to the record `#hep{}` of the Erlang library.

  Raises `ArgumentError` if the family or the payload type is an unknown name.

  ## Examples

      iex> record = HEP.Packet.to_record(%HEP.Packet{src_ip: {192, 0, 2, 1}, payload_type: :rtcp})
      iex> :hep.src_ip(record)
      {192, 0, 2, 1}
      iex> HEP.Packet.from_record(record)
      %HEP.Packet{src_ip: {192, 0, 2, 1}, payload_type: :rtcp}
  """
  @doc since: "1.0.0"
  @spec to_record(t()) :: :hep.t()
  def to_record(%__MODULE__{} = packet) do
    chunks = Enum.map(packet.chunks, fn {key, value} -> {key, {byte_size(value), value}} end)
    record = hep(record(packet), timestamp: to_timestamp(packet.timestamp), chunks: chunks)
    record = :hep.protocol_family(to_undefined(packet.family), record)
    :hep.payload_type(packet.payload_type, record)
  end

  @doc false
  # The record to encode, with the fields unchecked: the codec rejects invalid values.
  @spec to_unchecked_record(t()) :: tuple()
  def to_unchecked_record(%__MODULE__{} = packet) do
    hep(record(packet),
      version: if(is_integer(packet.version), do: packet.version),
      protocol_family: number(packet.family, :hep_registry.protocol_family_number(packet.family)),
      timestamp: unchecked_timestamp(packet.timestamp),
      payload_type:
        number(packet.payload_type, :hep_registry.payload_type_number(packet.payload_type)),
      chunks: packet.chunks
    )
  end

  # The fields for which only `nil` and `:undefined` are exchanged.
  defp record(packet) do
    hep(
      version: to_undefined(packet.version),
      protocol: to_undefined(packet.protocol),
      src_ip: to_undefined(packet.src_ip),
      src_port: to_undefined(packet.src_port),
      dst_ip: to_undefined(packet.dst_ip),
      dst_port: to_undefined(packet.dst_port),
      node_id: to_undefined(packet.capture_id),
      payload: packet.payload
    )
  end

  defp number(value, :undefined), do: to_undefined(value)
  defp number(_name, number), do: number

  @doc """
  Converts a record `#hep{}` of the Erlang library to a packet.

  `to_record/1` restores a decoded record, with one exception: microseconds above 999,999, which some
  senders write, are carried over into the seconds, as far as these fit 32 bits.

  ## Examples

      iex> record = :hep.timestamp({1_756, 196_017, 250_000}, :hep.payload_type(:rtcp, :hep.new()))
      iex> HEP.Packet.from_record(record)
      %HEP.Packet{timestamp: 1_756_196_017_250_000, payload_type: :rtcp}
  """
  @doc since: "1.0.0"
  @spec from_record(:hep.t()) :: t()
  def from_record(
        hep(
          version: version,
          protocol: protocol,
          src_ip: src_ip,
          src_port: src_port,
          dst_ip: dst_ip,
          dst_port: dst_port,
          timestamp: timestamp,
          node_id: node_id,
          payload_type: number,
          payload: payload,
          chunks: chunks
        ) = record
      ) do
    %__MODULE__{
      version: to_nil(version),
      family: to_nil(:hep.protocol_family(record)),
      protocol: to_nil(protocol),
      src_ip: to_nil(src_ip),
      src_port: to_nil(src_port),
      dst_ip: to_nil(dst_ip),
      dst_port: to_nil(dst_port),
      timestamp: from_timestamp(timestamp),
      capture_id: to_nil(node_id),
      payload_type: payload_type(number),
      payload: payload,
      chunks: Enum.map(chunks, fn {key, value} -> {key, chunk_value(value)} end)
    }
  end

  # The name, unless its number differs from the record's.
  defp payload_type(number) when is_integer(number) do
    name = :hep_registry.payload_type_name(number)
    if :hep_registry.payload_type_number(name) == number, do: name, else: number
  end

  defp chunk_value({_length, value}), do: value
  defp chunk_value(value), do: value

  defp from_timestamp(:undefined), do: nil

  defp from_timestamp({megaseconds, seconds, microseconds}),
    do: (megaseconds * @megasecond + seconds) * @second + microseconds

  defp to_timestamp(nil), do: :undefined

  defp to_timestamp(time) do
    seconds = min(div(time, @second), @last_second)
    {div(seconds, @megasecond), rem(seconds, @megasecond), time - seconds * @second}
  end

  # Unlike in the record, a tuple is not a valid time here.
  defp unchecked_timestamp(time) when is_integer(time) or is_nil(time), do: to_timestamp(time)
  defp unchecked_timestamp(_other), do: :invalid

  defp to_nil(:undefined), do: nil
  defp to_nil(value), do: value

  defp to_undefined(nil), do: :undefined
  defp to_undefined(value), do: value

  defimpl Inspect do
    import Inspect.Algebra

    @fields [:version, :family, :protocol, :src_ip, :src_port, :dst_ip, :dst_port] ++
              [:timestamp, :capture_id, :payload_type, :payload, :chunks]
    @shown 32

    def inspect(packet, opts) do
      fields = for name <- @fields, value = shown(name, packet), do: {name, value}
      container_doc("#HEP.Packet<", fields, ">", opts, &field/2)
    end

    defp shown(:chunks, %{chunks: []}), do: nil
    defp shown(name, packet), do: Map.fetch!(packet, name)

    defp field({:chunks, chunks}, opts) when is_list(chunks),
      do: concat("chunks: ", container_doc("[", chunks, "]", opts, &chunk/2))

    defp field({name, value}, opts), do: concat("#{name}: ", short(value, opts))

    defp chunk({key, value}, opts),
      do: concat(["{", to_doc(key, opts), ", ", short(value, opts), "}"])

    defp chunk(other, opts), do: to_doc(other, opts)

    defp short(<<head::binary-size(@shown), _, _::binary>> = value, opts),
      do: concat(to_doc(whole(head), opts), " <> ... (#{byte_size(value)} bytes)")

    defp short(value, opts), do: to_doc(value, opts)

    # Text is not cut in the middle of a character.
    defp whole(head) do
      case :unicode.characters_to_binary(head) do
        {:incomplete, whole, _rest} -> whole
        _ -> head
      end
    end
  end
end
