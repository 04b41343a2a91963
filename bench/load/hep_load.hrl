%% The arguments of `make load'.
-record(config, {
    %% The folder of the generator and its files.
    folder :: file:filename(),
    seconds :: pos_integer(),
    packets :: pos_integer(),
    soak :: pos_integer(),
    %% Datagrams a second in the soak.
    rate :: pos_integer()
}).

-define(RECBUF, 4 * 1024 * 1024).
