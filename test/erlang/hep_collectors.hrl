-define(V4, {127, 0, 0, 1}).
-define(V6, {0, 0, 0, 0, 0, 0, 0, 1}).
%% How long to wait for a condition, in milliseconds.
-define(PATIENCE, 20000).
