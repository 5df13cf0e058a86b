# Any Python from 3.11 on: make PYTHON=python3.12 run
PYTHON ?= python3
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: help run test soak fuzz bench token lint audit

help: ## show what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

run: .venv/run ## install, bring the database up to date and serve
	@.venv/bin/python wsgi.py

test: .venv/test ## install and run every test
	@.venv/bin/python -m pytest

soak: .venv/test ## kill the service again and again while tills pay; KILLS=100 and SEED=7 repeat a run
	@.venv/bin/python -m tests.soak $(addprefix --kills=,$(KILLS)) $(addprefix --seed=,$(SEED))

fuzz: .venv/test ## call every operation with all kinds of input; EXAMPLES=500 and SEED=7 repeat a run
	@.venv/bin/python -m tests.fuzz $(addprefix --examples=,$(EXAMPLES)) $(addprefix --seed=,$(SEED))

bench: .venv/test ## measure how fast the service is; ENGINE=postgresql, and SEED=7 to repeat a run
	@.venv/bin/python -m tests.bench $(addprefix --engine=,$(ENGINE)) $(addprefix --seed=,$(SEED))

token: .venv/run ## print an access token with all permissions for this box
	@.venv/bin/flask --app wsgi token

lint: .venv/test ## check style and types
	@.venv/bin/python -m flake8
	@.venv/bin/python -m mypy

audit: .venv/audit/bin/pip-audit ## check the pinned versions for known vulnerabilities, over the network
	@$< --strict --disable-pip --require-hashes --requirement requirements.txt

.venv/audit/bin/pip-audit:
	@$(PYTHON) -m venv .venv/audit
	@.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# What pip says goes to stderr, so that `make token` prints the token alone.
.venv/run: requirements.txt | .venv/bin/python
	@$(PIP) -r $< >&2
	@touch $@

.venv/test: tests/requirements.txt requirements.txt | .venv/bin/python
	@$(PIP) -r $< >&2
	@touch $@ .venv/run
