#!/bin/sh
# Compares the library with a decoder in plain Erlang, and measures the longest calls: prints tables, asserts no speed.
# Needs the built library (`make`). Writes to bench/.build and Cargo's target.
set -eu

cd "$(dirname "$0")/.."
build=bench/.build
mkdir -p "$build"

if [ ! -f ebin/hep.beam ]; then
    echo "bench: ebin/hep.beam is missing; run \`make' first" >&2
    exit 1
fi

target=${HEP_TARGET_DIR:-target}
cargo build --quiet --release --locked --target-dir "$target" -p hep_floor_nif
built=$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release
case $(uname -s) in
    Darwin) library=libhep_floor_nif.dylib ;;
    *) library=libhep_floor_nif.so ;;
esac
cp "$built/$library" "$build/hep_floor.so"

erlc -I include -o "$build" bench/*.erl
erl -noshell -pa ebin -pa "$build" -run hep_bench main
erl -noshell -pa ebin -pa "$build" -run hep_port_bench main
erl -noshell -pa ebin -pa "$build" -run hep_worst_bench main
exec erl -noshell -pa ebin -pa "$build" -run hep_pcap_bench main
