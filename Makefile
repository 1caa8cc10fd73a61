PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-slow torture coverage install lock audit-packages clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flaxmark needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install
	$(BIN)/python scripts/first_run.py

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest

test-slow: install
	$(BIN)/pytest -m slow

torture: install
	$(BIN)/pytest -m torture -n 0 --verbose --durations 0

# Where a line that was never run can lose or spoil something: readers of files, checkpoints, geometry, metrics.
coverage: install
	$(BIN)/pytest --cov=flaxmark --cov-report=
	$(BIN)/coverage report --show-missing --fail-under 95 --include "\
	flaxmark/data/readers/*.py,flaxmark/data/entries.py,flaxmark/data/images.py,flaxmark/data/data_sets.py,\
	flaxmark/storage/checkpoint.py,flaxmark/storage/packed.py,flaxmark/storage/remote.py,flaxmark/system/files.py,\
	flaxmark/models/pretrained.py,flaxmark/models/weight_files.py,flaxmark/models/losses.py,flaxmark/schema.py,\
	flaxmark/faces/*.py,flaxmark/evaluation/metrics.py,flaxmark/errors.py"

# The set that was tested, with hashes, and its bill of materials; first: pip install uv cyclonedx-bom pip-audit
lock:
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-annotate --python-version 3.11 \
		--python-platform linux --custom-compile-command 'make lock' --output-file requirements.lock
	sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' requirements.lock | cyclonedx-py requirements - \
		--pyproject pyproject.toml --output-reproducible --output-file docs/sbom.cdx.json

audit-packages:
	pip-audit --requirement requirements.lock --require-hashes --disable-pip

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
