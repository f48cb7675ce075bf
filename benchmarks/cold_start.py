"""Prints what the pushed file does for users of whom little is known.

    .venv/bin/python -m benchmarks.cold_start --data path/to/ml-1m.zip

Every test user comes once with each length of history: the last items alone are kept of it. What the user saw before
that is still left out of the answers, so that all lengths are asked the same question. The file is run as an app runs
it. Beside it stands the popularity list.
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
from rich.table import Table

from benchmarks import inputs
from benchmarks.baselines import Popularity
from benchmarks.prepared import Prepared, prepare, run_steps
from benchmarks.ranking import paired_difference, recall, target_ranks
from components.errors import StepError
from data.errors import DataError
from on_device.recommender import Recommender
from pipeline import steps
from pipeline.config import ConfigError, load_config
from pipeline.console import ConsoleObserver, quiet
from pipeline.local_execution import StepFailed

EXIT_FAILED, EXIT_USAGE = 1, 2
CUT = 10
# Label -> least and greatest length; a user's is drawn between them.
LENGTHS = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, sys.maxsize)}


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        overrides = {"example_gen.split": options.split, **inputs.overrides(options.set)}
        config = load_config(options.config, overrides)
        data = inputs.find_data(options.data, options.cache_dir)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory() as scratch:
        output = (options.output or Path(scratch)).resolve()
        with quiet(output / "cold_start.log") as console:
            observer = ConsoleObserver(console)
            try:
                prepared = prepare(data, config, output, options.cache_dir, observer)
                pushed = run_steps(data, config, output, options.cache_dir, observer, steps.PUSHER)[steps.PUSHER]
            except (DataError, StepError, StepFailed) as error:
                console.print(f"error: {error}", soft_wrap=True)
                return EXIT_FAILED
            properties = pushed.outputs["pushed_model"][0].custom_properties
            if not properties["pushed"].int_value:
                console.print("error: the gate did not bless the model, so that there is no file")
                return EXIT_FAILED
            recommender = Recommender.load(properties["pushed_destination"].string_value)
            report = measure(prepared, recommender)
            console.print(_table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(prepared: Prepared, recommender: Recommender) -> list[dict[str, Any]]:
    """Recall@10 of a file and of the popularity list by length of history.

    Returns:
        For each of LENGTHS `length`, `targets`, and `file`, `popularity` and `difference`, each a mean and its error.
    """
    popular = target_ranks(Popularity().fit(prepared.train, prepared.size), prepared.test)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--split", choices=inputs.SPLITS, default="leave_one_out", help="default: leave_one_out")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    inputs.add_common(parser)
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
