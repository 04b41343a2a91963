defmodule HEP do
  @moduledoc """
  HEP (Homer Encapsulation Protocol, also EEP), versions 1, 2 and 3.

  `decode/1` decodes a datagram into a `HEP.Packet`:

      iex> datagram =
      ...>   <<2, 28, 2, 17, 5060::16, 5080::16, 192, 0, 2, 1, 192, 0, 2, 2>> <>
      ...>     <<1_756_196_017::32, 250_000::32, 2001::16, 0::16, "OPTIONS sip:bob@example.com">>
      iex> {:ok, packet} = HEP.decode(datagram)
      iex> packet.src_ip
      {192, 0, 2, 1}
      iex> packet.payload_type
      :sip
      iex> packet.payload
      "OPTIONS sip:bob@example.com"
      iex> HEP.Packet.datetime(packet)
      ~U[2025-08-26 08:13:37.250000Z]

  `encode/1` encodes a packet; `to_json/1` and `from_json/1` convert packets to and from JSON:

      iex> packet = %HEP.Packet{version: 3, src_ip: {192, 0, 2, 1}, payload: "OPTIONS sip:b SIP/2.0"}
      iex> {:ok, datagram} = HEP.encode(packet)
      iex> HEP.decode!(datagram).src_ip
      {192, 0, 2, 1}
      iex> {:ok, json} = HEP.to_json(packet)
      iex> HEP.from_json!(json) == packet
      true

  The modules of the original Erlang library have counterparts here: `HEP.MultiParser` returns a
  packet as a list of chunks, `HEP.Transform` as property lists with readable names, and
  `HEP.MultiDecoder` as the record `#hep{}`. The Erlang module `:hep` reads and changes such records.
  """
  @moduledoc since: "1.0.0"

  alias HEP.{DecodeError, EncodeError, Packet}

  @options [:header_length, :v2_order, :capture_id, :timestamp, :lengths, :max_inflated]
  @encode_options [:v2_style, :compress, :auth_key]

  @typedoc """
  How to decode fields that senders write differently:

    * `:header_length` - what to do with a header length of version 1 or 2 that no known sender
      writes: `:strict` (default), an error; `:ignore`, it is not checked
    * `:v2_order` - the byte order of version 2's time header: `:auto` (default), found from the
      values, and from the clock where both orders are plausible; `:big`, as documented; `:little`,
      as C senders write it
    * `:capture_id` - capture ids that senders shift left by 16 bits (sngrep, sipgrep, hep-c, old
      captagents, reSIProcate and others): `:keep` (default); `:repair`, ids whose lower half is
      zero are shifted back
    * `:timestamp` - times of version 3 that a sender wrote byte-swapped or counted from 1900:
      `:repair` (default), corrected where the microseconds, or a time more than a day ahead of the
      clock, show it; `:keep`, unchanged. Encoding such a packet carries microseconds of a second or
      more over into the seconds
    * `:lengths` - a wrong total length or chunk length in version 3: `:strict` (default), an error;
      `:lenient`, complete chunks are kept, and the received part of the payload: see `decode/2`
    * `:max_inflated` - the size limit, in bytes, of an inflated payload: 256 KiB by default. A packet
      in gzip may unpack to 65,535 bytes, and no more than this limit
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:header_length, :strict | :ignore}
          | {:v2_order, :auto | :big | :little}
          | {:capture_id, :keep | :repair}
          | {:timestamp, :repair | :keep}
          | {:lengths, :strict | :lenient}
          | {:max_inflated, non_neg_integer()}

  @typedoc """
  How to write a packet:

    * `:v2_style` - `:documented` (default): version 2 as documented, big-endian, its header length
      counting the whole header; `:c`: as receivers in C expect it, little-endian, with the header
      length of version 1; `:forks`: as the forks of the Erlang library write and read it,
      big-endian, with the header length of version 1
    * `:compress` - the compression of version 3's payload: `:none` (default), `:zlib` or `:gzip`
    * `:auth_key` - the authenticate key of version 3, a binary, in place of the packet's
  """
  @typedoc since: "1.0.0"
  @type encode_option ::
          {:v2_style, :documented | :c | :forks}
          | {:compress, :none | :zlib | :gzip}
          | {:auth_key, binary()}

  @doc """
  Decodes a packet of any version.

  The payload and the chunks of the result are sub-binaries of the datagram and keep it in memory:
  copy those that you store for long (`:binary.copy/1`).

  With `lengths: :lenient`, returns `{:ok, packet, error}` for a packet with wrong lengths; the error
  is the one that `:strict` returns. Complete chunks are kept, and the received part of a truncated
  payload. A truncated payload that is compressed is left out, and so is any other truncated chunk.

  Raises `FunctionClauseError` when the packet is not a binary or the options are not a list,
  `ArgumentError` when an option is unknown or has a wrong value.

  ## Examples

      iex> {:ok, packet} = HEP.decode(<<"HEP3", 24::16, 0::16, 7::16, 8::16, 5060::16>> <>
      ...>   <<0::16, 15::16, 10::16, "ping">>)
      iex> {packet.src_port, packet.payload}
      {5060, "ping"}

      iex> HEP.decode("OPTIONS sip:bob@example.com")
      {:error, %HEP.DecodeError{reason: :not_hep}}

      iex> HEP.decode(<<"HEP3", 16::16, 0::16, 12::16, 10::16, 2002::16, 0::16>>, capture_id: :repair)
      {:ok, %HEP.Packet{capture_id: 2002}}

      iex> HEP.decode(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "pi">>, lengths: :lenient)
      {:ok, %HEP.Packet{payload: "pi"}, %HEP.DecodeError{reason: {:truncated, 14}}}

      iex> HEP.decode("HEP3", v2_order: :middle)
      ** (ArgumentError) invalid value :middle for option :v2_order, expected :auto, :big or :little
  """
  @doc since: "1.0.0"
  @spec decode(binary(), [option()]) ::
          {:ok, Packet.t()} | {:ok, Packet.t(), DecodeError.t()} | {:error, DecodeError.t()}
  def decode(packet, options \\ [])

  def decode(packet, []) when is_binary(packet), do: result(:hep.decode(packet))

  def decode(packet, options) when is_binary(packet) and is_list(options) do
    options = options |> Keyword.validate!(@options) |> Map.new()

    try do
      :hep.decode(packet, options)
    rescue
      ArgumentError -> raise ArgumentError, wrong(options, :decode)
    else
      result -> result(result)
    end
  end

  @doc """
  Decodes a packet of any version. Raises `HEP.DecodeError` if it is invalid.

  Otherwise like `decode/2`, but does not report that a packet was truncated.

  ## Examples

      iex> HEP.decode!(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>).payload
      "ping"

      iex> HEP.decode!("HEP3")
      ** (HEP.DecodeError) truncated: the packet ends at byte 4, before the end of its header or its total length
  """
  @doc since: "1.0.0"
  @spec decode!(binary(), [option()]) :: Packet.t()
  def decode!(packet, options \\ []), do: bang(decode(packet, options))

  @doc """
  Encodes a packet in the version of its `:version` field.

  A packet without a time gets the time of encoding; a packet without a family gets that of its
  addresses. Family and payload type may be names or numbers. Invalid values are errors that name the
  field, see `HEP.EncodeError`.

  Raises `FunctionClauseError` when the packet is not a `HEP.Packet` or the options are not a list,
  `ArgumentError` when an option is unknown or has a wrong value.

  ## Examples

      iex> packet = %HEP.Packet{src_port: 5060, timestamp: 1_756_196_017_250_000, payload: "ping"}
      iex> {:ok, datagram} = HEP.encode(packet)
      iex> HEP.decode(datagram) == {:ok, packet}
      true

      iex> HEP.encode(%HEP.Packet{src_port: 70_000})
      {:error, %HEP.EncodeError{reason: {:invalid_field, :src_port, 70_000}}}

      iex> {:ok, datagram} = HEP.encode(%HEP.Packet{payload: "ping"}, auth_key: "secret")
      iex> HEP.decode!(datagram).chunks
      [{{0, 14}, "secret"}]

      iex> HEP.encode(%HEP.Packet{}, compress: :brotli)
      ** (ArgumentError) invalid value :brotli for option :compress, expected :none, :zlib or :gzip
  """
  @doc since: "1.0.0"
  @spec encode(Packet.t(), [encode_option()]) :: {:ok, binary()} | {:error, EncodeError.t()}
  def encode(packet, options \\ []), do: encoded(packet, options, :encode)

  @doc """
  Encodes a packet. Raises `HEP.EncodeError` if it cannot be encoded.

  Otherwise like `encode/2`.

  ## Examples

      iex> datagram = HEP.encode!(%HEP.Packet{timestamp: 0, payload: "ping"})
      iex> HEP.decode!(datagram).payload
      "ping"

      iex> HEP.encode!(%HEP.Packet{version: 2, payload_type: :rtcp})
      ** (HEP.EncodeError) payload type 5: versions 1 and 2 carry SIP only
  """
  @doc since: "1.0.0"
  @spec encode!(Packet.t(), [encode_option()]) :: binary()
  def encode!(packet, options \\ []), do: bang(encode(packet, options))

  @doc """
  Encodes a packet without copying its payload.

  The result is iodata, ready for `:gen_udp.send/4`: the header, in one or more pieces, the payload,
  and the chunks after it, if any. A compressed payload is a new binary. Otherwise like `encode/2`.

  ## Examples

      iex> packet = %HEP.Packet{timestamp: 0, payload: "ping"}
      iex> {:ok, iodata} = HEP.encode_to_iodata(packet)
      iex> IO.iodata_to_binary(iodata) == HEP.encode!(packet)
      true

      iex> HEP.encode_to_iodata(%HEP.Packet{src_port: 70_000})
      {:error, %HEP.EncodeError{reason: {:invalid_field, :src_port, 70_000}}}
  """
  @doc since: "1.0.0"
  @spec encode_to_iodata(Packet.t(), [encode_option()]) ::
          {:ok, iodata()} | {:error, EncodeError.t()}
  def encode_to_iodata(packet, options \\ []), do: encoded(packet, options, :encode_iolist)

  @doc """
  Encodes a packet without copying its payload. Raises `HEP.EncodeError` if it cannot be encoded.

  Otherwise like `encode_to_iodata/2`.

  ## Examples

      iex> iodata = HEP.encode_to_iodata!(%HEP.Packet{payload: "ping"})
      iex> HEP.decode!(IO.iodata_to_binary(iodata)).payload
      "ping"
  """
  @doc since: "1.0.0"
  @spec encode_to_iodata!(Packet.t(), [encode_option()]) :: iodata()
  def encode_to_iodata!(packet, options \\ []), do: bang(encode_to_iodata(packet, options))

  @doc """
  Writes a packet as JSON, or a list of packets as an array. Raw packets are decoded first.

  The Erlang module `:hep_json` describes the representation. Binaries that are not UTF-8 are written
  as base64; `from_json/1` restores them.

  An invalid value is a `HEP.EncodeError` that names the field; an invalid raw packet is a
  `HEP.DecodeError`. For a list, the first error is returned. Raises `FunctionClauseError` for anything
  else.

  ## Examples

      iex> {:ok, json} = HEP.to_json(%HEP.Packet{src_ip: {192, 0, 2, 1}, payload: "ping"})
      iex> json =~ ~s("srcIp":"192.0.2.1") and json =~ ~s("payload":{"type":"SIP","data":"ping"})
      true

      iex> HEP.to_json(%HEP.Packet{capture_id: -1})
      {:error, %HEP.EncodeError{reason: {:invalid_field, :capture_id, -1}}}

      iex> HEP.to_json([])
      {:ok, "[]"}

      iex> {:ok, json} = HEP.to_json(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>)
      iex> HEP.from_json!(json)
      %HEP.Packet{payload: "ping"}

      iex> HEP.to_json("ping")
      {:error, %HEP.DecodeError{reason: :not_hep}}
  """
  @doc since: "1.0.0"
  @spec to_json(Packet.t() | binary() | [Packet.t() | binary()]) ::
          {:ok, String.t()} | {:error, EncodeError.t() | DecodeError.t()}
  def to_json(bytes) when is_binary(bytes) do
    with {:error, reason} <- :hep_json.from_packet(bytes),
         do: {:error, %DecodeError{reason: reason}}
  end

  def to_json(%Packet{} = packet) do
    record = Packet.to_unchecked_record(packet)

    written(:hep_json.encode_record(record), packet)
  end

  def to_json(packets) when is_list(packets) do
    with {:ok, objects} <- objects(packets, []),
         do: {:ok, IO.iodata_to_binary([?[, Enum.intersperse(objects, ?,), ?]])}
  end

  @doc """
  Writes a packet or a list of packets as JSON. Raises `HEP.EncodeError` or `HEP.DecodeError` on an
  error.

  Otherwise like `to_json/1`.

  ## Examples

      iex> HEP.from_json!(HEP.to_json!([%HEP.Packet{payload: "ping"}]))
      [%HEP.Packet{payload: "ping"}]

      iex> HEP.to_json!(%HEP.Packet{payload: nil})
      ** (HEP.EncodeError) invalid value for payload: nil
  """
  @doc since: "1.0.0"
  @spec to_json!(Packet.t() | binary() | [Packet.t() | binary()]) :: String.t()
  def to_json!(packets), do: bang(to_json(packets))

  @doc """
  Reads the JSON of a packet, or of an array of packets.

  Raises `FunctionClauseError` when the JSON is not a binary.

  ## Examples

      iex> HEP.from_json(~s({"type": "HEP", "version": 3, "payload": {"type": "SIP", "data": "ping"}}))
      {:ok, %HEP.Packet{payload: "ping"}}

      iex> {:error, %HEP.DecodeError{reason: reason}} = HEP.from_json(~s({"type": "HEP",}))
      iex> {:invalid_json, 1, 16, _message} = reason
      iex> HEP.DecodeError.message(%HEP.DecodeError{reason: reason})
      "key must be a string at line 1, column 16"
  """
  @doc since: "1.0.0"
  @spec from_json(binary()) :: {:ok, Packet.t() | [Packet.t()]} | {:error, DecodeError.t()}
  def from_json(json) when is_binary(json) do
    case :hep_json.decode(json) do
      {:ok, records} when is_list(records) -> {:ok, Enum.map(records, &Packet.from_record/1)}
      result -> result(result)
    end
  end

  @doc """
  Reads the JSON of a packet, or of an array of packets. Raises `HEP.DecodeError` if it is invalid.

  ## Examples

      iex> HEP.from_json!("[]")
      []

      iex> HEP.from_json!("{}")
      ** (HEP.DecodeError) missing field `type` at line 1, column 1
  """
  @doc since: "1.0.0"
  @spec from_json!(binary()) :: Packet.t() | [Packet.t()]
  def from_json!(json), do: bang(from_json(json))

  defp result({:ok, record}), do: {:ok, Packet.from_record(record)}

  defp result({:ok, record, reason}),
    do: {:ok, Packet.from_record(record), %DecodeError{reason: reason}}

  defp result({:error, reason}), do: {:error, %DecodeError{reason: reason}}

  defp encoded(%Packet{} = packet, [], function),
    do: written(apply(:hep, function, [Packet.to_unchecked_record(packet)]), packet)

  defp encoded(%Packet{} = packet, options, function) when is_list(options) do
    options = options |> Keyword.validate!(@encode_options) |> Map.new()
    record = Packet.to_unchecked_record(packet)

    try do
      apply(:hep, function, [record, options])
    rescue
      ArgumentError -> raise ArgumentError, wrong(options, :encode)
    else
      result -> written(result, packet)
    end
  end

  defp written({:error, reason}, packet), do: {:error, EncodeError.of(reason, packet)}
  defp written({:ok, _} = written, _packet), do: written

  defp bang({:ok, value}), do: value
  defp bang({:ok, value, %DecodeError{}}), do: value
  defp bang({:error, error}), do: raise(error)

  defp objects([], written), do: {:ok, Enum.reverse(written)}

  defp objects([packet | packets], written) when is_struct(packet, Packet) or is_binary(packet) do
    with {:ok, json} <- to_json(packet), do: objects(packets, [json | written])
  end

  defp wrong(options, kind) do
    {name, value} = :hep_options.first_wrong(kind, options)
    wanted = Map.fetch!(:hep_options.values(kind), name)
    "invalid value #{inspect(value)} for option #{inspect(name)}, expected #{one_of(wanted)}"
  end

  defp one_of([atom | _] = atoms) when is_atom(atom) do
    {last, others} = atoms |> Enum.map(&inspect/1) |> List.pop_at(-1)
    Enum.join(others, ", ") <> " or " <> last
  end

  defp one_of(text), do: to_string(text)
end
