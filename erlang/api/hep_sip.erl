%% @doc Reads the parts of a SIP message that a capture tool shows, in one call and without copying.
%%
%% ```
%% 1> {ok, Hep} = hep:decode(Packet).
%% 2> {ok, #{method := Method, call_id := CallId}} = hep_sip:summary(Hep).
%% 3> hep_sip:header(<<"Route">>, Hep).
%% {ok,[<<"<sip:10.0.0.1;lr>">>]}
%% '''
%%
%% The functions take a decoded packet or its payload. They follow RFC 3261 and are lenient, since a capture tool shows
%% what was sent: compact header names, names in any case, folded headers, bare line feeds and invalid UTF-8 are
%% accepted. A message that is truncated after its first line is read up to its end. Header names are compared without
%% regard to case; a compact name equals its long form.
%%
%% All binaries are sub-binaries of the payload and keep it in memory: copy those that you store (`binary:copy/1'). A
%% folded header is a copy, with single spaces in place of the line breaks.
-module(hep_sip).

-include("hep.hrl").

-export([summary/1, header/2, headers/1, format_error/1]).

-export_type([summary/0, address/0, reason/0]).

-type summary() :: #{
    kind := request | response,
    method => binary(),
    uri => binary(),
    status => 100..999,
    reason => binary(),
    call_id => binary(),
    cseq => {Number :: hep:uint32(), Method :: binary()},
    from => address(),
    to => address(),
    via_branch => binary(),
    user_agent => binary(),
    content_type => binary(),
    content_length => hep:uint32()
}.
%% <dl>
%% <dt>`kind'</dt><dd>a request or a response</dd>
%% <dt>`method', `uri'</dt><dd>requests only</dd>
%% <dt>`status', `reason'</dt><dd>responses only; the reason may be empty</dd>
%% <dt>`via_branch'</dt><dd>the branch of the topmost Via</dd>
%% <dt>`user_agent'</dt><dd>the header User-Agent, or else Server</dd>
%% <dt>`call_id', `cseq', `from', `to', `content_type', `content_length'</dt><dd>present when the message has the
%%   header; the first of several headers counts</dd>
%% </dl>

-type address() :: #{
    uri := binary(),
    display => binary(),
    user => binary(),
    host => binary(),
    port => inet:port_number(),
    tag => binary()
}.
%% <dl>
%% <dt>`uri'</dt><dd>the whole URI</dd>
%% <dt>`display'</dt><dd>the display name, without quotation marks; escapes in it stay</dd>
%% <dt>`user'</dt><dd>the user of the URI, or the number of a `tel' URI</dd>
%% <dt>`host', `port'</dt><dd>of the URI; the host is as written, so an IPv6 address keeps its brackets</dd>
%% <dt>`tag'</dt><dd>the tag of From or To</dd>
%% </dl>

-type reason() :: empty | not_sip | truncated.
%% `empty': only line breaks, which some endpoints send as a keep-alive. `not_sip': the first line is neither a
%% request line nor a status line. `truncated': the message ends inside its first line.

%% @doc Returns the fields that a capture tool shows of a message. Raises `badarg' for anything but a packet or a
%% binary.
-spec summary(hep:hep() | binary()) -> {ok, summary()} | {error, reason()}.
summary(#hep{payload = Payload}) -> summary(Payload);
summary(Payload) -> hep_nif:sip_summary(Payload, hep_size:binary(Payload)).

%% @doc Returns the values of all headers with the name, in order.
-spec header(Name :: binary(), hep:hep() | binary()) -> {ok, [binary()]} | {error, reason()}.
header(Name, #hep{payload = Payload}) -> header(Name, Payload);
header(Name, Payload) -> hep_nif:sip_header(Name, Payload, hep_size:binary(Payload) + hep_size:binary(Name)).

%% @doc Returns all headers, in order, with their names as written.
-spec headers(hep:hep() | binary()) -> {ok, [{Name :: binary(), Value :: binary()}]} | {error, reason()}.
headers(#hep{payload = Payload}) -> headers(Payload);
headers(Payload) -> hep_nif:sip_headers(Payload, hep_size:binary(Payload)).

%% @doc Describes a reason in a sentence. Raises `badarg' for any other term.
-spec format_error(reason()) -> string().
format_error(empty) -> "the message is empty";
format_error(not_sip) -> "not a SIP message: the first line is neither a request line nor a status line";
format_error(truncated) -> "truncated: the message ends inside its first line";
format_error(_) -> erlang:error(badarg).
