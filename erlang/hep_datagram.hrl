%% The size of the largest datagram. Beyond it even looking at a packet may take long: that is for dirty schedulers.
-define(DATAGRAM, 16#ffff).
