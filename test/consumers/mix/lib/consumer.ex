defmodule Consumer do
  # Decodes a packet in each of hep's ways and prints its source and payload.
  # Anything unexpected is a crash.

  require Record
  Record.defrecordp(:hep, Record.extract(:hep, from_lib: "hep/include/hep.hrl"))

  # test/fixtures/captures/kamailio-v3/hlog-v4/003.bin
  @packet Base.decode16!(
            "48455033006b000000010007020000000200071100000003000a7f00000100000004000a" <>
              "7f000001000000080008236400000007000813ce00000009000a6b03368c0000000a000a" <>
              "00004b200000000b0007640000000c000a0000002a000000110007630000000f000778",
            case: :lower
          )

  def main(_arguments) do
    {:ok, hep(src_ip: ip, payload: "x") = packet} = :hep.decode(@packet)
    {:ok, state} = :hep_multi_parser.parse(@packet)
    [{"hep", [{"version", 3}, {"generic", chunks}]}] = :hep_transform.transform(state)
    {_, ^ip} = List.keyfind(chunks, "srcIpAddress", 0)
    IO.puts("#{:inet.ntoa(ip)} #{:hep.payload_type(packet)}")
  end
end
