defmodule HEP.SIP do
  @moduledoc """
  Reads the parts of a SIP message that a capture tool shows.

  The functions take a packet or its payload, and read it in one call, without a copy. They follow RFC 3261 and are
  lenient: compact header names, names in any case, folded headers, bare line feeds and bytes that are not UTF-8 are
  accepted. A message that is truncated after its first line is read up to its end.

  All binaries are sub-binaries of the payload and keep it in memory: copy those that you store (`:binary.copy/1`).
  """

  alias HEP.Packet

  @typedoc """
  The summary of a message.

  A request has `:method` and `:uri`; a response has `:status` and `:reason`. The other keys are present if the message
  has the header: `:call_id`, `:cseq` (`{number, method}`), `:from`, `:to`, `:via_branch` (of the topmost Via),
  `:user_agent` (User-Agent, otherwise Server), `:content_type` and `:content_length`.
  """
  @type summary :: :hep_sip.summary()

  @typedoc "`:from` or `:to`: `:uri`, and `:display`, `:user`, `:host`, `:port`, `:tag` where they are present."
  @type address :: :hep_sip.address()

  @typedoc """
  Why a payload is not a SIP message.

  `:empty`: only line breaks. `:not_sip`: the first line is neither a request line nor a status line.
  `:truncated`: the message ends inside its first line.
  """
  @type reason :: :hep_sip.reason()

  @doc """
  Returns the fields that a capture tool shows of a message.

      iex> {:ok, summary} = HEP.SIP.summary("BYE sip:bob@example.org SIP/2.0\\r\\ni: a84b\\r\\nCSeq: 2 BYE\\r\\n\\r\\n")
      iex> {summary.method, summary.call_id, summary.cseq}
      {"BYE", "a84b", {2, "BYE"}}

      iex> HEP.SIP.summary("GET / HTTP/1.1\\r\\n")
      {:error, :not_sip}
  """
  @doc since: "1.0.0"
  @spec summary(Packet.t() | binary()) :: {:ok, summary()} | {:error, reason()}
  def summary(packet_or_payload), do: :hep_sip.summary(payload(packet_or_payload))

  @doc """
  Returns the values of all headers with the name, in order.

      iex> HEP.SIP.header("ACK sip:a SIP/2.0\\r\\nVia: one\\r\\nv: two\\r\\n\\r\\n", "via")
      {:ok, ["one", "two"]}
  """
  @doc since: "1.0.0"
  @spec header(Packet.t() | binary(), String.t()) :: {:ok, [binary()]} | {:error, reason()}
  def header(packet_or_payload, name), do: :hep_sip.header(name, payload(packet_or_payload))

  @doc """
  Returns all headers, in order, with their names as written.

      iex> HEP.SIP.headers("ACK sip:a SIP/2.0\\r\\ni: 1\\r\\nSubject: one\\r\\n two\\r\\n\\r\\n")
      {:ok, [{"i", "1"}, {"Subject", "one two"}]}
  """
  @doc since: "1.0.0"
  @spec headers(Packet.t() | binary()) :: {:ok, [{binary(), binary()}]} | {:error, reason()}
  def headers(packet_or_payload), do: :hep_sip.headers(payload(packet_or_payload))

  @doc """
  Describes a reason in a sentence.

      iex> HEP.SIP.format_error(:truncated)
      "truncated: the message ends inside its first line"
  """
  @doc since: "1.0.0"
  @spec format_error(reason()) :: String.t()
  def format_error(reason), do: List.to_string(:hep_sip.format_error(reason))

  defp payload(%Packet{payload: payload}), do: payload
  defp payload(payload), do: payload
end
