"""Prints how fast the data half of the pipeline is, beside a plain Beam version of the same steps, at several sizes.

    .venv/bin/python -m benchmarks.beam_speed --ratings 1_000_000 32_000_000 --plain-up-to 1_000_000

Data of each size is generated (`benchmarks/generate.py`): 160 ratings a user, 368 an item (at least 2,000 items), as 32
million ratings of 200,000 users and 87,000 items have. Every run is a process of its own; seconds are of the steps,
after the imports; memory is the peak over all its processes. `--check` compares the transformed examples of the two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import generate
from benchmarks.figures import measure
from benchmarks.synthetic import make_world
from pipeline.console import quiet

STEPS = ("ExampleGen", "StatisticsGen", "Transform")
LOG, LOG_TAIL = "log.txt", 4_000  # characters of it that a failure shows
OURS, PLAIN = "pipeline", "plain Beam"
RATINGS_OF_A_USER, RATINGS_OF_AN_ITEM, LEAST_ITEMS = 160, 32_000_000 / 87_000, 2_000


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        version: OURS or PLAIN.
        ratings: how many there were.
        seconds: of each of STEPS.
        peak_bytes: resident, over all processes.
        transformed: folder of the transformed splits.
    """

    version: str
    ratings: int
    seconds: dict[str, float]
    peak_bytes: int
    transformed: Path

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


def run_pipeline(data: Path, folder: Path) -> tuple[dict[str, float], Path]:
    """Run the pipeline's own steps; seconds of each, and the folder of the transformed splits."""
    from benchmarks.prepared import run_steps
    from pipeline import steps
    from pipeline.config import PipelineConfig

    results = run_steps(data, PipelineConfig(name="speed"), folder, folder / "cache", _Silent(), steps.TRANSFORM)
    (examples,) = results[steps.TRANSFORM].outputs["transformed_examples"]
    return {name: results[name].seconds for name in STEPS}, Path(examples.uri)


class _Silent:
    """An observer that says nothing."""

    def started(self, step: str) -> None:
        pass

    def finished(self, result: object) -> None:
        pass

    def failed(self, step: str, seconds: float) -> None:
        pass


def run_plain(data: Path, folder: Path) -> tuple[dict[str, float], Path]:
    """The same with the plain version."""
    from benchmarks import plain_beam
    from pipeline.beam_runners import LOCAL_ARGUMENTS
    from pipeline.pipeline import SCHEMA

    examples, transformed = folder / "examples", folder / "transformed"
    work: list[Callable[[], None]] = [
        lambda: plain_beam.ingest(data, examples, LOCAL_ARGUMENTS),
        lambda: plain_beam.statistics(examples, folder / "statistics", LOCAL_ARGUMENTS),
        lambda: plain_beam.transform(examples, transformed, SCHEMA, LOCAL_ARGUMENTS),
    ]
    (folder / "statistics").mkdir(parents=True)
    seconds = {}
    for name, step in zip(STEPS, work, strict=True):
        started = time.monotonic()
        step()
        seconds[name] = time.monotonic() - started
    return seconds, transformed


VERSIONS = {OURS: run_pipeline, PLAIN: run_plain}


def measured(version: str, ratings: int, data: Path, folder: Path) -> Run | None:
    """Run a version in a process of its own; None where it failed."""
    folder.mkdir(parents=True)
    result = folder / "result.json"
    found = measure([sys.executable, "-m", "benchmarks.beam_speed", "--run", version, str(data), str(folder)])
    if found.code:
        print((folder / LOG).read_text(encoding="utf-8")[-LOG_TAIL:], file=sys.stderr)
        return None
    told = json.loads(result.read_text(encoding="utf-8"))
    return Run(version, ratings, told["seconds"], found.peak_bytes, Path(told["transformed"]))


def make_data(ratings: int, folder: Path, layout: str) -> Path:
    """Returns a folder with data of a size, generated where it is not there yet."""
    if not folder.exists():
        items = max(round(ratings / RATINGS_OF_AN_ITEM), LEAST_ITEMS)
        world = make_world(ratings, ratings // RATINGS_OF_A_USER, items, seed=1)
        folder.mkdir(parents=True)
        generate.generate(world, generate.FORMATS[layout], folder)
    return folder


def table_of(runs: list[Run]) -> Table:
    """A row a run; growth is the time of a rating over that of the same version's first size."""
    table = Table("version", "ratings", *STEPS, "together", "over plain", "growth", "peak")
    for run in runs:
        plain = [other for other in runs if other.version == PLAIN and other.ratings == run.ratings]
        first = next(other for other in runs if other.version == run.version)
        table.add_row(
            run.version,
            f"{run.ratings:,}",
            *(f"{run.seconds[name]:.1f} s" for name in STEPS),
            f"{run.total:.1f} s",
            f"{plain[0].total / run.total:.1f} x" if plain else "",
            f"{run.total / run.ratings / (first.total / first.ratings):.2f}",
            f"{run.peak_bytes / 2**30:.2f} GiB",
        )
    return table


def _compare(scratch: Path, options: argparse.Namespace, console: Console) -> int:
    runs = []
    for ratings in options.ratings:
        data = make_data(ratings, (options.data or scratch) / f"{ratings}-{options.format}", options.format)
        versions = [OURS, PLAIN] if ratings <= options.plain_up_to else [OURS]
        for version in versions:
            console.print(f"{version}, {ratings:,} ratings", highlight=False)
            run = measured(version, ratings, data, scratch / f"{version.split()[0]}-{ratings}")
            if run is None:
                console.print(f"error: {version} with {ratings:,} ratings failed")
                return 1
            runs.append(run)
            console.print(table_of(runs))
        if options.check and len(versions) == 2:
            with quiet(scratch / LOG):
                from benchmarks.same_records import digests

                ours, plain = (digests(run.transformed) for run in runs[-2:])
            console.print(f"transformed examples are {'the same' if ours == plain else 'DIFFERENT'}: {ours}")
            if ours != plain:
                return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns 1 where a run failed or records differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = dict(type=int, metavar="N")
    parser.add_argument("--ratings", nargs="+", default=[1_000_000], help="sizes (default: 1,000,000)", **sizes)
    parser.add_argument("--plain-up-to", default=1_000_000, help="largest size of the plain version", **sizes)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep the generated data there")
    parser.add_argument(
        "--format", choices=generate.FORMATS, default="ml-32m", help="of the data (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="compare the records of both versions")
    parser.add_argument("--run", nargs=3, metavar=("VERSION", "DATA", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        version, data, folder = options.run
        with quiet(Path(folder) / LOG):
            seconds, transformed = VERSIONS[version](Path(data).resolve(), Path(folder).resolve())
        told = {"seconds": seconds, "transformed": str(transformed)}
        (Path(folder) / "result.json").write_text(json.dumps(told), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        return _compare(Path(scratch), options, Console(width=None if sys.stdout.isatty() else 120))


if __name__ == "__main__":
    sys.exit(main())
