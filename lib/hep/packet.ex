defmodule HEP.Packet do
  @moduledoc """
  A packet, decoded or to be encoded: one field per fact, `nil` where the packet does not have it.

    * `version` - of the protocol: 1, 2 or 3
    * `family` - `:ipv4` or `:ipv6`; follows the addresses where there are any
    * `protocol` - the IP protocol id: 6 TCP, 17 UDP, 132 SCTP. Kamailio writes 22 for TLS
    * `src_ip`, `src_port`, `dst_ip`, `dst_port` - of the captured packet, addresses as tuples
    * `timestamp` - when the payload was captured, in microseconds since the epoch; see `datetime/1`.
      Version 1 carries no time: it is the time of decoding. `HEP.encode/2` writes the time of
      encoding for `nil`
    * `capture_id` - the capture agent's: 16 bits in version 2, 32 in version 3, none in version 1
    * `payload_type` - what the payload is: a name, or the number where there is none; `:sip` where
      the packet does not say. The second number of a name that has two stays a number too
    * `payload` - the captured payload, inflated where it came compressed
    * `chunks` - every chunk of version 3 without a field of its own, as
      `{{vendor_id, chunk_id}, value}` in the packet's order; vendor 0 is generic

  The Erlang library has the record `#hep{}` for the same: `to_record/1` and `from_record/1` lead
  there and back.

  `inspect/2` leaves out what is absent and shortens binaries; `structs: false` shows all:

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
  # Packets have 32 bits for the seconds.
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
  When the payload was captured, as a `DateTime` in UTC.

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
  The value of a chunk without a field of its own; of several equal chunks the last one's.

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
  Sets a chunk where it stands, or behind the others; `nil` takes it off.

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
  The id that the packets of one call have in common.

  ## Examples

      iex> packet = HEP.Packet.put_correlation_id(%HEP.Packet{}, "call-1")
      iex> HEP.Packet.correlation_id(packet)
      "call-1"
  """
  @doc since: "1.0.0"
  @spec correlation_id(t()) :: binary() | nil
  def correlation_id(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:correlation_id))

  @doc """
  Sets the id that the packets of one call have in common; `nil` takes it off. See `correlation_id/1`.
  """
  @doc since: "1.0.0"
  @spec put_correlation_id(t(), binary() | nil) :: t()
  def put_correlation_id(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:correlation_id), value)

  @doc """
  The name of the capture agent: bytes, mostly but not always UTF-8.

  ## Examples

      iex> packet = HEP.Packet.put_node_name(%HEP.Packet{}, "edge")
      iex> HEP.Packet.node_name(packet)
      "edge"
  """
  @doc since: "1.0.0"
  @spec node_name(t()) :: binary() | nil
  def node_name(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:node_name))

  @doc """
  Sets the name of the capture agent: bytes, mostly but not always UTF-8; `nil` takes it off. See `node_name/1`.
  """
  @doc since: "1.0.0"
  @spec put_node_name(t(), binary() | nil) :: t()
  def put_node_name(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:node_name), value)

  @doc """
  The key that the capture agent authenticates itself with.

  ## Examples

      iex> packet = HEP.Packet.put_auth_key(%HEP.Packet{}, "secret")
      iex> HEP.Packet.auth_key(packet)
      "secret"
  """
  @doc since: "1.0.0"
  @spec auth_key(t()) :: binary() | nil
  def auth_key(packet), do: chunk(packet, 0, :hep_registry.chunk_id(:auth_key))

  @doc """
  Sets the key that the capture agent authenticates itself with; `nil` takes it off. See `auth_key/1`.
  """
  @doc since: "1.0.0"
  @spec put_auth_key(t(), binary() | nil) :: t()
  def put_auth_key(packet, value),
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:auth_key), value)

  @doc """
  The VLAN that the payload was captured in; `nil` where it does not fit 16 bits.

  ## Examples

      iex> HEP.Packet.vlan_id(HEP.Packet.put_vlan_id(%HEP.Packet{}, 100))
      100
  """
  @doc since: "1.0.0"
  @spec vlan_id(t()) :: :hep.uint16() | nil
  def vlan_id(%__MODULE__{} = packet),
    do: to_nil(:hep.vlan_id(hep(:hep.new(), chunks: packet.chunks)))

  @doc """
  Sets the VLAN that the payload was captured in; `nil` takes it off. See `vlan_id/1`.
  """
  @doc since: "1.0.0"
  @spec put_vlan_id(t(), :hep.uint16() | nil) :: t()
  def put_vlan_id(packet, nil), do: put_chunk(packet, 0, :hep_registry.chunk_id(:vlan_id), nil)

  def put_vlan_id(packet, id) when id in 0..0xFFFF,
    do: put_chunk(packet, 0, :hep_registry.chunk_id(:vlan_id), <<id::16>>)

  @doc """
  The packet as the record `#hep{}` of the Erlang library.

  Raises `ArgumentError` when the family or the payload type is a name that the protocol does not
  have.

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
  # The record for writing, of whatever the fields hold: what is wrong is left for the codec to refuse.
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

  # The fields that need no more than a word for their absence.
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
  The packet that a record `#hep{}` of the Erlang library holds.

  `to_record/1` gives a decoded record back, but for one thing: microseconds of a second or more,
  which some senders write, are carried over into the seconds, as far as 32 bits hold those.

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

  # The name, unless it leads to another number than the record's.
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

  # A tuple is no time here, although the record has one.
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
