defmodule HEP.ListenerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias HEP.{DecodeError, Fixtures, Listener, MultiParser, Packet, Transform}

  doctest HEP.Listener

  @v1 Fixtures.read("captures/kamailio-v1/flag-v4/007.bin")
  @v2 Fixtures.read("captures/kamailio-v2/flag-v4/007.bin")
  @v3 Fixtures.read("captures/hep-js-v3/vendor-ext/001.bin")

  # Sends each call to the test process, which is its argument.
  defmodule Telling do
    @behaviour HEP.Handler

    @impl true
    def init(test) do
      send(test, {:init, self()})
      {:ok, {test, 0}}
    end

    @impl true
    def handle_packets([{%Packet{payload: "crash"}, _meta}], _state), do: raise("crash")

    def handle_packets(packets, {test, count}) do
      send(test, {:packets, packets, count})
      {:ok, {test, count + length(packets)}}
    end

    @impl true
    def handle_error(error, raw, {test, count}) do
      send(test, {:error, error, raw})
      {:ok, {test, count}}
    end

    @impl true
    def terminate(reason, {test, _count}), do: send(test, {:terminate, reason})
  end

  # For the view `{:transform, modules}`.
  defmodule Vendor do
    @behaviour HEP.Transform

    @impl true
    def vendor_id, do: 0xCAFE

    @impl true
    def namespace, do: "hep-js"

    @impl true
    def transform(1, text), do: {:ok, "text", text}
    def transform(_id, _value), do: :no_call
  end

  # Uses the default callbacks.
  defmodule Plain do
    use HEP.Handler

    @impl true
    def handle_packets(packets, test) do
      for {packet, _meta} <- packets, do: send(test, {:plain, packet})
      {:ok, test}
    end
  end

  # Without an argument.
  defmodule Without do
    use HEP.Handler

    @impl true
    def init(argument) do
      send(HEP.ListenerTest.Without, {:argument, argument})
      super(argument)
    end

    @impl true
    def handle_packets(_packets, state), do: {:ok, state}
  end

  setup context do
    options = [ip: {127, 0, 0, 1}, port: 0] ++ Map.get(context, :options, [])
    {:ok, options: options}
  end

  describe "handlers" do
    test "a process", %{options: options} do
      before = System.os_time(:microsecond)
      {listener, send} = udp([handler: self()] ++ options)
      source = {{127, 0, 0, 1}, send.(@v3)}

      assert_receive {:hep_packets, ^listener, [{packet, meta}]}
      assert packet == HEP.decode!(@v3)
      assert %{source: ^source, transport: :udp, time: time} = meta
      assert meta.size == byte_size(@v3)
      assert time in before..System.os_time(:microsecond)

      send.("garbage")
      assert_receive {:hep_error, ^listener, error, {"garbage", %{source: ^source, size: 7}}}
      assert error == %DecodeError{reason: :not_hep}
    end

    test "a listener ends with its handler process", %{options: options} do
      Process.flag(:trap_exit, true)
      {:ok, process} = Agent.start(fn -> nil end)
      {listener, _send} = udp([handler: process] ++ options)
      Agent.stop(process)
      assert_receive {:EXIT, ^listener, :shutdown}
    end

    test "a slow process makes the listener wait", %{
      options: options
    } do
      process = spawn_link(fn -> receive do: (:drain -> drain()) end)
      {listener, send} = udp([handler: process, batch_packets: 1] ++ options)

      # No more at once than fit into the kernel's buffer.
      for sent <- 50..1000//50 do
        for _ <- 1..50, do: send.(@v2)
        wait(fn -> Listener.info(listener).decoded == sent end)
      end

      for _ <- 1..100, do: send.(@v2)
      Process.sleep(20)
      {:message_queue_len, waiting} = Process.info(process, :message_queue_len)
      assert waiting <= 1000
      send(process, :drain)
      wait(fn -> Listener.info(listener).decoded == 1100 end)
    end

    test "a function", %{options: options} do
      test = self()
      {_listener, send} = udp([handler: &send(test, {:got, &1})] ++ options)
      send.("garbage")
      send.(@v2)
      assert_receive {:got, [{%Packet{version: 2} = packet, %{transport: :udp}}]}
      assert packet == HEP.decode!(@v2)
    end

    test "a module with an argument", %{options: options} do
      {listener, send} = udp([handler: {Telling, self()}] ++ options)
      assert_receive {:init, _}
      for packet <- [@v1, @v2, @v3], do: send.(packet)

      assert [{%Packet{version: 1}, _}, {%Packet{version: 2}, _}, {%Packet{version: 3}, _}] =
               packets(3)

      send.(<<"HEP3", 5::16>>)
      assert_receive {:error, %DecodeError{reason: {:invalid_total_length, 5}} = error, raw}
      assert {<<"HEP3", 5::16>>, %{size: 6}} = raw
      assert Exception.message(error) =~ "invalid total length 5"

      Listener.stop(listener)
      assert_receive {:terminate, :shutdown}
    end

    test "a module that raises is restarted", %{options: options} do
      {listener, send} = udp([handler: {Telling, self()}] ++ options)
      assert_receive {:init, process}

      log =
        capture_log(fn ->
          send.(HEP.encode!(%Packet{payload: "crash"}))
          assert_receive {:terminate, {:error, %RuntimeError{message: "crash"}, [_ | _]}}
          assert_receive {:init, ^process}
          send.(@v3)
          assert_receive {:packets, [{%Packet{version: 3}, _}], 0}
        end)

      assert log =~ "hep_handler_crashed"
      assert %{handler_crashes: 1, handler_lost: 1, decoded: 2} = Listener.info(listener)
    end

    test "use HEP.Handler makes the argument the state", %{options: options} do
      {_listener, send} = udp([handler: {Plain, self()}] ++ options)
      send.("garbage")
      send.(@v3)
      assert_receive {:plain, %Packet{version: 3}}

      Process.register(self(), Without)
      udp([handler: Without] ++ options)
      assert_receive {:argument, []}
    end
  end

  describe "views" do
    for view <- [
          :decode,
          :parse,
          :transform,
          {:transform, [HEP.ListenerTest.Vendor]},
          :json,
          :raw
        ] do
      @tag options: [view: view]
      test inspect(view), %{options: options} do
        {listener, send} = udp([handler: self()] ++ options)

        for bytes <- [@v2, @v3] do
          send.(bytes)
          assert_receive {:hep_packets, ^listener, [{packet, _}]}
          assert packet == viewed(options[:view], bytes)
        end
      end
    end

    @tag options: [decode: [capture_id: :repair, max_inflated: 10]]
    test "with the options of decoding", %{options: options} do
      {listener, send} = udp([handler: self()] ++ options)
      send.(<<"HEP3", 16::16, 0::16, 12::16, 10::16, 2002::16, 0::16>>)
      assert_receive {:hep_packets, ^listener, [{%Packet{capture_id: 2002}, _}]}
    end
  end

  test "a filter", %{options: options} do
    filter = [
      payload_types: [:sip],
      methods: ["BYE"],
      networks: ["192.0.2.0/24"],
      function: fn %Packet{capture_id: id} -> id == 7 end
    ]

    {listener, send} = udp([handler: self(), filter: filter] ++ options)
    bye = %Packet{src_ip: {192, 0, 2, 1}, capture_id: 7, payload: "BYE sip:b SIP/2.0\r\n\r\n"}

    for packet <- [
          %{bye | payload_type: :log},
          %{bye | payload: "ACK sip:b SIP/2.0\r\n\r\n"},
          %{bye | src_ip: {192, 0, 3, 1}},
          %{bye | capture_id: 8},
          bye
        ],
        do: send.(HEP.encode!(packet))

    assert_receive {:hep_packets, ^listener,
                    [{%Packet{capture_id: 7, src_ip: {192, 0, 2, 1}}, _}]}

    assert %{filtered: 4, decoded: 1, received: 5} = Listener.info(listener)

    for wrong <- [[methods: []], [method: ["BYE"]], [7], %{}] do
      assert Listener.start_link(port: 0, handler: self(), filter: wrong) ==
               {:error, {:bad_option, {:filter, wrong}}}
    end
  end

  test "authenticate keys", %{options: options} do
    {listener, send} = udp([handler: self(), auth_keys: ["secret"]] ++ options)
    send.(@v3)
    assert_receive {:hep_error, ^listener, %DecodeError{reason: :unauthenticated} = error, _}
    assert Exception.message(error) == "no valid authenticate key"

    send.(HEP.encode!(%Packet{payload: "ping"}, auth_key: "secret"))
    assert_receive {:hep_packets, ^listener, [{%Packet{payload: "ping"}, _}]}
    assert %{unauthenticated: 1, decoded: 1, received: 2} = Listener.info(listener)
  end

  test "both families", %{options: options} do
    options = Keyword.put(options, :ip, {0, 0, 0, 0, 0, 0, 0, 0})
    {listener, send} = udp([handler: self()] ++ options)
    send.(@v3)
    assert_receive {:hep_packets, ^listener, [{_, %{source: {{127, 0, 0, 1}, _}}}]}
  end

  describe "TCP and TLS" do
    @describetag options: [transport: :tcp]

    test "packets split anywhere, and errors", %{options: options} do
      {:ok, listener} = Listener.start_link([handler: self()] ++ options)
      socket = connect(listener)
      {head, tail} = String.split_at(@v3, 50)
      :ok = :gen_tcp.send(socket, head)
      Process.sleep(10)
      :ok = :gen_tcp.send(socket, [tail, "..."])

      assert_receive {:hep_packets, ^listener, [{packet, %{transport: :tcp}}]}
      assert packet == HEP.decode!(@v3)

      offset = byte_size(@v3)
      assert_receive {:hep_error, ^listener, error, {"", %{size: 0}}}
      assert error == %DecodeError{reason: {:stream, {offset, :not_hep}}}
      assert Exception.message(error) =~ "offset #{offset}: not a HEP packet"
      assert_receive {:tcp_closed, ^socket}
    end

    test "resync", %{options: options} do
      {:ok, listener} = Listener.start_link([handler: self(), resync: true] ++ options)
      :ok = listener |> connect() |> :gen_tcp.send(["...", @v3])
      assert_receive {:hep_packets, ^listener, [{%Packet{version: 3}, _}]}
      assert_receive {:hep_error, ^listener, %DecodeError{reason: {:stream, {0, :not_hep}}}, _}
      assert_receive {:hep_error, ^listener, %DecodeError{reason: {:stream, {3, _}}}, _}
      assert %{resyncs: 1, skipped_bytes: 3, connections: 1} = Listener.info(listener)
    end

    test "TLS", %{options: options} do
      %{server: server, client: client} = certificates()

      {:ok, listener} =
        Listener.start_link([handler: self(), transport: :tls, tls: server] ++ options)

      {:ok, socket} = :ssl.connect({127, 0, 0, 1}, Listener.port(listener), client, 5000)
      :ok = :ssl.send(socket, @v3)
      assert_receive {:hep_packets, ^listener, [{%Packet{version: 3}, %{transport: :tls}}]}
      :ssl.close(socket)
    end
  end

  describe "starting" do
    test "below a supervisor, by name", %{options: options} do
      name = Module.concat(__MODULE__, Named)
      child = {Listener, [handler: self(), name: name] ++ options}
      start_supervised!(child)
      assert Listener.port(name) in 1..65_535

      listener = Process.whereis(name)
      Process.exit(listener, :kill)
      wait(fn -> Process.whereis(name) not in [nil, listener] end)
      stop_supervised!(name)
      assert Process.whereis(name) == nil
    end

    test "two below one supervisor", %{options: options} do
      children =
        for ip <- [{127, 0, 0, 1}, {127, 0, 0, 2}],
            do: {Listener, [handler: self(), ip: ip] ++ options}

      {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
      assert [{_, _, :supervisor, _}, _] = Supervisor.which_children(supervisor)
      Supervisor.stop(supervisor)
    end

    test "names of all kinds", %{options: options} do
      start_supervised!({Registry, keys: :unique, name: HEP.ListenerTest.Registry})

      for name <- [
            {:global, __MODULE__},
            {:via, Registry, {HEP.ListenerTest.Registry, :listener}}
          ] do
        {:ok, listener} = Listener.start_link([handler: self(), name: name] ++ options)
        assert Listener.port(name) == Listener.port(listener)
        assert :ok = Listener.stop(name)
      end
    end

    test "a port in use", %{options: options} do
      Process.flag(:trap_exit, true)
      {listener, _send} = udp([handler: self()] ++ options)
      taken = Keyword.put(options, :port, Listener.port(listener))

      assert {:error, {:listen, :udp, :eaddrinuse}} =
               Listener.start_link([handler: self()] ++ taken)
    end

    test "wrong options are reported" do
      for {name, value} = option <- [
            handler: NoModule,
            handler: {Packet, 1},
            handler: fn -> :ok end,
            transport: :sctp,
            ip: "127.0.0.1",
            port: -1,
            view: :xml,
            view: {:transform, [NoModule]},
            decode: [max_inflated: -1],
            decode: %{max_inflated: 1},
            decode: [wrong: 1],
            decode: nil,
            auth_keys: ["", "secret"],
            shards: 0,
            active: 0,
            recbuf: 0,
            max_delay: -1,
            batch_packets: 0,
            multicast: [{127, 0, 0, 1}],
            max_connections: 0,
            idle_timeout: 0,
            resync: nil,
            tls: [certfile: "cert.pem"],
            name: "listener",
            name: {:name, :listener},
            adapter: HEP.Listener,
            prot: 1
          ] do
        assert Listener.start_link([option, handler: self()]) ==
                 {:error, {:bad_option, {name, value}}}
      end

      assert Listener.start_link([]) == {:error, {:bad_option, {:handler, :missing}}}
      assert Listener.start_link([1]) == {:error, {:bad_option, [1]}}

      assert Listener.start_link(%{handler: self()}) ==
               {:error, {:bad_option, %{handler: self()}}}
    end
  end

  # A listener, and a function that sends a datagram to it and returns its own port.
  defp udp(options) do
    {:ok, listener} = Listener.start_link(options)
    {:ok, socket} = :gen_udp.open(0, [:binary, ip: {127, 0, 0, 1}])
    {:ok, source} = :inet.port(socket)
    port = Listener.port(listener)

    {listener,
     fn datagram ->
       :ok = :gen_udp.send(socket, {127, 0, 0, 1}, port, datagram)
       source
     end}
  end

  defp drain do
    receive do
      _message -> drain()
    end
  end

  defp connect(listener) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, Listener.port(listener), [:binary])
    socket
  end

  # The calls of Telling for this many packets, in any number of batches.
  defp packets(count, before \\ 0)
  defp packets(0, _before), do: []

  defp packets(count, before) do
    assert_receive {:packets, packets, ^before}
    length = length(packets)
    packets ++ packets(count - length, before + length)
  end

  defp viewed(:decode, bytes), do: HEP.decode!(bytes)
  defp viewed(:transform, bytes), do: viewed({:transform, []}, bytes)
  defp viewed({:transform, modules}, bytes), do: Transform.transform(modules, parsed(bytes))
  defp viewed(:parse, bytes), do: parsed(bytes)
  defp viewed(:raw, bytes), do: bytes

  defp viewed(:json, bytes) do
    {:ok, json} = :hep_json.from_packet(bytes)
    json
  end

  defp parsed(bytes) do
    {:ok, state} = MultiParser.parse(bytes)
    state
  end

  defp certificates do
    {:ok, _} = Application.ensure_all_started(:ssl)
    root = [digest: :sha256, key: {:namedCurve, :secp256r1}]
    chain = %{root: root, intermediates: [], peer: root}

    %{server_config: server, client_config: client} =
      :public_key.pkix_test_data(%{server_chain: chain, client_chain: chain})

    %{server: server, client: [verify: :verify_none] ++ client}
  end

  defp wait(true?, left \\ 500) do
    cond do
      true?.() ->
        :ok

      left > 0 ->
        Process.sleep(10)
        wait(true?, left - 1)

      true ->
        flunk("it has not come to that")
    end
  end
end
