%% @doc Compares the packets that hep writes with the fields that real receivers read, and
%% prints a table. Called by run.sh.
-module(hep_interop).

-export([main/1]).

%% The timeout of the whole run, in milliseconds.
-define(LIMIT, 240000).
%% The maximum number of printed failures.
-define(SHOWN, 20).
%% Rules of the fixtures that the protocol allows: no excuse for a receiver.
-define(HARMLESS, [<<"order">>, <<"chunks">>, <<"vendor">>, <<"payload-type">>]).

-type verdict() :: ok | refused | {wrong, [atom()]} | died | stuck | lost.

%% @doc `[Directory, Port | Receivers]', a receiver being `Name=Version'. Halts with 0 unless a receiver
%% reads something wrong in hep's packets that it reads right in others.
-spec main([string()]) -> no_return().
main([Directory, Port | Named]) ->
    ok = io:setopts([{encoding, unicode}]),
    {ok, _} = timer:apply_after(?LIMIT, erlang, apply, [fun() -> io:format("It takes too long.~n"), halt(1) end, []]),
    Packets = hep_interop_packets:all(),
    ok = hep_interop_packets:save(filename:join(Directory, "packets"), Packets),
    Receivers = [list_to_tuple(string:split(Name, "=")) || Name <- Named],
    Ran = lists:append([run(Receiver, {Directory, list_to_integer(Port)}, Packets) || Receiver <- Receivers]),
    ok = file:write_file(filename:join(Directory, "results.eterm"), [
        io_lib:format("~tp.~n", [{Name, maps:without([bytes, meaning], Packet), Verdict}])
        || {Name, Packet, Verdict} <- Ran
    ]),
    halt(report(Receivers, Ran)).

%%% Running

