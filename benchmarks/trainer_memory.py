"""Prints how much memory the Trainer takes for many users, and how fast it reads and trains.

    .venv/bin/python -m benchmarks.trainer_memory --users 10000000 --length 4

The transformed examples are generated, with items of the popularity of Zipf's law: memory and time are no matter of
learning. The Trainer is a process of its own, which reads all of them, cuts an epoch into batches and trains for some
steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import PipelineConfig, load_config

USERS_A_FILE = 500_000
FOUND = "found.json"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--length", type=int, default=4, metavar="N", help="events of each (default: %(default)s)")
    parser.add_argument("--items", type=int, default=100_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="of training (default: %(default)s)")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)

    def read() -> PipelineConfig:
        return load_config(None, {"trainer.loss": "sampled_softmax", **inputs.overrides(options.set)})

    def work(config: PipelineConfig, output: Path, console: Console) -> dict[str, Any]:
        folder = output / "examples"
        folder.mkdir(parents=True, exist_ok=True)
        write_examples(folder, options.users, options.length, options.items)
        asked = {"settings": config.trainer.model_dump(mode="json"), "items": options.items, "steps": options.steps}
        (output / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "benchmarks.trainer_memory_part", str(output)], check=True)
        found: dict[str, Any] = json.loads((output / FOUND).read_text(encoding="utf-8"))
        console.print(
            f"{options.users:,} users with {options.length} events: {found['peak_gib']:.2f} GiB at the peak, "
            f"read in {found['read_s']:.0f} s, an epoch cut in {found['cut_s']:.1f} s, "
            f"{found['positions_per_s']:,.0f} positions a second"
        )
        return found

    return program.run(options, "trainer_memory", read, work)


def write_examples(folder: Path, users: int, length: int, items: int) -> None:
    """Writes transformed examples of timelines of one length."""
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    from components import features
    from components.example_gen.sink import COMPRESSION_LEVEL

    random, encoder = np.random.default_rng(1), RecordBatchToExamplesEncoder()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION_LEVEL)
    for first in range(0, users, USERS_A_FILE):
        count = min(USERS_A_FILE, users - first)
        bounds = pa.array(np.arange(count + 1) * length)
        popular = np.minimum(items ** random.random(count * length), items).astype(np.int64) - 1 + features.FIRST_INDEX
        ratings = np.ones(len(popular), np.float32)
        times = 1_600_000_000 + random.integers(0, 10**8, count * length)
        columns = {
            features.TIMELINE: pa.LargeListArray.from_arrays(bounds, pa.array(popular)),
            features.TIMELINE_RATING: pa.LargeListArray.from_arrays(bounds, pa.array(ratings)),
            features.TIMELINE_TIME: pa.LargeListArray.from_arrays(bounds, pa.array(times)),
            features.TARGET: pa.LargeListArray.from_arrays(
                pa.array(np.arange(count + 1)), pa.array(np.zeros(count, np.int64))
            ),
        }
        with tf.io.TFRecordWriter(str(folder / f"{first:010}.gz"), options) as writer:
            for record in encoder.encode(pa.RecordBatch.from_pydict(columns)):
                writer.write(record)


def measure(output: Path) -> None:
    """Reads and trains as the Trainer does."""
    import resource

    import keras
    import numpy as np
    import tensorflow as tf

    from components import features
    from components.trainer.fit import ADAM_BETA_2, MAX_GRADIENT_NORM
    from components.trainer.input_pipeline import Batches, read_timelines, target_weights
    from components.trainer.lazy_adam import LazyAdam
    from components.trainer.model import Recommender
    from components.trainer.settings import TrainerSettings

    asked = json.loads((output / "asked.json").read_text(encoding="utf-8"))
    settings = TrainerSettings(**asked["settings"]).decided()

    class Output:
        """The features of transformed examples."""

        def transformed_feature_spec(self) -> dict[str, Any]:
            return {
                features.TIMELINE: tf.io.VarLenFeature(tf.int64),
                features.TIMELINE_RATING: tf.io.VarLenFeature(tf.float32),
                features.TIMELINE_TIME: tf.io.VarLenFeature(tf.int64),
                features.TIMELINE_WEIGHT: tf.io.VarLenFeature(tf.float32),
                features.TARGET: tf.io.FixedLenFeature([1], tf.int64),
            }

    started = time.monotonic()
    train = read_timelines([str(output / "examples" / "*.gz")], Output())
    read = time.monotonic()
    batches = Batches(train, settings.window, settings.batch_positions, target_weights(train, settings), settings.seed)
    steps = batches.steps
    cut = time.monotonic()
    counts = np.maximum(np.bincount(train.items, minlength=asked["items"] + features.FIRST_INDEX), 1)
    model = Recommender(settings, settings.window, counts)
    model.compile(LazyAdam(settings.learning_rate, beta_2=ADAM_BETA_2, max_norm=MAX_GRADIENT_NORM))
    model.optimizer.build(model.trainable_variables)

    class Clock(keras.callbacks.Callback):
        """Stops after some steps, of which the first, which traces, does not count."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            float(logs["loss"])
            if batch == 0:
                self.started = time.monotonic()
            if batch == asked["steps"]:
                self.seconds = time.monotonic() - self.started
                self.model.stop_training = True

    clock = Clock()
    model.fit(batches.dataset(), epochs=1, callbacks=[clock], verbose=0, shuffle=False)
    positions = (len(train.items) - len(train)) / steps
    found = {
        "read_s": read - started,
        "cut_s": cut - read,
        "positions_per_s": positions * asked["steps"] / clock.seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    (output / FOUND).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
