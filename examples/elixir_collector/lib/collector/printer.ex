defmodule Collector.Printer do
  @moduledoc """
  Prints each packet as a line of JSON, and errors on standard error.
  """
  use HEP.Handler

  # The argument is the device to print to.
  @impl true
  def init([]), do: init(:stdio)
  def init(device), do: {:ok, device}

  # Writes a batch at once. While the device blocks, the socket is not read.
  @impl true
  def handle_packets(packets, device) do
    IO.write(device, for({json, _meta} <- packets, do: [json, ?\n]))
    {:ok, device}
  end

  @impl true
  def handle_error(error, {_bytes, %{source: {ip, port}, size: size}}, device) do
    IO.puts(:stderr, "#{:inet.ntoa(ip)} port #{port}, #{size} bytes: #{Exception.message(error)}")
    {:ok, device}
  end
end
