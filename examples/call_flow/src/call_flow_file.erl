%% @doc Reads capture files as entries for {@link call_flow_calls}.
-module(call_flow_file).

-include_lib("hep/include/hep.hrl").

-export([fold/4]).

-type outcome() :: #{
    packets := non_neg_integer(),
    invalid := non_neg_integer(),
    incomplete := non_neg_integer(),
    unknown_link := non_neg_integer(),
    error => binary()
}.

%% @doc Calls the function with batches of entries. The outcome has the numbers of packets, of invalid and of incomplete
%% ones, and of frames of an unknown link type; for a truncated or corrupt file, it has the error as text, and the packets
%% before the error count.
-spec fold(hep_pcap:source(), Batch :: pos_integer(), fun(([call_flow_calls:entry()], Acc) -> Acc), Acc) ->
    {outcome(), Acc}.
fold(Source, Batch, Fun, Acc) ->
    Options = #{stats => fun(Stats) -> put(?MODULE, Stats) end},
    Add = fun(Hep, Info, {Entries, Waiting, Packets, Before}) ->
        Entry = {call_flow_calls:slim(Hep), meta(Hep, Info)},
        case Waiting + 1 of
            Batch -> {[], 0, Packets + 1, Fun(lists:reverse([Entry | Entries]), Before)};
            More -> {[Entry | Entries], More, Packets + 1, Before}
        end
    end,
    {Error, {Entries, _, Packets, Last}} =
        case hep_pcap:fold(Source, Options, Add, {[], 0, 0, Acc}) of
            {ok, Result} -> {#{}, Result};
            {error, Reason, Result} -> {#{error => unicode:characters_to_binary(hep_pcap:format_error(Reason))}, Result}
        end,
    {maps:merge(Error#{packets => Packets}, lost(erase(?MODULE))), Fun(lists:reverse(Entries), Last)}.

lost(#{invalid := Invalid, fragments_dropped := Fragments, tcp_incomplete := Messages, unknown_link := Unknown}) ->
    #{invalid => Invalid, incomplete => Fragments + Messages, unknown_link => Unknown};
%% The file could not be opened.
lost(undefined) ->
    #{invalid => 0, incomplete => 0, unknown_link => 0}.

%% The time of the file is the time of receipt for HEP. A SIP message without HEP has no sender.
meta(_, #{inside := hep, source := Source, time := Time, protocol := Protocol}) ->
    #{source => Source, time => microseconds(Time), transport => transport(Protocol)};
meta(_, #{inside := sip, time := Time}) ->
    #{time => microseconds(Time)}.

microseconds(undefined) -> 0;
microseconds(Nanoseconds) -> Nanoseconds div 1000.

transport(6) -> tcp;
transport(17) -> udp.
