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

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/asr-emotions/tools/bin
# Triton is for torch.compile, which nothing here uses.
COMPILE := $(TOOLS)/uv pip compile --no-header --no-annotate --generate-hashes --no-emit-package triton \
    --python-version 3.12 --python-platform x86_64-manylinux_2_28 --constraint constraints.txt
# PyTorch and its CUDA libraries have a list of their own: an index of CPU wheels takes its place.
OF_TORCH := /^[a-zA-Z]/ { torch = /^(torch|cuda-|nvidia-)/ }
CYCLONEDX := $(TOOLS)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml
PIP_AUDIT := $(TOOLS)/uv tool run pip-audit==2.10.1 --disable-pip --require-hashes --strict

.PHONY: demo demo-loop test lint unit behaviour integration e2e trial chaos fuzz test-label-studio test-compose screenshots docs lock \
    pin sbom audit clean

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

# Each tool runs in an environment of its own, which uv makes.
lock: $(TOOLS)/uv  ## Write requirements/*.txt, what the images install, with the hashes of each package
	echo hatchling | $(COMPILE) - > requirements/build.txt
	echo torch | $(COMPILE) - | awk '$(OF_TORCH) torch' > requirements/torch.txt
	echo onnxruntime | $(COMPILE) pyproject.toml --extra report - | awk '$(OF_TORCH) !torch' > requirements/worker.txt
	$(COMPILE) pyproject.toml --extra training --extra excel | awk '$(OF_TORCH) !torch' > requirements/trainer.txt

pin:  ## Write behind the version of each image that is pulled the digest that it has now; needs docker buildx
	set -e; for image in $$(sed -nE 's/^(FROM|    image:) ([a-z/-]+:v?[0-9][a-z0-9.-]*).*/\2/p' Dockerfile compose.yaml | sort -u); do \
	    digest=$$(docker buildx imagetools inspect "$$image" --format '{{.Manifest.Digest}}'); \
	    sed -i -E "s#$$image(@sha256:[0-9a-f]+)?#$$image@$$digest#" Dockerfile compose.yaml; \
	done

sbom: $(TOOLS)/uv  ## What the images are made of, as dist/sbom-*.json in CycloneDX's form
	mkdir -p dist
	cat requirements/torch.txt requirements/worker.txt | $(CYCLONEDX) --output-file dist/sbom-worker.json -
	cat requirements/torch.txt requirements/trainer.txt | $(CYCLONEDX) --output-file dist/sbom-trainer.json -

audit: $(TOOLS)/uv  ## Known vulnerabilities of what the images install; asks a database in the network
	for list in torch worker trainer build; do $(PIP_AUDIT) --requirement requirements/$$list.txt || failed=1; done; test -z "$$failed"

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(TOOLS)/uv:
	$(PYTHON) -m venv $(dir $(TOOLS))
	$(TOOLS)/pip install --quiet uv

$(LABEL_STUDIO_READY):
	$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	$(LABEL_STUDIO_VENV)/bin/pip install --quiet label-studio==$(patsubst ready-%,%,$(notdir $@))
	touch $@
