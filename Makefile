# make demo | test | fuzz | faults | steps | bench | asan | tsan | install | clean | replay | soak | writers | valgrind
# What is missing on a Debian or Ubuntu machine is installed on the way (tests/tools/setup.sh says what).

RELEASE := build/release
PYTHON := build/venv/bin/python
# A meson in the virtual environment is there only when the system's is too old.
MESON = $(if $(wildcard build/venv/bin/meson),build/venv/bin/meson,meson)
RUN_TESTS := tests/tools/run_tests.py
PREFIX ?= /usr/local

# configure FOLDER,OPTIONS: also when it was configured before, because lists of tests are read at that time.
define configure
	@mkdir -p build
	@if [ -f $(1)/build.ninja ]; then \
		$(if $(2),$(MESON) configure $(1) $(2) &&) $(MESON) setup --reconfigure $(1); \
	else \
		$(MESON) setup $(1) $(2); \
	fi >$(1).log 2>&1 || { cat $(1).log; exit 1; }
endef

.PHONY: all demo test faults steps bench asan tsan fuzz install clean setup setup-python setup-binding setup-bench replay soak valgrind
.NOTPARALLEL:

all: setup
	$(call configure,$(RELEASE),)
	@ninja -C $(RELEASE) --quiet

setup:
	@tests/tools/setup.sh core

setup-python:
	@tests/tools/setup.sh python

setup-binding:
	@tests/tools/setup.sh binding

.PHONY: setup-rust setup-go
setup-rust:
	@tests/tools/setup.sh rust
setup-go:
	@tests/tools/setup.sh go

.PHONY: demo-go
demo-go: setup-go all
	@cd bindings/go && if go list -m >/dev/null 2>&1; then PKG_CONFIG_PATH=$(CURDIR)/$(RELEASE)/meson-uninstalled \
		CGO_CFLAGS="-O2 -g -I$(CURDIR)/include" LD_LIBRARY_PATH=$(CURDIR)/$(RELEASE)/src go run ./cmd/demo; fi
demo: demo-go

demo: setup-binding setup-rust
	@$(PYTHON) bindings/python/examples/demo.py
	@if command -v cargo >/dev/null; then CARGO_TARGET_DIR=build/cargo-source DBC_SYS=source \
		cargo run --release --quiet --locked --manifest-path bindings/rust/Cargo.toml --example demo; fi

test: setup-binding setup-rust setup-go all
	@$(PYTHON) $(RUN_TESTS) $(RELEASE)

# Nothing left out: every call and every allocation that can fail, thousands of power cuts, hundreds of kills. Two hours.
faults: all
	@DBC_FAULTS_LONG=1 python3 $(RUN_TESTS) $(RELEASE) faults

steps: setup
	@python3 tests/tools/steps.py

setup-bench: setup-binding
	@tests/bench/setup.sh

# BENCH="--quick" for a look, BENCH="--only P4,Y2" for a part, BENCH="--document" to renew the figures of the documents.
bench: setup-bench all
	@build/bench-venv/bin/python tests/bench/run.py $(BENCH)

# Minutes of what `make test` does for seconds: 5 million requests over a million keys.
replay: setup
	$(call configure,$(RELEASE),)
	@ninja -C $(RELEASE) --quiet tests/model/replay_test
	@$(RELEASE)/tests/model/replay_test --requests=5000000 --keys=1000000

# The soak tests at SOAK_SCALE times their length (20), then SOAK_SECONDS (600) of workers in C, Python, Rust and Go.
soak: setup-binding setup-rust setup-go all
	@$(PYTHON) tests/soak/soak.py $(RELEASE)

# 8 processes that put into one file, SOAK_SECONDS (60) with libdbc and as many with diskcache.
.PHONY: writers
writers: setup-bench all
	@build/bench-venv/bin/python tests/soak/writers.py

# Rust's calls beside moka, quick_cache, foyer and redb; compiles these first. Writes build/bench/rust.json.
.PHONY: bench-rust
bench-rust: setup setup-rust
	@mkdir -p build/bench
	@CARGO_TARGET_DIR=build/cargo-bench DBC_SYS=source DBC_BENCH_JSON=$(CURDIR)/build/bench/rust.json \
		cargo bench --locked --manifest-path bindings/rust/bench/Cargo.toml --bench peers

# Whatever a sanitizer finds ends the test that did it.
SANITIZED := -Dbuildtype=debugoptimized -Db_ndebug=false -Db_lundef=false
COMMA := ,
# No check of enums: a C program may pass any number as one, and must get an error for it.
asan: setup
	$(call configure,build/asan,$(SANITIZED) -Db_sanitize=address$(COMMA)undefined \
		-Dc_args=-fno-sanitize-recover=all "-Dcpp_args=-fno-sanitize-recover=all -fno-sanitize=enum")
	@ninja -C build/asan --quiet
	@ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		python3 $(RUN_TESTS) build/asan --native

tsan: setup
	$(call configure,build/tsan,$(SANITIZED) -Db_sanitize=thread)
	@ninja -C build/tsan --quiet
	@TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0 \
		python3 $(RUN_TESTS) build/tsan --native

# Each fuzzer for FUZZ_SECONDS, beginning with its corpus in the repository; what it finds new is kept in build/fuzz-corpus.
# What it finds wrong is left there too, as crash-...; give that file to the fuzzer again.
FUZZ_SECONDS ?= 600
fuzz: setup
	@tests/tools/setup.sh fuzz
	@CC=clang-14 CXX=clang++-14; export CC CXX; \
		test -f build/fuzz/build.ninja || $(MESON) setup build/fuzz $(SANITIZED) -Dfuzz=true -Db_sanitize=address$(COMMA)undefined \
		-Dc_args=-fno-sanitize-recover=all \
		"-Dcpp_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all -fno-sanitize=enum" >build/fuzz.log 2>&1 || \
		{ cat build/fuzz.log; exit 1; }
	@ninja -C build/fuzz --quiet $(addprefix tests/fuzz/,$(addsuffix _fuzz,$(notdir $(wildcard tests/fuzz/corpus/*))))
	@for corpus in tests/fuzz/corpus/*; do name=$${corpus##*/}; mkdir -p build/fuzz-corpus/$$name; echo "== $$name"; \
		ASAN_OPTIONS=allocator_may_return_null=1 build/fuzz/tests/fuzz/$${name}_fuzz -max_total_time=$(FUZZ_SECONDS) \
		-timeout=60 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz-corpus/ \
		build/fuzz-corpus/$$name $$corpus || exit 1; done
valgrind: all
	@tests/faults/valgrind.sh $(RELEASE)

install: setup
	$(call configure,build/install,-Dprefix=$(PREFIX) -Dtests=false)
	@ninja -C build/install --quiet
	@$(MESON) install -C build/install --no-rebuild

clean:
	rm -rf build bindings/python/build bindings/python/src/*.egg-info
