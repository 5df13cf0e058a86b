# To use another Python (3.11 or newer): make PYTHON=python3.12 run
PYTHON ?= python3
LNBITS_PYTHON ?= $(PYTHON)
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check
PYTEST := .venv/bin/python -m pytest
# A worker for each processor, each with a PostgreSQL of its own.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist worksteal
# The tests make thousands of database files. In memory they take three quarters of the time, and less than 2 GB.
IN_MEMORY := if [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] 2>/dev/null; then \
	TMPDIR=$$(mktemp -d /dev/shm/payments-XXXXXX) && export TMPDIR && chmod 755 "$$TMPDIR" && \
	trap 'rm -rf "$$TMPDIR"' EXIT; fi;

.PHONY: help run check test clients lightning soak fuzz bench token lint audit

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

run: .venv/run ## install, migrate the database and start the service
	@.venv/bin/flask --app wsgi migrate >/dev/null
	@.venv/bin/python wsgi.py

check: lint ## check style and types, and run the unit and API tests on SQLite
	@$(PYTEST) $(PARALLEL) -k "not postgresql" tests/unit tests/api

test: .venv/test ## install and run all tests but those of LNbits; T=tests/api/test_health.py runs one file
ifdef T
	@$(PYTEST) $(T)
else
	@$(IN_MEMORY) $(PYTEST) $(PARALLEL) -m "not alone"
	@$(PYTEST) -m alone --ignore tests/lightning
endif

clients: .venv/clients/done ## install the API linters and client generators that some tests need; needs npm

lightning: .venv/test .venv/lnbits/done ## install a real LNbits and test with it; INVOICES=200 and SEED=7 set its campaign
	@INVOICES=$(INVOICES) SEED=$(SEED) $(PYTEST) tests/lightning

soak: .venv/test ## kill the service repeatedly while clients record payments; KILLS=100 and SEED=7 repeat a run
	@.venv/bin/python -m tests.long.soak $(addprefix --kills=,$(KILLS)) $(addprefix --seed=,$(SEED))

fuzz: .venv/test ## call every operation with random input; EXAMPLES=500 and SEED=7 repeat a run
	@.venv/bin/python -m tests.long.fuzz $(addprefix --examples=,$(EXAMPLES)) $(addprefix --seed=,$(SEED))

bench: .venv/test ## benchmark the service; ENGINE=postgresql chooses the engine, SEED=7 repeats a run
	@.venv/bin/python -m tests.long.bench $(addprefix --engine=,$(ENGINE)) $(addprefix --seed=,$(SEED))

token: .venv/run ## print an access token with all permissions for this installation
	@.venv/bin/flask --app wsgi token

lint: .venv/test ## check style and types
	@.venv/bin/python -m flake8
	@.venv/bin/python -m mypy

audit: .venv/audit/bin/pip-audit ## check the pinned versions for known vulnerabilities (needs the network)
	@$< --strict --disable-pip --require-hashes --requirement requirements.txt

# npm works in a folder of its own, so that the project's top level gets no node_modules.
.venv/clients/done: tests/clients/package-lock.json tests/clients/requirements.txt | .venv/bin/python
	@mkdir -p .venv/clients
	@cp tests/clients/package.json tests/clients/package-lock.json .venv/clients
	@cd .venv/clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PYTHON) -m venv .venv/clients/python
	@.venv/clients/python/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	@touch $@

# LNbits does not run on every Python that the service runs on.
.venv/lnbits/done: tests/lightning/requirements.txt
	@$(LNBITS_PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or \
		sys.exit("LNbits needs Python 3.11 or 3.12: make LNBITS_PYTHON=python3.12 lightning")'
	@rm -rf .venv/lnbits
	@$(LNBITS_PYTHON) -m venv .venv/lnbits
	@.venv/lnbits/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	@touch $@

.venv/audit/bin/pip-audit:
	@$(PYTHON) -m venv .venv/audit
	@.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# pip's output goes to stderr, so that `make token` prints only the token.
.venv/run: requirements.txt | .venv/bin/python
	@$(PIP) -r $< >&2
	@touch $@

.venv/test: tests/requirements.txt requirements.txt | .venv/bin/python
	@$(PIP) -r $< >&2
	@touch $@ .venv/run
