# The commands of this project. `make run` and `make test` work on a fresh clone with nothing but Python 3.11+.
# `make PYTHON=python3.12 run` picks the interpreter; settings come from the environment and .env, as in `PORT=9000 make run`.

VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup run test test-slow compose-test check bench constraints
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
	$(VENV)/bin/python -m pytest -m "not slow and not compose"

## make test-slow    the long proofs
test-slow: $(VENV)/dev.stamp
	$(VENV)/bin/python -m pytest -m slow

## make compose-test build the images and prove the whole stack, where a container engine answers
compose-test: $(VENV)/dev.stamp
	$(VENV)/bin/python -m pytest -m compose tests/compose

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
	@scripts/make-venv $(VENV)
	@scripts/install-tesseract
	@echo "Installing Copyist into $(VENV): about a minute"
	@$(PIP_INSTALL) --editable '.[local]'
	@touch $@

# EasyOCR brings PyTorch. Nothing of CUDA comes along where pip finds PyTorch's CPU build: it counts as the pinned version.
$(VENV)/dev.stamp: pyproject.toml constraints.txt
	@scripts/make-venv $(VENV)
	@scripts/install-tesseract
	@command -v pdftotext >/dev/null || scripts/install-debian-packages poppler-utils || true
	@echo "Installing Copyist and what its tests need into $(VENV): a minute or two"
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/setup.stamp $@
