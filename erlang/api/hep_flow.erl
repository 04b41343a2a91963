%% @doc Calls and their ladders: groups decoded packets by call, sums up a call, and lays its packets out as the arrows
%% of a ladder diagram.
%%
%% ```
%% 1> Calls = maps:groups_from_list(fun hep_flow:key/1, Packets).       % OTP 25
%% 2> #{<<"a84b4c76">> := Call} = Calls.
%% 3> hep_flow:summary(Call).
%% #{method => <<"INVITE">>,state => answered,status => 200,messages => 7, ...}
%% 4> #{hosts := Hosts, arrows := Arrows} = hep_flow:ladder(Call).
%% 5> hd(Arrows).
%% #{from => 1,to => 2,kind => request,label => <<"INVITE">>,packet => 1, ...}
%% '''
%%
%% The functions are pure. They accept any payload: an unreadable one becomes an arrow of kind `other'. Times are
%% microseconds since the epoch; indices count from 1, as for `lists:nth/2'.
%%
%% A server with many calls keeps a {@type call()} for each, and adds each packet to it: {@link new/0},
%% {@link add/2}, {@link summary/1}. Besides its Call-ID a call takes at most about 8 KB, whatever its packets contain.
-module(hep_flow).

-include("hep.hrl").

-export([key/1, links/1]).
-export([ladder/1, ladder/2]).
-export([new/0, add/2, summary/1]).

-export_type([key/0, options/0, ladder/0, host/0, arrow/0, kind/0]).
-export_type([call/0, summary/0, state/0, address/0]).

-type key() :: binary().
%% The Call-ID of SIP, or the correlation id of a packet without one. Compared byte by byte.

-type options() :: #{hosts => auto | address | port}.
%% <dl>
%% <dt>`hosts'</dt><dd>what a host of the ladder is: `address', an IP address; `port', an IP address with a port; `auto'
%%   (default), an address, and an address with a port where SIP is sent from an address to itself</dd>
%% </dl>

-type ladder() :: #{hosts := [host()], arrows := [arrow()]}.
%% <dl>
%% <dt>`hosts'</dt><dd>in the order of their first packet</dd>
%% <dt>`arrows'</dt><dd>in the order of time. Packets of equal time stay in the order of the argument; a packet without
%%   a time follows the previous one</dd>
%% </dl>

-type host() :: #{
    address := inet:ip_address() | undefined,
    port := inet:port_number() | undefined,
    label := binary()
}.
%% <dl>
%% <dt>`address'</dt><dd>`undefined' for packets without addresses</dd>
%% <dt>`port'</dt><dd>`undefined' where the host is an address</dd>
%% <dt>`label'</dt><dd>text to show: `192.0.2.1', `[2001:db8::1]:5060', or `?' for packets without addresses</dd>
%% </dl>

-type kind() :: request | response | rtcp | rtp | log | other.
%% `request' and `response' are SIP. `rtp' and `rtcp' include the reports about them. `other' means all other payload
%% types, and SIP payloads that cannot be read.

-type arrow() :: #{
    time := Microseconds :: integer() | undefined,
    from := pos_integer(),
    to := pos_integer(),
    kind := kind(),
    label := binary(),
    packet := pos_integer(),
    call := key() | undefined,
    sdp := boolean(),
    retransmission := boolean(),
    duplicate := boolean(),
    method => binary(),
    status => 100..999,
    cseq => hep:uint32()
}.
%% <dl>
%% <dt>`time'</dt><dd>the time of the packet, or `undefined'</dd>
%% <dt>`from', `to'</dt><dd>indices in the hosts</dd>
%% <dt>`kind'</dt><dd>see {@link kind()}</dd>
%% <dt>`label'</dt><dd>the method, the status with its reason, the first line of a log, or the name of the payload type:
%%   up to 255 bytes of any value</dd>
%% <dt>`packet'</dt><dd>the index in the packets</dd>
%% <dt>`call'</dt><dd>the key of the packet's call, see {@link key/1}</dd>
%% <dt>`sdp'</dt><dd>whether the body, or one of its parts, is a session description</dd>
%% <dt>`retransmission'</dt><dd>whether the same capture agent has reported the same message between the same addresses
%%   before</dd>
%% <dt>`duplicate'</dt><dd>whether another capture agent has</dd>
%% <dt>`method', `status', `cseq'</dt><dd>SIP only: the method, in a response that of the CSeq; the status of a
%%   response; the number of the CSeq</dd>
%% </dl>
%% Two messages are the same when start line, CSeq, topmost Via branch, tags, RSeq and Content-Length are equal, and,
%% without a branch, all bytes.

-type address() :: #{uri => binary(), display => binary(), user => binary(), host => binary(), port => inet:port_number()}.
%% `uri', `display', `user', `host' and `port' as in {@link hep_sip:summary/1}. Values are copies of up to 255 bytes.

