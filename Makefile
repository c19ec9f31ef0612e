# Everything runs in .venv, which the first target makes. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := pl_env baselines agents experiments examples tests benchmarks docs/hooks.py train.py
RUN ?= runs/bls
PEERS := .venv-peers
ECOSYSTEM := .venv-ecosystem
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: help install train evaluate reproduce benchmark-sets solvers results real-models test test-slow docs notebooks bench peers ecosystem scaling lint type format clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*##' '{printf "%-16s%s\n", $$1, $$2}'

# As a path (compat) and no import hook, so that mypy and editors find the packages too.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	touch $(INSTALLED)

install: $(INSTALLED)  ## install the package and its tools into .venv, at the versions of constraints.txt

train: install  ## train an agent in the paper's default setting and evaluate it (goes on after a kill)
	$(BIN)/python train.py --out $(RUN) $(if $(wildcard $(RUN)/checkpoint*),--resume)

evaluate: install  ## evaluate the agents that come with the package on 1,000 unseen episodes of each scenario
	$(BIN)/python -m experiments.partial_loading.agents.table

reproduce: install  ## compute the papers' figures and docs/reproduction*.md (goes on after a kill); QUICK=1 takes a minute
	$(BIN)/python -m experiments reproduce $(if $(QUICK),--quick)

benchmark-sets: install  ## draw the benchmark sets again, replay their schedules, certify their optima: half an hour
	$(BIN)/python -m experiments benchmark-sets

solvers: install  ## run all solvers on all benchmark sets, into docs/solvers.md
	$(BIN)/python -m experiments solvers

results: install  ## make docs/results.md from the result files in docs/results
	$(BIN)/python -m experiments.results

real-models: install  ## make a library of real models, scan it, measure this machine, run schedules (runs/real-models)
	$(BIN)/python examples/make_library.py --out runs/real-models/models
	$(BIN)/python -m pl_env scan runs/real-models/models -o runs/real-models/library.npz --plot runs/real-models/sharing.png
	$(BIN)/python -m pl_env measure runs/real-models/library.npz runs/real-models/models -o runs/real-models/server.json --plot runs/real-models/fit.png
	$(BIN)/python -m baselines serve runs/real-models/library.npz runs/real-models/server.json runs/real-models/models --rate 60 --seconds 30
	$(BIN)/python -m baselines execute runs/real-models/library.npz runs/real-models/server.json runs/real-models/models --solver optimal-dp independent --runs 20 --out runs/real-models/run.png

test: install  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install  ## run the tests that take minutes: the paper's levels, a full training
	$(BIN)/python -m pytest -m slow

docs: install  ## build the site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

notebooks: install  ## run the notebooks again and keep what they print
	$(BIN)/python tests/examples/keep_outputs.py examples/notebooks/*.ipynb

.PHONY: release-check
release-check: lint type test docs test-slow ecosystem  ## what must be green before a release; wheel and sdist into dist/, and a clean install of the wheel
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv --clear $(VENV)-release
	$(VENV)-release/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cd dist && ../$(VENV)-release/bin/pl-env compare --preset tiny
	cd dist && ../$(VENV)-release/bin/python -c 'import pl_env; assert pl_env.__version__ == "$(VERSION)", pl_env.__version__'
	grep -q '^## $(VERSION)' CHANGELOG.md
	grep -q '^version: $(VERSION)' CITATION.cff

.PHONY: fuzz
fuzz: install  ## look for disagreements at random (docs/trust.md): MINUTES=10, SEED=drawn, WORKERS=1
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) --workers $(or $(WORKERS),1) $(if $(SEED),--seed $(SEED))

bench: install  ## measure speed
	$(BIN)/python -m pytest benchmarks -o addopts= --benchmark-only --benchmark-columns=min,median,mean,rounds --benchmark-sort=name

peers:  ## measure this environment beside its peers, which get a virtual environment of their own
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	$(PEERS)/bin/python -W ignore -m benchmarks.peers

scaling: install  ## measure growth, memory, distance from the physical limit, and the parts of a step
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.kernels

ecosystem:  ## run the tests with TorchRL, Tianshou, RLlib and pyarrow, which get a virtual environment of their own
	test -x $(ECOSYSTEM)/bin/python || $(PYTHON) -m venv $(ECOSYSTEM)
	$(ECOSYSTEM)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(ECOSYSTEM)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[ecosystem]'
	$(ECOSYSTEM)/bin/python -m pytest tests/ecosystem tests/pl_env/online/test_trace_parquet.py

lint: install  ## check style
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

type: install  ## check types
	$(BIN)/mypy

format: install  ## reformat
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) $(VENV)-release $(PEERS) $(ECOSYSTEM) site dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
