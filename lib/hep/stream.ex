defmodule HEP.Stream do
  @moduledoc """
  Splits a stream (TCP, TLS) into packets: pure, without a process or a socket.

      iex> <<head::binary-size(7), rest::binary>> = <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>
      iex> stream = HEP.Stream.new()
      iex> {[], [], stream} = HEP.Stream.feed(stream, head)
      iex> {[packet], [], _stream} = HEP.Stream.feed(stream, rest)
      iex> HEP.decode!(packet).payload
      "ping"

  The bytes may be cut anywhere. The total length of version 3 is the only framing, so the magic is
  checked first, as its bytes arrive. An incomplete packet is kept: 65,535 bytes at most. Versions 1
  and 2 have no length: a stream of them is an error.

  heplify can send each packet as a gzip member of its own. A member is unpacked to 65,535 bytes at
  most, whatever is in it; at most 67,583 bytes of an incomplete one are kept, with what they unpack
  to. The line `HELLO HFP`, with which HEPfix proxies before 2023 begin a connection, is skipped.

  `HEP.Listener` does this for connections.
  """
  @moduledoc since: "1.0.0"

  @options [:resync, :max_errors, :copy]

  @typedoc since: "1.0.0"
  @type t :: :hep_stream.stream()

  @typedoc """
  How to split:

    * `:resync` - what happens after an error: `false` (default), the stream has ended there, and each
      call of `feed/2` returns the error again; `true`, bytes are skipped to the next magic. A packet
      whose chunks do not fit its length and which has a magic within was broken off there by its
      sender; after 8 such nested breaks the whole span is skipped as not HEP
    * `:max_errors` - with `:resync`: so many errors are reported. The next one ends the stream as
      `:too_many_errors`. `:infinity` by default; `HEP.Listener` sets it
    * `:copy` - `true` (default): a packet that would keep a buffer of more than twice its size alive
      is copied out of it; `false`: packets are parts of what was fed
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:resync, boolean()} | {:max_errors, pos_integer() | :infinity} | {:copy, boolean()}

  @typedoc """
  What is wrong, and where; offsets count from the stream's first byte.

    * `:not_hep` - no magic where a packet should begin
    * `{:unframed_version, version}` - a stream that begins like version 1 or 2, which cannot be
      split
    * `{:invalid_total_length, length}` - a packet whose total length is below 6
    * `:invalid_gzip` - a gzip member that is broken, or larger than a packet
    * `{:truncated, bytes}` - a packet that breaks off after so many bytes: the stream ended, or (with
      `:resync`) another packet begins within
    * `{:resync, skipped}` - a packet again; so many bytes before it were skipped
    * `{:too_many_errors, count}` - an error after those allowed by `:max_errors`
  """
  @typedoc since: "1.0.0"
  @type error :: {offset :: non_neg_integer(), :hep_stream.reason()}

  @doc """
  A stream that has received nothing yet.

  Raises `ArgumentError` when an option is unknown or has a wrong value.

  ## Examples

      iex> {[], errors, _stream} = HEP.Stream.feed(HEP.Stream.new(resync: true), "..HEP3")
      iex> errors
      [{0, :not_hep}, {2, {:resync, 2}}]

      iex> HEP.Stream.new(copy: :never)
      ** (ArgumentError) invalid value :never for option :copy, see the type HEP.Stream.option/0
  """
  @doc since: "1.0.0"
  @spec new([option()]) :: t()
  def new(options \\ []) do
    options = Keyword.validate!(options, @options)

    for {name, value} <- options, not valid?(name, value) do
      raise ArgumentError,
            "invalid value #{inspect(value)} for option #{inspect(name)}, " <>
              "see the type HEP.Stream.option/0"
    end

    :hep_stream.new(Map.new(options))
  end

  defp valid?(:max_errors, :infinity), do: true
  defp valid?(:max_errors, max), do: is_integer(max) and max > 0
  defp valid?(_, value), do: is_boolean(value)

  @doc """
  Takes the next bytes of the stream. Returns the packets that are complete now and the errors, both
  in order.

  ## Examples

      iex> packet = <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>
      iex> {packets, [], stream} = HEP.Stream.feed(HEP.Stream.new(), packet <> packet <> "HEP")
      iex> packets == [packet, packet]
      true
      iex> {[], [{32, :not_hep}], _stream} = HEP.Stream.feed(stream, "2...")
  """
  @doc since: "1.0.0"
  @spec feed(t(), binary()) :: {packets :: [binary()], [error()], t()}
  defdelegate feed(stream, bytes), to: :hep_stream

  @doc """
  The errors of a stream that ends here.

  ## Examples

      iex> {[], [], stream} = HEP.Stream.feed(HEP.Stream.new(), "HEP3")
      iex> HEP.Stream.finish(stream)
      [{0, {:truncated, 4}}]
  """
  @doc since: "1.0.0"
  @spec finish(t()) :: [error()]
  defdelegate finish(stream), to: :hep_stream

  @doc """
  How many bytes wait for the rest of their packet.

  ## Examples

      iex> {[], [], stream} = HEP.Stream.feed(HEP.Stream.new(), "HEP3")
      iex> HEP.Stream.buffered(stream)
      4
  """
  @doc since: "1.0.0"
  @spec buffered(t()) :: non_neg_integer()
  defdelegate buffered(stream), to: :hep_stream

  @doc """
  Says in a sentence what an error means.

  ## Examples

      iex> HEP.Stream.format_error({35, {:truncated, 4}})
      "offset 35: the packet breaks off after 4 bytes"
  """
  @doc since: "1.0.0"
  @spec format_error(error()) :: String.t()
  def format_error(error), do: error |> :hep_stream.format_error() |> IO.chardata_to_string()
end
