# hep convert. Uses stream.hep with $packets packets, made by show_test.sh.

t='convert, HEP to JSON and back'
run "$t" 0 convert stream.hep there.jsonl
same "$t" err ''
run "$t" 0 convert there.jsonl back.hep
run "$t" 0 convert back.hep again.json
# The encoder puts the authenticate key first.
for file in there.jsonl again.json; do tr , '\n' <$file | sort >$file.sorted; done
cmp -s there.jsonl.sorted again.json.sorted || failed "$t" 'packets differ'
mv again.json there.jsonl
[ "$(wc -l <there.jsonl)" -eq "$packets" ] || failed "$t" "not $packets packets"
ok "$t"

t='convert, HEP to pcap and back'
"$hep" convert stream.hep there.pcap
"$hep" show there.pcap 2>err | sed -n 's/ Call-ID: .*//p' >there
"$hep" show --type sip stream.hep | sed -n 's/ Call-ID: .*//p' >expected
cmp -s expected there || { diff expected there || true; failed "$t" 'packets differ'; }
ok "$t"

t='convert, through pipes'
"$hep" convert --to json - - <stream.hep | "$hep" convert --from json --to hep - - | "$hep" convert --to json - piped.jsonl
cmp -s there.jsonl piped.jsonl || failed "$t" 'packets differ'
ok "$t"

t='convert, packets that a capture file cannot contain'
sed -n 1p there.jsonl >some.jsonl
sed -n 1p there.jsonl | sed 's/"srcIp":"[^"]*"/"srcIp":null/' >>some.jsonl
run "$t" 0 convert some.jsonl some.pcap
has "$t" err 'hep: 1 packets left out: the packet has no source or destination address'
run "$t" 0 show some.pcap
[ "$(wc -l <out)" -eq 1 ] || failed "$t" 'not the other packet'
ok "$t"

t='convert, a truncated file'
run "$t" 1 convert cut.hep cut.jsonl
[ "$(wc -l <cut.jsonl)" -eq $((packets - 1)) ] || failed "$t" 'not all whole packets'
has "$t" err 'hep: cut.hep: offset '
ok "$t"

t='convert, files that cannot be read or written'
run "$t" 1 convert nothing out.pcap
has "$t" err 'hep: nothing: no such file or directory'
[ ! -e out.pcap ] || failed "$t" 'OUT was made'
run "$t" 1 convert stream.hep folder/out.pcap
has "$t" err 'hep: folder/out.pcap: no such file or directory'
cp stream.hep same.hep
run "$t" 2 convert same.hep same.hep
cmp -s stream.hep same.hep || failed "$t" 'IN was changed'
if [ -e /dev/full ]; then
    run "$t" 1 convert --to json stream.hep /dev/full
    has "$t" err 'hep: /dev/full: no space left on device'
fi
ok "$t"

t='convert, a closed pipe'
{ "$hep" convert --to json long.hep - 2>err; echo $? >status; } | head -n 1 >out
same "$t" err ''
same "$t" status '0
'
ok "$t"

t='convert, progress on a terminal only'
slow="{ cat long.hep; sleep 1.2; cat long.hep; } | '$hep' convert --to json - progress.jsonl"
sh -c "$slow" >out 2>err
same "$t" err ''
script -qec "$slow" /dev/null </dev/null >out
has "$t" out ' packets, ' ' MB'
# The progress line is cleared at the end.
[ "$(tail -c 3 out)" = "$(printf '\033[K')" ] || failed "$t" 'something is left on the line'
ok "$t"
