#!/bin/sh
# Runs the README's two commands in bare chroots of Debian releases, from a clone of the committed files, and
# prints a table: `make matrix'. As root on Debian. Takes about 20 minutes for each release.
# Usage: matrix.sh [FOLDER [RELEASE...]]
#   FOLDER     keeps the bare systems, downloaded packages and logs; default /var/tmp/hep-matrix
#   RELEASE    bookworm, trixie, sid, ... Default: these three, which are Debian 12, 13 and unstable
# MIRROR and SECURITY_MIRROR replace the mirrors in apt's own configuration.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cache=${1:-/var/tmp/hep-matrix}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- bookworm trixie sid

fail() {
    echo "hep: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail 'make matrix needs root, for chroot and mount.'
command -v apt-get >/dev/null 2>&1 || fail 'make matrix needs Debian, or another system with apt.'

# Mounts end with this process.
if [ -z "${HEP_MATRIX-}" ]; then
    mkdir -p "$cache"
    HEP_MATRIX=$(cd "$cache" && pwd)
    export HEP_MATRIX
    exec unshare --mount --propagation private sh "$0" "$cache" "$@"
fi
cache=$HEP_MATRIX

# mirror LABEL: the first mirror in apt's configuration.
mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$1 //p" | head -n 1
}
main=${MIRROR:-$(mirror Debian)}
security=${SECURITY_MIRROR:-$(mirror Debian-Security)}
[ -n "$main" ] || fail "apt's configuration has no mirror of Debian: set MIRROR."

if ! command -v debootstrap >/dev/null 2>&1; then
    echo 'Installing: debootstrap'
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >"$cache/debootstrap.log" 2>&1 ||
        fail "debootstrap cannot be installed, see $cache/debootstrap.log."
fi

# The network settings of this machine, for apt, cargo and npm in the chroot.
settings() {
    apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|ForceIP)' >"$1/etc/apt/apt.conf.d/90matrix" || true
    for file in /etc/apt/auth.conf /etc/apt/auth.conf.d /usr/local/share/ca-certificates; do
        [ ! -e "$file" ] || { mkdir -p "$1$(dirname "$file")" && cp -RT "$file" "$1$file"; }
    done
    cp /etc/resolv.conf "$1/etc/"
    mkdir -p "$1/root/.cargo/registry"
    home=${CARGO_HOME:-$HOME/.cargo}
    for file in config config.toml credentials.toml; do
        [ ! -e "$home/$file" ] || cp "$home/$file" "$1/root/.cargo/"
    done
    [ ! -e "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$1/root/"
    environment >"$1/root/environment"
}

environment() {
    export -p | grep -iE '^export ((https?|all|no)_proxy|npm_config_[a-z_]*|CARGO_(HTTP|NET|REGISTR|SOURCE)[A-Z_]*|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|CURL_CA_BUNDLE)=' || true
}

# bare RELEASE: creates the bare system with make and git once.
bare() {
    [ ! -e "$cache/$1.bare" ] || return 0
    rm -rf "$cache/$1.new"
    debootstrap --variant=minbase "$1" "$cache/$1.new" "$main" || return 1
    case $1 in
        sid | unstable) ;;
        *)
            echo "deb $main $1-updates main" >>"$cache/$1.new/etc/apt/sources.list"
            [ -z "$security" ] || echo "deb $security $1-security main" >>"$cache/$1.new/etc/apt/sources.list"
            ;;
    esac
    # A crash of this machine may destroy the chroot.
    echo force-unsafe-io >"$cache/$1.new/etc/dpkg/dpkg.cfg.d/matrix"
    mv "$cache/$1.new" "$cache/$1.bare"
}

# inside ROOT COMMAND...
inside() {
    root=$1
    shift
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        DEBIAN_FRONTEND=noninteractive sh -c '. /root/environment; exec "$@"' inside "$@" </dev/null
}

# prepared RELEASE: a copy of the bare system, with this checkout in /root/hep.
prepared() {
    root=$cache/$1.run
    rm -rf --one-file-system "$root"
    cp -a "$cache/$1.bare" "$root"
    settings "$root"
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' >"$root/etc/hosts"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mkdir -p "$cache/$1.packages/partial"
    mount --bind "$cache/$1.packages" "$root/var/cache/apt/archives"
    # Crates are downloaded once.
    mkdir -p "${CARGO_HOME:-$HOME/.cargo}/registry"
    mount --bind "${CARGO_HOME:-$HOME/.cargo}/registry" "$root/root/.cargo/registry"
    inside "$root" apt-get update &&
        inside "$root" apt-get install -y make git &&
        git clone -q "$top" "$root/root/hep"
}

