#!/bin/sh
# Fails unless EUnit ran tests of every suite in this folder, or of the suites given by name.
# Run by rebar3 after its tests; reads their reports in _build.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "$1" >&2
    exit 1
}

grep -qs '<testcase ' _build/TEST-*.xml || fail "No test was run."

# There is a report of the whole folder if no suite was given by name.
for report in _build/TEST-directory_*.xml; do
    [ -e "$report" ] || continue
    for suite in test/erlang/*_tests.erl; do
        name=$(basename "$suite" .erl)
        grep -q "<testcase .*name=\"$name:" "$report" || fail "No test of $name was run."
    done
done
