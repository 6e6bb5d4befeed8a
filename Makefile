# One command each; `make help` lists them. Everything lands in .venv/ and build/.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# An installed copy, not the source tree: what is tested is what a user gets.
SOURCES := pyproject.toml ffi_build.py $(shell find llamactl llama.cpp -type f -not -name '*.pyc' -not -name '*.so*')
NATIVE  := $(filter-out %.cdef.h,$(wildcard $(addprefix llamactl/native/*/*,.c .h .cpp)))

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-vulkan soak hour equality test-pythons fuzz sanitize analyze check format bench gate peers docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The engine compiles once (about 4 minutes on 2 cores); later installs take seconds.
$(VENV)/.installed-%: $(BIN)/python $(SOURCES)
	@echo "Building and installing llamactl (the first time compiles llama.cpp: some minutes)"
	$(PIP) install --quiet '.$(if $(filter-out base,$*),[$*])'
	@touch $@

demo: $(VENV)/.installed-base  ## Set everything up and generate a text
	$(BIN)/llamactl run --seed 7 -n 96 "Explain in two sentences what a system call is."

test: $(VENV)/.installed-test  ## Set everything up and run the tests
	$(BIN)/pytest $(ARGS)

# ggml's Vulkan backend compiles once (3 minutes on 2 cores); a device in software needs no hardware.
test-vulkan: $(VENV)/.installed-test  ## Run the tests of devices on Mesa's lavapipe, a device in software
	$(PIP) install --quiet 'cmake>=3.28' ninja
	@PATH="$(abspath $(BIN)):$$PATH" PYTHON=$(BIN)/python tests/vulkan/build.sh build/vulkan >build/vulkan.library; \
	case $$? in \
	    0) LLAMACTL_TEST_VULKAN="$$(tail -n 1 build/vulkan.library)" $(BIN)/pytest tests/vulkan $(ARGS);; \
	    77) echo "tests/vulkan skipped: see the line above";; \
	    *) exit 1;; \
	esac

soak: $(VENV)/.installed-test  ## Kill, starve and feed llamactl for long: make soak MOMENTS=500 SECONDS=3600
	LLAMACTL_SOAK_FIRST=$(or $(FIRST),0) LLAMACTL_SOAK_MOMENTS=$(or $(MOMENTS),500) LLAMACTL_SOAK_SECONDS=$(or $(SECONDS),3600) $(BIN)/pytest tests/faults $(ARGS)

hour: $(VENV)/.installed-test  ## Record servers that generate for an hour (SECONDS=3600), and hold what llamactl uses to bounds
	LLAMACTL_HOUR_SECONDS=$(or $(SECONDS),3600) LLAMACTL_HOUR_LOG=$(CURDIR)/build/hour.jsonl $(BIN)/pytest tests/faults/test_long_recording.py $(ARGS)

equality: $(VENV)/.installed-test  ## Compare every combination of models and options with llama-completion (make peers first)
	LLAMACTL_EQUALITY=all $(BIN)/pytest tests/run/equality $(ARGS)

test-pythons: $(VENV)/.installed-test  ## Run the quick tests on every other Python from 3.10 to 3.14 found here
	$(BIN)/python tests/other_pythons.py

# $(1): the folder of the tools.
define checks
	$(1)/ruff check .
	$(1)/ruff format --check .
	$(1)/mypy
	$(1)/lint-imports --no-cache
	$(1)/python docs/generate.py --check
	$(1)/python llama.cpp/ffi_stubs.py --check
	$(1)/clang-format --dry-run -Werror $(NATIVE)
endef

check: $(VENV)/.installed-dev  ## Lint, types, import contracts, C style
	$(call checks,$(BIN))

# Our own C alone, beside the source tree: changed Python needs no second installation.
QUICK := build/quick
$(QUICK)/.installed: pyproject.toml ffi_build.py $(shell find llamactl/native llama.cpp -type f)
	$(PYTHON) -m venv $(QUICK)/venv
	$(QUICK)/venv/bin/python -m pip --disable-pip-version-check install --quiet -e '.[dev]' \
	    -C cmake.define.LLAMACTL_ENGINE=OFF -C build-dir=$(QUICK)/cmake
	@touch $@

quick: $(QUICK)/.installed  ## Lint, types, contracts and the pure tests, without compiling llama.cpp
	$(call checks,$(QUICK)/venv/bin)
	$(QUICK)/venv/bin/python tests/quick.py

format: $(VENV)/.installed-dev  ## Put the code into its format, and write the C modules' types
	$(BIN)/python llama.cpp/ffi_stubs.py
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE)

fuzz: $(VENV)/.installed-test  ## Fuzz the readers of foreign input with coverage (SECONDS=60 or RUNS= for each of TARGETS; needs clang for C)
	$(PIP) install --quiet 'atheris>=2.3'
	$(BIN)/python tests/fuzz/fuzz.py $(TARGETS) --seconds $(or $(SECONDS),$(if $(RUNS),3600,60)) --runs $(or $(RUNS),-1) --seed $(or $(SEED),0)

# Our own C alone, without llama.cpp, as a second copy of the package that the tests are pointed to.
SANITIZED := build/sanitized
sanitize: $(VENV)/.installed-test  ## Run the tests of our C under AddressSanitizer and UndefinedBehaviorSanitizer (SHORT=1: a minute of them)
	$(PIP) install --quiet 'cmake>=3.28' ninja 'cffi>=2.1'
	LLAMACTL_SANITIZE_SHORT=$(SHORT) PYTHON=$(BIN)/python tests/sanitize.sh $(SANITIZED)

analyze:  ## Look for faults in our C with gcc's static analyzer
	tests/analyze.sh

peers: $(VENV)/.installed-base  ## Build llama.cpp's programs and other bindings on the same engine, to compare with
	$(PIP) install --quiet --no-deps . -C cmake.define.LLAMACTL_PEERS=ON -C "build.targets=all;peers"
	$(PYTHON) -m venv build/peers-venv
	CMAKE_ARGS=-DLLAMA_BUILD=OFF build/peers-venv/bin/pip --disable-pip-version-check install --quiet \
	    --no-binary llama-cpp-python -r llama.cpp/requirements.txt --no-deps
	build/peers-venv/bin/pip --disable-pip-version-check install --quiet numpy jinja2 diskcache typing-extensions \
	    uvicorn fastapi pydantic-settings sse-starlette starlette-context PyYAML xllamacpp

bench: $(VENV)/.installed-test  ## Measure against peers (make peers first)
	@for name in run_vs_llama_cpp bench_vs_llama_bench inspect_model inspect_process trace_overhead trace_report \
	    agent_overhead; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

gate: $(VENV)/.installed-test  ## Check llamactl's own deterministic counters against their baseline
	$(BIN)/llamactl bench -t 1 -p 32 -n 8 -r 3 -q --baseline benchmarks/baseline.json --allow-different machine \
	    --fail-if 'crossings > 1' --fail-if 'kv_bytes > 1' --fail-if 'compute_bytes > 1'

docs: $(VENV)/.installed-docs  ## Write the reference pages from the code
	$(BIN)/python docs/generate.py

clean:  ## Remove what was built (the next build compiles the engine again)
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
