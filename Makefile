# make demo   set up everything and show the main job
# make test   set up everything and run all tests
# make lint   formatting, types, layers
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help

# The stages of a test share their builds: one after the other, also with -j.
.NOTPARALLEL:
.PHONY: help setup demo test test-cpp test-fuzz test-sdk test-jni test-python lint clean
help:
	@sed -n 's/^# //p' Makefile

# The stamp changes with what is installed, not with the sources: the editable install follows those.
# CI installs more packages, so it has a stamp of its own.
STAMP := $(VENV)/.setup-stamp$(if $(filter true,$(CI)),-ci)
$(STAMP): pyproject.toml packages.txt scripts/setup.sh scripts/requirements.py
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash scripts/setup.sh
	@touch $@

setup: $(STAMP)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash scripts/build.sh

demo: setup
	@bash scripts/demo.sh $(if $(PICTURE),"$(PICTURE)")

test: setup lint test-cpp test-fuzz test-sdk test-jni test-python

test-cpp: setup
	@bash scripts/test-cpp.sh

test-fuzz: setup
	@bash scripts/test-fuzz.sh

test-sdk: setup
	@bash scripts/test-sdk.sh

test-jni: setup
	@bash scripts/test-jni.sh

test-python: setup
	@bash scripts/test-python.sh $(PYTEST_ARGS)

lint: setup
	@bash scripts/lint.sh

clean:
	rm -rf build demo-output $(VENV)
