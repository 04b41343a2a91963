defmodule HEP.StreamTest do
  use ExUnit.Case, async: true

  alias HEP.{Fixtures, Stream}

  doctest HEP.Stream

  @frames Fixtures.read("constructed/stream-frames.bin")

  test "byte by byte, with the same result" do
    {packets, [], stream} = Stream.feed(Stream.new(), @frames)
    assert Enum.join(packets) == @frames
    assert Stream.finish(stream) == []

    {cut, stream} =
      Enum.flat_map_reduce(:binary.bin_to_list(@frames), Stream.new(), fn byte, stream ->
        {packets, [], stream} = Stream.feed(stream, <<byte>>)
        {packets, stream}
      end)

    assert cut == packets
    assert Stream.buffered(stream) == 0
  end

  test "bytes between packets end the stream, or are skipped" do
    bytes = Fixtures.read("constructed/stream-frame-garbage-frame.bin")

    assert {[first], [{offset, :not_hep} = error], ended} = Stream.feed(Stream.new(), bytes)
    assert offset == byte_size(first)
    assert {[], [^error], _} = Stream.feed(ended, first)

    assert {[^first, _second], [^error, {_, {:resync, _}}], _} =
             Stream.feed(Stream.new(resync: true), bytes)
  end

  test "a sentence for every error" do
    for {reason, sentence} <- [
          {:not_hep, "not a HEP packet"},
          {{:unframed_version, 1}, "version 1 has no length"},
          {{:invalid_total_length, 5}, "total length 5"},
          {{:truncated, 7}, "after 7 bytes"},
          {{:resync, 7}, "7 bytes were skipped"}
        ] do
      text = Stream.format_error({9, reason})
      assert text =~ "offset 9: "
      assert text =~ sentence
    end
  end

  test "wrong options" do
    for options <- [[resync: 1], [copy: nil], [size: 1], [resync: true, copies: true]] do
      assert_raise ArgumentError, fn -> Stream.new(options) end
    end
  end

  test "gzip members are unpacked" do
    bytes = :zlib.gzip(@frames)
    {[packets], [], _stream} = Stream.feed(Stream.new(), bytes)
    assert packets == @frames
  end

  test "max_errors ends a stream" do
    stream = Stream.new(resync: true, max_errors: 1)
    {[], errors, _stream} = Stream.feed(stream, "..HEP3\0\0")
    assert errors == [{0, :not_hep}, {2, {:resync, 2}}, {2, {:too_many_errors, 1}}]

    assert_raise ArgumentError, ~r/invalid value 0 for option :max_errors/, fn ->
      Stream.new(max_errors: 0)
    end
  end
end
