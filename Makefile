# make run   sets everything up and runs the default study to its report
# make test  sets everything up and runs all checks
# make quick the tests that start no process, for use while working
# make docs  builds the docs as a site: open site/index.html, which needs no server and no network
# make bench-tables installs the data sets of benchmarks/tables.py
# make bench-pruning measures what pruning rules cost, for about a quarter of an hour
# make bench measures the speed of runs beside Optuna's own loop, for about half an hour
# make bench-findings compares schedulers that are tuned equally, for about ten minutes
# make bench-quality compares what the same minutes come to, for about half an hour
# make bench-budget compares what the same epochs come to, for some hours
# make bench-scale measures how many workers one coordinator carries, for about twenty minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests start many Pythons: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test quick check format docs bench bench-tables bench-pruning bench-quality bench-budget \
	bench-findings bench-scale clean

run: $(READY)
	$(BIN)/sweep run
	$(BIN)/sweep report

# Each process takes whole files of tests, as far as it can, so that these share what they train.
TOGETHER := -n 2 --dist worksteal -p no:randomly

test: check
	$(BIN)/python -m pytest $(TOGETHER)

quick: $(READY)
	$(BIN)/python -m pytest $(TOGETHER) -m "not slow"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

bench: $(READY)
	$(BIN)/python benchmarks/throughput.py

bench-quality: bench-tables
	$(BIN)/python benchmarks/quality.py

bench-budget: bench-tables
	$(BIN)/python benchmarks/budget.py

bench-scale: $(READY)
	$(BIN)/python benchmarks/scale.py workers
	$(BIN)/python benchmarks/scale.py trials

bench-findings: bench-tables
	$(BIN)/python benchmarks/findings.py

bench-tables: $(READY)
	$(BIN)/python -m pip install --quiet --no-deps -r benchmarks/requirements.txt

bench-pruning: bench-tables
	$(BIN)/python benchmarks/pruning.py

TIMM := tests/with_timm/requirements.txt

$(READY): requirements.txt pyproject.toml $(TIMM)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/timm -r $(TIMM)
	touch $@

clean:
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache
