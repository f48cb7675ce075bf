# `make run` and `make test` do all the set-up themselves; `make help` tells the rest.
PYTHON_ENV := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format clean

help: ## Show what there is to make.
	@echo "make run    the whole pipeline: environment, data, training, a checked TFLite file"
	@echo "            make run DATA=path/to/ml-1m.zip ARGS=\"--config configs/cnn.yaml\""
	@echo "make test   all tests; make test ARGS=tests/data picks some"
	@echo "make setup  the environment .venv alone"
	@echo "make lint   ruff and mypy"
	@echo "make format ruff's formatter"
	@echo "make clean  remove what runs left (not the pushed models)"

setup:
	@sh setup/bootstrap.sh

run: setup
	@$(PYTHON_ENV) local_runner.py $(if $(DATA),--data "$(DATA)") $(ARGS)

test: setup
	@$(PYTHON_ENV) -m pytest $(ARGS)

lint: setup
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

format: setup
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean:
	rm -rf output .pytest_cache .mypy_cache .ruff_cache .hypothesis
