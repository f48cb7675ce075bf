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
from components.trainer.settings import TrainerSettings
from pipeline.config import load_config, read_assignments

CONFIG = Path(__file__).parent.parent / "configs" / "large.yaml"
FRAME_MS = 16
GIB = 2**30
STEPS = 20


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[TrainerSettings, int]:
        return read_settings(options.config, options.set)

    def work(task: tuple[TrainerSettings, int], output: Path, console: Console) -> list[dict[str, Any]]:
        results = []
        for items in options.items:
            folder = output / str(items)
            costs: dict[str, Any] = {"items": items}
            if not options.only_evaluate:
                costs["files"], costs["client"] = _device(folder, items, *task, options, console)
                costs["training"] = _training(folder / "train", items, task[0], console)
            if options.evaluate:
                costs["evaluation"] = _evaluation(folder / "evaluate", items, *task, options.evaluate, console)
            results.append(costs)
        return results

    return program.run(options, "large_catalogue", read, work)


def read_settings(config: Path, assignments: list[str]) -> tuple[TrainerSettings, int]:
    """Returns the Trainer's settings, without features that a random catalogue does not have, and the history length.

    Raises:
        ConfigError: the file or an assignment `KEY=VALUE` is invalid.
    """
    loaded = load_config(config, read_assignments(assignments))
    settings = loaded.trainer.decided().model_copy(update={"item_features": (), "activity_features": ()})
    return settings, loaded.transform.history_length


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


def _device(
    folder: Path, items: int, settings: TrainerSettings, length: int, options: argparse.Namespace, console: Console
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from benchmarks.catalogue_costs import client_costs, file_costs

    files, smallest = file_costs(folder, items, settings, length, options.precisions, options.runs)
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
    title = f"{items:,} items, {settings.table_dimension} dimensions stored, N = {length}, best {settings.top_k}"
    columns = ("", "size", "an answer", "90%", f"frame of {FRAME_MS} ms", "agreement with float32")
    console.print(program.table(title, columns, rows))
    client = client_costs(folder / "client", smallest, items, settings, length)
    console.print(
        f"client: items.json {client['items_bytes'] / 1e6:.1f} MB, first answer after {client['start_seconds']:.2f} s, "
        f"memory +{client['memory_bytes'] / 1e6:.0f} MB, +{client['peak_bytes'] / 1e6:.0f} MB at its peak"
    )
    return files, client


def _training(folder: Path, items: int, settings: TrainerSettings, console: Console) -> dict[str, Any]:
    from benchmarks.processes import in_new_process
    from benchmarks.random_catalogue import write_timelines
    from benchmarks.trainer_memory import train

    assert settings.batch_positions is not None  # The settings are complete.
    write_timelines(folder, STEPS * max(settings.batch_positions // settings.window, 1), items, settings.window + 1)
    costs, peak_bytes = in_new_process(train, folder, settings, items, STEPS)
    console.print(
        f"training: a step of {settings.batch_positions:,} positions, {settings.loss}, {costs['step_ms']:.0f} ms; "
        f"peak memory {peak_bytes / GIB:.2f} GiB"
    )
    return {**costs, "peak_bytes": peak_bytes}


def _evaluation(
    folder: Path, items: int, settings: TrainerSettings, length: int, users: int, console: Console
) -> dict[str, Any]:
    from benchmarks.catalogue_costs import evaluate, prepare_evaluation
    from benchmarks.processes import in_new_process

    prepare_evaluation(folder, items, users, settings, length)
    costs, peak_bytes = in_new_process(evaluate, folder)
    console.print(
        f"evaluation: {users:,} users, each ranked among {items:,} items, in {costs['seconds']:.0f} s; "
        f"peak memory over all processes {peak_bytes / GIB:.2f} GiB"
    )
    return {**costs, "peak_bytes": peak_bytes, "users": users}


if __name__ == "__main__":
    sys.exit(main())
