# Everything works in .venv, which is made on first use; nothing else is installed.
PYTHON ?= python3
BIN := .venv/bin

# Label Studio pins what the project needs in other versions, so it has an environment of its own, which outlives clean.
LABEL_STUDIO_VENV ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/asr-emotions/label-studio
LABEL_STUDIO_READY := $(LABEL_STUDIO_VENV)/ready-1.23.2

.PHONY: demo demo-loop test lint unit integration e2e test-label-studio test-compose docs clean

demo: .venv/ready  ## The whole flow on this machine, with sample calls
	$(BIN)/emotion-worker demo

demo-loop: .venv/ready  ## The learning loop on this machine: labels, a retraining, the gate, a swap; minutes
	$(BIN)/python -m examples.loop

test: .venv/ready  ## Everything that must hold before a change lands
	$(MAKE) --jobs=2 --output-sync=target lint unit
	$(MAKE) integration e2e

lint: .venv/ready  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/ready  ## Tests without I/O
	$(BIN)/pytest tests/unit

integration: .venv/ready  ## Tests on a real Kafka and a real Postgres
	$(BIN)/pytest tests/integration

e2e: .venv/ready  ## Tests through the installed commands
	$(BIN)/pytest tests/e2e

test-label-studio: .venv/ready $(LABEL_STUDIO_READY)  ## The round trip of labels through a real Label Studio
	LABEL_STUDIO_VENV=$(LABEL_STUDIO_VENV) $(BIN)/pytest tests/label_studio/round_trip.py

test-compose: .venv/ready  ## compose.yaml in Docker: built, started and looked at, from transcripts to a swapped model
	PYTHONPATH=tests $(BIN)/python tests/compose/run.py

docs: .venv/ready  ## Write the documents that are made from the code
	$(BIN)/python -m schemas.export
	$(BIN)/python -m worker.settings_doc
	$(BIN)/python -m training.settings_doc

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
