defmodule HEP.LoggerTest do
  # The handlers of :logger are global.
  use ExUnit.Case, async: false

  @moduletag :capture_log

  require Logger

  @patience 20_000

  setup do
    {:ok, socket} = :gen_udp.open(0, [:binary, ip: {127, 0, 0, 1}, active: false])
    {:ok, port} = :inet.port(socket)
    start_supervised!({HEP.Sender, name: HEP.LoggerTest.Sender, targets: [{"127.0.0.1", port}]})
    # Left by the README's snippet, see guides_test.exs.
    _ = :logger.remove_handler(:homer)
    on_exit(fn -> :logger.remove_handler(:homer) end)
    {:ok, socket: socket}
  end

  test "Logger's events and metadata", %{socket: socket} do
    # As an entry {:handler, :homer, :hep_logger, config} of the configuration.
    config = %{
      config: %{sender: HEP.LoggerTest.Sender, call_id: [:sip_call_id, :call_id], capture_id: 7},
      formatter: {:logger_formatter, %{template: [:level, " ", :msg]}}
    }

    assert :logger.add_handler(:homer, :hep_logger, config) == :ok
    Logger.metadata(call_id: "17@a")
    Logger.error(["no ", ~c"route"])
    Logger.error("ünknown", sip_call_id: "18@a")

    assert %HEP.Packet{payload_type: :log, capture_id: 7, payload: "error no route"} =
             first = receive_from(socket)

    assert %HEP.Packet{payload: "error ünknown"} = second = receive_from(socket)
    assert Enum.map([first, second], &HEP.Packet.correlation_id/1) == ["17@a", "18@a"]
    assert {:ok, %{sent: 2}} = :hep_logger.info(:homer)
  end

  test "a handler in the configuration of an application", %{socket: socket} do
    config = %{level: :notice, config: %{sender: HEP.LoggerTest.Sender}}
    Application.put_env(:hep, :logger, [{:handler, :homer, :hep_logger, config}])
    on_exit(fn -> Application.delete_env(:hep, :logger) end)
    assert :logger.add_handlers(:hep) == :ok
    Logger.error("from the configuration")
    assert receive_from(socket).payload =~ "from the configuration"
  end

  test "an invalid configuration" do
    assert {:error, {:handler_not_added, error}} =
             :logger.add_handler(:homer, :hep_logger, %{config: %{sender: nil}})

    assert error == {:bad_option, {:sender, nil}}

    assert :hep_logger.format_error(error) |> to_string() =~
             "the option sender is nil: expected a pid"
  end

  defp receive_from(socket) do
    {:ok, {_, _, bytes}} = :gen_udp.recv(socket, 0, @patience)
    HEP.decode!(bytes)
  end
end
