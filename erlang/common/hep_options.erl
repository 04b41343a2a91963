%% @private What the options of `hep_listener', `hep_sender' and `hep_port' have in common.
-module(hep_options).

-export([is_name/1, is_tls_versions/1, tls_versions/0, all/2]).

%% @doc Whether a process can be registered as this.
-spec is_name(term()) -> boolean().
is_name({local, Name}) -> is_atom(Name) andalso Name =/= undefined;
is_name({global, _}) -> true;
is_name({via, Module, _}) -> is_atom(Module);
is_name(_) -> false.

%% @doc Whether there is one at all: with none OTP 25 would look for a cipher suite for ever.
-spec is_tls_versions(term()) -> boolean().
is_tls_versions(Versions) -> Versions =/= [].

%% @doc Those that are spoken where the user does not say.
-spec tls_versions() -> [ssl:protocol_version()].
tls_versions() -> ['tlsv1.3', 'tlsv1.2'].

%% @doc Of a proper list; anything else is none.
-spec all(fun((term()) -> boolean()), term()) -> boolean().
all(Is, List) when length(List) >= 0 -> lists:all(Is, List);
all(_, _) -> false.
