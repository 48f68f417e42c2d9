# Needs git, make, python3 (3.11 or newer) and python3-venv; everything else is fetched into .venv and .tools.

# the system's, for its packager built it with all optimizations: one that was compiled by hand is often much slower
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo /usr/bin/python3 || echo python3)
UV_VERSION := 0.13.9
BIN := .venv/bin
SYNC := $(BIN)/uv sync --frozen --inexact --quiet
LOCKED := pyproject.toml uv.lock
# a file's tests stay in one process, where they share what is dear to make
BY_FILE := --dist=loadfile --no-loadscope-reorder
PAGES := tests/docs tests/notebook/test_notebooks.py
# these wait for servers, a browser and cron about as long as they compute: one process for them, beside two
# for all others, keeps two cores busy
WAITING := tests/history tests/reporting tests/serve tests/sinks tests/watch \
	$(patsubst %,tests/whole/test_%.py,demonstration end_to_end operation_faults)
# about half of the time of the quick tests: either half reads its own files only
HALF := tests/checklist tests/collectors tests/notebook tests/reporting tests/setup tests/sinks
QUICK := --quiet -m "not slow" --durations=5

export UV_PYTHON_DOWNLOADS := never
# a network may have a certificate authority of its own
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := 1
endif
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR := $(CURDIR)/.venv/.cache
endif
# where Python keeps no bytecode, every process compiles all libraries anew: seconds each time
unexport VIRTUAL_ENV UV_PROJECT_ENVIRONMENT PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-waiting test-computing quick quick-half quick-rest check lint types layers spelling docs pages fmt bench \
	cluster bench-compare bench-accuracy bench-quiet obvious fuzz ablations peers golden tools hooks dist release-check clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

demo: .venv/.run ## judge the releases of sample_data, offline
	@$(BIN)/anomaly demo

test: .venv/.dev tools ## run every test but those of the pages
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-waiting test-computing

test-waiting: .venv/.dev tools
	@said=$$($(BIN)/python -m pytest --durations=15 $(WAITING) 2>&1); status=$$?; printf '%s\n' "$$said"; exit $$status

test-computing: .venv/.dev tools
	@$(BIN)/python -m pytest --numprocesses=2 $(BY_FILE) --durations=15 $(WAITING:%=--ignore=%) $(PAGES:%=--ignore=%)

quick: .venv/.dev ## what to run while coding, in a minute: lint, types, layers and the quick tests
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target quick-half quick-rest lint types layers

quick-half: .venv/.dev
	@$(BIN)/python -m pytest $(QUICK) $(HALF)

quick-rest: .venv/.dev
	@$(BIN)/python -m pytest $(QUICK) $(HALF:%=--ignore=%) --ignore=tests/whole

check: lint types layers spelling pages ## lint, types, layers, spelling, pages

lint: .venv/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pre-commit validate-config
	@$(BIN)/zizmor --offline --pedantic --quiet .github/workflows action.yml
	@$(BIN)/hadolint Containerfile

types: .venv/.dev
	@$(BIN)/mypy

layers: .venv/.dev
	@$(BIN)/lint-imports --no-logo --no-cache

spelling: .venv/.dev
	@git ls-files -z | xargs -0 $(BIN)/codespell

docs: .venv/.dev ## build the documentation site into site/ and check that links resolve
	@$(BIN)/python -m docs.builder site

pages: .venv/.dev tools ## build the site, run every example, command and notebook of the pages, and compare what they show
	@$(BIN)/python -m pytest --numprocesses=2 $(BY_FILE) --quiet --durations=5 $(PAGES)

fmt: .venv/.dev ## bring the code into its form
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

bench: .venv/.dev ## say what a verdict costs by series, points and stage, as ratios; into build/bench.json, too
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.scale
	@$(BIN)/python -m benchmarks.page
	@$(BIN)/python -m benchmarks.collection
	@$(BIN)/python -m benchmarks.growth --looks 20 --known 1 501
	@$(BIN)/python -m benchmarks.end_to_end

bench-compare: .venv/.dev ## say what costs more or less in revision B than in A: make bench-compare A=main B=HEAD
	@$(if $(and $(A),$(B)),,$(error name two revisions: make bench-compare A=main B=HEAD))$(BIN)/python -m benchmarks.compare "$(A)" "$(B)"

cluster: .venv/.dev ## judge by processes, by parts and by a cluster on loopback, and compare time and answers
	@$(BIN)/python -m benchmarks.cluster

bench-accuracy: .venv/.dev ## judge generated releases with known answers, beside simple judges
	@$(BIN)/python -m benchmarks.accuracy

bench-quiet: .venv/.dev ## say how often quiet series of many kinds raise a false alarm, at one look, at many and in backtests
	@$(BIN)/python -m benchmarks.false_alarms
	@$(BIN)/python -m benchmarks.looks
	@$(BIN)/python -m benchmarks.backtest

obvious: .venv/.dev ## judge releases about which nobody would argue, beside simple judges
	@$(BIN)/python -m benchmarks.obvious

fuzz: .venv/.dev ## judge 20,000 random frames, and give 1,000,000 odd inputs to the parsers (hours)
	@$(BIN)/python -m benchmarks.fuzz
	@$(BIN)/python -m benchmarks.parsers

ablations: .venv/.dev ## say in docs/accuracy.md what each part of the method is worth
	@$(BIN)/python -m benchmarks.ablation --write

peers: .venv/.dev ## install the packages that bench-accuracy compares with
	@$(SYNC) --group peers

golden: .venv/.dev ## renew all that is generated, then list what a person must still write; read the difference
	@$(BIN)/python -m docs.builder.plugin_pages
	@ANOMALY_GOLDEN=rewrite $(BIN)/python -m pytest -q -k golden || true
	@git diff --stat
	@$(BIN)/python -m tests.support.todo

tools: ## unpack the servers that the tests need
	@tests/support/fetch_servers.sh

hooks: .venv/.dev ## run the quick checks at every commit and push of this clone
	@$(BIN)/pre-commit install

dist: .venv/.dev ## make the files of a release in dist/ and try them in an empty environment
	@$(BIN)/python -m distribution

release-check: .venv/.dev ## say whether this commit may be released, and make its files
	@$(BIN)/python -m distribution.readiness
	@$(MAKE) --no-print-directory dist

clean: ## remove what make made
	rm -rf .venv .tools build dist site

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "anomaly needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir uv==$(UV_VERSION)

.venv/.run: $(LOCKED) | $(BIN)/uv
	$(SYNC) --no-dev
	@touch $@

.venv/.dev: $(LOCKED) | $(BIN)/uv
	$(SYNC) --group dev
	@touch $@ .venv/.run
