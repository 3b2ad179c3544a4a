# make demo: pretrain and fine-tune on the embedded data · make test · make lint · make gpu
# The first call of any of them makes .venv, installs the lock and builds the extension; later calls do neither.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= build/gpu
SOURCES := $(shell find csrc -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh')

.PHONY: demo test lint gpu setup clean

setup: $(VENV)/built

$(VENV)/locked: requirements.lock
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "stackae needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	touch $@

$(VENV)/built: $(VENV)/locked setup.py pyproject.toml $(SOURCES)
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

demo: setup
	$(BIN)/stackae pretrain --layers 784,300,150
	$(BIN)/stackae finetune --head classifier

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(SOURCES)

# On a bare machine with python3, torch, nvcc and a GPU: no network, no virtual environment, nothing installed.
# Every stage runs even when an earlier one failed; results go to the folder that OUT names.
gpu:
	PYTHON=$(PYTHON) OUT=$(OUT) sh benchmarks/gpu.sh

clean:
	rm -rf $(VENV) build stackae/_C*.so *.egg-info
