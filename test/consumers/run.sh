#!/bin/sh
# Builds small applications that depend on hep, each with another build tool, and runs them. They get
# hep as a git repository with the contents of this checkout, committed or not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE ERL_LIBS MIX_ENV MIX_HOME REBAR_PROFILE MAKEFLAGS MAKELEVEL
export ERL_CRASH_DUMP_SECONDS=0 TERM=dumb
# Foreign crates are compiled once. Not into target/, where such a build could be mistaken
# for one of this checkout. hep's crates are compiled for each consumer, with little optimisation.
export HEP_TARGET_DIR="$top/target/consumers"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

work=$(mktemp -d)
chmod 755 "$work"
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

# consumer NAME builds|reuses COMMAND...: the command must succeed, print the contents of the packet, and
# announce a build of the native library or not.
consumer() {
    name=$1
    announced=$2
    shift 2
    if "$@" >"$work/log" 2>&1 </dev/null && grep -qx '127.0.0.1 log' "$work/log" && [ "$(announcement)" = "$announced" ]; then
        echo "ok $name"
    else
        echo "failed $name" >&2
        grep -v '^remote: ' "$work/log" >&2
        exit 1
    fi
}

announcement() {
    case $(grep -Ec '^hep: (building|built) the native library' "$work/log") in
        0) echo reuses ;;
        2) echo builds ;;
        *) echo unclear ;;
    esac
}

# The following commands are joined by `&&', since `set -e' has no effect where consumer calls them.

rebar3_dependency() {
    cp -R "$here/rebar3" "$work" && cd "$work/rebar3" && rebar3 compile &&
        erl -noinput -pa _build/default/lib/*/ebin -eval 'consumer:main([]), halt().'
}

rebar3_release() {
    cd "$work/rebar3" && rebar3 release && test -x _build/default/rel/consumer/lib/hep-*/priv/hep_port &&
        _build/default/rel/consumer/bin/consumer foreground -noinput \
            -eval 'embedded = code:get_mode(), consumer:main([]), halt().'
}

# Runs in another folder, with nothing but the archive.
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

# Read-only folders of hep, in which the consumers above have built it. A failing cargo replaces
# a machine without Rust.

# read_only FOLDER HEP COMMAND...: in a copy of the project in this folder. Not as root, who can write everywhere.
read_only() {
    project=$work/read-only/$1
    folder=$work/$1
    hep=$2
    shift 2
    mkdir -p "$work/no-rust" "$work/home" "$work/read-only" &&
        printf '#!/bin/sh\necho "cargo $*: there is no Rust here" >&2\nexit 1\n' >"$work/no-rust/cargo" &&
        chmod 755 "$work/no-rust/cargo" && rm -rf "$project" && cp -R "$folder" "$project" && cd "$project" &&
        set -- env HOME="$work/home" TMPDIR="$work/home" PATH="$work/no-rust:$PATH" "$@" &&
        if [ "$(id -u)" = 0 ]; then
            chown -R 65534:65534 "$work/home" "$project" &&
                set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
        fi &&
        chmod -R a-w "$hep" && "$@" && chmod -R u+w "$hep"
}

rebar3_read_only() {
    read_only rebar3 _build/default/lib/hep sh -c 'rebar3 compile &&
        erl -noinput -pa _build/default/lib/*/ebin -eval "consumer:main([]), halt()."'
}

rebar3_checkout_read_only() {
    rm -rf "$work/rebar3-checkout/_build" &&
        HEP_GIT=none read_only rebar3-checkout _checkouts/hep sh -c 'rebar3 compile &&
        erl -noinput -pa _build/default/lib/*/ebin _build/default/checkouts/*/ebin -eval "consumer:main([]), halt()."'
}

mix_read_only() {
    rm -rf "$work/mix/_build" && read_only mix deps/hep mix run -e 'Consumer.main([])'
}

erlangmk_read_only() {
    read_only erlangmk-2024 deps/hep sh -c 'make --no-print-directory -C deps/hep IS_DEP=1 &&
        erl -noinput -pa ebin -pa deps/hep/ebin -eval "consumer:main([]), halt()."'
}

snapshot
consumer 'rebar3 dependency' builds rebar3_dependency
consumer 'rebar3 release' reuses rebar3_release
consumer 'rebar3 escript' reuses rebar3_escript
consumer 'rebar3 checkout' builds rebar3_checkout
consumer 'mix dependency' builds mix_dependency
consumer 'mix release' reuses mix_release
consumer 'mix escript' reuses mix_escript
consumer 'mix path dependency in a folder of another name' builds mix_path
consumer 'erlang.mk dependency, 2015' builds erlangmk 2015
consumer 'erlang.mk dependency, 2024' builds erlangmk 2024
consumer 'rebar3 dependency, read-only' reuses rebar3_read_only
consumer 'rebar3 checkout, read-only' reuses rebar3_checkout_read_only
consumer 'mix dependency, read-only' reuses mix_read_only
consumer 'erlang.mk dependency, read-only' reuses erlangmk_read_only
