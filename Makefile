# The front door. `make help` lists what can be done here.
#
# Everything is built in Cargo's release profile, and everything that links RocksDB is built with
# --workspace: RocksDB takes minutes to compile, and Cargo would compile it again for another profile
# or another choice of features.

.DEFAULT_GOAL := build
SHELL := /bin/sh
CARGO ?= cargo
export CARGO

# Programs that end up in bin/.
PROGRAMS := tinykv-server tinyscheduler-server tinykv-ctl tinykv-playground tinykv-bench
CORES := $(shell getconf _NPROCESSORS_ONLN)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.PHONY: build
build: packages ## build everything in release mode, programs into bin/
	@[ -d $(TARGET_DIR)/release ] || echo "The first build compiles RocksDB: about 12 minutes on two cores."
	$(CARGO) build --release --workspace
	@mkdir -p bin
	@for program in $(PROGRAMS); do cp -f $(TARGET_DIR)/release/$$program bin/ && echo "bin/$$program" || exit 1; done

.PHONY: packages
packages: ## install what Cargo cannot bring (C++ compiler, libclang), or say what to install
	@scripts/system-packages

.PHONY: playground
playground: build ## a cluster to play with: a scheduler and STORES (3) stores, until ctrl-c
	@bin/tinykv-playground --stores $(or $(STORES),3)

.PHONY: etcd
etcd: ## fetch Debian's etcd, which tests hold the scheduler against; it is not installed
	@scripts/debian-etcd $(TARGET_DIR)/debian

.PHONY: redis
redis: ## fetch Debian's redis, which benches stand beside; it is not installed
	@scripts/debian-redis $(TARGET_DIR)/debian

.PHONY: compiler
compiler: ## install a C compiler, which is all that the parts without RocksDB need
	@scripts/system-packages --without-rocksdb

.PHONY: verify
verify: lint test ## lint and test: what must pass before work is called done

.PHONY: lint
lint: packages ## read only: format, clippy, documentation, and the repository's own rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps --document-private-items
	scripts/run-tests --workspace --test tidy

.PHONY: fix
fix: packages ## write: apply clippy's suggestions, then format
	$(CARGO) clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

.PHONY: test
test: packages etcd ## every test of the daily dose: all suites, and two minutes of simulated consensus
	scripts/run-tests --workspace
	$(MAKE) --no-print-directory simulate-raft

.PHONY: e2e
e2e: build ## clusters of real processes: stores killed, paused, added, removed, restarted, their disk full; ONLY=one_test
	scripts/run-tests --workspace --test e2e $(ONLY) -- --test-threads 2

# None of these needs RocksDB. The first 200 seeds of whole stores are a test; here are more.
.PHONY: simulate soak simulate-raft mutants
SIMULATE := $(CARGO) run --release -p sim --bin simulate --
simulate: compiler ## whole stores: 200 seeds, or new ones for SECONDS; or one again with SEED=n, or as a bank with BANK=n, and LINES of its story; SCHEDULER=real
	$(SIMULATE) $(if $(filter real,$(SCHEDULER)),--real-scheduler 1) $(if $(BANK),--bank $(BANK) $(if $(LINES),--lines $(LINES)),$(if $(SEED),--seed $(SEED) $(if $(LINES),--lines $(LINES)),$(if $(SECONDS),--seconds $(SECONDS),--from $(or $(FROM),1) --count $(or $(COUNT),200)) --cores $(CORES)))
soak: compiler ## whole stores: new seeds for SECONDS (3600), whatever fails
	$(SIMULATE) --seconds $(or $(SECONDS),3600) --cores $(CORES) --keep-going 1
simulate-raft: compiler ## new seeds for SECONDS (120); or one again with SEED=n, and LINES of its story
	$(CARGO) run --release -p sim -- $(if $(SEED),--seed $(SEED) $(if $(LINES),--lines $(LINES)),--seconds $(or $(SECONDS),120) --cores $(CORES))
mutants: packages ## plant bugs, one after the other: which suite finds which
	$(CARGO) run --release -p sim --features mutants --bin raft-mutants
	$(CARGO) run --release -p sim --features mutants --bin store-mutants
	scripts/run-mutants

.PHONY: fuzz
FUZZ_CASES ?= 1000000
fuzz: packages ## any bytes for every decoder that faces the wire: FUZZ_CASES (1000000) of each
	FUZZ_CASES=$(FUZZ_CASES) scripts/run-tests -p raft --lib any_bytes
	FUZZ_CASES=$(FUZZ_CASES) scripts/run-tests -p coprocessor --no-default-features --lib any_bytes
	FUZZ_CASES=$(FUZZ_CASES) scripts/run-tests --workspace --test fuzz --test served any_bytes
	PROPTEST_CASES=$(FUZZ_CASES) scripts/run-tests -p codec --lib no_bytes_make_a_decoder_panic

