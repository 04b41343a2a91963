defmodule Mix.Tasks.Compile.HepNif do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    case Mix.shell().cmd("sh native/build.sh", cd: __DIR__) do
      0 ->
        # Links priv/, which may be new.
        Mix.Project.build_structure()
        {:ok, []}

      status ->
        Mix.raise("hep: native/build.sh failed with status #{status}")
    end
  end
end

defmodule Mix.Tasks.Compile.HepDocs do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    Mix.shell().cmd("escript erlang/docs.escript '#{Mix.Project.compile_path()}'", cd: __DIR__)
    {:ok, []}
  end
end

defmodule HEP.MixProject do
  use Mix.Project

  # The metadata of the package, from one place.
  {:ok, [{:application, :hep, app_src}]} = :file.consult(Path.join(__DIR__, "erlang/hep.app.src"))

  @app_src app_src
  @version List.to_string(app_src[:vsn])
  @description List.to_string(app_src[:description])

  def project do
    [
      app: :hep,
      version: @version,
      elixir: "~> 1.14",
      compilers: [:hep_nif] ++ Mix.compilers() ++ [:hep_docs],
      erlc_paths: ["erlang"],
      erlc_include_path: "include",
      test_paths: ["test/elixir"],
      # Elixir 1.19 and later would warn about it.
      test_ignore_filters: ["test/elixir/fixtures.exs"],
      deps: deps(Mix.env()),
      name: "hep",
      description: @description,
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [extra_applications: [crypto: :optional, ssl: :optional]]
  end

  # MIX_ENV=docs mix do deps.get, docs
  #
  # Only this needs Hex; a dependency with `only: :docs` would make every task ask for it.
  defp deps(:docs), do: [{:ex_doc, "~> 0.34", runtime: false}]
  defp deps(_env), do: []

  # The Erlang modules contain their documentation (see erlang/docs.escript), so ExDoc shows them, too.
  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras: ["README.md"] ++ Path.wildcard("guides/*.md") ++ ["SECURITY.md", "CHANGELOG.md"],
      groups_for_extras: [Guides: ~r"^guides/"],
      groups_for_modules: [
        Packets: [
          HEP,
          HEP.Packet,
          HEP.SIP,
          HEP.Pcap,
          HEP.Pcap.Error,
          HEP.Flow,
          HEP.DecodeError,
          HEP.EncodeError
        ],
        "Receiving and sending": [HEP.Listener, HEP.Handler, HEP.Stream, HEP.Sender],
        "The original's modules": [HEP.MultiParser, HEP.MultiDecoder, HEP.Transform],
        Erlang: [
          :hep,
          :hep_json,
          :hep_sip,
          :hep_pcap,
          :hep_flow,
          :hep_stream,
          :hep_listener,
          :hep_handler,
          :hep_sender,
          :hep_logger,
          :hep_spool,
          :hep_port
        ],
        "Erlang, the original's modules":
          ~r"^:?hep_(multi|v[123])_|^:?hep_(generic_)?transform$|^:?hep_util$"
      ]
    ]
  end

  defp package do
    [
      licenses: strings(@app_src[:licenses]),
      links: for({name, url} <- @app_src[:links], into: %{}, do: {"#{name}", "#{url}"}),
      files: strings(@app_src[:files]),
      exclude_patterns: [~r"/target/", ~r"/fuzz/"]
    ]
  end

  defp strings(texts), do: Enum.map(texts, &List.to_string/1)
end
