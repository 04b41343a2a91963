#!/bin/sh
# Installs missing packages for building, running and testing hep: on Debian, as root. Elsewhere it lists them.
# `setup.sh run' is for `make run', `setup.sh test' for everything.
set -eu
cd "$(dirname "$0")/.."
purpose=${1-test}

# Debian's package, and a file of it in Erlang's code path.
erlang="erlang-dev=file.hrl erlang-eunit=eunit.app erlang-common-test=common_test.app erlang-dialyzer=dialyzer.app
    erlang-tools=tools.app erlang-crypto=crypto.app erlang-ssl=ssl.app erlang-public-key=public_key.app
    erlang-inets=inets.app erlang-edoc=edoc.app erlang-syntax-tools=syntax_tools.app erlang-parsetools=parsetools.app
    erlang-runtime-tools=runtime_tools.app erlang-proper-dev=proper.app"

can_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# The version of a package that apt would install; empty when there is none.
candidate() {
    command -v apt-cache >/dev/null 2>&1 || return 0
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'
}

missing=
# need PACKAGE TEST...: the package is missing when the test fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_certificates() {
    [ -e "${SSL_CERT_FILE-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
        [ "$(uname -s)" != Linux ]
}

has_downloader() {
    command -v curl || command -v wget
}

has_headers() {
    [ -e /usr/include/stdio.h ] || [ "$(uname -s)" != Linux ]
}

otp_release() {
    if command -v erl >/dev/null 2>&1; then
        erl -noinput -boot no_dot_erlang -eval 'io:put_chars(erlang:system_info(otp_release)), halt().'
    else
        candidate erlang-base | sed 's/^[0-9]*://; s/[^0-9].*//'
    fi
}

# OTP has a JSON module since version 27. Debian has had no jiffy since.
has_json() {
    release=$(otp_release)
    [ "${release:-0}" -ge 27 ] || erl -noinput -boot no_dot_erlang -eval 'halt(case code:which(jiffy) of non_existing -> 1; _ -> 0 end).'
}

need_erlang_applications() {
    if command -v erl >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        missing="$missing$(erl -noinput -boot no_dot_erlang -eval '
            code:add_path(code:lib_dir(kernel, include)),
            [io:put_chars([" ", Package]) ||
                [Package, File] <- [string:split(Pair, "=") || Pair <- init:get_plain_arguments()],
                code:where_is_file(File) =:= non_existing],
            halt().' -extra $erlang)"
    else
        for pair in $erlang; do missing="$missing ${pair%%=*}"; done
    fi
}

# For the page of `make run'. Debian's package depends on crypto.
has_inets() {
    erl -noinput -boot no_dot_erlang -eval 'halt(case code:where_is_file("inets.app") of non_existing -> 1; _ -> 0 end).'
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

is_new_enough() {
    [ -n "$1" ] && dpkg --compare-versions "$1" ge "$rust"
}

# Debian's cargo is often too old; cargo-web, packaged for browsers, is newer.
need_rust() {
    rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if sh native/build.sh check >/dev/null 2>&1; then
        for flavour in '' -web; do
            ! is_installed "cargo$flavour" || need_rust_tools "$flavour"
        done
        return
    fi
    for flavour in '' -web; do
        if is_new_enough "$(candidate "cargo$flavour")"; then
            missing="$missing cargo$flavour"
            need_rust_tools "$flavour"
            return
        fi
    done
    missing="$missing rust>=$rust"
}

# need_rust_tools FLAVOUR: for `make test'. Debian does not have both tools for each flavour.
need_rust_tools() {
    [ "$purpose" = test ] || return 0
    [ -z "$(candidate "rustfmt$1")" ] || need "rustfmt$1" cargo fmt --version
    [ -z "$(candidate "rust-clippy$1")" ] || need "rust-clippy$1" cargo clippy --version
}

find_missing() {
    missing=
    need ca-certificates has_certificates
    need gcc command -v cc
    need libc6-dev has_headers
    need erlang-base command -v erl
    [ "$purpose" = run ] && [ -n "${HEP_PREBUILT-}" ] || need_rust
    if [ "$purpose" = run ]; then
        need erlang-inets has_inets
    else
        need_erlang_applications
        need erlang-jiffy has_json
        need elixir command -v mix
        need rebar3 command -v rebar3
        need git command -v git
        need curl has_downloader
    fi
}

# apt COMMAND...: prints its output only if it fails.
apt() {
    LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        return 1
    }
}

# Nothing is removed, and nothing is installed unless everything can be.
install() {
    # shellcheck disable=SC2086
    apt install --simulate --no-install-recommends --no-remove $missing || {
        echo "hep: these packages cannot all be installed, so none was:$missing" >&2
        exit 1
    }
    echo "Installing:$missing"
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends --no-remove $missing || {
        echo "hep: the installation of these packages failed:$missing" >&2
        exit 1
    }
}

find_missing
[ -n "$missing" ] || exit 0

if can_install; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    apt update || echo 'hep: apt-get update failed, so the package lists may be old.' >&2
    # With the updated lists.
    find_missing
    case $missing in
        *'rust>='*) ;;
        *)
            install
            find_missing
            [ -n "$missing" ] || exit 0
            ;;
    esac
fi

echo "hep: missing, by the names of Debian's packages:$missing" >&2
case $missing in
    *' cargo'* | *' rust'*) sh native/build.sh check || true ;;
esac
echo 'hep: install them (on Debian `make setup'"'"' does it as root) and try again.' >&2
exit 1
