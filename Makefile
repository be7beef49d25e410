# make search | test | test-rest | test-all | install | test-slow | chaos | bench | tables | gpu | gpu-wheels | slurm |
# browser | image | docs | lint | clean
# The newest Python that is there with its venv module; make PYTHON=/path/to/python takes another.
PYTHON ?= $(shell for version in 3.14 3.13 3.12 3.11; do \
	command -v python$$version >/dev/null && python$$version -c 'import ensurepip, venv' 2>/dev/null \
	&& { command -v python$$version; break; }; done)
BIN := .venv/bin
BENCH := .venv-bench/bin/python
# Two tests at a time: most of their time is that of processes that start. The longest files first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install search test test-rest test-all test-slow chaos lint clean compare-epochs bench tables gpu gpu-wheels slurm browser \
	image docs

install: .venv/installed

search: .venv/installed
	$(BIN)/tune-search configs/seg.yaml

# Lint, types, all of tests/unit, and one test of a whole search for each promise: a quarter of an hour on two cores.
test: .venv/installed-test lint
	$(PYTEST) -m core

# The other whole searches, and every fault of docs/faults.md.
test-rest: .venv/installed-test
	$(PYTEST) -m "not core and not slow and not chaos"

# Everything but what takes minutes each: three quarters of an hour on two cores.
test-all: test test-rest

# What takes minutes each: whole searches of configs/, a kill after every single write, thousands of random inputs.
test-slow: .venv/installed-test
	$(PYTEST) -m slow

# 20 kills at random moments; CHAOS_SEED=123 repeats the moments of a run.
chaos: .venv/installed-test
	$(BIN)/python -m pytest -m chaos -s

# Virtual epochs of a pass, of steps and of samples, side by side: docs/iteration_based_training.md.
compare-epochs: .venv/installed
	$(BIN)/python -m benchmarks.loop.epochs_or_iterations

# Side by side with those that people would use instead; tables in docs/benchmarks.md, numbers in JSON beside each program.
# Measured on a machine with nothing else to do. What efficiency.json and fronts.json hold is not simulated again.
bench: .venv-bench/installed
	$(BENCH) -m benchmarks.loop.run --pairs 9 --scale 1.5
	$(BENCH) -m benchmarks.overhead.start
	$(BENCH) -m benchmarks.overhead.run --pairs 5
	$(BENCH) -m benchmarks.overhead.memory --pairs 5
	$(BENCH) -m benchmarks.overhead.growth
	$(BENCH) -m benchmarks.overhead.frameworks --pairs 9
	$(BENCH) -m benchmarks.efficiency.run
	$(BENCH) -m benchmarks.efficiency.fronts

# The recorded learning curves that the surrogates of `make bench` are fitted to: about four hours on two idle cores for
# all of them. It can be stopped at any time; the next call goes on.
tables: .venv-bench/installed
	$(BENCH) -m benchmarks.efficiency.record_curves

# All checks that need a GPU, in less than 8 minutes: a table, and benchmarks/gpu/run.json. `make gpu ONLY=repeat` makes
# some of them. On a machine without a network that has torch: what `make gpu-wheels` gathered is installed first.
gpu:
	@if test -d build/gpu-wheels && ! test -x $(BIN)/python; then \
		python3 -m benchmarks.gpu.bare $(if $(ONLY),--only $(ONLY)); \
	else \
		$(MAKE) .venv/installed-test && $(BIN)/python -m benchmarks.gpu.run $(if $(ONLY),--only $(ONLY)); \
	fi

# What a bare machine with torch and Python 3.12 lacks, in batches of less than 64 MiB to carry to build/gpu-wheels there.
gpu-wheels: .venv/installed
	$(BIN)/python -m benchmarks.gpu.wheels

# The SLURM that tests/e2e/test_slurm.py runs on hosts of namespaces; those tests are skipped without it.
slurm:
	@command -v slurmctld >/dev/null && command -v munged >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		|| { echo "SLURM is installed by root on Debian or Ubuntu: apt install slurm-wlm munge" >&2; exit 1; }; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			slurm-wlm munge iproute2; }

# The browser that tests/e2e/test_report_browser.py opens reports in; those tests are skipped without it.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		|| { echo "Chromium is installed by root on Debian or Ubuntu: apt install chromium chromium-driver" >&2; exit 1; }; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			chromium chromium-driver; }

# The image of docs/kubernetes.md; make image BASE=nvidia/cuda:12.9.1-base-ubuntu24.04 takes another base.
image:
	docker build -t tune-search $(if $(BASE),--build-arg BASE=$(BASE)) .

# The documentation as a site, which opens without a server: site/index.html is its first page.
docs: .venv/installed-docs
	$(BIN)/python -m documentation.pages
	$(BIN)/zensical build --clean --strict

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-bench .cache build site *.egg-info

# $(call new_environment,FOLDER): unless it is there.
define new_environment
@test -x $(1)/bin/python || { \
	python="$(PYTHON)"; \
	test -n "$$python" || { echo "no Python 3.11 to 3.14 with its venv module was found;" \
		"install one (Debian, Ubuntu: apt install python3-venv) or name it: make PYTHON=/path/to/python" >&2; exit 1; }; \
	echo "$(1) is made by $$("$$python" --version), $$(command -v "$$python")"; \
	"$$python" -m venv $(1); }
endef

.venv/installed: pyproject.toml constraints.txt
	$(call new_environment,.venv)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,transformers,datasets]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

# In an environment of its own: what is compared with must not change what people install.
.venv-bench/installed: pyproject.toml constraints.txt benchmarks/neps-requirements.txt
	$(call new_environment,.venv-bench)
	$(BENCH) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BENCH) -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/neps-requirements.txt
	touch $@
