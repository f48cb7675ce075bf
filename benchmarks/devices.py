"""Prints how fast one processor, a GPU and two workers train, and how soon they reach a Recall@10 on the eval split.

    .venv/bin/python -m benchmarks.devices --data path/to/ml-1m.zip

The GPU is left out where TensorFlow sees none. The two workers share this machine, so that the time they lose is the
cost of their talking; on machines of their own each would have all of its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config

GOAL = 0.30


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--goal", type=float, default=GOAL, metavar="R", help="Recall@10 (default: %(default)s)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        return inputs.find_data(options.data, options.cache_dir), load_config(None, inputs.overrides(options.set))

    def work(asked: tuple[Path, PipelineConfig], output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.prepared import prepare
        from pipeline.console import ConsoleObserver

        data, config = asked
        prepared = prepare(data, config, output, options.cache_dir, ConsoleObserver(console))
        places = {
            "settings": config.trainer.model_dump(mode="json"),
            "goal": options.goal,
            "graph": str(prepared.transform_graph),
            "transformed": {split: str(folder) for split, folder in prepared.transformed.items()},
        }
        (output / "asked.json").write_text(json.dumps(places), encoding="utf-8")
        variants: dict[str, list[dict[str, str]]] = {"one processor": [{"CUDA_VISIBLE_DEVICES": "-1"}]}
        if _sees_gpu():
            variants["one GPU"] = [{"CUDA_VISIBLE_DEVICES": "0"}]
        variants["two workers"] = [{**worker, "CUDA_VISIBLE_DEVICES": "-1"} for worker in _two_workers()]
        results = {}
        for name, environments in variants.items():
            results[name] = _run(output, environments)
            found = results[name]
            console.print(
                f"{name:14} {found['positions_per_s']:8,.0f} positions a second, Recall@10 {found['recall']:.4f} after "
                f"{found['epochs']} epochs, {found['seconds']:.0f} s"
            )
        return results

    return program.run(options, "devices", read, work)


def _sees_gpu() -> bool:
    code = "import tensorflow as tf; raise SystemExit(not tf.config.list_physical_devices('GPU'))"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def _two_workers() -> list[dict[str, str]]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": number} for number in range(2)]
    return [{"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})} for task in tasks]


def _run(output: Path, environments: list[dict[str, str]]) -> dict[str, Any]:
    """Runs the workers of a variant, and returns what the first of them measured."""
    command = [sys.executable, "-m", "benchmarks.devices_part", str(output)]
    processes = [subprocess.Popen(command, env={**os.environ, **more}) for more in environments]
    for process in processes:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)
    found: dict[str, Any] = json.loads((output / "found.json").read_text(encoding="utf-8"))
    return found


def measure(output: Path) -> None:
    """Trains until the goal is reached, as one of the workers."""
    from components.trainer.devices import is_chief, make_strategy

    strategy = make_strategy()

    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.trainer import fit as fitting
    from components.trainer.input_pipeline import Timelines
    from components.trainer.model import Recommender
    from components.trainer.ranking import RankingMetrics, evaluate
    from components.trainer.run import build_model, decide_size, read_training_data
    from components.trainer.settings import TrainerSettings

    asked = json.loads((output / "asked.json").read_text(encoding="utf-8"))
    folders = asked["transformed"]
    data = read_training_data(
        FnArgs(
            transform_graph_path=asked["graph"],
            train_files=[f"{folders['train']}/*", f"{folders['catalog']}/*"],
            eval_files=[f"{folders['eval']}/*"],
        )
    )
    settings = decide_size(TrainerSettings(**asked["settings"]), data)
    with strategy.scope():
        model = build_model(settings, data)
    measuring: list[float] = []
    started = time.monotonic()
    found: dict[str, Any] = {}

    def stop_at_the_goal(model: Recommender, holdout: Timelines) -> RankingMetrics:
        before = time.monotonic()
        metrics = evaluate(model, holdout)
        measuring.append(time.monotonic() - before)
        training = before - started - sum(measuring[:-1])
        positions = (len(data.train.items) - len(data.train)) * len(measuring)
        found.update(
            recall=metrics.recall_at_10,
            epochs=len(measuring),
            seconds=time.monotonic() - started,
            positions_per_s=positions / training,
        )
        if metrics.recall_at_10 >= asked["goal"]:
            model.stop_training = True
        return metrics

    fitting.fit(model, data.train, data.holdout, stop_at_the_goal)
    if is_chief():
        (output / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
