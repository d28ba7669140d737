# What contributors and CI run: `make help` lists it. For GNU make 3.81 (macOS's) and later.
# All paths are relative, so that a project folder with spaces in its name works.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp-all
DEMO := examples/pi.py

# Asked by running it: a pyenv shim can be on PATH and refuse to run.
IS_USABLE := -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	if $$p $(IS_USABLE); then echo $$p; break; fi; done)

# The Python of the other clients: the older one needs packages that newer Pythons cannot run.
IS_3_11 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
PYTHON_3_11 ?= $(shell for p in python3.11 python3 \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.11.*/bin/python; do \
	if "$$p" $(IS_3_11); then echo "$$p"; break; fi; done)

# Those that `make test-all` looks for, on PATH and among pyenv's.
VERSIONS := 3.11 3.12 3.13 3.14 3.15

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test pytest lint types imports core-cover cover bench bench-quick bench-test bench-ray soak soak-kill faults explore seeded \
	interop ray conformance docs mutants test-all format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## Run an example program as a job on this machine
	@echo "demo: runtime-core run $(DEMO)"
	@$(VENV)/bin/runtime-core run $(DEMO)

# A file's tests stay together: they share a service. Six processes for two cores: many tests wait.
# The machine of services with streams has nearly all of the states: `make explore` goes through them.
# What measures is tested by `make bench-test`.
PYTEST := $(PY) -m pytest -n 6 --dist loadfile --ignore=tests/core/test_exploration_streams.py \
	--ignore=tests/benchmarks

# pytest stands in the recipe, not among the prerequisites: its summary is the last line, with -j too.
test: $(STAMP) ## All that CI demands; the tests' summary is the last line
	@$(MAKE) -j2 lint types imports
	@echo "pytest: all tests"
	@$(PYTEST)

pytest: $(STAMP) ## Only the tests
	@echo "pytest: all tests"
	@$(PYTEST)

lint: $(STAMP) ## Check style and format (ruff)
	@echo "lint: ruff check, ruff format --check"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(STAMP) ## Check types (mypy --strict, pyright)
	@echo "types: mypy --strict, pyright"
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)

imports: $(STAMP) ## Check who may import what (import-linter)
	@echo "imports: import-linter"
	@$(VENV)/bin/lint-imports --no-logo

# The core is pure, so its own tests can reach all of it, and must. The exhaustive walks and the bugs
# that are sown are left to `make test`, `explore` and `seeded`: measuring makes them much slower, and they
# reach nothing more. So are the hostile texts, which take hundreds of MiB.
core-cover: $(STAMP) ## Hold the core's own tests to every line and branch of it
	@echo "core-cover: every line and branch of runtime_core, by tests/core alone"
	@$(PY) -m coverage run -m pytest --quiet tests/core \
		--ignore-glob='tests/core/test_exploration*.py' --ignore=tests/core/test_walks.py \
		--ignore=tests/core/test_hostile_texts.py --ignore=tests/core/test_seeded_bugs.py
	@$(PY) -m coverage report --fail-under=100

cover: $(STAMP) ## Measure what all tests cover of both packages, with an HTML report
	@echo "cover: all tests, both packages"
	@$(PY) -m coverage run --source=runtime_core,adapters -m pytest --quiet
	@$(PY) -m coverage html --quiet --directory=build/coverage
	@$(PY) -m coverage report
	@echo "cover: see build/coverage/index.html"

# Each contender is run by the Python of an environment of its own: they do not get on with each other.
# All of one Python, that of the oldest of them.
BENCHES := .venv-ibmq .venv-ibm-runtime \
	.venv-bench-ours .venv-bench-clients .venv-bench-decoders .venv-bench-machines
BENCH_STAMPS := $(STAMP) $(BENCHES:%=%/.stamp)

bench: $(BENCH_STAMPS) ## Measure against what a user would pick instead, into benchmarks/report
	@echo "bench: benchmarks/bench.py"
	@$(PY) benchmarks/bench.py

