"""Measures the memory of the Trainer for many users, and its speed of reading and training.

    .venv/bin/python -m benchmarks.trainer_memory --users 10000000 --length 4

The transformed examples are generated, and the popularity of items follows Zipf's law: memory and time do not depend on
the learned weights. A new process reads all examples, cuts an epoch into batches and trains for some steps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from components.trainer.settings import TrainerSettings
from pipeline.config import PipelineConfig, load_config, read_assignments

USERS_PER_FILE = 500_000


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
        folder = output / "examples"
        folder.mkdir(parents=True, exist_ok=True)
        write_examples(folder, options.users, options.length, options.items)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
            result = processes.submit(measure, folder, config.trainer.decided(), options.items, options.steps).result()
        console.print(
            f"{options.users:,} users with {options.length} interactions: {result['peak_gib']:.2f} GiB at the peak, "
            f"read in {result['read_s']:.0f} s, an epoch cut in {result['cut_s']:.1f} s, "
            f"{result['positions_per_s']:,.0f} positions a second"
        )
        return result

    return program.run(options, "trainer_memory", read, work)


def write_examples(folder: Path, users: int, length: int, items: int) -> None:
    """Writes transformed examples whose timelines all have the same length."""
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    from components import features
    from components.example_gen.sink import COMPRESSION_LEVEL

    random, encoder = np.random.default_rng(1), RecordBatchToExamplesEncoder()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION_LEVEL)
    for first in range(0, users, USERS_PER_FILE):
        count = min(USERS_PER_FILE, users - first)
        bounds = pa.array(np.arange(count + 1) * length)
        indices = np.minimum(items ** random.random(count * length), items).astype(np.int64) - 1 + features.FIRST_INDEX
        ratings = np.ones(len(indices), np.float32)
        times = 1_600_000_000 + random.integers(0, 10**8, count * length)
        columns = {
            features.TIMELINE: pa.LargeListArray.from_arrays(bounds, pa.array(indices)),
            features.TIMELINE_RATING: pa.LargeListArray.from_arrays(bounds, pa.array(ratings)),
            features.TIMELINE_TIME: pa.LargeListArray.from_arrays(bounds, pa.array(times)),
            features.TARGET: pa.LargeListArray.from_arrays(
                pa.array(np.arange(count + 1)), pa.array(np.zeros(count, np.int64))
            ),
        }
        with tf.io.TFRecordWriter(str(folder / f"{first:010}.gz"), options) as writer:
            for record in encoder.encode(pa.RecordBatch.from_pydict(columns)):
                writer.write(record)


def measure(folder: Path, settings: TrainerSettings, items: int, steps: int) -> dict[str, float]:
    """Reads examples and trains as the Trainer does, in a new process.

    Args:
        folder: of the examples.
        settings: of the Trainer.
        items: number of items.
        steps: number of training steps.

    Returns:
        `read_s`, `cut_s`, `positions_per_s` of training, and `peak_gib`, the peak memory of this process.
    """
    import resource

    import keras
    import numpy as np
    import tensorflow as tf

    from components import features
    from components.trainer.fit import ADAM_BETA_2, MAX_GRADIENT_NORM
    from components.trainer.input_pipeline import Batches, read_timelines, target_weights
    from components.trainer.lazy_adam import LazyAdam
    from components.trainer.model import RecommenderModel

    class TransformOutput:
        """The features of transformed examples."""

        def transformed_feature_spec(self) -> dict[str, Any]:
            return {
                features.TIMELINE: tf.io.VarLenFeature(tf.int64),
                features.TIMELINE_RATING: tf.io.VarLenFeature(tf.float32),
                features.TIMELINE_TIME: tf.io.VarLenFeature(tf.int64),
                features.TIMELINE_WEIGHT: tf.io.VarLenFeature(tf.float32),
                features.TARGET: tf.io.FixedLenFeature([1], tf.int64),
            }

    class Timer(keras.callbacks.Callback):
        """Times `steps` training steps after the first, which traces, and stops the fit."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            float(logs["loss"])
            if batch == 0:
                self.started = time.monotonic()
            if batch == steps:
                self.seconds = time.monotonic() - self.started
                self.model.stop_training = True

    started = time.monotonic()
    train = read_timelines([str(folder / "*.gz")], TransformOutput())  # type: ignore[arg-type]
    read = time.monotonic()
    assert settings.batch_positions is not None  # decided above
    batches = Batches(train, settings.window, settings.batch_positions, target_weights(train, settings), settings.seed)
    positions_per_step = (len(train.items) - len(train)) / batches.steps
    cut = time.monotonic()
    counts = np.maximum(np.bincount(train.items, minlength=items + features.FIRST_INDEX), 1)
    model = RecommenderModel(settings, settings.window, counts)
    model.compile(LazyAdam(settings.learning_rate, beta_2=ADAM_BETA_2, max_norm=MAX_GRADIENT_NORM))
    model.optimizer.build(model.trainable_variables)
    timer = Timer()
    model.fit(batches.dataset(), epochs=1, callbacks=[timer], verbose=0, shuffle=False)
    return {
        "read_s": read - started,
        "cut_s": cut - read,
        "positions_per_s": positions_per_step * steps / timer.seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    sys.exit(main())
