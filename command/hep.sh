# The start of the command: build.escript writes it into the second line of bin/hep, which the shell runs and Erlang
# reads as a comment. The VM gets Ctrl-C and TERM as TERM, so that `hep listen' can end regularly.
% 2>/dev/null;
if [ -t 1 ]; then HEP_TERMINAL=1; else HEP_TERMINAL=; fi;
if [ -t 2 ]; then HEP_TERMINAL=${HEP_TERMINAL}2; HEP_SIZE=$(stty size <&2 2>/dev/null); fi;
export HEP_TERMINAL HEP_SIZE;
trap 'kill -TERM $vm' INT TERM;
if (: 3<&0) 2>/dev/null; then exec 3<&0; else exec 3</dev/null; fi;
escript "$0" "$@" <&3 3<&- & vm=$!;
exec 3<&-;
while wait $vm 2>/dev/null; status=$?; kill -0 $vm 2>/dev/null; do :; done;
exit $status
