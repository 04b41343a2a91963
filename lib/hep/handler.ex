defmodule HEP.Handler do
  @moduledoc """
  The behaviour of modules that handle the packets of a `HEP.Listener`.

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

  Each receiving process (a UDP shard, a TCP or TLS connection) has its own handler state and calls the
  callbacks below. While a callback runs, its socket is not read. Nothing else is blocked: neither the
  other shards and connections nor `HEP.Listener.info/1`. Over UDP, datagrams wait in the kernel's
  buffer and are dropped (and counted) when it is full; over TCP and TLS, the sender is slowed down.
  Inflated payloads count against the listener's `:inflate_budget` until the callback returns. After a
  batch with many of them the process collects its garbage, so keep a large state in an ETS table or in
  another process.

  A handler that raises is logged, counted, and restarted with `c:init/1`. The packets of that call are
  lost (and counted); later ones are not.

  `use HEP.Handler` sets the behaviour and defines `c:init/1`, which can be overridden: the argument
  becomes the state. Without an argument, as in `handler: MyApp.Capture`, the state is `[]`.
  """
  @moduledoc since: "1.0.0"

  @typedoc "A packet in the listener's `t:HEP.Listener.view/0`."
  @typedoc since: "1.0.0"
  @type packet :: HEP.Packet.t() | :hep.state() | :hep_transform.transformed() | binary()

  @typedoc """
  Where a packet came from:

    * `:source` - address and port of the sender; with `:proxy_protocol`, as stated by the load
      balancer
    * `:time` - when it was received: microseconds since the epoch
    * `:size` - received bytes; unpacked bytes for a gzip member on a stream, or for one with several
      packets
    * `:transport` - the transport that it arrived on
    * `:listener` - the listener's name, or its pid when it has none
    * `:local_port` - the listener's port
    * `:cut` - only for an incomplete packet, with the decoding option `lengths: :lenient`: the error in
      its lengths
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

  @doc "Called in each receiving process, with the argument of `handler: {module, argument}`."
  @doc since: "1.0.0"
  @callback init(argument :: term()) :: {:ok, state :: term()} | {:error, reason :: term()}

  @doc "Handles a batch of packets, in the order of their arrival."
  @doc since: "1.0.0"
  @callback handle_packets([{packet(), meta()}], state) :: {:ok, state} when state: term()

  @doc """
  Handles invalid and unauthenticated packets, and errors of streams.

  `Exception.message/1` describes the error in a sentence. In addition to the reasons of `HEP.decode/2`
  there are `{:stream, {offset, reason}}`, see `HEP.Stream`, and `:unauthenticated`, for a packet
  without one of the listener's `:auth_keys`. The bytes are the received bytes; they are empty for an
  error of a stream.
  """
  @doc since: "1.0.0"
  @callback handle_error(HEP.DecodeError.t(), {bytes :: binary(), meta()}, state) ::
              {:ok, state}
            when state: term()

  @doc """
  Handles all messages to its process that are not the listener's: timers, replies, monitors.

  Without this callback such messages are dropped. An exit signal from a linked process ends the process.
  """
  @doc since: "1.0.0"
  @callback handle_info(message :: term(), state) :: {:ok, state} when state: term()

  @doc "Called before its process ends, and after the handler raised. The result is ignored."
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
