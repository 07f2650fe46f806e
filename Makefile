# The one front door. Everything it installs stays in this folder: .uv holds uv, .venv the project.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-slow check bench docs constraints clean

SHELL := /bin/sh
UV := .uv/bin/uv
BIN := .venv/bin
# Each process of the tests starts a database server of its own.
AT_ONCE := --numprocesses auto --maxprocesses 4 --dist worksteal
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)

# An environment knows its own folder by name: a copied or moved checkout sets up anew.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
UV_READY := .uv/ready-$(HERE)
READY := .venv/ready-$(HERE)

define find_python
found=; for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
    then found=$$python; break; fi; \
done; \
if [ -z "$$found" ]; then \
    echo "crmcore needs Python 3.11 or newer with its venv module (on Debian and Ubuntu: the package python3-venv); none was found, so name one: make PYTHON=/path/to/python3" >&2; \
    exit 1; \
fi
endef

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

demo: $(READY)  ## replay a real shop's 78 weeks and show what the strategies make of them
	@$(BIN)/crm demo

test: $(READY)  ## run every test but the slow ones
	@$(BIN)/python -m pytest $(AT_ONCE) -m "not slow"

test-slow: $(READY)  ## run every test
	@$(BIN)/python -m pytest $(AT_ONCE)

check: $(READY)  ## lint, types, import contracts, what may be in git
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(wildcard src plugins/*/src plugins/*/tests tests examples bench)
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m pytest tests/packaging/test_repository.py

bench: $(READY)  ## measure CPU seconds against the bare driver
	@$(BIN)/python -m bench

docs: $(READY)  ## build the documentation into build/site, to be opened from there or served
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean
	@echo "The documentation is in build/site/index.html"

constraints: $(UV_READY)  ## take the newest versions into constraints.txt
	@$(UV) pip compile --quiet --no-header --no-annotate --python-version 3.11 --group dev pyproject.toml > .uv/newest
	@grep '^[a-z0-9-]*==' .uv/newest > constraints.txt

clean:  ## remove the environments and everything that can be made again
	@rm -rf .uv .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis uv.lock
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(UV_READY): constraints.txt
	@$(find_python); \
	echo "Setting up uv in .uv with $$found"; \
	rm -rf .uv && "$$found" -m venv .uv && \
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(READY): $(UV_READY) $(PROJECTS)
	@echo "Setting up the project in .venv"
	@$(UV) venv --quiet --clear --python .uv/bin/python .venv
	@$(UV) pip install --quiet --python $(BIN)/python --group dev --editable . \
	    $(patsubst %/pyproject.toml,--editable %,$(wildcard plugins/*/pyproject.toml)) \
	    --constraint constraints.txt --build-constraint constraints.txt
	@touch $@
