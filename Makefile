.DEFAULT_GOAL := help
.PHONY: env secrets docs help install run dev check compiled test full bare unit lint types e2e containers manifests fuzz releasable sbom screenshots looks observe chaos simulate rolling kind cluster production scaling bench

# `PYTHON=3.13` (or a path) makes .venv with that Python; without it an existing .venv stays as it is.
INSTALL := @PYTHON="$(PYTHON)" tools/devstack/install.sh
# Both print the seconds since BEGAN.
UP := @export BEGAN=$$(date +%s) PYTHON="$(PYTHON)" && tools/devstack/install.sh run && exec .venv/bin/dashboard up
# Some images set it. Then every process of the stack compiles all of its modules, which doubles its start.
unexport PYTHONDONTWRITEBYTECODE
PROCESSES ?= 4
# Blocks of more than eight lines that are in two files. It succeeds whatever it finds, so awk reads its last line.
REPEATED := find services shared tools -name '*.py' ! -path '*/versions/*' ! -path '*/node_modules/*' -exec .venv/bin/symilar -d 8 {} +
# The schemas come with the package.
SCHEMA := .venv/bin/check-jsonschema --quiet --builtin-schema vendor.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
PYTEST := .venv/bin/pytest -n $(PROCESSES) --no-loadscope-reorder
UNIT := tests/unit
TSC := tools/page/node_modules/.bin/tsc

# `COMPILED=1` runs the gateway's tests on its compiled modules.
ifdef COMPILED
PYTEST := COMPILED=1 PYTHONPATH=$(CURDIR)/build/compiled $(PYTEST)
UNIT := tests/unit/gateway
TESTS := tests/unit/gateway tests/integration/gateway
unit test: compiled
endif

help: ## List all targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

install: ## Install what is missing: Python packages into .venv, RabbitMQ
	$(INSTALL) python rabbitmq

run: ## Start everything on this machine, without Docker (PORT=8000, ARGS="--ephemeral")
	$(UP) $(ARGS)

dev: ## Like run, and restart services and reload the page when their files change
	$(UP) --reload $(ARGS)

check: lint types unit ## Check style and types and run the unit tests: under a minute, for use while working

unit: ## Run the unit tests (COMPILED=1: the gateway's, on its compiled modules)
	$(INSTALL) python
	$(PYTEST) -m "not long and not full and not docker" $(UNIT) $(ARGS)

test: ## Run every test but the full and long ones, against real servers (TEST_BACKENDS=docker|local, PROCESSES=4, COMPILED=1, PYTHON=3.13)
	$(INSTALL) python servers browser prometheus
	$(PYTEST) -m "not long and not full and not docker" $(TESTS) $(ARGS)

compiled: ## Write build/compiled: the services, with the gateway's hot path compiled by mypyc
	$(INSTALL) python
	@rm -rf build/compiled && mkdir -p build/compiled && cp -Rp deploy services shared tools build/compiled
	.venv/bin/python deploy/compile.py build/compiled

# By folder, so that the long tests of tests/unit do not begin last.
full: ## Run the tests that `make test` leaves out or runs in short form: chaos, rolling, benchmarks, outages, the page, tutorials
	$(INSTALL) python servers browser firefox bench
	$(PYTEST) -m "full and not long and not docker" tests/e2e tests/unit tests/integration $(ARGS)

bare: ## Run `make test` on bare Debian machines, in containers, as root and as a user (IMAGES="python:3.13-slim debian:12-slim")
	tools/lab/bare/run.sh $(IMAGES)

