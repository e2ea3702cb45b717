# Everything is made inside the checkout: .venv/ (Python packages), target/ (Rust),
# build/ (benchmark results, peers that don't go into .venv/), dist/ (wheels).
# Files named .venv/.<stage> record what is done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
BROWSER := build/browser/engine/engine.wasm
LLM_PEER := build/peers/torch-to-nnef-llm
OPINFO := tests/opinfo/results
# A CI machine must refuse a stale Cargo.lock, not repair it.
LOCKED := $(if $(CI),--locked)

# Commands must see the checkout's environment and no other that happens to be active.
export VIRTUAL_ENV := $(abspath $(VENV))
unexport CONDA_PREFIX

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.dev ## export ViT-B/16, load it in process, check, profile and run it
	@$(BIN)/python examples/vit_dynamic_batch.py

.PHONY: demo-vad
demo-vad: $(VENV)/.dev ## stream Silero VAD with its weights, from a microphone's chunks to a picture
	@$(BIN)/python examples/voice_activity.py --plot build/voice_activity.png

.PHONY: browser
browser: $(VENV)/.dev $(BROWSER) ## Silero VAD in the browser: compile tract to WebAssembly, serve the page (PORT=8000)
	@cd examples && ../$(BIN)/python -m browser_vad.serve --port $(or $(PORT),8000)

.PHONY: test
test: $(VENV)/.dev ## run the Rust and the Python tests
	@echo "==> Rust tests"
	@cargo test $(LOCKED)
	@echo "==> Python tests"
	@$(BIN)/python -m pytest -n auto --maxschedchunk=1

.PHONY: test-browser
test-browser: $(VENV)/.browser $(VENV)/.dev $(BROWSER) ## test the engine and the page in headless Chromium
	@$(BIN)/python -m pytest -n auto tests/browser

.PHONY: lint
lint: $(VENV)/.dev ## check style, types, the native module's stub and Rust lints
	@echo "==> Python style and types"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@echo "==> _native.pyi against the compiled module"
	@$(BIN)/python -m mypy.stubtest --concise torchtract._native
	@echo "==> Rust style and lints (the first time 2 to 5 minutes)"
	@cargo fmt --all --check
	@cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

.PHONY: bench
bench: $(VENV)/.bench $(VENV)/.bench-llm $(VENV)/.release ## measure against the peers, release build; JSON in build/ (QUICK=1: two rounds)
	@echo "==> Benchmarks (10 to 20 minutes; leave the machine alone meanwhile)"
	@$(BIN)/python -m pytest -v --no-header -W ignore --timeout=3600 tests/benchmarks/bench_*.py \
	  --report-json=build/bench.json $(if $(QUICK),--quick)

.PHONY: bench-browser
bench-browser: $(VENV)/.browser $(VENV)/.bench $(BROWSER) $(VENV)/.release ## measure in Chromium, beside native and onnxruntime-web (QUICK=1)
	@ls build/browser/wheels/open_webui-*.whl > /dev/null 2>&1 \
	  || $(BIN)/python -m pip download --quiet --no-deps --dest build/browser/wheels open-webui==0.12.4
	@$(BIN)/python -m pytest -v --no-header -W ignore tests/benchmarks/browser/bench_browser.py \
	  --report-json=build/bench_browser.json $(if $(QUICK),--quick)

.PHONY: opinfo
opinfo: $(VENV)/.dev $(VENV)/.bench ## try all samples of PyTorch's operators, in all types, and write docs/operators.md
	@echo "==> PyTorch's samples through torchtract (hours; DTYPES=int64,bool of some types, SAMPLES=20 of each)"
	@$(BIN)/python -m pytest -q -n auto --timeout=3600 tests/opinfo --dtypes=$(or $(DTYPES),all) \
	  --samples=$(or $(SAMPLES),0) --record=$(OPINFO)/torchtract.json
	@echo "==> two of each in float32 through torch-to-nnef, whose failures only count"
	@-$(if $(DTYPES),true,$(BIN)/python -m pytest -q -n auto --timeout=60 tests/opinfo \
	  --exporter=torch-to-nnef --record=$(OPINFO)/torch_to_nnef.json)
	@cd tests && ../$(BIN)/python -m opinfo.page ../$(OPINFO)/torchtract.json \
	  ../$(OPINFO)/torch_to_nnef.json ../docs/operators.md

