"""Measures the memory of the Trainer for many users, and its speed of reading and training.

    .venv/bin/python -m benchmarks.trainer_memory --users 10000000 --length 4

The transformed examples are generated, and the popularity of items follows Zipf's law: memory and time do not depend on
the learned weights. A new process reads all examples, cuts an epoch into batches and trains for some steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from components.trainer.settings import TrainerSettings
from pipeline.config import PipelineConfig, load_config, read_assignments


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--length", type=int, default=4, metavar="N", help="interactions per user (default: 4)")
    parser.add_argument("--items", type=int, default=100_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="training steps (default: %(default)s)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> PipelineConfig:
        return load_config(None, {"trainer.loss": "sampled_softmax", **read_assignments(options.set)})

    def work(config: PipelineConfig, output: Path, console: Console) -> dict[str, Any]:
        from benchmarks.processes import in_new_process
        from benchmarks.random_catalogue import write_timelines

        folder = output / "examples"
        write_timelines(folder, options.users, options.items, options.length)
        settings = config.trainer.decided().model_copy(update={"similar_items": 0})  # Random items are not similar.
        costs, peak_bytes = in_new_process(train, folder, settings, options.items, options.steps)
        result = {**costs, "peak_gib": peak_bytes / 2**30}
        console.print(
            f"{options.users:,} users with {options.length} interactions: {result['peak_gib']:.2f} GiB at the peak, "
            f"read in {result['read_s']:.0f} s, an epoch cut in {result['cut_s']:.1f} s, "
            f"{result['positions_per_s']:,.0f} positions a second"
        )
        return result

    return program.run(options, "trainer_memory", read, work)


def train(folder: Path, settings: TrainerSettings, items: int, steps: int) -> dict[str, float]:
    """Reads examples, cuts an epoch into batches and trains for some steps, as the Trainer does.

    Args:
        folder: of the files of `random_catalogue.write_timelines`.
        settings: of the Trainer, complete.
        items: number of items.
        steps: number of training steps.

    Returns:
        `read_s`, `cut_s`, the median `step_ms`, and `positions_per_s` of training.
    """
    import numpy as np
    import tensorflow as tf

    from benchmarks.random_catalogue import IndicesAsIds, item_counts
    from components.trainer.fit import ADAM_BETA_2, MAX_GRADIENT_NORM
    from components.trainer.input_pipeline import Batches, read_timelines, target_weights
    from components.trainer.lazy_adam import LazyAdam
    from components.trainer.model import RecommenderModel

    started = time.monotonic()
    timelines = read_timelines([str(folder / "*.gz")], IndicesAsIds(settings.window))  # type: ignore[arg-type]
    read = time.monotonic()
    assert settings.batch_positions is not None  # The settings are complete.
    weights = target_weights(timelines, settings)
    batches = Batches(timelines, settings.window, settings.batch_positions, weights, settings.seed)
    positions_per_step = (len(timelines.items) - len(timelines)) / batches.steps
    cut = time.monotonic()
    model = RecommenderModel(settings, settings.window, item_counts(items))
    model.compile(LazyAdam(settings.learning_rate, beta_2=ADAM_BETA_2, max_norm=MAX_GRADIENT_NORM))
    model.optimizer.build(model.trainable_variables)
    train_step = tf.function(model.train_step, reduce_retracing=True, jit_compile=settings.jit_compile)
    ends = []
    for batch in batches.dataset().repeat().take(2 + steps):
        float(train_step(batch)["loss"])
        ends.append(time.monotonic())
    ends = ends[1:]  # The first two steps trace.
    return {
        "read_s": read - started,
        "cut_s": cut - read,
        "step_ms": 1000 * float(np.median(np.diff(ends))),
        "positions_per_s": positions_per_step * steps / (ends[-1] - ends[0]),
    }


if __name__ == "__main__":
    sys.exit(main())
