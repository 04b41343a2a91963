#!/bin/sh
# Makes the package for Hex and builds from it alone, with each tool, an application that decodes a packet:
# `make package'. Uses Hex where it is installed (Debian 13 and later: apt-get install erlang-hex);
# elsewhere tar, with the same list of files.
# Usage: run.sh FOLDER    the folder for the package
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
consumers=$top/test/consumers

unset ERL_LIBS MIX_ENV MIX_HOME REBAR_PROFILE MAKEFLAGS MAKELEVEL HEP_PREBUILT
export TERM=dumb
# As in test/consumers/run.sh.
export HEP_TARGET_DIR="$top/target/consumers"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# checked NAME COMMAND...
checked() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        echo "ok $name"
    else
        echo "failed $name" >&2
        cat "$work/log" >&2
        exit 1
    fi
}

# app_src EXPRESSION: prints the value of an expression of the application's properties.
app_src() {
    erl -noinput -boot no_dot_erlang -eval '
        [File, Text] = init:get_plain_arguments(),
        {ok, [{application, hep, Properties}]} = file:consult(File),
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, [{'"'Properties'"', Properties}]),
        io:put_chars(Value),
        halt().' -extra "$top/erlang/hep.app.src" "$1"
}

# The package's files that git knows or would add.
list() {
    app_src '[[File, 10] || File <- proplists:get_value(files, Properties)].' |
        (cd "$top" && xargs git ls-files --cached --others --exclude-standard --) |
        grep -v /fuzz/ | LC_ALL=C sort -u
}

by_hex() {
    cd "$top" && mix hex.build --output "$folder/$package.tar" && mix hex.build --unpack --output "$work/hep" &&
        (cd "$work/hep" && find . -type f ! -name hex_metadata.config | sed 's,^\./,,' | LC_ALL=C sort) >"$work/packed" &&
        list >"$work/listed" && diff "$work/listed" "$work/packed"
}

by_tar() {
    mkdir "$work/hep" && list >"$work/listed" && (cd "$top" && tar -czf "$folder/$package.tar.gz" -T "$work/listed") &&
        tar -xzf "$folder/$package.tar.gz" -C "$work/hep"
}

# Each in a separate copy, so that no tool uses the build of another one.
rebar3_project() {
    cp -R "$consumers/rebar3" "$work" && cd "$work/rebar3" && mkdir _checkouts && cp -R "$work/hep" _checkouts/hep &&
        HEP_GIT=none rebar3 compile && erl -noinput -pa _build/default/lib/*/ebin _build/default/checkouts/*/ebin \
            -eval 'consumer:main([]), halt().'
}

mix_project() {
    cp -R "$consumers/mix" "$work" && cp -R "$work/hep" "$work/hep-mix" && cd "$work/mix" &&
        HEP_PATH=../hep-mix mix run -e 'Consumer.main([])'
}

make_project() {
    cp -R "$work/hep" "$work/hep-make" && make -C "$work/hep-make" && mkdir "$work/ebin" &&
        ERL_LIBS="$work/named" && export ERL_LIBS && mkdir "$work/named" && ln -s "$work/hep-make" "$work/named/hep" &&
        erlc -o "$work/ebin" "$consumers/rebar3/src/consumer.erl" &&
        erl -noinput -pa "$work/ebin" -eval 'consumer:main([]), halt().'
}

package=hep-$(app_src 'proplists:get_value(vsn, Properties).')
if (cd "$top" && mix help hex.build) >/dev/null 2>&1; then
    checked 'package, made by Hex' by_hex
else
    checked 'package, made by tar' by_tar
fi
checked 'package, rebar3' rebar3_project
checked 'package, mix' mix_project
checked 'package, make' make_project
