# Since Elixir 1.15, Mix removes applications that are no dependencies from the code path.
if function_exported?(Mix, :ensure_application!, 1) do
  wanted = [
    :crypto,
    :ssl,
    :public_key,
    :logger | if(Code.ensure_loaded?(:json), do: [], else: [:jiffy])
  ]

  Enum.each(wanted, &apply(Mix, :ensure_application!, [&1]))
end

defmodule HEP.Fixtures do
  @moduledoc false
  # The packets of test/fixtures and their expected results; see README.md there.

  @folder Path.expand("../fixtures", __DIR__)
  @families %{2 => :ipv4, 10 => :ipv6, nil => nil}

  # All datagrams, as maps with the manifest's keys and the packet under "packet".
  # Entries with an expiry date are left out after it.
  def datagrams do
    now = System.os_time(:second)

    for %{"kind" => "datagram", "file" => file} = entry <- manifest(),
        now < Map.get(entry, "until", :infinity),
        do: Map.put(entry, "packet", read(file))
  end

  def read(file), do: File.read!(Path.join(@folder, file))

  # A value of the manifest: hex digits, or a part of the packet.
  def bytes(hex, _packet) when is_binary(hex), do: Base.decode16!(hex, case: :lower)
  def bytes(%{"hex" => hex}, packet), do: bytes(hex, packet)

  def bytes(%{"offset" => offset, "length" => length}, packet),
    do: binary_part(packet, offset, length)

  # The fields of a HEP.Packet that "decode" expects, except the time and the payload.
  def fields(decode, packet) do
    %{
      version: decode["version"],
      family: Map.fetch!(@families, decode["family"]),
      protocol: decode["protocol"],
      src_ip: address(decode["src_ip"]),
      src_port: decode["src_port"],
      dst_ip: address(decode["dst_ip"]),
      dst_port: decode["dst_port"],
      capture_id: decode["capture_id"],
      payload_type: payload_type(decode["payload_type"]),
      chunks:
        for([vendor, id, value] <- decode["chunks"], do: {{vendor, id}, bytes(value, packet)})
    }
  end

  # The HEP.DecodeError's reason that "decode_error" expects, without offset and value if the
  # manifest has none.
  def reason([name | arguments]), do: {String.to_atom(name), Enum.map(arguments, &detail/1)}

  defp detail(name) when is_binary(name), do: String.to_atom(name)
  defp detail(number), do: number

  def reason_of(:not_hep), do: {:not_hep, []}
  def reason_of({:truncated, offset}) when is_integer(offset), do: {:truncated, []}

  def reason_of({:invalid_chunk, vendor, id, length, value}) when byte_size(value) == length,
    do: {:invalid_chunk, [vendor, id, length]}

  def reason_of(reason) do
    [name | arguments] = Tuple.to_list(reason)
    {name, arguments}
  end

  def options(options) do
    for {name, value} <- options do
      {String.to_existing_atom(name),
       if(is_binary(value), do: String.to_existing_atom(value), else: value)}
    end
  end

  # 16 is another number of IAX.
  defp payload_type(16), do: 16
  defp payload_type(number), do: :hep_registry.payload_type_name(number)

  defp address(nil), do: nil

  defp address(text) do
    {:ok, address} = :inet.parse_strict_address(String.to_charlist(text))
    address
  end

  defp manifest, do: json("manifest.json" |> read())

  # OTP has a JSON module since version 27.
  if Code.ensure_loaded?(:json) do
    defp json(text), do: text |> :json.decode(:ok, %{null: nil}) |> elem(0)
  else
    defp json(text), do: :jiffy.decode(text, [:return_maps, :use_nil])
  end
end
