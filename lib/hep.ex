defmodule HEP do
  @moduledoc """
  HEP (Homer Encapsulation Protocol, also EEP), versions 1, 2 and 3.

  `decode/1` turns a datagram of a capture agent into a `HEP.Packet`:

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

  The modules of the original Erlang library have their counterparts: `HEP.MultiParser` gives a
  packet as the list of its chunks, `HEP.Transform` gives it as property lists with readable names,
  and `HEP.MultiDecoder` gives the record `#hep{}`. The Erlang module `:hep` reads and changes such
  records.
  """
  @moduledoc since: "1.0.0"

  alias HEP.{DecodeError, Packet}

  @options [:header_length, :v2_order, :capture_id, :max_inflated]

  @typedoc """
  How to read what senders disagree about:

    * `:header_length` - what to do with a header length of version 1 or 2 that no known sender
      writes: `:strict` (default), an error; `:ignore`, it is not looked at
    * `:v2_order` - the byte order of version 2's time header: `:auto` (default), found from the
      values; `:big`, as documented; `:little`, as C senders write it
    * `:capture_id` - capture ids that came shifted left by 16 bits (sngrep, sipgrep, hep-c, old
      captagents): `:keep` (default); `:repair`, those whose lower half is zero are shifted back
    * `:max_inflated` - the largest payload, in bytes, that a compressed one may inflate to: 1 MiB
      by default
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:header_length, :strict | :ignore}
          | {:v2_order, :auto | :big | :little}
          | {:capture_id, :keep | :repair}
          | {:max_inflated, non_neg_integer()}

  @doc """
  Decodes a packet of any version.

  The payload and the chunks of the result are parts of the datagram and keep it alive:
  `:binary.copy/1` what you store for long.

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

      iex> HEP.decode("HEP3", v2_order: :middle)
      ** (ArgumentError) invalid value :middle for option :v2_order, see the type HEP.option/0
  """
  @doc since: "1.0.0"
  @spec decode(binary(), [option()]) :: {:ok, Packet.t()} | {:error, DecodeError.t()}
  def decode(packet, options \\ [])

  def decode(packet, []) when is_binary(packet), do: result(:hep.decode(packet))

  def decode(packet, options) when is_binary(packet) and is_list(options) do
    options = options |> Keyword.validate!(@options) |> Map.new()

    try do
      :hep.decode(packet, options)
    rescue
      ArgumentError -> raise ArgumentError, wrong(options)
    else
      result -> result(result)
    end
  end

  @doc """
  Decodes a packet of any version, raises `HEP.DecodeError` when it is none.

  Otherwise like `decode/2`.

  ## Examples

      iex> HEP.decode!(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>).payload
      "ping"

      iex> HEP.decode!("HEP3")
      ** (HEP.DecodeError) truncated: the packet ends at byte 4, before its header or its total length does
  """
  @doc since: "1.0.0"
  @spec decode!(binary(), [option()]) :: Packet.t()
  def decode!(packet, options \\ []) do
    case decode(packet, options) do
      {:ok, packet} -> packet
      {:error, error} -> raise error
    end
  end

  defp result({:ok, record}), do: {:ok, Packet.from_record(record)}
  defp result({:error, reason}), do: {:error, %DecodeError{reason: reason}}

  # :hep.decode/2 knows the legal values: it is asked again, with one option at a time.
  defp wrong(options) do
    {name, value} = Enum.find(options, &wrong?/1)
    "invalid value #{inspect(value)} for option #{inspect(name)}, see the type HEP.option/0"
  end

  defp wrong?({name, value}) do
    {:error, _} = :hep.decode(<<>>, %{name => value})
    false
  rescue
    ArgumentError -> true
  end
end
