"""Prints what smaller item tables cost in recall, and save in the file and in the time of an answer.

    .venv/bin/python -m benchmarks.item_tables --data ml-100k --config configs/large.yaml \
        --variant trainer.item_dimension=64 --variant trainer.item_dimension=16,trainer.dimension=16

Every variant goes through the whole pipeline with the same budget of fitting; Recall@10 is of the eval split, of the
files that the Pusher makes in each precision and runs with the client.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import inputs, program
from components.errors import StepError
from pipeline import steps
from pipeline.config import PipelineConfig, load_config


def main(arguments: list[str] | None = None) -> int:
    """Fit, measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, dict[str, PipelineConfig]]:
        # Each is pushed, whatever it reaches.
        names = ("min_targets", "min_recall_at_10", "min_lift_over_popularity", "min_lift_over_markov", "baseline_runs")
        gate = {f"gate.{name}": 0 for name in names}
        values = {**gate, "pusher.precision": "auto", **inputs.overrides(options.set)}
        configs = {
            variant: load_config(options.config, {**values, **inputs.overrides(variant.split(","))})
            for variant in options.variant
        }
        return inputs.find_data(options.data, options.cache_dir), configs

    def work(asked: tuple[Path, dict[str, PipelineConfig]], output: Path, console: Console) -> list[dict[str, Any]]:
        data, configs = asked
        found = []
        for variant, config in configs.items():
            found.append({"variant": variant, **_pushed(data, config, output, options.cache_dir, console)})
        console.print(_table(found))
        return found

    return program.run(options, "item_tables", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--config", type=Path, metavar="FILE", help="what all share (default: the pipeline's)")
    parser.add_argument("--variant", action="append", required=True, metavar="KEY=VALUE[,...]", help="give it again")
    inputs.add_common(parser)
    return parser


def _pushed(data: Path, config: PipelineConfig, output: Path, cache_dir: Path, console: Console) -> dict[str, Any]:
    """`precisions` of the version that was pushed, as `model_info.json` has them, and `users` of the eval split."""
    from benchmarks.prepared import run_steps
    from pipeline.console import ConsoleObserver

    (pushed,) = run_steps(data, config, output, cache_dir, ConsoleObserver(console), steps.PUSHER)[
        steps.PUSHER
    ].outputs["pushed_model"]
    if not pushed.custom_properties["pushed"].int_value:
        raise StepError("the model was not blessed, so that there is no file to measure")
    folder = Path(pushed.custom_properties["pushed_destination"].string_value)
    info = json.loads((folder / "model_info.json").read_text(encoding="utf-8"))
    return {"precisions": info["precisions"], "users": info["data"]["users"]}


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(title="Item tables, eval split", title_justify="left")
    table.add_column("")
    for name in ("precision", "size", "an answer", "Recall@10", "agreement"):
        table.add_column(name, justify="right")
    for one in found:
        for file in one["precisions"]:
            recall, size = file["recall_at_10"], file["size_bytes"] / 1e6
            error = math.sqrt(recall * (1 - recall) / one["users"])
            table.add_row(
                *(one["variant"], file["precision"], f"{size:.2f} MB", f"{file['latency_us']:.0f} µs"),
                *(f"{recall:.4f} ±{error:.4f}", f"{file['agreement_at_10']:.2%}"),
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