bench-quick: $(BENCH_STAMPS) ## The same with fewer rounds, in under three minutes, into build/bench
	@echo "bench-quick: benchmarks/bench.py --quick"
	@$(PY) benchmarks/bench.py --quick --out build/bench

bench-test: $(STAMP) ## Test what measures: that it counts, checks and tells who stalls
	@echo "bench-test: tests/benchmarks"
	@$(PY) -m pytest -n 2 --quiet tests/benchmarks

bench-ray: $(STAMP) .venv-ray/.stamp ## Measure jobs on Ray beside Ray's own client, on a cluster of its own
	@echo "bench-ray: benchmarks/ray.py"
	@RAY_TESTS_PYTHON=.venv-ray/bin/python $(PY) tests/ray/loopback.py $(PY) benchmarks/ray.py

MINUTES := 10

soak: $(STAMP) ## Streams and waits with faults for MINUTES=10, watching what grows
	@echo "soak: tests/soak/long.py"
	@$(PY) tests/soak/long.py $(MINUTES)

soak-kill: $(STAMP) ## Kill the local service at 100 moments under load; SEED=... repeats a schedule
	@echo "soak-kill: tests/soak/kill.py"
	@$(PY) tests/soak/kill.py

faults: $(STAMP) ## Run 2,000 schedules of faults; SEED=... SCHEDULE=... repeats one
	@echo "faults: tests/faults/faults_run.py"
	@$(PY) tests/faults/faults_run.py

explore: $(STAMP) ## Explore the machine of services with streams, state by state
	@echo "explore: tests/core/test_exploration_streams.py"
	@$(PY) -m pytest -n 2 --quiet tests/core/test_exploration_streams.py

seeded: $(STAMP) ## Sow bugs into the machine, and have the test tools find each of them
	@echo "seeded: tests/core/seeded.py"
	@$(PY) tests/core/seeded.py

# Three environments, as the clients do not get on with each other, nor with us; our own has Qiskit,
# of the last version that writes circuits which the original reads.
interop: ## Run clients that others wrote, in environments of their own, with ours and us
	@$(MAKE) -j2 .venv-ibmq/.stamp .venv-ibm-runtime/.stamp
	@$(MAKE) VENV=.venv-qiskit PYTHON="$(PYTHON_3_11)" .venv-qiskit/.stamp-all
	@.venv-qiskit/bin/python -m pip install --quiet 'qiskit>=1.4.2,<2'
	@echo "interop: tests/interop, tests/adapters/test_qiskit.py"
	@INTEROP_PYTHON_IBMQ=.venv-ibmq/bin/python INTEROP_PYTHON_IBM_RUNTIME=.venv-ibm-runtime/bin/python \
		.venv-qiskit/bin/python -m pytest -n 2 --dist loadfile tests/interop tests/adapters/test_qiskit.py

# What the tests run with has no Ray. They and the cluster have no network but loopback. Each of the
# two processes has a cluster of its own: most tests wait for Ray.
ray: $(STAMP) .venv-ray/.stamp ## Run jobs on a real Ray cluster, which is started and ended here
	@echo "ray: tests/ray"
	@RAY_TESTS_PYTHON=.venv-ray/bin/python $(PY) tests/ray/loopback.py $(PY) -m pytest -n 2 --dist loadfile tests/ray

conformance: $(STAMP) .venv-conformance/.stamp ## Run the Autobahn cases against the websocket client
	@echo "conformance: tests/conformance/autobahn.py"
	@$(PY) tests/conformance/autobahn.py

docs: $(VENV)/.stamp-docs ## Build the documentation into build/site, strictly
	@echo "docs: mkdocs build --strict"
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@$(PY) docs/check_site.py
	@echo "docs: see build/site/index.html"

# One process, which gives way to all others: it has some twenty minutes of work.
mutants: $(STAMP) ## Change the core in 6,300 places, for the tests to notice; MODULES="stream watch"
	@$(PY) -m pip install --quiet --group mutants
	@echo "mutants: tests/mutants/mutants_run.py"
	@nice -n 19 $(PY) tests/mutants/mutants_run.py $(MODULES)

