"""Prints whether fine-tuning on the device would help: users whom the model never saw, with and without it.

    .venv/bin/python -m benchmarks.personalisation --data ml-100k

A model is trained on four fifths of the users. For each of the others a few numbers beside the model are learnt from
the own history, and the item after it is ranked. How to learn is chosen on one half of them and reported on the other.
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
    """Train, fine-tune, measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        overrides = {"example_gen.split": "leave_one_out", **inputs.overrides(options.set)}
        config = load_config(options.config, overrides)
        return inputs.find_data(options.data, options.cache_dir), config

    def work(asked: tuple[Path, PipelineConfig], output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.held_out_users import report

        return report(*asked, range(options.folds), options.targets, output, options.cache_dir, console)

    return program.run(options, "personalisation", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    parser.add_argument(
        "--folds",
        type=int,
        choices=range(1, 6),
        default=1,
        help="fifths of the users that are held out, one after another, a training each (default: 1)",
    )
    parser.add_argument(
        "--targets", type=int, default=3, help="last items of each user that are ranked, each by itself (default: 3)"
    )
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
