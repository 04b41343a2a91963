%% What `make load' was asked for.
-record(config, {
    %% Where the generator and its files are.
    folder :: file:filename(),
    seconds :: pos_integer(),
    packets :: pos_integer(),
    soak :: pos_integer(),
    %% Datagrams a second in the soak.
    rate :: pos_integer()
}).

-define(RECBUF, 4 * 1024 * 1024).
