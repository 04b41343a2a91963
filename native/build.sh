#!/bin/sh
# Builds the native parts into priv/. The one recipe: rebar3, Mix and make all call it.
set -eu
cd -P "$(dirname "$0")/.."

fail() {
    printf '%s\n' "hep: $1" >&2
    exit 1
}

needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
advice="Install Rust $needed or newer with rustup (https://rustup.rs), and a C linker (Debian: apt-get install gcc libc6-dev)."

command -v cargo >/dev/null 2>&1 ||
    fail "cargo is not there: the native library is written in Rust. $advice"
found=$(cargo --version | awk '{ print $2 }') || found=
[ -n "$found" ] ||
    fail "cargo does not run. $advice"
printf '%s %s\n' "$needed" "$found" |
    awk '{ split($1, n, "."); split($2, f, "."); exit !(f[1] > n[1] || (f[1] == n[1] && f[2] + 0 >= n[2] + 0)) }' ||
    fail "cargo $found is too old. $advice"

# Not CARGO_TARGET_DIR: cargo does not tell two checkouts of one crate apart in a folder that they share.
target=${HEP_TARGET_DIR:-target}
cargo build --quiet --release --locked --target-dir "$target" -p hep_nif -p hep_port
built=$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release

# Puts a built file into priv/ under its name there. A new file takes the old one's place, since a
# library that a running VM has mapped must not be written to.
install_file() {
    cmp -s "$built/$1" "priv/$2" && return
    cp "$built/$1" "priv/.$2.$$"
    mv -f "priv/.$2.$$" "priv/$2"
}

mkdir -p priv
case $(uname -s) in
    Darwin) install_file libhep_nif.dylib hep_nif.so ;;
    MINGW* | MSYS* | CYGWIN*)
        install_file hep_nif.dll hep_nif.dll
        install_file hep_port.exe hep_port.exe
        exit ;;
    *) install_file libhep_nif.so hep_nif.so ;;
esac
install_file hep_port hep_port
