# make run    start the product (embedded mode) and print a sign-in link
# make test   everything that must be green before a merge
# make check  the fast inner loop
# make env    only the environment, in .venv
#
# HOST, PORT and DATA_DIR choose where `make run` listens and keeps its files.
# TORCH_INDEX chooses the torch build of a fresh environment:
#   make run TORCH_INDEX=ADDRESS

.PHONY: run test check env lock clean help
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14 python; do \
	if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then command -v $$p; break; fi; done)
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Stamps carry the contents they were made from, so switching branches back and forth installs nothing.
KEY := $(shell cat pyproject.toml requirements.lock | cksum | cut -d ' ' -f 1)
RUN_READY := .venv/run-$(KEY)
TEST_READY := .venv/test-$(KEY)

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

run: $(RUN_READY)
	@exec $(BIN)/python -m workers up

env: $(RUN_READY)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer, with venv and pip, was not found. Install it (python3-venv on Debian), or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Making the environment in .venv ($(PYTHON)) ..."
	@$(PYTHON) -m venv .venv

# The chosen build of torch first, so that what follows finds it there. An index that lacks the exact version
# gives its newest, and the lock is then followed for everything else.
define CHOSEN_TORCH
	@cp requirements.lock .venv/lock; if [ -n "$(TORCH_INDEX)" ]; then \
	$(PIP) -c .venv/lock --index-url "$(TORCH_INDEX)" torch \
	|| { echo "That index lacks the exact version; trying its newest torch ..." >&2; \
		grep -v '^torch==' requirements.lock > .venv/lock; \
		$(PIP) --index-url "$(TORCH_INDEX)" 'torch>=2.9,<3'; }; fi
endef

# Exact versions where this machine has them; without ONNX export where a platform lacks its packages; and the
# ranges of pyproject.toml where a newer Python lacks wheels of the exact versions.
$(RUN_READY): | .venv/bin/python
	@echo "Installing; the first time this takes some minutes ..."
	$(CHOSEN_TORCH)
	@$(PIP) -c .venv/lock -e '.[web,export]' \
	|| { echo "That failed; trying without ONNX export ..." >&2; $(PIP) -c .venv/lock -e '.[web]'; } \
	|| { echo "That failed; trying newer versions ..." >&2; $(PIP) -e '.[web]'; }
	@rm -f .venv/run-* && touch $@

$(TEST_READY): | .venv/bin/python
	@echo "Installing what the tests need ..."
	$(CHOSEN_TORCH)
	@$(PIP) -c .venv/lock -e '.[web,export,test]'
	@rm -f .venv/run-* .venv/test-* && touch $(RUN_READY) $@

# What the deploy check of the server mode needs to see; nothing of it is real.
SERVER_ENV := MMFRM_MODE=server ALLOWED_HOSTS=lab.example CSRF_TRUSTED_ORIGINS=https://lab.example \
	SECRET_KEY=only-for-the-check-b7vq2m9x4k8w1z6t3n5j0h-y_r-p_d-c_f-a_s-l_g-u_e-i_o \
	DATABASE_URL=postgres://nobody@localhost/none REDIS_URL=redis://localhost/0

check: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy mmfrm webapp workers tests
	@$(BIN)/pytest -q -m 'not slow and not browser and not server'

test: $(TEST_READY)
	@echo "-- lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "-- types"
	@$(BIN)/mypy mmfrm webapp workers tests
	@echo "-- migrations and deploy check"
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(SERVER_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING
	@echo "-- tests"
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --numprocesses 2 --dist loadgroup --cov --cov-report=term:skip-covered

# The versions that are installed now, without the local part (+cpu) that only one index knows.
lock: $(TEST_READY)
	@$(BIN)/python -m pip freeze --exclude-editable | grep -v '^-e\|^mmfrm\|@ file' | sed 's/+cpu//' > requirements.lock.part
	@mv requirements.lock.part requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
