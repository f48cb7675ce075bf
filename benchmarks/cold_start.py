"""Prints what the pushed file does for users of whom little is known.

    .venv/bin/python -m benchmarks.cold_start --data path/to/ml-1m.zip

Every test user comes once with each length of history: the last items alone are kept of it. What the user saw before
that is still left out of the answers, so that all lengths are asked the same question. The file is run as an app runs
it. Beside it stands the popularity list.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        overrides = {"example_gen.split": options.split, **inputs.overrides(options.set)}
        config = load_config(options.config, overrides)
        return inputs.find_data(options.data, options.cache_dir), config

    def work(asked: tuple[Path, PipelineConfig], output: Path, console: Console) -> list[dict[str, Any]]:
        from benchmarks.short_histories import report

        return report(*asked, output, options.cache_dir, console)

    return program.run(options, "cold_start", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--split", choices=inputs.SPLITS, default="leave_one_out", help="default: leave_one_out")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
