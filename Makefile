# beamwright: everything a fresh clone needs. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
TOOLS := .tools/bin
MONO := mono-mcs mono-runtime libmono-2.0-1 mono-devel xvfb xdotool libgdiplus imagemagick fonts-dejavu-core

.PHONY: help demo test test-all check types lint imports proto-check proto fix bench accuracy planners esapi eclipse clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: .venv/.installed  ## set up, plan the built-in brain SRS case over gRPC, name the report
	$(BIN)/beamwright plan brain-srs --planner rules

test: check esapi  ## lint, types, import contracts, proto check, fast tests
	$(BIN)/pytest -m "not slow"

test-all: .venv/.dev esapi  ## every test that `make test` leaves out
	$(BIN)/pytest -m slow

check: lint types imports proto-check

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy -p bridge -p agent

imports: .venv/.dev
	$(BIN)/lint-imports

proto-check: .tools/.installed  ## contract style, no breaking change, generated code up to date
	PATH="$(TOOLS):$$PATH" sh proto/check.sh

proto: .tools/.installed  ## regenerate bridge/tps/v1 from proto/
	PATH="$(TOOLS):$$PATH" sh proto/generate.sh

fix: .venv/.dev  ## sort imports, format, mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev .peers/.installed  ## our engine and pyRadPlan on the same cases in turn: times, memory, ratios
	$(BIN)/python -m tests.benchmarks

accuracy: .venv/.dev  ## doses and DVHs against other engines' and known ones; writes build/accuracy/index.html
	$(BIN)/python -m tests.accuracy

planners: .venv/.dev  ## every planner against scripted models, faults, equal budgets, traces; writes build/*.json
	$(BIN)/python -m tests.planners

esapi: .venv/.dev  ## compile the emulated Eclipse and the plug-in; installs Mono as root on Debian, else says what is left out
	@missing=$$(for program in mcs Xvfb xdotool import; do command -v $$program >/dev/null || echo $$program; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "The emulated Eclipse needs what is not here ($$(echo $$missing)). Installing: $(MONO)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(MONO) >/dev/null || true; \
	fi
	@if command -v mcs >/dev/null; then \
		PYTHON=$(BIN)/python sh esapi_scripts/build.sh; \
	else \
		printf '\n%s\n%s\n%s\n\n' '!!! Mono is not installed: everything of Eclipse is SKIPPED, built and tested. To have it, as root:' \
			'!!!   apt-get install -y --no-install-recommends $(MONO)' '!!! In CI this is an error.'; \
		[ -z "$$CI" ]; \
	fi

eclipse: esapi  ## the adapter against the emulated Eclipse: gRPC under load, overhead, a session with its window; writes build/eclipse-*
	$(BIN)/python -m tests.eclipse

clean:  ## remove what the targets above made
	rm -rf .venv .tools .peers build runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("beamwright needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.tools/.installed: proto/requirements.txt
	test -x $(TOOLS)/python || $(PYTHON) -m venv .tools
	$(TOOLS)/python -m pip install --quiet --disable-pip-version-check -r proto/requirements.txt
	@touch $@

.peers/.installed: tests/benchmarks/peers/requirements.txt
	test -x .peers/bin/python || $(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
