# Two commands set everything up: `make demo` and `make test`. While you work on a change: `make quick`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test quick check fuzz site clean

demo: .venv/ready
	$(BIN)/thresher demo demo

# A process per core, so one thread in each: libraries that start more wait for each other. A file's tests go to one
# process, so that what they share is made once.
test quick: export OMP_NUM_THREADS = 1

test: .venv/ready
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

# Format, lint, types, and the tests in files that do not call themselves slow: no browser, Ray, faults, networks, real data.
quick: check
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "not slow" tests

# Wrong versions of every format, as many of each as asked for: make fuzz MUTANTS=100000 SEED=1
MUTANTS ?= 10000
SEED ?= 0
fuzz: .venv/ready
	THRESHER_MUTANTS=$(MUTANTS) THRESHER_SEED=$(SEED) $(BIN)/python -m pytest -q -n auto tests/fuzz

# The documentation as a site, in build/site.
site: .venv/ready
	$(BIN)/zensical build --strict

check: .venv/ready
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini

# The pins are tried together; pyproject.toml says which other versions may be used.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "thresher needs Python 3.11 or newer; try make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --constraint constraints.txt torch torchvision
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv demo build dist
