# Everything a reader or a contributor does here, each from a fresh clone, without sudo.
#
# The environment lives in .venv, is made with the machine's own Python (3.11 or newer) and is filled from
# constraints.txt, the exact lock, by the dependency groups of pyproject.toml. Stamp files inside it say what is there:
# .venv/.book (what rendering needs), .venv/.test (the companion, the libraries, the test tools) and others. A newer
# pyproject.toml or constraints.txt makes them stale; otherwise set-up is skipped. Set-up speaks on standard error, so
# that what a target prints can be handed on.
#
# Settings:  PYTHON=/path/to/python3   which Python makes .venv (`make clean` first, when there is one)
#            NB=book/pymc/moons.ipynb  one notebook only, for `make execute`
#            PORT=8000                 for `make serve`
#            WORKERS=2                 how many unit tests, or notebooks, run at a time
#            BENCH=--tiny              options of `make bench`; see benchmarks/README.md
#            PATHS=companion/priors    files and folders for `make english`
#            LOCK="--upgrade --pre"    instead of the lock: the newest releases, or what is about to be one (`make clean` first)
#            BASE=origin/main          for `make changed`: the commit to compare with
#            TAG=v1.2.3                for `make dist`: the release that is being made, held against the version
#            RESULTS=file EXECUTED=folder   for `make measure`: where figures and executed notebooks go

PYTHON =
NB =
LOCK = -c constraints.txt
BASE = origin/main
TAG =
RESULTS =
EXECUTED =
PORT = 8000
WORKERS = 2
BENCH =
PATHS =
PIP = .venv/bin/python -m pip --disable-pip-version-check
HTML = _build/html
LIGHTHOUSE = lighthouse@12.8.2
BIOME = @biomejs/biome@2.6.8

NBVAL = --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with tools/notebooks/nbval-sanitize.cfg

TOOLS = .venv/bin/python -m tools

.PHONY: help book serve site pdf test unit fuzz notebooks execute measure pages picture play data bench lint lint-js numbers \
  english lock clean chapters changed binder links gpu gpu-report dist try report

# What stands behind ## explains a target; behind ##ci, one that is for continuous integration above all.
help:  ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s  %s\n", $$1, $$2 }' Makefile
	@echo "and, for continuous integration above all,"
	@awk -F ':.*##ci ' '/^[a-z-]+:.*##ci / { printf "  %-10s  %s\n", $$1, $$2 }' Makefile

# --- set-up ---------------------------------------------------------------------------------------------

# A stamp, not .venv/bin/python: that one is there before pip is, should the making be killed half-way.
.venv/.made:
	@sh tools/environment.sh "$(PYTHON)" >&2
	@touch $@

# pip first: only 25.1 and newer know dependency groups, and a new environment has the one that came with its Python.
.venv/.tools: pyproject.toml constraints.txt | .venv/.made
	@$(PIP) install -q $(LOCK) "pip>=25.1" >&2
	@$(PIP) install -q $(LOCK) --group tools >&2
	@touch $@

# Only the group `book`: rendering reads stored outputs, so neither torch nor PyMC nor the companion is wanted.
.venv/.book: .venv/.tools
	@echo "installing what rendering needs (Sphinx, jupyter-book) ..." >&2
	@$(PIP) install -q $(LOCK) --group book >&2
	@touch $@

.venv/.test: .venv/.tools
	@echo "installing the companion, its libraries and the test tools (torch is large: some minutes) ..." >&2
	@$(PIP) install -q $(LOCK) -e . --group test >&2
	@touch $@

.venv/.bench: .venv/.test
	@$(PIP) install -q $(LOCK) --group bench >&2
	@touch $@

# Binder's own tool; not in the lock, since nothing here imports it.
.venv/.binder: .venv/.test
	@$(PIP) install -q -c constraints.txt jupyter-repo2docker==2026.4.0 >&2
	@touch $@

