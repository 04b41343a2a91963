#!/bin/sh
# Builds the native parts into priv/, or takes them from a prebuilt archive (HEP_PREBUILT, see prebuilt.sh). Rebar3,
# Mix and make all call this script. It prints nothing when priv/ is up to date, and then needs neither Rust nor a
# writable folder.
# Usage: build.sh          builds
#        build.sh check    only checks that Rust is installed
set -eu
cd -P "$(dirname "$0")/.."
. native/prebuilt.sh

needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
linker='a C linker (Debian: apt-get install gcc libc6-dev)'
advice="Install Rust $needed or newer (Debian 12 and 13: apt-get install cargo-web; later Debian: apt-get install cargo; \
elsewhere: https://rustup.rs) and $linker."

check_rust() {
    command -v cargo >/dev/null 2>&1 ||
        fail "cargo is not installed, and the native library is written in Rust. $advice"
    found=$(cargo --version | awk '{ print $2 }') || found=
    [ -n "$found" ] ||
        fail "cargo does not run. $advice"
    printf '%s %s\n' "$needed" "$found" |
        awk '{ split($1, n, "."); split($2, f, "."); exit !(f[1] > n[1] || (f[1] == n[1] && f[2] + 0 >= n[2] + 0)) }' ||
        fail "cargo $found is too old. $advice"
}

# The inputs of priv/: a checksum of the sources, and one of the settings. Cargo's own check would need Rust,
# the crates and a writable folder.
sources() {
    find native Cargo.toml Cargo.lock .cargo \
        \( -name target -o -name tests -o -name benches -o -name examples -o -name fuzz \) -prune \
        -o -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -print 2>/dev/null |
        LC_ALL=C sort | xargs cksum | cksum
}

settings() {
    env | grep -E '^(CARGO_(BUILD|PROFILE|TARGET)_|CARGO_ENCODED_RUSTFLAGS=|RUSTFLAGS=|RUSTUP_TOOLCHAIN=|HEP_PREBUILT=)' |
        LC_ALL=C sort | cksum
}

is_built() {
    [ -e "priv/$nif" ] && [ -e "priv/$port" ] && [ -e "$stamp" ] && {
        read -r built_from
        read -r built_with
    } <"$stamp" && [ "$built_from" = "$(sources)" ] && { [ "$built_with" = "$(settings)" ] || [ ! -w priv ]; }
}

# Not CARGO_TARGET_DIR: in a shared folder, cargo does not distinguish two checkouts of one crate.
build() {
    check_rust
    say 'building the native library with cargo, about half a minute'
    started=$(date +%s)
    target=${HEP_TARGET_DIR:-target}
    output=$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release
    # A file of an older build must not be taken for the new one: with `build.target' set, cargo writes elsewhere.
    rm -f "$output/$built_nif" "$output/$port"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    cargo build --quiet --release --locked --target-dir "$target" -p hep_nif -p hep_port >"$log" 2>&1 || explain
    cat "$log" >&2
    [ -e "$output/$built_nif" ] ||
        fail 'cargo has built for another target, because build.target is set in a Cargo configuration file. Set the environment variable CARGO_BUILD_TARGET to the same target.'
    install_file "$output/$built_nif" "$nif"
    install_file "$output/$port" "$port"
    say "built the native library in $(($(date +%s) - started)) s"
}

# Cargo's messages for common failures are long, and do not say what to do.
explain() {
    if grep -Eq 'linker .* not found|cannot find (-lc|S?crt[1i]\.o)' "$log"; then
        fail "the native library cannot be linked. Install $linker."
    elif grep -Eq 'failed to download|[Cc]ould(n.t| not) resolve|failed to fetch|network failure|download of .* failed' "$log"; then
        cause=$(grep -E '^ +[^ ]' "$log" | tail -n 1 | sed 's/^ *//')
        fail "cargo cannot download the crates ($cause). Connect to a network or configure a proxy for cargo; or run \`cargo fetch --locked' where there is a network, and copy the folder ~/.cargo/registry from there."
    fi
    cat "$log" >&2
    fail "the native library cannot be built: cargo has failed, see above."
}

# A new file replaces the old one, since a library that a running VM has mapped must not be overwritten.
install_file() {
    mkdir -p priv
    cmp -s "$1" "priv/$2" && return
    cp "$1" "priv/.$2.$$"
    mv -f "priv/.$2.$$" "priv/$2"
}

nif=hep_nif.so
port=hep_port
case $(uname -s) in
    Darwin) built_nif=libhep_nif.dylib ;;
    MINGW* | MSYS* | CYGWIN*)
        nif=hep_nif.dll
        built_nif=hep_nif.dll
        port=hep_port.exe
        ;;
    *) built_nif=libhep_nif.so ;;
esac
stamp=priv/.hep_build

case ${1-} in
    check) check_rust ;;
    '')
        is_built && exit
        if [ -n "${HEP_PREBUILT-}" ]; then
            take_prebuilt "$HEP_PREBUILT"
        else
            build
        fi
        printf '%s\n' "$(sources)" "$(settings)" >"$stamp"
        ;;
    *) fail "build.sh: unknown argument $1" ;;
esac
