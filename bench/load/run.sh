#!/bin/sh
# Puts load on hep_listener and prints tables. `run.sh PARTS SECONDS PACKETS SOAK RATE'; an empty argument is the
# default.
# Linux only. Needs the built library (`make'). Writes to bench/.build and Cargo's target.
set -eu

parts=${1:-cpu,udp,delay,tcp,tls,nodes,attack,soak} # which, and in which order
seconds=${2:-30}                 # how long the steady load on UDP lasts; the other runs on UDP are no longer
packets=${3:-2000000}            # how many are sent over TCP, and over TLS
soak=${4:-600}                   # how many seconds the soak lasts
rate=${5:-20000}                 # packets a second of the soak, and of each of several nodes

cd "$(dirname "$0")/../.."
build=bench/.build
mkdir -p "$build"

if [ ! -f ebin/hep_listener.beam ]; then
    echo "load: ebin/hep_listener.beam is missing; run \`make' first" >&2
    exit 1
fi
if [ "$(uname -s)" != Linux ]; then
    echo "load: what the system tells is read as Linux writes it" >&2
    exit 1
fi

target=${HEP_TARGET_DIR:-target}
cargo build --quiet --release --locked --target-dir "$target" --manifest-path bench/load_generator/Cargo.toml
cp "$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release/hep_load_generator" "$build/"
erlc +warnings_as_errors -I include -pa ebin -o "$build" bench/hep_bench.erl bench/load/*.erl

erl -noshell -pa ebin -pa "$build" -eval 'io:format("~ts~n", [hep_bench:machine()]), halt().'
if [ "$(cat /proc/sys/net/core/rmem_max)" -lt 4194304 ]; then
    echo 'net.core.rmem_max is below the 4 MiB that the listener asks for: bursts will be lost, and pauses are too long for high rates'
fi

failed=
for part in $(echo "$parts" | tr ',' ' '); do
    # Busy waiting of schedulers would count as CPU time of packets.
    case $part in
        cpu | nodes) flags='+sbwt none +sbwtdcpu none +sbwtdio none' ;;
        *) flags= ;;
    esac
    # shellcheck disable=SC2086
    erl $flags -noshell -pa ebin -pa "$build" -run hep_load main -extra "$part" "$build" "$seconds" "$packets" "$soak" \
        "$rate" ||
        failed="$failed $part"
done
[ -z "$failed" ] || { echo "load: failed:$failed" >&2; exit 1; }
