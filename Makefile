# Two commands on a bare machine (Python 3.11 or newer and make): `make run`, `make test`.
# TORCH_INDEX: an extra package index for torch, for instance torch's own index of CPU wheels (saves gigabytes of CUDA).
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
      $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# The C++ compiler: the first there is, unless CXX names one. One that comes later builds the kernels at the next run.
ifeq ($(origin CXX),default)
CXX := $(firstword $(foreach name,g++ c++ clang++,$(shell command -v $(name) 2>/dev/null)))
endif
ifneq ($(CXX),)
export CXX
endif

# What the compiled kernels are made of.
SOURCES = CMakeLists.txt $(wildcard kernels/csrc/*/*.cpp kernels/csrc/*/*.h)
# Where there is a compiler, kernels that do not build are an error to a developer; without one the reference serves.
STRICT = REQUIRE_KERNELS=$(if $(CXX),1,0)

.PHONY: run test test-all browser chaos check lint types fast coverage openapi fuzz bench load build asan gpu-check gpu-train clean always

run: $(VENV)/.run
	$(BIN)/lutra up

# Tests wait for processes much of the time: two run side by side, and all tests of a file in one of them. Files come in
# the order of their folders: by their number of tests, the longest of a few tests each would be left to one at the end.
SIDE_BY_SIDE = -n 2 --dist loadfile --no-loadscope-reorder

test: build
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not outage and not browser"

test-all: build
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# The page in a real Chromium, which the system brings (Debian: apt-get install chromium). Leaves build/screenshots.
browser: build
	$(PIP) playwright axe-playwright-python
	$(BIN)/python -m pytest -m browser

chaos: build
	$(BIN)/python -m pytest -m chaos

# Strangers' bytes at every door, and calls made up from the OpenAPI document against a running service. FUZZ_SEED draws
# others; a finding names its own `python -m tests.fuzz replay`. FUZZ_EXAMPLES: of each endpoint and phase.
FUZZ_INPUTS ?= 200000
FUZZ_SEED ?= 1
FUZZ_EXAMPLES ?= 500
fuzz: build
	$(BIN)/python -m tests.fuzz --inputs $(FUZZ_INPUTS) --seed $(FUZZ_SEED) --jobs 2
	$(PIP) schemathesis
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest -s tests/service/test_fuzz.py

check: lint types fast

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: build
	$(BIN)/mypy

fast: build
	$(BIN)/python -m pytest -m "not slow and not chaos and not browser"

# Branches of service/ and workers/ that their tests run, in all processes; the floor is in pyproject.toml.
coverage: build
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -m "not slow and not chaos and not browser" \
	    tests/service tests/workers tests/attacks tests/docker
	$(BIN)/coverage combine --quiet
	rm -f build/coverage/data.*  # of processes that were killed while they wrote
	$(BIN)/coverage report

# docs/openapi.json, which a test compares with what the service says.
openapi: build
	$(BIN)/python -m tests.service.committed

bench: build
	$(BIN)/python -m benchmarks

# The service under load, a quarter of an hour: knee, steady minutes, faults, peers; writes docs/load.md and docs/load.svg.
# A quick look: make load LOAD="--mixes enhance --seconds 3 --most-users 8 --steady-seconds 5 --fault-seconds 10 --peer-seconds 0"
LOAD ?= --write-docs
load: build build/load/.installed
	$(BIN)/python -m benchmarks.load --python $(LOADING) $(LOAD)

