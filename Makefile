# make search | test | install | test-slow | chaos | lint | clean
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: install search test test-slow chaos lint clean compare-epochs

install: .venv/installed

search: .venv/installed
	$(BIN)/tune-search configs/seg.yaml

test: .venv/installed-test lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not chaos"

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

# 20 kills at random moments; CHAOS_SEED=123 repeats the moments of a run.
chaos: .venv/installed-test
	$(BIN)/python -m pytest -m chaos -s

# Virtual epochs of a pass, of steps and of samples, side by side: docs/iteration_based_training.md.
compare-epochs: .venv/installed
	$(BIN)/python benchmarks/epochs_or_iterations.py

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,transformers,datasets]'
	touch $@
