# Every target does its own set-up: on a machine with Python 3.11 and pip, `make demo` and `make test` just work.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
UV      = $(shell command -v uv || echo $(BIN)/uv)
RUN     = $(BIN)/python
XDIST  ?= -n auto

.DEFAULT_GOAL := help
.PHONY: help demo test test-all settle repeats lint bench clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.ready-demo  ## see farend play the other end of the wire, in a few seconds
	@$(BIN)/farend demo

test: $(VENV)/.ready-test  ## run the test suite, with coverage
	$(RUN) -m pytest -W error $(XDIST) --cov --cov-report=term $(ARGS)

test-all: test  ## the suite on every supported Python that is on this machine
	@VENV=$(VENV) UV=$(UV) scripts/test-other-pythons

settle: $(VENV)/.ready-test  ## a thousand repetitions of what settling promises, on every Python; takes an hour
	$(RUN) -m pytest -W error $(XDIST) -m settle --timeout 3600 $(ARGS)
	@VENV=$(VENV) UV=$(UV) scripts/test-other-pythons -m settle --timeout 3600 $(ARGS)

repeats: $(VENV)/.ready-test  ## hundreds of repetitions of what has to be the same each time; takes some minutes
	$(RUN) -m pytest -W error $(XDIST) -m repeats $(ARGS)

lint: $(VENV)/.ready-dev  ## format check, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.ready-test  ## measure farend beside other tools; writes docs/benchmarks.md
	$(RUN) -m benchmarks $(ARGS)

clean:  ## remove the environments and what the tools left
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist

# A virtual environment needs no Debian package beside pip this way: uv comes in through the outer pip.
$(VENV)/bin/python:
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.uv: | $(VENV)/bin/python
	@test -x "$(UV)" || $(PYTHON) -m pip --quiet --disable-pip-version-check --python $(BIN)/python install uv
	@touch $@

$(VENV)/.ready-demo: pyproject.toml | $(VENV)/.uv
	$(UV) pip install --quiet --python $(BIN)/python -e '.[tls]' websocket-client
	@touch $@

$(VENV)/.ready-test: pyproject.toml | $(VENV)/.uv
	$(UV) pip install --quiet --python $(BIN)/python -e '.[tls]' --group test
	@touch $@

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/.uv
	$(UV) pip install --quiet --python $(BIN)/python -e '.[tls]' --group dev
	@touch $@
