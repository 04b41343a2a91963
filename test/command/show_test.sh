# hep show.

pcap=$fixtures/pcap/text2pcap-udp.pcap
line='2026-11-25T04:45:44.000001Z 192.0.2.1:5060 -> 192.0.2.2:5080 sip OPTIONS sip:bob@example.org Call-ID: a84b
'
# Packets of several senders, as files for the other tests.
set --
for sender in kamailio asterisk-16.28 rtpengine; do
    for file in "$fixtures/captures/$sender"-v3/*/0*.bin; do set -- "$@" "$file"; done
done
cat "$@" >stream.hep
packets=$#

t='show, each file format'
for file in text2pcap-udp.pcap text2pcap-udp.pcapng text2pcap-tcp.pcap editcap-nsecpcap.pcap; do
    run "$t" 0 show "$fixtures/pcap/$file"
    sed 's/^[^ ]* //' out >lines
    same "$t" lines "${line#* }"
    same "$t" err ''
done
ok "$t"

t='show, standard input and gzip'
"$hep" show - <"$pcap" >out
gzip -c "$pcap" | "$hep" show - >>out
cat "$pcap" | "$hep" show - >>out
{ head -c 30 "$pcap"; sleep 0.2; tail -c +31 "$pcap"; } | "$hep" show - >>out
cut -d ' ' -f 2- out >lines
same "$t" lines "${line#* }${line#* }${line#* }${line#* }"
ok "$t"

t='show, a stream of HEP'
run "$t" 0 show stream.hep
[ "$(wc -l <out)" -eq "$packets" ] || failed "$t" "not $packets lines"
same "$t" err ''
gzip -c stream.hep >stream.gz
cp out lines
run "$t" 0 show stream.gz
cmp -s lines out || failed "$t" 'gzip differs'
for file in "$fixtures"/captures/kamailio-v3/*/0*.bin; do gzip -c "$file"; done >members.gz
run "$t" 0 show members.gz
has "$t" out ' sip '
ok "$t"

t='show, a packet of version 1 or 2'
for file in "$fixtures"/captures/kamailio-v[12]/flag-v4/00*.bin; do
    run "$t" 0 show "$file"
    [ "$(wc -l <out)" -eq 1 ] || failed "$t" "$file"
done
ok "$t"

t='show, JSON lines'
run "$t" 0 show --json stream.hep
[ "$(wc -l <out)" -eq "$packets" ] || failed "$t" "not $packets lines"
cp out stream.jsonl
run "$t" 0 show stream.jsonl
cmp -s lines out || failed "$t" 'the JSON holds other packets'
{ printf '\357\273\277\n['; paste -s -d, stream.jsonl | tr -d '\n'; printf ']'; } >array.json
run "$t" 0 show array.json
cmp -s lines out || failed "$t" 'the array holds other packets'
ok "$t"

t='show, filters'
run "$t" 0 show --type sip stream.hep
grep -c ' sip ' lines >expected
wc -l <out >count
cmp -s expected count || failed "$t" '--type sip'
run "$t" 0 show --type 5 stream.hep
has "$t" out ' rtcp '
lacks "$t" out ' sip '
run "$t" 0 show --method options "$pcap"
same "$t" out "$line"
run "$t" 0 show --method INVITE "$pcap"
same "$t" out ''
run "$t" 0 show --call-id a84b --host 192.0.2.2 --type=sip "$pcap"
same "$t" out "$line"
run "$t" 0 show --call-id a84 "$pcap"
same "$t" out ''
run "$t" 0 show --host 192.0.2.3 "$pcap"
same "$t" out ''
ok "$t"

t='show, all fields'
run "$t" 0 show --verbose "$fixtures/captures/kamailio-v3/flag-v4/007.bin"
has "$t" out '  HEP version: 3' '  capture id: ' '  | Call-ID: '
ok "$t"

t='show, a truncated capture file'
size=$(wc -c <"$pcap")
{ cat "$pcap"; tail -c +25 "$pcap"; } >two.pcap
head -c $((2 * size - 25)) two.pcap >cut.pcap
run "$t" 1 show cut.pcap
same "$t" out "$line"
same "$t" err "hep: cut.pcap: offset $size: the file is truncated here
"
gzip -c two.pcap | head -c 150 >cut.gz
run "$t" 1 show cut.gz
has "$t" err 'hep: cut.gz: ' gzip
ok "$t"

