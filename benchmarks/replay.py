"""Replays a log in time: measures the benefit of retraining, and the drift of the data.

    .venv/bin/python -m benchmarks.replay --data ml-100k --periods 6 --plot docs/replay.svg

The log is cut into growing prefixes. The pipeline runs on each of them, in one folder, as on a schedule. The new model
and the first one, which is never retrained, are tested on the interactions of the next period. `--data` needs real
times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
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
        from benchmarks.replayed import report

        return report(*task, options, output, console)

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


if __name__ == "__main__":
    sys.exit(main())
