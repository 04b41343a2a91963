#!/bin/sh
# Runs the NIF in a VM with AddressSanitizer: `make asan'. First the tests of the fixtures, then hep_attack.
# Usage: asan.sh PACKETS TERMS
# Needs Linux and gcc's libasan. The VM allocates with malloc (`+Mea min'), so the sanitizer sees the bounds of each
# binary. Writes to _build/asan and target/asan.
set -eu
cd "$(dirname "$0")/.."
packets=${1:-100000}
terms=${2:-2000}
folder=_build/asan

fail() {
    printf '%s\n' "asan: $1" >&2
    exit 1
}

[ "$(uname -s)" = Linux ] || fail 'runs on Linux only'
libasan=$(gcc -print-file-name=libasan.so) || fail 'gcc is missing (Debian: apt-get install gcc)'
[ -e "$libasan" ] || fail 'libasan is missing (Debian: it comes with gcc)'

# RUSTC_BOOTSTRAP: a stable compiler then accepts -Z options. With a target, build scripts and macros are built without
# the sanitizer. Little optimisation: code that the compiler removes cannot be checked. The runtime is gcc's, which is
# loaded before the VM starts.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address -Zexternal-clangrt' CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo build --quiet --release --locked --target "$host" --target-dir target/asan -p hep_nif ||
    fail 'the NIF cannot be built'

rm -rf "$folder"
mkdir -p "$folder/priv" "$folder/test"
cp -R ebin "$folder/ebin"
cp "target/asan/$host/release/libhep_nif.so" "$folder/priv/hep_nif.so"
cp priv/hep_port "$folder/priv/hep_port"
# hep_fixtures finds them next to the tests.
erlc -I include -o "$folder/test" test/erlang/hep_attack.erl test/erlang/hep_answers.erl test/erlang/hep_fixtures.erl \
    test/erlang/hep_fixture_tests.erl test/erlang/hep_packets.erl test/erlang/hep_ports.erl

# vm ARGUMENTS...: a VM with the sanitizer. An error ends it, with the address and a stack.
# Leaks are not reported: the VM keeps its memory until it ends.
vm() {
    log=$folder/log
    if LD_PRELOAD=$libasan ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:exitcode=99:handle_segv=0 \
        erl +Mea min -noinput -pa "$folder/ebin" "$folder/test" "$@" >"$log" 2>&1; then
        cat "$log"
    else
        cat "$log"
        fail 'see above'
    fi
}

vm -eval 'case eunit:test(hep_fixture_tests) of ok -> halt(); _ -> halt(1) end.'
vm -eval 'hep_attack:main().' -extra "$packets" "$terms"
