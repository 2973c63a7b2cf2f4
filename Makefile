# Everything runs inside .venv, which `setup` makes from pyproject.toml under constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEDIA_PROGRAMS := python3-venv ffmpeg chromium chromium-driver

.DEFAULT_GOAL := help
.PHONY: help setup system system-test demo test crash lint bench nights mutants clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## Make .venv with viewcast in it (editable), as pinned in constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "viewcast needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ocr,parquet,postgres,serve,text,weights,xlsx,ytdlp,zstd]'
	touch $@

system:
	@PYTHON=$(PYTHON) sh .ci/system-packages $(MEDIA_PROGRAMS)

system-test:
	@PYTHON=$(PYTHON) sh .ci/system-packages $(MEDIA_PROGRAMS) postgresql

demo: system setup  ## Run the whole pipeline on the local replica site (under five minutes)
	$(BIN)/python cli.py demo

test: system-test setup  ## Lint, types, import contracts and every test
	sh .ci/test

crash: system-test setup  ## The tests that kill -9, with five times as many kills (15 minutes)
	VIEWCAST_KILL_TIMES=$(or $(TIMES),5) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist load tests/test_kill.py tests/test_kill_scrape.py

lint: setup  ## Only the quick checks: ruff, mypy --strict, import contracts
	sh .ci/lint

bench: system setup  ## Measure against the original way, a peer or the physical limit
	$(BIN)/python -m bench

nights: system setup  ## Forty nights on a moved clock, some killed, and what must be so then (an hour)
	$(BIN)/python -m bench.nights $(or $(FOLDER),nights-data)

mutants: system-test setup  ## Which changes of the source no test notices (15 minutes)
	$(BIN)/python -m bench.mutants $(MUTANTS)

clean:  ## Remove .venv and the demo's data
	rm -rf $(VENV) demo-data nights-data build *.egg-info
