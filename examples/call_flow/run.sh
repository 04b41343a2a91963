#!/bin/sh
# Compiles the example against this checkout and replays captured packets to it, for `make run'. On a
# terminal, or with a port, it keeps listening and prints the address of the page.
set -eu
case ${1-} in
    *[!0-9]*) echo "not a port: $1" >&2; exit 2 ;;
    '') if [ -t 1 ]; then set -- stay 0; else set -- end; fi ;;
    *) set -- stay "$1" ;;
esac
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
# The application's folder, as in a release.
build=$top/_build/call_flow
mkdir -p "$build/ebin" "$build/include"
ln -sfn "$top/examples/call_flow/priv" "$build/priv"
ln -sfn "$top" "$build/include/hep"
erlc -pa "$top/ebin" -I "$build/include" -o "$build/ebin" src/*.erl ../udp_listener/src/udp_listener_handler.erl \
    ../udp_listener/src/udp_listener_print.erl ../udp_listener/replay/*.erl demo/*.erl
cp src/call_flow.app.src "$build/ebin/call_flow.app"
exec erl -noinput +Bd -pa "$top/ebin" -pa "$build/ebin" -eval '
    try call_flow_demo:main(init:get_plain_arguments())
    catch Class:Reason:Stack ->
        io:format("~p: ~p~n~p~n", [Class, Reason, Stack]),
        halt(1)
    end.' -extra "$top/test/fixtures/captures" "$@"
