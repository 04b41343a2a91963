#!/bin/sh
# Checks licences, versions, sources and known vulnerabilities of the dependencies with cargo-deny and deny.toml:
# `make deny`.
# Usage: deny.sh           all; the database of advisories is fetched, or the copy of an earlier run is used
#        deny.sh offline   without advisories, which change from day to day
# Checks that are impossible are printed as skipped.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "deny: $1" >&2
    exit 1
}

# The workspace states the minimum Rust: no dependency of the library may need a newer one.
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if packages=$(cargo metadata --format-version 1 --locked 2>/dev/null); then
    newer=$(printf '%s' "$packages" | tr ',{}' '\n\n\n' | sed -n 's/^"rust_version":"1\.\([0-9]*\).*/\1/p' |
        awk -v most="${oldest#1.}" '$1 + 0 > most + 0 { print $1; exit }')
    [ -z "$newer" ] || fail "a dependency needs Rust 1.$newer, which is newer than $oldest"
    printf 'ok      no dependency needs a newer Rust than %s\n' "$oldest"
else
    printf '%s\n' 'skipped the oldest Rust of dependencies: cargo cannot download all of them'
fi

if ! cargo deny --version >/dev/null 2>&1; then
    printf '%s\n' 'skipped licences, versions, sources, advisories: cargo-deny is missing (cargo install --locked cargo-deny)'
    exit
fi

manifests='Cargo.toml bench/load_generator/Cargo.toml native/hep/fuzz/Cargo.toml'
# check MANIFEST WHAT... (three workspaces share the rules, so each leaves some of them unused)
check() {
    manifest=$1
    shift
    cargo deny --offline --locked --config deny.toml --manifest-path "$manifest" check --hide-inclusion-graph \
        --allow unmatched-skip --allow license-not-encountered --allow license-exception-not-encountered "$@"
}

for manifest in $manifests; do
    # Without a network, the crates of an earlier build are used.
    cargo fetch --quiet --locked --manifest-path "$manifest" 2>/dev/null || true
    check "$manifest" licenses bans sources || fail "$manifest: see above"
    printf 'ok      %s: licences, versions, sources\n' "$manifest"
done

[ "${1-}" = offline ] && exit
if ! cargo deny --locked fetch db >/dev/null 2>&1; then
    if check Cargo.toml advisories 2>&1 | grep -q '\[ERROR\] failed to'; then
        printf '%s\n' 'skipped advisories: their database cannot be fetched, and there is no copy of it'
        exit
    fi
    printf '%s\n' 'the database of advisories cannot be fetched: its last copy is used'
fi
for manifest in $manifests; do
    check "$manifest" advisories || fail "$manifest: see above"
    printf 'ok      %s: advisories\n' "$manifest"
done