# The course, by lesson. Lessons about one crate build without RocksDB. Those about clusters run in
# simulated time, on SEEDS (5) seeds from SEED (1) on, and then, unless REAL=0, on real threads and disks.
COURSE := scripts/run-tests --workspace --test course
define cluster_lesson
	$(if $(filter-out 0,$(or $(SEEDS),5)),SEEDS=$(or $(SEEDS),5) $(COURSE) $@$(if $(ONLY),::$(ONLY)))
	$(if $(filter-out 0,$(or $(REAL),1)),BACKEND=real $(COURSE) $@$(if $(ONLY),::$(ONLY)) -- --test-threads 2)
endef

.PHONY: project2a project2aa project2ab project2ac project2b project2c project2
project2aa project2ab project2ac project3a: compiler ## course: one lesson about raft
	scripts/run-tests -p raft --lib $@
project2a: compiler ## course: 2AA, 2AB and 2AC
	scripts/run-tests -p raft --lib project2a
project2b project3b: packages ## course: one lesson about clusters; SEED=n SEEDS=n REAL=0 ONLY=one_test
	$(cluster_lesson)
project2c: packages ## course: snapshots, in raft and then in clusters as above
	$(if $(ONLY),,scripts/run-tests -p raft --lib $@)
	$(cluster_lesson)
project2: project2a project2b project2c ## course: all of project 2

.PHONY: project3a project3b project3c project3
project3c: compiler ## course: the scheduler's heartbeats and its balancing of regions
	scripts/run-tests -p scheduler --no-default-features --lib --test served project3c
project3: project3a project3b project3c ## course: all of project 3

.PHONY: project1 project4 project4a project4b project4c
project1 project4a project4b project4c: compiler ## course: raw calls, or one lesson about transactions
	scripts/run-tests -p storage --no-default-features --lib $@
project4: compiler ## course: 4A, 4B and 4C
	scripts/run-tests -p storage --no-default-features --lib project4

.PHONY: bench bench-cluster bench-coprocessor bench-engine bench-micro bench-raft bench-raftstore bench-scheduler bench-storage bench-trials
bench: bench-micro bench-coprocessor bench-engine bench-raft bench-raftstore bench-scheduler bench-storage bench-cluster bench-trials ## every bench
# SECONDS and ROUNDS of each run; what bench-raftstore says of the bare disks is the ceiling of all of these.
LOAD = bin/tinykv-bench --playground 3 --debian $(TARGET_DIR)/debian --seconds $(or $(SECONDS),10) \
	--rounds $(or $(ROUNDS),3) --note "commit $$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
bench-cluster: build etcd redis ## a cluster of three stores under load, beside etcd, redis and a server that does nothing
	$(LOAD) --batched --peer etcd,redis,bare --workload put,get --clients 1,256 --json $(TARGET_DIR)/bench-raw.json --html $(TARGET_DIR)/bench-raw.html
	$(LOAD) --peer etcd --workload scan --scan-rows 100 --clients 8
	$(LOAD) --peer etcd --workload scan --scan-rows 1000 --clients 8
	$(LOAD) --workload timestamps --clients 256
	$(LOAD) --batched --transactions --workload put,pairs,bank,ycsb-f --clients 256 --json $(TARGET_DIR)/bench-txn.json --html $(TARGET_DIR)/bench-txn.html
# Each trial starts clusters of its own. A quick look: SECONDS=2 ROUNDS=1 KILLS=2 ENDURANCE=30.
bench-trials: build etcd ## a store killed, a snapshot, a million puts, ten minutes of them, each beside its target; or ONLY some of them
	bin/tinykv-bench trial $(or $(ONLY),all) --debian $(TARGET_DIR)/debian --seconds $(or $(SECONDS),10) \
		--rounds $(or $(ROUNDS),3) --kills $(or $(KILLS),10) --endurance $(or $(ENDURANCE),600)
bench-micro: packages ## single calls of every crate; or ONLY those with this in their name, or QUICK=1
	$(CARGO) bench --workspace --bench micro -- $(if $(QUICK),--quick) $(ONLY)
bench-engine: packages ## what the engine seam costs beside bare RocksDB
	$(CARGO) bench --workspace --bench engine
bench-coprocessor: packages ## what plans cost beside the bare scan of a million rows
	$(CARGO) bench --workspace --bench coprocessor
bench-raft: ## the consensus core beside raft-rs, whose build wants protoc
	@scripts/system-packages protoc:protobuf-compiler
	$(CARGO) run --release --manifest-path tests/raft-bench/Cargo.toml
bench-raftstore: packages ## what replication costs beside the disks below it
	$(CARGO) bench --workspace --bench raftstore
bench-storage: packages ## what versions cost, and what a node serves beside a server that does nothing
	$(CARGO) bench --workspace --bench storage --bench serving
bench-scheduler: packages etcd ## timestamps, heartbeats, look-ups, and keys beside Debian's etcd
	$(CARGO) bench --workspace --bench scheduler

.PHONY: audit
audit: ## licences, sources and known weaknesses of what we depend on (needs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "Install it first: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny check

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { sub(/ compiler$$| packages$$/, "", $$1); sub(/:$$/, "", $$1); printf "make %-34s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
