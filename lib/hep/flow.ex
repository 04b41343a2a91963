defmodule HEP.Flow do
  @moduledoc """
  Calls and their ladders: groups packets by call, sums up a call, and lays its packets out as arrows.

      calls = Enum.group_by(packets, &HEP.Flow.key/1)
      HEP.Flow.summary(calls["a84b4c76"])
      %{hosts: hosts, arrows: arrows} = HEP.Flow.ladder(calls["a84b4c76"])

  Times are microseconds since the epoch; `:from`, `:to` and `:packet` of an arrow count from 1.
  """
  @moduledoc since: "1.0.0"

  alias HEP.Packet

  @typedoc "The Call-ID of SIP, or the correlation id of a packet without one."
  @type key :: :hep_flow.key()

  @doc """
  The key of a packet's call, or `nil`.

      iex> HEP.Flow.key(%HEP.Packet{payload: "OPTIONS sip:a SIP/2.0\\r\\nCall-ID: a84b\\r\\n\\r\\n"})
      "a84b"

      iex> HEP.Flow.key(%HEP.Packet{payload_type: :log, payload: "text"})
      nil
  """
  @doc since: "1.0.0"
  @spec key(Packet.t()) :: key() | nil
  def key(packet) do
    case :hep_flow.key(Packet.to_record(packet)) do
      :undefined -> nil
      key -> key
    end
  end

  @doc """
  The keys of other calls that the packet names: `X-Call-ID`, `X-CID`, and a correlation id that differs from the Call-ID.

      iex> HEP.Flow.links(%HEP.Packet{payload: "ACK sip:a SIP/2.0\\r\\nCall-ID: b\\r\\nX-CID: a\\r\\n\\r\\n"})
      ["a"]
  """
  @doc since: "1.0.0"
  @spec links(Packet.t()) :: [key()]
  def links(packet), do: :hep_flow.links(Packet.to_record(packet))

  @doc """
  The ladder of packets: hosts, and an arrow for each packet, in the order of time. See `t::hep_flow.arrow/0`.

      iex> packet = %HEP.Packet{src_ip: {192, 0, 2, 1}, dst_ip: {192, 0, 2, 2}, payload: "ACK sip:a SIP/2.0\\r\\n\\r\\n"}
      iex> %{hosts: [%{label: "192.0.2.1"}, _], arrows: [arrow]} = HEP.Flow.ladder([packet])
      iex> {arrow.from, arrow.to, arrow.kind, arrow.label}
      {1, 2, :request, "ACK"}
  """
  @doc since: "1.0.0"
  @spec ladder([Packet.t()], keyword()) :: :hep_flow.ladder()
  def ladder(packets, options \\ []) do
    options = Keyword.validate!(options, [:hosts])
    :hep_flow.ladder(Enum.map(packets, &Packet.to_record/1), Map.new(options))
  end

  @doc """
  The summary of a call's packets. See `t::hep_flow.summary/0`.

      iex> summary = HEP.Flow.summary([%HEP.Packet{payload: "INVITE sip:a SIP/2.0\\r\\nCSeq: 1 INVITE\\r\\n\\r\\n"}])
      iex> {summary.method, summary.state, summary.messages}
      {"INVITE", :trying, 1}
  """
  @doc since: "1.0.0"
  @spec summary([Packet.t()]) :: :hep_flow.summary()
  def summary(packets), do: :hep_flow.summary(Enum.map(packets, &Packet.to_record/1))
end
