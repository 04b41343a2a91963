[
  inputs: ["{mix,.formatter}.exs", "lib/**/*.ex", "test/elixir/**/*.exs"],
  line_length: 98
]
