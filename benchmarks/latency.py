"""Prints how fast model files answer, beside the reference of 2021, all in one process and on one thread.

    .venv/bin/python -m benchmarks.latency serving_models/movielens serving_models/movielens-cnn --browser
    .venv/bin/python -m benchmarks.latency serving_models/movielens path/to/your.tflite --items 3953

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

    def read() -> tuple[list[Artifact], dict[str, tuple[bytes, int]]]:
        others = {str(path): path for path in options.models if path.suffix == ".tflite"}
        try:
            artifacts = [open_artifact(path) for path in options.models if str(path) not in others]
            return artifacts, {name: (path.read_bytes(), options.items) for name, path in others.items()}
        except (ArtifactError, OSError) as error:
            raise ConfigError(str(error)) from None

    def work(
        asked: tuple[list[Artifact], dict[str, tuple[bytes, int]]], output: Path, console: Console
    ) -> dict[str, Any]:
        from benchmarks.device_latency import report

        return report(*asked, options.runs, options.browser, console)

    return program.run(options, "latency", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="PATH", help="a version's folder, a pipeline's, or a .tflite file"
    )
    parser.add_argument(
        "--items",
        type=int,
        default=1000,
        metavar="N",
        help="integers that .tflite files are given are below it (default: %(default)s)",
    )
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="answers of each (default: %(default)s)")
    parser.add_argument("--browser", action="store_true", help="in Chromium too; needs it and playwright")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the log there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
