# `make` lists the targets. Variables: LUA and PORT (to serve with), LUAS and SPEC (to narrow a test run), JOBS (programs
# at a time).

LUAS ?= lua5.1 lua5.2 lua5.3 lua5.4 lua5.5 luajit
SPEC ?=
JOBS ?=
PORT ?=
# A Lua of the list above may be absent; one that the user names may not.
ABSENT ?= $(if $(filter file,$(origin LUAS)),skip,fail)
export ABSENT
CONFORMANCE_LUAS ?= lua5.4 luajit
# Lua 5.5 has no package yet: .ci/lua5.5/build makes it. nginx and HAProxy are in a folder that the PATH of an ordinary
# user has not.
export PATH := $(CURDIR)/build/lua5.5:$(PATH):/usr/sbin
LINTED = .luacheckrc .busted config.ld $(wildcard lua rockspecs spec conformance test-server bench examples \
  fuzz/lua fuzz/live soak)

.PHONY: help serve test native rust rust-format rust-lint rust-test lint docs conformance bench bench-quick counts \
  fuzz faults faults-table soak soak-stalled memcheck

help:
	@echo "make serve        install what is missing, start the test server, print its address; on another port:"
	@echo "                  make serve PORT=8010"
	@echo "make test         install what is missing, then lint, docs, every spec under every Lua, the contract"
	@echo "                  narrower: make test LUAS=lua5.4 SPEC=spec/behaviour/websocket_spec.lua"
	@echo "make native       the accelerator for every Lua that is here, into build/native"
	@echo "make rust         what Rust's own tools say: tests, clippy, format"
	@echo "make conformance  every Autobahn case in both roles under each engine, and the table of it; narrower:"
	@echo "                  make conformance PARTS=\"1 12.3\" ROLES=client ENGINES=pure CONFORMANCE_LUAS=luajit"
	@echo "                  over TLS: make conformance TLS=1"
	@echo "make fuzz         every fuzzer, one after the other, each for SECONDS; narrower:"
	@echo "                  make fuzz SECONDS=600 TARGETS=\"reader server\" SEED=7"
	@echo "make faults-table each call of the system that can fail does so: what must happen, and whether it does"
	@echo "make faults       memory that is refused at each place of what a context does, each Lua, each engine; narrower:"
	@echo "                  make faults LUAS=lua5.4 ENGINES=off SCENARIOS=\"echo close\" KINDS=\"once often hook\" STEP=5"
	@echo "make soak         thousands of connections of every kind, and afterwards as much as before; each engine:"
	@echo "                  make soak MINUTES=10 CONNECTIONS=5000 ENGINES=on"
	@echo "make soak-stalled broadcasts to peers that read nothing, beside some that read: make soak-stalled PEERS=8000"
	@echo "make memcheck     Valgrind over specs with the accelerator; others: make memcheck MEMCHECK=spec/unit/wire"
	@echo "make lint         luacheck"
	@echo "make docs         the reference, into build/doc"
	@echo "make bench        everything against the machine's limit and six other libraries; about 50 minutes, ROUNDS=3: 15"
	@echo "make bench-quick  the limit and ours, two minutes; what masking costs under each Lua, fails below the goal"
	@echo "make counts       byte codes, instructions, system calls, memory, files a message passes: two minutes; beside"
	@echo "                  another tree: make counts TREE=../before"

serve:
	@.ci/install serve
	@lua=$$(.ci/lua) && LUA_PATH="lua/?.lua;lua/?/init.lua;;" exec $$lua test-server/test-server.lua test-server/ $(PORT)

test:
	@LUAS="$(LUAS)" SPEC="$(SPEC)" JOBS="$(JOBS)" MAKE="$(MAKE)" .ci/test

native:
	@here=; for lua in $(LUAS); do \
	  if command -v $$lua >/dev/null 2>&1; then here="$$here $$lua"; \
	  elif [ $(ABSENT) = fail ]; then echo "no such interpreter: $$lua" >&2; exit 1; fi; \
	done; \
	if [ -z "$$here" ]; then echo "none of these interpreters is here: $(LUAS)" >&2; exit 1; fi; \
	for lua in $$here; do $$lua rockspecs/build.lua native build/native/$$lua || exit 1; done

rust: rust-format rust-lint rust-test

