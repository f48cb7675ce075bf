"""Measures Recall@10 of each encoder with several history lengths, and plots it.

    .venv/bin/python -m benchmarks.recall_table --data path/to/ml-1m.zip --epochs 6 --json recall.json

The data steps run once. Then each encoder is trained with its own settings, `configs/<encoder>.yaml`, and each
`history_length`. Cells that the JSON file already has are not computed again, so that an interrupted table continues.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from benchmarks import inputs, program
from components.code_version import step_version
from pipeline.config import ConfigError, PipelineConfig, load_config, read_assignments
from pipeline.console import ConsoleObserver, duration

if TYPE_CHECKING:
    from benchmarks.prepared import Prepared

CONFIGS = Path(__file__).parent.parent / "configs"
ENCODERS = ("bow", "cnn", "lstm", "transformer")
LENGTHS = (5, 10, 20, 50, 200)
REFERENCES = ("popularity", "EASE", "Markov")

Configs = dict[tuple[str, int], PipelineConfig]  # by encoder and history length


def main(arguments: list[str] | None = None) -> int:
    """Trains the cells, prints the table and plots it; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, Configs]:
        values = {"example_gen.split": options.split}
        if options.epochs:
            values["trainer.max_epochs"] = options.epochs
        values.update(read_assignments(options.set))
        configs = {
            (encoder, length): cell_config(encoder, length, values)
            for encoder in options.encoders
            for length in sorted(set(options.lengths))
        }
        _check_same_data(list(configs.values()))
        return inputs.find_data(options.data, options.cache_dir), configs

    def work(task: tuple[Path, Configs], output: Path, console: Console) -> None:
        make_table(*task, output, options, console)  # It writes the JSON file after each cell.

    return program.run(options, "recall_table", read, work)


def cell_config(encoder: str, length: int, overrides: dict[str, Any]) -> PipelineConfig:
    """Returns the configuration of a cell: that of the encoder with another history length.

    If the encoder's file sets a window, the window changes in proportion to the history length.

    Raises:
        ConfigError: the file is invalid.
    """
    path = CONFIGS / f"{encoder}.yaml"
    config = load_config(path, overrides)
    values = {**overrides, "transform.history_length": length}
    sets_window = "window" in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("trainer", {})
    if sets_window and "trainer.window" not in overrides:
        values["trainer.window"] = max(round(config.trainer.window * length / config.transform.history_length), 1)
    return load_config(path, values)


def settings_key(test_fingerprint: str, config: PipelineConfig) -> str:
    """Returns the key of a cell: a hash of its test targets and of the settings of the data steps and the Trainer."""
    sections = (config.example_gen, config.transform, config.trainer)
    text = "\n".join([test_fingerprint, *(section.model_dump_json() for section in sections)])
    return hashlib.sha256(text.encode()).hexdigest()