t='show, a truncated stream'
head -c $(($(wc -c <stream.hep) - 1)) stream.hep >cut.hep
run "$t" 1 show cut.hep
[ "$(wc -l <out)" -eq $((packets - 1)) ] || failed "$t" 'not all whole packets'
has "$t" err 'hep: cut.hep: offset '
ok "$t"

t='show, a corrupt stream'
first=$fixtures/captures/kamailio-v3/flag-v4/007.bin
{ cat "$first"; printf 'no packet'; cat "$first"; printf 'HEP3\000\013\000\000\000\007\000'; } >broken.hep
run "$t" 1 show broken.hep
[ "$(wc -l <out)" -eq 2 ] || failed "$t" 'not both whole packets'
has "$t" err "hep: offset $(wc -c <"$first"): not a HEP packet" 'hep: packet 3: ' 'hep: broken.hep: 2 packets or places are broken'
ok "$t"

t='show, truncated and invalid JSON'
{ head -n 1 stream.jsonl; printf '{"type":"HEP",\n'; } >broken.jsonl
run "$t" 1 show broken.jsonl
[ "$(wc -l <out)" -eq 1 ] || failed "$t" 'not the first packet'
has "$t" err 'hep: broken.jsonl: line 2, column '
head -c $(($(wc -c <stream.jsonl) - 20)) stream.jsonl >cut.jsonl
run "$t" 1 show cut.jsonl
[ "$(wc -l <out)" -eq $((packets - 1)) ] || failed "$t" 'not all whole packets'
{ printf '{'; head -c 5000000 /dev/zero; } >long.json
run "$t" 1 show long.json
has "$t" err 'hep: long.json: line 1 is longer than '
ok "$t"

# bad NAME FILE TEXT
bad() {
    t="show, $1"
    run "$t" 1 show "$2"
    same "$t" out ''
    has "$t" err "hep: $2: $3"
    ok "$t"
}
: >empty
printf 'This is a text, and no packets.\n' >text
head -c 1000 /dev/zero >zeros
printf '\037\213\010\000and no gzip' >no-gzip
printf 'ab' >short
bad 'no such file' nothing 'no such file or directory'
bad 'a folder' . 'illegal operation on a directory'
bad 'an empty file' empty 'the file is empty'
bad 'a text' text 'neither a capture file'
bad 'zeros' zeros 'neither a capture file'
bad 'no gzip' no-gzip 'neither a capture file'
bad 'a short file' short 'neither a capture file'

# No control from a packet may reach the terminal: escape sequences, also of 8 bits, line breaks, directions.
t='show, hostile bytes'
hostile='\\u001b]0;x\\u0007\\u009b31m\\u202e\\u0000\\b'
printf '{"type":"HEP","version":3,"protocolFamily":2,"protocol":17,"srcIp":null,"srcPort":null,"dstIp":null,"dstPort":null,"timestamp":null,"timestampUSecs":null,"captureId":null,"vendorChunks":[],"correlationId":"%s","payload":{"type":"%s","data":"INVITE sip:%s SIP/2.0\\r\\nCall-ID: %s\\r\\nFrom: %s\\r\\n\\r\\n"}}\n' \
    "$(printf "$hostile")" SIP "$(printf "$hostile" | sed 's/\\u0000//')" "$(printf "$hostile")" "$(printf "$hostile")" >hostile.json
sed 's/"type":"SIP"/"type":"LOG"/' hostile.json >>hostile.json.log
cat hostile.json.log >>hostile.json
# controls FILE: bytes below 32 except line feeds, DEL, and the characters U+0080 to U+009F and U+202E.
controls() {
    tr -d '\n\040-\176' <"$1" >left
    [ ! -s left ] || failed "$t" "$1 has control characters"
}
for options in '' --verbose; do
    run "$t" 0 show $options hostile.json
    has "$t" out '\x1B]0;x\x07\xC2\x9B31m\xE2\x80\xAE'
    controls out
done
ok "$t"

t='show, a closed pipe'
i=0
while [ $i -lt 2000 ]; do
    cat "$first"
    i=$((i + 1))
done >long.hep
{ "$hep" show --verbose long.hep 2>err; echo $? >status; } | head -n 1 >out
same "$t" err ''
same "$t" status '0
'
[ "$(wc -l <out)" -eq 1 ] || failed "$t" 'no line'
ok "$t"

t='show, a slow reader gets everything'
"$hep" show --verbose long.hep >all
"$hep" show --verbose long.hep | { sleep 1; cat; } >out
cmp -s all out || failed "$t" 'the output differs'
ok "$t"
