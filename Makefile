# make run: the demo.  make test: all tests that this machine can run.
# make chaos: the long suite of faults, which rewrites docs/reliability.md (ARGS=--short: a few minutes).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# One run of the tests for each; those that do not answer are named and left out.
TEST_DATABASE_URLS ?= sqlite postgres://postgres@127.0.0.1:5432/bonfire mysql://root@127.0.0.1:3306/bonfire
# Which parts of them, see tests/run.py; with commas between.
TEST_PARTS ?= all

.PHONY: run test chaos lint bench format messages clean

run: $(VENV)/.run
	@mkdir -p var
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo
	@$(BIN)/python -m config.serve

test: $(VENV)/.dev
	@TEST_DATABASE_URLS="$(TEST_DATABASE_URLS)" TEST_PARTS="$(TEST_PARTS)" \
	  $(BIN)/python -m tests.run $(ARGS)

chaos: $(VENV)/.dev
	@TEST_DATABASE_URLS="$(TEST_DATABASE_URLS)" $(BIN)/python -m tests.chaos $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy jobs accounts billing config
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a change of texts; needs gettext.
messages: $(VENV)/.run
	$(BIN)/python manage.py makemessages -l de --no-location --no-obsolete --no-wrap \
		-i $(VENV) -i var -i tests -i benchmarks
	$(BIN)/python manage.py compilemessages -l de -i $(VENV)

# What can't be installed is named, here and in the results, and the rest is measured without it.
bench: $(VENV)/.dev $(VENV)/.peers
	@$(BIN)/python -m benchmarks $(ARGS)

$(VENV)/.peers: benchmarks/requirements-peers.txt | $(VENV)/.dev
	@grep -v '^#' benchmarks/requirements-peers.txt | while read -r peer; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$peer" \
	    || echo "NOT INSTALLED: $$peer"; \
	done
	@touch $@

clean:
	rm -rf $(VENV) var

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements.txt requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@# It is compiled, and needs the headers of MariaDB's client; without it those tests are left out.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "mysqlclient>=2.2" \
	  >$(VENV)/mysqlclient.log 2>&1 || echo "mysqlclient can't be built here, see $(VENV)/mysqlclient.log"
	@touch $@ $(VENV)/.run
