defmodule HEP.MultiDecoder do
  @moduledoc """
  Decodes packets of any version into records `#hep{}`, as the Erlang module `:hep_multi_decoder`
  does.

  `HEP.decode/2` gives a `HEP.Packet`, and errors that say more.
  """
  @moduledoc since: "1.0.0"

  @doc """
  Decodes a packet. Whatever else comes in is an error too.

  The getters of `:hep` read the record, `HEP.Packet.from_record/1` makes a `HEP.Packet` of it.

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
