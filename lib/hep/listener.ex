defmodule HEP.Listener do
  @moduledoc """
  Receives HEP over UDP, TCP and TLS.

  A listener is a supervisor. Start it under one of yours; the application `:hep` itself starts nothing:

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

  A handler is a module, a function or a process, see `t:handler/0`. Packets are handled in batches, as
  they arrive: no packet waits for a batch to fill.

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

  **UDP.** One process per shard reads its socket, decodes, calls the handler, and reads on when the
  handler returns. While the handler is busy, datagrams wait in the kernel's buffer. When it is full the
  kernel drops datagrams, which `info/1` reports as `:dropped`.

  **TCP, TLS.** One process per connection. `HEP.Stream` splits the stream. Packets of versions 1 and 2
  cannot be split and end the connection; so do bytes that are not HEP, unless `:resync` is set. The TLS
  handshake runs in the connection's process, so a stalled handshake delays no other, and does not count
  towards `:max_connections`. On Linux, TCP's keep-alive probes close a dead connection within two
  minutes; on other systems their settings decide.

  **Failures.** Each process of a listener is restarted when it ends; the others keep running. The port
  and the counters are kept. A crash of the handler closes neither socket nor connection. When the whole
  listener is killed it frees its port at once, even while a handler is busy, so its restart succeeds. A
  listener gives up, and your supervisor decides, when one of its processes has ended more than 1000
  times in 10 seconds.

  **Stopping.** A busy handler has `:shutdown` milliseconds, 5000 by default, to return and to run
  `c:HEP.Handler.terminate/2`; then it is killed. The packets of its call are lost, and not counted as
  lost.

  With the `:telemetry` application loaded, the listener emits events, see `guides/telemetry.md` in the
  repository.
  """
  @moduledoc since: "1.0.0"

  alias HEP.Listener.Adapter

  @typedoc """
  The handler of the packets:

    * a module with the behaviour `HEP.Handler`, alone or with the argument of its `c:HEP.Handler.init/1`
    * a function of one argument, called with a list of `{packet, meta}`. Errors are only counted
    * a local process, which receives the messages `{:hep_packets, listener, [{packet, meta}]}` and
      `{:hep_error, listener, error, {bytes, meta}}`. The listener ends when the process ends. It pauses
      while more than 1000 messages are queued in the process, or when they may hold more than 8 MiB
  """
  @typedoc since: "1.0.0"
  @type handler ::
          module()
          | {module(), argument :: term()}
          | ([{HEP.Handler.packet(), HEP.Handler.meta()}] -> term())
          | pid()

  @typedoc """
  The form of the packets that the handler gets:

    * `:decode` - `HEP.Packet` structs
    * `:parse` - lists of chunks, see `HEP.MultiParser`
    * `:transform`, `{:transform, modules}` - property lists with readable names, see `HEP.Transform`
    * `:json` - the JSON text
    * `:raw` - the received bytes, for relays; the packet is checked as for `:parse`

  When a module of `{:transform, modules}` raises, the packet is lost; this is logged and counts as a
  crash of the handler.
  """
  @typedoc since: "1.0.0"
  @type view :: :decode | :parse | :transform | {:transform, [module()]} | :json | :raw

  @typedoc """
  The options of a listener. Options of another transport are checked but have no effect.

    * `:handler` - the handler of the packets; required
    * `:transport` - `:udp` (default), `:tcp` or `:tls`
    * `:ip` - the address to listen on: by default `{0, 0, 0, 0}`, all IPv4 addresses;
      `{0, 0, 0, 0, 0, 0, 0, 0}` means all addresses of both families
    * `:port` - 9060 by default; for 0 the system chooses a port, see `port/1`
    * `:view` - the form of the packets: `:decode` by default
    * `:decode` - the options of `HEP.decode/2`, for the views `:decode` and `:json`
    * `:dedup` - drops packets that another agent has sent already, and counts them as `:duplicates`: a
      keyword list of `:window` (500 milliseconds by default), `:max_entries` (100,000) and `:agent`
      (`:capture_id`, `:source` or `:any`), see `t::hep_listener.options/0`. `:none` by default
    * `:filter` - which packets the handler gets: a keyword list of `:payload_types`, `:methods`,
      `:capture_ids`, `:networks` and `:function`, of which a packet must meet all; the others are counted as
      `:filtered`. The function gets a `HEP.Packet` and returns a boolean. `:none` by default. See
      `guides/listener.md` in the repository
    * `:auth_keys` - the valid authenticate keys. Packets without one of them, and all packets of
      versions 1 and 2, are dropped before anything in them is inflated, and counted as
      `:unauthenticated`. By default all packets pass
    * `:shards` - UDP: the number of sockets on the port, each with a process; the system distributes
      the senders among them. 1 by default
    * `:shared_port` - UDP: `true` allows other listeners on the same port; the system distributes the
      senders among all of them. `false` by default: a second listener on the port fails to start
    * `:multicast` - UDP: the groups to join, each `group`, or with an interface `{group, address}` for
      IPv4 and `{group, index}` for IPv6. None by default. `:ip` must be an unspecified address
      (`{0, 0, 0, 0}` for IPv4 only) or the group, since a socket on another address receives no groups.
      With several shards, the first one receives the packets of groups
    * `:max_delay` - UDP: under load, how many milliseconds a packet may wait for others, so that one
      system call reads them all: 1 by default, up to 2 in practice. 0 reads every packet at once, at
      several times the CPU time. The first packet after a pause never waits
    * `:batch_packets` - UDP: the maximum number of datagrams per read and per call of the handler, 256
      by default
    * `:active` - TCP, TLS: the N of `{:active, n}`, 5 by default
    * `:recbuf` - the kernel's receive buffer of a socket, in bytes: for UDP 4 MiB by default. The
      kernel may grant less, see `:recbuf` in `info/1`
    * `:acceptors` - TCP, TLS: the number of processes that accept connections, 10 by default
    * `:max_connections` - TCP, TLS: the maximum number of open connections, 10,000 by default. Further
      ones are closed, and counted as `:refused`. A TLS connection counts from the end of its handshake
    * `:max_handshakes` - TLS: the maximum number of concurrent handshakes, 1000 by default. A further
      one takes the place of the oldest, which is closed and counted as `:handshakes_failed`
    * `:handshake_timeout` - TLS: the timeout of a handshake in milliseconds, 10,000 by default
    * `:idle_timeout` - TCP, TLS: a connection that receives nothing for this many milliseconds is
      closed: by default after a day, 86,400,000. SIP senders are never silent for so long
    * `:resync` - TCP, TLS: `true` skips bytes that are not HEP, see `HEP.Stream`. `false` by default
    * `:max_errors` - TCP, TLS: a connection is closed, and counted as `:errors_closed`, after more invalid
      or unauthenticated packets without a valid one between them, and, with `:resync`, after more errors of
      its stream. 100 by default; `:infinity` allows any number
    * `:proxy_protocol` - TCP: `true` when a load balancer begins each connection with a header of the
      PROXY protocol, version 1 or 2. `:source` is then the address in that header. A connection with a
      malformed header, without one, or with none within `:handshake_timeout` is closed, and counted as
      `:proxy_failed`. `false` by default. Not allowed with TLS: the balancer must terminate TLS itself
    * `:batch_bytes` - a batch goes to the handler when it takes this many bytes of memory, even if more
      could be read: 1 MiB by default
    * `:inflate_budget` - how many bytes of inflated payloads, of the JSON made of them, and of the terms
      of packets with more than 256 chunks the listener may hold at a time, in all connections and shards
      together: 64 MiB by default. The documentation of `:hep_listener` has the formula for a listener's
      memory
    * `:tls` - TLS: the options of `:ssl.listen/2` for a server, including a certificate; session tickets
      and ALPN are possible. By default TLS 1.2 and 1.3, and `log_level: :none`: the listener itself logs
      failed handshakes, with one line each and at most 10 lines per second
    * `:shutdown` - how many milliseconds a busy handler has to end when the listener stops, 5000 by
      default
    * `:name` - the registered name, as for `Supervisor.start_link/3`

  `:auth_keys` and `:tls` may be zero-arity functions, which keeps secrets out of logs. The listener
  stores them as such.
  """
  @typedoc since: "1.0.0"
  @type option ::
          {:handler, handler()}
          | {:transport, :udp | :tcp | :tls}
          | {:ip, :inet.ip_address()}
          | {:port, :inet.port_number()}
          | {:view, view()}
          | {:decode, [HEP.option()]}
          | {:dedup,
             :none
             | [
                 {:window, 1..60_000}
                 | {:max_entries, 2..100_000_000}
                 | {:agent, :capture_id | :source | :any}
               ]}
          | {:filter,
             :none
             | [
                 {:payload_types, [:hep.payload_type() | 0..255, ...]}
                 | {:methods, [String.t(), ...]}
                 | {:capture_ids, [:hep.uint32(), ...]}
                 | {:networks, [:hep_listener_filter.network(), ...]}
                 | {:function, (HEP.Packet.t() -> boolean())}
               ]}
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
  Starts a listener: opens the port and receives packets.

  Errors, which `format_error/1` describes in a sentence:

    * `{:bad_option, {name, value}}` - an option is wrong, unknown or missing
    * `{:listen, transport, reason}` - the port cannot be opened
    * `{:handler, reason}` - the handler's `c:HEP.Handler.init/1` returned the reason or raised
    * `{:cannot_start, application, reason}` - `:crypto` or `:ssl`, required by `:auth_keys` or TLS,
      cannot be started

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
  The child specification for `{HEP.Listener, options}` among a supervisor's children.

  The id contains the name, or the transport, address and port, so several listeners fit one supervisor.
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

  @doc "Stops the listener: closes the port and all connections."
  @doc since: "1.0.0"
  @spec stop(Supervisor.supervisor()) :: :ok
  defdelegate stop(listener), to: :hep_listener

  @doc "Returns the port that the listener is bound to."
  @doc since: "1.0.0"
  @spec port(Supervisor.supervisor()) :: :inet.port_number()
  defdelegate port(listener), to: :hep_listener

  @doc """
  Describes an error of `start_link/1` in a sentence.

  ## Examples

      iex> HEP.Listener.format_error({:listen, :udp, :eaddrinuse})
      "the udp port cannot be opened: address already in use (eaddrinuse)"
  """
  @doc since: "1.0.0"
  @spec format_error(:hep_listener.start_error()) :: String.t()
  def format_error(error), do: error |> :hep_listener.format_error() |> List.to_string()

  @doc """
  Returns the listener's settings and counters as a map.

  In addition to `:transport`, `:ip`, `:port`, `:view` and `:shards`:

    * `:received`, `:bytes` - datagrams, packets of streams and errors of streams; `:received` is the
      sum of `:decoded`, `:filtered`, `:duplicates`, `:unauthenticated` and all of `:rejected`
    * `:decoded`, `:versions`, `:payload_types` - packets passed to the handler: in total, by version, by
      payload type
    * `:rejected` - invalid packets, by reason
    * `:duplicates` - packets that another agent had sent, with `:dedup`
    * `:unauthenticated` - packets without one of the `:auth_keys`
    * `:filtered` - packets that do not meet the option `:filter`
    * `:dropped` - UDP: datagrams dropped by the kernel; `:undefined` on systems that do not report them
    * `:recbuf` - UDP: the receive buffer of each socket, in bytes, as reported by the kernel
    * `:connections`, `:handshakes` - TCP, TLS: open connections, TLS handshakes in progress
    * `:accepted`, `:refused` - TCP, TLS: accepted connections, connections closed due to
      `:max_connections`. A connection that is refused after its handshake counts as
      both
    * `:handshakes_failed`, `:idle_closed`, `:accept_errors` - TCP, TLS: connections whose TLS handshake
      failed, connections closed due to `:idle_timeout`, connections that could not be accepted for lack
      of descriptors or memory
    * `:resyncs`, `:skipped_bytes` - how often streams were resynchronised, and the bytes skipped by that
    * `:handler_crashes`, `:handler_lost` - crashes of handlers, of modules of
      `{:transform, modules}` and of the function of a `:filter`, and the packets lost by them, which are also included in `:decoded`
  """
  @doc since: "1.0.0"
  @spec info(Supervisor.supervisor()) :: :hep_listener.info()
  defdelegate info(listener), to: :hep_listener

  defp keywords(options) do
    if Keyword.keyword?(options), do: :ok, else: {:error, {:bad_option, options}}
  end

  # The first of several equal options counts, as in `Keyword.get/2`.
  defp given(options), do: options |> Enum.reverse() |> Map.new()

  defp erlang({:decode, options}),
    do: {:decode, if(Keyword.keyword?(options), do: Map.new(options), else: :no_keywords)}

  defp erlang({:dedup, options} = option),
    do: if(Keyword.keyword?(options), do: {:dedup, Map.new(options)}, else: option)

  defp erlang({:filter, options} = option),
    do: if(Keyword.keyword?(options), do: {:filter, Map.new(options)}, else: option)

  defp erlang({:name, name}) when is_atom(name), do: {:name, {:local, name}}
  defp erlang(option), do: option
end

defmodule HEP.Listener.Adapter do
  @moduledoc false
  # Converts packets and errors for handlers in Elixir.

  require Record

  Record.defrecordp(
    :hep,
    Record.extract(:hep, from: Path.expand("../../include/hep.hrl", __DIR__))
  )

  def packet(hep() = record), do: HEP.Packet.from_record(record)
  def packet(view), do: view

  def error(reason), do: %HEP.DecodeError{reason: reason}
end
