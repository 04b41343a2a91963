#!/bin/sh
# Sends packets written by hep to real receivers of HEP (Kamailio's sipcapture, sngrep and hep-js) on loopback, and
# opens capture files written by hep in tshark and sngrep; compares the results with the input: `make interop`.
# As root on Debian it installs missing tools (hep-js below _build). Tools that cannot be installed are skipped, but
# one receiver is required.
# Usage: run.sh [PORT]    the UDP port of 127.0.0.1 for the receivers, one after the other
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
port=${1:-19060}
work=$top/_build/interop
hep_js=1.0.22

rm -rf "$work/run"
mkdir -p "$work/ebin" "$work/run/pids" "$work/run/packets"

# Ends all remaining processes after an interruption: first the program that would start the next receiver.
clean() {
    if [ -n "$erl" ]; then
        kill -KILL "$erl" 2>/dev/null || true
        wait "$erl" 2>/dev/null || true
    fi
    for file in "$work"/run/pids/*; do
        [ ! -e "$file" ] || kill -TERM "-$(basename "$file")" 2>/dev/null || true
    done
    [ -z "$policy" ] || rm -f "$policy"
}
erl=
policy=
trap clean EXIT
trap 'exit 1' HUP INT TERM

# bounded SECONDS COMMAND...
bounded() {
    if command -v timeout >/dev/null 2>&1; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

can_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# install PACKAGE...: does not start the installed services.
updated=
install() {
    can_install || return 1
    echo "Installing: $*"
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    status=0
    {
        [ -n "$updated" ] || bounded 120 apt-get update || true
        bounded 300 env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    } >"$work/install.log" 2>&1 </dev/null || status=$?
    updated=1
    [ -z "$policy" ] || rm -f "$policy"
    policy=
    [ "$status" = 0 ] || tail -3 "$work/install.log" >&2
    return "$status"
}

# kamailio_module FILE: Kamailio does not print the folder of its modules.
kamailio_module() {
    for folder in /usr/lib/* /usr/lib* /usr/local/lib*; do
        [ ! -e "$folder/kamailio/modules/$1" ] || return 0
    done
    return 1
}

has_kamailio() {
    command -v kamailio >/dev/null 2>&1 && command -v sqlite3 >/dev/null 2>&1 &&
        kamailio_module sipcapture.so && kamailio_module db_sqlite.so
}

has_sngrep() {
    command -v sngrep >/dev/null 2>&1
}

has_tshark() {
    command -v tshark >/dev/null 2>&1
}

has_hep_js() {
    command -v node >/dev/null 2>&1 && [ -e "$work/npm/node_modules/hep-js/package.json" ]
}

install_kamailio() {
    install kamailio kamailio-extra-modules kamailio-sqlite-modules sqlite3
}

install_sngrep() {
    install sngrep
}

install_tshark() {
    install tshark
}

install_hep_js() {
    command -v node >/dev/null 2>&1 || install nodejs || return 1
    command -v npm >/dev/null 2>&1 || install npm || return 1
    mkdir -p "$work/npm"
    bounded 180 npm install --prefix "$work/npm" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
        "hep-js@$hep_js" >"$work/install.log" 2>&1 </dev/null || {
        tail -3 "$work/install.log" >&2
        return 1
    }
}

# available NAME: whether it is installed, or could be installed.
available() {
    if has_$1 || { install_$1 && has_$1; }; then return 0; fi
    echo "skipped: $1 is missing and cannot be installed"
    return 1
}

set --
for receiver in kamailio sngrep hep_js; do
    if available $receiver; then
        case $receiver in
            kamailio) set -- "$@" "Kamailio=$(kamailio -v | sed -n '1s/^version: kamailio \([^ ]*\).*/\1/p')" ;;
            sngrep) set -- "$@" "sngrep=$(sngrep -V | sed -n '1s/.* \([0-9.]*\)$/\1/p')" ;;
            hep_js) set -- "$@" "hep-js=$hep_js" ;;
        esac
    fi
done
if [ $# = 0 ]; then
    echo "hep: no receiver is available, nothing was tested" >&2
    exit 1
fi

erlc +debug_info -I "$top/include" -o "$work/ebin" "$top/test/erlang/hep_fixtures.erl" "$here"/*.erl
cd "$work/run"
ulimit -c 0
export NODE_PATH="$work/npm/node_modules" ERL_CRASH_DUMP_SECONDS=0 TERM="${TERM:-dumb}"

# main MODULE ARGUMENT...: calls its main/1.
main() {
    erl -noinput -pa "$top/ebin" -pa "$work/ebin" -eval '
        [Module | Arguments] = init:get_plain_arguments(),
        try apply(list_to_atom(Module), main, [Arguments])
        catch Class:Reason:Stack ->
            io:format("~p: ~p~n~p~n", [Class, Reason, Stack]),
            halt(1)
        end.' -extra "$@" &
    erl=$!
    status=0
    wait "$erl" || status=$?
    erl=
    [ "$status" = 0 ] || exit "$status"
}

main hep_interop "$work/run" "$port" "$@"

set --
for tool in tshark sngrep; do
    if available "$tool" >/dev/null; then set -- "$@" "$tool"; else echo "skipped: capture files in $tool"; fi
done
main hep_interop_files "$work/run/files" "$@"
if has_tshark; then main hep_interop_sip "$work/run"; fi
