defmodule HEP.MultiDecoder do
  @moduledoc """
  Decodes packets of any version into records `#hep{}`, like the Erlang module `:hep_multi_decoder`.

  `HEP.decode/2` returns a `HEP.Packet`, and more precise errors.
  """
  @moduledoc since: "1.0.0"

  @doc """
  Decodes a packet. Any other term is an error, too.

  The getters of `:hep` read the record; `HEP.Packet.from_record/1` converts it to a `HEP.Packet`.

  ## Examples

      iex> packet = <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>
      iex> {:ok, record} = HEP.MultiDecoder.decode(packet)
      iex> :hep.payload(record)
      "ping"

      iex> HEP.MultiDecoder.decode("ping")
      {:error, :invalid_packet, "ping"}

      iex> packet = <<"HEP3", 13::16, 0::16, 7::16, 7::16, 1>>
      iex> HEP.MultiDecoder.decode(packet)
      {:error, {:invalid_chunk, 0, 7, 1, <<1>>}, packet}
  """
  @doc since: "1.0.0"
  @spec decode(binary() | term()) :: :hep_multi_decoder.result()
  defdelegate decode(packet), to: :hep_multi_decoder
end
