"""Replays a log in time: measures the benefit of retraining, and the drift of the data.

    .venv/bin/python -m benchmarks.replay --data ml-100k --periods 6 --plot docs/replay.svg

The log is cut into growing prefixes. The pipeline runs on each of them, in one folder, as on a schedule. The new model
and the first one, which is never retrained, are tested on the interactions of the next period. `--data` needs real
times.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import inputs, program
from components.errors import StepError
from data.formats import open_dataset
from pipeline.config import ConfigError, PipelineConfig, load_config, read_assignments

# Each model is trained on its prefix without the newest tenth, which is the eval and the test split.
SETTINGS: dict[str, Any] = {
    "name": "replay",
    "example_gen.split": "temporal",
    "example_gen.temporal_targets": "all",
    "example_gen.max_targets_per_user": None,
    "example_gen.eval_fraction": 0.05,
    "example_gen.test_fraction": 0.05,
}


def main(arguments: list[str] | None = None) -> int:
    """Replays the log, prints and plots the results; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        if not 0 < options.first < 1:
            raise ConfigError(f"--first {options.first:g}: expected a share between 0 and 1")
        if min(options.periods or 1, options.weeks or 1) < 1:
            raise ConfigError("--periods and --weeks take whole numbers from 1")
        config = load_config(options.config, {**SETTINGS, **read_assignments(options.set)})
        return inputs.find_data(options.data, options.cache_dir), config

    def work(task: tuple[Path, PipelineConfig], output: Path, console: Console) -> list[dict[str, Any]]:
        from benchmarks.logs import cuts, read_log, targets_of
        from benchmarks.plots import plot_periods
        from benchmarks.replayed import compare, run

        data, config = task
        if (output / config.name).exists():
            raise StepError(f"{output}: has runs that are later than the first of this replay; give another --output")
        log = read_log(open_dataset(data, options.cache_dir))
        moments = cuts(log.seconds, options.first, options.periods, options.weeks)
        if len(moments) < 2 or len(set(moments)) < len(moments):
            raise StepError(f"{data}: the log is too short for these periods; take fewer, or a smaller --first")
        rows: list[dict[str, Any]] = []
        first_folder: Path | None = None
        for number, (start, stop) in enumerate(itertools.pairwise(moments), start=1):
            console.print(f"period {number} of {len(moments) - 1}: trained before {_day(start)}", soft_wrap=True)
            folders, facts = run(log, start, config, output, options.cache_dir, console)
            first_folder = first_folder or folders["retrained"]
            targets = targets_of(log, start, stop, options.targets == "first")
            ratings = int((log.seconds < start).sum())
            compared = compare({"first": first_folder, **folders}, targets)
            rows.append({"start": start, "stop": stop, "ratings": ratings, **compared, **facts})
        console.print(_recalls(rows, options.targets))
        console.print(_drifts(rows))
        if options.plot:
            plot_periods(rows, options.plot)
            console.print(f"plotted to {options.plot}", soft_wrap=True)
        return rows

    return program.run(options, "replay", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings with real times")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    parser.add_argument("--first", type=float, default=0.4, help="share of the ratings before the first period (0.4)")
    cut = parser.add_mutually_exclusive_group()
    cut.add_argument("--periods", type=int, default=6, help="periods with equally many ratings (default: 6)")
    cut.add_argument("--weeks", type=int, help="periods of so many weeks instead")
    parser.add_argument(
        "--targets", choices=("all", "first"), default="all", help="all of a period, or the first of each user"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the picture, as SVG")
    inputs.add_common(parser)
    return parser


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d}"


def _recalls(rows: list[dict[str, Any]], targets: str) -> Table:
    def cells(row: dict[str, Any]) -> list[str]:
        models = [row[name] for name in ("first", "retrained", "refitted") if name in row]
        recalls = [str(model["recall_at_10"]) for model in models]
        differences = [row[n].signed for n in ("difference", "difference_known", "refit") if n in row]
        return [
            _day(row["start"]),
            f"{row['targets']:,}",
            f"{row['of_new_users']:.1%}",
            ", ".join(f"{model['unknown']:.1%}" for model in models),
            *recalls[:2],
            *differences[:2],
            *recalls[2:],
            *differences[2:],
        ]

    period = "the first of each user" if targets == "first" else "all of the period"
    title = f"Recall@10 on the next period ({period}), ± one standard error over users"
    columns = ["trained before", "targets", "of new users", "unknown to", "first", "retrained", "difference"]
    columns += ["of known targets", *(("refitted", "refit") if any("refit" in row for row in rows) else ())]
    return program.table(title, columns, map(cells, rows))


def _drifts(rows: list[dict[str, Any]]) -> Table:
    measured: list[dict[str, Any]] = next((row["drift"]["measures"] for row in rows if row["drift"]["measures"]), [])
    names = [measure["name"] for measure in measured]

    def cells(row: dict[str, Any]) -> list[str]:
        measures = row["drift"]["measures"]
        values = {m["name"]: f"{m['value']:.3f}{'' if m['level'] == 'ok' else ' !'}" for m in measures}
        verdict = "pushed" if row["blessed"] else "not blessed"
        return [_day(row["start"]), *(values.get(name, "-") for name in names), verdict]

    title = "Drift of each run's data against the last run's (! warns), and the gate"
    return program.table(
        title, ["trained before", *(name.replace("_", " ") for name in names), "gate"], map(cells, rows)
    )


if __name__ == "__main__":
    sys.exit(main())
