# hep. `make help` lists the commands.
#
# Plain `make` builds ebin/ and priv/ with erlc and cargo only: erlang.mk calls it for a
# dependency. (Versions of 2015 replace a Makefile that contains the name of the other Erlang build tool, even in a
# comment.)

ERLC ?= erlc
HEP_MODULES := $(sort $(wildcard erlang/*/*.erl))
HEP_BEHAVIOURS := erlang/generations/hep_transform.erl

# Delete the target of a recipe that fails.
.DELETE_ON_ERROR:

.PHONY: all native command dist package help setup run test matrix interop rabbitmq bench load fuzz attack asan deny registry clean

# IS_DEP: erlang.mk builds a dependency.
all: native ebin/hep.app $(if $(IS_DEP),,command)

native:
	@sh native/build.sh

# Behaviours first: modules that implement them are checked against them.
# The folders are dependencies, too, so that a deleted module is removed from ebin/.
ebin/hep.app: erlang/hep.app.src erlang/docs.escript $(wildcard erlang/*/) $(HEP_MODULES) $(wildcard erlang/*/*.hrl) include/hep.hrl
	@mkdir -p ebin
	@rm -f ebin/*.beam
	@$(ERLC) +debug_info -pa ebin -I include -o ebin $(HEP_BEHAVIOURS) $(filter-out $(HEP_BEHAVIOURS),$(HEP_MODULES))
	@escript erlang/docs.escript ebin
	@sed "s/{modules, \[\]}/{modules, [$$(basename -s .erl $(HEP_MODULES) | paste -s -d, -)]}/" $< > $@

# The command `hep', see guides/command.md.
command: bin/hep

bin/hep: command/build.escript command/hep.sh $(wildcard command/*.erl) ebin/hep.app priv/.hep_build
	@escript command/build.escript $@

priv/.hep_build: native ;

# Not `all' first: the archive is for other machines, and needs no Erlang.
dist:
	@sh native/dist.sh _build/dist

package: setup
	@sh test/package/run.sh _build/package

help:
	@echo 'make          build ebin/, priv/ and the command bin/hep'
	@echo 'make setup    install what is missing (Debian, as root)'
	@echo 'make dist     archive of the native parts, for machines without Rust (see README, Installation)'
	@echo 'make package  the package for Hex, in _build/package, and a build from it alone'
	@echo 'make run      start the capture server and replay captured packets; PORT=9060, or a terminal, keeps it and its page running'
	@echo 'make test     every check and test'
	@echo 'make matrix   make run and make test in bare Debian releases (root, an hour); FOLDER=/var/tmp/hep-matrix RELEASES="bookworm trixie sid"'
	@echo 'make interop  give packets to Kamailio, sngrep and hep-js and compare what they read; PORT=19060'
	@echo 'make rabbitmq HEP through a RabbitMQ cluster, with failures (see examples/rabbitmq); RATE=1000'
	@echo 'make bench    measure against pure Erlang, and the longest calls'
	@echo 'make load     put load on hep_listener, and on several nodes (Linux, 27 minutes); LOAD=cpu,udp,delay,tcp,tls,nodes,attack,soak SECONDS=30 PACKETS=2000000 SOAK=600 RATE=20000'
	@echo 'make fuzz     run the fuzz targets of the codec, on the stable toolchain; needs a C++ compiler; not part of make test; SECONDS=60 TARGETS="parse decode"'
	@echo 'make attack   give mutated packets and random terms to the API; PACKETS=1000000 TERMS=100000'
	@echo 'make asan     run the NIF under AddressSanitizer in the VM (Linux, gcc); not part of make test; PACKETS=100000 TERMS=2000'
	@echo 'make deny     check licences, versions, sources and advisories of the dependencies, with cargo-deny'
	@echo 'make registry write erlang/codec/hep_registry.erl again, from native/hep/src/registry.rs'
	@echo 'make clean    remove what was built'

setup:
	@sh test/setup.sh test

run:
	@sh test/setup.sh run
	@$(MAKE) --no-print-directory all
	@sh examples/call_flow/run.sh '$(PORT)'

test: setup
	@sh test/run.sh

matrix:
	@sh test/matrix.sh '$(or $(FOLDER),/var/tmp/hep-matrix)' $(RELEASES)

interop: setup
	@$(MAKE) --no-print-directory all
	@sh test/interop/run.sh $(PORT)

rabbitmq: setup
	@$(MAKE) --no-print-directory all
	@sh examples/rabbitmq/run.sh $(RATE)

bench: setup
	@$(MAKE) --no-print-directory all
	@sh bench/run.sh

load: setup
	@$(MAKE) --no-print-directory all
	@sh bench/load/run.sh '$(LOAD)' '$(SECONDS)' '$(PACKETS)' '$(SOAK)' '$(RATE)'

fuzz:
	@sh native/hep/fuzz/run.sh $(or $(SECONDS),60) $(if $(TARGETS),'$(TARGETS)')

attack: setup
	@$(MAKE) --no-print-directory all
	@mkdir -p _build/attack
	@$(ERLC) -I include -o _build/attack $(addprefix test/erlang/,hep_attack.erl hep_answers.erl hep_fixtures.erl hep_ports.erl)
	@erl -noinput -pa ebin _build/attack -eval 'hep_attack:main().' -extra $(or $(PACKETS),1000000) $(or $(TERMS),100000)

asan: setup
	@$(MAKE) --no-print-directory all
	@sh test/asan.sh $(or $(PACKETS),100000) $(or $(TERMS),2000)

deny:
	@sh test/deny.sh

registry:
	@cargo run --quiet --locked -p hep --example registry > erlang/codec/hep_registry.erl.new
	@mv erlang/codec/hep_registry.erl.new erlang/codec/hep_registry.erl

clean:
	@rm -rf bin ebin priv _build target bench/.build examples/*/_build examples/*/_checkouts examples/call_flow/test/page/node_modules
