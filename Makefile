# Two commands on a bare machine (Python 3.11 or newer and make): `make run`, `make test`.
# TORCH_INDEX: an extra package index for torch, for instance torch's own index of CPU wheels (saves gigabytes of CUDA).
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
      $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: run test check lint types fast bench gpu-check clean

run: $(VENV)/.run
	$(BIN)/lutra up

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: lint types fast

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not chaos and not browser"

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Needs torch with CUDA in $(PYTHON); no network, and nothing is installed.
gpu-check:
	$(PYTHON) -m pytest -m cuda tests/kernels tests/models tests/workers/test_engine.py

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lutra needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[local]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.run
