# Everything a person needs, two words each. Nothing outside this folder is changed.
.DEFAULT_GOAL := help
SHELL := /bin/bash
STACK ?= demo
CORES := $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
UV := $(BIN)/uv
# Neither the interpreter nor a package comes from anywhere but the lock and the machine.
export UV_PYTHON_DOWNLOADS := never

MEMBERS := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml tools/*/pyproject.toml)
# What becomes an image: each has a lock of its own.
IMAGES := $(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml)) tools/doubles
MEMBER_NAMES = $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(MEMBERS))
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url $(addprefix --no-emit-package ,$(MEMBER_NAMES))

.PHONY: help
help: ## Say what can be done
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap: ## Make .venv from the hash-locked requirements (quick when nothing changed)
	@./tools/bootstrap

.PHONY: demo
demo: bootstrap ## Start everything and show a signed webhook become a bought label
	@$(BIN)/rappit-devstack up --stack $(STACK)
	@$(BIN)/rappit-demo --stack $(STACK)

.PHONY: up
up: bootstrap ## Start the stack without the story
	@$(BIN)/rappit-devstack up --stack $(STACK)

.PHONY: down
down: bootstrap ## Stop the stack; its data stays
	@$(BIN)/rappit-devstack down --stack $(STACK)

.PHONY: ps
ps: bootstrap ## Show what runs
	@$(BIN)/rappit-devstack ps --stack $(STACK)

.PHONY: logs
logs: bootstrap ## Follow the logs (make logs NAMES="orders shipping")
	@$(BIN)/rappit-devstack logs --stack $(STACK) $(NAMES)

.PHONY: restart
restart: bootstrap ## Restart services after a change (make restart NAMES=orders)
	@$(BIN)/rappit-devstack restart --stack $(STACK) $(NAMES)

.PHONY: clean
clean: bootstrap ## Stop the stack and remove its data
	@$(BIN)/rappit-devstack clean --stack $(STACK)

.PHONY: test
test: bootstrap ## Run all tests on private servers (make test ARGS="-k orders")
	@$(BIN)/rappit-devstack run --browser -- pytest -n $(CORES) --dist loadgroup $(ARGS)

.PHONY: test-fast
test-fast: bootstrap ## Run the tests that need neither servers nor a browser
	@$(BIN)/pytest -q -n $(CORES) --dist loadgroup -m "not server and not browser" $(ARGS)

.PHONY: faults
faults: bootstrap ## Kill, cut and flood a stack of its own, and check what it promises (SEED=7 ROUNDS=20 MINUTES=30)
	@PYTHONPATH=tests/faults $(BIN)/python -m rappit_faults.run $(if $(SEED),--seed $(SEED)) \
	  --rounds $(or $(ROUNDS),1) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: lint
lint: bootstrap ## Check style, formatting, types and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

.PHONY: format
format: bootstrap ## Format the code, and mend what can be mended by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: bootstrap ## Measure everything against limits of the same run
	@$(BIN)/rappit-devstack run --stack bench --durable -- $(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: bench-quick
bench-quick: bootstrap ## Measure the first few rows, in minutes
	@$(BIN)/rappit-devstack run --stack bench --durable -- $(BIN)/python benchmarks/run.py --quick $(ARGS)

.PHONY: lock
lock: bootstrap ## Lock the requirements again, of the workspace and of each service's image
	@$(COMPILE) --group pyproject.toml:dev pyproject.toml $(MEMBERS) -o requirements.lock
	@for image in $(IMAGES); do \
	  $(COMPILE) -c requirements.lock $$image/pyproject.toml -o $$image/requirements.lock || exit 1; \
	done
	@! grep -nE '://' requirements.lock $(addsuffix /requirements.lock,$(IMAGES)) || { echo "a lock names a host: see above" >&2; exit 1; }

# With Docker Compose, from images, as on a server. See docs/deploy.md; `make up` is quicker for work on the code.
COMPOSE := docker compose
PLAYED_CARRIERS := FEDEX_BASE_URL=http://carrier-double:8000/fedex DHL_BASE_URL=http://carrier-double:8000/dhl

.PHONY: compose-up
compose-up: ## Build the images and run everything with Docker Compose
	@./deploy/compose/make-env
	@$(COMPOSE) up --build --detach --wait

.PHONY: compose-demo
compose-demo: bootstrap ## The same with played carriers, then the story of make demo
	@./deploy/compose/make-env
	@$(PLAYED_CARRIERS) $(COMPOSE) --profile demo up --build --detach --wait
	@set -a && . ./.env && exec $(BIN)/rappit-demo --url http://127.0.0.1:$$INGRESS_PORT \
	  --carriers-url http://127.0.0.1:$$CARRIER_DOUBLE_PORT --labels .rappit/compose-labels

.PHONY: compose-down
compose-down: ## Stop Docker Compose's containers; the data stays in its volumes
	@$(COMPOSE) --profile demo down
