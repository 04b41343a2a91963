# Help, version, wrong usage; calls from other folders.

t='no arguments'
run "$t" 2
same "$t" out ''
has "$t" err 'Usage: hep COMMAND'
ok "$t"

t='help'
for arguments in help --help -h; do
    run "$t" 0 $arguments
    same "$t" err ''
    has "$t" out 'Usage: hep COMMAND' 'Exit status:'
done
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
[ "$(echo "$commands" | wc -l)" -ge 2 ] || failed "$t" 'no commands'
for command in $commands; do
    run "$t" 0 help "$command"
    has "$t" out "Usage: hep $command" 'Options:' 'Examples:'
    cp out first
    run "$t" 0 "$command" --help
    cmp -s first out || failed "$t" "hep help $command differs from hep $command --help"
done
ok "$t"

t='version'
run "$t" 0 --version
version=$(sed -n 's/.*{vsn, "\(.*\)"}.*/\1/p' "$top/erlang/hep.app.src")
same "$t" out "hep $version
"
ok "$t"

# wrong TEXT ARGUMENTS...
wrong() {
    t="wrong usage: $1"
    text=$1
    shift
    run "$t" 2 "$@"
    same "$t" out ''
    has "$t" err "hep: $text"
    [ "$(wc -l <err)" -eq 1 ] || failed "$t" 'more than a line'
    ok "$t"
}
wrong 'unknown command what' what
wrong 'unknown option --what' show --what x
wrong 'unknown option -x' show -x
wrong '--json takes no value' show --json=1 x
wrong '--host needs a value' show --host
wrong '--host 1.2.3x: expected an IP address' show --host 1.2.3x x
wrong '--type what: unknown payload type' show --type what x
wrong '--from what: expected pcap, hep or json' show --from what x
for rate in 0 -1 1000001 1.5 x ''; do
    wrong "--rate $rate: expected a number from 1 to 1000000" send "--rate=$rate" x udp:127.0.0.1:9
done
wrong '--udp -1: expected a number from 0 to 65535' listen --udp -1
wrong '--count 0: expected a number of at least 1' listen --count 0
wrong 'expected one FILE' show
wrong 'expected one FILE' show a b
wrong 'expected IN and OUT' convert a
wrong 'out.txt: give the format with --to' convert a out.txt

t='the end of the options'
cp "$fixtures/pcap/text2pcap-udp.pcap" ./--json
run "$t" 0 show -- --json
has "$t" out 'OPTIONS'
rm ./--json
ok "$t"

t='without standard input, and without standard output'
"$hep" --version <&- >out
same "$t" out "hep $version
"
"$hep" show - <&- >out 2>err || [ $? -eq 1 ] || failed "$t" status
has "$t" err 'hep: -: the file is empty'
"$hep" --version >&- 2>err || failed "$t" status
same "$t" err ''
ok "$t"

t='a missing folder for temporary files'
status=0
TMPDIR=$work/nothing "$hep" show "$hep" >out 2>err || status=$?
[ "$status" -eq 1 ] || failed "$t" "status $status"
has "$t" err 'Set TMPDIR to a folder that is writable'
[ "$(wc -l <err)" -eq 1 ] || failed "$t" 'more than a line'
ok "$t"

t='called by a link, through PATH, from another folder'
mkdir -p 'a folder' bin
ln -s "$hep" 'a folder/linked'
cp "$hep" bin/hep
'a folder/linked' --version >out
(cd / && PATH="$work/bin:$PATH" hep --version) >>out
sh "$hep" --version >>out
same "$t" out "hep $version
hep $version
hep $version
"
ok "$t"
