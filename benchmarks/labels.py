"""Prints what other labels than "the user rated it" do: thresholds and weights by rating.

    .venv/bin/python -m benchmarks.labels --data ml-100k --split temporal

The same model is trained with each kind of label. Recall@10 is given for all test targets, and for those that the user
liked: a model that is to recommend what people like, not what they watch, should be better on these. `--data` needs
real ratings.
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
    kinds: dict[str, dict[str, Any]] = {
        "every rating": {},
        f"ratings of {options.liked:g} and up": {"trainer.min_target_rating": options.liked},
        "weighted by rating": {"trainer.target_weight": "rating"},
    }

    def read() -> tuple[Path, dict[str, list[PipelineConfig]]]:
        values = {"example_gen.split": options.split, **inputs.overrides(options.set)}
        configs = {
            kind: [
                load_config(options.config, {**values, **labels, "trainer.seed": seed})
                for seed in range(1, options.seeds + 1)
            ]
            for kind, labels in kinds.items()
        }
        return inputs.find_data(options.data, options.cache_dir), configs

    def work(
        asked: tuple[Path, dict[str, list[PipelineConfig]]], output: Path, console: Console
    ) -> list[dict[str, Any]]:
        from benchmarks.label_kinds import report

        data, configs = asked
        return report(data, configs, options.liked, output, options.cache_dir, console)

    return program.run(options, "labels", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--split", choices=inputs.SPLITS, default="temporal", help="default: temporal")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    parser.add_argument("--liked", type=float, default=4.0, help="least rating of what is liked (default: 4)")
    parser.add_argument("--seeds", type=int, default=3, help="models of each kind (default: 3)")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
