defmodule HEP.GuidesTest do
  # Runs the Elixir snippets of README.md and the guides. `#=> result` below an expression shows its result; `...`
  # matches any text. The snippets of a document share their variables. A fence with a file name
  # (```elixir mix.exs) contains a part of the file, and is only parsed.
  use ExUnit.Case, async: true

  @top Path.expand("../..", __DIR__)
  @documents [Path.join(@top, "README.md") | Path.wildcard(Path.join(@top, "guides/*.md"))]

  # hep does not depend on telemetry.
  setup_all do
    Code.put_compiler_option(:no_warn_undefined, [:telemetry])
    on_exit(fn -> Code.put_compiler_option(:no_warn_undefined, []) end)
  end

  for document <- @documents, String.contains?(File.read!(document), "\n```elixir") do
    @document document
    test "snippets of #{Path.relative_to(document, @top)}" do
      snippets = snippets(File.read!(@document))
      assert snippets != []
      Enum.reduce(snippets, [], &run(@document, &1, &2))
    end
  end

  defp snippets(text) do
    ~r/^```elixir([^\n]*)\n(.*?)^```$/ms
    |> Regex.scan(text, capture: :all_but_first)
    |> Enum.map(fn [file, code] -> {String.trim(file), code} end)
  end

  defp run(document, {"", code}, bindings) do
    code
    |> String.split("\n")
    |> Enum.chunk_by(&shown?/1)
    |> Enum.chunk_every(2)
    |> Enum.reduce(bindings, fn [lines | shown], bindings ->
      {value, bindings} = eval(Enum.join(lines, "\n"), bindings, document)
      if shown != [], do: compare(value, hd(shown), lines)
      bindings
    end)
  end

  defp run(_document, {_file, code}, bindings) do
    assert {:ok, _} = Code.string_to_quoted("[\n" <> code <> "\n]") |> parsed(code)
    bindings
  end

  defp parsed({:ok, _} = ok, _code), do: ok
  defp parsed({:error, _}, code), do: Code.string_to_quoted(code)

  defp eval(code, bindings, document), do: Code.eval_string(code, bindings, file: document)

  defp shown?(line), do: String.starts_with?(line, "#=> ") or String.starts_with?(line, "#   ")

  defp compare(value, shown, lines) do
    expected = shown |> Enum.map(&String.slice(&1, 4..-1//1)) |> Enum.join() |> solid()
    pattern = expected |> String.split("...") |> Enum.map_join(".*", &Regex.escape/1)
    given = solid(inspect(value, limit: :infinity, printable_limit: :infinity))

    assert given =~ ~r/\A#{pattern}\z/s,
           "#{List.last(lines)}\nshown: #{expected}\ngiven: #{given}"
  end

  # White space is ignored.
  defp solid(text), do: String.replace(text, ~r/\s+/, "")
end
