# make run: the demo.  make test: all tests that this machine can run.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# One run of the tests for each; those that do not answer are named and left out.
TEST_DATABASE_URLS ?= sqlite postgres://postgres@127.0.0.1:5432/bonfire mysql://root@127.0.0.1:3306/bonfire

.PHONY: run test lint bench format messages clean

run: $(VENV)/.run
	@mkdir -p var
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo
	@$(BIN)/python -m config.serve

test: $(VENV)/.dev
	@TEST_DATABASE_URLS="$(TEST_DATABASE_URLS)" $(BIN)/python -m tests.run $(ARGS)

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

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.drain $(ARGS)

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
