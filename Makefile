# Each target sets up what it needs by itself, in $(VENV), and again only when pyproject.toml or .ci/setup changed.
#   make demo       the main job on real weights; KEEP=1: its nodes and page stay
#   make test       the tests; T=tests/unit: some of them
#   make test-hf    the real Hugging Face clients too
#   make test-page  the page in a real browser
#   make endurance  the long tests: kills, floods, gigabytes
#   make sim        many simulated swarms, from seeds
#   make bench      measured against other tools
#   make check      ruff, mypy, import-linter
#   make format     write code as ruff has it
#   make setup      only the set-up: .venv and what the tests need
#   make clean      remove everything made here

VENV ?= .venv
PY := $(VENV)/bin/python
# The tests and options to run, for example: make test T=tests/unit
T ?=
# In how many processes the tests run. Most of what they take is waiting for real ones, so two on two cores is twice as fast.
J ?= 2
# Options of the demo and of the benchmarks, for example: make demo ARGS=--keep
ARGS ?=
# Whether the demo's nodes stay, to be looked at, until Ctrl-C: make demo KEEP=1
KEEP ?=

.DEFAULT_GOAL := help
# How many runs `make sim` does with up to 8 nodes, over all scenarios, and how many of each scenario with 50 besides.
RUNS ?= 1000
LARGE ?= 5
.PHONY: help setup demo test test-hf test-page check endurance sim bench format clean

help:
	@sed -n 's/^#   make/  make/p' Makefile

setup: $(VENV)/.ready-dev

demo: $(VENV)/.ready-demo
	@$(PY) docs/demo/demo.py $(if $(filter-out 0,$(KEEP)),--stay) $(ARGS)

test: $(VENV)/.ready-dev
	@$(PY) -m pytest -n $(J) --dist worksteal $(T)

test-hf: $(VENV)/.ready-hf $(VENV)-older/.ready-hf-older
	@OLDER_HF_CLIENTS=$(abspath $(VENV)-older)/bin/python $(PY) -m pytest -m clients $(or $(T),tests/clients)

test-page: $(VENV)/.ready-page-test
	@$(PY) -m pytest -m page $(or $(T),tests/page)

check: $(VENV)/.ready-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

endurance: $(VENV)/.ready-dev
	@$(PY) -m pytest -m endurance $(T)

sim: $(VENV)/.ready-dev
	@$(PY) -m simnet --all --runs $(RUNS) --large $(LARGE) --processes 2 $(ARGS)

bench: $(VENV)/.ready-bench
	@$(PY) -m benchmarks $(ARGS)

format: $(VENV)/.ready-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) $(VENV)-older build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)-older/.ready-%: .ci/setup
	@VENV=$(VENV)-older .ci/setup $*
	@touch $@

$(VENV)/.ready-%: pyproject.toml .ci/setup
	@VENV=$(VENV) .ci/setup $*
	@touch $@
