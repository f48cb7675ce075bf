"""Measures the cost of large catalogues on the device, in training and in the evaluation.

    .venv/bin/python -m benchmarks.large_catalogue --items 60000 100000 1000000
    .venv/bin/python -m benchmarks.large_catalogue --items 100000 --evaluate 100000

Models have random weights, users have random histories, and the popularity of items follows Zipf's law: costs do not
depend on the learned weights. For each size it prints

- the file in each precision: its size, the time of an answer to a full history on one thread, compared with the 16 ms
  of a frame, and the share of the float32 file's best ten that it also has;
- the client: size of `items.json`, time from the start of Python to the first answer, memory that loading adds;
- a training step, and the peak memory of its process;
- with `--evaluate USERS`, the exact ranking of that many test users among all items by the Evaluator's executor: its
  time, and the peak memory over all processes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from benchmarks import inputs, program
from components.pusher.settings import Precision
from pipeline.config import PipelineConfig, load_config, read_assignments

CONFIG = Path(__file__).parent.parent / "configs" / "large.yaml"
FRAME_MS = 16
GIB = 2**30


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> PipelineConfig:
        return load_config(options.config, read_assignments(options.set))

    def work(config: PipelineConfig, output: Path, console: Console) -> list[dict[str, Any]]:
        results = []
        for items in options.items:
            folder = output / str(items)
            costs: dict[str, Any] = {"items": items}
            if not options.only_evaluate:
                costs["files"], costs["client"] = _device(items, config, options, folder, console)
                costs["training"] = _training(items, config, folder, console)
            if options.evaluate:
                costs["evaluation"] = _evaluation(items, options.evaluate, config, folder, console)
            results.append(costs)
        return results

    return program.run(options, "large_catalogue", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--items", type=int, nargs="+", default=[60_000, 100_000, 1_000_000], metavar="V", help="catalogue sizes"
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help="configuration (default: %(default)s)"
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=get_args(Precision),
        default=get_args(Precision),
        help="of the files (default: all)",
    )
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="answers per file (default: %(default)s)")
    parser.add_argument("--evaluate", type=int, default=0, metavar="USERS", help="also evaluate this many users")
    parser.add_argument("--only-evaluate", action="store_true", help="measure only the evaluation")
    inputs.add_common(parser)
    return parser


def _settings(config: PipelineConfig) -> Any:
    """Returns the Trainer's settings without item and activity features, which a random catalogue does not have."""
    return config.trainer.decided().model_copy(update={"item_features": (), "activity_features": ()})


def _device(
    items: int, config: PipelineConfig, options: argparse.Namespace, folder: Path, console: Console
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from benchmarks.random_files import client_costs, file_costs

    settings, history_length = _settings(config), config.transform.history_length
    files, smallest = file_costs(folder, items, settings, history_length, options.precisions, options.runs)
    title = (
        f"{items:,} items, {settings.table_dimension} dimensions stored, N = {history_length}, best {settings.top_k}"
    )
    rows = [
        (
            file["precision"],
            f"{file['size_bytes'] / 1e6:.1f} MB",
            f"{file['median_ms']:.2f} ms",
            f"{file['p90_ms']:.2f} ms",
            "within" if file["median_ms"] <= FRAME_MS else "over",
            "" if file["agreement_at_10"] is None else f"{file['agreement_at_10']:.2%}",
        )
        for file in files
    ]
    columns = ("", "size", "an answer", "90%", f"frame of {FRAME_MS} ms", "agreement with float32")
    console.print(program.table(title, columns, rows))
    client = client_costs(folder / "client", smallest, items, settings, history_length)
    console.print(
        f"client: items.json {client['items_bytes'] / 1e6:.1f} MB, first answer after {client['start_seconds']:.2f} s, "
        f"memory +{client['memory_bytes'] / 1e6:.0f} MB, +{client['peak_bytes'] / 1e6:.0f} MB at its peak"
    )
    return files, client


def _training(items: int, config: PipelineConfig, folder: Path, console: Console) -> dict[str, Any]:
    from benchmarks.catalogue_costs import run_process

    settings = _settings(config)
    request = {
        "settings": settings.model_dump(mode="json"),
        "history_length": config.transform.history_length,
        "items": items,
    }
    result = run_process("train", folder / "train", request)
    console.print(
        f"training: a step of {settings.batch_positions:,} positions, {settings.loss}, {result['step_ms']:.0f} ms; "
        f"peak memory {result['peak_bytes'] / GIB:.2f} GiB"
    )
    return result


def _evaluation(items: int, users: int, config: PipelineConfig, folder: Path, console: Console) -> dict[str, Any]:
    from benchmarks.catalogue_costs import prepare_evaluation, run_process

    folder /= "evaluate"
    prepare_evaluation(folder, items, users, _settings(config), config.transform.history_length)
    result = run_process("evaluate", folder, {})
    console.print(
        f"evaluation: {users:,} users, each ranked among {items:,} items, in {result['seconds']:.0f} s; "
        f"peak memory over all processes {result['peak_bytes'] / GIB:.2f} GiB"
    )
    return {**result, "users": users}


if __name__ == "__main__":
    sys.exit(main())
