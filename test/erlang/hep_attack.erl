%% @doc Attacks the API with mutated packets and random terms, in many processes that are killed, with forced garbage
%% collections and reloaded modules. Every result must be documented, and the memory must return to its initial size.
%% `make attack' runs it for a long time, {@link hep_attack_tests} briefly.
-module(hep_attack).

-include("hep.hrl").

-export([main/0, packets/1, requests/1, terms/1]).

-define(PROCESSES, 40).

%% `erl ... -eval 'hep_attack:main()' -extra PACKETS TERMS'
-spec main() -> no_return().
main() ->
    [Packets, Terms] = [list_to_integer(Number) || Number <- init:get_plain_arguments()],
    Resident = resident(),
    Ran = try
        ok = requests(Packets),
        {timer:tc(fun() -> packets(Packets) end), timer:tc(fun() -> terms(Terms) end)}
    catch
        Class:Reason:Stack ->
            io:format("~p~n~p~n", [{Class, Reason}, Stack]),
            halt(1)
    end,
    {{PacketTime, {Killed, Before, After}}, {TermTime, Called}} = Ran,
    io:format("~b mutated packets, ~b processes killed meanwhile: documented answers only, ~b s~n", [
        Packets, Killed, PacketTime div 1000000
    ]),
    io:format("~b requests with random terms: NIF and port agree~n", [Packets]),
    _ = Before > 0 andalso io:format("memory ~b KiB before, ~b KiB after~n", [Before div 1024, After div 1024]),
    io:format("~b random terms to each of ~b functions: documented answers only, ~b s~n", [
        Terms, Called, TermTime div 1000000
    ]),
    io:format("resident memory of the VM: ~ts before, ~ts after~n", [Resident, resident()]),
    halt().

%%% Mutated packets

