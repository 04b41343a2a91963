#!/bin/sh
# Installs what building, running and testing hep needs and is not there: on Debian, as root. Elsewhere it
# says what is missing. `setup.sh run' sees to what `make run' needs, `setup.sh test' to everything. Rust is the
# user's own choice of installation: native/build.sh checks it.
set -eu

# Debian's package, and a file of it that Erlang's code path has when it is there.
erlang="erlang-dev=file.hrl erlang-eunit=eunit.app erlang-common-test=common_test.app erlang-dialyzer=dialyzer.app
    erlang-tools=tools.app erlang-crypto=crypto.app erlang-ssl=ssl.app erlang-public-key=public_key.app
    erlang-inets=inets.app erlang-edoc=edoc.app erlang-syntax-tools=syntax_tools.app erlang-parsetools=parsetools.app
    erlang-runtime-tools=runtime_tools.app erlang-proper-dev=proper.app erlang-jiffy=jiffy.app"

missing=
# need PACKAGE TEST...: the package is missing when the test fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need erlang-base command -v erl
need gcc command -v cc
need libc6-dev sh -c 'test -e /usr/include/stdio.h || test "$(uname -s)" != Linux'
if [ "${1-test}" = test ]; then
    if command -v erl >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        missing="$missing$(erl -noshell -eval '
            code:add_path(code:lib_dir(kernel, include)),
            [io:put_chars([" ", Package]) ||
                [Package, File] <- [string:split(Pair, "=") || Pair <- init:get_plain_arguments()],
                code:where_is_file(File) =:= non_existing],
            halt().' -extra $erlang)"
    else
        for pair in $erlang; do missing="$missing ${pair%%=*}"; done
    fi
    need elixir command -v mix
    need rebar3 command -v rebar3
    need git command -v git
fi

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing:$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
    else
        cat "$log" >&2
        rm -f "$log"
        echo "hep: these packages could not be installed:$missing" >&2
        exit 1
    fi
else
    echo "hep: this needs the following, under the names that Debian gives them:$missing" >&2
    echo "hep: install them (on Debian, this command as root does) and try again." >&2
    exit 1
fi
