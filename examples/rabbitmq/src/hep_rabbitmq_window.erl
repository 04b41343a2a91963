%% @doc The messages that the broker has not confirmed yet, in the order of their publication. Pure data.
%%
%% The broker numbers the messages of a channel from 1 and confirms them by number, one by one or all up to a number.
-module(hep_rabbitmq_window).

-export([new/0, size/1, add/2, take/3, messages/1]).

-export_type([window/1]).

-record(window, {
    next = 1 :: pos_integer(),
    messages = gb_trees:empty() :: gb_trees:tree(pos_integer(), term())
}).

-opaque window(_Message) :: #window{}.

-spec new() -> window(_).
new() -> #window{}.

-spec size(window(_)) -> non_neg_integer().
size(#window{messages = Messages}) -> gb_trees:size(Messages).

%% @doc Adds the message that is published next.
-spec add(Message, window(Message)) -> window(Message).
add(Message, #window{next = Next, messages = Messages} = Window) ->
    Window#window{next = Next + 1, messages = gb_trees:insert(Next, Message, Messages)}.

%% @doc Removes and returns the message with this number or, with `true', all up to it, oldest first. A number may
%% repeat.
-spec take(Number :: non_neg_integer(), Multiple :: boolean(), window(Message)) -> {[Message], window(Message)}.
take(Number, false, #window{messages = Messages} = Window) ->
    case gb_trees:take_any(Number, Messages) of
        {Message, Others} -> {[Message], Window#window{messages = Others}};
        error -> {[], Window}
    end;
take(Number, true, Window) ->
    take_up_to(Number, [], Window).

take_up_to(Number, Taken, #window{messages = Messages} = Window) ->
    case not gb_trees:is_empty(Messages) andalso gb_trees:take_smallest(Messages) of
        {Smallest, Message, Others} when Smallest =< Number ->
            take_up_to(Number, [Message | Taken], Window#window{messages = Others});
        _ ->
            {lists:reverse(Taken), Window}
    end.

%% @doc All messages, oldest first.
-spec messages(window(Message)) -> [Message].
messages(#window{messages = Messages}) -> gb_trees:values(Messages).