# Programs of npm: Lighthouse, for the tests of the site, and Biome. Without npm nothing is installed, and a note says so.
.venv/.lighthouse: | .venv/.made
	@if command -v npm >/dev/null && npm install --silent --no-audit --no-fund --prefix .venv/lighthouse $(LIGHTHOUSE) >&2; \
	  then touch $@; else echo "note: npm is missing or reaches no registry, so that Lighthouse measures nothing" >&2; fi

.venv/.biome: | .venv/.made
	@npm install --silent --no-audit --no-fund --prefix .venv/biome $(BIOME) >&2
	@touch $@

.venv/.dist: .venv/.tools
	@$(PIP) install -q $(LOCK) --group dist >&2
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
	@$(TOOLS) rendered
	@touch _build/.finished
	@echo "the book is ready; its first page:"
	@echo "$(CURDIR)/$(HTML)/index.html"

serve: book  ## render, then serve the book on http://localhost:8000 (PORT=...)
	@.venv/bin/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

# What only a browser can tell: no white boxes in dark mode, nothing wider than a phone. Needs a Chromium, and npm for
# Lighthouse.
site: book .venv/.test .venv/.lighthouse  ## render the book, and look at it in a real browser
	@BOOK_RENDERED=1 .venv/bin/python -m pytest tests/site/test_site.py tests/site/test_pdf.py

# Needs a Chromium. Rendered first, printed then: the pages as they are, one behind the other.
pdf: book .venv/.test  ## render the book, and print it to _build/book.pdf
	@$(TOOLS) pdf

# Needs a network. Sphinx's list of every link lies in _build/links/_build/html/output.txt afterwards. In a folder of its
# own: what it reads without -W must not pass for read by `make book`.
links: .venv/.book  ##ci ask every link that leaves the book whether it still leads somewhere
	@.venv/bin/jupyter-book build book --config _config.yml --toc "$(CURDIR)/_toc.yml" \
	  --path-output _build/links --builder linkcheck -q --keep-going

changed: .venv/.tools  ##ci list the pages that differ from BASE=origin/main
	@$(TOOLS) changed "$(BASE)"

# --- the companion and the notebooks --------------------------------------------------------------------

# PYDEVD_DISABLE_FILE_VALIDATION: without it every notebook kernel prints a warning about frozen modules.
# The book comes first: the tests of the site look at it.
test: .venv/.test .venv/.lighthouse  ## render the book, run the unit tests, and every notebook against its stored outputs
	@command -v g++ >/dev/null || echo "note: no C++ compiler found (g++); PyTensor works without it but many times" \
	  "slower. Debian and Ubuntu: apt install g++"
	@echo "running the unit tests, then every notebook (35 minutes) ..."
	@code=0; $(MAKE) --no-print-directory book || code=$$?; $(MAKE) --no-print-directory unit || code=$$?; $(MAKE) --no-print-directory notebooks || code=$$?; exit $$code

# Two at a time, each on one core: most tests are too small for more.
# worksteal: each begins with its half of the files in order, so that fits which tests share are made once, and one that
# has ended takes half of what the other has left.
unit: .venv/.test  ## run the unit tests only (WORKERS=2 at a time)
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests -n $(WORKERS) --dist worksteal

# Hypothesis begins with what failed before, which it keeps in .pytest_cache.
fuzz: .venv/.test  ## try many more tables and images than the unit tests do, for about ten minutes
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests -m hypothesis --hypothesis-profile=long

# Two at a time, too: a second core makes one notebook only a little faster. One that is named keeps all cores.
notebooks: .venv/.test  ## run every notebook against its stored outputs (NB=one.ipynb)
	@$(if $(NB),,OMP_NUM_THREADS=1) PYDEVD_DISABLE_FILE_VALIDATION=1 .venv/bin/python -m pytest $(or $(NB),book) $(NBVAL) \
	  $(if $(NB),,-n $(WORKERS) --dist loadscope)

chapters: .venv/.tools  ##ci list the notebooks, as a job hands them on to others
	@$(TOOLS) chapters

data: .venv/.test  ## download the image data that are not here yet, and verify them
	@.venv/bin/companion data fetch

