# make demo | test | test-slow | test-gpu | lint | clean.  PIP_ARGS is passed to pip, for example
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# names PyTorch's index of CPU builds where pip would take a CUDA build.
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: install demo test test-slow test-gpu lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints-cpu.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints-cpu.txt -e '.[dev,scale]'
	touch $@

demo: install
	recipes/run.sh demo

test: install
	$(BIN)/python -m pytest -m "not slow and not gpu and not network"

test-slow: install
	$(BIN)/python -m pytest -m "slow and not gpu and not network"

test-gpu: install
	$(BIN)/python -m pytest -m gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf runs/demo
