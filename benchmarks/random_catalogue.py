"""Writes models with random weights and examples of random users, of any size.

Time and memory do not depend on what a model learns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components import features
from components.example_gen.sink import COMPRESSION_LEVEL
from components.trainer.model import RecommenderModel
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings

MAX_COUNT = 1e6  # interactions with the most popular item; the n-th item has 1 / n of them
USERS_PER_FILE = 500_000
FIRST_TIME, TIME_SPAN = 1_600_000_000, 10**8  # seconds


class IndicesAsIds:
    """A substitute for a `tft.TFTransformOutput`, for raw examples that hold indices.

    Args:
        history_length: number of items N.
    """

    def __init__(self, history_length: int):
        self._history_length = history_length

    def transformed_feature_spec(self) -> dict[str, Any]:
        """See `tft.TFTransformOutput`."""
        return {
            features.TIMELINE: tf.io.VarLenFeature(tf.int64),
            features.TIMELINE_RATING: tf.io.VarLenFeature(tf.float32),
            features.TIMELINE_TIME: tf.io.VarLenFeature(tf.int64),
            features.TIMELINE_WEIGHT: tf.io.VarLenFeature(tf.float32),
            features.TARGET: tf.io.FixedLenFeature([1], tf.int64),
        }

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        """See `tft.TFTransformOutput`."""
        return dict.fromkeys((features.ITEM_ID, features.TARGET_ID), tf.io.VarLenFeature(tf.int64))

    def transform_features_layer(self) -> Callable[[dict[str, tf.SparseTensor]], dict[str, tf.Tensor]]:
        """See `tft.TFTransformOutput`."""
        length = self._history_length

        def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            timeline = tf.RaggedTensor.from_sparse(raw[features.ITEM_ID])
            return {
                features.TIMELINE: raw[features.ITEM_ID],
                features.HISTORY: timeline[:, -length:].to_tensor(0, shape=(None, length)),
                features.TARGET: tf.sparse.to_dense(raw[features.TARGET_ID]),
            }

        return transform


def item_counts(items: int) -> np.ndarray:
    """Returns the number of train interactions of each item index by Zipf's law, int64 [V]."""
    counts = np.maximum(MAX_COUNT / np.arange(1, items + 1), 1)
    return np.concatenate([np.zeros(features.FIRST_INDEX), counts]).astype(np.int64)


def popular_items(random: np.random.Generator, items: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns random item indices, int64, uniform on a logarithmic scale: low indices are popular."""
    return np.exp(random.uniform(0, np.log(items), shape)).astype(np.int64) - 1 + features.FIRST_INDEX


def save_model(folder: Path, items: int, settings: TrainerSettings, history_length: int) -> None:
    """Writes a SavedModel with random weights."""
    model = RecommenderModel(settings, history_length, item_counts(items))
    ServingModel(model, IndicesAsIds(history_length)).save(str(folder))  # type: ignore[arg-type]


def write_raw_examples(file: Path, users: int, items: int, length: int) -> None:
    """Writes raw examples, as ExampleGen does: random users with `length` items and a target each."""
    indices = popular_items(np.random.default_rng(0), items, (users, length + 1))
    buckets = np.array([bucket.encode() for bucket in features.POPULARITY_BUCKETS])
    columns = {
        features.USER_ID: np.arange(users).astype("S"),
        features.HISTORY_BUCKET: np.full(users, features.history_bucket(length).encode()),
        features.POPULARITY_BUCKET: buckets[np.arange(users) % len(buckets)],
        features.ITEM_ID: indices[:, :-1],
        features.TARGET_ID: indices[:, -1],
    }
    _write(file, columns)


def write_timelines(folder: Path, users: int, items: int, length: int) -> None:
    """Writes transformed examples of the train split, as Transform does: random users with `length` items each."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, users, USERS_PER_FILE):
        shape = (min(USERS_PER_FILE, users - first), length)
        columns = {
            features.TIMELINE: popular_items(random, items, shape),
            features.TIMELINE_RATING: np.ones(shape, np.float32),
            features.TIMELINE_TIME: FIRST_TIME + random.integers(0, TIME_SPAN, shape),
            features.TARGET: np.zeros(shape[0], np.int64),
        }
        _write(folder / f"{first:010}.gz", columns)


def _write(file: Path, columns: dict[str, np.ndarray]) -> None:
    """Writes a gzipped TFRecord file of examples, which have the values of one row of each column: [B] or [B, N]."""
    lists = {}
    for name, values in columns.items():
        bounds = np.arange(len(values) + 1) * values[0].size
        lists[name] = pa.LargeListArray.from_arrays(bounds, pa.array(values.ravel()))
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION_LEVEL)
    with tf.io.TFRecordWriter(str(file), options) as writer:
        for record in RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_pydict(lists)):
            writer.write(record)
