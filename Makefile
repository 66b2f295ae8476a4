# Each command sets up .venv. pip installs torch first, in the build that its index offers this machine. Then uv installs
# everything else at the versions of requirements.lock.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := torch==2.13.0

# If this variable is set, each process compiles its imports again: importing the training takes 22 s instead of 15.
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

# Resolve the requirements of pyproject.toml. `lock` keeps every pin that still fits, since these versions were tried
# together. `lock-upgrade` takes the newest versions: run all tests, also the slow ones, before you commit them.
# torch is not in the lock, so that one lock serves CPU and CUDA machines.
lock: UPGRADE :=
lock-upgrade: UPGRADE := --upgrade
lock lock-upgrade: $(READY)
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --no-emit-package torch --python-version 3.11 \
		--no-header --no-annotate $(UPGRADE) --output-file requirements.lock
