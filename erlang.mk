# hep builds with its own Makefile. This file only tells erlang.mk so: without it, newer versions see
# rebar.config or mix.exs and go and fetch rebar3.
