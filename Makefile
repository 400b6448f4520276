# Everything works in .venv, which is made on first use; nothing else is installed.
PYTHON ?= python3
BIN := .venv/bin
EVENTS ?= 100
FILES ?= 100000
MINUTES ?= 60
# Most of an integration test is waiting; each process has a broker and a Postgres of its own.
PROCESSES ?= 3

# Label Studio pins what the project needs in other versions, so it has an environment of its own, which outlives clean.
LABEL_STUDIO_VENV ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/asr-emotions/label-studio
LABEL_STUDIO_READY := $(LABEL_STUDIO_VENV)/ready-1.23.2

.PHONY: demo demo-loop test lint unit behaviour integration e2e trial chaos fuzz test-label-studio test-compose screenshots docs clean

demo: .venv/ready  ## The whole flow on this machine, with sample calls
	$(BIN)/emotion-worker demo

demo-loop: .venv/ready  ## The learning loop on this machine: labels, a retraining, the gate, a swap; minutes
	$(BIN)/python -m examples.loop

test: .venv/ready  ## Everything that must hold before a change lands
	$(MAKE) --jobs=2 --output-sync=target lint unit
	$(MAKE) behaviour integration e2e trial

lint: .venv/ready  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/ready  ## Tests without I/O
	$(BIN)/pytest tests/unit --numprocesses 2

behaviour: .venv/ready  ## The released models on lines that show one phenomenon each
	$(BIN)/pytest tests/behaviour

# Fits take longest, so they come first: what is long at the end keeps one process busy and the others idle.
integration: .venv/ready  ## Tests on a real Kafka and a real Postgres
	$(BIN)/pytest $(addprefix tests/integration/,training registry worker deploy) --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

e2e: .venv/ready  ## Tests through the installed commands
	$(BIN)/pytest tests/e2e --numprocesses $(PROCESSES) --dist loadfile

trial: .venv/ready  ## A short trial of random failures, which is always the same
	$(BIN)/pytest tests/chaos

# A longer one: make chaos EVENTS=1000 SEED=7 MINUTES=60
chaos: .venv/ready fuzz  ## Random failures of workers, brokers and the database: nothing may be lost or doubled
	PYTHONPATH=tests/support:tests/kafka $(BIN)/python tests/chaos/run.py --events $(EVENTS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: .venv/ready  ## 100,000 damaged transcripts and label files of every form: each is read or refused in one line
	PYTHONPATH=tests/support $(BIN)/python tests/fuzz_forms.py --count $(FILES) $(if $(SEED),--seed $(SEED))
	PYTHONPATH=tests/support $(BIN)/python tests/fuzz_labels.py --count $(FILES) $(if $(SEED),--seed $(SEED))

test-label-studio: .venv/ready $(LABEL_STUDIO_READY)  ## The round trip of labels through a real Label Studio
	LABEL_STUDIO_VENV=$(LABEL_STUDIO_VENV) $(BIN)/pytest tests/label_studio/round_trip.py

test-compose: .venv/ready  ## compose.yaml in Docker: built, started and looked at, from transcripts to a swapped model
	PYTHONPATH=tests/support $(BIN)/python tests/compose/run.py

screenshots: .venv/ready  ## The report as Chromium shows it at 1440 and 390 pixels, light and dark: build/report-*.png
	$(BIN)/python benchmarks/screenshots.py

docs: .venv/ready  ## Write the documents that are made from the code
	$(BIN)/python -m schemas.export
	$(BIN)/python -m registry.settings_tables docs/configuration.md docs/training.md docs/retraining.md

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(LABEL_STUDIO_READY):
	$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	$(LABEL_STUDIO_VENV)/bin/pip install --quiet label-studio==$(patsubst ready-%,%,$(notdir $@))
	touch $@
