defmodule HEPTest do
  use ExUnit.Case, async: true

  doctest HEP

  @ping <<"HEP3", 16::16, 0::16, 15::16, 10::16, "ping">>

  test "a packet must be a binary" do
    for packet <- [nil, :hep, ~c"HEP3", 1, <<1::4>>, ["HEP3"], %{}] do
      assert_raise FunctionClauseError, fn -> HEP.decode(packet) end
      assert_raise FunctionClauseError, fn -> HEP.decode(packet, v2_order: :big) end
      assert_raise FunctionClauseError, fn -> HEP.decode!(packet) end
    end
  end

  test "every legal value of an option" do
    for {name, values} <- [
          header_length: [:strict, :ignore],
          v2_order: [:auto, :big, :little],
          capture_id: [:keep, :repair],
          max_inflated: [0, 1, 1_048_576]
        ],
        value <- values do
      assert {:ok, %HEP.Packet{payload: "ping"}} = HEP.decode(@ping, [{name, value}])
      assert %HEP.Packet{payload: "ping"} = HEP.decode!(@ping, [{name, value}])
    end

    all = [header_length: :strict, v2_order: :auto, capture_id: :keep, max_inflated: 0]
    assert {:ok, %HEP.Packet{payload: "ping"}} = HEP.decode(@ping, all)
  end

  test "a wrong value of an option is reported" do
    number = "an integer from 0 to 18446744073709551615"

    for {{name, value}, wanted} <- [
          {{:header_length, :lax}, ":strict or :ignore"},
          {{:header_length, nil}, ":strict or :ignore"},
          {{:v2_order, "big"}, ":auto, :big or :little"},
          {{:v2_order, :middle}, ":auto, :big or :little"},
          {{:capture_id, true}, ":keep or :repair"},
          {{:lengths, :long}, ":strict or :lenient"},
          {{:max_inflated, -1}, number},
          {{:max_inflated, 1.0}, number},
          {{:max_inflated, :infinity}, number}
        ] do
      message = "invalid value #{inspect(value)} for option #{inspect(name)}, expected #{wanted}"

      legal = if name == :capture_id, do: [header_length: :ignore], else: [capture_id: :repair]

      for options <- [[{name, value}], [{name, value} | legal], legal ++ [{name, value}]],
          packet <- [@ping, "", "garbage"] do
        assert_raise ArgumentError, message, fn -> HEP.decode(packet, options) end
        assert_raise ArgumentError, message, fn -> HEP.decode!(packet, options) end
      end
    end
  end

  test "an unknown option is reported" do
    assert_raise ArgumentError, ~r/unknown keys \[:order\]/, fn ->
      HEP.decode(@ping, order: :big, capture_id: :keep)
    end

    assert_raise ArgumentError, fn ->
      HEP.decode(@ping, capture_id: :keep, capture_id: :repair)
    end

    assert_raise ArgumentError, fn -> HEP.decode(@ping, [:capture_id]) end
    assert_raise ArgumentError, fn -> HEP.decode(@ping, [{"capture_id", :keep}]) end
  end

  test "options must be a list" do
    for options <- [nil, :keep, %{capture_id: :keep}] do
      assert_raise FunctionClauseError, fn -> HEP.decode(@ping, options) end
    end
  end
end
