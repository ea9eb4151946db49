# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv from the lock file first.
PYTHON ?= python3
BIN := .venv/bin
export DAGSTER_HOME := $(CURDIR)

.PHONY: demo test coverage thorough test-services startos image units fuzz dev lint types lock wheels audit clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: .venv/ready ## A sample CRM becomes a search index; change it and see only that move
	$(BIN)/python -m tools.demo

dev: .venv/ready ## The Dagster UI on the demo's state, with schedule and sensor on
	umask 077 && $(BIN)/ingest ui --daemon

test: lint types .venv/ready ## Lint, types and tests
	$(BIN)/pytest -n 3 --dist worksteal

# From Python 3.12 on the interpreter itself says which lines run, which costs nothing that can be measured; before,
# every line is traced, and the tests take a third longer.
coverage: export COVERAGE_CORE := sysmon
coverage: lint types .venv/ready ## As test, and how much of the code the tests run; fails below a floor (pyproject.toml)
	rm -rf .coverage && mkdir .coverage
	$(BIN)/coverage run -m pytest -n 3 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

thorough: .venv/ready ## The tests that take too long for every day
	$(BIN)/pytest -n 3 --dist worksteal -m thorough

test-services: .venv/ready ## The tests that need MariaDB (apt-get install mariadb-server)
	$(BIN)/pytest -n 0 -m services

startos: ## The StartOS package: its types, lint and tests (needs Node 20 or newer)
	cd deploy/startos && npm ci --no-audit --no-fund --silent && npm run -s check && npm run -s lint && npm test

image: .venv/ready ## The image's root file system, made and tried (as root; apt-get install mmdebstrap)
	$(BIN)/python -m tools.image_check

units: .venv/ready ## The systemd units, under a real systemd (as root; apt-get install mmdebstrap systemd-container)
	$(BIN)/python -m tools.units_check

fuzz: .venv/ready ## Give every parser damaged input, a minute each
	$(BIN)/python -m ingest_assets_tests.fuzz --seconds 60

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: .venv/ready
	$(BIN)/mypy

lock: .venv/ready ## Make the lock files from pyproject.toml
	$(BIN)/python -m tools.lock

wheels: .venv/ready ## Check that every dependency has wheels for every platform
	$(BIN)/python -m tools.check_wheels

audit: .venv/ready ## Known advisories, ages and licences of what is pinned
	$(BIN)/python -m tools.audit

clean: ## Remove what demo, dev and test wrote, and the virtual environment
	rm -rf .venv .coverage .ingest history schedules storage .mypy_cache .ruff_cache

.venv/ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q ingest_assets
	touch $@
