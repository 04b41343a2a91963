%% @doc The application. Its options come from its environment and from the variables listed in the README.
-module(forwarder_app).

-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    Listener = maps:merge(get_env(listener), maps:from_list(port("PORT", fun(Port) -> {port, Port} end))),
    Sender = sender(get_env(sender)),
    case forwarder_sup:start_link(Listener, Sender, get_env(drop)) of
        {ok, _} = Started ->
            logger:notice("Forwarding from UDP port ~b to ~tp", [
                hep_listener:port(forwarder_listener), maps:get(targets, Sender)
            ]),
            Started;
        Error ->
            Error
    end.

stop(_State) ->
    ok.

get_env(Name) ->
    {ok, Value} = application:get_env(forwarder, Name),
    Value.

sender(#{targets := [{Host, Port} | _]} = Options) ->
    Targets =
        case {os:getenv("TARGET_HOST"), port("TARGET_PORT", fun(Number) -> Number end)} of
            {false, []} -> [];
            {false, [Number]} -> [{targets, [{Host, Number}]}];
            {Name, Number} -> [{targets, [{Name, hd(Number ++ [Port])}]}]
        end,
    Keys = [{auth_key, list_to_binary(Key)} || Key <- variable("AUTH_KEY")],
    Tls = [{tls, [{cacertfile, File} | maps:get(tls, Options, [])]} || File <- variable("CACERTFILE")],
    maps:merge(Options, maps:from_list(Targets ++ Keys ++ Tls)).

port(Name, Option) ->
    [Option(list_to_integer(Text)) || Text <- variable(Name)].

%% A list of the variable's value, if it is set.
variable(Name) ->
    [Value || Value <- [os:getenv(Name, "")], Value =/= ""].
