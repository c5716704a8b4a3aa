# `make up` and `make test` work on a fresh machine with Python >= 3.11: each builds .venv first when it is out of date.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
# What to test: everything, unless told otherwise.
TESTS ?= tests
# What has to pass with every Python and with the lowest versions that pyproject.toml allows.
SMOKE = tests/compat tests/contract/backends tests/hosting/imports tests/hosting/process_state \
	tests/hosting/test_together.py tests/serving/grpc/test_grpc_handlers.py tests/serving/http/test_http_dispatcher.py \
	tests/serving/http/test_http_protocol.py tests/calling/peer/test_calls.py \
	tests/calling/test_forwarded_websockets.py tests/runtime/test_starting.py tests/runtime/launching \
	tests/runtime/reload/test_reload.py tests/end_to_end/test_guide.py

.PHONY: install up test test-all test-lowest test-thorough coverage smoke lint bench soak clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml hatch_build.py mesh/contract/protoc.py $(wildcard proto/*.proto)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=26"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix tests/contract/clients; \
		else echo "npm is not installed: the tests of clients in Node are left out"; fi
	touch $@

up: install
	$(BIN)/mesh up

test: install
	$(BIN)/pytest --numprocesses auto $(TESTS)

# Every Python from 3.11 on that is installed here, each with an environment of its own.
test-all:
	.ci/pythons | while read -r version python; do \
		$(MAKE) test VENV=.venv-$$version PYTHON=$$python || exit 1; \
	done

# The lowest versions that pyproject.toml allows.
test-lowest: install
	test -x .venv-lowest/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip compile --quiet --python .venv-lowest/bin/python --resolution lowest-direct pyproject.toml \
		--output-file .venv-lowest/lowest.txt
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --constraint .venv-lowest/lowest.txt \
		--editable . --group dev
	.venv-lowest/bin/python -m pytest --numprocesses auto $(TESTS)

# A part of the tests from each layer, on the other Pythons that are installed and on the lowest versions.
smoke: install
	tested=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	.ci/pythons | grep -v "^$$tested " | while read -r version python; do \
		test -x .venv-$$version/bin/python || $(BIN)/uv venv --quiet --python "$$python" .venv-$$version || exit 1; \
		$(BIN)/uv pip install --quiet --python .venv-$$version/bin/python --editable . --group dev || exit 1; \
		.venv-$$version/bin/python -m pytest --numprocesses auto $(SMOKE) </dev/null || exit 1; \
	done
	$(MAKE) test-lowest TESTS="$(SMOKE)"

# 12,000 random messages over gRPC and HTTP, every phase of schemathesis, and 1,000 edits of generated module graphs; of
# each `make test` tries a little.
test-thorough: install
	MESH_MESSAGES=12000 MESH_EXAMPLES=50 MESH_EDITS=1000 $(BIN)/pytest tests/contract/test_both_ways.py \
		tests/contract/test_generated_requests.py tests/runtime/reload/test_generated_graphs.py

# Which lines of mesh the tests run, in their threads and in the processes that they start.
coverage: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto $(TESTS); status=$$?; \
		$(BIN)/coverage combine --quiet && $(BIN)/coverage report; exit $$status

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks

# Less than five minutes of load, edits and kills; SEED=N repeats the kills of an earlier run.
soak: install
	$(BIN)/python -m soak $(if $(SEED),--seed $(SEED))

clean:
	rm -rf .venv .venv-* .mesh .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache build dist mesh/store/pb
