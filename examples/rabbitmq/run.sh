#!/bin/sh
# Tests the example, then demonstrates it: a cluster of three nodes on loopback, a bridge, consumers, captured traffic,
# and kill -9 of a node, the bridge and a consumer. All started processes end with this script.
set -eu
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
build=$top/_build/rabbitmq
rate=${1:-1000}
case $rate in *[!0-9]*) echo "not a rate: $rate" >&2; exit 2 ;; esac

unset ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS ERL_LIBS
ERL_LIBS=$(sh broker.sh "$build/debian")
export ERL_LIBS ERL_CRASH_DUMP_SECONDS=0

mkdir -p "$build/ebin"
rm -f "$build"/ebin/*
erlc -Werror -pa "$top/ebin" -o "$build/ebin" src/*.erl demo/*.erl test/*.erl
cp src/hep_rabbitmq.app.src "$build/ebin/hep_rabbitmq.app"

echo '== Unit tests'
erl -noinput -kernel logger_level critical -pa "$top/ebin" "$build/ebin" -eval '
    Tests = [list_to_atom(filename:basename(File, ".erl")) || File <- filelib:wildcard("test/*_tests.erl")],
    halt(case eunit:test(Tests) of ok -> 0; error -> 1 end).'

# With a separate home, and so a separate cookie, and a separate port mapper: the system's one is not used.
work=$(mktemp -d)
mkdir "$work/pids"
end() {
    status=$?
    [ "$status" = 0 ] || tail -n 8 "$work"/*.log >&2 || true
    for file in "$work"/pids/*; do
        [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}
trap end EXIT
trap 'exit 1' HUP INT TERM
export HOME="$work" ERL_EPMD_ADDRESS=127.0.0.1
(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/.erlang.cookie")
ERL_EPMD_PORT=$(erl -noinput -eval '
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    io:put_chars(integer_to_list(Port)),
    halt().')
export ERL_EPMD_PORT
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" >/dev/null 2>&1 &
echo $! >"$work/pids/epmd"

erl -noinput -start_epmd false -sname demo@localhost -kernel inet_dist_use_interface '{127,0,0,1}' \
    -kernel logger_level error -pa "$top/ebin" "$build/ebin" -eval '
    try hep_rabbitmq_demo:main(init:get_plain_arguments())
    catch Class:Reason:Stack ->
        io:format("~p: ~0p~n~p~n", [Class, Reason, Stack]),
        halt(1)
    end.' -extra "$work" "$top" "$rate" &
demo=$!
echo "$demo" >"$work/pids/demo"
wait "$demo"
