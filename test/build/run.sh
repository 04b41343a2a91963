#!/bin/sh
# Tests native/build.sh: when it builds, its messages, prebuilt archives. In copies of the sources, on loopback.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)

unset HEP_PREBUILT HEP_TARGET_DIR CARGO_BUILD_TARGET MAKEFLAGS MAKELEVEL
work=$(mktemp -d)
chmod 755 "$work"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

sh "$top/native/dist.sh" "$work/dist" >/dev/null
archive=$(cd "$work/dist" && ls -- *.tar.gz)
copy=$work/copy

# A copy of the sources without built files.
new_copy() {
    rm -rf "$copy"
    mkdir "$copy"
    (cd "$top" && tar -cf - --exclude=target --exclude=tests native bench/floor_nif erlang/hep.app.src Cargo.toml Cargo.lock \
        .cargo prebuilt.sha256) | tar -xf - -C "$copy"
}

# The programs that build.sh may use, without cargo.
mkdir "$work/tools"
for tool in awk cat chmod cksum cmp cp curl cut date dirname env find grep gzip head mkdir mktemp mv rm sed sh sha256sum \
    shasum sort tail tar touch tr uname wget xargs; do
    path=$(command -v "$tool") || continue
    ln -s "$path" "$work/tools/$tool"
done

# stub VERSION: a cargo of that version, which writes dummy files.
stub() {
    mkdir -p "$work/stub"
    cat >"$work/stub/cargo" <<STUB
#!$work/tools/sh
[ "\$1" != --version ] || { echo "cargo $1"; exit; }
mkdir -p target/release
for file in libhep_nif.so libhep_nif.dylib hep_port; do echo built >target/release/\$file; done
STUB
    chmod +x "$work/stub/cargo"
}

# build SETTING...: build.sh in the copy, without cargo or with the stub.
build() {
    env -i PATH="$work/tools" "$@" sh "$copy/native/build.sh" >"$work/log" 2>&1
}

failed() {
    echo "failed $1" >&2
    cat "$work/log" >&2
    exit 1
}

# succeeds NAME TEXT SETTING...: it prints a line like this one; with '', nothing.
succeeds() {
    name=$1
    text=$2
    shift 2
    build "$@" || failed "$name"
    if [ -n "$text" ]; then grep -Eq "$text" "$work/log"; else [ ! -s "$work/log" ]; fi || failed "$name"
    echo "ok $name"
}

# refuses NAME TEXT SETTING...: it ends with this sentence, and leaves priv/ unchanged.
refuses() {
    name=$1
    text=$2
    shift 2
    if build "$@" || [ -e "$copy/priv/hep_nif.so" ]; then failed "$name"; fi
    tail -n 1 "$work/log" | grep -Eq "^hep: .*$text" || failed "$name"
    echo "ok $name"
}

checksum() {
    cat "$work/dist/$archive.sha256" >>"$copy/prebuilt.sha256"
}

### Rust

new_copy
refuses 'no cargo' 'cargo is not installed.*cargo-web.*apt-get install cargo;.*rustup'
stub 1.90.9
refuses 'old cargo' 'cargo 1.90.9 is too old' PATH="$work/stub:$work/tools"
stub 1.100.0
succeeds 'a line before and a line after' 'building.*about half a minute' PATH="$work/stub:$work/tools"
grep -Eq 'built the native library in [0-9]+ s' "$work/log" || failed 'a line after'
succeeds 'nothing to do' '' PATH="$work/stub:$work/tools"
succeeds 'nothing to do, without Rust' ''
mkdir "$copy/native/hep/tests" && touch "$copy/native/hep/tests/new.rs"
succeeds 'a new test is no new source' ''
succeeds 'other settings' building PATH="$work/stub:$work/tools" RUSTFLAGS=-O
echo '// changed' >>"$copy/native/hep/src/lib.rs"
succeeds 'a changed source' building PATH="$work/stub:$work/tools"
rm "$copy/priv/hep_port"
succeeds 'a missing program' building PATH="$work/stub:$work/tools"

# Root can write everywhere.
as_nobody=
[ "$(id -u)" != 0 ] || as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
chmod -R a+rX,a-w "$copy"
if $as_nobody env -i PATH="$work/tools" RUSTFLAGS=-O sh "$copy/native/build.sh" >"$work/log" 2>&1 && [ ! -s "$work/log" ]; then
    echo 'ok a read-only folder, without Rust'
else
    failed 'a read-only folder, without Rust'
fi
chmod -R u+w "$copy"

### Failures of cargo itself

# cargo_fails NAME TEXT SETTING...
cargo_fails() {
    name=$1
    text=$2
    shift 2
    new_copy
    if env "$@" sh "$copy/native/build.sh" >"$work/log" 2>&1; then failed "$name"; fi
    tail -n 1 "$work/log" | grep -Eq "^hep: .*$text" || failed "$name"
    echo "ok $name"
}

