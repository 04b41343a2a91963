#!/bin/sh
# Prints the folder of RabbitMQ's plugins, which includes amqp_client, for ERL_LIBS. Without an installed
# rabbitmq-server, unpacks Debian's package into the given folder: nothing is installed, and no service is started.
set -eu
folder=$1

plugins() {
    for found in "$1"/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins; do
        [ ! -d "$found" ] || echo "$found"
    done
}

# has APPLICATION: whether Erlang finds it. A folder alone is not enough: Debian's erlang-dev has parts of many.
has() {
    erl -noinput -boot no_dot_erlang -eval "halt(case code:where_is_file(\"$1.app\") of non_existing -> 1; _ -> 0 end)."
}

fetch() {
    command -v apt-get >/dev/null 2>&1 || {
        echo 'hep: RabbitMQ is missing: install rabbitmq-server' >&2
        exit 1
    }
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    packages=rabbitmq-server
    has os_mon || packages="$packages erlang-os-mon"
    has eldap || packages="$packages erlang-eldap"
    # shellcheck disable=SC2086
    (cd "$folder.new" && download $packages)
    for package in "$folder.new"/*.deb; do
        dpkg-deb -x "$package" "$folder.new"
        rm "$package"
    done
    rm -rf "$folder" "$folder.new/log"
    mv "$folder.new" "$folder"
}

# With updated package lists if the old ones are outdated.
download() {
    apt-get download "$@" >log 2>&1 || { apt-get update >log 2>&1 && apt-get download "$@" >log 2>&1; } || {
        cat log >&2
        exit 1
    }
}

installed=$(plugins '')
if [ -n "$installed" ]; then
    echo "$installed"
else
    [ -n "$(plugins "$folder")" ] || fetch
    libs=$folder/usr/lib/erlang/lib
    if [ -d "$libs" ]; then echo "$(plugins "$folder"):$libs"; else plugins "$folder"; fi
fi
