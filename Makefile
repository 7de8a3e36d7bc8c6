# Everything a developer or a fresh machine needs; every target sets up .venv first.
# Needs on the machine: Python 3.11 or newer (with venv), cargo (with clippy and rustfmt for `lint`).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
CONSTRAINTS := requirements/constraints.txt
RUST := $(shell find rust -name target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.*' -o -name '*.toml' \) -print 2>/dev/null)
PYTEST_ARGS ?=
MUTATE_ARGS ?=
# Processes that share the tests, one thread each (tests/conftest.py).
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile

export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
export PIP_CONSTRAINT := $(CURDIR)/$(CONSTRAINTS)

.PHONY: docs notebooks bench-lce-controls bench-answers bench-decoding bench-cluster bench-serve bench-models bench-onnx help env demo demo-accuracy demo-chat demo-private demo-service demo-training bench-training test test-all test-page test-rust test-cluster test-wheel wheel lint format bench bench-scale bench-estimate data-lce demo-vision \
  figures bench-private bench-private-long bench-private-availability bench-private-tokens bench-private-layer bench-private-peers bench-vision-peers bench-floors bench-kernels bench-long bench-portable bench-large bench-forecasts mutate vectors lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

env: $(VENV)/.built ## .venv with pinned dependencies and the Rust extension (release build)

# The first interpreter that is new enough; `make env PYTHON=...` overrides.
$(VENV)/.created:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  if "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    if test -x $(PY); then touch $@; else "$$python" -m venv $(VENV); fi; \
	    touch $@; exit 0; \
	  fi; \
	done; echo "make: Python 3.11 or newer with venv is needed; install it or pass PYTHON=..." >&2; exit 1

$(VENV)/.installed: $(VENV)/.created $(CONSTRAINTS)
	$(PY) -m pip install --quiet 'maturin>=1.9,<2'
	@touch $@

$(VENV)/.built: $(VENV)/.installed pyproject.toml $(RUST)
	@command -v cargo >/dev/null || { echo "make: cargo is needed; install Rust first" >&2; exit 1; }
	$(BIN)/maturin develop --release --locked --quiet --extras import,images,onnx,private,he,plot,server,dev
	@touch $@

demo: env ## SmolLM2 end to end: import, calibrate, commit, prove, verify, attack (minutes)
	$(PY) examples/demo.py --dir build/demo

# Fashion-MNIST (MIT) from Debian, unpacked without being installed; an installed copy comes first.
FASHION := $(firstword $(wildcard /usr/share/datasets/fashion-mnist) build/data/fashion-mnist)

build/data/fashion-mnist:
	@mkdir -p build/data/unpacked
	cd build/data && apt-get download dataset-fashion-mnist
	dpkg-deb -x build/data/dataset-fashion-mnist_*.deb build/data/unpacked
	cp -r build/data/unpacked/usr/share/datasets/fashion-mnist $@

demo-chat: env ## SmolLM2, a system prompt and two turns: both answers sampled, proved, verified (minutes)
	$(PY) examples/chat.py --dir build/demo-chat

demo-training: env $(FASHION) ## data, training, a model and an answer, all proved: Fashion-MNIST (minutes)
	$(PY) examples/demo_training.py --dir build/demo-training --data $(FASHION)

build/data/coffee.png: | env
	@mkdir -p build/data/unpacked
	$(BIN)/python -m pip download --quiet --no-deps --dest build/data scikit-image==0.26.0
	cd build/data/unpacked && $(CURDIR)/$(PY) -m zipfile -e ../scikit_image-*.whl .
	cp build/data/unpacked/skimage/data/coffee.png $@

demo-vision: env build/data/coffee.png ## a photograph enhanced, proved and verified (under two minutes)
	$(PY) examples/demo_vision.py --dir build/demo-vision --photograph build/data/coffee.png

build/data/photographs.npz: | env
	@mkdir -p build/data/wheels
	$(BIN)/python -m pip download --quiet --no-deps --dest build/data/wheels scikit-image==0.26.0 scikit-learn matplotlib
	PYTHONPATH=. $(PY) benches/lce_photographs.py --wheels build/data/wheels --out $@

data-lce: ## the photographs that the weights of `enhance` were trained on, from a Debian package
	@mkdir -p build/data
	cd build/data && apt-get download lomiri-wallpapers-16.04
	dpkg-deb -x build/data/lomiri-wallpapers-16.04_*.deb build/data/lomiri

demo-accuracy: env $(FASHION) ## a CNN, its right answers to 1,000 pictures proved: Fashion-MNIST (minutes)
	$(PY) examples/demo_accuracy.py --dir build/demo-accuracy --data $(FASHION)

demo-service: env ## a server: 20 receipts, a proof on demand, a lie that an audit finds, reports: MODEL=stories260k is quick
	$(PY) examples/demo_service.py $(if $(MODEL),--model $(MODEL))

demo-private: env ## private inference: owner, user and dealer as three processes, both modes (seconds)
	$(BIN)/veracity private demo

test: env test-rust ## the test suite without the slow tests; kernels also without AVX-512, and without AVX2
	VERACITY_PORTABLE=1 $(PYTEST) -q tests/conformance
	VERACITY_PORTABLE=plain $(PYTEST) -q tests/conformance -k "contract or product or extremes"
	$(PYTEST) $(PYTEST_ARGS)

test-rust: ## the kernels' own tests, in Rust; one line for each group of them
	cargo test --manifest-path rust/Cargo.toml --locked --quiet \
	  -p veracity-kernels 2>&1 | awk '/^test result|FAILED|panicked|^error|^warning/'

test-all: env ## slow tests, too
	$(PYTEST) -m "not gpu and not wheel and not page" $(PYTEST_ARGS)

test-page: env ## the server's pages in headless Chromium; pictures of them in build/page
	@for program in chromium chromedriver; do command -v $$program >/dev/null || { \
	  echo "make: $$program is needed; on Debian: apt-get install chromium chromium-driver" >&2; exit 1; }; done
	$(BIN)/pytest -q -m page tests/e2e/test_page.py $(PYTEST_ARGS)

wheel: env ## dist: a wheel for Python 3.11 and newer, glibc 2.28 and newer, and the sources
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --quiet \
	  --zig --compatibility manylinux_2_28 --out dist
	$(BIN)/maturin sdist --out dist

test-wheel: wheel ## the wheel in a fresh environment without a compiler verifies a proof
	$(BIN)/pytest -m wheel tests/e2e/test_wheel.py

test-cluster: env ## proofs on a Ray cluster of two nodes: killed workers, a late node, a head started anew (minutes)
	test -d build/ray/ray || $(PY) -m pip install --quiet --target build/ray 'ray>=2.52,<3'
	PYTHONPATH="$(CURDIR)/build/ray" $(BIN)/pytest -m cluster tests/e2e/test_ray.py

lint: env ## ruff, mypy, stub test, import contract, rustfmt, clippy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PY) -m mypy.stubtest veracity.engine._cpu
	$(BIN)/lint-imports --no-cache
	cargo fmt --manifest-path rust/Cargo.toml --all --check
	cargo clippy --manifest-path rust/Cargo.toml --workspace --all-targets --locked --quiet -- -D warnings

format: env ## put Python and Rust into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --manifest-path rust/Cargo.toml --all

bench: env ## measured workloads: stories260k with 64 tokens, gpt2-124m and SmolLM2 with 32
	@mkdir -p build/bench
	$(BIN)/veracity bench stories260k --tokens 64 --json | tee build/bench/stories260k.json
	$(BIN)/veracity bench gpt2-124m --tokens 32 --json | tee build/bench/gpt2-124m.json
	$(BIN)/veracity bench smollm2 --tokens 32 --json | tee build/bench/smollm2.json

figures: env ## tables of the pages from docs/figures; RECORD=build/bench takes new ones over
	PYTHONPATH=. $(PY) benches/figures.py $(if $(RECORD),--record $(RECORD))

bench-long: env ## SmolLM2 with 128 tokens, and with 512 under 8 GiB (minutes)
	@mkdir -p build/bench
	$(BIN)/veracity bench smollm2 --tokens 128 --json | tee build/bench/smollm2-128.json
	$(BIN)/veracity bench smollm2 --tokens 512 --memory 8GiB --json | tee build/bench/smollm2-512.json

bench-floors: env ## what a proof takes beside floors measured here, by phase (needs a C++ compiler); MODELS="NAME:TOKENS ..." picks others
	$(PY) benches/floors.py $(MODELS) --json build/bench/floors.json

bench-kernels: env ## kernels on one thread, with AVX-512, with AVX2 and in plain Rust (minutes)
	$(PY) benches/kernel_paths.py --json build/bench/kernels.json

bench-portable: env ## how much longer proofs take without AVX-512 (minutes)
	$(PY) benches/portable.py --json build/bench/portable.json

bench-large: env ## random 16-bit weights of LLaMA-2-7B's shape: 8 tokens proved under 16 GiB and verified (30 GB of disk, an hour)
	$(PY) benches/large.py $(or $(SHAPE),llama-2-7b) --memory $(or $(MEMORY),16GiB) --json build/bench/large.json

build/bench/private/smollm2.vprog: | env
	@mkdir -p build/bench/private
	$(BIN)/veracity import smollm2 --out build/bench/private/new.vprog
	$(BIN)/veracity calibrate build/bench/private/new.vprog
	mv build/bench/private/new.vprog $@

bench-private: build/bench/private/smollm2.vprog ## private inference over an emulated network: stories260K and SmolLM2, both modes
	for mode in secure shuffled; do \
	  $(BIN)/veracity private bench stories260k --mode $$mode --context 64 --json \
	    | tee build/bench/private-stories260k-$$mode.json; \
	  $(BIN)/veracity private bench build/bench/private/smollm2.vprog --mode $$mode --context 64 \
	    --keep build/bench/private --json | tee build/bench/private-smollm2-$$mode.json; \
	done
	$(BIN)/veracity private bench build/bench/private/smollm2.vprog --mode secure --context 512 --cap 2048 \
	  --keep build/bench/private --json | tee build/bench/private-smollm2-secure-512.json

bench-private-long: build/bench/private/smollm2.vprog ## SmolLM2 in private with a prompt of 1,000 tokens and 2 GB at each party, both modes (half an hour each)
	for mode in secure shuffled; do \
	  $(BIN)/veracity private bench $< --mode $$mode --context 1000 --cap 2048 --keep build/bench/private \
	    --json | tee build/bench/private-long-$$mode.json; \
	done

bench-private-availability: env ## an answer in private alone and beside a crowd of connections, both times
	@mkdir -p build/bench
	for mode in secure shuffled; do \
	  $(PY) benches/private_availability.py --mode $$mode | tee build/bench/private-availability-$$mode.json; \
	done

bench-private-tokens: build/bench/private/smollm2.vprog ## whether private answers are the program's, token by token: 24 questions of SmolLM2 and stories260K (minutes)
	PYTHONPATH=. $(PY) benches/private_tokens.py $< --questions 24 | tee build/bench/private-tokens.json
	for mode in secure shuffled; do \
	  PYTHONPATH=. $(PY) benches/private_tokens.py stories260k --questions 24 --tokens 20 --mode $$mode \
	    | tee build/bench/private-tokens-stories260k-$$mode.json; \
	done

bench-private-layer: env ## one layer of ChatGLM-6B's size in private, both modes, times 28 (minutes)
	@mkdir -p build/bench
	for mode in shuffled secure; do \
	  $(PY) benches/private_layer.py --mode $$mode --json | tee build/bench/private-layer-$$mode.json; \
	done

bench-private-peers: env ## a GPT-2-size pass in SPU (in .venv-peers, 1 GB) and here, side by side
	@mkdir -p build/bench
	$(PY) benches/private_peers.py --json | tee build/bench/private-peers.json

bench-training: env $(FASHION) ## proofs of training, a JSON line per workload; WORKLOADS=fashion-mlp,... picks some
	@mkdir -p build/bench
	$(PY) benches/training.py --data $(FASHION) --out build/bench \
	  $(if $(WORKLOADS),--workloads $(WORKLOADS))

bench-onnx: env ## import, prove and verify every model of a folder: MODELS=DIR, a JSON line each
	@test -n "$(MODELS)" || { echo "make: give MODELS=DIR, a folder of .onnx files" >&2; exit 1; }
	$(PY) benches/onnx_models.py "$(MODELS)"

bench-vision-peers: env ## one ONNX CNN proved here and by EZKL (in build/ezkl), stage by stage (11 GB, many minutes)
	@mkdir -p build/bench
	$(PY) benches/vision_peers.py $(if $(MODEL),--model $(MODEL)) | tee build/bench/vision-peers.json

bench-lce-controls: build/data/photographs.npz data-lce ## LCE and two plain networks, three seeds each, trained and compared: SET5=DIR (torch in build/torch; hours)
	test -d build/torch/torch || $(PY) -m pip install --quiet --target build/torch torch
	PYTHONPATH=.:build/torch $(PY) benches/lce_controls.py train --runs build/lce --pictures build/data/lomiri
	PYTHONPATH=.:build/torch $(PY) benches/lce_controls.py measure --runs build/lce --photos $< \
	  $(if $(SET5),--set5 $(SET5)) --json build/bench/lce-controls.json

bench-models: env ## import, prove and verify every language model of a folder: MODELS=DIR, a JSON line each
	@test -n "$(MODELS)" || { echo "make: give MODELS=DIR, a folder of models" >&2; exit 1; }
	$(PY) benches/models.py "$(MODELS)"

bench-scale: env ## prove time, memory and size against tokens and model size; plots docs/figures/scale.png
	$(PY) -m pip install --quiet "matplotlib>=3.9"
	$(PY) benches/scale.py

bench-serve: env ## stories260K served to 30 clients, some hostile: no error, no mix-up, what receipts cost
	@mkdir -p build/bench
	test -f build/bench/serve.vsec || { \
	  $(BIN)/veracity import stories260k --out build/bench/serve.vprog -q; \
	  $(BIN)/veracity calibrate build/bench/serve.vprog -q; \
	  $(BIN)/veracity commit build/bench/serve.vprog -q --out build/bench/serve.vcom \
	    --secret build/bench/serve.vsec; }
	PYTHONPATH=. $(PY) benches/serve_load.py build/bench/serve.vprog | tee build/bench/serve.json

bench-decoding: env ## tokens a second of the integer programs of SmolLM2 and stories260K, contexts 64 and 512
	@mkdir -p build/bench
	for name in smollm2 stories260k; do test -f build/bench/$$name.vprog || { \
	  $(BIN)/veracity import $$name --out build/bench/$$name.vprog -q && \
	  $(BIN)/veracity calibrate build/bench/$$name.vprog -q || exit 1; }; done
	$(PY) benches/decoding.py build/bench/smollm2.vprog build/bench/stories260k.vprog \
	  | tee build/bench/decoding.json

bench-cluster: env ## one proof on one process, and on Ray clusters of one node and of two; MODEL=FILE.vprog (its .vsec beside it)
	@test -n "$(MODEL)" || { echo "make: give MODEL=FILE.vprog, such as build/demo/model.vprog" >&2; exit 1; }
	test -d build/ray/ray || $(PY) -m pip install --quiet --target build/ray 'ray>=2.52,<3'
	PYTHONPATH="$(CURDIR):$(CURDIR)/build/ray" $(PY) benches/cluster.py $(MODEL)

bench-answers: env ## one proof of eight answers against eight proofs; MODEL=FILE.vprog (its .vsec beside it) takes another model
	@mkdir -p build/bench
	test -n "$(MODEL)" || test -f build/bench/serve.vsec || { \
	  $(BIN)/veracity import stories260k --out build/bench/serve.vprog -q; \
	  $(BIN)/veracity calibrate build/bench/serve.vprog -q; \
	  $(BIN)/veracity commit build/bench/serve.vprog -q; }
	$(PY) benches/answers.py $(or $(MODEL),build/bench/serve.vprog) $(or $(MODEL:.vprog=.vsec),build/bench/serve.vsec)

bench-estimate: env ## what `veracity estimate` foretells against what is measured
	@mkdir -p build/bench
	$(PY) benches/estimates.py --json build/bench/estimates.json

bench-forecasts: env ## time left as progress bars tell it, against the truth; PROGRAMS=FILES
	$(PY) benches/forecasts.py $(PROGRAMS)

mutate: env ## delete one check of the verifier at a time; ONLY=TEXT, CHANGED=REV, WORKERS=N (hours)
	$(PY) -m tools.mutate --workers $(WORKERS) --only "$(ONLY)" --changed "$(CHANGED)" $(MUTATE_ARGS)

vectors: env ## remake the frozen proofs (when the protocol's label changes)
	$(PY) -m tests.vectors.make

docs: build/docs/.installed ## the documentation as a site in build/site; any warning or dead link is an error
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict

notebooks: env ## run the notebooks of the documentation, and record what their cells print
	$(PY) -m tools.site.notebooks docs/notebooks/*.ipynb

# An environment of its own: the package is read, not built, and `env` stays as quick as it is.
build/docs/.installed: requirements/docs.txt | $(VENV)/.created
	$(PY) -m venv build/docs
	PIP_CONSTRAINT= build/docs/bin/python -m pip install --quiet -r requirements/docs.txt
	@touch $@

lock: env ## rewrite the pins from what .venv, and build/docs where it is, hold
	$(PY) -m pip freeze --exclude-editable --exclude veracity > $(CONSTRAINTS)
	test ! -x build/docs/bin/python || build/docs/bin/python -m pip freeze > requirements/docs.txt

clean: ## remove build outputs (keeps .venv)
	rm -rf build dist rust/target .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
