Code.require_file("fixtures.exs", __DIR__)

ExUnit.start()
