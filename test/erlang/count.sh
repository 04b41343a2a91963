#!/bin/sh
# Fails unless EUnit ran tests: those of every suite in this folder, or of those asked for by name.
# Run by rebar3 behind its tests; reads the reports that they left in _build.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "$1" >&2
    exit 1
}

grep -qs '<testcase ' _build/TEST-*.xml || fail "No test was run."

# There is a report of the whole folder when no suite was asked for by name.
for report in _build/TEST-directory_*.xml; do
    [ -e "$report" ] || continue
    for suite in test/erlang/*_tests.erl; do
        name=$(basename "$suite" .erl)
        grep -q "<testcase .*name=\"$name:" "$report" || fail "No test of $name was run."
    done
done
