"""Measures what a warm start saves: the time until a fit has the eval Recall@10 that one with fresh weights reaches.

    .venv/bin/python -m benchmarks.warm_start --data ml-100k --split temporal --output output/warm_start

The pipeline runs on what came before the newest tenth of the log, then on all of it twice: with the weights of the
first run, and with fresh ones. `--data` needs real times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        settings = {
            **{"name": "warm_start", "example_gen.split": options.split, "refit": False, "pusher.precision": "float32"},
            **{"pusher.check_examples": 100, "validation.stop": False, **inputs.overrides(options.set)},
        }
        return inputs.find_data(options.data, options.cache_dir), load_config(options.config, settings)

    def work(asked: tuple[Path, PipelineConfig], output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.replayed import fits_of

        measured = compare(fits_of(*asked, options.newest, output, options.cache_dir, console))
        console.print(_table(measured))
        return measured

    return program.run(options, "warm_start", read, work)


def compare(histories: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns how soon a fit with earlier weights is as good as one with fresh weights.

    Args:
        histories: the epochs, as `components.trainer.fit.Epoch` has them, of the fits `cold` and `warm`.

    Returns:
        By fit `recall_at_10`, the best on the eval split, `epochs` and `seconds` until the fit has the best recall of
        the cold one, None where it never has it; and `ratio`, of the seconds.
    """
    goal = max(epoch["recall_at_10"] for epoch in histories["cold"])
    measured: dict[str, Any] = {"goal": goal}
    for name, epochs in histories.items():
        reached = next((epoch for epoch in epochs if epoch["recall_at_10"] >= goal), None)
        measured[name] = {
            "recall_at_10": max(epoch["recall_at_10"] for epoch in epochs),
            "epochs": reached and reached["epoch"],
            "seconds": reached and reached["seconds"],
            "first_epoch": epochs[0]["recall_at_10"],
        }
    warm, cold = measured["warm"]["seconds"], measured["cold"]["seconds"]
    measured["ratio"] = None if warm is None else warm / cold
    return measured


def _table(measured: dict[str, Any]) -> Table:
    goal = measured["goal"]
    table = Table(
        "weights", "best", "after the first epoch", f"epochs to {goal:.4f}", "seconds", title="Eval Recall@10"
    )
    for name in ("cold", "warm"):
        row = measured[name]
        reached = [f"{row[key]:g}" if row[key] is not None else "never" for key in ("epochs", "seconds")]
        table.add_row(name, f"{row['recall_at_10']:.4f}", f"{row['first_epoch']:.4f}", *reached)
    ratio = measured["ratio"]
    table.caption = "" if ratio is None else f"warm takes {ratio:.2f} of the time"
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="a log with real times")
    parser.add_argument("--split", choices=["temporal", "sessions"], default="temporal", help="default: temporal")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the model (default: the pipeline's)")
    parser.add_argument("--newest", type=float, default=0.1, help="share of the log that the first run lacks (0.1)")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
