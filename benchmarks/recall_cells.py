"""Trains an encoder at a history length, and prints and plots all of them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from tfx.components.trainer.fn_args_utils import FnArgs

from benchmarks.baselines import TooLarge
from benchmarks.prepared import Prepared, prepare
from benchmarks.ranking import Estimate, rank_targets, recall
from benchmarks.recall_plot import plot
from benchmarks.tuning import GRIDS, choose
from components import features
from components.code_version import step_version
from components.trainer.fit import fit
from components.trainer.input_pipeline import Timelines
from components.trainer.model import Recommender
from components.trainer.run import TrainingData, build_model, check, read_training_data
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver, duration

REFERENCES = ("popularity", "EASE", "Markov")


class ModelScorer:
    """A model in training, as the one ranking function takes it."""

    def __init__(self, model: Recommender):
        @tf.function(reduce_retracing=True)
        def scores_of(histories: dict[str, tf.Tensor]) -> tf.Tensor:
            tables = model.tables()
            contexts, length = model.read_out(histories, tables)
            # The vocabulary is in order of popularity.
            by_popularity = -tf.range(tables.size, dtype=tf.float32)
            return tf.where(length[:, None] > 0, tf.matmul(contexts, tables.labels, transpose_b=True), by_popularity)

        self._length = model.history_length
        self._scores_of = scores_of

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """int64 [B] -> float32 [B, V]."""
        found: tf.Tensor = self._scores_of(timelines.histories(rows, self._length).tensors())
        return found.numpy()


def training_data(prepared: Prepared) -> TrainingData:
    """What the Trainer would read."""
    folders = prepared.transformed
    return read_training_data(
        FnArgs(
            transform_graph_path=str(prepared.transform_graph),
            train_files=[f"{folders[features.TRAIN]}/*", f"{folders[features.CATALOG]}/*"],
            eval_files=[f"{folders[features.EVAL]}/*"],
        )
    )


def train_cell(config: PipelineConfig, data: TrainingData, test: Timelines) -> dict[str, Any]:
    """Train one encoder at one history length.

    Returns:
        `eval_recall_at_10`, of the epoch that was kept; `recall_at_10` and `standard_error` on the test split;
        `epochs` and `seconds`.

    Raises:
        StepError: the data is too small, or the training diverged.
    """
    length = config.transform.history_length
    data = dataclasses.replace(data, history_length=length)
    check(config.trainer, data)
    model = build_model(config.trainer, data)
    fitted = fit(model, data.train, data.holdout)
    found = recall(rank_targets(ModelScorer(model), test).ranks, 10)
    return {
        "eval_recall_at_10": fitted.history[fitted.best_epoch - 1].recall_at_10,
        "recall_at_10": found.mean,
        "standard_error": found.standard_error,
        "epochs": len(fitted.history),
        "seconds": fitted.history[-1].seconds,
    }


def settings_key(test_fingerprint: str, config: PipelineConfig) -> str:
    """The same for the same test targets and settings of the data steps and the Trainer."""
    parts = (config.example_gen, config.transform, config.trainer)
    text = "\n".join([test_fingerprint, *(part.model_dump_json() for part in parts)])
    return hashlib.sha256(text.encode()).hexdigest()


class Results:
    """Cells and references, in a JSON file if there is one; written after each."""

    def __init__(self, path: Path | None):
        self._path = path
        found = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        self.references: dict[str, Any] = found.get("references", {})
        self._cells: list[dict[str, Any]] = found.get("cells", [])

    def find(self, key: str) -> dict[str, Any] | None:
        """The cell with these settings, if it is there."""
        return next((cell for cell in self._cells if cell["key"] == key), None)

    def add(self, cell: dict[str, Any]) -> None:
        """Keep a cell."""
        self._cells.append(cell)
        self.save()

    def save(self) -> None:
        """Write the file."""
        if self._path:
            content = {"references": self.references, "cells": self._cells}
            self._path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def make_table(
    data: Path,
    configs: dict[tuple[str, int], PipelineConfig],
    output: Path,
    options: argparse.Namespace,
    console: Console,
) -> None:
    """Train what is not in the JSON file yet, print and plot.

    Args:
        data: ratings, a folder, zip or CSV file.
        configs: by encoder and history length.
        output: folder of artifacts and metadata.
        options: of the command line.
        console: that people read.

    Raises:
        DataError: the data cannot be read.
        StepError: the data is too small, or a training diverged.
        StepFailed: a step of the pipeline raised an error.
    """
    results = Results(options.json)
    longest = max(configs.values(), key=lambda config: config.transform.history_length)
    prepared = prepare(data, longest, output, options.cache_dir, ConsoleObserver(console))
    references = _references(prepared, longest, results)
    read = training_data(prepared)
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    for number, ((encoder, length), config) in enumerate(configs.items(), start=1):
        key = settings_key(prepared.fingerprint, config)
        cell = results.find(key)
        how = "from the JSON file"
        if cell is None:
            cell = {"key": key, "encoder": encoder, "history_length": length, "code": step_version("trainer")}
            cell.update(train_cell(config, read, prepared.test))
            results.add(cell)
            how = f"{cell['epochs']} epochs, {duration(cell['seconds'])}"
        cells[encoder, length] = cell
        console.print(
            f"{number}/{len(configs)}  {encoder}, history {length}: test Recall@10 {_estimate(cell)}, "
            f"eval {cell['eval_recall_at_10']:.4f}  ({how})",
            soft_wrap=True,
        )
    _show(cells, references, prepared, options, console)
    if options.plot:
        lines = {
            encoder: {length: _estimate(cell) for (name, length), cell in cells.items() if name == encoder}
            for encoder in options.encoders
        }
        plot(lines, {name: estimate.mean for name, estimate in references.items()}, options.plot)
        console.print(f"plotted to {options.plot}", soft_wrap=True)


def _references(prepared: Prepared, config: PipelineConfig, results: Results) -> dict[str, Estimate]:
    """Recall@10 on the test split of the baselines in the picture, tuned on the eval split."""
    key = hashlib.sha256(f"{prepared.fingerprint}\n{config.transform.min_item_count}".encode()).hexdigest()
    if key not in results.references:
        found = {}
        for name in REFERENCES:
            try:
                chosen = choose(name, GRIDS[name], prepared.train, prepared.holdout, prepared.size)
            except TooLarge:
                continue
            found[name] = dataclasses.asdict(recall(rank_targets(chosen.baseline, prepared.test).ranks, 10))
        results.references[key] = found
        results.save()
    return {name: Estimate(**estimate) for name, estimate in results.references[key].items()}


def _estimate(cell: dict[str, Any]) -> Estimate:
    return Estimate(cell["recall_at_10"], cell["standard_error"])


def _show(
    cells: dict[tuple[str, int], dict[str, Any]],
    references: dict[str, Estimate],
    prepared: Prepared,
    options: argparse.Namespace,
    console: Console,
) -> None:
    lengths = sorted(options.lengths)
    table = Table(title=f"Recall@10 on the {options.split} test split by history length", title_justify="left")
    table.add_column("")
    for length in lengths:
        table.add_column(str(length), justify="right")
    for encoder in options.encoders:
        table.add_row(encoder, *(str(_estimate(cells[encoder, length])) for length in lengths))
        table.add_row(
            "  eval", *(f"{cells[encoder, length]['eval_recall_at_10']:.4f}" for length in lengths), style="dim"
        )
    console.print(table)
    words = ", ".join(f"{name} {estimate}" for name, estimate in references.items())
    console.print(f"whatever the history: {words}; ± is one standard error of {len(prepared.test):,} users")
    if len({cell["code"] for cell in cells.values()}) > 1:
        console.print("the cells were trained by different versions of the Trainer's code")
