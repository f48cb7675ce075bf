"""Prints time and memory of the data steps at several sizes.

    .venv/bin/python -m benchmarks.beam_speed --ratings 1_000_000 32_000_000

Data of each size is generated (`benchmarks/generate.py`): 160 ratings a user, 368 an item (at least 2,000 items), as 32
million ratings of 200,000 users and 87,000 items have. Every run is a process of its own. Seconds are of the steps,
after the imports; memory is the peak over all processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import generate, program
from benchmarks.processes import ROOT, peak_memory
from benchmarks.synthetic import make_world

STEPS = ("ExampleGen", "StatisticsGen", "Transform")
RATINGS_A_USER, RATINGS_AN_ITEM, LEAST_ITEMS = 160, 32_000_000 / 87_000, 2_000


@dataclass(frozen=True)
class Run:
    """The costs of a run.

    Attributes:
        ratings: number of ratings.
        seconds: of each of STEPS.
        peak_bytes: resident, over all processes.
    """

    ratings: int
    seconds: dict[str, float]
    peak_bytes: int

    @property
    def total(self) -> float:
        """Returns the seconds of all steps together."""
        return sum(self.seconds.values())


def run_steps(ratings: int, data: Path, folder: Path, options: Sequence[str] = ()) -> Run | None:
    """Runs the data steps in a process of their own; returns None where they fail.

    Args:
        ratings: number of ratings.
        data: path of the log.
        folder: a new folder for artifacts.
        options: further options of `local_runner.py`.
    """
    folder.mkdir(parents=True)
    summary = folder / "summary.json"
    command = [
        *(sys.executable, "-u", "local_runner.py", f"--data={data}", "--to-node=Transform", f"--output={folder}"),
        *(f"--serving-dir={folder / 'models'}", f"--cache-dir={folder / 'cache'}", f"--json={summary}", *options),
    ]
    with ThreadPoolExecutor(1) as thread:
        peak_bytes = peak_memory(thread.submit(subprocess.call, command, cwd=ROOT))
    steps = json.loads(summary.read_text(encoding="utf-8"))["steps"] if summary.exists() else {}
    if not set(STEPS) <= set(steps):
        return None
    return Run(ratings, {name: steps[name]["seconds"] for name in STEPS}, peak_bytes)


def make_data(ratings: int, folder: Path, layout: str) -> Path:
    """Returns a folder with data of a size, which is generated if the folder does not exist."""
    if not folder.exists():
        items = max(round(ratings / RATINGS_AN_ITEM), LEAST_ITEMS)
        world = make_world(ratings, ratings // RATINGS_A_USER, items, seed=1)
        folder.mkdir(parents=True)
        generate.generate(world, generate.FORMATS[layout], folder)
    return folder


def table_of(runs: list[Run]) -> Table:
    """Returns a table with a row for each run; growth is the time of a rating over that of the first run."""
    rows = [
        (
            f"{run.ratings:,}",
            *(f"{run.seconds[name]:.1f} s" for name in STEPS),
            f"{run.total:.1f} s",
            f"{run.total / run.ratings / (runs[0].total / runs[0].ratings):.2f}",
            f"{run.peak_bytes / 2**30:.2f} GiB",
        )
        for run in runs
    ]
    return program.table("", ("ratings", *STEPS, "together", "growth", "peak"), rows)


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 1 where a run fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=int, nargs="+", default=[1_000_000], metavar="N", help="default: 1,000,000")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep the generated data there")
    parser.add_argument(
        "--format", choices=generate.FORMATS, default="ml-32m", help="of the data (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as scratch:
        for ratings in options.ratings:
            folder = (options.data or Path(scratch)).resolve() / f"{ratings}-{options.format}"
            run = run_steps(ratings, make_data(ratings, folder, options.format), Path(scratch) / f"run-{ratings}")
            if run is None:
                console.print(f"error: the run with {ratings:,} ratings failed; its output is above")
                return 1
            runs.append(run)
            console.print(table_of(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
