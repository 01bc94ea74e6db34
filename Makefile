# Everything a reader or a contributor does here, each from a fresh clone, without sudo.
#
# The environment lives in .venv, is made with the machine's own Python (3.11 or newer) and is filled from
# constraints.txt, the exact lock. Stamp files inside it say what is there: .venv/.book (what rendering
# needs) and .venv/.test (the companion, the libraries, the test tools). A newer pyproject.toml or
# constraints.txt makes them stale; otherwise set-up is skipped.
#
# Settings:  PYTHON=/path/to/python3   which Python makes .venv (`make clean` first, when there is one)
#            NB=book/pymc/moons.ipynb  one notebook only, for `make execute`
#            PORT=8000                 for `make serve`
#            BENCH=--tiny              options of `make bench`; see benchmarks/README.md

PYTHON =
NB =
PORT = 8000
BENCH =
PIP = .venv/bin/python -m pip --disable-pip-version-check
HTML = _build/html

.PHONY: help book test bench execute serve lint lock clean

help:  ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s  %s\n", $$1, $$2 }' Makefile

# --- set-up ---------------------------------------------------------------------------------------------

# A stamp, not .venv/bin/python: that one is there before pip is, should the making be killed half-way.
.venv/.made:
	@sh .ci/venv "$(PYTHON)"
	@touch $@

# Only the `book` extra: rendering reads stored outputs, so neither torch nor PyMC nor the companion is wanted.
.venv/.book: pyproject.toml constraints.txt | .venv/.made
	@echo "installing what rendering needs (Sphinx, jupyter-book) ..."
	@$(PIP) install -q -c constraints.txt $$(.venv/bin/python .ci/extra.py book)
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/.made
	@echo "installing the companion, its libraries and the test tools (torch is large: some minutes) ..."
	@$(PIP) install -q -c constraints.txt -e ".[test]"
	@touch $@

.venv/.bench: .venv/.test
	@$(PIP) install -q -c constraints.txt -e ".[bench]"
	@touch $@

# --- the book -------------------------------------------------------------------------------------------

# Sphinx re-reads only what changed, and so repeats no warning about the rest: after a build that failed or was
# stopped, a second one would look clean. Nor does it remove pages that left the contents. So what is kept from an
# earlier build counts only when that build ended well (.finished) and the settings have not changed since.
book: .venv/.book  ## render the book to _build/html from the stored outputs
	@if [ ! -e _build/.finished ] || [ -n "$$(find _config.yml _toc.yml .venv/.book -newer _build/.finished)" ]; \
	then rm -rf _build; fi
	@rm -f _build/.finished
	@echo "rendering the book ..."
	@.venv/bin/jupyter-book build book --config _config.yml --toc "$(CURDIR)/_toc.yml" --path-output . \
	  -q -n -W --keep-going
	@touch _build/.finished
	@echo "the book is ready; its first page:"
	@echo "$(CURDIR)/$(HTML)/index.html"

serve: book  ## render, then serve the book on http://localhost:8000 (PORT=...)
	@.venv/bin/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

# --- the companion and the notebooks --------------------------------------------------------------------

# PYDEVD_DISABLE_FILE_VALIDATION: without it every notebook kernel prints a warning about frozen modules.
test: .venv/.test  ## run the unit tests, and every notebook against its stored outputs
	@command -v g++ >/dev/null || echo "note: no C++ compiler found (g++); PyTensor works without it but many times" \
	  "slower. Debian and Ubuntu: apt install g++ libopenblas-dev"
	@echo "running the unit tests and every notebook (a quarter of an hour) ..."
	@PYDEVD_DISABLE_FILE_VALIDATION=1 .venv/bin/python -m pytest tests book --nbval --nbval-current-env \
	  --nbval-cell-timeout=600 --nbval-sanitize-with .ci/nbval-sanitize.cfg

# On a machine that does nothing else: the figures are worth no more than the quiet. BENCH=--tiny only sees it work.
bench: .venv/.bench  ## measure speed and memory beside the peers, for half an hour (BENCH=--tiny: two minutes)
	@.venv/bin/python -m pytest benchmarks --benchmark-columns=median,iqr,min,max,rounds --benchmark-sort=median $(BENCH)

execute: .venv/.test  ## run the notebooks and store their new outputs (NB=one.ipynb)
	@PYDEVD_DISABLE_FILE_VALIDATION=1 .venv/bin/python .ci/execute.py $(NB)

lint: .venv/.test  ## check style, types, spelling, and the notebooks as stored
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codespell
	.venv/bin/python .ci/check_notebooks.py

lock: .venv/.made  ## write constraints.txt anew, from pyproject.toml and today's releases
	@$(PIP) install -q uv
	@.venv/bin/python .ci/lock.py

clean:  ## remove .venv and everything that was built
	rm -rf .venv _build _look dist .pytest_cache .mypy_cache .ruff_cache
