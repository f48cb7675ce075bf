"""Writes models with random weights and examples of random users, of any size.

Time and memory do not depend on what a model learns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from components import features
from components.trainer.model import RecommenderModel
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings

MAX_COUNT = 1e6  # interactions with the most popular item; the n-th item has 1 / n of them


class IndicesAsIds:
    """A substitute for a Transform graph, for raw examples that hold indices.

    Args:
        history_length: number of items N.
    """

    def __init__(self, history_length: int):
        self._history_length = history_length

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        """See `tft.TFTransformOutput`."""
        integers = (features.ITEM_ID, features.TARGET_ID)
        return {name: tf.io.VarLenFeature(tf.int64) for name in integers}

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


def write_examples(file: Path, users: int, items: int, length: int) -> None:
    """Writes a gzipped TFRecord file of raw examples: random users with `length` items and a target each."""
    random = np.random.default_rng(0)
    indices = popular_items(random, items, (users, length + 1))
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for number, row in enumerate(indices.tolist()):
            texts = {
                features.USER_ID: str(number),
                features.HISTORY_BUCKET: features.history_bucket(length),
                features.POPULARITY_BUCKET: features.POPULARITY_BUCKETS[number % 4],
            }
            values = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
                for name, text in texts.items()
            }
            for name, integers in ((features.ITEM_ID, row[:-1]), (features.TARGET_ID, row[-1:])):
                values[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=integers))
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
