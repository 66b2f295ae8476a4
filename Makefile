# Each command sets up .venv by itself: torch first, alone and by pip, in the build that its index gives this machine;
# then everything else at the versions of requirements.lock.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := torch==2.13.0

# Where it is set, each of many processes compiles all that it imports anew: 22 s instead of 15 to import the training.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow ui lint lock lock-upgrade

demo: $(READY)
	$(BIN)/tunesmith run

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

ui: $(READY)
	$(BIN)/tunesmith ui

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) uv==0.13.9
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps -r requirements.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Resolve what pyproject.toml asks for. `lock` keeps every pin that still fits, since these versions were tried together;
# `lock-upgrade` takes the newest ones: run all tests, also the slow ones, before you keep them.
# torch stays out, so that one lock serves CPU and CUDA machines.
lock: UPGRADE :=
lock-upgrade: UPGRADE := --upgrade
lock lock-upgrade: $(READY)
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --no-emit-package torch --python-version 3.11 \
		--no-header --no-annotate $(UPGRADE) --output-file requirements.lock
