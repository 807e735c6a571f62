# Poolwise: `make` lists the targets. Settings come from the environment, e.g. PORT=8001 make up

SHELL := /bin/sh
BIN := .venv/bin
RUN := $(BIN)/python
# Processes that share the tests, each with a Redis and a platform of its own; many tests wait, so more than cores.
WORKERS ?= 4
SPREAD = --dist loadfile --no-loadscope-reorder
# The tests that start no server, no worker and no browser, and take less than a second of a core each.
QUICK = not (services or redis or browser or postgres or slow)
# Without a cache, two processes check types faster; with a cache they take three times as long as one.
# Tests that do not depend on the kind of database.
WITHOUT_DATABASE = $(addprefix --ignore tests/,control/test_actions.py control/test_races.py jobs lab/test_platform.py \
	management/test_commands.py metering pools transport worker/stuck worker/test_deaths.py worker/test_forged_messages.py \
	worker/test_forged_redis.py worker/test_shutdown.py project/browser project/test_drills.py project/test_odd_redis.py \
	project/test_rabbitmq.py project/test_up.py)

# Otherwise each process that starts compiles Poolwise again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install up quick test test-postgres drill soak soak-odd bench lint style types secrets check audit format env clean distclean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

install: ## Create .venv and install what Poolwise needs; find Redis or build one
	@python=$$(dev/python) && "$$python" dev/install.py

up: install ## Run the platform until Ctrl-C: web, coordinator, four pools, Redis (PORT=8001 for another port)
	@$(RUN) -m dev.up

.installed-dev:
	@python=$$(dev/python) && "$$python" dev/install.py --dev
.PHONY: .installed-dev

lint: style types secrets ## Check style, format, types, and for secrets

style: .installed-dev ## Check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .installed-dev ## Check types
	$(BIN)/mypy

secrets: .installed-dev ## Search the repository for secrets
	@$(RUN) -m dev.secret_scan

audit: .installed-dev ## Check every pinned package for known vulnerabilities (needs the network)
	@test -x .audit/bin/pip-audit || { $(RUN) -m venv .audit && .audit/bin/pip install --quiet pip-audit==2.10.1; }
	.audit/bin/pip-audit --requirement requirements.txt --requirement requirements-dev.txt --no-deps --disable-pip --strict

check: .installed-dev ## Check settings and that no migration is missing
	$(RUN) manage.py check
	$(RUN) manage.py makemigrations --check --dry-run

quick: .installed-dev ## Check style and types, and run the tests that need no service: a minute at most
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target style types & checks=$$!; \
	$(RUN) -m pytest --numprocesses 2 $(SPREAD) -m "$(QUICK)" $(ARGS); tests=$$?; \
	wait $$checks && exit $$tests

test: .installed-dev ## Run every check and test (ARGS="-k name" picks tests)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=target lint check
	$(RUN) -m pytest --numprocesses $(WORKERS) $(SPREAD) $(ARGS)

test-postgres: .installed-dev ## Run the tests of database and pools again, on PostgreSQL
	TEST_DATABASE=postgres $(RUN) -m pytest --numprocesses $(WORKERS) $(SPREAD) -m "services or postgres" $(WITHOUT_DATABASE) $(ARGS)

drill: .installed-dev ## Break running platforms on purpose and check for lost jobs (ARGS="--fault redis-wipe --pool gevent", ARGS=--list)
	@$(RUN) -m drills $(ARGS)

soak: .installed-dev ## Ten minutes of load with a random fault every 20 s (ARGS="--seed 7")
	@$(RUN) -m drills --soak 600 $(ARGS)

soak-odd: .installed-dev ## Twenty minutes of load in which one job in fifty forks, hangs, leaks or ends its process
	@$(RUN) -m drills --soak 1200 --odd $(ARGS)

.bench/peers: benchmarks/requirements.txt
.bench/arq: benchmarks/requirements-arq.txt
.bench/peers .bench/arq:
	@python=$$(dev/python) && "$$python" -m venv --clear $@ && $@/bin/pip install --quiet --requirement $< && touch $@

bench: .installed-dev .bench/peers .bench/arq ## Measure Poolwise beside other queues: a night (ARGS="--systems poolwise,rq --rounds 1")
	@$(RUN) -m benchmarks.peers --workload empty,wait,compute,payload --database postgres,sqlite $(ARGS)

format: .installed-dev ## Format the source
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

env: ## Write .env with random secrets for compose.yaml
	@"$${PYTHON:-python3}" -m dev.env

clean: ## Remove caches and built files; data in var/ stays
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis staticfiles
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too, and all data in var/
	rm -rf .venv .audit .bench var
