# make demo   set up everything and show the main job
# make test   set up everything and run all tests
# make lint   formatting, types, layers
PYTHON ?= python3
VENV := .venv
.DEFAULT_GOAL := help

# The stages of a test share their builds: one after the other, also with -j.
.NOTPARALLEL:
.PHONY: help setup demo test test-cpp test-fuzz test-sdk test-jni test-python lint clean
help:
	@sed -n 's/^# //p' Makefile

# Both are quick where nothing changed.
setup:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash scripts/setup.sh
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
