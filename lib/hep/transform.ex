defmodule HEP.Transform do
  @moduledoc """
  Turns a packet into nested property lists with readable names.

  The library transforms the generic chunks. Your modules with this behaviour transform the chunks of a
  vendor, in packets of version 3:

      defmodule MyApp.Vendor do
        @behaviour HEP.Transform

        @impl true
        def vendor_id, do: 0xCAFE

        @impl true
        def namespace, do: "my-vendor"

        @impl true
        def transform(1, text), do: {:ok, "text", text}
        def transform(2, <<number::32>>), do: {:ok, "number", number}
        def transform(_chunk_id, _value), do: :no_call
      end

      {:ok, state} = HEP.MultiParser.parse(packet)
      HEP.Transform.transform([MyApp.Vendor], state)

  Modules with the Erlang behaviour `:hep_transform` work as well: the callbacks are the same.
  """
  @moduledoc since: "1.0.0"

  alias HEP.Packet

  @doc "The vendor whose chunks the module transforms."
  @doc since: "1.0.0"
  @callback vendor_id() :: :hep.vendor_id()

  @doc "The name of the property list of these chunks."
  @doc since: "1.0.0"
  @callback namespace() :: binary()

  @doc "A chunk's name and value, or `:no_call` to leave it out."
  @doc since: "1.0.0"
  @callback transform(:hep.chunk_id(), value :: binary()) ::
              {:ok, name :: binary(), term()} | :no_call

  @doc """
  Transforms the generic chunks of a parsed or decoded packet.

  ## Examples

      iex> {:ok, state} = HEP.MultiParser.parse(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>)
      iex> HEP.Transform.transform(state)
      [{"hep", [{"version", 3}, {"generic", [{"payload", "ping"}]}]}]
  """
  @doc since: "1.0.0"
  @spec transform(:hep.state() | :hep.t() | Packet.t()) :: :hep_transform.transformed()
  def transform(packet), do: transform([], packet)

  @doc """
  Transforms the generic chunks of a parsed or decoded packet, and those of the modules' vendors.

  The packet is the result of `HEP.MultiParser.parse/1`, a `HEP.Packet`, or a record `#hep{}`. Chunks
  keep their order; those of a decoded packet are ordered by id. A chunk is left out if no module
  transforms its vendor, or if the module returns `:no_call`. If several modules have the same vendor,
  the first is called.

  ## Examples

      iex> HEP.Transform.transform([], %HEP.Packet{src_port: 5060, payload: "ping"})
      [
        {"hep",
         [
           {"version", 3},
           {"generic", [{"srcPort", 5060}, {"payloadType", 1}, {"payload", "ping"}]}
         ]}
      ]
  """
  @doc since: "1.0.0"
  @spec transform([module()], :hep.state() | :hep.t() | Packet.t()) ::
          :hep_transform.transformed()
  def transform(modules, %Packet{} = packet),
    do: :hep_transform.transform(modules, Packet.to_record(packet))

  def transform(modules, packet), do: :hep_transform.transform(modules, packet)

  @doc """
  Parses a packet and transforms its generic chunks, in one step.

  Returns the same as `HEP.MultiParser.parse/1` followed by `transform/1`, but is faster: no list of
  chunks is built in between.

  ## Examples

      iex> HEP.Transform.from_packet(<<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>)
      {:ok, [{"hep", [{"version", 3}, {"generic", [{"payload", "ping"}]}]}]}

      iex> HEP.Transform.from_packet("ping")
      {:error, :invalid_packet, "ping"}
  """
  @doc since: "1.0.0"
  @spec from_packet(packet :: binary() | term()) ::
          {:ok, :hep_transform.transformed()} | {:error, :invalid_packet, term()}
  defdelegate from_packet(packet), to: :hep_transform

  @doc """
  Parses a packet and transforms its generic chunks, and those of the modules' vendors.

  See `from_packet/1` and `transform/2`.

  ## Examples

      iex> HEP.Transform.from_packet([], <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>)
      {:ok, [{"hep", [{"version", 3}, {"generic", [{"payload", "ping"}]}]}]}
  """
  @doc since: "1.0.0"
  @spec from_packet([module()], packet :: binary() | term()) ::
          {:ok, :hep_transform.transformed()} | {:error, :invalid_packet, term()}
  defdelegate from_packet(modules, packet), to: :hep_transform
end
