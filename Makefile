# Two commands set everything up on a machine that has python3 (3.11 or newer): `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := docs popbench plugins tasks tests

.PHONY: demo test test-fast lint docs site boards wheel-smoke release lowest clean

demo: $(VENV)/installed
	$(BIN)/popbench eval

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

# What is run again and again while something is changed: all but the tests marked slow.
test-fast: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow" $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev
	$(BIN)/python docs/make_cli_reference.py

# The documentation as a site in site/: built and read without a network.
site: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The published boards, after a change to what they show.
boards: $(VENV)/installed-dev
	for board in $(wildcard leaderboards/*/board.yaml); do $(BIN)/popbench leaderboard build $$(dirname $$board) || exit 1; done

# The wheel, installed in an environment of its own, run in a folder that has nothing to do with this one.
wheel-smoke: $(VENV)/installed-dev
	PYTHON=$(PYTHON) bash .ci/wheel-smoke

# What is published: wheel, source distribution, lock and bill of materials, in dist/.
release: $(VENV)/installed-dev
	bash .ci/release

# The fast tests with the oldest releases that pyproject.toml allows; a download of gigabytes.
lowest:
	PYTHON=$(PYTHON) bash .ci/lowest

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Setting up $(VENV): unless they are in pip's cache, 0.5 GB of packages are downloaded, or 3 GB where torch comes with CUDA."
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Adding what the tests need: 0.4 GB of packages."
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