-type state() :: trying | ringing | answered | completed | cancelled | redirected | rejected | failed.
%% Of a call: `trying', no response but 100 yet; `ringing', another provisional response; `answered', a 2xx to INVITE;
%% `completed', BYE after that; `cancelled', CANCEL before the answer, or 487; `redirected', 3xx; `rejected', 4xx or
%% 6xx; `failed', 408 or 5xx. A new INVITE after a negative response, with credentials for example, is `trying' again.
%% Other methods: `completed' by a 2xx. CANCEL and negative responses count only between the caller and its next hop,
%% since a proxy may try several destinations.

-type summary() :: #{
    packets := non_neg_integer(),
    messages := non_neg_integer(),
    methods := #{binary() => pos_integer()},
    start := Microseconds :: integer() | undefined,
    stop := Microseconds :: integer() | undefined,
    duration := Microseconds :: non_neg_integer() | undefined,
    method => binary(),
    state => state(),
    status => 100..999,
    reason => binary(),
    call_id => key(),
    from => address(),
    to => address(),
    source => {inet:ip_address() | undefined, inet:port_number() | undefined},
    destination => {inet:ip_address() | undefined, inet:port_number() | undefined}
}.
%% The optional keys need SIP.
%% <dl>
%% <dt>`packets', `messages'</dt><dd>the number of all packets, and of those with SIP</dd>
%% <dt>`methods'</dt><dd>the number of requests by method, for 16 methods; others are counted in `messages' only</dd>
%% <dt>`start', `stop'</dt><dd>the first and the last time</dd>
%% <dt>`duration'</dt><dd>the time from the answer to the BYE, once there are both</dd>
%% <dt>`method'</dt><dd>INVITE if there was one, otherwise the method of the first message</dd>
%% <dt>`state'</dt><dd>see {@link state()}</dd>
%% <dt>`status', `reason'</dt><dd>of the latest response to the method that counts for the state</dd>
%% <dt>`call_id', `from', `to', `source', `destination'</dt><dd>of the first message</dd>
%% </dl>

-opaque call() :: hep_flow_call:call().
%% The state of a call.

%%% What belongs together

%% @doc Returns the key of a packet's call: the Call-ID of its SIP message, otherwise its correlation id, or `undefined'
%% without both. A sub-binary of the packet: copy keys that you store.
-spec key(hep:hep()) -> key() | undefined.
key(Hep) -> key(Hep, sip(Hep)).