host=$(cargo -vV | sed -n 's/^host: //p')
linker=CARGO_TARGET_$(echo "$host" | tr 'a-z-' 'A-Z_')_LINKER
cargo_fails 'no linker' 'cannot be linked. Install a C linker' "$linker=no-such-linker"
cargo_fails 'no network' 'cannot download.*cargo fetch' CARGO_HOME="$work/empty" CARGO_NET_RETRY=0 \
    https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 all_proxy=http://127.0.0.1:9
# In a folder above the copy, like that of a user.
mkdir "$work/.cargo"
printf '[build]\ntarget = "%s"\n' "$host" >"$work/.cargo/config.toml"
fast="CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16"
# shellcheck disable=SC2086
cargo_fails 'build.target in a configuration file' 'Set the environment variable CARGO_BUILD_TARGET' \
    HEP_TARGET_DIR="$top/target/consumers" $fast
# shellcheck disable=SC2086
env HEP_TARGET_DIR="$top/target/consumers" $fast CARGO_BUILD_TARGET="$host" sh "$copy/native/build.sh" >"$work/log" 2>&1 &&
    [ -e "$copy/priv/hep_nif.so" ] || failed 'CARGO_BUILD_TARGET'
echo 'ok CARGO_BUILD_TARGET'

### Prebuilt archives

took="took the native library from $archive"
# takes NAME WHERE
takes() {
    new_copy
    checksum
    succeeds "prebuilt: $1" "$took" HEP_PREBUILT="$2"
    cmp "$copy/priv/hep_nif.so" "$top/priv/hep_nif.so" && cmp "$copy/priv/hep_port" "$top/priv/hep_port" || failed "$1"
    succeeds "prebuilt: $1, nothing to do" '' HEP_PREBUILT="$2"
}

takes file "$work/dist/$archive"
takes folder "$work/dist"

erl -noinput -eval '
    [Folder, File] = init:get_plain_arguments(),
    {ok, _} = application:ensure_all_started(inets),
    {ok, Server} = inets:start(httpd, [
        {port, 0}, {bind_address, {127, 0, 0, 1}}, {server_name, "localhost"}, {server_root, Folder}, {document_root, Folder}
    ]),
    [{port, Port}] = httpd:info(Server, [port]),
    ok = file:write_file(File ++ ".new", integer_to_list(Port)),
    ok = file:rename(File ++ ".new", File).' -extra "$work/dist" "$work/port" >"$work/log" 2>&1 &
server=$!
while [ ! -e "$work/port" ]; do
    kill -0 "$server" 2>/dev/null || failed 'server'
    sleep 0.1
done
url=http://127.0.0.1:$(cat "$work/port")
takes 'URL of a file' "$url/$archive"
takes 'URL of a folder' "$url"

new_copy
refuses 'prebuilt: no checksum' 'prebuilt.sha256 has no checksum' HEP_PREBUILT="$work/dist"
checksum
refuses 'prebuilt: not on the server' 'cannot be downloaded' HEP_PREBUILT="$url/nowhere"
kill "$server"
wait "$server" 2>/dev/null || true
server=
refuses 'prebuilt: no server' 'cannot be downloaded' HEP_PREBUILT="$url"
refuses 'prebuilt: no such file' 'there is no' HEP_PREBUILT="$work/nowhere/$archive"
refuses 'prebuilt: folder without it' "there is no .*$archive" HEP_PREBUILT="$work/tools"
refuses 'prebuilt: another target' 'needs hep-.*-riscv64gc-unknown-linux-gnu.tar.gz' HEP_PREBUILT="$work/dist/$archive" \
    CARGO_BUILD_TARGET=riscv64gc-unknown-linux-gnu
other=$(echo "$archive" | sed 's/-nif-.*/-nif-2.15-mips-unknown-linux-gnu.tar.gz/')
cp "$work/dist/$archive" "$work/dist/$other"
refuses 'prebuilt: archive of another target' "is $other, but .* needs $archive" HEP_PREBUILT="$work/dist/$other"
mkdir "$work/damaged"
head -c 100000 "$work/dist/$archive" >"$work/damaged/$archive"
refuses 'prebuilt: cut' 'is not the file whose checksum' HEP_PREBUILT="$work/damaged"
{ cat "$work/dist/$archive"; echo; } >"$work/damaged/$archive"
refuses 'prebuilt: longer' 'is not the file whose checksum' HEP_PREBUILT="$work/damaged"
new_copy
echo "0000000000000000000000000000000000000000000000000000000000000000  $archive" >>"$copy/prebuilt.sha256"
refuses 'prebuilt: wrong checksum' 'is not the file whose checksum' HEP_PREBUILT="$work/dist"
# A valid checksum of an archive with the wrong files.
(cd "$work" && tar -czf "damaged/$archive" tools/sh)
(cd "$work/damaged" && sha256sum "$archive") >>"$copy/prebuilt.sha256"
sed -i.bak '/^0000/d' "$copy/prebuilt.sha256"
refuses 'prebuilt: other files' 'does not contain hep_nif.so' HEP_PREBUILT="$work/damaged"
