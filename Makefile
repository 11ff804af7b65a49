# Every target sets itself up: a first run makes .venv, later ones reuse it.
# PYTHON=… chooses another interpreter than python3 for the environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
# A process of tests for each processor; what a file's tests share is made once. Files come in the order of
# tests/conftest.py, the longest first, or one process would be busy with them when the others are done.
BESIDE := -n logical --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench bench-check docs clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(READY)  ## group 60 simulated devices, train them on real data, compare with one model for all; a page with charts
	$(BIN)/tierwise demo --out build/demo $(ARGS)

test: $(TOOLS)  ## the test suite, in some minutes
	$(BIN)/pytest $(BESIDE) -m "not slow" $(ARGS)

test-all: $(TOOLS)  ## the test suite with its long tests
	$(BIN)/pytest $(BESIDE) $(ARGS)

lint: $(TOOLS)  ## ruff, mypy --strict, and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	BIN=$(BIN) sh .ci/types

format: $(TOOLS)  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TOOLS)  ## every benchmark, each figure beside its baseline, into benchmarks/results and the page about performance
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-check: $(TOOLS)  ## name each ratio that is worse by a fifth than in benchmarks/results
	$(BIN)/python benchmarks/check.py $(ARGS)

docs: $(TOOLS)  ## write what pages have from the code (plugins, commands, configuration, the protocol) and from benchmarks
	$(BIN)/python docs/generating
	$(BIN)/python benchmarks/page.py

clean:  ## remove what building and testing left
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f ext/*.so

# The package, with its kernels; a changed kernel or dependency makes it again.
$(READY): pyproject.toml setup.py $(wildcard ext/*.pyx ext/*.pxi ext/*.h)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tierwise needs Python 3.11 or newer; say which one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[report]'
	touch $@

# What developing needs beyond it.
$(TOOLS): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	touch $@
