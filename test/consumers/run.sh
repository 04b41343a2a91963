#!/bin/sh
# Builds small applications that depend on hep, each with its own build tool, and runs them. They get
# hep as a git repository with what lies in this checkout, committed or not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE ERL_LIBS MIX_ENV MIX_HOME REBAR_PROFILE MAKEFLAGS MAKELEVEL
export ERL_CRASH_DUMP_SECONDS=0 TERM=dumb
# Other people's crates are compiled once. Not into target/ itself, where a build from here would pass
# for one of the checkout. Ours are compiled for each consumer: fast rather than into fast code.
export HEP_TARGET_DIR="$top/target/consumers"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export HEP_GIT="file://$work/hep.git"

snapshot() {
    git init -q --bare -b main "$work/hep.git"
    snapshot_git add -A
    snapshot_git -c user.name=hep -c user.email=hep@localhost -c commit.gpgsign=false commit -q -m snapshot
}

snapshot_git() {
    git --git-dir="$work/hep.git" --work-tree="$top" "$@"
}

# consumer NAME COMMAND...: the command is to end well, having printed what the packet is.
consumer() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null && grep -qx '127.0.0.1 log' "$work/log"; then
        echo "ok $name"
    else
        echo "failed $name" >&2
        grep -v '^remote: ' "$work/log" >&2
        exit 1
    fi
}

# In what follows `&&' joins the commands since `set -e' does not count where consumer calls them.

rebar3_dependency() {
    cp -R "$here/rebar3" "$work" && cd "$work/rebar3" && rebar3 compile &&
        erl -noinput -pa _build/default/lib/*/ebin -eval 'consumer:main([]), halt().'
}

rebar3_release() {
    cd "$work/rebar3" && rebar3 release && test -x _build/default/rel/consumer/lib/hep-*/priv/hep_port &&
        _build/default/rel/consumer/bin/consumer foreground -noinput \
            -eval 'embedded = code:get_mode(), consumer:main([]), halt().'
}

# Run elsewhere, so that nothing but the archive can be of help.
rebar3_escript() {
    cd "$work/rebar3" && rebar3 escriptize && mv _build/default/bin/consumer "$work/consumer" &&
        cd / && "$work/consumer"
}

# No address: hep must not be fetched.
rebar3_checkout() {
    cp -R "$here/rebar3" "$work/rebar3-checkout" && cd "$work/rebar3-checkout" &&
        git clone -q "$HEP_GIT" _checkouts/hep && HEP_GIT=none rebar3 compile &&
        erl -noinput -pa _build/default/lib/*/ebin _build/default/checkouts/*/ebin \
            -eval 'consumer:main([]), halt().'
}

mix_dependency() {
    cp -R "$here/mix" "$work" && cd "$work/mix" && mix deps.get && mix run -e 'Consumer.main([])'
}

mix_release() {
    cd "$work/mix" && MIX_ENV=prod mix release --quiet &&
        test -x _build/prod/rel/consumer/lib/hep-*/priv/hep_port &&
        ELIXIR_ERL_OPTIONS='-run Elixir.Consumer main none -run init stop' \
            _build/prod/rel/consumer/bin/consumer start
}

mix_escript() {
    cd "$work/mix" && mix escript.build && mv consumer "$work/consumer" && cd / && "$work/consumer"
}

mix_path() {
    cp -R "$here/mix" "$work/mix-path" && cd "$work/mix-path" &&
        git clone -q "$HEP_GIT" "$work/another name" &&
        HEP_PATH="../another name" mix run -e 'Consumer.main([])'
}

erlangmk() {
    cp -R "$here/erlangmk" "$work/erlangmk-$1" && cp -R "$here/rebar3/src" "$work/erlangmk-$1" &&
        make -C "$work/erlangmk-$1" ERLANG_MK="$1"
}

snapshot
consumer 'rebar3 dependency' rebar3_dependency
consumer 'rebar3 release' rebar3_release
consumer 'rebar3 escript' rebar3_escript
consumer 'rebar3 checkout' rebar3_checkout
consumer 'mix dependency' mix_dependency
consumer 'mix release' mix_release
consumer 'mix escript' mix_escript
consumer 'mix path dependency in a folder of another name' mix_path
consumer 'erlang.mk dependency, 2015' erlangmk 2015
consumer 'erlang.mk dependency, 2024' erlangmk 2024
