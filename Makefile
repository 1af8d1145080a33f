# Two commands: `make book` builds the course, `make test` checks it. Each sets up what it needs first.

SCALE ?= class
SEED ?= 0
# Pages or parts to build alone, with a report of their own: make book PAGES="2-probes 1-first-network/inverse"
PAGES ?=
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

export INNERVIEW_SCALE := $(SCALE)
export INNERVIEW_FIRST_SEED := $(SEED)
# TensorFlow's remarks about the processor are not for readers.
export TF_CPP_MIN_LOG_LEVEL := 3
# Compiled bytecode saves every notebook some 15 seconds of importing Keras.
unexport PYTHONDONTWRITEBYTECODE

WORKFLOWS := $(wildcard .github/workflows/*.yml)
ISSUE_FORMS := $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

# Files of tests run side by side, on each core; more than four at once would only load TensorFlow more often.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: book pdf browse test check test-tensorflow test-jax benchmark lab class-bundle try-notebooks homework grade format lock clean

book: .venv/ready
	$(BIN)/innerbook build $(PAGES)

test: check test-tensorflow test-jax

# What needs no test run: style, types, spelling, and the files that the repository's host reads. None asks the network.
check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell book homework src tests deploy benchmarks .github *.md *.yml *.toml Makefile CITATION.cff
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(ISSUE_FORMS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --quiet --offline --pedantic .

# Each process has a core; libraries would each take all of them, and wait for one another.
test-tensorflow test-jax: export OMP_NUM_THREADS := 1
test-tensorflow test-jax: export TF_NUM_INTRAOP_THREADS := 1
test-tensorflow test-jax: export TF_NUM_INTEROP_THREADS := 1

test-tensorflow: export KERAS_BACKEND := tensorflow
test-tensorflow: .venv/ready
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# innerview promises to run on this backend, too.
test-jax: export KERAS_BACKEND := jax
test-jax: .venv/ready
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/innerview

# Compares speeds in one run, and writes book/benchmarks.json for the report. It needs PyTorch (some 3 GB on Linux),
# which nothing else does.
benchmark: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch
	$(BIN)/python benchmarks/benchmark.py

# Opens the chapters as notebooks: right-click a page, "Open With", "Notebook".
lab: .venv/ready
	$(BIN)/jupyter lab book

# Writes one archive for a room without internet, out of the built book: make class-bundle PLATFORMS="linux windows"
PLATFORMS ?= linux
PYTHONS ?= 3.12
class-bundle: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/innerbook bundle --platforms $(PLATFORMS) --pythons $(PYTHONS)

# Runs the notebooks of the built book as a student would, each alone: make try-notebooks LIKE=colab PAGES=2-probes
LIKE ?= clean
try-notebooks: .venv/ready
	$(BIN)/innerbook try --like $(LIKE) $(PAGES)

# Reads the built book in Chromium, as its readers do.
browse: .venv/ready
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 tests/browser

# Prints the built book, by Chromium, as one PDF: _build/inner-view.pdf
pdf: .venv/ready
	$(BIN)/innerbook pdf

# Writes the homeworks as students get them, without solutions and hidden tests, into _build/homework.
homework: .venv/ready
	$(BIN)/innerbook homework

# Grades a folder of submissions, each paper in a sandbox: make grade SUBMISSIONS=folder
# More, such as --students and --regrade, in ARGUMENTS; make grade ARGUMENTS=--help lists all.
grade: .venv/ready
	$(BIN)/innerbook grade "$(SUBMISSIONS)" $(ARGUMENTS)

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/jupytext --quiet --from md:myst --to md:myst $$(grep --files-with-matches '{code-cell}' book/*.md book/*/*.md)

# Resolves every dependency anew, for all platforms at once.
lock: .venv/ready
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group test --universal --upgrade --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:
	rm -rf _build .venv

.venv/ready: requirements.lock
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else 'Inner View needs Python 3.11 to 3.13; $(PYTHON) is %d.%d. Name another one with PYTHON=...' % v)"
	@echo "Setting up .venv: about 2 GB, two minutes or so, once."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "open('.venv/ready', 'w').close()"
