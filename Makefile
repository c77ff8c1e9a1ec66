# Everything it takes to try DueBy, test it and change it. `make` alone says what there is.
#
# It needs Python 3.11 or newer and a package registry that pip reaches, and nothing else: it makes its own virtual
# environment in .venv, and does so again only after pyproject.toml has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo gpu docs test coverage test-deep lint format lock sbom clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More options for pip, such as the index of PyTorch's CPU builds (see docs/command.md, "Install").
PIP_ARGS ?=
# Minutes that a call of `make gpu` may take, the steps that it is to do once more; with GPU_STANDIN=1, cores stand in
# for a GPU.
GPU_MINUTES ?= 10
GPU_AGAIN ?=
GPU_STANDIN ?=
# More options for pytest, such as `make test PYTEST_ARGS="-k shares -x"`.
PYTEST_ARGS ?=
# More options for uv, such as `make lock LOCK_ARGS=--upgrade`.
LOCK_ARGS ?=
# More options for docker, such as `make sbom DOCKER_ARGS="--build-arg BASE=..."`, and the images that they are for.
DOCKER_ARGS ?=
IMAGES ?= operator worker
SOURCES := dueby api planner pages operator worker profiler study
CHECKED := $(wildcard $(SOURCES) tests benchmarks examples docs/site)

help: ## say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## make the virtual environment .venv with everything that demo and test need

demo: $(STAMP) ## profile this machine, then classify photos by a deadline on it (under 5 minutes)
	@examples/demo/run.sh

gpu: $(STAMP) ## on a machine with an NVIDIA GPU: test, measure and compare, ten minutes at a time until all is done
	@$(BIN)/python benchmarks/gpu_steps.py --minutes $(GPU_MINUTES) $(if $(GPU_STANDIN),--standin) \
	  $(if $(GPU_AGAIN),--again $(GPU_AGAIN)) --pip-args="$(PIP_ARGS)"

docs: $(STAMP) ## make the documents into a site: build/docs/html
	@$(BIN)/python docs/site/make_site.py build/docs
	@echo "build/docs/html/index.html"

test: lint ## lint, check the types and run the tests on all cores
	@echo "== pytest: every test but those marked deep, warnings are errors"
	$(BIN)/pytest -n auto --durations=10 $(PYTEST_ARGS)

# Tests of the planner and the calendar take twice as long so.
coverage: lint ## run the same tests and show the lines that none of them runs
	@echo "== pytest: every test but those marked deep, with coverage"
	$(BIN)/pytest -n auto --cov --cov-report=term --durations=10 $(PYTEST_ARGS)

# A property that takes 2 s on few examples takes two minutes on many.
test-deep: lint ## run the same tests with 50 times as many examples of each property, and with the tests that take long
	@echo "== pytest: every test, on many examples"
	$(BIN)/pytest -n auto --hypothesis-profile=deep --timeout=7200 --durations=10 $(PYTEST_ARGS)

lint: $(STAMP) ## ruff and mypy alone
	@echo "== ruff: style and layout"
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	@echo "== mypy: types, strictly"
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks examples docs/site

format: $(STAMP) ## lay the code out, and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

# PyTorch and the libraries that come with PyPI's build of it, for CUDA; nvidia-ml-py is the profiler's.
TORCH := /^(torch|torchvision|triton|cuda-|nvidia-)/ && !/^nvidia-ml-py=/
LOCK = build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' --constraint build/tested.txt $(LOCK_ARGS)

# soupsieve comes with the site's theme, and its newest version needs Python 3.11.5: it is not held to what .venv has.
lock: $(STAMP) ## lock what images install, with hashes, to the versions that are in .venv and so are tested
	$(BIN)/python -m venv build/uv
	build/uv/bin/pip install --disable-pip-version-check --quiet $(PIP_ARGS) 'uv>=0.9'
	$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable | sed 's/+.*//; /^soupsieve=/d' > build/tested.txt
	$(LOCK) pyproject.toml --extra operator --output-file requirements/operator.txt
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(LOCK) - --output-file requirements/build.txt
	sed -n '/^docs = /,/^]/ s/^ *"\([^"]*\)",$$/\1/p' pyproject.toml | $(LOCK) - --output-file requirements/docs.txt
	echo 'cyclonedx-bom>=7' | $(LOCK) - --output-file requirements/sbom.txt
	$(LOCK) pyproject.toml --extra worker --output-file build/worker.txt
	awk '/^#/ {print > "requirements/torch.txt"} /^[a-z]/ {to = $(TORCH) ? "torch" : "worker"} \
	  {print > ("requirements/" (to ? to : "worker") ".txt")}' build/worker.txt

sbom: ## say what Python packages are in the images, as CycloneDX: build/sbom/IMAGE/sbom.cdx.json (needs Docker)
	@for image in $(IMAGES); do \
	  docker build --quiet -f Dockerfile.$$image --target sbom --output build/sbom/$$image $(DOCKER_ARGS) . ; \
	  ls build/sbom/$$image/sbom.cdx.json; \
	done

clean: ## remove what was made here: .venv, build, caches
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# The first python that is new enough. A name on the PATH may be a shim that refuses, so each is tried.
FIND_PYTHON = for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done

$(STAMP): pyproject.toml
	@python=$$($(FIND_PYTHON)) || { \
	  echo "DueBy needs Python 3.11 or newer with venv; none was found (on Debian: apt-get install python3-venv)." >&2; \
	  echo "If it is elsewhere: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	echo "== installing DueBy and what its tests need into $(VENV) with $$($$python --version): a few minutes, once"; \
	test -x $(BIN)/python || $$python -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check $(if $(CI),--quiet) $(PIP_ARGS) --editable '.[dev]'
	@touch $@