.PHONY: models
models: $(VENV)/.bench $(VENV)/.dev ## export every model of the libraries, beside torch-to-nnef; writes docs/models.md
	@echo "==> Models (3 to 5 hours; goes on where it was stopped, results in build/models/)"
	@cd tests && ../$(BIN)/python -m models.table

.PHONY: causal-models
causal-models: $(VENV)/.dev ## export every causal language model of transformers; writes docs/causal-models.md
	@echo "==> Causal language models (half an hour; goes on where it was stopped)"
	@cd tests && ../$(BIN)/python -m llm.every

.PHONY: wheel
wheel: $(VENV)/.python ## build a wheel in dist/
	@$(BIN)/python -m pip install --quiet --group build
	@echo "==> Compiling the wheel, release profile (the first time 5 to 10 minutes)"
	@$(BIN)/maturin build $(LOCKED) --release --out dist

.PHONY: clean
clean: ## remove all that make has made, .venv/ too
	rm -rf .venv target build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f python/torchtract/_native*.so python/torchtract/_native*.pyd
	find python tests examples -name __pycache__ -prune -exec rm -rf {} +

# --- stages -------------------------------------------------------------------------------------

# Debian's Python comes without ensurepip: then its pip, where there is one, does the work.
$(VENV)/.python:
	@command -v cargo > /dev/null || { echo "cargo was not found: install Rust stable, https://rustup.rs" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$(PYTHON) is missing or older than Python 3.10: name another with PYTHON=..." >&2; exit 1; }
	@echo "==> Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	  || { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; } \
	  || { echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' # the first that knows --group
	@touch $@

$(VENV)/.packages: $(VENV)/.python pyproject.toml
	@echo "==> Installing Python packages (PyTorch is some 3 GB on Linux: 2 to 10 minutes)"
	@$(BIN)/python -m pip install --group dev
	@touch $@

$(VENV)/.bench: $(VENV)/.packages
	@echo "==> Installing what we measure against: torch-to-nnef, tract"
	@$(BIN)/python -m pip install --quiet --group dev --group bench
	@touch $@

# torch-to-nnef-llm fails with our transformers, so it gets a folder with one that it works with.
$(VENV)/.bench-llm: $(VENV)/.bench
	@echo "==> Installing what we measure language models against: torch-to-nnef-llm"
	@rm -rf $(LLM_PEER)
	@$(BIN)/python -m pip install --quiet --target $(LLM_PEER) huggingface-hub==1.33.0 httpx==0.28.1
	@$(BIN)/python -m pip install --quiet --target $(LLM_PEER) --upgrade --no-deps \
	  torch-to-nnef-llm==0.24.12 transformers==5.16.0
	@echo "==> Compiling tract's command line (the first time 5 to 10 minutes)"
	@cargo install tract-cli@=0.23.9 --quiet --locked --root build/peers/tract-cli \
	  --target-dir target/tools/tract-cli --no-default-features \
	  --features extra,multithread-mm,pulse,pulse-opl,transformers
	@echo "==> Compiling llama.cpp (the first time 10 to 15 minutes)"
	@$(BIN)/python -m pip install --quiet --group dev --group bench-llm \
	  || echo "llama.cpp could not be compiled, which takes a C++ compiler: going on without it" >&2
	@touch $@

$(VENV)/.browser: $(VENV)/.packages
	@echo "==> Installing what drives Chromium: playwright"
	@$(BIN)/python -m pip install --quiet --group dev --group browser
	@touch $@

$(BROWSER): $(filter-out rust/native/%,$(RUST)) $(wildcard rust/browser/js/*) rust/browser/build.sh
	@rust/browser/build.sh $(@D)
	@touch $@

# The two builds take turns as python/torchtract/_native: making one makes the other out of date.
$(VENV)/.dev: $(VENV)/.packages $(RUST)
	@echo "==> Compiling tract and the native module, development profile (the first time 5 to 10 minutes)"
	@PIP_QUIET=1 $(BIN)/maturin develop $(LOCKED) --extras export
	@rm -f $(VENV)/.release && touch $@

$(VENV)/.release: $(VENV)/.packages $(RUST)
	@echo "==> Compiling tract and the native module, release profile (the first time 5 to 10 minutes)"
	@PIP_QUIET=1 $(BIN)/maturin develop $(LOCKED) --extras export --release
	@rm -f $(VENV)/.dev && touch $@
