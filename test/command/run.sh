#!/bin/sh
# Tests of the command `hep' from the user's view: bin/hep, built by make.
# Usage: run.sh [usage show convert flow listen]    in this order; later ones need files of earlier ones
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
hep=$top/bin/hep
fixtures=$top/test/fixtures

unset HEP_TERMINAL HEP_SIZE COLUMNS
export LC_ALL=C.UTF-8 ERL_CRASH_DUMP_SECONDS=0
work=$(mktemp -d)
# The process of a running listener, see listen_test.sh.
listener=
trap '[ -z "$listener" ] || kill "$listener" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

failed() {
    echo "failed $1: $2" >&2
    for log in out err; do
        echo "-- $log" >&2
        cat "$work/$log" >&2
    done
    exit 1
}

# run NAME STATUS ARGUMENTS...: runs the command and checks its exit status; its output is in the files out and err.
run() {
    name=$1
    expected=$2
    shift 2
    status=0
    "$hep" "$@" >out 2>err || status=$?
    [ "$status" -eq "$expected" ] || failed "$name" "status $status, expected $expected"
}

# same NAME FILE TEXT: the whole content of a file.
same() {
    printf '%s' "$3" >expected
    cmp -s expected "$2" || { diff expected "$2" || true; failed "$1" "$2 is not as expected"; }
}

# has NAME FILE TEXT...: the file has a line with each text.
has() {
    name=$1
    file=$2
    shift 2
    for text; do
        grep -qF -e "$text" "$file" || failed "$name" "no line of $file has $text"
    done
}

# lacks NAME FILE TEXT
lacks() {
    if grep -qF -e "$3" "$2"; then failed "$1" "a line of $2 has $3"; fi
}

ok() { echo "ok $1"; }

for test in ${*:-usage show convert flow listen}; do
    . "$here/${test}_test.sh"
done