# Locust and the peers lie in an environment of their own, which finds all else in the first: what they want of others'
# packages changes nothing there.
LOADING = build/load/bin/python
build/load/.installed: pyproject.toml constraints.txt benchmarks/load/peers.txt | $(VENV)/.dev
	@echo "installing Locust, LitServe and BentoML into build/load: a minute, the first time alone"
	$(BIN)/python -m venv --clear --without-pip build/load
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > $$($(LOADING) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/first.pth
	$(BIN)/python docker/requirements.py load > build/load/requirements.txt
	$(BIN)/python -m pip --python $(LOADING) install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --requirement build/load/requirements.txt
	$(BIN)/python -m pip --python $(LOADING) install --quiet --disable-pip-version-check \
	    --requirement benchmarks/load/peers.txt
	touch $@

# Compiles what has changed in kernels/csrc since the last time. No rule calls make: that would run under `make -n` too.
build: $(VENV)/.kernels

# The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer: a second environment that holds the sanitised
# build alone and, by a .pth file, finds everything else in the first. Python itself is not sanitised: the run-time
# libraries are preloaded. Tests of what is not in that build are left out: NVRTC, the CUDA kernels, which are compiled by
# the tests themselves, and programs of their own that compare arithmetic.
ASAN = build/asan/bin/python
asan: PRELOAD = $$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)
asan: OPTIONS = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
asan: SANITISED = LD_PRELOAD="$(PRELOAD)" $(OPTIONS) $(ASAN)
asan: build | $(ASAN)
	REQUIRE_KERNELS=1 $(BIN)/python -m pip --python $(ASAN) install --quiet --disable-pip-version-check \
	    --ignore-installed --no-deps --no-build-isolation --editable . --config-settings build-dir=build/sanitised \
	    --config-settings cmake.build-type=RelWithDebInfo --config-settings cmake.define.LUTRA_SANITIZE=ON
	$(SANITISED) -c 'from kernels import _cpu; assert "build/asan" in _cpu.__file__, _cpu.__file__'
	$(SANITISED) -m pytest $(SIDE_BY_SIDE) --capture=sys -m "not slow and not cuda" \
	    --ignore tests/kernels/test_nvrtc.py --ignore-glob 'tests/kernels/test_cuda_*.py' \
	    --ignore tests/kernels/test_arithmetic.py tests/kernels

$(ASAN):
	$(BIN)/python -m venv --without-pip build/asan
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > $$($@ -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/first.pth

# Needs torch with CUDA in $(PYTHON); no network, and nothing is installed.
gpu-check:
	$(PYTHON) -m tests.kernels.gpu_check

# A slice of a recipe's budget for a GPU, in ten minutes: the same command again goes on, wherever $(STATE) has travelled.
# Needs torch with CUDA, safetensors, numpy, OpenCV and Pillow in $(PYTHON), and no network. FROM: where the state so far
# lies, if not in STATE; MORE: options of `python -m models.train`, for instance --init FILE or --cache DIR.
RECIPE ?= lmliif
DATA ?= data
STATE ?= state/$(RECIPE)
FROM ?= $(STATE)
gpu-train:
	$(PYTHON) -m models.train slice $(RECIPE) --data $(DATA) --state $(STATE) --from $(FROM) \
	    --device cuda --slice-minutes 9 $(MORE)

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lutra needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.compiler: always | $(BIN)/python
	@echo '$(CXX)' | cmp -s - $@ || echo '$(CXX)' > $@

# The editable installation knows its modules by a list that is made when it is installed.
MODULES = find service workers models kernels -name '*.py' | LC_ALL=C sort
$(VENV)/.modules: always | $(BIN)/python
	@$(MODULES) | cmp -s - $@ || $(MODULES) > $@

$(VENV)/.run: pyproject.toml client/pyproject.toml constraints.txt $(SOURCES) $(VENV)/.compiler $(VENV)/.modules | $(BIN)/python
	@echo "installing into $(VENV) and compiling the kernels: a minute or more, the first time alone"
	$(PIP) --editable '.[local]' --editable ./client
	touch $@

# First without the kernels, which are then compiled once, where `make build` finds them. All that asks for it asks for
# `build`: alone it would leave the environment without those that were there.
$(VENV)/.dev: pyproject.toml client/pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) what the tests need: a minute or more, the first time alone"
	$(PIP) --config-settings wheel.cmake=false --editable '.[dev]' --editable ./client
	touch $@

# With the tools of [dev] instead of an environment of its own, so that only what has changed is compiled.
$(VENV)/.kernels: $(SOURCES) $(VENV)/.dev $(VENV)/.compiler $(VENV)/.modules
	$(STRICT) $(PIP) --no-deps --no-build-isolation --config-settings build-dir=build/kernels --editable .
	touch $(VENV)/.run $@
