# hep flow.

# packet SECOND SOURCE DESTINATION TYPE CORRELATION-ID TEXT: a line of JSON.
packet() {
    printf '{"type":"HEP","version":3,"protocolFamily":2,"protocol":17,"srcIp":"%s","srcPort":5060,"dstIp":"%s","dstPort":5060,' "$2" "$3"
    printf '"timestamp":"2026-01-01T12:00:%s.000Z","timestampUSecs":0,"captureId":1,"vendorChunks":[],"correlationId":"%s",' "$1" "$5"
    printf '"payload":{"type":"%s","data":"%s"}}\n' "$4" "$6"
}
a=192.0.2.1
p=192.0.2.2
b=192.0.2.3
# headers CALL-ID METHOD
headers() {
    printf '%s' '\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK-'"$1-$2"'\r\nFrom: <sip:alice@a>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: '"$1"'\r\nCSeq: 1 '"$2"'\r\n'
}
{
    packet 01 $a $p SIP one "INVITE sip:bob@b SIP/2.0$(headers one INVITE)Content-Type: application/sdp\\r\\n\\r\\n"
    packet 02 $a $p SIP one "INVITE sip:bob@b SIP/2.0$(headers one INVITE)Content-Type: application/sdp\\r\\n\\r\\n"
    packet 03 $p $b SIP two "INVITE sip:bob@b SIP/2.0$(headers two INVITE)X-Call-ID: one\\r\\n\\r\\n"
    packet 04 $b $p SIP two "SIP/2.0 200 OK$(headers two INVITE)\\r\\n"
    packet 05 $p $a SIP one "SIP/2.0 200 OK$(headers one INVITE)\\r\\n"
    packet 06 $a $b RTCP one '{}'
    packet 07 $p $p LOG two 'a line of a log\nanother'
    packet 08 $a $p SIP three "OPTIONS sip:bob@b SIP/2.0$(headers three OPTIONS)\\r\\n"
    packet 09 $p $a SIP three "SIP/2.0 486 Busy$(headers three OPTIONS)\\r\\n"
    packet 10 $a $b SIP one "BYE sip:bob@b SIP/2.0$(headers one BYE)\\r\\n"
} >calls.jsonl

t='flow, the list'
run "$t" 0 flow calls.jsonl
same "$t" out 'start                        method   state      status  duration  messages  from     to     Call-ID
2026-01-01T12:00:01.000000Z  INVITE   completed  200     0:05      4         alice@a  bob@b  one
2026-01-01T12:00:03.000000Z  INVITE   answered   200     -         2         alice@a  bob@b  two
2026-01-01T12:00:08.000000Z  OPTIONS  rejected   486     -         2         alice@a  bob@b  three
'
same "$t" err ''
run "$t" 0 flow stream.hep
[ "$(wc -l <out)" -gt 10 ] || failed "$t" 'too few calls'
ok "$t"

t='flow, the ladder of all legs'
run "$t" 0 flow --ascii calls.jsonl two
cp out ladder
same "$t" out 'A one
B two

                            192.0.2.1                      192.0.2.2                      192.0.2.3
A 12:00:01.000000               |------- INVITE (SDP) -------->|                              |
A 12:00:02.000000 +1.000        |--- INVITE (SDP) (again) ---->|                              |
B 12:00:03.000000 +1.000        |                              |---------- INVITE ----------->|
B 12:00:04.000000 +1.000        |                              |<.......... 200 OK ...........|
A 12:00:05.000000 +1.000        |<.......... 200 OK ...........|                              |
A 12:00:06.000000 +1.000        |~~~~~~~~~~~~~~~~~~~~~~~~~~~ RTCP ~~~~~~~~~~~~~~~~~~~~~~~~~~~>|
B 12:00:07.000000 +1.000        |                              + a line of a log              |
A 12:00:10.000000 +3.000        |--------------------------- BYE ---------------------------->|
'
run "$t" 0 flow --ascii calls.jsonl one
cmp -s ladder out || failed "$t" 'the ladder of the other leg differs'
ok "$t"

t='flow, one leg'
run "$t" 0 flow --ascii --one-leg calls.jsonl two
[ "$(wc -l <out)" -eq 6 ] || failed "$t" 'not three packets'
lacks "$t" out '(SDP)'
ok "$t"

t='flow, standard input'
"$hep" flow - <calls.jsonl >out
has "$t" out completed answered rejected
"$hep" flow --ascii - three <calls.jsonl >out
has "$t" out 'OPTIONS' '486 Busy'
ok "$t"

t='flow, UTF-8 and ASCII by the locale'
run "$t" 0 flow calls.jsonl three
has "$t" out '─ OPTIONS ─' '▶│' '◀╌'
LC_ALL=C "$hep" flow calls.jsonl three >out
has "$t" out '- OPTIONS -' '>|' '<.'
ok "$t"

t='flow, columns are ports'
run "$t" 0 flow --hosts port calls.jsonl three
has "$t" out '192.0.2.1:5060'
run "$t" 2 flow --hosts none calls.jsonl three
ok "$t"

t='flow, hostile bytes'
run "$t" 0 flow hostile.json
controls out
grep -F 'INVITE' out | sed 's/.* //' >id
run "$t" 0 flow --ascii hostile.json "$(cat id)"
has "$t" out '+ INVITE' "$(cat id)"
controls out
ok "$t"

t='flow, an unknown call'
run "$t" 1 flow calls.jsonl four
same "$t" out ''
has "$t" err 'hep: no call four'
run "$t" 2 flow
run "$t" 2 flow a b c
ok "$t"

t='flow, a truncated file'
run "$t" 1 flow cut.hep
has "$t" out 'Call-ID'
has "$t" err 'hep: cut.hep: offset '
ok "$t"

t='flow, the width of the terminal'
widest() { awk '{ if (length($0) > most) most = length($0) } END { print most }' "$1"; }
run "$t" 0 flow --ascii calls.jsonl three
[ "$(widest out)" -gt 70 ] || failed "$t" 'narrow without a terminal'
script -qec "stty cols 70; '$hep' flow --ascii calls.jsonl three" /dev/null </dev/null | tr -d '\r' >out
has "$t" out OPTIONS
[ "$(widest out)" -le 70 ] || failed "$t" 'wider than the terminal'
ok "$t"

t='flow, many hosts'
i=0
while [ $i -lt 60 ]; do
    packet 01 "10.0.0.$i" "10.0.1.$i" SIP many "OPTIONS sip:bob@b SIP/2.0$(headers many OPTIONS)\\r\\n"
    i=$((i + 1))
done >hosts.jsonl
run "$t" 0 flow --ascii hosts.jsonl many
has "$t" out 10.0.1.19 others '+ OPTIONS'
lacks "$t" out 10.0.0.20
[ "$(grep -c OPTIONS out)" -eq 60 ] || failed "$t" 'not all packets'
ok "$t"
