defmodule HEP.Listener do
  @moduledoc """
  Receives HEP over UDP, TCP and TLS.

  A listener is a supervisor. It belongs under one of yours; the application `:hep` starts nothing:

      defmodule MyApp.Capture do
        use HEP.Handler

        @impl true
        def handle_packets(packets, state) do
          for {packet, meta} <- packets, do: IO.inspect(packet, label: inspect(meta.source))
          {:ok, state}
        end
      end

      Supervisor.start_link([{HEP.Listener, port: 9060, handler: MyApp.Capture}],
        strategy: :one_for_one
      )

  A handler is a module, a function or a process, see `t:handler/0`. Packets come in batches as they
  arrive: nothing waits for a batch to fill.

      iex> test = self()
      iex> {:ok, listener} = HEP.Listener.start_link(ip: {127, 0, 0, 1}, port: 0, handler: test)
      iex> {:ok, socket} = :gen_udp.open(0)
      iex> datagram = HEP.encode!(%HEP.Packet{payload: "ping"})
      iex> :ok = :gen_udp.send(socket, {127, 0, 0, 1}, HEP.Listener.port(listener), datagram)
      iex> receive do
      ...>   {:hep_packets, ^listener, [{packet, meta}]} -> {packet.payload, meta.transport}
      ...> end
      {"ping", :udp}
      iex> HEP.Listener.info(listener).received
      1

  **UDP.** One process per shard reads its socket, decodes and calls the handler, and reads on when the
  handler returns. With a slow handler datagrams wait in the kernel's buffer. What does not fit there the
  kernel drops, and `info/1` reports as `:dropped`.

  **TCP, TLS.** One process per connection. `HEP.Stream` splits the stream; versions 1 and 2 cannot
  be split and end the connection. So does what is not HEP, unless `:resync` is set. The TLS handshake
  is in the connection's process, so that a stalled one delays nobody, and takes no place of
  `:max_connections`. On Linux a connection whose other side has gone without a word is closed within
  two minutes, by TCP's keep-alive probes; elsewhere when the system's settings say so.

  **Failures.** Each process of a listener is restarted when it ends, without a restart of the others.
  The port stays the same, and so do the counters. A handler that crashes closes neither socket nor
  connection. A listener that is killed whole leaves its port at once, even while a handler is busy: its
  restart succeeds. It gives up, and your supervisor decides, when one of its processes has ended more
  than 1000 times in 10 seconds.

  **Stopping.** A handler that is at work has `:shutdown` milliseconds to return and for its
  `c:HEP.Handler.terminate/2`, 5000 by default; then it is killed. The packets of its call are lost, and
  not counted as lost.

  With the `:telemetry` application there are events, see `guides/telemetry.md` in the repository.
  """
  @moduledoc since: "1.0.0"

  alias HEP.Listener.Adapter

  @typedoc """
  Who gets the packets:

    * a module with the behaviour `HEP.Handler`, alone or with the argument of its `c:HEP.Handler.init/1`
    * a function of one argument, which is called with a list of `{packet, meta}`. What is not HEP
      is only counted
    * a local process, which gets the messages `{:hep_packets, listener, [{packet, meta}]}` and
      `{:hep_error, listener, error, {bytes, meta}}`. The listener ends with it, and waits while it has
      more than 1000 messages, or so many that they may hold more than 8 MiB
  """
  @typedoc since: "1.0.0"
  @type handler ::
          module()
          | {module(), argument :: term()}
          | ([{HEP.Handler.packet(), HEP.Handler.meta()}] -> term())
          | pid()

  @typedoc """
  What the handler gets:

    * `:decode` - `HEP.Packet` structs
    * `:parse` - lists of chunks, see `HEP.MultiParser`
    * `:transform`, `{:transform, modules}` - property lists with readable names, see `HEP.Transform`
    * `:json` - the JSON text

  A module of `{:transform, modules}` that raises loses the packet, is logged and counts as a
  handler's crash.
  """
  @typedoc since: "1.0.0"
  @type view :: :decode | :parse | :transform | {:transform, [module()]} | :json

  @typedoc """
  How to listen. Options of another transport are checked, and have no effect otherwise.

    * `:handler` - who gets the packets; the only option without a default
    * `:transport` - `:udp` (default), `:tcp` or `:tls`
    * `:ip` - the address to listen on: by default `{0, 0, 0, 0}`, all of IPv4;
      `{0, 0, 0, 0, 0, 0, 0, 0}` is all of both families
    * `:port` - 9060 by default; with 0 the system chooses, see `port/1`
    * `:view` - what the handler gets: `:decode` by default
    * `:decode` - the options of `HEP.decode/2`; they count for the views `:decode` and `:json`
    * `:auth_keys` - packets without one of these authenticate keys are counted as unauthenticated and
      dropped, before anything in them is inflated; versions 1 and 2 have none. By default all packets
      pass
    * `:shards` - UDP: so many sockets on the port, each with a process; the system spreads the
      senders over them. 1 by default
    * `:shared_port` - UDP: `true` allows other listeners on the same port, where the system spreads the
      senders over all of them. `false` by default: a second listener is an error
    * `:multicast` - UDP: the groups to join, each `group`, or `{group, address}` for IPv4 and `{group, index}`
      for IPv6 to say by which interface. None by default. With several shards the first one gets the packets
      of groups
    * `:max_delay` - UDP: while packets flow, how many milliseconds the first may wait for others, so that
      one call of the system reads them all: 1 by default, which may become 2, and takes a fraction of the CPU
      time of 0, which reads every packet at once. A packet after a silence never waits
    * `:batch_packets` - UDP: the most datagrams of one read and one call of the handler, 256 by default
    * `:active` - TCP, TLS: the N of `{:active, n}`, 10 by default
    * `:recbuf` - the kernel's buffer of a socket, in bytes: for UDP 4 MiB by default. The kernel may
      give less, see `:recbuf` in `info/1`
    * `:acceptors` - TCP, TLS: the number of processes that accept connections, 10 by default
    * `:max_connections` - TCP, TLS: the most open connections, 10,000 by default. Further ones are
      closed, and counted as `:refused`. A TLS connection counts from the end of its handshake on
    * `:max_handshakes` - TLS: the most handshakes at a time, 1000 by default. Further connections are
      closed, and counted as `:refused`
    * `:handshake_timeout` - TLS: the most milliseconds of a handshake, 10,000 by default
    * `:idle_timeout` - TCP, TLS: a connection without bytes for so many milliseconds is closed: a day by
      default, 86,400,000, which no sender of SIP is silent for
    * `:resync` - TCP, TLS: skip what is not HEP, see `HEP.Stream`: `false` by default
    * `:max_errors` - TCP, TLS, with `:resync`: a stream with more errors is closed, and counted as
      `:errors_closed`. 100 by default; `:infinity` allows any number
    * `:proxy_protocol` - TCP: `true` when a load balancer puts a header of the PROXY protocol, version 1
      or 2, in front of each connection. The `:source` is the one that it states then. A connection with a
      malformed header, without one, or with none within `:handshake_timeout` is closed, and counted as
      `:proxy_failed`. `false` by default. With TLS it is an error: the balancer has to end TLS itself
    * `:batch_bytes` - the handler gets a batch when it takes so many bytes of memory, even if more could
      be read: 1 MiB by default
    * `:inflate_budget` - how many bytes of inflated payloads, and of the JSON made of them, the listener
      holds at a time, all connections and shards together: 64 MiB by default. `:hep_listener` has the
      formula of the memory that a listener takes
    * `:tls` - TLS: the options of `:ssl.listen/2` for a server, with a certificate; session tickets and
      ALPN among them. By default TLS 1.2 and 1.3, and `log_level: :none`: failed handshakes are logged by
      the listener, each with one line, at most 10 in a second
    * `:shutdown` - how many milliseconds a busy handler has to end when the listener stops, 5000 by
      default
    * `:name` - what the listener is registered as, as for `Supervisor.start_link/3`

  `:auth_keys` and `:tls` may be zero-arity functions, so that secrets stay out of logs. The listener
  itself keeps them so.
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:handler, handler()}
          | {:transport, :udp | :tcp | :tls}
          | {:ip, :inet.ip_address()}
          | {:port, :inet.port_number()}
          | {:view, view()}
          | {:decode, [HEP.option()]}
          | {:auth_keys, [binary()] | :hep_secret.hidden([binary()])}
          | {:shards, 1..1024}
          | {:shared_port, boolean()}
          | {:multicast, [:hep_listener_socket.group()]}
          | {:max_delay, 0..1000}
          | {:batch_packets, 1..256}
          | {:active, 1..32_767}
          | {:recbuf, pos_integer()}
          | {:acceptors, 1..1000}
          | {:max_connections, pos_integer()}
          | {:max_handshakes, pos_integer()}
          | {:handshake_timeout, pos_integer()}
          | {:idle_timeout, pos_integer() | :infinity}
          | {:resync, boolean()}
          | {:max_errors, pos_integer() | :infinity}
          | {:proxy_protocol, boolean()}
          | {:batch_bytes, pos_integer()}
          | {:inflate_budget, pos_integer()}
          | {:tls, [:ssl.tls_server_option()] | :hep_secret.hidden([:ssl.tls_server_option()])}
          | {:shutdown, pos_integer() | :infinity | :brutal_kill}
          | {:name, Supervisor.name()}

  @doc """
  Opens the port and listens.

  `format_error/1` puts an error into a sentence. A wrong, unknown or missing option is
  `{:error, {:bad_option, {name, value}}}`. Other errors are `{:error, {:listen, transport, reason}}`: the
  port cannot be opened, `{:error, {:handler, reason}}`: the handler's `c:HEP.Handler.init/1` returned it or raised, and
  `{:error, {:cannot_start, application, reason}}`: `:crypto` or `:ssl`, which `:auth_keys` or TLS needs,
  cannot be started.

  ## Examples

      iex> HEP.Listener.start_link(port: 70_000, handler: self())
      {:error, {:bad_option, {:port, 70_000}}}

      iex> HEP.Listener.start_link(port: 0)
      {:error, {:bad_option, {:handler, :missing}}}
  """
  @doc since: "1.0.0"
  @spec start_link([option()]) ::
          {:ok, pid()} | {:error, :hep_listener.start_error() | {:already_started, pid()}}
  def start_link(options) do
    with :ok <- keywords(options),
         given = given(options),
         {:error, {:bad_option, {name, _}}} when is_map_key(given, name) <-
           :hep_listener.start_link(Map.new(given, &erlang/1), Adapter),
         do: {:error, {:bad_option, {name, Map.fetch!(given, name)}}}
  end

  @doc """
  For a supervisor's children: `{HEP.Listener, options}`.

  Listeners of one supervisor have ids of their own by their names, or by transport, address and port.
  The supervisor's reports do not show `:auth_keys` and `:tls`.

  ## Examples

      iex> HEP.Listener.child_spec(port: 9060, handler: self()).id
      {HEP.Listener, [:default, :default, 9060]}
  """
  @doc since: "1.0.0"
  @spec child_spec([option()]) :: Supervisor.child_spec()
  def child_spec(options) do
    where = for name <- [:transport, :ip, :port], do: Keyword.get(options, name, :default)

    %{
      id: Keyword.get(options, :name, {__MODULE__, where}),
      start: {__MODULE__, :start_link, [:hep_secret.hide([:auth_keys, :tls], options)]},
      shutdown: :infinity,
      type: :supervisor
    }
  end

  @doc "Closes the port and all connections."
  @doc since: "1.0.0"
  @spec stop(Supervisor.supervisor()) :: :ok
  defdelegate stop(listener), to: :hep_listener

  @doc "The port that is listened on."
  @doc since: "1.0.0"
  @spec port(Supervisor.supervisor()) :: :inet.port_number()
  defdelegate port(listener), to: :hep_listener

  @doc """
  A sentence about an error of `start_link/1`.

  ## Examples

      iex> HEP.Listener.format_error({:listen, :udp, :eaddrinuse})
      "the udp port cannot be opened: address already in use (eaddrinuse)"
  """
  @doc since: "1.0.0"
  @spec format_error(:hep_listener.start_error()) :: String.t()
  def format_error(error), do: error |> :hep_listener.format_error() |> List.to_string()

  @doc """
  What the listener is and what it has counted, a map.

  Beside `:transport`, `:ip`, `:port`, `:view` and `:shards`:

    * `:received`, `:bytes` - datagrams, packets of streams and errors of streams; `:received` is the
      sum of `:decoded`, `:unauthenticated` and what is in `:rejected`
    * `:decoded`, `:versions`, `:payload_types` - what the handler got, and of which kinds
    * `:rejected` - invalid packets, by the reasons' names
    * `:unauthenticated` - packets without one of the `:auth_keys`
    * `:dropped` - UDP: datagrams that the kernel had no room for; `:undefined` where it
      does not report them
    * `:recbuf` - UDP: the kernel's buffer of each socket, in bytes, as the kernel counts
    * `:connections`, `:handshakes` - TCP, TLS: how many are open now, how many TLS handshakes go on
    * `:accepted`, `:refused` - TCP, TLS: connections that were accepted, connections closed for
      `:max_connections` or `:max_handshakes`. One that is refused behind its handshake is in both
    * `:handshakes_failed`, `:idle_closed`, `:accept_errors` - TCP, TLS: connections that ended in the TLS
      handshake, connections closed for `:idle_timeout`, connections that could not be accepted because
      the system had no descriptor or memory left
    * `:resyncs`, `:skipped_bytes` - how often, and over how many bytes, a stream was resynchronised
    * `:handler_crashes`, `:handler_lost` - how often a handler, or a module of
      `{:transform, modules}`, raised, and how many packets it had in hand; `:decoded` counts these, too
  """
  @doc since: "1.0.0"
  @spec info(Supervisor.supervisor()) :: :hep_listener.info()
  defdelegate info(listener), to: :hep_listener

  defp keywords(options) do
    if Keyword.keyword?(options), do: :ok, else: {:error, {:bad_option, options}}
  end

  # Of an option that is there twice, the first counts, as in `Keyword.get/2`.
  defp given(options), do: options |> Enum.reverse() |> Map.new()

  defp erlang({:decode, options}),
    do: {:decode, if(Keyword.keyword?(options), do: Map.new(options), else: :no_keywords)}

  defp erlang({:name, name}) when is_atom(name), do: {:name, {:local, name}}
  defp erlang(option), do: option
end

defmodule HEP.Listener.Adapter do
  @moduledoc false
  # What the listener's processes have for handlers, in the terms of Elixir.

  require Record

  Record.defrecordp(
    :hep,
    Record.extract(:hep, from: Path.expand("../../include/hep.hrl", __DIR__))
  )

  def packet(hep() = record), do: HEP.Packet.from_record(record)
  def packet(view), do: view

  def error(reason), do: %HEP.DecodeError{reason: reason}
end
