# `make help` lists what can be asked for. Every step says its name and how many seconds it took.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export ADUTORA_CACHE ?= $(HOME)/.cache/adutora
BIN := .venv/bin
PLATFORM := .venv-platform/bin
SPARK := .venv-spark/bin
READY := .venv/.ready
READY_PLATFORM := .venv-platform/.ready
READY_SPARK := .venv-spark/.ready
STEP := tools/step
EXAMPLE := examples/02-city-features
CITY := cidade:São Paulo
BENCHES := aggregate startup publish
# These run in .venv-platform; chain and visible on the cluster that `make cluster-up` brings.
PLATFORM_BENCHES := chain engines operator parse spark-start visible

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub("%", "NAME", $$1); printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  NAME is one of: $(BENCHES) $(PLATFORM_BENCHES)"

.PHONY: setup
setup: $(READY) ## Make .venv from uv.lock; then .venv/bin/adutora works

$(READY): uv.lock pyproject.toml
	@$(STEP) "set up .venv from uv.lock" tools/uv sync --frozen --quiet --compile-bytecode
	@$(BIN)/python -m compileall -q adutora  # an editable install is left uncompiled
	@touch $@

# Airflow, kopf and the Kubernetes client have an environment of their own: the core is tested as users install it.
$(READY_PLATFORM): uv.lock pyproject.toml
	@UV_PROJECT_ENVIRONMENT=.venv-platform $(STEP) "set up .venv-platform from uv.lock" \
	  tools/uv sync --frozen --quiet --compile-bytecode --extra airflow --extra operator
	@touch $@

# PySpark is half a gigabyte that most of the work does without.
$(READY_SPARK): uv.lock pyproject.toml adutora/runtime/spark/jars.lock
	@UV_PROJECT_ENVIRONMENT=.venv-spark $(STEP) "set up .venv-spark from uv.lock" \
	  tools/uv sync --frozen --quiet --compile-bytecode --extra spark
	@$(STEP) "jars for Spark" $(SPARK)/python adutora/runtime/spark/fetch-jars >/dev/null
	@touch $@

.PHONY: demo
demo: $(READY) ## Run the main example twice: print its table, then publish it to the online store
	@tools/demo $(EXAMPLE) "$(CITY)"

.PHONY: check
check: $(READY) $(READY_PLATFORM) lint ## The fast gate: format, lint, types, import rules, unit tests
	@$(STEP) "unit tests" $(BIN)/pytest -n auto -m "not slow and not integration" --durations=10 tests/unit
	@$(STEP) "unit tests of operator and Airflow side" \
	  $(PLATFORM)/pytest -n auto -m "not slow and not integration" --durations=5 tests/operator tests/airflow

.PHONY: lint
lint: $(READY) $(READY_PLATFORM) ## Format, lint, types and import rules, without tests
	@$(STEP) "ruff check" $(BIN)/ruff check --quiet .
	@$(STEP) "ruff format" $(BIN)/ruff format --check --quiet .
	@$(STEP) "mypy --strict" $(BIN)/mypy --strict
	@MYPYPATH=operators:dags $(STEP) "mypy --strict, operator, Airflow side and benchmarks" \
	  $(PLATFORM)/mypy --strict -p adutora_operator -p adutora_airflow -p bench
	@PYTHONPATH=operators:dags $(STEP) "import rules" $(BIN)/lint-imports --no-logo

.PHONY: servers
servers: ## Install what the tests start: redis-server, versitygw, Chromium
	@$(STEP) "servers for tests" tools/servers

.PHONY: test
test: $(READY) $(READY_PLATFORM) $(READY_SPARK) servers cluster-bin lint ## Everything: lint, then all tests, the last of them on a real cluster
	@tools/test

.PHONY: e2e
e2e: $(READY_PLATFORM) cluster-bin ## The tests that need a cluster, alone; KEEP=true leaves it running
	@tools/e2e

.PHONY: cluster-bin
cluster-bin: ## Build the programs of the cluster for tests: Kubernetes, helm, CoreDNS; once, into the cache
	@tools/cluster-bin

.PHONY: cluster-up
cluster-up: cluster-bin ## Start a Kubernetes of one node with our images and the platform
	@$(STEP) "cluster" tools/cluster up
	@$(STEP) "install the platform" tools/install-platform

.PHONY: cluster-down
cluster-down: ## End that cluster and delete its state
	@$(STEP) "end the cluster" tools/cluster down

.PHONY: format
format: $(READY) ## Format the code and mend what ruff can mend by itself
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: generate
generate: $(READY) ## Write what is made from the spec: JSON Schemas, CRDs, reference pages
	@$(STEP) "generate" $(BIN)/python -m adutora.crd

.PHONY: bench-%
bench-%: $(READY) ## Run a benchmark and its peer, and print how they compare; ARGS="--tries 1" passes options on
	@[[ ' $(BENCHES) ' == *' $* '* ]] || { echo "no benchmark '$*'; there are: $(BENCHES) $(PLATFORM_BENCHES)" >&2; exit 2; }
	@$(BIN)/python -m compileall -q adutora
	@$(STEP) "bench $*" $(BIN)/python -m bench.$* $(ARGS)

$(PLATFORM_BENCHES:%=bench-%): bench-%: $(READY_PLATFORM)
	@$(PLATFORM)/python -m compileall -q adutora dags operators
	@$(STEP) "bench $*" $(PLATFORM)/python -m bench.$(subst -,_,$*) $(ARGS)

bench-engines: $(READY_SPARK)

.PHONY: clean
clean: ## Remove .venv, caches of tools and what examples wrote; the shared cache stays
	@rm -rf .venv .venv-platform .venv-spark .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@rm -rf examples/*/.adutora examples/*/lake examples/*/online.db*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
