#!/bin/sh
# Runs each fuzz target for some seconds: `make fuzz`. An error ends the run, and its input is kept.
set -eu
cd "$(dirname "$0")/../../.."
seconds=${1:-60}
targets=${2:-'parse decode encode to_json from_json member pcap sip'}

fail() {
    printf '%s\n' "fuzz: $1" >&2
    exit 1
}

command -v cargo >/dev/null || fail 'cargo is missing: see README.md, section Installation'
command -v c++ >/dev/null || fail 'a C++ compiler is missing, for libFuzzer (Debian: apt-get install g++)'

# The flags of cargo-fuzz, without the sanitizers, which need a nightly toolchain: coverage and comparisons.
flags='--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
host=$(rustc -vV | sed -n 's/^host: //p')
folder=target/fuzz
# With a target, build scripts and macros are built without these flags.
RUSTFLAGS=$flags cargo build --quiet --release --locked --manifest-path native/hep/fuzz/Cargo.toml \
    --target-dir "$folder" --target "$host" ||
    fail 'the targets cannot be built: this needs crates.io, or a Cargo cache that has libfuzzer-sys'

for target in $targets; do
    corpus=$folder/corpus/$target
    found=$folder/findings/$target
    mkdir -p "$corpus" "$found"
    case $target in
        from_json) seeds=test/fixtures/json ;;
        encode) seeds= ;;
        *) seeds=test/fixtures ;;
    esac
    # The corpus of earlier runs is extended; the fixtures are only read.
    if "$folder/$host/release/$target" -max_total_time="$seconds" -max_len=70000 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$found/" "$corpus" $seeds >"$folder/$target.log" 2>&1; then
        printf 'ok      %-10s %s\n' "$target" "$(sed -n 's/^Done \(.*\) in.*/\1/p' "$folder/$target.log")"
    else
        tail -40 "$folder/$target.log"
        fail "$target: the input is in $found"
    fi
done