# Tests the library that the first release built, in this one.
prebuilt() {
    if [ ! -e "$cache/dist" ]; then
        inside "$1" make -C /root/hep dist || return 1
        cp -R "$1/root/hep/_build/dist" "$cache/dist"
    fi
    cp -R "$cache/dist" "$1/root/dist"
    git clone -q "$top" "$1/root/prebuilt"
    cat "$cache"/dist/*.sha256 >>"$1/root/prebuilt/prebuilt.sha256"
    inside "$1" env HEP_PREBUILT=/root/dist make -C /root/prebuilt &&
        inside "$1" erl -noinput -pa /root/prebuilt/ebin -eval '{error, not_hep} = hep:decode(<<>>), halt().'
}

# The package, built with Debian's Hex where available.
package() {
    if inside "$1" apt-cache show erlang-hex >/dev/null 2>&1; then
        inside "$1" apt-get install -y --no-install-recommends erlang-hex || return 1
    fi
    inside "$1" make -C /root/hep package
}

# tried RELEASE NAME COMMAND...: `ok' or `failed', and the log.
tried() {
    log=$cache/logs/$1/$2
    shift 2
    if "$@" >"$log" 2>&1; then echo ok; else echo failed; fi
}

# The warnings in the logs of a release, without those of package installation.
warnings() {
    grep -iEh '\bwarning\b' "$cache/logs/$1/run" "$cache/logs/$1/test" "$cache/logs/$1"/steps/*.log 2>/dev/null |
        grep -vE '^(dpkg|debconf|apt)|^=WARNING REPORT|0 warnings|-D warnings|warnings_as_errors|warnings-as-errors' || true
}

row() {
    printf '| %-9s | %-4s | %-8s | %-8s | %-8s | %-8s | %-12s | %-8s | %-8s | %-8s |\n' "$@"
}

# version ROOT COMMAND
version() {
    inside "$1" sh -c "$2" 2>/dev/null | tail -n 1
}

# release NAME: its row of the table.
release() {
    logs=$cache/logs/$1
    root=$cache/$1.run
    rm -rf "$logs"
    mkdir -p "$logs"
    if ! { bare "$1" && prepared "$1"; } >"$logs/bare" 2>&1; then
        status=1
        row "$1" - - - - 'no chroot' - - - -
        return
    fi
    run=$(tried "$1" run inside "$root" make -C /root/hep run)
    test=$(tried "$1" test inside "$root" make -C /root/hep test)
    [ "$test" = failed ] || test=$(sed -n 's/ passed, 0 failed$//p' "$logs/test")
    cp -R "$root/root/hep/_build/test-logs" "$logs/steps" 2>/dev/null || true
    prebuilt=$(tried "$1" prebuilt prebuilt "$root")
    package=$(tried "$1" package package "$root")
    warnings "$1" >"$logs/warnings"
    warned=$(wc -l <"$logs/warnings")
    row "$1" "$(version "$root" "erl -noinput -eval 'io:put_chars(erlang:system_info(otp_release)), halt().'")" \
        "$(version "$root" 'elixir --short-version')" "$(version "$root" "rebar3 version | cut -d ' ' -f 2")" \
        "$(version "$root" "cargo --version | cut -d ' ' -f 2")" "$run" "$test" "$warned" "$prebuilt" "$package"
    # The chroot stays for inspection, without its credentials for registries and archives.
    rm -rf "$root/etc/apt/auth.conf" "$root/etc/apt/auth.conf.d" "$root/root/.npmrc"
    rm -f "$root"/root/.cargo/config "$root"/root/.cargo/config.toml "$root"/root/.cargo/credentials.toml
    case " $run $test $prebuilt $package " in *' failed '*) status=1 ;; esac
    [ "$warned" = 0 ] || status=1
}

[ -z "$(git -C "$top" status --porcelain)" ] || echo 'hep: uncommitted changes are not tested.' >&2
rm -rf "$cache/dist"
status=0
row Debian OTP Elixir rebar3 Rust 'make run' 'tests passed' warnings prebuilt package
row --------- ---- -------- -------- -------- -------- ------------ -------- -------- --------
for name; do
    case $name in */* | .*) fail "no such release: $name" ;; esac
    release "$name"
done
[ "$status" = 0 ] || echo "hep: see the logs in $cache/logs." >&2
exit "$status"
