defmodule Consumer.MixProject do
  use Mix.Project

  def project do
    [
      app: :consumer,
      version: "1.0.0",
      deps: [hep()],
      # An escript carries only what it is told to: the library lies in hep's priv/.
      escript: [main_module: Consumer, include_priv_for: [:hep]]
    ]
  end

  defp hep do
    case System.fetch_env("HEP_PATH") do
      {:ok, path} -> {:hep, path: path}
      :error -> {:hep, git: System.fetch_env!("HEP_GIT"), branch: "main"}
    end
  end
end