binder: .venv/.binder  ##ci ask Binder's own tool which image it would make, and hold the environment against the lock
	@.venv/bin/python -m pytest tests/tools/test_binder.py

gpu: .venv/.test  ##ci prove that there is a GPU and that a fit runs on it (EXECUTED=folder: that those notebooks did)
	@$(TOOLS) gpu $(EXECUTED)

# Nine minutes on a bare machine with CUDA: what fits cost, then as many notebooks as the time holds.
gpu-report: .venv/.test  ## measure a GPU in nine minutes, notebooks too; without one the tiny form shows that it works
	@$(TOOLS) gpu_report

# On a machine that does nothing else: the figures are worth no more than the quiet. BENCH=--tiny only sees it work.
bench: .venv/.bench  ## measure speed and memory beside the peers, for half an hour (BENCH=--tiny: two minutes)
	@.venv/bin/python -m pytest benchmarks --benchmark-columns=median,iqr,min,max,rounds --benchmark-sort=median $(BENCH)

# Each notebook as Binder runs it, on two cores, on a machine that does nothing else; `make execute` measures, too. The
# figures make pages of the book, so run `make pages` afterwards.
measure: .venv/.test  ## measure time and peak memory of each notebook on two cores (NB=one.ipynb)
	@PYDEVD_DISABLE_FILE_VALIDATION=1 $(TOOLS) measure $(NB) \
	  $(if $(RESULTS),--results $(RESULTS)) $(if $(EXECUTED),--executed $(EXECUTED))

pages: .venv/.test  ## write the pages that are made from results: scoreboard, what each chapter takes, modules, distributions
	@$(TOOLS) pages
	@.venv/bin/python tests/bridge/test_module_table.py
	@PYTHONPATH=tests/bridge .venv/bin/python tests/bridge/test_distribution_table.py

picture: .venv/.test  ## draw the picture of README.md anew, from the fit of its first example
	@$(TOOLS) picture

# Two minutes on two quiet cores, and a Chromium for the still pictures; the files are committed.
play: .venv/.test  ## fit anew what the pieces to play with compute with, and draw their still pictures
	@$(TOOLS) play

execute: .venv/.test  ## run the notebooks, store their new outputs and what they took (NB=one.ipynb)
	@PYDEVD_DISABLE_FILE_VALIDATION=1 $(TOOLS) execute $(NB)

lint: .venv/.test  ## check style, types, spelling, English, the notebooks as stored, the workflows and shell scripts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codespell
	$(TOOLS) english
	$(TOOLS) notebooks
	$(TOOLS) numbers --check
	.venv/bin/zizmor --offline --no-progress --quiet --persona=pedantic .github/workflows
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(TOOLS) workflows
	.venv/bin/shellcheck .ci/run tools/environment.sh postBuild

# For itself, because only it needs npm.
lint-js: .venv/.biome .venv/.tools  ##ci check the scripts of the pieces to play with
	.venv/biome/node_modules/.bin/biome lint --error-on-warnings book/_play

numbers: .venv/.test  ## print each number of a chapter's prose beside the output that it comes from (NB=one.ipynb)
	@$(TOOLS) numbers $(NB)

english: .venv/.tools  ## find the turns of phrase that are hard to read (PATHS=companion/priors)
	@$(TOOLS) english $(PATHS)

# --- the package ----------------------------------------------------------------------------------------

dist: .venv/.dist  ##ci build wheel and sdist into dist/ and check them (TAG=v1.2.3)
	@$(TOOLS) dist $(TAG)

# Only a Python is needed: each file gets an environment of its own, which is thrown away.
try: .venv/.made  ##ci install what dist/ holds in clean environments, import it and use it
	@$(TOOLS) try

report: .venv/.made  ##ci open an issue on a weekly run (needs gh and its token)
	@$(TOOLS) report

lock: .venv/.tools  ## write constraints.txt anew, from pyproject.toml and today's releases
	@$(PIP) install -q uv
	@$(TOOLS) lock

clean:  ## remove .venv and everything that was built
	rm -rf .venv _build _look dist .pytest_cache .mypy_cache .ruff_cache
