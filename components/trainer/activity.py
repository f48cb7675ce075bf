"""Embeddings of activity features, which are added to the embeddings of the items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.features import FIRST_INDEX, PADDING, RATING_FEATURE, TIME_GAP_FEATURE, activity_input

MISSING_ROW = 0  # the table row of a missing value; equals the index PADDING
MAX_BUCKETS = 24  # of a numeric column
MAX_RATING_BUCKETS = 12
GAP_EDGES = tuple(2.0**power for power in range(31))  # bucket bounds in seconds
LARGEST_EDGE = 2.0**15  # larger bounds are scaled down, because float16 overflows at 2 ** 16


@dataclass(frozen=True)
class ActivityFeature:
    """A feature of activities.

    - `rating`: the user's rating of the item, NaN where it is missing.
    - `time_gap`: the time since the previous activity. A timestamp of 0 is missing.
    - any other name: a column of the log, with words or numbers. A word without an index counts as missing.

    Attributes:
        name: as in `trainer.activity_features`.
        edges: rising bucket bounds of a numeric feature.
        words: the words that have an index, in order from `features.FIRST_INDEX`; None for a numeric feature.
    """

    name: str
    edges: tuple[float, ...] = ()
    words: tuple[str, ...] | None = None

    @property
    def input(self) -> str:
        """Name of the model's input."""
        return activity_input(self.name)

    @property
    def kind(self) -> str:
        """Kind of the input: `number`, float32, NaN where missing; `word` or `time`, int32, 0 where missing."""
        if self.name == TIME_GAP_FEATURE:
            return "time"
        return "number" if self.words is None else "word"

    @property
    def dtype(self) -> tf.DType:
        """Type of the input."""
        return tf.float32 if self.kind == "number" else tf.int32

    @property
    def rows(self) -> int:
        """Number of rows of the embedding table."""
        return len(self.edges if self.words is None else self.words) + 2

    def describe(self) -> dict[str, Any]:
        """Returns the entry of the input in `model_facts.json`."""
        words = {} if self.words is None else {"words": list(self.words)}
        return {"feature": self.name, "input": self.input, "kind": self.kind, **words}

    def row_of(self, values: tf.Tensor, latest_first: bool = False) -> tf.Tensor:
        """Returns the table row of each input value, [B, L] -> int32 [B, L].

        Args:
            values: [B, L], of the type that `kind` describes.
            latest_first: whether the latest activity comes first instead of last.
        """
        if self.kind == "word":
            # A row for UNKNOWN would never be trained where the log has few words.
            return tf.where((values >= FIRST_INDEX) & (values < self.rows), values, MISSING_ROW)
        if self.kind == "time":
            values, is_known = _time_gaps(values, latest_first)
        else:
            is_known = values == values  # False for NaN only.
        scale = edge_scale(np.array(self.edges, np.float32))
        edges = tf.constant(np.array(self.edges, np.float64) / scale, tf.float32)
        above = tf.cast(tf.cast(values, tf.float32)[..., None] * (1 / scale) >= edges, tf.int32)
        return tf.where(is_known, 1 + tf.reduce_sum(above, axis=-1), MISSING_ROW)


class ActivityTower(keras.layers.Layer):
    """A layer that returns the sum of the embeddings of activity features, which is 0 before training.

    Args:
        features: the features; each has an embedding table.
        dimension: size d of the embeddings.
        dropout: in training, the share of histories that lack a feature, and the share of the activities in the other
            histories that lack it. The model thus learns to handle values that an app does not know.
        seed: seed of the dropout.
    """

    def __init__(self, features: Sequence[ActivityFeature], dimension: int, dropout: float = 0.0, seed: int = 0):
        super().__init__()
        self.features = tuple(features)
        self._dimension = dimension
        self._dropout = dropout
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the tables."""
        self.tables = {
            feature.name: self.add_weight(
                shape=(feature.rows, self._dimension), initializer="zeros", name=feature.input
            )
            for feature in self.features
        }

    def call(self, activities: dict[str, tf.Tensor], training: bool = False, latest_first: bool = False) -> tf.Tensor:
        """Returns the sum of the embeddings: activities, each [B, L] -> float32 [B, L, d]."""
        embeddings = []
        for feature in self.features:
            rows = feature.row_of(activities[feature.input], latest_first)
            if training and self._dropout:
                batch, length = tf.unstack(tf.shape(rows))
                rows = tf.where(self._keep((batch, length)) & self._keep((batch, 1)), rows, MISSING_ROW)
            embeddings.append(tf.gather(tf.convert_to_tensor(self.tables[feature.name]), rows))
        return tf.add_n(embeddings)

    def _keep(self, shape: tuple[tf.Tensor | int, ...]) -> tf.Tensor:
        """Returns a random mask, bool, that is True for the values that dropout keeps."""
        return keras.random.uniform(shape, seed=self._seeds) >= self._dropout


def _time_gaps(times: tf.Tensor, latest_first: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the seconds since the previous activity, int32 [B, L], and whether both times are known."""
    previous = tf.pad(times[:, 1:], [[0, 0], [0, 1]]) if latest_first else tf.pad(times[:, :-1], [[0, 0], [1, 0]])
    is_known = (times != PADDING) & (previous != PADDING)
    return times - previous, is_known


def number_feature(name: str, values: np.ndarray) -> ActivityFeature:
    """Returns a numeric feature with bucket bounds for the given values.

    If there are few distinct values, a bound lies between every two neighbours. Otherwise, the bounds are quantiles.

    Args:
        name: name of the feature.
        values: float32 [E], the values in the train split; NaN where missing.
    """
    max_buckets = MAX_RATING_BUCKETS if name == RATING_FEATURE else MAX_BUCKETS
    known = values[~np.isnan(values)].astype(np.float64)
    distinct = np.unique(known)
    if len(distinct) > max_buckets:
        edges = np.quantile(known, np.linspace(0, 1, max_buckets + 1)[1:-1])
    else:
        edges = (distinct[1:] + distinct[:-1]) / 2
    # A converted model may store its constants in float16.
    scale = edge_scale(edges)
    return ActivityFeature(name, tuple(np.unique((edges / scale).astype(np.float16).astype(np.float64) * scale)))


def edge_scale(edges: np.ndarray) -> float:
    """Returns a power of two such that the bounds divided by it fit in float16."""
    largest = float(np.abs(edges).max(initial=0))
    return float(2.0 ** np.ceil(np.log2(largest / LARGEST_EDGE))) if largest > LARGEST_EDGE else 1.0


TIME_GAP = ActivityFeature(TIME_GAP_FEATURE, GAP_EDGES)
