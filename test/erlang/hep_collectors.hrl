-define(V4, {127, 0, 0, 1}).
-define(V6, {0, 0, 0, 0, 0, 0, 0, 1}).
%% How long a condition may take to come true, in milliseconds.
-define(PATIENCE, 20000).
