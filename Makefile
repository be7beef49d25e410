# make search | test | install | test-slow | chaos | bench | tables | lint | clean
PYTHON ?= python3.11
BIN := .venv/bin
BENCH := .venv-bench/bin/python

.PHONY: install search test test-slow chaos lint clean compare-epochs bench tables

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
	$(BIN)/python benchmarks/loop/epochs_or_iterations.py

# Side by side with those that people would use instead; tables in README, numbers in benchmarks/results/.
# Measured on a machine with nothing else to do. What efficiency.json holds already is not simulated again.
bench: .venv-bench/installed
	$(BENCH) benchmarks/loop/run.py --pairs 9 --scale 1.5
	$(BENCH) benchmarks/overhead/start.py
	$(BENCH) benchmarks/overhead/run.py --pairs 5
	$(BENCH) benchmarks/overhead/memory.py --pairs 5
	$(BENCH) benchmarks/overhead/growth.py
	$(BENCH) -m benchmarks.efficiency.run

# The recorded learning curves that `make bench` replays: an hour on two cores.
tables: .venv-bench/installed
	$(BENCH) -m benchmarks.efficiency.record_curves

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-bench build *.egg-info

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,transformers,datasets]'
	touch $@

# In an environment of its own: what is compared with must not change what people install.
.venv-bench/installed: pyproject.toml constraints.txt benchmarks/neps-requirements.txt
	test -x $(BENCH) || $(PYTHON) -m venv .venv-bench
	$(BENCH) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BENCH) -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/neps-requirements.txt
	touch $@
