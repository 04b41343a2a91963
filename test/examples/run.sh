#!/bin/sh
# Builds the examples, each with its own tool, runs their tests, and sends a captured packet to each.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
packet=$top/test/fixtures/captures/kamailio-v1/flag-v4/007.bin

unset ERL_LIBS ERL_FLAGS MIX_ENV REBAR_PROFILE MAKEFLAGS MAKELEVEL
unset IP TRANSPORT CERTFILE KEYFILE AUTH_KEYS AUTH_KEY TARGET_HOST TARGET_PORT HTTP_IP HTTP_TOKEN
export HTTP_PORT=0
export ERL_CRASH_DUMP_SECONDS=0 TERM=dumb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# example NAME FOLDER COMMAND...
example() {
    name=$1
    cd "$top/examples/$2"
    shift 2
    if "$@" >"$work/log" 2>&1 </dev/null; then
        echo "ok $name"
    else
        echo "failed $name" >&2
        cat "$work/log" >&2
        exit 1
    fi
}

# prints TEXT PROGRAM...: the program must print this text when it has received the packet.
prints() {
    text=$1
    shift
    escript "$here/drive.escript" "$text" "$packet" "$@"
}

# The following commands are joined by `&&', since `set -e' has no effect where example calls them.

udp_listener_release() {
    rebar3 release && prints 'HEPv1, 472 bytes' _build/default/rel/udp_listener/bin/udp_listener foreground
}

call_flow_release() {
    rebar3 release && prints 'The page is at' _build/default/rel/call_flow/bin/call_flow foreground
}

collector_tests() {
    mix format --check-formatted && MIX_ENV=test mix compile --warnings-as-errors && mix test
}

collector_run() {
    MIX_ENV=test prints '"version":1' mix run --no-halt
}

collector_release() {
    MIX_ENV=prod mix release --quiet --overwrite &&
        prints '"version":1' _build/prod/rel/collector/bin/collector start
}

# Any CA certificate is enough, and not every system has some.
forwarder_release() {
    erl -noinput -eval '
        #{server_config := Config} =
            public_key:pkix_test_data(#{server_chain => #{root => [], intermediates => [], peer => []},
                client_chain => #{root => [], intermediates => [], peer => []}}),
        [Root | _] = proplists:get_value(cacerts, Config),
        [File] = init:get_plain_arguments(),
        ok = file:write_file(File, public_key:pem_encode([{'\''Certificate'\'', Root, not_encrypted}])),
        halt().' -extra "$work/authority.pem" &&
        rebar3 release &&
        CACERTFILE="$work/authority.pem" AUTH_KEY=secret \
            prints 'Forwarding from UDP port' _build/default/rel/forwarder/bin/forwarder foreground
}

example 'udp_listener, replay' udp_listener sh run.sh
# amqp_client is one of RabbitMQ's plugins.
rabbitmq_tests() {
    ERL_LIBS=$(sh broker.sh "$top/_build/rabbitmq/debian") rebar3 eunit
}

example 'udp_listener, release' udp_listener udp_listener_release
example 'elixir_collector, tests' elixir_collector collector_tests
example 'elixir_collector, mix run' elixir_collector collector_run
example 'elixir_collector, release' elixir_collector collector_release
example 'forwarder, tests' forwarder rebar3 eunit
example 'forwarder, release' forwarder forwarder_release
example 'call_flow, tests' call_flow rebar3 eunit
example 'call_flow, release' call_flow call_flow_release
if [ -d /usr/lib/rabbitmq ] || command -v apt-get >/dev/null 2>&1; then
    example 'rabbitmq, tests' rabbitmq rabbitmq_tests
fi
