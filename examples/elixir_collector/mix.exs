defmodule Collector.MixProject do
  use Mix.Project

  def project do
    [
      app: :collector,
      version: "1.0.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      # In your own project: {:hep, git: "https://example.org/hep.git", branch: "main"}
      deps: [{:hep, path: "../.."}]
    ]
  end

  def application do
    [mod: {Collector.Application, []}, extra_applications: [:crypto, :ssl]]
  end
end
