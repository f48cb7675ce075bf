# `make run` and `make test` do all the set-up themselves; `make help` lists the rest. Where a run fails, make prints its
# exit code and ends with 2 itself: scripts that need the code call `.venv/bin/python local_runner.py`.
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run demo docs flink-jar test image-test lint format clean

help: ## Shows the targets.
	@echo "make run    the entire pipeline: environment, data, training, a checked TFLite file"
	@echo "            make run DATA=path/to/ml-1m.zip ARGS=\"--config configs/cnn.yaml\""
	@echo "make demo   the newest model in your browser; make demo MODEL=serving_models/NAME"
	@echo "make flink-jar   Beam's job server for Apache Flink, by Maven; docs/beam_runners.md"
	@echo "make test   all tests; make test ARGS=tests/data picks some"
	@echo "make image-test   build the container image, and run the sample in it (docker, or buildah)"
	@echo "make docs   the documentation as a site, output/site"
	@echo "make setup  only the environment .venv; make setup PYTHON=python3.12 picks its Python"
	@echo "make lint   ruff, mypy, spelling, wording and GitHub's workflows"
	@echo "make format ruff's formatter"
	@echo "make clean  remove the files of runs (not the pushed models)"

setup:
	@sh setup/bootstrap.sh

run: setup
	@$(BIN)/python local_runner.py $(if $(DATA),--data "$(DATA)") $(ARGS)

demo: setup
	@$(BIN)/python -m on_device demo $(if $(MODEL),--model "$(MODEL)") $(ARGS)

flink-jar: setup
	@$(BIN)/python -m pipeline.flink_jar

test: setup
	@$(BIN)/python -m pytest $(ARGS)

image-test:
	@sh setup/image_test.sh $(IMAGE)

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/uv run --isolated --frozen --only-group docs mkdocs build --strict --quiet && echo "output/site/index.html"

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && SKIP=ruff-check,ruff-format,mypy $(BIN)/pre-commit run --all-files

format: setup
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:
	rm -rf output .pytest_cache .mypy_cache .ruff_cache .hypothesis