lint: ## Check style, imports, types of the page, dead and repeated code, unused dependencies, workflows, known vulnerabilities (AUDIT=required)
	$(INSTALL) python page
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	@if command -v node > /dev/null && [ -x $(TSC) ]; then echo $(TSC) -p tools/page && $(TSC) -p tools/page; fi
	.venv/bin/vulture
	.venv/bin/deptry .
	$(REPEATED) | awk '{ print } /^TOTAL/ && !/duplicates=0 / { found = 1 } END { exit found }'
	.venv/bin/zizmor --offline --quiet .github
	$(SCHEMA)github-workflows .github/workflows/*.yml
	$(SCHEMA)github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(SCHEMA)renovate renovate.json5
	@if command -v actionlint > /dev/null; then actionlint; \
	elif [ -n "$$CI" ] && command -v go > /dev/null; then go run $(ACTIONLINT); \
	else echo "actionlint: not done, because it is not installed"; fi
	.venv/bin/python deploy/audit.py

types: ## Check types
	$(INSTALL) python
	.venv/bin/mypy

env: ## Write a .env with new secrets for docker compose, unless there is one
	@python3 deploy/compose/env.py

secrets: ## Write ./secrets for deploy/compose/production.yml, unless they exist
	@python3 deploy/compose/secret_files.py

docs: ## Generate docs/reference: API, events, configuration
	$(INSTALL) python
	@.venv/bin/python -m tools.docs.pages

screenshots: ## Update the pictures of the page and of the mails in the documentation
	$(INSTALL) python rabbitmq browser
	.venv/bin/python -m tests.e2e.screenshots
	.venv/bin/python -m tests.e2e.mail_pictures

looks: ## Take a picture of every page and state in each theme, narrow, in forced colours and on paper (LOOKS=build/looks)
	$(INSTALL) python rabbitmq browser
	.venv/bin/python -m tests.e2e.looks $(LOOKS)

observe: ## Draw the Grafana dashboards from a real Prometheus, with the system under load (OBSERVE_SECONDS=240)
	$(INSTALL) python rabbitmq browser prometheus
	.venv/bin/python -m tools.lab.observe $(ARGS)

e2e: ## Run the tests that start the whole stack
	$(INSTALL) python servers browser
	.venv/bin/pytest -m e2e $(ARGS)

containers: ## Run the tests that need Docker
	$(INSTALL) python
	TEST_BACKENDS=docker .venv/bin/pytest -m "docker and not long" $(ARGS)

production: ## Upgrade, back up, destroy and restore the production compose setup under load
	$(INSTALL) python
	TEST_BACKENDS=docker .venv/bin/pytest -m "docker and long" $(ARGS)

manifests: ## Validate the Kubernetes manifests against the API's schemas, and start their processes (CRDS=folder of operators' definitions)
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.kubernetes $(if $(CRDS),--definitions $(CRDS))
	.venv/bin/pytest -m long tests/e2e/test_kubernetes.py $(ARGS)

fuzz: ## Fuzz parsers and every operation of the API (FUZZ_EXAMPLES=1000)
	$(INSTALL) python servers
	.venv/bin/pytest -m long tests/unit/fuzz tests/e2e/openapi $(ARGS)

releasable: ## Check that every file names the version that is to be released (VERSION=0.2.0)
	@python3 deploy/release.py $(VERSION)

sbom: ## Write dist/sbom.cdx.json: the contents of the image, as CycloneDX
	$(INSTALL) python
	@mkdir -p dist
	PATH=.venv/bin:$$PATH uv export --quiet --locked --no-dev --format cyclonedx1.5 --output-file dist/sbom.cdx.json

chaos: ## Kill and freeze processes and cut connections under load, and count lost work (CHAOS_SECONDS=180, CHAOS_SEED)
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.chaos $(ARGS)

simulate: ## Run the real code in simulated worlds (SECONDS=60, SEED=1, RUN=seed or file: replay one, MUTATIONS=all or names: find known faults)
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.simulation --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(if $(RUN),--replay $(RUN)) $(if $(MUTATIONS),--mutations $(filter-out all,$(MUTATIONS))) $(ARGS)

rolling: ## Restart every process under load, and count failures and lost work (FROM=last or a tag, ARGS="--rounds 3 --rate 20")
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.rolling $(if $(FROM),--from $(FROM)) $(ARGS)

kind: ## Run an overlay on a kind cluster: apply, README example, rolling update under load (OVERLAY=dev or kind, KEEP=1)
	$(INSTALL) python
	tools/lab/kubernetes/kind.sh $(OVERLAY)

cluster: ## Kill a RabbitMQ node, then a Postgres primary, under load, and count lost work (ARGS="node --seed 8")
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.cluster $(ARGS)

scaling: ## Compute and simulate the limits of scaling, and write docs/scaling.md (ARGS=measure repeats its measurements)
	$(INSTALL) python servers
	.venv/bin/python -m tools.lab.scaling $(ARGS)

bench: ## Measure, and write docs/performance.md (BENCH=gateway,scenarios,pauses,bookkeeping,panels,rest,passthrough,faults,orders,enqueue,worker,batches,relay,delays,pictures,reports,streams,overload,traces,system,views)
	$(INSTALL) python rabbitmq bench
	.venv/bin/python -m tools.lab.bench $(ARGS)
