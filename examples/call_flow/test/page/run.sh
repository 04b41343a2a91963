#!/bin/sh
# Tests the page in headless Chromium. As root on Debian it installs missing tools: chromium, npm, tshark, promtool.
# The driver, playwright-core, comes from npm. `run.sh setup' only installs, and fails if a tool cannot be installed.
# `run.sh bench [SECONDS [RATE]]' measures instead.
set -eu
cd "$(dirname "$0")"
top=$(cd ../../../.. && pwd)
build=$top/_build/call_flow_page
mkdir -p "$build/call_flow/ebin" "$build/include"

find_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

missing() {
    find_browser >/dev/null 2>&1 || echo chromium
    command -v npm >/dev/null 2>&1 || echo npm
    command -v tshark >/dev/null 2>&1 || echo tshark
    command -v promtool >/dev/null 2>&1 || echo prometheus
}

# The packages must not start their servers.
install() {
    echo "Installing: $*"
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    status=0
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y --no-install-recommends "$@" \
        >"$build/install.log" 2>&1 </dev/null || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ "$status" = 0 ] || tail -3 "$build/install.log" >&2
    return "$status"
}

setup() {
    names=$(missing)
    if [ -n "$names" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        timeout 120 apt-get update >"$build/install.log" 2>&1 || true
        # shellcheck disable=SC2086
        install $names || true
        names=$(missing)
    fi
    if [ -n "$names" ]; then
        echo "missing, by the names of Debian's packages: $(echo "$names" | paste -s -d ' ' -)" >&2
        return 1
    fi
    [ node_modules/.package-lock.json -nt package-lock.json ] && return 0
    timeout 180 npm ci --ignore-scripts --loglevel=error >"$build/install.log" 2>&1 </dev/null || {
        tail -3 "$build/install.log" >&2
        return 1
    }
    touch node_modules/.package-lock.json
}

setup
[ "${1-}" = setup ] && exit 0

ln -sfn "$top/examples/call_flow/priv" "$build/call_flow/priv"
ln -sfn "$top" "$build/include/hep"
erlc -pa "$top/ebin" -I "$build/include" -o "$build/call_flow/ebin" ../../src/*.erl
cp ../../src/call_flow.app.src "$build/call_flow/ebin/call_flow.app"

unset PORT HTTP_PORT HTTP_IP HTTP_TOKEN
CHROMIUM=$(find_browser)
export CHROMIUM EBIN="$top/ebin:$build/call_flow/ebin" FIXTURES="$top/test/fixtures" ERL_CRASH_DUMP_SECONDS=0
if [ "${1-}" = bench ]; then
    exec node ../../bench/figures.mjs "${2-20}" "${3-2000}"
fi
exec node --test --test-reporter=tap page.test.mjs access.test.mjs
