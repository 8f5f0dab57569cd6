# make demo: the main job on an embedded slow origin. make test: everything a change must pass.
.PHONY: demo test test-long check bench setup setup-test setup-bench nextjs

PORT ?= 8080
RELEASE = target/release/larder

setup:
	@tests/setup.sh cc make cmake

setup-test: setup
	@tests/setup.sh node npm

setup-bench: setup
	@tests/setup.sh nginx wrk python3 taskset

# A slow origin, Larder in front, a status page; prints their addresses and what to try.
demo: setup
	cargo build --release --bin larder
	$(RELEASE) demo --port $(PORT)

# Formatting, lints, every fast test, and the real Next.js app. About 10 minutes from nothing on two cores.
test: setup-test check
	cargo test --workspace
	cargo build --bin larder
	LARDER_BIN=$(CURDIR)/target/debug/larder node --test tests/nextjs/nextjs.test.mjs

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Seeds, properties, kills and fuzzed bytes; then floods, faults and memory on the release binary. About 20 minutes.
test-long: setup-bench
	LARDER_SEEDS=10000 cargo test --workspace --test simulation
	PROPTEST_CASES=20000 cargo test --workspace --test cache_control --test targeted --test injective_keys --test never_fresher
	LARDER_MUTATIONS=20000 cargo test --workspace --bin larder mutated
	cargo test --workspace --test long
	cargo build --release --bin larder
	benches/compare/herd.py --only larder
	benches/compare/sick.py --only larder
	benches/compare/memory.py

# CPU per hit beside nginx, and what one decision costs. Prints ratios; judges nothing.
bench: setup-bench
	cargo build --release --bin larder
	cargo bench -p semantics
	benches/compare/hit.py
