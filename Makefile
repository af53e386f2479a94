# make run   sets everything up and runs the default study to its report
# make test  sets everything up and runs all checks
# make bench-tables installs the data sets of benchmarks/tables.py
# make bench measures the speed of runs beside Optuna's own loop, for about half an hour
# make bench-quality compares what the same minutes come to, for about half an hour
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test check format bench bench-quality bench-tables clean

run: $(READY)
	$(BIN)/sweep run
	$(BIN)/sweep report

test: check
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/throughput.py

bench-quality: bench-tables
	$(BIN)/python benchmarks/quality.py

bench-tables: $(READY)
	$(BIN)/python -m pip install --quiet --no-deps -r benchmarks/requirements.txt

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