test-all: ## Run the tests on every Python from 3.11 that this machine has
	@ran=; failed=; \
	for version in $(VERSIONS); do \
		for python in python$$version python3 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
			"$$python" -c "import sys; sys.exit(sys.version_info[:2] != ($${version%.*}, $${version#*.}))" \
				>/dev/null 2>&1 || continue; \
			echo "test-all: Python $$version"; \
			ran="$$ran $$version"; \
			$(MAKE) VENV=.venv-$$version PYTHON="$$python" pytest || failed="$$failed $$version"; \
			break; \
		done; \
	done; \
	if [ -z "$$ran" ]; then echo "test-all: found no Python of $(VERSIONS)" >&2; exit 1; fi; \
	echo "test-all: ran on$$ran; failed on$${failed:- none}"; \
	[ -z "$$failed" ]

format: $(STAMP) ## Fix what ruff can fix, and format
	@echo "format: ruff check --fix, ruff format"
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

clean: ## Remove what the tools left behind; the virtual environments stay
	@echo "clean: caches, reports, builds"
	@rm -rf build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that is there is kept, unless it does not run or its making was interrupted.
$(STAMP): pyproject.toml
	@set -e; python='$(PYTHON)'; \
	if ! $(PY) $(IS_USABLE) || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		if ! "$$python" $(IS_USABLE); then \
			echo "No Python 3.11 or newer was found that runs; name one: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "venv: making $(VENV) with $$("$$python" -V)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "venv: installing the project and its tools into $(VENV)"
	@# First a pip that knows --group.
	@$(PY) -m pip install --quiet 'pip>=25.1'
	@$(PY) -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

# What builds the documentation; the tests run its code without it.
$(VENV)/.stamp-docs: $(STAMP)
	@echo "venv: installing what builds the documentation into $(VENV)"
	@$(PY) -m pip install --quiet --group docs
	@touch $@

# Every version is pinned; if a pin changes, the environment is made anew. Nothing is built.
.venv-ibm%/.stamp: tests/interop/requirements-ibm%.txt
	@if ! "$(PYTHON_3_11)" $(IS_3_11); then \
		echo "No Python 3.11 was found that runs; name one: make PYTHON_3_11=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@echo "venv: installing $< into $(@D)"
	@"$(PYTHON_3_11)" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --only-binary :all: --requirement $<
	@touch $@

.venv-bench-%/.stamp-pinned: benchmarks/requirements/%.txt
	@if ! "$(PYTHON_3_11)" $(IS_3_11); then \
		echo "No Python 3.11 was found that runs; name one: make PYTHON_3_11=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@echo "venv: installing $< into $(@D)"
	@"$(PYTHON_3_11)" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --only-binary :all: --requirement $<
	@touch $@

.venv-bench-decoders/.stamp-pinned: benchmarks/requirements/ours.txt

# Where ours is measured, it is a wheel of what stands in src/ now, as a user installs it.
.venv-bench-%/.stamp: .venv-bench-%/.stamp-pinned build/bench-wheel/.stamp
	@case $* in ours|decoders) \
		$(@D)/bin/python -m pip install --quiet --no-deps --no-index --force-reinstall \
			build/bench-wheel/*.whl;; \
	esac
	@touch $@

build/bench-wheel/.stamp: $(STAMP) pyproject.toml $(shell find src -name '*.py')
	@rm -rf $(@D)
	@$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(@D) .
	@touch $@

# The second is made of the first, and is kept.
.PRECIOUS: .venv-bench-%/.stamp-pinned

.venv-conformance/.stamp .venv-ray/.stamp: .venv-%/.stamp: tests/%/requirements.txt
	@echo "venv: installing $< into $(@D)"
	@"$(PYTHON)" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --only-binary :all: --requirement $<
	@touch $@