class Results:
    """Finished cells and references, in a JSON file if a path is given.

    Args:
        path: of the file; None writes no file.
    """

    def __init__(self, path: Path | None):
        self._path = path
        content = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        self.references: dict[str, Any] = content.get("references", {})
        self._cells: list[dict[str, Any]] = content.get("cells", [])

    def find(self, key: str) -> dict[str, Any] | None:
        """Returns the cell with a key; None if there is none."""
        return next((cell for cell in self._cells if cell["key"] == key), None)

    def add(self, cell: dict[str, Any]) -> None:
        """Adds a cell and writes the file."""
        self._cells.append(cell)
        self.save()

    def save(self) -> None:
        """Writes the file."""
        if self._path:
            content = {"references": self.references, "cells": self._cells}
            self._path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def make_table(data: Path, configs: Configs, output: Path, options: argparse.Namespace, console: Console) -> None:
    """Trains the cells that the JSON file lacks, prints the table and plots it.

    Args:
        data: path of the log.
        configs: of the cells.
        output: folder of artifacts and metadata.
        options: parsed command line.
        console: for the table.

    Raises:
        DataError: the data cannot be read.
        StepError: the data is too small, or a training diverged.
        StepFailed: a step of the pipeline raised an error.
    """
    from benchmarks.plots import plot_lengths as plot
    from benchmarks.prepared import prepare, training_data
    from benchmarks.ranking import Estimate
    from benchmarks.trained import train_cell

    results = Results(options.json)
    longest = max(configs.values(), key=lambda config: config.transform.history_length)
    prepared = prepare(data, longest, output, options.cache_dir, ConsoleObserver(console))
    references = _references(prepared, longest, results)
    train_and_eval = training_data(prepared.transform_graph, prepared.transformed)
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    estimates: dict[str, dict[int, Estimate]] = {encoder: {} for encoder in options.encoders}
    for number, ((encoder, length), config) in enumerate(configs.items(), start=1):
        key = settings_key(prepared.fingerprint, config)
        cell = results.find(key)
        origin = "from the JSON file"
        if cell is None:
            cell = {"key": key, "encoder": encoder, "history_length": length, "code": step_version("trainer")}
            cell.update(train_cell(config, train_and_eval, prepared.test))
            results.add(cell)
            origin = f"{cell['epochs']} epochs, {duration(cell['seconds'])}"
        cells[encoder, length] = cell
        estimates[encoder][length] = Estimate(cell["recall_at_10"], cell["standard_error"])
        console.print(
            f"{number}/{len(configs)}  {encoder}, history {length}: test Recall@10 {estimates[encoder][length]}, "
            f"eval {cell['eval_recall_at_10']:.4f}  ({origin})",
            soft_wrap=True,
        )
    rows = []
    for encoder, line in estimates.items():
        rows.append([encoder, *map(str, line.values())])
        rows.append(["  eval", *(f"{cells[encoder, length]['eval_recall_at_10']:.4f}" for length in line)])
    title = f"Recall@10 on the {options.split} test split by history length"
    console.print(program.table(title, ["", *map(str, sorted(set(options.lengths)))], rows))
    baselines = ", ".join(f"{name} {Estimate(**estimate)}" for name, estimate in references.items())
    console.print(f"with any history length: {baselines}; ± is one standard error of {len(prepared.test):,} users")
    if len({cell["code"] for cell in cells.values()}) > 1:
        console.print("the cells were trained by different versions of the Trainer's code")
    if options.plot:
        plot(estimates, {name: estimate["mean"] for name, estimate in references.items()}, options.plot)
        console.print(f"plotted to {options.plot}", soft_wrap=True)


def _references(prepared: Prepared, config: PipelineConfig, results: Results) -> dict[str, dict[str, float]]:
    """Returns `mean` and `standard_error` of Recall@10 of the baselines, which are tuned on the eval split."""
    from benchmarks.baselines import TooLarge
    from benchmarks.ranking import rank_targets, recall
    from benchmarks.tuning import GRIDS, choose

    repeats = prepared.recommends_seen
    key = hashlib.sha256(f"{prepared.fingerprint}\n{config.transform.min_item_count}\n{repeats}".encode()).hexdigest()
    if key not in results.references:
        references = {}
        for name in REFERENCES:
            try:
                chosen = choose(name, GRIDS[name], prepared.train, prepared.holdout, prepared.size, repeats)
            except TooLarge:
                continue
            ranks = rank_targets(chosen.baseline, prepared.test, repeats).ranks
            references[name] = dataclasses.asdict(recall(ranks, 10))
        results.references[key] = references
        results.save()
    return results.references[key]


def _check_same_data(configs: list[PipelineConfig]) -> None:
    """Checks that the configurations differ in the data steps only by history length, because these steps run once.

    Raises:
        ConfigError: they also differ in other settings.
    """
    sections = {
        config.model_dump_json(
            include={"example_gen": True, "transform": True}, exclude={"transform": {"history_length"}}
        )
        for config in configs
    }
    if len(sections) > 1:
        raise ConfigError(
            "the configurations of the encoders differ in example_gen or transform; set equal values with "
            "--set KEY=VALUE"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="interaction log")
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS), help="default: all")
    parser.add_argument(
        "--lengths", nargs="+", type=int, default=list(LENGTHS), metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--epochs", type=int, help="maximum epochs of a cell (default: as configured)")
    parser.add_argument("--split", choices=inputs.SPLITS, default=inputs.SPLITS[0], help="default: %(default)s")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot as SVG")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
