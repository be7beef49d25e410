# make search | test | install | test-slow | lint | clean
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: install search test test-slow lint clean

install: .venv/installed

search: .venv/installed
	$(BIN)/tune-search configs/seg.yaml

test: .venv/installed-test lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,transformers]'
	touch $@
