# make summary [CARD=path/to/card.md] | demo | test | test-slow | test-gpu | lint | clean.  PIP_ARGS is passed to pip, for example
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# names PyTorch's index of CPU builds where pip would take a CUDA build.
PYTHON ?= python3
PIP_ARGS ?=
CARD ?=
BIN := .venv/bin
# A process a core with one thread each: torch's own threads would fight over the cores. A file's tests stay together,
# since they share what the first of them made.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

.PHONY: install summary demo test test-slow test-gpu lint clean

install: .venv/installed

PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints-cpu.txt

# What a summary needs, and no more.
.venv/core: pyproject.toml constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) -e .
	touch $@

.venv/installed: .venv/core
	$(PIP) -e '.[dev]'
	touch $@

# A summary of CARD by the small model that ships, without CARD of that model's own card. The first call fetches and prepares its base.
summary: .venv/core
	$(BIN)/card-summarizer $(or $(CARD),eval/shipped_adapter/README.md --model-id Card-Summarizer-135M)

demo: install
	recipes/run.sh demo

test: install
	$(PYTEST) -m "not slow and not gpu and not network"

# By name: each process would otherwise collect all files.
test-slow: install
	$(PYTEST) -m "slow and not gpu and not network" $$(grep -rlE 'mark\.slow\b' tests --include='*.py')

test-gpu: install
	$(BIN)/python -m pytest -m gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

clean:
	rm -rf runs/demo
