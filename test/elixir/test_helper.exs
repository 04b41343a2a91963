Code.require_file("fixtures.exs", __DIR__)

# For :capture_log: hep itself does not use Elixir's Logger.
{:ok, _} = Application.ensure_all_started(:logger)

ExUnit.start(assert_receive_timeout: 5000, capture_log: true)
