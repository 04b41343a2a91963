# Prebuilt archives, for machines without Rust: the functions that build.sh and dist.sh share.
#
# HEP_PREBUILT is an archive made by `make dist', a folder of such archives, or the URL of either. An archive is
# accepted only if prebuilt.sha256 contains its checksum.

say() {
    printf '%s\n' "hep: $1"
}

fail() {
    printf '%s\n' "hep: $1" >&2
    exit 1
}

# The name of the archive for this machine or, when cross-compiling, for the target.
archive_name() {
    version=$(sed -n 's/.*{vsn, "\(.*\)"}.*/\1/p' erlang/hep.app.src)
    nif_version=$(sed -n 's/^rustler = .*"nif_version_\([0-9]*\)_\([0-9]*\)".*/\1.\2/p' Cargo.toml)
    echo "hep-$version-nif-$nif_version-${CARGO_BUILD_TARGET:-$(machine)}.tar.gz"
}

# The target's name in Rust.
machine() {
    architecture=$(uname -m)
    case $architecture in
        amd64) architecture=x86_64 ;;
        arm64) architecture=aarch64 ;;
        armv7*) architecture=armv7 ;;
    esac
    case $(uname -s) in
        Linux)
            libc=gnu
            for loader in /lib/ld-musl-*; do [ ! -e "$loader" ] || libc=musl; done
            [ "$architecture" != armv7 ] || libc=${libc}eabihf
            echo "$architecture-unknown-linux-$libc"
            ;;
        Darwin) echo "$architecture-apple-darwin" ;;
        FreeBSD) echo "$architecture-unknown-freebsd" ;;
        MINGW* | MSYS* | CYGWIN*) echo "$architecture-pc-windows-gnu" ;;
        *) echo "$architecture-unknown-$(uname -s | tr '[:upper:]' '[:lower:]')" ;;
    esac
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -d ' ' -f 1
}

# take_prebuilt WHERE
take_prebuilt() {
    name=$(archive_name)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    case $1 in
        http://* | https://* | file://*) download "$1" ;;
        *) find_archive "$1" ;;
    esac
    check_archive
    (cd "$work" && gzip -dc archive.tar.gz | tar -xf - "$nif" "$port") ||
        fail "$name does not contain $nif and $port."
    install_file "$work/$nif" "$nif"
    install_file "$work/$port" "$port"
    say "took the native library from $name"
}

is_right_name() {
    [ "${1##*/}" = "$name" ] ||
        fail "HEP_PREBUILT is ${1##*/}, but this version of hep on this machine needs $name."
}

find_archive() {
    if [ -d "$1" ]; then
        file=$1/$name
    else
        file=$1
        is_right_name "$file"
    fi
    [ -e "$file" ] || fail "HEP_PREBUILT: there is no $file."
    cp "$file" "$work/archive.tar.gz"
}

download() {
    case $1 in
        *.tar.gz)
            url=$1
            is_right_name "$url"
            ;;
        *) url=${1%/}/$name ;;
    esac
    if command -v curl >/dev/null 2>&1; then
        curl -fsSL -o "$work/archive.tar.gz" "$url"
    elif command -v wget >/dev/null 2>&1; then
        wget -q -O "$work/archive.tar.gz" "$url"
    else
        fail "HEP_PREBUILT is a URL, and neither curl nor wget is installed: install one of them, or download $url yourself and set HEP_PREBUILT to the file."
    fi || fail "HEP_PREBUILT: $url cannot be downloaded."
}

check_archive() {
    expected=$(awk -v name="$name" '$2 == name { print $1 }' prebuilt.sha256)
    [ -n "$expected" ] ||
        fail "prebuilt.sha256 has no checksum of $name. Unset HEP_PREBUILT to build from source."
    [ "$(sha256 "$work/archive.tar.gz")" = "$expected" ] ||
        fail "$name is not the file whose checksum is in prebuilt.sha256: it is damaged, or was built by somebody else."
}
