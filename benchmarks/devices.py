"""Measures training on one processor, on a GPU and with two workers: speed, and time to a Recall@10 on the eval split.

    .venv/bin/python -m benchmarks.devices --data path/to/ml-1m.zip

The GPU is skipped where TensorFlow sees none. Both workers run on this machine, so the time that they lose is the cost
of their communication. On two machines, each worker would have all cores of its own.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from components.trainer.settings import TrainerSettings
from pipeline.config import PipelineConfig, load_config, read_assignments
from pipeline.console import ConsoleObserver

GOAL = 0.30


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="interaction log")
    parser.add_argument("--goal", type=float, default=GOAL, metavar="R", help="Recall@10 (default: %(default)s)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> tuple[Path, PipelineConfig]:
        return inputs.find_data(options.data, options.cache_dir), load_config(None, read_assignments(options.set))

    def work(task: tuple[Path, PipelineConfig], output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.prepared import prepare

        data, config = task
        prepared = prepare(data, config, output, options.cache_dir, ConsoleObserver(console))
        variants: dict[str, list[dict[str, str]]] = {"one processor": [{"CUDA_VISIBLE_DEVICES": "-1"}]}
        if _sees_gpu():
            variants["one GPU"] = [{"CUDA_VISIBLE_DEVICES": "0"}]
        variants["two workers"] = [{**worker, "CUDA_VISIBLE_DEVICES": "-1"} for worker in _two_workers()]
        run_worker = functools.partial(
            train, config.trainer, options.goal, prepared.transform_graph, prepared.transformed
        )
        results = {}
        for name, environments in variants.items():
            with ProcessPoolExecutor(len(environments), multiprocessing.get_context("spawn")) as processes:
                chief, *_ = processes.map(run_worker, environments)
            results[name] = chief
            console.print(
                f"{name:14} {chief['positions_per_s']:8,.0f} positions a second, Recall@10 {chief['recall']:.4f} after "
                f"{chief['epochs']} epochs, {chief['seconds']:.0f} s"
            )
        return results

    return program.run(options, "devices", read, work)


def _sees_gpu() -> bool:
    code = "import tensorflow as tf; raise SystemExit(not tf.config.list_physical_devices('GPU'))"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def _two_workers() -> list[dict[str, str]]:
    """Returns the environment of each worker, the chief's first."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": number} for number in range(2)]
    return [{"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})} for task in tasks]


def train(
    settings: TrainerSettings,
    goal: float,
    transform_graph: Path,
    transformed: dict[str, Path],
    environment: dict[str, str],
) -> dict[str, Any]:
    """Trains until the goal is reached, as the one worker of a new process.

    Args:
        settings: of the Trainer.
        goal: Recall@10 on the eval split.
        transform_graph: folder of Transform's graph.
        transformed: folder of each transformed split.
        environment: variables that select the devices and workers. TensorFlow reads them when it starts, so nothing may
            import it earlier in this process.

    Returns:
        `recall`, `epochs`, `seconds` with evaluation, and `positions_per_s` without.
    """
    os.environ.update(environment)

    from components.trainer.devices import make_strategy

    strategy = make_strategy()

    from benchmarks.prepared import training_data
    from components.trainer.decisions import decide_size
    from components.trainer.fit import fit
    from components.trainer.input_pipeline import Timelines
    from components.trainer.model import Recommender
    from components.trainer.ranking import RankingMetrics, evaluate
    from components.trainer.run import build_model

    data = training_data(transform_graph, transformed)
    settings = decide_size(settings, data)
    with strategy.scope():
        model = build_model(settings, data)
    evaluations: list[float] = []  # seconds of each
    result: dict[str, Any] = {}
    started = time.monotonic()

    def stop_at_the_goal(model: Recommender, holdout: Timelines) -> RankingMetrics:
        evaluation_started = time.monotonic()
        metrics = evaluate(model, holdout)
        finished = time.monotonic()
        evaluations.append(finished - evaluation_started)
        positions = (len(data.train.items) - len(data.train)) * len(evaluations)
        result.update(
            recall=metrics.recall_at_10,
            epochs=len(evaluations),
            seconds=finished - started,
            positions_per_s=positions / (finished - started - sum(evaluations)),
        )
        if metrics.recall_at_10 >= goal:
            model.stop_training = True
        return metrics

    fit(model, data.train, data.holdout, stop_at_the_goal)
    return result


if __name__ == "__main__":
    sys.exit(main())
