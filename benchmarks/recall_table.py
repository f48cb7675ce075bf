"""Measures Recall@10 of each encoder with several history lengths, and plots it.

    .venv/bin/python -m benchmarks.recall_table --data path/to/ml-1m.zip --epochs 4 --output output/recall

Each encoder is trained with its own settings, `configs/<encoder>.yaml`, and each `history_length`. `--output` keeps the
pipeline's artifacts, so that an interrupted table continues with the first training that is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import ConfigError, PipelineConfig, load_config, read_assignments
from pipeline.console import ConsoleObserver, duration

if TYPE_CHECKING:
    from benchmarks.prepared import Prepared
    from benchmarks.ranking import Estimate

CONFIGS = Path(__file__).parent.parent / "configs"
ENCODERS = ("bow", "cnn", "lstm", "transformer")
LENGTHS = (5, 10, 20, 50, 200)
REFERENCES = ("popularity", "EASE", "Markov")

Configs = dict[tuple[str, int], PipelineConfig]  # by encoder and history length


def main(arguments: list[str] | None = None) -> int:
    """Trains the cells, prints the table and plots it; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, Configs]:
        values = {"name": "recall_table", "example_gen.split": options.split}  # One name, so that cells share data.
        if options.epochs:
            values["trainer.max_epochs"] = options.epochs
        values.update(read_assignments(options.set))
        configs = {
            (encoder, length): cell_config(encoder, length, values)
            for encoder in options.encoders
            for length in sorted(set(options.lengths))
        }
        data_settings = {
            config.model_dump_json(include={"example_gen": True, "transform": {"min_item_count", "catalog"}})
            for config in configs.values()
        }
        if len(data_settings) > 1:
            raise ConfigError(
                "the configurations of the encoders differ in example_gen or transform; set equal values with "
                "--set KEY=VALUE"
            )
        return inputs.find_data(options.data, options.cache_dir), configs

    def work(task: tuple[Path, Configs], output: Path, console: Console) -> dict[str, Any]:
        return make_table(*task, output, options, console)

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


def make_table(
    data: Path, configs: Configs, output: Path, options: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Trains the cells, prints the table and plots it.

    Args:
        data: path of the log.
        configs: of the cells.
        output: folder of artifacts and metadata.
        options: parsed command line.
        console: for the table.

    Returns:
        The `references`, which are Recall@10 of the baselines by name, and the `cells`.

    Raises:
        DataError: the data cannot be read.
        StepFailed: a step of the pipeline raised an error.
    """
    from benchmarks.plots import plot_lengths as plot
    from benchmarks.prepared import prepare
    from benchmarks.ranking import recall
    from benchmarks.trained import train

    observer = ConsoleObserver(console)
    prepared = prepare(data, next(iter(configs.values())), output, options.cache_dir, observer)
    references = _references(prepared)
    cells = []
    estimates: dict[str, dict[int, Estimate]] = {encoder: {} for encoder in options.encoders}
    evals: dict[str, list[str]] = {encoder: [] for encoder in options.encoders}
    for number, ((encoder, length), config) in enumerate(configs.items(), start=1):
        trained = train(data, config, output, options.cache_dir, observer, prepared.raw_test)
        estimate = recall(trained.ranking.ranks, 10)
        estimates[encoder][length] = estimate
        evals[encoder].append(f"{trained.holdout_recall_at_10:.4f}")
        cells.append(
            {
                "encoder": encoder,
                "history_length": length,
                "eval_recall_at_10": trained.holdout_recall_at_10,
                "recall_at_10": estimate.mean,
                "standard_error": estimate.standard_error,
                "seconds": trained.seconds,
            }
        )
        console.print(
            f"{number}/{len(configs)}  {encoder}, history {length}: test Recall@10 {estimate}, "
            f"eval {evals[encoder][-1]}  ({duration(trained.seconds)})",
            soft_wrap=True,
        )
    rows = []
    for encoder, line in estimates.items():
        rows += [[encoder, *map(str, line.values())], ["  eval", *evals[encoder]]]
    title = f"Recall@10 on the {options.split} test split by history length"
    console.print(program.table(title, ["", *map(str, sorted(set(options.lengths)))], rows))
    baselines = ", ".join(f"{name} {estimate}" for name, estimate in references.items())
    console.print(f"with any history length: {baselines}; ± is one standard error of {len(prepared.test):,} users")
    if options.plot:
        plot(estimates, {name: estimate.mean for name, estimate in references.items()}, options.plot)
        console.print(f"plotted to {options.plot}", soft_wrap=True)
    return {"references": references, "cells": cells}


def _references(prepared: Prepared) -> dict[str, Estimate]:
    """Returns Recall@10 of the baselines, which are tuned on the eval split, by name."""
    from benchmarks.baselines import TooLarge
    from benchmarks.ranking import rank_targets, recall
    from benchmarks.tuning import GRIDS, choose

    repeats = prepared.recommends_seen
    references = {}
    for name in REFERENCES:
        try:
            baseline, _ = choose(name, GRIDS[name], prepared.train, prepared.holdout, prepared.size, repeats)
        except TooLarge:
            continue
        references[name] = recall(rank_targets(baseline, prepared.test, repeats).ranks, 10)
    return references


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
