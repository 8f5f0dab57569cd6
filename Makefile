# make demo: the main job on an embedded slow origin. make test: everything a change must pass.
.PHONY: demo test test-long check bench setup setup-test setup-bench setup-compare setup-long nextjs

PORT ?= 8080
RELEASE = target/release/larder

setup:
	@tests/setup.sh cc make cmake

setup-test: setup
	@tests/setup.sh node npm

setup-bench: setup
	@tests/setup.sh nginx wrk python3 taskset

setup-compare: setup-bench setup-test
	@tests/setup.sh varnishd varnish-modules h2load

setup-long: setup-bench
	@tests/setup.sh python3-venv strace

# A slow origin, Larder in front, a status page; prints their addresses and what to try.
demo: setup
	cargo build --release --bin larder
	$(RELEASE) demo --port $(PORT)

# Formatting, lints, every fast test, a real Next.js app, a real WebSocket client, and the public HTTP cache test suite. About 7
# minutes on two cores, once built.
test: setup-test check
	cargo test --workspace
	cargo build --bin larder
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/nextjs.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/draft-init.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/websocket/websocket.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/conformance/conformance.test.mjs

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# More of the real apps; seeds, properties, kills and fuzzed bytes; then floods, faults, memory and more kills on the release
# binary.
test-long: setup-long setup-test
	cargo build --bin larder
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/on-demand.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/idle.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/deployments.test.mjs
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nuxt/nuxt.test.mjs
	LARDER_SEEDS=10000 cargo test --workspace --test simulation
	PROPTEST_CASES=20000 cargo test --workspace --test cache_control --test targeted --test injective_keys --test never_fresher --test parts
	LARDER_MUTATIONS=20000 cargo test --workspace --bin larder mutated
	cargo test --workspace --test long
	LARDER_CRASHES=10000 cargo test -p engine --lib disk::tests
	LARDER_INTERLEAVINGS=1000000 cargo test --release -p engine --test interleavings -- --nocapture
	tests/openapi/run.py
	cargo build --release --bin larder
	benches/compare/herd.py --only larder
	benches/compare/sick.py --only larder
	benches/compare/memory.py
	LARDER_BIN=$(CURDIR)/$(RELEASE) tests/disk/kill9.py --kills 30 --slack 1
	LARDER_BIN=$(CURDIR)/$(RELEASE) tests/disk/faults.py --quick

# What one decision costs, and benches/RESULTS.md: ratios beside nginx, Varnish and `next start`. Judges nothing; wants a
# quiet machine for about 65 minutes.
bench: setup-compare
	cargo build --release --bin larder
	cargo bench -p semantics
	benches/compare/results.py
