defmodule HEP.Stream do
  @moduledoc """
  Splits a byte stream (TCP, TLS) into packets. Purely functional: no process, no socket.

      iex> <<head::binary-size(7), rest::binary>> = <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>
      iex> stream = HEP.Stream.new()
      iex> {[], [], stream} = HEP.Stream.feed(stream, head)
      iex> {[packet], [], _stream} = HEP.Stream.feed(stream, rest)
      iex> HEP.decode!(packet).payload
      "ping"

  The input may be cut anywhere. The total length of version 3 is the only framing, so each byte of the
  magic is checked as it arrives. An incomplete packet is buffered: at most 65,535 bytes. Packets of
  versions 1 and 2 state no length, so a stream of them is an error.

  heplify can send each packet as a separate gzip member. A member is unpacked to at most 65,535 bytes.
  At most 67,583 bytes of an incomplete member are buffered, and the data unpacked from them. The line
  `HELLO HFP`, with which HEPfix proxies before 2023 begin a connection, is skipped.

  `HEP.Listener` does this for connections.
  """
  @moduledoc since: "1.0.0"

  @options [:resync, :max_errors, :copy]

  @typedoc since: "1.0.0"
  @type t :: :hep_stream.stream()

  @typedoc """
  The options of a stream:

    * `:resync` - the reaction to an error: `false` (default), the stream ends, and each further call of
      `feed/2` returns the error again; `true`, bytes are skipped up to the next magic. If a packet's
      chunks do not fit its length and it contains a magic, its sender broke it off there; after 8 such
      nested breaks the whole span is skipped as not HEP
    * `:max_errors` - with `:resync`: the number of errors that are reported. The next error ends the
      stream with `:too_many_errors`. `:infinity` by default; `HEP.Listener` sets it
    * `:copy` - `true` (default): a packet is copied if it would otherwise keep a buffer of more than
      twice its size in memory; `false`: packets are sub-binaries of the input
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:resync, boolean()} | {:max_errors, pos_integer() | :infinity} | {:copy, boolean()}

  @typedoc """
  An error and its place; offsets count from the stream's first byte.

    * `:not_hep` - no magic where a packet must begin
    * `{:unframed_version, version}` - the stream begins like version 1 or 2, which have no length
    * `{:invalid_total_length, length}` - a packet whose total length is below 6
    * `:invalid_gzip` - a gzip member that is corrupt or unpacks to more than a packet
    * `{:truncated, bytes}` - a packet that ends after this many bytes: the stream ended, or (with
      `:resync`) another packet begins inside it
    * `{:resync, skipped}` - the next packet, after this many skipped bytes
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
  Adds the next bytes of the stream. Returns the completed packets and the errors, both in order.

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
  Returns the errors of a stream that ends here.

  ## Examples

      iex> {[], [], stream} = HEP.Stream.feed(HEP.Stream.new(), "HEP3")
      iex> HEP.Stream.finish(stream)
      [{0, {:truncated, 4}}]
  """
  @doc since: "1.0.0"
  @spec finish(t()) :: [error()]
  defdelegate finish(stream), to: :hep_stream

  @doc """
  Returns the number of buffered bytes.

  ## Examples

      iex> {[], [], stream} = HEP.Stream.feed(HEP.Stream.new(), "HEP3")
      iex> HEP.Stream.buffered(stream)
      4
  """
  @doc since: "1.0.0"
  @spec buffered(t()) :: non_neg_integer()
  defdelegate buffered(stream), to: :hep_stream

  @doc """
  Describes an error in a sentence.

  ## Examples

      iex> HEP.Stream.format_error({35, {:truncated, 4}})
      "offset 35: the packet breaks off after 4 bytes"
  """
  @doc since: "1.0.0"
  @spec format_error(error()) :: String.t()
  def format_error(error), do: error |> :hep_stream.format_error() |> IO.chardata_to_string()
end
