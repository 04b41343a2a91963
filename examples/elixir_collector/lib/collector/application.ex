defmodule Collector.Application do
  @moduledoc false
  # One listener, which prints its packets on standard output as JSON.
  use Application

  @impl true
  def start(_type, _arguments) do
    defaults = [name: Collector.Listener, view: :json, handler: Collector.Printer]
    options = Keyword.merge(defaults, Application.fetch_env!(:collector, :listener))

    with {:ok, supervisor} <-
           Supervisor.start_link([{HEP.Listener, options}], strategy: :one_for_one) do
      %{transport: transport, ip: ip, port: port} = HEP.Listener.info(Collector.Listener)
      IO.puts(:stderr, "Listening on #{transport} #{:inet.ntoa(ip)} port #{port}")
      {:ok, supervisor}
    end
  end
end
