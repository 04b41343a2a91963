#!/bin/sh
# Compiles the example against this checkout and replays captured packets to it.
# With a port it keeps listening for real senders.
set -eu
case ${1-} in
    '') set -- ;;
    *[!0-9]*) echo "not a port: $1" >&2; exit 2 ;;
esac
cd "$(dirname "$0")"
top=../..
build=$top/_build/udp_listener
mkdir -p "$build"
erlc -pa $top/ebin -o "$build" src/*.erl replay/*.erl
exec erl -noinput +Bd -pa $top/ebin -pa "$build" -eval '
    try udp_listener_replay:main(init:get_plain_arguments())
    catch Class:Reason:Stack ->
        io:format("~p: ~p~n~p~n", [Class, Reason, Stack]),
        halt(1)
    end.' -extra $top/test/fixtures/captures "$@"
