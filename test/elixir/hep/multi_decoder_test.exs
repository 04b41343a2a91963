defmodule HEP.MultiDecoderTest do
  use ExUnit.Case, async: true

  doctest HEP.MultiDecoder

  test "other terms are errors" do
    for term <- [nil, "", :hep, ~c"HEP3", <<1::4>>, %{}] do
      assert HEP.MultiDecoder.decode(term) == {:error, :invalid_packet, term}
    end
  end
end
