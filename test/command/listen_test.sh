# hep listen, and hep send to it.

# listening ARGUMENTS...: starts `hep listen' with these arguments; its process is $listener, its port $port.
listening() {
    : >listener.err
    # The shell ignores Ctrl-C for background processes.
    env --default-signal=INT "$hep" listen "$@" >listener.out 2>listener.err &
    listener=$!
    port=
    tries=0
    while [ -z "$port" ]; do
        port=$(sed -n 's/^hep: listening on .* port \([0-9]*\)$/\1/p' listener.err)
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { cat listener.err >&2; failed "$t" 'the listener does not start'; }
        sleep 0.1
    done
}

# ended STATUS: the listener ends without a signal, within 30 seconds.
ended() {
    status=0
    tries=0
    while kill -0 $listener 2>/dev/null && [ $tries -lt 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    [ $tries -lt 300 ] || { cp listener.err err; failed "$t" 'the listener does not end'; }
    wait $listener || status=$?
    listener=
    cp listener.err err
    [ "$status" -eq "$1" ] || failed "$t" "the listener's status is $status, expected $1"
}

# stopped: as with Ctrl-C.
stopped() {
    kill -INT $listener
    ended 0
}

"$hep" show stream.hep | sort >expected.lines

for transport in udp tcp; do
    t="listen and send, $transport"
    listening --ip 127.0.0.1 --$transport 0 --count "$packets"
    run "$t" 0 send --fast stream.hep "$transport:127.0.0.1:$port"
    grep -q "^sent $packets packets, [0-9]* bytes; dropped 0$" out || failed "$t" 'not all packets were sent'
    ended 0
    sort listener.out >lines
    cmp -s expected.lines lines || failed "$t" 'other packets were received'
    has "$t" listener.err "port $port: $packets received, $packets decoded, 0 invalid"
    ok "$t"
done

t='listen and send, tls'
escript "$here/certificates.escript" >log 2>&1 || { cat log >&2; failed "$t" certificates; }
listening --ip 127.0.0.1 --tls 0 --certfile cert.pem --keyfile key.pem --count "$packets" --quiet
run "$t" 1 send --fast stream.hep "tls:127.0.0.1:$port"
has "$t" err 'hep: the collector cannot be reached: '
run "$t" 0 send --fast --cacertfile authority.pem stream.hep "tls:127.0.0.1:$port"
ended 0
same "$t" listener.out ''
has "$t" listener.err "$packets decoded"
ok "$t"

t='listen, Ctrl-C and files'
listening --ip 127.0.0.1 --udp 0 --write written.hep --type sip --json
run "$t" 0 send --rate 1000 --loop 3 stream.hep "udp:127.0.0.1:$port"
sips=$((3 * $("$hep" show --type sip stream.hep | wc -l)))
tries=0
while [ "$(wc -l <listener.out)" -lt "$sips" ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
stopped
has "$t" listener.err "port $port: $((3 * packets)) received"
[ "$(wc -l <listener.out)" -eq "$sips" ] || failed "$t" "not $sips packets"
run "$t" 0 show --json written.hep
tr , '\n' <out | sort >written
tr , '\n' <listener.out | sort >expected
cmp -s expected written || failed "$t" 'the file holds other packets'
ok "$t"

t='listen, authenticate keys'
listening --ip 127.0.0.1 --udp 0 --auth-key secret --count 1
run "$t" 0 send --auth-key wrong "$pcap" "udp:127.0.0.1:$port"
HEP_AUTH_KEY=secret "$hep" send --now --capture-id 7 "$pcap" "udp:127.0.0.1:$port" >out
ended 0
has "$t" listener.err '1 without a valid key' ': no valid authenticate key'
grep -q "^$(date -u +%Y)-" listener.out || failed "$t" 'the time is not now'
ok "$t"

t='listen, a closed pipe'
mkfifo pipe
head -n 1 <pipe >line &
reader=$!
: >listener.err
"$hep" listen --ip 127.0.0.1 --udp 0 --write piped.pcap >pipe 2>listener.err &
listener=$!
tries=0
until port=$(sed -n 's/^hep: listening on .* port \([0-9]*\)$/\1/p' listener.err) && [ -n "$port" ] || [ $tries -ge 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
# The listener may be gone before the last packet.
"$hep" send --rate 100 --loop 3 stream.hep "udp:127.0.0.1:$port" >out 2>err || true
ended 0
wait $reader
[ "$(wc -l <line)" -eq 1 ] || failed "$t" 'no line'
run "$t" 0 show piped.pcap
[ "$(wc -l <out)" -ge 1 ] || failed "$t" 'nothing was written'
ok "$t"

t='listen, a port in use'
listening --ip 127.0.0.1 --tcp 0
run "$t" 1 listen --ip 127.0.0.1 --tcp "$port"
has "$t" err 'hep: ' 'address already in use'
stopped
run "$t" 2 listen --tls 0
has "$t" err 'hep: --tls needs --certfile and --keyfile'
run "$t" 2 listen --ip here
run "$t" 2 listen --udp 65536
run "$t" 2 listen file
ok "$t"

t='send, at the speed of the file'
sed -n 8,9p calls.jsonl >second.jsonl
listening --ip 127.0.0.1 --udp 0 --count 4
run "$t" 0 send second.jsonl "udp:127.0.0.1:$port"
started=$(date +%s%N)
run "$t" 0 send second.jsonl "udp:127.0.0.1:$port"
took=$((($(date +%s%N) - started) / 1000000))
ended 0
[ $took -ge 1000 ] || failed "$t" "two packets with a second between them took $took ms"
ok "$t"

t='send, no collector'
run "$t" 1 send stream.hep tcp:127.0.0.1:1
has "$t" err 'hep: the collector cannot be reached: connection refused'
ok "$t"

t='send, a truncated file'
listening --ip 127.0.0.1 --tcp 0 --count $((packets - 1)) --quiet
run "$t" 1 send --fast cut.hep "tcp:127.0.0.1:$port"
has "$t" out "sent $((packets - 1)) packets"
has "$t" err 'hep: cut.hep: offset '
ended 0
ok "$t"

for target in udp:127.0.0.1 127.0.0.1:9060 sctp:127.0.0.1:9060 udp:127.0.0.1:0 udp:127.0.0.1:65536 udp::::9060; do
    t="send, wrong target $target"
    run "$t" 2 send "$pcap" "$target"
    has "$t" err "hep: TARGET $target: expected udp:HOST:PORT"
    ok "$t"
done
t='send, a packet that is too large for a datagram'
large=$(head -c 65490 /dev/zero | tr '\0' x)
printf '{"type":"HEP","version":3,"payload":{"type":"log","data":"%s"}}\n' "$large" >large.jsonl
run "$t" 1 send --fast large.jsonl udp:127.0.0.1:9
has "$t" err '1 packets cannot be sent' 'not all packets were sent'
ok "$t"
t='send, wrong usage'
run "$t" 2 send --rate 1 --fast "$pcap" udp:127.0.0.1:9
run "$t" 2 send --loop 2 - udp:127.0.0.1:9
run "$t" 2 send "$pcap"
ok "$t"
