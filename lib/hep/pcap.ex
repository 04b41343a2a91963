defmodule HEP.Pcap do
  @moduledoc """
  Capture files: HEP and SIP out of them, packets into them.

      HEP.Pcap.stream!("calls.pcap")
      |> Stream.filter(&match?({:ok, %{method: "INVITE"}}, HEP.SIP.summary(&1)))
      |> Enum.each(&IO.inspect/1)

  Reading: pcap and pcapng, micro- and nanoseconds, both byte orders, also in gzip; link types Ethernet (VLAN, QinQ,
  PPPoE), Linux cooked 1 and 2, loopback, raw IP; IPv4 and IPv6. Fragments are put together, TCP streams are put in order. The
  file is read in parts, and memory is bounded.

  HEP inside comes out decoded. SIP inside without HEP comes out as a packet to send: addresses, ports, protocol and time of
  its frame.

  ## Options

    * `:ports` - `:any` (default): HEP is recognised on any port by what it is; a list: all to or from these ports is
      HEP, and nothing else is
    * `:decode` - options of `HEP.decode/2`, as a map
    * `:stats` - a function that is called with the counts at the end, see `t::hep_pcap.stats/0`
    * `:info` - `true`: packets come as `{packet, info}`, see `t:info/0`

  Wrong options raise `ArgumentError`.
  """
  @moduledoc since: "1.0.0"

  alias HEP.Packet

  @typedoc """
  A file's name, its content, or a function without arguments that returns its next bytes with each call: `{:ok, bytes}`,
  `:eof` or `{:error, reason}`.
  """
  @type source :: Path.t() | {:binary, binary()} | {:read, fun()}

  @typedoc "Of the frame: `:inside` (`:hep` or `:sip`), `:time` in nanoseconds, `:protocol`, `:source`, `:destination`."
  @type info :: :hep_pcap.info()

  @typedoc "Where a file is broken and why, or why it cannot be read or written."
  @type error :: :hep_pcap.error()

  @doc """
  The packets of a file, as a lazy stream: the file is opened when the stream is run, and closed at its end.

  Raises `HEP.Pcap.Error` where the file cannot be read, and where it is broken or cut, behind the packets before the
  break.

      iex> [packet] = HEP.Pcap.stream!("test/fixtures/pcap/text2pcap-udp.pcap") |> Enum.to_list()
      iex> {packet.src_ip, packet.dst_port, packet.payload_type}
      {{192, 0, 2, 1}, 5080, :sip}
  """
  @doc since: "1.0.0"
  @spec stream!(source(), keyword()) :: Enumerable.t()
  def stream!(source, options \\ []) do
    {with_info, options} = options(options)
    Stream.resource(fn -> open!(source, options) end, &next!(&1, with_info), &:hep_pcap.close/1)
  end

  @doc """
  Calls a function with each packet (or `{packet, info}`) of a file.

  A broken or cut file is an error, behind the packets before the break.

      iex> HEP.Pcap.fold("test/fixtures/pcap/mergecap.pcapng", [], 0, fn _packet, n -> n + 1 end)
      {:ok, 3}

      iex> HEP.Pcap.fold({:binary, "no capture"}, [], 0, fn _packet, n -> n + 1 end)
      {:error, {0, :not_pcap}, 0}
  """
  @doc since: "1.0.0"
  @spec fold(source(), keyword(), acc, (Packet.t() | {Packet.t(), info()}, acc -> acc)) ::
          {:ok, acc} | {:error, error(), acc}
        when acc: term()
  def fold(source, options, acc, fun) when is_function(fun, 2) do
    {with_info, options} = options(options)
    each = fn record, info, acc -> fun.(packet(record, info, with_info), acc) end
    :hep_pcap.fold(source, options, each, acc)
  end

  @doc """
  Writes packets to a pcap file, one at a time. Those that it cannot carry are left out, and returned each with its
  reason.

  A packet becomes the packet that was captured, with its addresses, ports, time and payload. Protocol 17, or none, is
  written as UDP, any other as TCP with the payload in plain.

      iex> path = Path.join(System.tmp_dir!(), "hep-doc.pcap")
      iex> HEP.Pcap.write(path, [%HEP.Packet{payload: "OPTIONS sip:a SIP/2.0\\r\\n\\r\\n"}])
      {:ok, [{%HEP.Packet{payload: "OPTIONS sip:a SIP/2.0\\r\\n\\r\\n"}, :no_address}]}
      iex> File.rm!(path)
      :ok
  """
  @doc since: "1.0.0"
  @spec write(Path.t(), Enumerable.t()) ::
          {:ok, [{Packet.t(), :hep_pcap.record_reason()}]} | {:error, error()}
  def write(path, packets) do
    with {:ok, file} <- :file.open(path, [:write, :raw, :binary, {:delayed_write, 65_536, 2000}]) do
      written = write_all(file, packets)
      # A delayed write fails here.
      closed = :file.close(file)
      with {:ok, _} <- written, :ok <- closed, do: written
    end
    |> case do
      {:error, reason} -> {:error, {:file, reason}}
      ok -> ok
    end
  end

  @doc """
  A sentence about an error, or about a packet that cannot be written.

      iex> HEP.Pcap.format_error({24, :truncated})
      "offset 24: the file is truncated here"
  """
  @doc since: "1.0.0"
  @spec format_error(error() | :hep_pcap.record_reason()) :: String.t()
  def format_error(error), do: error |> :hep_pcap.format_error() |> IO.chardata_to_string()

  defp write_all(file, packets) do
    with :ok <- :file.write(file, :hep_pcap.header()) do
      packets
      |> Enum.reduce_while({:hep_pcap.writer(), []}, &write_one(file, &1, &2))
      |> case do
        {:error, reason} -> {:error, reason}
        {_writer, skipped} -> {:ok, Enum.reverse(skipped)}
      end
    end
  end

  defp write_one(file, packet, {writer, skipped}) do
    case :hep_pcap.record(Packet.to_record(packet), writer) do
      {:ok, record, next} ->
        case :file.write(file, record) do
          :ok -> {:cont, {next, skipped}}
          error -> {:halt, error}
        end

      {:error, reason} ->
        {:cont, {writer, [{packet, reason} | skipped]}}
    end
  end

  defp open!(source, options) do
    case :hep_pcap.open(source, options) do
      {:ok, reader} -> reader
      {:error, reason} -> raise HEP.Pcap.Error, reason: reason
    end
  end

  defp next!(reader, with_info) do
    case :hep_pcap.next(reader) do
      {record, info, next} -> {[packet(record, info, with_info)], next}
      :eof -> {:halt, reader}
      {:error, reason} -> raise HEP.Pcap.Error, reason: reason
    end
  end

  defp packet(record, info, true), do: {Packet.from_record(record), info}
  defp packet(record, _info, false), do: Packet.from_record(record)

  defp options(options) do
    options = Keyword.validate!(options, [:ports, :decode, :stats, info: false])
    {options[:info], options |> Keyword.delete(:info) |> Map.new()}
  end
end

defmodule HEP.Pcap.Error do
  @moduledoc "Why a capture file cannot be read: raised by `HEP.Pcap.stream!/2`. `reason` is a `t:HEP.Pcap.error/0`."
  @moduledoc since: "1.0.0"

  defexception [:reason]

  @typedoc since: "1.0.0"
  @type t :: %__MODULE__{reason: HEP.Pcap.error()}

  @impl true
  def message(%__MODULE__{reason: reason}), do: HEP.Pcap.format_error(reason)
end
