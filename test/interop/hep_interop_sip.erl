%% @doc The summary of the captured SIP of all senders, compared with the fields of tshark. Called by run.sh.
-module(hep_interop_sip).

-include_lib("eunit/include/eunit.hrl").
-include("hep.hrl").

-export([main/1]).

%% The fields of tshark, in the order of `summarised/1'.
-define(FIELDS, [
    "sip.Method", "sip.r-uri", "sip.Status-Code", "sip.Status-Line", "sip.Call-ID", "sip.CSeq.seq", "sip.CSeq.method",
    "sip.from.addr", "sip.from.user", "sip.from.host", "sip.from.tag",
    "sip.to.addr", "sip.to.user", "sip.to.host", "sip.to.tag",
    "sip.Via.branch", "sip.User-Agent", "sip.Server", "sip.Content-Type", "sip.Content-Length"
]).

%% @doc `[Directory]'. Halts: with 0 when tshark reads what `hep_sip:summary/1' does.
-spec main([string()]) -> no_return().
main([Directory]) ->
    Payloads = payloads(),
    File = filename:join(Directory, "sip.pcap"),
    {ok, []} = hep_pcap:write(File, [packet(Payload) || {_, Payload} <- Payloads]),
    Read = rows(File),
    ?assertEqual(length(Payloads), length(Read)),
    ?assert(length([Fields || Fields <- Read, lists:any(fun(Value) -> Value =/= "" end, Fields)]) > 200),
    lists:foreach(
        fun({{Name, Payload}, Expected}) -> ?assertEqual({Name, Expected}, {Name, summarised(Payload)}) end,
        lists:zip(Payloads, Read)
    ),
    io:format("tshark, SIP payloads of the senders in a capture file written by hep: ~b read right~n", [length(Read)]),
    halt().

%% Each distinct payload of type SIP, with one of its fixtures. Includes payloads that are not SIP: tshark decides.
payloads() ->
    Messages = [
        {File, Payload}
     || Entry <- hep_fixtures:entries(),
        "captures/" ++ _ = File <- [hep_fixtures:file(Entry)],
        Packet <- packets(Entry, hep_fixtures:bytes(Entry)),
        {ok, #hep{payload_type = 1, payload = Payload}} <- [hep:decode(Packet)]
    ],
    lists:ukeysort(2, Messages).

packets(#{<<"kind">> := <<"datagram">>}, Bytes) -> [Bytes];
packets(#{<<"frames">> := null}, _) -> [];
packets(Entry, Bytes) -> [Packet || {_, Packet} <- hep_fixtures:packets(Entry, Bytes)].

packet(Payload) ->
    #hep{
        version = 3, protocol = 17, src_ip = {192, 0, 2, 1}, src_port = 5060, dst_ip = {192, 0, 2, 2}, dst_port = 5060,
        timestamp = {1800, 0, 0}, payload = Payload
    }.

%% The fields of each frame. All are empty for a frame without SIP.
rows(File) ->
    Fields = [[" -e ", Field] || Field <- ?FIELDS],
    Command = ["tshark -r ", File, " -d udp.port==5060,sip -T fields -E separator=/t -E occurrence=f", Fields, " 2>/dev/null"],
    Lines = string:split(string:trim(os:cmd(lists:flatten(Command)), trailing, "\n"), "\n", all),
    [user_agent(string:split(Line, "\t", all)) || Line <- Lines].

%% The summary has one field for User-Agent and Server.
user_agent(Fields) ->
    {Before, [UserAgent, Server | After]} = lists:split(16, Fields),
    Before ++ [hd([Value || Value <- [UserAgent, Server], Value =/= ""] ++ [""]) | After].

%% A missing field is empty, as in tshark's output.
summarised(Payload) ->
    case hep_sip:summary(Payload) of
        {ok, Summary} -> [text(Value) || Value <- values(Summary)];
        {error, _} -> ["" || _ <- lists:seq(2, length(?FIELDS))]
    end.

values(Summary) ->
    {Number, Method} = maps:get(cseq, Summary, {<<>>, <<>>}),
    lists:append([
        [field(method, Summary), field(uri, Summary), field(status, Summary), status_line(Summary)],
        [field(call_id, Summary), Number, Method],
        address(from, Summary),
        address(to, Summary),
        [field(Key, Summary) || Key <- [via_branch, user_agent, content_type, content_length]]
    ]).

status_line(#{status := Status, reason := Reason}) -> [<<"SIP/2.0 ">>, integer_to_binary(Status), $\s, Reason];
status_line(#{}) -> [].

address(Key, Summary) ->
    Address = maps:get(Key, Summary, #{}),
    [field(uri, Address), user(Address), field(host, Address), field(tag, Address)].

%% tshark leaves out users of one byte.
user(#{user := <<_>>}) -> <<>>;
user(Address) -> field(user, Address).

field(Key, Map) -> maps:get(Key, Map, <<>>).

text(Value) when is_integer(Value) -> integer_to_list(Value);
text(Value) -> binary_to_list(iolist_to_binary(Value)).
