defmodule HEP.Handler do
  @moduledoc """
  The behaviour of modules that take the packets of a `HEP.Listener`.

      defmodule MyApp.Capture do
        use HEP.Handler

        @impl true
        def init(table), do: {:ok, table}

        @impl true
        def handle_packets(packets, table) do
          for {packet, meta} <- packets, do: :ets.insert(table, {meta.time, packet})
          {:ok, table}
        end
      end

      {HEP.Listener, port: 9060, handler: {MyApp.Capture, :captured}}

  Each process that receives (a UDP shard, a connection of TCP or TLS) has its own handler state and
  calls the functions below. While one of them works this socket is not read, and nothing else waits: not
  the other shards or connections, not `HEP.Listener.info/1`. Over UDP datagrams wait in the kernel's
  buffer meanwhile, and are dropped (and counted) when it is full; over TCP and TLS the sender is slowed
  down. Inflated payloads count against the listener's `:inflate_budget` until the function returns, and
  after a batch with many of them the process collects its garbage: a large state belongs into an ETS
  table or another process.

  A handler that raises is logged, counted, and is restarted with `c:init/1`; the packets of that call
  are lost (and counted), those behind them are not.

  `use HEP.Handler` sets the behaviour and gives `c:init/1`, which may be overridden: it makes its
  argument the state. Without an argument, `handler: MyApp.Capture`, that is `[]`.
  """
  @moduledoc since: "1.0.0"

  @typedoc "A packet, as the listener's `t:HEP.Listener.view/0` says."
  @typedoc since: "1.0.0"
  @type packet :: HEP.Packet.t() | :hep.state() | :hep_transform.transformed() | String.t()

  @typedoc """
  Where a packet came from:

    * `:source` - address and port of the sender; with `:proxy_protocol` those that the load balancer
      states
    * `:time` - when it was received: microseconds since the epoch
    * `:size` - bytes, as received; of a gzip member on a stream, or of several packets in one, unpacked
    * `:transport` - what it came over
    * `:listener` - the listener's name, or its pid when it has none
    * `:local_port` - the port that it listens on
    * `:cut` - only of a packet that lacks something, under the decoding option `lengths: :lenient`: what
      is wrong with its lengths
  """
  @typedoc since: "1.0.0"
  @type meta :: %{
          required(:source) => {:inet.ip_address(), :inet.port_number()},
          required(:time) => integer(),
          required(:size) => non_neg_integer(),
          required(:transport) => :udp | :tcp | :tls,
          required(:listener) => term(),
          required(:local_port) => :inet.port_number(),
          optional(:cut) => :hep.reason()
        }

  @doc "Begins: in the process that receives, with the argument of `handler: {module, argument}`."
  @doc since: "1.0.0"
  @callback init(argument :: term()) :: {:ok, state :: term()} | {:error, reason :: term()}

  @doc "Takes the packets that have come."
  @doc since: "1.0.0"
  @callback handle_packets([{packet(), meta()}], state) :: {:ok, state} when state: term()

  @doc """
  Takes what is no packet, or may not be received.

  `Exception.message/1` puts the error into a sentence. Beside the reasons of `HEP.decode/2` there are
  `{:stream, {offset, reason}}`, see `HEP.Stream`, and `:unauthenticated`, without one of the listener's
  `:auth_keys`. The bytes are those that were received; of a stream's error they are empty.
  """
  @doc since: "1.0.0"
  @callback handle_error(HEP.DecodeError.t(), {bytes :: binary(), meta()}, state) ::
              {:ok, state}
            when state: term()

  @doc """
  Takes a message to its process that is not the listener's own: of a timer, a reply, a monitor.

  Without it such messages are dropped. An exit signal of a linked process ends the process.
  """
  @doc since: "1.0.0"
  @callback handle_info(message :: term(), state) :: {:ok, state} when state: term()

  @doc "Ends: with its process, or because it has raised. What it returns does not count."
  @doc since: "1.0.0"
  @callback terminate(reason :: term(), state :: term()) :: term()

  @optional_callbacks handle_error: 3, handle_info: 2, terminate: 2

  @doc false
  defmacro __using__(_options) do
    quote do
      @behaviour HEP.Handler

      @impl HEP.Handler
      def init(argument), do: {:ok, argument}

      defoverridable init: 1
    end
  end
end
