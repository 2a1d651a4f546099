# Two commands matter: `make run` and `make test`. `make` alone lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DATA_DIR ?= $(CURDIR)/data
IMAGE ?= demo/web
TAG ?= 1.0.0

.PHONY: help run run-postgres push demo-password doctor test test-cluster lint types format unit locks clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

run: $(VENV)/.installed ## Start Codestream with its demo; Ctrl-C ends it
	@exec $(BIN)/python -m codestream.supervisor

run-postgres: $(VENV)/.installed ## The same on PostgreSQL, with two web processes and three workers
	@sh deploy/need-postgres
	@exec $(BIN)/python -m codestream.supervisor --postgres

push: $(VENV)/.installed ## Play `docker push`: make push IMAGE=demo/web TAG=1.2.3
	@$(BIN)/python -m codestream.sandbox.push "$(IMAGE)" "$(TAG)"

demo-password: $(VENV)/.installed ## Set a new password for the demo accounts (DEMO_PASSWORD, else a random one)
	@$(BIN)/python manage.py demo_password

doctor: $(VENV)/.installed ## Say what is wrong with this installation and what to do about it
	@$(BIN)/python manage.py doctor

test: $(VENV)/.installed-dev lint types ## Everything that CI runs
	@sh deploy/need-chromium
	@sh deploy/need-postgres
	@sh deploy/need-docker-registry
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m tests.on_postgres
	@$(BIN)/pytest -n auto --dist loadgroup -q --cov --cov-report=term:skip-covered

test-cluster: $(VENV)/.installed-dev ## The Kubernetes tests on a real API server: KUBECONFIG's, or built once
	@$(BIN)/python -m tests.cluster

unit: $(VENV)/.installed-dev ## The fast tests only
	@$(BIN)/pytest -q tests/unit

lint: $(VENV)/.installed-dev ## Style, imports, templates, migrations
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache > /tmp/lint-imports.$$$$ || { cat /tmp/lint-imports.$$$$; rm /tmp/lint-imports.$$$$; exit 1; }; rm -f /tmp/lint-imports.$$$$
	@$(BIN)/djlint --quiet --lint templates
	@DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run

types: $(VENV)/.installed-dev ## mypy, strict
	@DATA_DIR=$$(mktemp -d) $(BIN)/mypy --no-error-summary codestream endpoints webhooks pipelines executions benchmarks tests

format: $(VENV)/.installed-dev ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

locks: ## Compile the hash-locked requirements from pyproject.toml
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile --quiet --no-strip-extras --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -c requirements.txt pyproject.toml -o requirements-dev.txt

clean: ## Remove the environment and the caches; the data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(VENV)/.installed: requirements.txt deploy/make-venv
	@PYTHON="$(PYTHON)" sh deploy/make-venv $(VENV)
	@echo "Installing the dependencies..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the tools for development..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
