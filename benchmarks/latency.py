"""Prints how fast pushed files answer, beside the reference of 2021 made again, all in one process and on one thread.

    .venv/bin/python -m benchmarks.latency serving_models/movielens serving_models/movielens-cnn --browser

What is timed is one inference of the file, the client around it left out; files take turns, so that a noisy machine is
noisy for all of them. `--browser` also times them in Chromium, as the demo runs them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import program
from on_device.artifact import Artifact, open_artifact
from on_device.errors import ArtifactError
from pipeline.config import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> list[Artifact]:
        try:
            return [open_artifact(path) for path in options.models]
        except ArtifactError as error:
            raise ConfigError(str(error)) from None

    def work(artifacts: list[Artifact], output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.device_latency import report

        return report(artifacts, options.runs, options.browser, console)

    return program.run(options, "latency", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="DIR", help="a version's folder, or a pipeline's")
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="answers of each (default: %(default)s)")
    parser.add_argument("--browser", action="store_true", help="in Chromium too; needs it and playwright")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the log there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
