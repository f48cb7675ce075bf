"""What a pushed file does with histories of several lengths."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.baselines import Popularity
from benchmarks.prepared import Prepared, prepare, run_steps
from benchmarks.ranking import paired_difference, rank_targets, recall
from components.errors import StepError
from on_device.recommender import Recommender
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver

CUT = 10
# Label -> least and greatest length; a user's is drawn between them, and of the last all is kept.
LENGTHS = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, sys.maxsize)}


def report(data: Path, config: PipelineConfig, output: Path, cache_dir: Path, console: Console) -> list[dict[str, Any]]:
    """Run the pipeline, measure the file that it pushed, and print; returns what `measure` does.

    Raises:
        DataError: the data cannot be read.
        StepError: the gate did not bless the model.
        StepFailed: a step of the pipeline raised an error.
    """
    observer = ConsoleObserver(console)
    prepared = prepare(data, config, output, cache_dir, observer)
    pushed = run_steps(data, config, output, cache_dir, observer, steps.PUSHER)[steps.PUSHER]
    properties = pushed.outputs["pushed_model"][0].custom_properties
    if not properties["pushed"].int_value:
        raise StepError("the gate did not bless the model, so that there is no file to measure")
    found = measure(prepared, Recommender.load(properties["pushed_destination"].string_value))
    console.print(_table(found))
    return found


def measure(prepared: Prepared, recommender: Recommender) -> list[dict[str, Any]]:
    """Recall@10 of a file and of the popularity list by length of history.

    Returns:
        For each of LENGTHS `length`, `targets`, and `file`, `popularity` and `difference`, each a mean and its error.
    """
    popular = rank_targets(Popularity().fit(prepared.train, prepared.size), prepared.test).ranks
    random = np.random.default_rng(0)
    report = []
    for label, (least, most) in LENGTHS.items():
        ranks = np.full(len(prepared.test), prepared.size)
        long_enough = np.diff(prepared.test.starts) >= least
        for user in np.flatnonzero(long_enough).tolist():
            timeline = prepared.test.activities[prepared.test.starts[user] : prepared.test.starts[user + 1]]
            longest = min(most, len(timeline.items))
            kept = longest if label == "10+" else int(random.integers(least, longest + 1))
            history = timeline[len(timeline.items) - kept :]
            ids, _ = recommender.rank_indices(
                history.items, timeline.items, ratings=history.ratings, times=history.times
            )
            found = np.flatnonzero(ids == prepared.test.targets[user])
            ranks[user] = found[0] if len(found) else prepared.size
        file, listed, users = ranks[long_enough], popular[long_enough], prepared.users[long_enough]
        report.append(
            {
                "length": label,
                "targets": int(long_enough.sum()),
                "file": dataclasses.asdict(recall(file, CUT, users)),
                "popularity": dataclasses.asdict(recall(listed, CUT, users)),
                "difference": dataclasses.asdict(paired_difference(file, listed, users)),
            }
        )
    return report


def _table(report: list[dict[str, Any]]) -> Table:
    table = Table(title="Recall@10 by length of history", title_justify="left")
    for title in ("items in the history", "targets", "file", "popularity list", "difference"):
        table.add_column(title, justify="right")
    for row in report:
        cells = [f"{row[name]['mean']:.4f} ±{row[name]['standard_error']:.4f}" for name in ("file", "popularity")]
        difference = row["difference"]
        table.add_row(
            *(row["length"], f"{row['targets']:,}", *cells),
            f"{difference['mean']:+.4f} ±{difference['standard_error']:.4f}",
        )
    return table