%% The result of each packet in the receiver: `{Receiver, Packet, Verdict}'.
run({Name, _}, Where, Packets) ->
    lists:append([
        begin
            Own = [Packet || Packet <- Packets, takes(Instance, Packet)],
            case hep_interop_receiver:feed(Instance, Where, [Bytes || #{bytes := Bytes} <- Own]) of
                {ok, Results} ->
                    Missing = lists:duplicate(length(Own) - length(Results), lost),
                    [
                        {Name, Packet, verdict(Name, Packet, Result)}
                        || {Packet, Result} <- lists:zip(Own, Results ++ Missing)
                    ];
                {error, Why} ->
                    io:format("~ts does not run:~n~ts~n", [Name, Why]),
                    [{Name, Packet, lost} || Packet <- Own]
            end
        end
        || Instance <- instances(Name)
    ]).

%% sngrep listens for one version at a time.
instances("Kamailio") -> [kamailio];
instances("sngrep") -> [{sngrep, 2}, {sngrep, 3}, {sngrep, {password, "interop"}}];
instances("hep-js") -> [hep_js].

takes({sngrep, {password, Password}}, #{password := Password}) -> true;
takes({sngrep, {password, _}}, _) -> false;
takes(_, #{password := _}) -> false;
takes({sngrep, 3}, #{version := Version}) -> Version =:= 3;
takes({sngrep, 2}, #{version := Version}) -> Version < 3;
takes(_, _) -> true.

%%% Judging

-spec verdict(string(), hep_interop_packets:packet(), hep_interop_receiver:result() | lost) -> verdict().
verdict(_, #{refuse := true}, {read, []}) -> ok;
verdict(_, #{refuse := true}, {read, [_ | _]}) -> {wrong, [auth_key]};
verdict(_, _, {read, []}) -> refused;
verdict(Name, Packet, {read, [Row]}) ->
    Shown = shown(Name, Packet),
    case [Field || {Field, Value} <- maps:to_list(Shown), not same(Value, maps:get(Field, Row, none))] of
        [] -> ok;
        Fields -> {wrong, Fields}
    end;
verdict(_, _, {read, _}) -> {wrong, [packets]};
verdict(_, _, Failed) -> Failed.

same({sha256, Length, Digest}, Payload) when is_binary(Payload) ->
    byte_size(Payload) =:= Length andalso crypto:hash(sha256, Payload) =:= Digest;
same({then_zeros, Payload}, Read) ->
    Size = byte_size(Payload),
    case Read of
        <<Payload:Size/binary, Rest/binary>> -> Rest =:= binary:copy(<<0>>, byte_size(Rest));
        _ -> false
    end;
same(Value, Read) ->
    Value =:= Read.

%% The fields that the receiver shows of a packet.
shown("Kamailio", #{version := Version, meaning := Meaning}) ->
    Facts = maps:with(
        [src_ip, src_port, dst_ip, dst_port, family, protocol, time, capture_id, correlation_id, payload], Meaning
    ),
    %% Version 3 knows UDP and TCP, the other versions two more.
    Known = case Version of
        3 -> [6, 17];
        _ -> [6, 17, 22]
    end,
    Kind = maps:get(maps:get(payload_type, Meaning), #{5 => rtcp, 32 => report, 99 => report, 100 => log}, sip),
    Kept = case lists:member(maps:get(protocol, Meaning, none), Known) of
        true -> Facts;
        false -> maps:remove(protocol, Facts)
    end,
    Kept#{kind => Kind};
shown("sngrep", #{version := Version, meaning := #{payload := Payload} = Meaning}) ->
    Facts = case Meaning of
        #{family := 10} -> [src_port, dst_port, time, payload];
        _ -> [src_ip, src_port, dst_ip, dst_port, time, payload]
    end,
    Shown = maps:with(Facts, Meaning),
    %% It reads the header length of version 2 as the high byte of the total length: NUL bytes follow.
    case Version of
        2 -> Shown#{payload => {then_zeros, Payload}};
        _ -> Shown
    end;
shown("hep-js", #{meaning := Meaning}) ->
    Shown = case Meaning of
        #{family := 10} -> maps:without([src_ip, dst_ip], Meaning);
        _ -> Meaning
    end,
    %% It converts everything to text.
    maps:filter(fun(_, Value) -> not is_binary(Value) orelse is_list(unicode:characters_to_list(Value)) end, Shown).

%% The receiver's limits for a packet of any sender: a rejection, a crash, or wrong fields, each
%% with its cause.
-spec limits({Name :: string(), Version :: string()}, hep_interop_packets:packet()) ->
    [{refused | died | [atom()], string()}].
limits({"Kamailio", _}, #{version := Version, style := Style, meaning := Meaning} = Packet) ->
    #{payload := Payload, payload_type := Type} = Meaning,
    Needed = [protocol, src_ip, dst_ip, src_port, dst_port, time],
    Logged = Version =:= 3 andalso lists:member(Type, [5, 32, 99, 100]),
    known([
        {Style =:= documented, [time, capture_id],
            "Kamailio reads version 2's time header in host order, as style c writes it"},
        {is_packed(Packet), refused, "Kamailio reads no compressed payload (chunk 0x10)"},
        {not Logged andalso not is_sip(Payload), refused,
            "Kamailio takes whole SIP messages, and any payload of the types 5, 32, 99 and 100"},
        {Version =:= 3 andalso map_size(maps:with(Needed, Meaning)) < length(Needed), refused,
            "Kamailio wants addresses, ports, protocol and time"},
        {maps:get(time, Meaning, none) =:= {0, 0}, [time, capture_id], "Kamailio takes a time of 0 s for none"}
    ]);
limits({"sngrep", Sngrep}, #{version := Version, style := Style, bytes := Bytes, meaning := Meaning} = Packet) ->
    Payload = maps:get(payload, Meaning, <<>>),
    Is19 = is_since([1, 9], Sngrep),
    NoSip = not is_binary(Payload) orelse byte_size(Payload) > 10240 orelse not is_sip(Payload) orelse is_packed(Packet),
    IsResponse = Is19 andalso is_response(Payload),
    known([
        {Version =:= 1, refused, "sngrep has no version 1"},
        {Is19 andalso Version =:= 2 andalso binary:at(Bytes, 1) >= 48, refused,
            "sngrep 1.9 takes version 2's header length for the high byte of the packet's, and refuses 12 KiB"},
        {Is19 andalso NoSip, refused, "sngrep 1.9 takes SIP messages of up to 10 KiB only"},
        {IsResponse, refused, "sngrep 1.9 drops a response to a request that it has not seen, or crashes"},
        {IsResponse, died, "sngrep 1.9 drops a response to a request that it has not seen, or crashes"},
        {Style =:= documented, [time], "sngrep reads version 2's time header in host order, as style c writes it"},
        {Version =:= 2 andalso binary:at(Bytes, 1) * 256 < byte_size(Bytes), [payload],
            "sngrep takes version 2's header length for the high byte of the packet's, and cuts the payload"},
        {byte_size(Bytes) > 20480, [payload], "sngrep reads 20 KiB of a packet"},
        {is_packed(Packet), [payload], "sngrep reads no compressed payload (chunk 0x10)"}
    ]);
limits({"hep-js", _}, #{version := Version, meaning := Meaning} = Packet) ->
    known([
        {Version < 3, refused, "hep-js has version 3 only"},
        {is_packed(Packet), [payload], "hep-js reads no compressed payload (chunk 0x10)"},
        {maps:get(protocol, Meaning, 0) > 255, [protocol], "hep-js reads one byte of the protocol"},
        {true, vendors_facts(Packet), "hep-js takes a vendor's chunk for the generic one of its number"}
    ]).

%% Whether a version like "1.9.0" is at least this one.
is_since(Since, Version) ->
    [list_to_integer(Number) || Number <- string:tokens(Version, ".")] >= Since.

is_response(<<"SIP/2.0 ", _/binary>>) -> true;
is_response(_) -> false.

known(Limits) ->
    [{What, Why} || {true, What, Why} <- Limits].

is_explained(Verdict, Limits) when Verdict =:= refused; Verdict =:= died ->
    lists:keymember(Verdict, 1, Limits);
is_explained({wrong, Fields}, Limits) ->
    Fields -- lists:append([Facts || {Facts, _} <- Limits, is_list(Facts)]) =:= [];
is_explained(_, _) ->
    false.

%% The cause of the verdict, if known.
reasons(_, _, ok) ->
    [];
reasons(Receiver, Packet, Verdict) ->
    Limits = limits(Receiver, Packet),
    Whys = [Why || {What, Why} <- Limits, concerns(What, Verdict)],
    Rules = maps:get(rules, Packet, []) -- ?HARMLESS,
    case is_explained(Verdict, Limits) of
        false when Rules =/= [], Verdict =/= lost ->
            ["the fixture does not keep to the protocol: its rules in test/fixtures/manifest.json" | Whys];
        _ ->
            Whys
    end.

concerns(Verdict, Verdict) -> true;
concerns([_ | _] = Facts, {wrong, Fields}) -> Facts -- Fields =/= Facts;
concerns(_, _) -> false.

is_packed(Packet) ->
    lists:any(fun({Key, _}) -> Key =:= <<0:16, 16#10:16>> end, chunks(Packet)).

vendors_facts(Packet) ->
    Facts = #{
        1 => family, 2 => protocol, 3 => src_ip, 4 => dst_ip, 7 => src_port, 8 => dst_port, 9 => time, 10 => time,
        11 => payload_type, 12 => capture_id, 14 => auth_key, 15 => payload, 17 => correlation_id, 19 => node_name
    },
    [maps:get(Id, Facts) || {<<Vendor:16, Id:16>>, _} <- chunks(Packet), Vendor > 0, is_map_key(Id, Facts)].

chunks(#{version := 3, bytes := Bytes}) ->
    {ok, Parsed} = hep_multi_parser:parse(Bytes),
    hep:get_chunks(Parsed);
chunks(_) ->
    [].

is_sip(Payload) when is_binary(Payload) ->
    [Start | Headers] = binary:split(Payload, <<"\r\n">>),
    binary:match(Start, <<"SIP/2.0">>) =/= nomatch andalso
        lists:all(fun(Part) -> binary:match(iolist_to_binary(Headers), Part) =/= nomatch end, [
            <<"Via:">>, <<"From:">>, <<"To:">>, <<"Call-ID:">>, <<"CSeq:">>, <<"\r\n\r\n">>
        ]);
is_sip(_) ->
    false.

%%% The report

report(_, []) ->
    io:format("Nothing was tested.~n"),
    1;
report(Receivers, Unversioned) ->
    Versions = maps:from_list(Receivers),
    Ran = [{{Name, maps:get(Name, Versions)}, Packet, Verdict} || {Name, Packet, Verdict} <- Unversioned],
    Whys = lists:append([reasons(Receiver, Packet, Verdict) || {Receiver, Packet, Verdict} <- Ran]),
    Unique = lists:usort(Whys),
    Notes = lists:zip(Unique, lists:seq($a, $a + length(Unique) - 1)),
    table(Receivers, Ran, Notes),
    Controls = maps:from_list([{{Receiver, File}, V} || {Receiver, #{kind := control, name := File}, V} <- Ran]),
    Failures = [Result || Result <- Ran, is_failure(Result, Controls)],
    lists:foreach(fun failure/1, lists:sublist(Failures, ?SHOWN)),
    _ = [io:format("... and ~b more~n", [length(Failures) - ?SHOWN]) || length(Failures) > ?SHOWN],
    Own = [Verdict || {_, #{kind := Kind}, Verdict} <- Ran, Kind =/= control],
    Right = length([ok || ok <- Own]),
    io:format("~b packets written by hep: ~b read right, ~b beyond what the receiver can, ~b failures~n", [
        length(Own), Right, length(Own) - Right - length([F || {_, #{kind := K}, _} = F <- Failures, K =/= control]),
        length(Failures)
    ]),
    min(1, length(Failures) + length([none || Right =:= 0])).

%% For a rewritten fixture: the receiver reads the fixture right, but not hep's packet. For hep's own packets: the
%% receiver does not read them right, without a known cause.
is_failure({_, _, ok}, _) -> false;
is_failure({_, _, lost}, _) -> true;
is_failure({_, #{kind := control}, _}, _) -> false;
is_failure({Receiver, #{kind := written} = Packet, Verdict}, _) -> not is_explained(Verdict, limits(Receiver, Packet));
is_failure({Receiver, #{kind := again, name := File, style := Style} = Packet, Verdict}, Controls) ->
    maps:get({Receiver, File}, Controls) =:= ok andalso
        (Style =/= documented orelse not is_explained(Verdict, limits(Receiver, Packet))).

failure({{Name, _}, #{kind := Kind, sender := Sender, version := Version, style := Style, name := What}, Verdict}) ->
    io:format("FAILED ~ts: ~ts, version ~b~ts, ~ts~ts: ~ts~n", [
        Name, Sender, Version, style(Style), What, [" written by hep" || Kind =:= again], text(Verdict)
    ]).

text(refused) -> "refused";
text({wrong, Fields}) -> ["read wrong: ", lists:join(", ", [atom_to_list(Field) || Field <- Fields])];
text(died) -> "the receiver ended";
text(stuck) -> "the receiver answered no more";
text(lost) -> "not tested".

style(none) -> "";
style(Style) -> [" ", atom_to_list(Style)].

table(Receivers, Ran, Notes) ->
    Head = ["sender", "version" | [[Name, " ", Version] || {Name, Version} <- Receivers]],
    Lines = [
        [Sender, [integer_to_list(Version), style(Style), as(Kind)]] ++
            [
                cell(Receiver, [{P, V} || {R, P, V} <- Ran, R =:= Receiver, key(P) =:= Key], Notes)
                || Receiver <- Receivers
            ]
        || {_, Sender, Version, _, Style, Kind} = Key <- lists:usort([key(Packet) || {_, Packet, _} <- Ran])
    ],
    columns([Head | Lines]),
    io:nl(),
    lists:foreach(fun({Why, Letter}) -> io:format("(~c) ~ts~n", [Letter, Why]) end, Notes),
    io:nl().

%% Each column is as wide as its widest cell.
columns(Lines) ->
    Widths = lists:foldl(
        fun(Line, Widths) -> lists:zipwith(fun(Cell, Width) -> max(string:length(Cell), Width) end, Line, Widths) end,
        [0 || _ <- hd(Lines)],
        Lines
    ),
    lists:foreach(
        fun(Line) ->
            Padded = lists:zipwith(fun(Cell, Width) -> string:pad(Cell, Width + 2) end, Line, Widths),
            io:format("~ts~n", [string:trim(Padded, trailing)])
        end,
        Lines
    ).

%% hep's own packets first; of a sender, the fixtures before hep's packets.
key(#{kind := Kind, sender := Sender, version := Version, style := Style}) ->
    {Kind =/= written, Sender, Version, Kind =:= again, Style, Kind}.

as(written) -> "";
as(control) -> " as sent";
as(again) -> " by hep".

cell(Receiver, Results, Notes) ->
    Is = [case V of {wrong, _} -> wrong; _ -> V end || {_, V} <- Results],
    Words = [
        {ok, "ok"}, {refused, "refused"}, {wrong, "wrong"}, {died, "ended it"}, {stuck, "stopped it"}, {lost, "lost"}
    ],
    Counts = [
        [integer_to_list(Count), " ", Word]
        || {What, Word} <- Words, Count <- [length([W || W <- Is, W =:= What])], Count > 0
    ],
    Whys = lists:append([reasons(Receiver, Packet, Verdict) || {Packet, Verdict} <- Results]),
    Letters = lists:usort([Letter || {Why, Letter} <- Notes, lists:member(Why, Whys)]),
    [lists:join(", ", Counts), [[" (", lists:join(",", [[L] || L <- Letters]), ")"] || Letters =/= []]].
