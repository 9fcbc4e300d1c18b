# `make verify` and `make test` are the whole of the set-up: each builds .venv when it is missing or stale.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# One BLAS thread: small factorisations are 8 to 60 times slower with several.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: verify test test-slow lint docs mutate bench clean

verify: $(VENV)/.installed
	$(ONE_THREAD) $(BIN)/srr verify

test: $(VENV)/.ready lint
	$(ONE_THREAD) $(BIN)/pytest -n auto -m "not slow and not gpu"

test-slow: $(VENV)/.ready
	$(ONE_THREAD) $(BIN)/pytest -n auto -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/mypy

# Warnings are errors, and so are names in docstrings that lead nowhere.
docs: $(VENV)/.ready
	$(ONE_THREAD) $(BIN)/python -m sphinx -q -W --keep-going -n -j auto -b html docs docs/_build/html

# mutmut makes the mutants and finds which test reaches which function; tests/mutation.py runs them, in an hour or two.
mutate: $(VENV)/.ready
	$(ONE_THREAD) $(BIN)/mutmut run --max-children 1 srr.curvature.x_overlap__mutmut_1
	cd mutants && $(ONE_THREAD) PYTHONPATH=. ../$(BIN)/python tests/mutation.py 2

bench: $(VENV)/.ready
	$(ONE_THREAD) $(BIN)/srr bench rates

# What the ledger and the examples of the README need; nothing of it pulls torch.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[data]"
	touch $@

# torch goes first and pinned: 2.13.0 has a small CPU build where the index offers one, and nothing after it pulls another.
$(VENV)/.ready: $(VENV)/.installed
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) srr-report .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants docs/_build docs/api/generated docs/ledger docs/derivations
