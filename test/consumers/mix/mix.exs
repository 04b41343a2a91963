defmodule Consumer.MixProject do
  use Mix.Project

  def project do
    [
      app: :consumer,
      version: "1.0.0",
      deps: [hep()],
      # The escript contains only the applications listed here: the library is in hep's priv/.
      escript: [main_module: Consumer, include_priv_for: [:hep]]
    ]
  end

  defp hep do
    case System.fetch_env("HEP_PATH") do
      {:ok, path} -> {:hep, "~> 1.0.0-rc", path: path}
      :error -> {:hep, "~> 1.0.0-rc", git: System.fetch_env!("HEP_GIT"), branch: "main"}
    end
  end
end
