defmodule HEP.Sender do
  @moduledoc """
  Sends packets to collectors over UDP, TCP or TLS.

      children = [
        {HEP.Sender,
         name: MyApp.Sender,
         transport: :tls,
         targets: [{"hep.example.com", 9061}],
         auth_key: "secret"}
      ]

      HEP.Sender.send(MyApp.Sender, %HEP.Packet{payload: "OPTIONS sip:bob@example.com SIP/2.0\\r\\n"})

  `send/2` encodes the packet in the calling process, queues it and returns. It neither waits nor
  crashes, whatever the collector does. When the queue is full, the oldest packets are dropped and
  counted. Failed connections are retried with a growing pause, and each begins with a whole packet. The
  documentation of the Erlang module `:hep_sender` has the details and the telemetry events.

  ## Options

    * `:name` - an atom, `{:local, atom}`, `{:global, term}` or `{:via, module, term}`
    * `:transport` - `:udp` (default), `:tcp` or `:tls`
    * `:targets` - the collectors, required: `[{host, port}]`; a host is an address as a tuple, or a
      name or an address as text
    * `:strategy` - `:all` (default), each packet goes to every target; `:failover`, to the first one
      that is up; `:balance`, to one target, the packets of a call to the same one (by correlation id,
      Call-ID, or addresses and ports), and to the next choice while that target is down
    * `:queue`, `:queue_bytes` - the limits of a queue in packets and bytes: 10,000 and 64 MiB by default
    * `:batch_bytes` - the maximum size of one write: 64 KiB by default
    * `:backoff` - the shortest and the longest pause before a reconnect, in milliseconds:
      `{100, 30_000}` by default
    * `:connect_timeout` - in milliseconds: 5,000 by default
    * `:send_timeout` - the connection is closed if the collector does not read for this long, in
      milliseconds: 15,000 by default
    * `:resolve_every` - the interval at which the name of a UDP target is resolved again, in
      milliseconds: 60,000 by default, or `:infinity`
    * `:capture_id`, `:node_name` - for packets that have none
    * `:auth_key` - for all packets; replaces their own
    * `:correlation` - `:none` (default); `:sip_call_id`: SIP packets of version 3 without a correlation id
      get their Call-ID as one, unless that makes the packet too large. Encoded packets are sent unchanged
    * `:encode` - `:v2_style` and `:compress` of `HEP.encode/2`
    * `:sndbuf` - the size of the socket's send buffer, in bytes
    * `:spool` - packets that cannot be sent go to disk: a keyword list of `:dir`, `:max_bytes` (at least 1 MiB; 1 GiB by
      default), `:segment_bytes` and `:sync`, see `:hep_spool`
    * `:spool_rate` - with `:spool`, how fast a spool becomes shorter, in packets per second: 10,000 by
      default, or `:infinity`
    * `:tls` - options of `:ssl.connect/4`. By default the collector needs a certificate for its host
      that is signed by one of the system's CA certificates

  `:auth_key` and `:tls` may be zero-arity functions, which keeps secrets out of logs. The sender and
  `child_spec/1` store them as such.
  """
  @moduledoc since: "1.0.0"

  alias HEP.{EncodeError, Packet}

  @encode_errors [
    :invalid_field,
    :missing_field,
    :unsupported_field,
    :unknown_protocol_family,
    :unsupported_payload_type,
    :packet_too_large
  ]

  @typedoc "A sender of this node."
  @typedoc since: "1.0.0"
  @type sender :: :hep_sender.sender()

  @typedoc "See the module's description."
  @typedoc since: "1.0.0"
  @type option ::
          {:name, atom() | {:local, atom()} | {:global, term()} | {:via, module(), term()}}
          | {:transport, :udp | :tcp | :tls}
          | {:targets, [:hep_sender.target(), ...]}
          | {:strategy, :all | :failover | :balance}
          | {:queue, pos_integer()}
          | {:queue_bytes, pos_integer()}
          | {:batch_bytes, pos_integer()}
          | {:backoff, {pos_integer(), pos_integer()}}
          | {:connect_timeout, pos_integer()}
          | {:send_timeout, pos_integer()}
          | {:resolve_every, timeout()}
          | {:capture_id, :hep.uint32()}
          | {:node_name, binary()}
          | {:auth_key, binary() | :hep_secret.hidden(binary())}
          | {:correlation, :none | :sip_call_id}
          | {:encode,
             [{:v2_style, :documented | :c | :forks} | {:compress, :none | :zlib | :gzip}]}
          | {:sndbuf, pos_integer()}
          | {:spool,
             [
               {:dir, Path.t()}
               | {:max_bytes, pos_integer()}
               | {:segment_bytes, pos_integer()}
               | {:sync, boolean()}
             ]}
          | {:spool_rate, pos_integer() | :infinity}
          | {:tls, [:ssl.tls_client_option()] | :hep_secret.hidden([:ssl.tls_client_option()])}

  @doc """
  Starts a sender. Returns before it is connected.

  ## Examples

      iex> {:ok, sender} = HEP.Sender.start_link(targets: [{{127, 0, 0, 1}, 9060}])
      iex> HEP.Sender.info(sender).transport
      :udp

      iex> HEP.Sender.start_link(targets: [{{127, 0, 0, 1}, 9060}], queue: 0)
      {:error, {:bad_option, {:queue, 0}}}
  """
  @doc since: "1.0.0"
  @spec start_link([option()]) :: {:ok, pid()} | {:error, term()}
  def start_link(options) do
    with :ok <- keywords(options),
         given = given(options),
         {:error, {:bad_option, {name, _}}} when is_map_key(given, name) <-
           :hep_sender.start_link(Map.new(given, &option/1)),
         do: {:error, {:bad_option, {name, Map.fetch!(given, name)}}}
  end

  defp keywords(options) do
    if Keyword.keyword?(options), do: :ok, else: {:error, {:bad_option, options}}
  end

  # The first of several equal options counts, as in `Keyword.get/2`.
  defp given(options), do: options |> Enum.reverse() |> Map.new()

  defp option({:name, name}) when is_atom(name) and name != nil, do: {:name, {:local, name}}

  # Anything but a keyword list is passed on; the check of the options rejects it.
  defp option({name, options} = option) when name in [:encode, :spool] do
    if Keyword.keyword?(options), do: {name, Map.new(options)}, else: option
  end

  defp option(option), do: option

  @doc """
  The child specification for `{HEP.Sender, options}` among a supervisor's children.

  The id contains the name, or the transport and targets, so several senders fit one supervisor. The
  supervisor's reports do not show `:auth_key` and `:tls`.

  ## Examples

      iex> HEP.Sender.child_spec(targets: [{"localhost", 9060}]).id
      {HEP.Sender, [:default, [{"localhost", 9060}]]}
  """
  @doc since: "1.0.0"
  @spec child_spec([option()]) :: Supervisor.child_spec()
  def child_spec(options) do
    where = for name <- [:transport, :targets], do: Keyword.get(options, name, :default)

    %{
      id: Keyword.get(options, :name, {__MODULE__, where}),
      start: {__MODULE__, :start_link, [:hep_secret.hide([:auth_key, :tls], options)]}
    }
  end

  @doc """
  Sends a packet: a `HEP.Packet`, the record `#hep{}` of the Erlang library, or the bytes of a packet.

  Never waits; `:ok` means that the packet was passed to the sender. A `HEP.Packet` that cannot be
  encoded is a `HEP.EncodeError`; the other reasons are those of `t::hep_sender.reason/0`.

  ## Examples

      iex> {:ok, sender} = HEP.Sender.start_link(targets: [{"localhost", 9}])
      iex> HEP.Sender.send(sender, %HEP.Packet{payload: "ping"})
      :ok
      iex> HEP.Sender.send(sender, %HEP.Packet{src_port: 70_000})
      {:error, %HEP.EncodeError{reason: {:invalid_field, :src_port, 70_000}}}
      iex> HEP.Sender.send(sender, String.duplicate("x", 65_508))
      {:error, {:datagram_too_large, 65_508}}
  """
  @doc since: "1.0.0"
  @spec send(sender(), Packet.t() | :hep.t() | iodata()) ::
          :ok | {:error, EncodeError.t() | :hep_sender.reason()}
  def send(sender, %Packet{} = packet) do
    with {:error, reason} when is_tuple(reason) and elem(reason, 0) in @encode_errors <-
           :hep_sender.send(sender, Packet.to_unchecked_record(packet)),
         do: {:error, EncodeError.of(reason, packet)}
  end

  def send(sender, packet), do: :hep_sender.send(sender, packet)

  @doc """
  Waits until all packets sent before this call, by any process, were written or dropped. Does not wait
  for packets sent later.

  With the strategy `:all`, waits for each target: if one is down, the call lasts until the timeout.
  With `:balance`, the call does so if all are down, or if a target that is down has packets in its spool.
  """
  @doc since: "1.0.0"
  @spec flush(sender(), timeout()) :: :ok | {:error, :timeout}
  defdelegate flush(sender, timeout), to: :hep_sender

  @doc """
  Returns the sender's counters and the state of its targets.

  ## Examples

      iex> {:ok, sender} = HEP.Sender.start_link(targets: [{{127, 0, 0, 1}, 9060}])
      iex> %{sent: 0, dropped: 0, queued: 0, targets: [target]} = HEP.Sender.info(sender)
      iex> target.target
      {{127, 0, 0, 1}, 9060}
  """
  @doc since: "1.0.0"
  @spec info(sender()) :: :hep_sender.info()
  defdelegate info(sender), to: :hep_sender

  @doc """
  Stops the sender. Packets in its queues are lost, see `flush/2`, or written to the spool.
  """
  @doc since: "1.0.0"
  @spec stop(sender()) :: :ok
  defdelegate stop(sender), to: :hep_sender
end
