#!/bin/sh
# Every check and test: `make test`. Prints the output of a step only if it fails.
set -eu
cd "$(dirname "$0")/.."

logs=_build/test-logs
mkdir -p "$logs"

# step NAME COMMAND...: runs it, and prints its duration.
step() {
    name=$1
    shift
    log=$logs/$(echo "$name" | tr ' /' '__').log
    started=$(date +%s)
    if "$@" >"$log" 2>&1; then
        printf 'ok      %-44s %4ss\n' "$name" $(($(date +%s) - started))
    else
        cat "$log"
        printf 'FAILED  %s\n' "$name"
        exit 1
    fi
}

# counted NAME SCRIPT: the number of passed tests, the sum of the numbers that the sed script prints from the log.
# None is a failure.
passed=0
counted() {
    log=$logs/$(echo "$1" | tr ' /' '__').log
    number=$(sed -n "$2" "$log" | awk '{ sum += $1 + $3 } END { print sum + 0 }')
    if [ "$number" -eq 0 ]; then
        cat "$log"
        echo "FAILED  $1: no test ran"
        exit 1
    fi
    passed=$((passed + number))
}

# optional NAME COMMAND...: whether an optional tool is installed. CI must have it.
optional() {
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then return 0; fi
    printf 'skipped %s: `%s'"'"' does not run\n' "$name" "$*"
    if [ -n "${CI-}" ]; then exit 1; else return 1; fi
}

if optional 'Rust formatting' cargo fmt --version; then
    step 'Rust formatting' cargo fmt --all --check
    step 'Load generator formatting' cargo fmt --check --manifest-path bench/load_generator/Cargo.toml
    step 'Fuzz target formatting' cargo fmt --check --manifest-path native/hep/fuzz/Cargo.toml
fi
if optional 'Clippy' cargo clippy --version; then
    step 'Clippy' cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
fi
# Not `optional': few installations have these. Without the first, Clippy's incompatible_msrv checks
# the functions of the standard library, and the last reports dependencies that need a newer Rust.
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if cargo "+$oldest" --version >/dev/null 2>&1; then
    step "Rust $oldest" cargo "+$oldest" check --quiet --locked --workspace --all-targets --target-dir target/oldest
else
    printf 'skipped Rust %s, the oldest: rustup has no such toolchain\n' "$oldest"
fi
if cargo deny --version >/dev/null 2>&1; then
    step 'Dependencies' sh test/deny.sh offline
else
    printf 'skipped Dependencies: cargo-deny is missing\n'
fi
step 'Rust docs' env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --workspace --no-deps
step 'Rust tests' cargo test --quiet --locked --workspace --exclude hep_floor_nif
counted 'Rust tests' 's/^test result: ok. \([0-9]*\) passed.*/\1/p'
step 'make' make --no-print-directory all
bench=$logs/bench
mkdir -p "$bench"
step 'Benchmark compiler' erlc +warnings_as_errors -I include -pa ebin -o "$bench" bench/*.erl bench/load/*.erl
commands=$logs/command
mkdir -p "$commands"
step 'Command compiler' erlc +warnings_as_errors -I include -o "$commands" command/*.erl
step 'EUnit' rebar3 eunit
counted 'EUnit' 's/^\([0-9]*\) tests, 0 failures.*/\1/p'
step 'xref' rebar3 as test xref
step 'Dialyzer' rebar3 dialyzer
step 'Dialyzer, command' dialyzer --quiet --plt _build/rebar3/default/rebar3_*_plt -Wunmatched_returns -Werror_handling \
    -I include --src -r command erlang
step 'EDoc' rebar3 edoc
step 'Elixir formatting' mix format --check-formatted
step 'Elixir compiler' env MIX_ENV=test mix compile --force --warnings-as-errors
step 'ExUnit' env MIX_ENV=test mix test
# `5 doctests, 27 tests, 0 failures'; since Elixir 1.20 `Result: 32 passed (5 doctests, 27 tests)'.
counted 'ExUnit' 's/^\([0-9]* doctests, [0-9]*\) tests, 0 failures.*/\1/p; s/^Result: \([0-9]*\) passed (.*)$/\1/p'
step 'Command' sh test/command/run.sh
counted 'Command' 's/^ok .*/1/p'
step 'make run' make --no-print-directory run
step 'Examples' sh test/examples/run.sh
counted 'Examples' 's/^ok .*/1/p'
# RabbitMQ is installed, or available from Debian's archive.
if [ -d /usr/lib/rabbitmq ] || command -v apt-get >/dev/null 2>&1; then
    step 'RabbitMQ' make --no-print-directory rabbitmq
    counted 'RabbitMQ' 's/^ok .*/1/p; s/.*All \([0-9]*\) tests passed.*/\1/p'
else
    printf 'skipped RabbitMQ: it is not installed\n'
fi
if optional 'Page' sh examples/call_flow/test/page/run.sh setup; then
    step 'Page' sh examples/call_flow/test/page/run.sh
    counted 'Page' 's/^# pass \([0-9]*\)$/\1/p'
fi
step 'Interoperation' make --no-print-directory interop
counted 'Interoperation' 's/.*written by hep: \([0-9]*\) read right.*/\1/p'
step 'Build' sh test/build/run.sh
counted 'Build' 's/^ok .*/1/p'
step 'Package' sh test/package/run.sh _build/package
counted 'Package' 's/^ok .*/1/p'
step 'Consumers' sh test/consumers/run.sh
counted 'Consumers' 's/^ok .*/1/p'
printf '%s passed, 0 failed\n' "$passed"
