defmodule HEP.MultiParserTest do
  use ExUnit.Case, async: true

  doctest HEP.MultiParser

  test "other terms are errors" do
    for term <- [nil, "", :hep, ~c"HEP3", <<1::4>>, %{}] do
      assert HEP.MultiParser.parse(term) == {:error, :invalid_packet, term}
    end
  end
end
