"""Measures the pushed file by length of history.

    .venv/bin/python -m benchmarks.cold_start --data path/to/ml-1m.zip

Each test user is ranked once for each length of history, for which only the last items of the history are kept. All
items of the user remain excluded, so that the question is the same for all lengths. The file runs as in an app. The
table compares it with the popularity list.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import inputs, program
from components.errors import StepError
from on_device.recommender import Recommender
from pipeline.config import PipelineConfig, load_config, read_assignments
from pipeline.console import ConsoleObserver

if TYPE_CHECKING:
    from benchmarks.prepared import Prepared

CUT = 10
# Label -> minimum and maximum length. Each user's length is drawn between them; the last row keeps all items.
LENGTHS = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, sys.maxsize)}


def main(arguments: list[str] | None = None) -> int:
    """Trains, measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="interaction log")
    parser.add_argument("--split", choices=inputs.SPLITS, default="leave_one_out", help="default: leave_one_out")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: the pipeline's)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        overrides = {"example_gen.split": options.split, **read_assignments(options.set)}
        config = load_config(options.config, overrides)
        return inputs.find_data(options.data, options.cache_dir), config

    def work(task: tuple[Path, PipelineConfig], output: Path, console: Console) -> list[dict[str, Any]]:
        from benchmarks.prepared import prepare, run_steps
        from pipeline import steps

        data, config = task
        observer = ConsoleObserver(console)
        prepared = prepare(data, config, output, options.cache_dir, observer)
        pusher = run_steps(data, config, output, options.cache_dir, observer, steps.PUSHER)[steps.PUSHER]
        properties = pusher.outputs["pushed_model"][0].custom_properties
        if not properties["pushed"].int_value:
            raise StepError("the gate did not bless the model, so there is no file to measure")
        rows = measure(prepared, Recommender.load(properties["pushed_destination"].string_value))
        console.print(_table(rows))
        return rows

    return program.run(options, "cold_start", read, work)


def measure(prepared: Prepared, recommender: Recommender) -> list[dict[str, Any]]:
    """Measures Recall@10 of a file and of the popularity list by length of history.

    Returns:
        For each of LENGTHS: `length`, `targets`, and the estimates `file`, `popularity` and `difference`.
    """
    from benchmarks.baselines import Popularity
    from benchmarks.ranking import paired_difference, rank_targets, recall
    from components.trainer.input_pipeline import ITEMS, RATINGS, TIMES, take

    test = prepared.test
    popularity_ranks = rank_targets(Popularity().fit(prepared.train, prepared.size), test).ranks
    random = np.random.default_rng(0)
    rows = []
    for label, (minimum, maximum) in LENGTHS.items():
        is_long_enough = np.diff(test.starts) >= minimum
        file_ranks = np.full(len(test), prepared.size)
        for user in np.flatnonzero(is_long_enough).tolist():
            timeline = take(test.activities, slice(*test.starts[user : user + 2]))
            longest = min(maximum, len(timeline[ITEMS]))
            length = longest if label == "10+" else int(random.integers(minimum, longest + 1))
            history = take(timeline, slice(len(timeline[ITEMS]) - length, None))
            ids, _ = recommender.rank_indices(
                history[ITEMS], timeline[ITEMS], ratings=history[RATINGS], times=history[TIMES]
            )
            file_ranks[user] = next(iter(np.flatnonzero(ids == test.targets[user])), prepared.size)
        file, popularity, users = (values[is_long_enough] for values in (file_ranks, popularity_ranks, prepared.users))
        rows.append(
            {
                "length": label,
                "targets": len(users),
                "file": recall(file, CUT, users),
                "popularity": recall(popularity, CUT, users),
                "difference": paired_difference(file, popularity, users),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> Table:
    cells = [
        (row["length"], f"{row['targets']:,}", str(row["file"]), str(row["popularity"]), row["difference"].signed)
        for row in rows
    ]
    columns = ("items in the history", "targets", "file", "popularity list", "difference")
    return program.table("Recall@10 by length of history", columns, cells)


if __name__ == "__main__":
    sys.exit(main())