# Not fuzz/src/lib.rs: rustfmt would look for the tests of the modules that it includes.
rust-format:
	@cargo fmt --check
	@rustfmt --check --edition 2021 $(filter-out fuzz/src/lib.rs,$(wildcard fuzz/*/*.rs))

rust-lint:
	@cargo clippy --quiet --locked --features lua54 --target-dir target/lint -- -D warnings
	@cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target/lint -- -D warnings

rust-test:
	@cargo test --quiet --locked --target-dir target/lint
	@cargo test --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target/lint

lint:
	@luacheck -q $(LINTED)

docs:
	@ldoc -q --fatalwarnings .

conformance:
	@.ci/install test
	@lua=$$(.ci/lua) && if $$lua rockspecs/build.lua check; then \
	  $(MAKE) -s --no-print-directory native LUAS="$(CONFORMANCE_LUAS)" ABSENT=skip; fi
	@lua=$$(.ci/lua) && LUAS="$(CONFORMANCE_LUAS)" ROLES="$(ROLES)" ENGINES="$(ENGINES)" PARTS="$(PARTS)" \
	  JOBS="$(JOBS)" TLS="$(TLS)" $$lua conformance/run.lua

# Both need cargo and Python, and cores that nobody else uses.
bench:
	@.ci/install test
	@$(MAKE) -s --no-print-directory native LUAS="lua5.4 luajit"
	@python3 bench/run.py --install $(if $(ROUNDS),--rounds $(ROUNDS))

bench-quick:
	@status=0; for lua in $(LUAS); do \
	  if command -v $$lua >/dev/null 2>&1; then $$lua bench/mask.lua || status=1; fi; \
	done; exit $$status
	@$(MAKE) -s --no-print-directory native LUAS="lua5.4 luajit"
	@python3 bench/run.py --quick

# valgrind, strace and cc count; a row whose tool is missing says so.
counts:
	@$(MAKE) -s --no-print-directory native LUAS="lua5.4 luajit"
	@python3 bench/counts/run.py $(if $(TREE),--tree "$(TREE)") --tree .

fuzz:
	@SEED="$(SEED)" fuzz/run $(or $(SECONDS),60) $(TARGETS)

faults-table:
	@status=0; for lua in $(LUAS); do \
	  if ! command -v $$lua >/dev/null 2>&1; then \
	    [ $(ABSENT) = skip ] || { echo "no such interpreter: $$lua" >&2; status=1; }; continue; \
	  fi; \
	  for engine in off on; do \
	    [ $$engine = off ] || [ -e build/native/$$lua/websockets_native.so ] || continue; \
	    echo "$$lua, accelerator $$engine"; \
	    WEBSOCKETS_NATIVE=$$engine LUA_CPATH="$(CURDIR)/build/native/$$lua/?.so;;" \
	      $$lua spec/support/system_faults.lua || status=1; \
	  done; \
	done; exit $$status

faults:
	@SCENARIOS="$(SCENARIOS)" KINDS="$(KINDS)" ENGINES="$(ENGINES)" FIRST="$(FIRST)" STEP="$(STEP)" LAST="$(LAST)" \
	  SECONDS_EACH="$(SECONDS)" spec/faults $(LUAS)

soak:
	@soak/run soak $(or $(MINUTES),10) $(or $(CONNECTIONS),5000)

soak-stalled:
	@soak/run stalled $(or $(MINUTES),1) $(or $(PEERS),8000)

# Valgrind over Lua, the specs and the accelerator: half an hour.
MEMCHECK ?= $(wildcard spec/unit/wire/*_spec.lua) spec/behaviour/delivery_spec.lua spec/behaviour/group_spec.lua \
  spec/behaviour/fragments_spec.lua spec/behaviour/property_spec.lua spec/behaviour/allocation_spec.lua
memcheck:
	@$(MAKE) -s --no-print-directory native LUAS=lua5.4
	@status=0; for spec in $(MEMCHECK); do \
	  echo "== $$spec"; \
	  WEBSOCKETS_NATIVE=on LUA_CPATH="build/native/lua5.4/?.so;;" valgrind -q --error-exitcode=9 \
	    lua5.4 spec/support/busted_start.lua $$spec || status=1; \
	done; exit $$status
