"""Prints how long a training step takes: as it is, compiled by XLA, in mixed precision, and both, for each encoder.

    .venv/bin/python -m benchmarks.training_step

Models with the same settings take turns on the same batch of random items, of the size of MovieLens 1M's catalogue, on
the device that TensorFlow chooses: the GPU where it sees one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config

CONFIGS = Path(__file__).parent.parent / "configs"
ITEMS = 3416
VARIANTS: dict[str, dict[str, bool]] = {
    "plain": {},
    "XLA": {"jit_compile": True},
    "mixed precision": {"mixed_precision": True},
    "both": {"jit_compile": True, "mixed_precision": True},
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="of each (default: %(default)s)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> dict[str, PipelineConfig]:
        values = inputs.overrides(options.set)
        names = ("bow", "cnn", "lstm", "transformer")
        return {"default": load_config(None, values)} | {
            name: load_config(CONFIGS / f"{name}.yaml", values) for name in names
        }

    def work(configs: dict[str, PipelineConfig], output: Path, console: Console) -> list[dict[str, Any]]:
        return [_measure(name, config, options.steps, console) for name, config in configs.items()]

    return program.run(options, "training_step", read, work)


def _measure(name: str, config: PipelineConfig, steps: int, console: Console) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    from components import features
    from components.trainer.input_pipeline import ITEMS as ITEM_COLUMN
    from components.trainer.input_pipeline import RATINGS, TIMES
    from components.trainer.lazy_adam import LazyAdam
    from components.trainer.model import Recommender

    settings = config.trainer.decided()
    random = np.random.default_rng(0)
    shape = (max(settings.batch_positions // settings.window, 1), settings.window)
    items = tf.constant(random.integers(features.FIRST_INDEX, ITEMS, shape), tf.int32)
    activities = {ITEM_COLUMN: items, RATINGS: tf.ones(shape), TIMES: tf.zeros(shape, tf.int32)}
    batch = (activities, tf.roll(items, -1, axis=1), tf.ones(shape))
    counts = np.concatenate([np.zeros(features.FIRST_INDEX), np.arange(ITEMS, 0, -1)]).astype(np.int64)
    train_steps = {}
    for variant, changes in VARIANTS.items():
        model = Recommender(settings.model_copy(update=changes), config.transform.history_length, counts)
        model.compile(LazyAdam())
        model.optimizer.build(model.trainable_variables)
        train_steps[variant] = tf.function(model.train_step, jit_compile=changes.get("jit_compile", False))
        train_steps[variant](batch)  # Traces, and compiles.
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(steps):
        for variant, train_step in train_steps.items():
            started = time.perf_counter()
            float(train_step(batch)["loss"])
            seconds[variant].append(time.perf_counter() - started)
    medians = {variant: 1000 * statistics.median(times) for variant, times in seconds.items()}
    ratios = "   ".join(f"{variant} x {medians[variant] / medians['plain']:.2f}" for variant in list(VARIANTS)[1:])
    console.print(f"{name:<12} {medians['plain']:7.1f} ms   {ratios}")
    return {"model": name, "milliseconds": medians}


if __name__ == "__main__":
    sys.exit(main())
