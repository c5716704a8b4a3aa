# `make up` and `make test` work on a fresh machine with Python >= 3.11: each builds .venv first when it is out of date.
PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/.installed

.PHONY: install up test lint bench clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml hatch_build.py mesh/contract/protoc.py $(wildcard proto/*.proto)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

up: install
	$(BIN)/mesh up

test: install
	$(BIN)/pytest --numprocesses auto

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mesh .mypy_cache .pytest_cache .ruff_cache build dist mesh/store/pb
