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
from rich.table import Table

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
        return [_measure(items, *task, options, output / str(items), console) for items in options.items]

    return program.run(options, "large_catalogue", read, work)


def read_settings(config: Path, assignments: list[str]) -> tuple[TrainerSettings, int]:
    """Returns the Trainer's settings, without features that a random catalogue does not have, and the history length.

    Raises:
        ConfigError: the file or an assignment `KEY=VALUE` is invalid.
    """
    loaded = load_config(config, read_assignments(assignments))
    absent = {"item_features": (), "activity_features": (), "similar_items": 0}
    return loaded.trainer.decided().model_copy(update=absent), loaded.transform.history_length


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--items", type=int, nargs="+", default=[60_000, 100_000, 1_000_000], metavar="V", help="catalogue sizes"
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help="configuration (default: %(default)s)"
    )
    every = get_args(Precision)
    parser.add_argument("--precisions", nargs="+", choices=every, default=every, help="of the files (default: all)")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="answers per file (default: %(default)s)")
    parser.add_argument("--evaluate", type=int, default=0, metavar="USERS", help="also evaluate this many users")
    parser.add_argument("--only-evaluate", action="store_true", help="measure only the evaluation")
    inputs.add_common(parser)
    return parser


def _measure(
    items: int, settings: TrainerSettings, length: int, options: argparse.Namespace, folder: Path, console: Console
) -> dict[str, Any]:
    """Measures and prints the costs of a catalogue.

    Returns:
        `items`; unless the options ask for the evaluation only, the `files` and `client` of `catalogue_costs`, and
        `training`; and `evaluation`, if they ask for it.
    """
    from benchmarks.catalogue_costs import client_costs, evaluate, file_costs, prepare_evaluation
    from benchmarks.processes import in_new_process
    from benchmarks.random_catalogue import write_timelines
    from benchmarks.trainer_memory import train

    costs: dict[str, Any] = {"items": items}
    if not options.only_evaluate:
        files, smallest = file_costs(folder, items, settings, length, options.precisions, options.runs)
        title = f"{items:,} items, {settings.table_dimension} dimensions stored, N = {length}, best {settings.top_k}"
        console.print(_table(title, files))
        client = client_costs(folder / "client", smallest, items, settings, length)
        console.print(
            f"client: items.json {client['items_bytes'] / 1e6:.1f} MB, first answer after "
            f"{client['start_seconds']:.2f} s, memory +{client['memory_bytes'] / 1e6:.0f} MB, "
            f"+{client['peak_bytes'] / 1e6:.0f} MB at its peak"
        )
        assert settings.batch_positions is not None  # The settings are complete.
        users = STEPS * max(settings.batch_positions // settings.window, 1)
        write_timelines(folder / "train", users, items, settings.window + 1)
        training, peak_bytes = in_new_process(train, folder / "train", settings, items, STEPS)
        console.print(
            f"training: a step of {settings.batch_positions:,} positions, {settings.loss}, "
            f"{training['step_ms']:.0f} ms; peak memory {peak_bytes / GIB:.2f} GiB"
        )
        costs |= {"files": files, "client": client, "training": {**training, "peak_bytes": peak_bytes}}
    if options.evaluate:
        prepare_evaluation(folder / "evaluate", items, options.evaluate, settings, length)
        evaluation, peak_bytes = in_new_process(evaluate, folder / "evaluate")
        console.print(
            f"evaluation: {options.evaluate:,} users, each ranked among {items:,} items, in "
            f"{evaluation['seconds']:.0f} s; peak memory over all processes {peak_bytes / GIB:.2f} GiB"
        )
        costs["evaluation"] = {**evaluation, "peak_bytes": peak_bytes, "users": options.evaluate}
    return costs


def _table(title: str, files: list[dict[str, Any]]) -> Table:
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
    return program.table(title, columns, rows)


if __name__ == "__main__":
    sys.exit(main())
