"""Prints the pipeline's model beside baselines: one table a dataset and split, all ranked by the same rules.

    .venv/bin/python -m benchmarks.compare --data path/to/ml-1m.zip --split leave_one_out
    .venv/bin/python -m benchmarks.compare --data ml-100k --config configs/cnn.yaml --listing --shuffle-ties 1 2 3

Everything is chosen on the eval split and reported on the test split. `benchmarks/README.md` says what is printed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[list[Path], dict[str, list[PipelineConfig]]]:
        values = inputs.overrides(options.set)
        splits = inputs.SPLITS[:2] if options.split == "both" else (options.split,)
        configs = {
            split: [load_config(path, {**values, "example_gen.split": split}) for path in options.config or [None]]
            for split in splits
        }
        return [inputs.find_data(name, options.cache_dir) for name in options.data], configs

    def work(
        asked: tuple[list[Path], dict[str, list[PipelineConfig]]], output: Path, console: Console
    ) -> list[dict[str, Any]]:
        from benchmarks.comparison import Bench, report

        data, configs = asked
        return [
            report(
                path,
                split,
                configs[split],
                Bench(output, options.cache_dir, console),
                models=not options.no_model,
                listed=options.listing,
                seeds=options.shuffle_ties,
                models_anew=options.models and not options.no_model,
            )
            for path, split in itertools.product(data, configs)
        ]

    return program.run(options, "compare", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="PATH|NAME", help="ratings; may be repeated")
    parser.add_argument(
        "--split", choices=[*inputs.SPLITS, "both"], default="both", help="both: leave_one_out and temporal (default)"
    )
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help="a model; may be repeated (default: the pipeline's)",
    )
    parser.add_argument("--no-model", action="store_true", help="baselines alone")
    parser.add_argument("--listing", action="store_true", help="how much the site's listing order explains")
    parser.add_argument(
        "--shuffle-ties", type=int, nargs="+", default=[], metavar="SEED", help="repeat with ties in time shuffled"
    )
    parser.add_argument("--models", action="store_true", help="with --shuffle-ties: train the models anew too")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