key(_, #{call_id := CallId}) when CallId =/= <<>> ->
    CallId;
key(Hep, _) ->
    case hep:correlation_id(Hep) of
        <<>> -> undefined;
        Id -> Id
    end.

%% @doc Returns the keys of other calls that the packet names, such as the other leg of a back-to-back user agent. They
%% come from the headers X-Call-ID and X-CID and, for SIP, from a correlation id that differs from the Call-ID.
-spec links(hep:hep()) -> [key()].
links(#hep{payload_type = 1, payload = Payload} = Hep) ->
    Named = lists:append([values(Name, Payload) || Name <- [<<"X-Call-ID">>, <<"X-CID">>]]),
    lists:usort([Id || Id <- [hep:correlation_id(Hep) | Named], Id =/= undefined, Id =/= <<>>]) -- [key(Hep)];
links(#hep{}) ->
    [];
links(Hep) ->
    erlang:error(badarg, [Hep]).

values(Name, Payload) ->
    case hep_sip:header(Name, Payload) of
        {ok, Values} -> Values;
        {error, _} -> []
    end.

%% The summary of a SIP message, `none' if the packet has none.
sip(#hep{payload_type = 1, payload = Payload}) ->
    case hep_sip:summary(Payload) of
        {ok, Summary} -> Summary;
        {error, _} -> none
    end;
sip(#hep{}) ->
    none;
sip(Hep) ->
    erlang:error(badarg, [Hep]).

%%% The ladder

-record(read, {time :: integer() | undefined, index :: pos_integer(), hep :: hep:hep(), sip = none :: hep_sip:summary() | none}).

%% @doc Returns the ladder of packets.
-spec ladder([hep:hep()]) -> ladder().
ladder(Packets) -> ladder(Packets, #{}).

%% @doc Returns the ladder of packets, with options. Raises `badarg' when an option is wrong.
-spec ladder([hep:hep()], options()) -> ladder().
ladder(Packets, Options) when length(Packets) >= 0, is_map(Options) ->
    case maps:merge(#{hosts => auto}, Options) of
        #{hosts := By} = All when map_size(All) =:= 1, (By =:= auto orelse By =:= address orelse By =:= port) ->
            Reads = [Read#read{sip = sip(Read#read.hep)} || Read <- sorted(timed(Packets))],
            Split = split(By, Reads),
            Step = fun(Read, State) -> arrow(Read, Split, State) end,
            {Arrows, {Hosts, _}} = lists:mapfoldl(Step, {#{}, #{}}, Reads),
            #{hosts => hosts(Hosts), arrows => Arrows};
        _ ->
            erlang:error(badarg, [Packets, Options])
    end;
ladder(Packets, Options) ->
    erlang:error(badarg, [Packets, Options]).

timed(Packets) ->
    [#read{time = time(Hep), index = Index, hep = Hep} || {Index, Hep} <- lists:enumerate(Packets)].

time(#hep{timestamp = undefined}) -> undefined;
time(#hep{timestamp = {Mega, Seconds, Micros}}) when is_integer(Mega), is_integer(Seconds), is_integer(Micros) ->
    (Mega * 1000000 + Seconds) * 1000000 + Micros;
time(Hep) -> erlang:error(badarg, [Hep]).

%% A packet without a time is sorted by the time of the previous one.
sorted(Reads) ->
    {Timed, _} = lists:mapfoldl(
        fun
            (#read{time = undefined} = Read, Last) -> {{Last, Read}, Last};
            (#read{time = Time} = Read, _) -> {{Time, Read}, Time}
        end,
        %% Smaller than any time.
        -1 bsl 64,
        Reads
    ),
    [Read || {_, Read} <- lists:keysort(1, Timed)].

%% Whether an address is split into hosts by port.
split(address, _) -> fun(_) -> false end;
split(port, _) -> fun(_) -> true end;
split(auto, Reads) ->
    Loops = maps:from_list([{Ip, true} || #read{sip = #{}, hep = #hep{src_ip = Ip, dst_ip = Ip}} <- Reads]),
    fun(Ip) -> is_map_key(Ip, Loops) end.

arrow(#read{hep = Hep} = Read, Split, {Hosts, Seen}) ->
    {[From, To], NextHosts} = lists:mapfoldl(fun index/2, Hosts, ends(Hep, Split)),
    {Copy, NextSeen} = copy(Read, Seen),
    Arrow = #{
        time => Read#read.time,
        from => From,
        to => To,
        packet => Read#read.index,
        call => key(Hep, Read#read.sip)
    },
    {maps:merge(maps:merge(Arrow, Copy), shown(Read)), {NextHosts, NextSeen}}.

index(Host, Hosts) ->
    case Hosts of
        #{Host := Index} -> {Index, Hosts};
        #{} -> {map_size(Hosts) + 1, Hosts#{Host => map_size(Hosts) + 1}}
    end.

%% A packet with one address only, a log for example, is an arrow from it to itself.
ends(#hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort}, Split) ->
    [Source, Destination] = [host(Ip, Port, Split) || {Ip, Port} <- [{Src, SrcPort}, {Dst, DstPort}]],
    case {Src, Dst} of
        {undefined, _} -> [Destination, Destination];
        {_, undefined} -> [Source, Source];
        _ -> [Source, Destination]
    end.

host(Ip, Port, Split) ->
    case Split(Ip) of
        true -> {Ip, Port};
        false -> {Ip, undefined}
    end.

hosts(Hosts) ->
    [
        #{address => Ip, port => Port, label => unicode:characters_to_binary(label(Ip, Port))}
     || {{Ip, Port}, _} <- lists:keysort(2, maps:to_list(Hosts))
    ].

label(undefined, _) -> "?";
label(Ip, undefined) -> inet:ntoa(Ip);
label(Ip, Port) when tuple_size(Ip) =:= 8 -> io_lib:format("[~s]:~b", [inet:ntoa(Ip), Port]);
label(Ip, Port) -> io_lib:format("~s:~b", [inet:ntoa(Ip), Port]).

%% Whether the message was seen before, from the same agent or from another one.
copy(#read{sip = none}, Seen) ->
    {#{retransmission => false, duplicate => false}, Seen};
copy(#read{hep = Hep, sip = Sip}, Seen) ->
    #hep{src_ip = Src, src_port = SrcPort, dst_ip = Dst, dst_port = DstPort, node_id = Id} = Hep,
    Message = {Src, SrcPort, Dst, DstPort, identity(Sip, Hep#hep.payload)},
    Reported = {Message, Id, hep:node_name(Hep)},
    Again = is_map_key(Reported, Seen),
    {
        #{retransmission => Again, duplicate => not Again andalso is_map_key(Message, Seen)},
        Seen#{Message => true, Reported => true}
    }.

%% A branch is unique if it begins with the cookie of RFC 3261, section 8.1.1.7.
identity(#{via_branch := <<"z9hG4bK", _/binary>>} = Sip, Payload) ->
    Parts = maps:with([method, uri, status, reason, cseq, via_branch, content_length], Sip),
    {Parts, tag(from, Sip), tag(to, Sip), reliable(Sip, Payload)};
identity(_, Payload) ->
    Payload.

tag(Party, Sip) ->
    case Sip of
        #{Party := #{tag := Tag}} -> Tag;
        #{} -> undefined
    end.

%% RFC 3262: provisional responses that are sent reliably are numbered.
reliable(#{status := Status}, Payload) when Status < 200 -> values(<<"RSeq">>, Payload);
reliable(_, _) -> [].

%% The shown parts of an arrow.
shown(#read{sip = #{kind := Kind} = Sip, hep = #hep{payload = Payload}}) ->
    CSeq = maps:get(cseq, Sip, {undefined, undefined}),
    Shown = #{
        kind => Kind,
        label => hep_flow_call:text(message_label(Sip)),
        sdp => is_sdp(Sip, Payload),
        method => maps:get(method, Sip, element(2, CSeq)),
        status => maps:get(status, Sip, undefined),
        cseq => element(1, CSeq)
    },
    maps:filter(fun(_, Value) -> Value =/= undefined end, Shown);
shown(#read{hep = Hep}) ->
    Type = hep:payload_type(Hep),
    Kind = kind(Type),
    #{kind => Kind, label => hep_flow_call:text(label(Kind, Type, Hep#hep.payload)), sdp => false}.

message_label(#{kind := request, method := Method}) -> Method;
message_label(#{kind := response, status := Status, reason := <<>>}) -> integer_to_binary(Status);
message_label(#{kind := response, status := Status, reason := Reason}) ->
    <<(integer_to_binary(Status))/binary, " ", (hep_flow_call:text(Reason))/binary>>.

is_sdp(#{content_length := 0}, _) -> false;
is_sdp(#{content_type := Type}, Payload) -> is_sdp_type(media_type(Type), Payload);
is_sdp(_, _) -> false.

is_sdp_type(<<"application/sdp">>, _) -> true;
is_sdp_type(<<"multipart/", _/binary>>, Payload) ->
    re:run(Payload, "\\ncontent-type[ \\t]*:\\s*application/sdp(?:[\\s;]|$)", [caseless]) =/= nomatch;
is_sdp_type(_, _) -> false.

%% Without parameters.
media_type(Type) -> lowercase(hd(binary:split(hep_flow_call:text(Type), [<<";">>, <<" ">>, <<"\t">>]))).

%% ASCII only: the other bytes may be anything.
lowercase(Bytes) -> <<<<(if C >= $A, C =< $Z -> C + 32; true -> C end)>> || <<C>> <= Bytes>>.

kind(Type) when Type =:= rtcp; Type =:= rtcp_pion -> rtcp;
kind(Type) when Type =:= rtp; Type =:= mos_full; Type =:= mos_short -> rtp;
kind(log) -> log;
kind(_) -> other.

label(log, _, Payload) -> hd(binary:split(hep_flow_call:text(Payload), [<<"\r">>, <<"\n">>]));
label(_, sip, <<>>) -> <<"empty">>;
label(_, sip, _) -> <<"not SIP">>;
label(_, Type, _) when is_atom(Type) -> string:uppercase(atom_to_binary(Type));
label(_, Type, _) -> <<"type ", (integer_to_binary(Type))/binary>>.

%%% The summary of a call

%% @doc Returns a call without packets.
-spec new() -> call().
new() -> hep_flow_call:new().

%% @doc Adds a packet to a call. Packets should be added roughly in the order of their times.
-spec add(hep:hep(), call()) -> call().
add(Hep, Call) -> hep_flow_call:add(Hep, sip(Hep), time(Hep), Call).

%% @doc Returns the summary of a call, or of a list of packets of a call. The packets of a list are sorted by time
%% first.
-spec summary(call() | [hep:hep()]) -> summary().
summary(Packets) when length(Packets) >= 0 ->
    summary(lists:foldl(fun add/2, new(), [Hep || #read{hep = Hep} <- sorted(timed(Packets))]));
summary(Call) ->
    hep_flow_call:summary(Call).
