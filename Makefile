# Each target is complete by itself: it creates .venv, installs what it needs under constraints.txt, and does its work.
#   make book     execute what is stale, build the book
#   make test     run the tests
# Another Python: make test PYTHON=python3.13. What has been installed is not installed again until pyproject.toml or
# constraints.txt changes.

PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
PIP := -m pip --disable-pip-version-check -qq

.PHONY: book test lint stress bench lock clean distclean help
.DELETE_ON_ERROR:

help:
	@echo "make book    execute what is stale and build the book under _build/html"
	@echo "make test    run the tests"
	@echo "make lint    check style and formatting"
	@echo "make stress  run the drills at full size, into book/results/drills.json, and other long tests"
	@echo "make bench   time rbmlib beside its peers, into book/results/bench.json"
	@echo "make lock    rewrite constraints.txt from a fresh installation"
	@echo "make clean   remove what was built (distclean: the environments too)"

book: $(VENV)/.book
	$(VENV)/bin/python -m rbmbook book

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .

# The drills at full size, with their figures for the book; then the other long tests, of which the drills run some already.
stress: $(VENV)/.test
	RBMLIB_DRILL_SCALE=1 RBMLIB_DRILLS_JSON=book/results/drills.json $(VENV)/bin/python -m pytest -m stress tests/stress
	$(VENV)/bin/python -m pytest -m stress --ignore=tests/stress --ignore=tests/test_portable_bits.py

bench: $(BENCH)/.bench
	$(BENCH)/bin/python tests/bench/run.py book/results/bench.json

# Installing: a stamp is written when the installation has succeeded, never before.
define check-python
@command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "rbmlib needs Python 3.11 or newer, and there is no '$(PYTHON)' here; name one: make $(or $(MAKECMDGOALS),book) PYTHON=/path/to/python3" >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "rbmlib needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -c 'import platform; print(platform.python_version())'); name a newer one: make $(or $(MAKECMDGOALS),book) PYTHON=python3.11" >&2; exit 1; }
endef

$(VENV)/.created:
	$(check-python)
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.book: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes the first time"
	$(VENV)/bin/python $(PIP) install -c constraints.txt -e '.[book]'
	@touch $@

# The tests' extra holds the book's; torch is for the judge of images and its tests.
$(VENV)/.test: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes the first time"
	$(VENV)/bin/python $(PIP) install -c constraints.txt -e '.[test,torch]'
	@touch $@ $(VENV)/.book

# The peers live apart: their own requirements name releases of torch that we must not install.
$(BENCH)/.bench: pyproject.toml constraints.txt
	$(check-python)
	@echo "installing the peers into $(BENCH): some minutes the first time"
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(PIP) install -c constraints.txt -e '.[lab]' torch==2.13.0
	$(BENCH)/bin/python $(PIP) install -c constraints.txt --no-deps qucumber==1.3.3 rbms==0.5.0 h5py==3.16.0 tqdm
	@touch $@

lock:
	$(check-python)
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python $(PIP) install '.[lab,book,cluster,torch,test]' torch==2.13.0
	@echo "# Exact versions of everything that the extras of pyproject.toml install together. Rewritten by 'make lock'." > constraints.new
	.venv-lock/bin/python -m pip freeze --all | grep -v -E '^(-e |#|pip==|rbmlib|.* @ )' | sed -e 's/+cpu$$//' >> constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find rbmlib tests book -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-bench .venv-lock
