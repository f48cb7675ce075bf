"""Models that learn from other labels, on the same test targets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.prepared import prepare
from benchmarks.ranking import paired_difference, recall
from benchmarks.trained import train
from components import features
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver

CUT = 10


def report(
    data: Path,
    configs: dict[str, list[PipelineConfig]],
    liked_from: float,
    output: Path,
    cache_dir: Path,
    console: Console,
) -> list[dict[str, Any]]:
    """Train, rank and print.

    Args:
        data: ratings, a folder, zip or CSV file.
        configs: by kind of label, one a seed; the first kind is what the others are compared with.
        liked_from: least rating of a target that the user liked.
        output: folder of artifacts and metadata.
        cache_dir: folder for unpacked archives.
        console: that people read.

    Returns:
        What `compare_kinds` does.

    Raises:
        DataError: the data cannot be read.
        StepFailed: a step of the pipeline raised an error.
    """
    observer = ConsoleObserver(console)
    (first, *_), *_ = configs.values()
    prepared = prepare(data, first, output, cache_dir, observer)
    ranks = {
        kind: [train(data, one, output, cache_dir, observer, prepared.raw_test).ranks for one in of_seeds]
        for kind, of_seeds in configs.items()
    }
    examples = map(tf.train.Example.FromString, prepared.raw_test)
    ratings = [example.features.feature[features.TARGET_RATING].float_list.value[0] for example in examples]
    found = compare_kinds(ranks, np.array(ratings) >= liked_from, prepared.users)
    seeds = len(configs[found[0]["labels"]])
    console.print(_table(found, f"Recall@10 by kind of label, {seeds} seeds, {first.example_gen.split}"))
    return found


def compare_kinds(ranks: dict[str, list[np.ndarray]], liked: np.ndarray, users: np.ndarray) -> list[dict[str, Any]]:
    """Recall@10 by kind of label, seeds pooled.

    Args:
        ranks: of the test targets by kind, int64 [U], one array a seed.
        liked: which targets the user liked, bool [U].
        users: whose they are, [U].

    Returns:
        For each kind `labels`, and of `all` and the `liked` targets the number, the recall, and the difference to the
        first kind.
    """
    kinds = list(ranks)
    seeds = len(ranks[kinds[0]])
    pooled_liked, pooled_users = np.tile(liked, seeds), np.tile(users, seeds)
    pooled = {kind: np.concatenate(of_seeds) for kind, of_seeds in ranks.items()}
    parts = {"all": np.ones(len(pooled_liked), bool), "liked": pooled_liked}
    return [
        {
            "labels": kind,
            **{
                part: {
                    "targets": int(chosen.sum()) // seeds,
                    "recall_at_10": dataclasses.asdict(recall(pooled[kind][chosen], CUT, pooled_users[chosen])),
                    "difference": dataclasses.asdict(
                        paired_difference(pooled[kind][chosen], pooled[kinds[0]][chosen], pooled_users[chosen])
                    ),
                }
                for part, chosen in parts.items()
            },
        }
        for kind in kinds
    ]


def _table(found: list[dict[str, Any]], title: str) -> Table:
    counts = {part: found[0][part]["targets"] for part in ("all", "liked")}
    table = Table(title=title, title_justify="left")
    table.add_column("labels")
    for part, count in counts.items():
        table.add_column(f"{part} {count:,} targets", justify="right")
        table.add_column("difference", justify="right")
    for row in found:
        cells = [row["labels"]]
        for part in counts:
            measured, difference = row[part]["recall_at_10"], row[part]["difference"]
            cells.append(f"{measured['mean']:.4f} ±{measured['standard_error']:.4f}")
            first = row is found[0]
            cells.append("" if first else f"{difference['mean']:+.4f} ±{difference['standard_error']:.4f}")
        table.add_row(*cells)
    return table
