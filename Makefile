# The commands of this project. `make run` and `make test` work on a fresh clone with nothing but Python 3.11+.
# PYTHON=python3.12 picks the interpreter. Where pip finds more than one build of PyTorch, it takes the CPU one.

VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup run test test-slow check bench constraints
.DEFAULT_GOAL := help

help:
	@grep -E '^## ' $(MAKEFILE_LIST) | sed 's/^## //'

## make setup        make .venv with the copyist command; nothing to do when nothing changed
setup: $(VENV)/setup.stamp

## make run          start Copyist on this machine; Ctrl-C stops all of it
run: setup
	@$(VENV)/bin/copyist up

## make test         the checks and the tests, with a real Redis and PostgreSQL; this is what CI runs
test: check
	$(VENV)/bin/python -m pytest -m "not slow"

## make test-slow    the long proofs
test-slow: $(VENV)/dev.stamp
	$(VENV)/bin/python -m pytest -m slow

## make check        style, format and types
check: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

## make bench        the figures of the README, as ratios taken on this machine
bench: $(VENV)/dev.stamp
	@command -v pdftoppm >/dev/null || scripts/install-debian-packages poppler-utils
	$(VENV)/bin/python -m benchmarks

## make constraints  pin today's versions of everything that is installed
constraints:
	scripts/pin-constraints

# A stamp is newer than the files that say what to install: pip is asked only when one of them has changed.
$(VENV)/setup.stamp: pyproject.toml constraints.txt
	@scripts/install-tesseract
	@scripts/make-venv $(VENV)
	$(PIP_INSTALL) --editable '.[local]'
	@touch $@

# torch has to be named next to torchvision in one call: the build that is already chosen is then kept.
$(VENV)/dev.stamp: pyproject.toml constraints.txt
	@scripts/install-tesseract
	@scripts/make-venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/setup.stamp $@
