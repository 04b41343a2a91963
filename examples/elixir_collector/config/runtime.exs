import Config

# Options of HEP.Listener.
{:ok, ip} = "IP" |> System.get_env("0.0.0.0") |> String.to_charlist() |> :inet.parse_address()
default = if config_env() == :test, do: "0", else: "9060"

listener = [
  transport:
    Map.fetch!(%{"udp" => :udp, "tcp" => :tcp, "tls" => :tls}, System.get_env("TRANSPORT", "udp")),
  ip: ip,
  port: "PORT" |> System.get_env(default) |> String.to_integer(),
  auth_keys: "AUTH_KEYS" |> System.get_env("") |> String.split(",", trim: true)
]

tls =
  for {option, name} <- [certfile: "CERTFILE", keyfile: "KEYFILE"],
      file = System.get_env(name),
      do: {option, file}

config :collector, listener: if(tls == [], do: listener, else: [{:tls, tls} | listener])
