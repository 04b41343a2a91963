%% @doc Packets, a running application, and HTTP requests for the tests.
-module(call_flow_fixture).

-include_lib("hep/include/hep.hrl").

-export([invite/1, invite/2, response/3, hep/2, sip/1, source/0]).
-export([start/1, stop/1, send/1, fetch/1, fetch/2, post/3, json/1, until/1, folder/0, decode/1]).

%%% Packets

invite(CallId) ->
    invite(CallId, #{}).

invite(CallId, Headers) ->
    From = maps:get(from, Headers, <<"<sip:alice@example.org>;tag=1">>),
    message(<<"INVITE sip:bob@example.org SIP/2.0">>, <<"1 INVITE">>, CallId, From, maps:get(more, Headers, <<>>)).

response(CallId, Status, Reason) ->
    Line = <<"SIP/2.0 ", (integer_to_binary(Status))/binary, " ", Reason/binary>>,
    message(Line, <<"1 INVITE">>, CallId, <<"<sip:alice@example.org>;tag=1">>, <<>>).

message(Line, CSeq, CallId, From, More) ->
    iolist_to_binary([
        Line,
        "\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: ", From,
        "\r\nTo: <sip:bob@example.org>\r\nCall-ID: ", CallId, "\r\nCSeq: ", CSeq, "\r\n", More,
        "Content-Length: 0\r\n\r\n"
    ]).

%% The packet of a message.
sip(<<"SIP/2.0 ", _/binary>> = Response) -> back(hep(sip, Response));
sip(Request) -> hep(sip, Request).

hep(Type, Payload) ->
    Hep = hep:payload_type(Type, hep:payload(Payload, hep:new())),
    hep:dst_port(5060, hep:dst_ip({198, 51, 100, 7}, hep:src_port(5060, hep:src_ip({192, 0, 2, 1}, hep:protocol(17, Hep))))).

%% A response goes in the opposite direction.
back(#hep{src_ip = Source, dst_ip = Destination} = Hep) ->
    Hep#hep{src_ip = Destination, dst_ip = Source}.

%% The meta that the handler adds to a packet.
source() ->
    #{source => {{127, 0, 0, 1}, 4000}, time => erlang:system_time(microsecond), transport => udp}.

%%% The application

start(Env) ->
    {ok, _} = application:ensure_all_started(inets),
    Defaults = #{listeners => [#{ip => {127, 0, 0, 1}, port => 0}], http => #{port => 0}},
    ok = application:set_env([{call_flow, maps:to_list(maps:merge(Defaults, Env))}], [{persistent, true}]),
    ok = logger:set_primary_config(level, none),
    {ok, _} = application:ensure_all_started(call_flow),
    ok.

stop(_) ->
    ok = application:stop(call_flow),
    ok = application:unload(call_flow),
    logger:set_primary_config(level, notice).

send(Payloads) ->
    {ok, Socket} = gen_udp:open(0, [binary]),
    lists:foreach(
        fun(Hep) ->
            {ok, Packet} = hep:encode(Hep),
            ok = gen_udp:send(Socket, {127, 0, 0, 1}, call_flow:port(), Packet)
        end,
        Payloads
    ),
    gen_udp:close(Socket).

fetch(Path) ->
    fetch(Path, []).

fetch(Path, Headers) ->
    request(get, {call_flow:url() ++ Path, Headers}).

post(Path, Headers, Body) ->
    request(post, {call_flow:url() ++ Path, Headers, "application/octet-stream", Body}).

request(Method, Request) ->
    {ok, {{_, Code, _}, Headers, Body}} = httpc:request(Method, Request, [{timeout, 5000}], [{body_format, binary}]),
    {Code, Headers, Body}.

%% The body of a successful answer, read with OTP's json or with jiffy.
json(Path) ->
    {200, _, Body} = fetch(Path),
    decode(Body).

decode(Body) ->
    case code:ensure_loaded(json) of
        {module, json} -> json:decode(Body);
        _ -> jiffy:decode(Body, [return_maps])
    end.

%% Calls the function until it returns anything but `false', for at most five seconds.
until(Fun) ->
    until(Fun, 100).

until(Fun, Left) ->
    case Fun() of
        false when Left > 0 ->
            timer:sleep(50),
            until(Fun, Left - 1);
        Result ->
            Result
    end.

folder() ->
    Name = "call_flow_test_" ++ integer_to_list(erlang:unique_integer([positive])) ++ "_" ++ os:getpid(),
    filename:join(os:getenv("TMPDIR", "/tmp"), Name).
