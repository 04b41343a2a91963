defmodule HEP.MultiParser do
  @moduledoc """
  Parses packets of any version into the chunk view: every chunk, in order and unchanged.

  `:hep.get_version/1`, `:hep.get_chunk/3` and `:hep.get_chunks/1` read the result, and
  `HEP.Transform` makes it readable. The counterpart of the Erlang module `:hep_multi_parser`.
  """
  @moduledoc since: "1.0.0"

  @doc """
  Parses a packet. Any other term is an error, too.

  A packet of version 1 or 2 becomes the chunks of the equivalent packet of version 3. Only lengths are
  checked: see `HEP.decode/2` for the view that reads the values.

  ## Examples

      iex> {:ok, state} = HEP.MultiParser.parse(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>)
      iex> :hep.get_version(state)
      3
      iex> :hep.get_chunk(0, 15, state)
      {:ok, "ping"}
      iex> :hep.get_chunks(state)
      [{<<0::16, 15::16>>, "ping"}]

      iex> HEP.MultiParser.parse("ping")
      {:error, :invalid_packet, "ping"}
  """
  @doc since: "1.0.0"
  @spec parse(binary() | term()) :: {:ok, :hep.state()} | {:error, :invalid_packet, term()}
  defdelegate parse(packet), to: :hep_multi_parser
end
