-module(call_flow_upload_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("hep/include/hep.hrl").

-import(call_flow_fixture, [fetch/1, post/3, decode/1, until/1]).

-define(HEADER, [{"x-call-flow", "1"}]).

upload_test_() ->
    {setup, fun() -> call_flow_fixture:start(#{upload => #{bytes => 1000000, files => 2}, limits => #{calls => 3}}) end, fun call_flow_fixture:stop/1, [
        {timeout, 60, fun a_file_has_its_own_calls/0},
        {timeout, 60, fun parts_come_in_order/0},
        {timeout, 60, fun sizes_are_bounded/0},
        {timeout, 60, fun files_are_bounded/0},
        {timeout, 60, fun losses_are_counted/0},
        {timeout, 60, fun hostile_files_are_errors/0}
    ]}.

a_file_has_its_own_calls() ->
    File = file([<<"one">>, <<"two">>]),
    {Half, Rest} = split_binary(File, byte_size(File) div 2),
    Id = start(byte_size(File)),
    ?assertMatch({200, _, _}, part(Id, 0, Half)),
    ?assertMatch({200, _, _}, part(Id, byte_size(Half), Rest)),
    #{<<"source">> := Source, <<"calls">> := Calls} = done(Id),
    ?assertMatch(#{<<"name">> := <<"a.pcap">>, <<"packets">> := 2, <<"invalid">> := 0}, Source),
    ?assertEqual([<<"one">>, <<"two">>], [Key || #{<<"key">> := Key} <- Calls]),
    ?assertMatch({200, _, _}, fetch("/api/call/1?source=" ++ Id)),
    ?assertMatch({200, _, _}, fetch("/api/call/1.pcap?source=" ++ Id)),
    #{<<"calls">> := Live} = call_flow_fixture:json("/api/state"),
    ?assertEqual([], Live).

parts_come_in_order() ->
    File = file([<<"one">>]),
    Id = start(byte_size(File)),
    ?assertMatch({409, _, _}, part(Id, 10, File)),
    ?assertMatch({413, _, _}, part(Id, 0, <<File/binary, 0>>)),
    ?assertMatch({200, _, _}, part(Id, 0, File)),
    _ = done(Id),
    ?assertMatch({409, _, _}, part(Id, byte_size(File), <<0>>)),
    ?assertMatch({404, _, _}, part("file-0", 0, <<0>>)),
    ?assertMatch({409, _, _}, part("live", 0, <<0>>)).

sizes_are_bounded() ->
    {413, _, Body} = post("/api/upload?name=a&bytes=1000001", ?HEADER, <<>>),
    ?assertMatch(#{<<"error">> := <<"the file has 1000001 bytes, the maximum is 1000000">>}, decode(Body)),
    Wrong = ["/api/upload?name=a&bytes=0", "/api/upload?name=a&bytes=x", "/api/upload?name=a&bytes=-1"],
    ?assertEqual([], [Path || Path <- Wrong, {Code, _, _} <- [post(Path, ?HEADER, <<>>)], Code =/= 400]).

files_are_bounded() ->
    [First, Second, Third] = [start(100) || _ <- [1, 2, 3]],
    ?assertMatch({404, _, _}, fetch("/api/state?source=" ++ First)),
    ?assertMatch({200, _, _}, fetch("/api/state?source=" ++ Second)),
    ?assertMatch({200, _, _}, fetch("/api/state?source=" ++ Third)).

%% What of a file is not shown: invalid packets, incomplete ones, frames of an unknown link type, calls beyond the limits.
losses_are_counted() ->
    Invalid = (hep:dst_port(9060, call_flow_fixture:hep(log, <<"HEP3", 0, 3>>)))#hep{protocol = 17},
    #{<<"source">> := Source} = uploaded(file_of([Invalid | [call_flow_fixture:sip(call_flow_fixture:invite(Id)) || Id <- [<<"1">>, <<"2">>, <<"3">>, <<"4">>]]])),
    ?assertMatch(#{<<"packets">> := 4, <<"invalid">> := 1, <<"evicted">> := 1, <<"incomplete">> := 0}, Source),
    <<Head:20/binary, _:32, Frames/binary>> = file([<<"1">>]),
    #{<<"source">> := Unknown} = uploaded(<<Head/binary, 147:32, Frames/binary>>),
    ?assertMatch(#{<<"packets">> := 0, <<"unknown_link">> := 1}, Unknown),
    Large = (call_flow_fixture:sip(call_flow_fixture:invite(<<"1">>)))#hep{protocol = 6},
    #hep{payload = Payload} = Large,
    #{<<"source">> := Cut} = uploaded(file_of([Large#hep{payload = binary:part(Payload, 0, byte_size(Payload) - 10)}])),
    ?assertMatch(#{<<"packets">> := 0, <<"incomplete">> := 1}, Cut).

%% Foreign bytes, a truncated file, a file with changed bytes: an error or calls, and the server keeps running.
hostile_files_are_errors() ->
    #{<<"source">> := #{<<"error">> := Error}} = uploaded(<<"no capture file">>),
    ?assertNotEqual(nomatch, string:find(Error, "not a capture file")),
    File = file([<<"one">>, <<"two">>]),
    #{<<"source">> := #{<<"error">> := Cut, <<"packets">> := 1}} = uploaded(binary:part(File, 0, byte_size(File) - 10)),
    ?assertNotEqual(nomatch, string:find(Cut, "the file is truncated here")),
    rand:seed(exsss, 1),
    lists:foreach(fun(_) -> #{<<"source">> := #{<<"state">> := <<"done">>}} = uploaded(changed(File)) end, lists:seq(1, 30)),
    ?assert(is_pid(whereis(call_flow_sources))).

%%% Helpers

file(CallIds) -> file_of([call_flow_fixture:sip(call_flow_fixture:invite(CallId)) || CallId <- CallIds]).

file_of(Packets) ->
    {Records, _} = lists:mapfoldl(
        fun(Hep, Writer) ->
            {ok, Record, Next} = hep_pcap:record(Hep, Writer),
            {Record, Next}
        end,
        hep_pcap:writer(),
        Packets
    ),
    iolist_to_binary([hep_pcap:header() | Records]).

changed(File) ->
    At = rand:uniform(byte_size(File)) - 1,
    <<Before:At/binary, _, After/binary>> = File,
    <<Before/binary, (rand:uniform(256) - 1), After/binary>>.

uploaded(File) ->
    Id = start(byte_size(File)),
    {200, _, _} = part(Id, 0, File),
    done(Id).

start(Bytes) ->
    {200, _, Body} = post("/api/upload?name=a.pcap&bytes=" ++ integer_to_list(Bytes), ?HEADER, <<>>),
    #{<<"source">> := Id} = decode(Body),
    binary_to_list(Id).

part(Id, Offset, Bytes) ->
    post("/api/upload/" ++ Id ++ "?offset=" ++ integer_to_list(Offset), ?HEADER, Bytes).

done(Id) ->
    until(fun() ->
        case call_flow_fixture:json("/api/state?source=" ++ Id) of
            #{<<"source">> := #{<<"state">> := <<"done">>}} = State -> State;
            _ -> false
        end
    end).
