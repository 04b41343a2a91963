%% The size of the largest datagram. Beyond it even looking at a packet may take long: that is for dirty schedulers.
-define(DATAGRAM, 16#ffff).

%% What the codec answers to a call that is about so many bytes: Plain, on the caller's scheduler, unless they are more
%% than a datagram's or its answer is `dirty'; Dirty then. (At most once in a function: it binds a variable.)
-define(CODEC(Size, Plain, Dirty),
    case Size =< ?DATAGRAM andalso Plain of
        CodecAnswer when CodecAnswer =/= dirty, CodecAnswer =/= false -> CodecAnswer;
        _ -> Dirty
    end
).
