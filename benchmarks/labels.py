"""Prints what other labels than "the user rated it" do: thresholds and weights by rating.

    .venv/bin/python -m benchmarks.labels --data ml-100k --split temporal

The same model is trained with each kind of label. Recall@10 is given for all test targets, and for those that the user
liked: a model that is to recommend what people like, not what they watch, should be better on these. `--data` needs
real ratings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.table import Table

from benchmarks import inputs
from benchmarks.prepared import prepare
from benchmarks.ranking import paired_difference, recall
from benchmarks.trained import train
from components import features
from components.errors import StepError
from data.errors import DataError
from pipeline.config import ConfigError, PipelineConfig, load_config
from pipeline.console import ConsoleObserver, quiet
from pipeline.local_execution import StepFailed

EXIT_FAILED, EXIT_USAGE = 1, 2
CUT = 10


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)
    kinds = {
        "every rating": {},
        f"ratings of {options.liked:g} and up": {"trainer.min_target_rating": options.liked},
        "weighted by rating": {"trainer.target_weight": "rating"},
    }
    values = {"example_gen.split": options.split}
    try:
        values |= inputs.overrides(options.set)
        configs = {
            (kind, seed): load_config(options.config, {**values, **labels, "trainer.seed": seed})
            for kind, labels in kinds.items()
            for seed in range(1, options.seeds + 1)
        }
        data = inputs.find_data(options.data, options.cache_dir)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory() as scratch:
        output = (options.output or Path(scratch)).resolve()
        with quiet(output / "labels.log") as console:
            try:
                ranks, liked, users = _rank(data, configs, output, options, ConsoleObserver(console))
            except (DataError, StepError, StepFailed) as error:
                console.print(f"error: {error}", soft_wrap=True)
                return EXIT_FAILED
            report = _report(ranks, liked, users, list(kinds))
            console.print(_table(report, options))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--split", choices=inputs.SPLITS, default="temporal", help="default: temporal")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    parser.add_argument("--liked", type=float, default=4.0, help="least rating of what is liked (default: 4)")
    parser.add_argument("--seeds", type=int, default=3, help="models of each kind (default: 3)")
    inputs.add_common(parser)
    return parser


def _rank(
    data: Path,
    configs: dict[tuple[str, int], PipelineConfig],
    output: Path,
    options: argparse.Namespace,
    observer: ConsoleObserver,
) -> tuple[dict[str, list[np.ndarray]], np.ndarray, np.ndarray]:
    """Ranks of the test targets by kind of label, one array a seed; which were liked, bool [U]; and whose they are."""
    prepared = prepare(data, next(iter(configs.values())), output, options.cache_dir, observer)
    ranks: dict[str, list[np.ndarray]] = {}
    for (kind, _), config in configs.items():
        trained = train(data, config, output, options.cache_dir, observer, prepared.raw_test)
        ranks.setdefault(kind, []).append(trained.ranks)
    examples = map(tf.train.Example.FromString, prepared.raw_test)
    ratings = [example.features.feature[features.TARGET_RATING].float_list.value[0] for example in examples]
    return ranks, np.array(ratings) >= options.liked, prepared.users


def _report(
    ranks: dict[str, list[np.ndarray]], liked: np.ndarray, users: np.ndarray, kinds: list[str]
) -> list[dict[str, Any]]:
    """Recall@10 by kind of label, seeds pooled: of all targets and of the liked ones, and against the first kind."""
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


def _table(report: list[dict[str, Any]], options: argparse.Namespace) -> Table:
    counts = {part: report[0][part]["targets"] for part in ("all", "liked")}
    table = Table(title=f"Recall@10 by kind of label, {options.seeds} seeds, {options.split}", title_justify="left")
    table.add_column("labels")
    for part, count in counts.items():
        table.add_column(f"{part} {count:,} targets", justify="right")
        table.add_column("difference", justify="right")
    for row in report:
        cells = [row["labels"]]
        for part in counts:
            measured, difference = row[part]["recall_at_10"], row[part]["difference"]
            cells.append(f"{measured['mean']:.4f} ±{measured['standard_error']:.4f}")
            first = row is report[0]
            cells.append("" if first else f"{difference['mean']:+.4f} ±{difference['standard_error']:.4f}")
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
