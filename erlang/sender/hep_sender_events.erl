%% @private
%% The telemetry events of `hep_sender', which describes them.
-module(hep_sender_events).

-export([up/2, down/3, dropped/4, spool/4]).

%% What all events have: `sender' and `transport'.
-type common() :: #{atom() => term()}.

-spec up(hep_sender:target(), common()) -> ok.
up(Target, Common) ->
    execute(up, #{count => 1}, #{target => Target}, Common).

-spec down(hep_sender:target(), Reason :: term(), common()) -> ok.
down(Target, Reason, Common) ->
    execute(down, #{count => 1}, #{target => Target, reason => Reason}, Common).

-spec dropped(hep_sender_queue:dropped(), Reason :: term(), [hep_sender:target()], common()) -> ok.
dropped({Packets, Bytes}, Reason, Targets, Common) ->
    execute(dropped, #{count => Packets, bytes => Bytes}, #{targets => Targets, reason => Reason}, Common).

%% Reports what changed between two answers of a spool.
-spec spool(hep_spool:info(), hep_spool:info(), [hep_sender:target()], common()) -> ok.
spool(#{dropped := Before}, #{dropped := Dropped}, Targets, Common) when Dropped > Before ->
    execute(spool_dropped, #{count => Dropped - Before}, #{targets => Targets}, Common);
spool(#{errors := Before}, #{errors := Errors, last_error := Reason}, Targets, Common) when Errors > Before ->
    execute(spool_error, #{count => Errors - Before}, #{targets => Targets, reason => Reason}, Common);
spool(_, _, _, _) ->
    ok.

execute(Event, Measurements, Metadata, Common) ->
    hep_telemetry:execute([hep, sender, Event], Measurements, maps:merge(Common, Metadata)).
