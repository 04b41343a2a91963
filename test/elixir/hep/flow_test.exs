defmodule HEP.FlowTest do
  use ExUnit.Case, async: true

  doctest HEP.Flow

  test "unknown options are errors" do
    assert_raise ArgumentError, fn -> HEP.Flow.ladder([], host: :port) end
    assert_raise ArgumentError, fn -> HEP.Flow.ladder([], hosts: :none) end
  end
end