%% Returns the number of killed processes, and the memory before and after.
-spec packets(pos_integer()) -> {non_neg_integer(), non_neg_integer(), non_neg_integer()}.
packets(Number) ->
    Corpus = list_to_tuple([hep_fixtures:bytes(File) || File <- hep_fixtures:files(), filelib:is_regular(path(File))]),
    {ok, Port} = hep_port:start_link(#{}),
    Before = memory(),
    Done = counters:new(1, [atomics]),
    Attack = fun() -> attack(Corpus, Port, Number, Done) end,
    Killed = supervise([spawn_monitor(Attack) || _ <- lists:seq(1, ?PROCESSES)], Attack, Number, Done, 0),
    After = settled(Before, 50),
    ok = hep_port:stop(Port),
    {Killed, Before, After}.

path(File) -> filename:join([hep_fixtures:top(), "test", "fixtures", File]).

%% Sometimes kills one of them, or reloads the modules.
supervise([], _Attack, _Number, _Done, Killed) ->
    Killed;
supervise(Workers, Attack, Number, Done, Killed) ->
    receive
        {'DOWN', Monitor, process, _, normal} ->
            supervise(lists:keydelete(Monitor, 2, Workers), Attack, Number, Done, Killed);
        {'DOWN', Monitor, process, _, killed} ->
            Others = lists:keydelete(Monitor, 2, Workers),
            supervise([spawn_monitor(Attack) | Others], Attack, Number, Done, Killed + 1);
        {'DOWN', _, process, _, Reason} ->
            error(Reason)
    after 20 ->
        {Pid, _} = lists:nth(rand:uniform(length(Workers)), Workers),
        _ = counters:get(Done, 1) < Number andalso exit(Pid, kill),
        lists:foreach(fun reload/1, [hep, hep_multi_parser, hep_multi_decoder, hep_transform, hep_json]),
        supervise(Workers, Attack, Number, Done, Killed)
    end.

%% Not while a process runs old code: a purge would kill it.
reload(Module) ->
    _ = code:soft_purge(Module) andalso code:load_file(Module).

attack(Corpus, Port, Number, Done) ->
    case counters:get(Done, 1) >= Number of
        true ->
            ok;
        false ->
            Batch = [mutated(Corpus) || _ <- lists:seq(1, 32)],
            lists:foreach(fun answered/1, Batch),
            _ = rand:uniform(50) =:= 1 andalso compared(Port, Batch),
            _ = rand:uniform(20) =:= 1 andalso garbage_collect(),
            counters:add(Done, 1, length(Batch)),
            attack(Corpus, Port, Number, Done)
    end.

answered(Bytes) ->
    try
        kept(hep_answers:check(Bytes), Bytes)
    catch
        Class:Reason:Stack -> exit({Bytes, {Class, Reason, Stack}})
    end.

%% A decoded packet can be encoded, and its JSON can be read back.
kept({ok, Hep}, Bytes) ->
    {ok, Json} = hep_json:from_packet(Bytes),
    {ok, _} = hep_json:decode(Json),
    {ok, _, _} = {ok, hep:encode(Hep), hep_transform:transform(Hep)},
    {ok, _} = hep_transform:from_packet(Bytes);
kept({error, Reason}, Bytes) ->
    {error, Reason} = hep_json:from_packet(Bytes).

%% The port program returns the same results as the NIF. Packets of version 1, which may be compressed, are left out:
%% they get the time of decoding.
compared(Port, Batch) ->
    Pairs = lists:append([pairs(Bytes, hep:decode(Bytes)) || Bytes <- Batch]),
    {Requests, Expected} = lists:unzip(Pairs),
    case hep_port:batch(Port, Requests) of
        Expected -> ok;
        Other -> exit({port, [Pair || {_, A, B} = Pair <- lists:zip3(Requests, Expected, Other), A =/= B]})
    end.

%% Requests to the program, with the NIF's results.
pairs(_, {ok, #hep{version = 1}}) ->
    [];
pairs(Bytes, Decoded) ->
    Json = hep_json:from_packet(Bytes),
    [
        {{decode, Bytes}, Decoded},
        {{parse, Bytes}, hep_multi_parser:parse(Bytes)},
        {{to_json, Bytes}, Json}
    ] ++
        lists:append([
            [{{encode, Hep}, hep:encode(Hep)}, {{transform, Hep}, hep_transform:transform(Hep)}]
         || {ok, #hep{timestamp = {_, _, _}} = Hep} <- [Decoded]
        ]) ++
        [{{from_json, Text}, hep_json:decode(Text)} || {ok, Text} <- [Json]].

mutated(Corpus) ->
    Bytes = element(rand:uniform(tuple_size(Corpus)), Corpus),
    lists:foldl(fun(_, Now) -> mutate(rand:uniform(8), Now, Corpus) end, Bytes, lists:seq(1, rand:uniform(4))).

mutate(_, <<>>, _) -> rand:bytes(rand:uniform(40));
mutate(1, Bytes, _) -> at(Bytes, fun(Before, <<_, After/binary>>) -> [Before, rand:bytes(1), After] end);
mutate(2, Bytes, _) -> at(Bytes, fun(Before, <<B, After/binary>>) -> [Before, B bxor (1 bsl (rand:uniform(8) - 1)), After] end);
mutate(3, Bytes, _) -> at(Bytes, fun(Before, _) -> Before end);
mutate(4, Bytes, _) -> at(Bytes, fun(Before, After) -> [Before, rand:bytes(rand:uniform(16)), After] end);
mutate(5, Bytes, _) -> at(Bytes, fun(Before, After) -> [Before, part(After)] end);
mutate(6, Bytes, Corpus) ->
    Other = element(rand:uniform(tuple_size(Corpus)), Corpus),
    at(Bytes, fun(Before, _) -> [Before, part(Other)] end);
mutate(7, Bytes, _) -> at(Bytes, fun(Before, After) -> [Before, length_like(After)] end);
%% The total length is corrected, so that the chunks are read.
mutate(8, <<Magic:4/binary, _:16, Rest/binary>>, _) when byte_size(Rest) < 65530 ->
    <<Magic/binary, (byte_size(Rest) + 6):16, Rest/binary>>;
mutate(8, Bytes, _) -> <<Bytes/binary, Bytes/binary>>.

at(Bytes, Change) ->
    At = rand:uniform(byte_size(Bytes)) - 1,
    <<Before:At/binary, After/binary>> = Bytes,
    iolist_to_binary(Change(Before, After)).

part(Bytes) ->
    binary:part(Bytes, byte_size(Bytes), -rand:uniform(byte_size(Bytes) + 1) + 1).

length_like(<<_:16, After/binary>>) ->
    Length = lists:nth(rand:uniform(7), [0, 5, 6, 7, byte_size(After), 16#ffff, rand:uniform(16#ffff)]),
    [<<Length:16>>, After];
length_like(Bytes) ->
    Bytes.

%%% Random terms

%% Gives random terms, and packets with random terms in their fields, to the port program and to the NIF: the results
%% must be equal.
-spec requests(pos_integer()) -> ok.
requests(Number) ->
    {ok, Port} = hep_port:start_link(#{}),
    lists:foreach(fun(_) -> equal(Port, [request(rand:uniform(7)) || _ <- lists:seq(1, 50)]) end, lists:seq(1, Number div 50)),
    hep_port:stop(Port).

equal(Port, Requests) ->
    Expected = [hep_ports:in_batch(hep_ports:nif(Request)) || Request <- Requests],
    Answers = [hep_ports:in_batch(Answered) || Answered <- lists:zip(Requests, hep_port:batch(Port, Requests))],
    Different = [Each || {_, A, B} = Each <- lists:zip3(Requests, Expected, Answers), A =/= B],
    Different =:= [] orelse error({different, Different}).

request(1) -> {encode, record()};
request(2) -> {encode, record(), term(2)};
request(3) -> {transform, record()};
%% A list is for the NIF only.
request(4) -> {to_json, case record() of List when is_list(List) -> x; Other -> Other end};
request(5) -> {from_json, term(3)};
request(6) -> {parse, term(3)};
request(7) -> {decode, term(3)}.

record() ->
    case rand:uniform(2) of
        1 -> timed(term(3));
        2 -> timed(lists:foldl(fun(_, Hep) -> setelement(1 + rand:uniform(12), Hep, term(2)) end, valid(), lists:seq(1, rand:uniform(3))))
    end.

%% Without a time, a packet gets that of encoding.
timed(#hep{timestamp = undefined} = Hep) -> Hep#hep{timestamp = {1, 2, 3}};
timed(Term) -> Term.

valid() ->
    #hep{
        version = 3, protocol_family = 2, protocol = 17, src_ip = {192, 0, 2, 1}, src_port = 1, dst_ip = {192, 0, 2, 2}, dst_port = 2,
        timestamp = {1, 2, 3}, node_id = 7, payload = <<"x">>, chunks = [{{0, 17}, <<"call">>}]
    }.

%% Passes random terms to every documented pure function, and to the NIFs. Returns the number of
%% functions.
-spec terms(pos_integer()) -> pos_integer().
terms(Number) ->
    Functions = [{M, F, A} || M <- modules(), {F, A} <- functions(M), A > 0],
    lists:foreach(fun(Function) -> called(Function, Number) end, Functions),
    length(Functions).

%% Except those that start processes.
modules() ->
    Beams = filelib:wildcard(filename:join(filename:dirname(code:which(hep)), "*.beam")),
    [list_to_atom(filename:basename(Beam, ".beam")) || Beam <- Beams] -- [hep_listener, hep_port, hep_sender].

functions(hep_nif) ->
    hep_nif:module_info(exports) -- [{module_info, 1}];
%% A random term could name a file to write.
functions(hep_pcap) ->
    documented(hep_pcap) -- [{write, 2}];
functions(Module) ->
    documented(Module).

documented(Module) ->
    case code:get_doc(Module) of
        {ok, {docs_v1, _, _, _, ModuleDoc, _, Docs}} when ModuleDoc =/= hidden ->
            Shown = [{F, A} || {{function, F, A}, _, _, Doc, _} <- Docs, Doc =/= hidden],
            [Function || Function <- Shown, lists:member(Function, Module:module_info(exports))];
        _ ->
            []
    end.

called(Function, Number) ->
    lists:foreach(fun(_) -> answered_or_badarg(Function) end, lists:seq(1, Number)).

%% Wrong arguments raise `badarg', or `function_clause' in the called function.
answered_or_badarg({Module, Name, Arity}) ->
    Arguments = [term(3) || _ <- lists:seq(1, Arity)],
    try
        apply(Module, Name, Arguments)
    catch
        error:badarg -> ok;
        Class:Reason:Stack ->
            _ = is_no_clause(Class, Reason, Stack, Module) orelse exit({{Module, Name, Arguments}, {Class, Reason, Stack}}),
            ok
    end.

is_no_clause(error, function_clause, [{Module, _, _, _} | _], Module) -> true;
%% An atom that is not a module, in a list of modules for hep_transform.
is_no_clause(error, undef, [{_, vendor_id, [], _} | _], hep_transform) -> true;
is_no_clause(_, _, _, _) -> false.

term(0) -> leaf(rand:uniform(9));
term(Depth) -> branch(rand:uniform(12), Depth - 1).

leaf(1) -> rand:uniform(1 bsl lists:nth(rand:uniform(5), [3, 8, 16, 32, 70])) - 3;
leaf(2) -> rand:bytes(rand:uniform(40) - 1);
leaf(3) -> lists:nth(rand:uniform(9), [undefined, hep, ok, sip, ipv4, ipv6, hep_v3, true, infinity]);
leaf(4) -> rand:uniform();
leaf(5) -> element(rand:uniform(4), {<<"HEP3", 0, 6>>, <<1, 16, 2>>, <<"{}">>, <<31, 139, 8>>});
leaf(6) -> self();
leaf(7) -> <<1:1, (rand:bytes(rand:uniform(40)))/binary>>;
leaf(8) -> make_ref();
leaf(9) -> [].

branch(1, Depth) -> terms(Depth, rand:uniform(4));
branch(2, Depth) -> list_to_tuple(terms(Depth, rand:uniform(5)));
branch(3, Depth) -> maps:from_list([{term(Depth), term(Depth)} || _ <- lists:seq(1, rand:uniform(3))]);
branch(4, Depth) -> [term(Depth) | term(0)];
branch(5, Depth) -> list_to_tuple([hep, rand:uniform(4) | terms(Depth, 11)]);
branch(6, Depth) -> {hep, rand:uniform(4), terms(Depth, rand:uniform(3))};
branch(7, Depth) -> [{<<0:16, (rand:uniform(64)):16>>, term(Depth)}];
branch(8, Depth) -> {hep, 3, [{<<0:16, (rand:uniform(64)):16>>, term(0)}, term(Depth)]};
branch(9, _) -> {rand:uniform(256) - 1, rand:uniform(256) - 1, 0, 1};
branch(_, _) -> leaf(rand:uniform(9)).

terms(Depth, Number) -> [term(Depth) || _ <- lists:seq(1, Number)].

%%% Memory

%% 0 in a VM that does not count, with its allocators off, as in `make asan'.
memory() ->
    lists:foreach(fun garbage_collect/1, processes()),
    try
        erlang:memory(total)
    catch
        error:notsup -> 0
    end.

%% As reported by the system, on Linux only.
resident() ->
    case file:read_file("/proc/self/status") of
        {ok, Status} ->
            {match, [KiB]} = re:run(Status, "VmRSS:\\s*(\\d+ kB)", [{capture, [1], list}]),
            KiB;
        {error, _} ->
            "unknown"
    end.

%% Processes that have just ended free their memory a little later.
settled(Before, Times) ->
    case memory() of
        After when After > Before + 8 * 1024 * 1024, Times > 0 ->
            timer:sleep(100),
            settled(Before, Times - 1);
        After when After > Before + 8 * 1024 * 1024 ->
            error({memory, Before, After});
        After ->
            After
    end.
