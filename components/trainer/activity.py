"""The features of activities, as embeddings that are added to those of their items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.features import FIRST_INDEX, PADDING, RATING_FEATURE, TIME_GAP_FEATURE, activity_input

NOT_GIVEN = 0  # the row of the table for a missing value; of words it is the index PADDING
MOST_BUCKETS = 24  # of a column of numbers
MOST_RATING_BUCKETS = 12
GAPS = tuple(2.0**power for power in range(31))  # seconds; one bucket between two of them
LARGEST_EDGE = 2.0**15  # in float16, where 2 ** 16 is infinite


@dataclass(frozen=True)
class ActivityFeature:
    """A feature of activities.

    - `rating`: what the user said of the item, NaN where it is not known.
    - `time_gap`: the time since the activity before. A time of 0 is not known.
    - any other name: a column of the log, with words or with numbers. A word without an index is like a missing one.

    Attributes:
        name: as `trainer.activity_features` has it.
        edges: of numbers, the bounds between their buckets, rising.
        words: of words, those that have an index, in order from `features.FIRST_INDEX` on; None for numbers.
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
        """The kind of the input: `number`, float32, NaN where missing; `word` or `time`, int32, 0 where missing."""
        if self.name == TIME_GAP_FEATURE:
            return "time"
        return "number" if self.words is None else "word"

    @property
    def dtype(self) -> tf.DType:
        """Type of the input."""
        return tf.float32 if self.kind == "number" else tf.int32

    @property
    def rows(self) -> int:
        """Number of rows of its table."""
        return len(self.edges if self.words is None else self.words) + 2

    def describe(self) -> dict[str, Any]:
        """Returns what `model_info.json` says of the input."""
        words = {} if self.words is None else {"words": list(self.words)}
        return {"feature": self.name, "input": self.input, "kind": self.kind, **words}

    def row_of(self, values: tf.Tensor, latest_first: bool = False) -> tf.Tensor:
        """Returns the row of the table for each value of the input, [B, L] -> int32 [B, L].

        Args:
            values: of the input.
            latest_first: whether the latest activity comes first, not last.
        """
        if self.kind == "word":
            # The row of UNKNOWN would never be trained where the log has few words.
            return tf.where((values >= FIRST_INDEX) & (values < self.rows), values, NOT_GIVEN)
        if self.kind == "time":
            values, given = _gaps(values, latest_first)
        else:
            given = values == values  # NaN equals nothing.
        scale = edge_scale(np.array(self.edges, np.float32))
        edges = tf.constant(np.array(self.edges, np.float64) / scale, tf.float32)
        above = tf.cast(tf.cast(values, tf.float32)[..., None] * (1 / scale) >= edges, tf.int32)
        return tf.where(given, 1 + tf.reduce_sum(above, axis=-1), NOT_GIVEN)


class ActivityTower(keras.layers.Layer):
    """Embeddings of features of activities; their sum is 0 before training.

    Args:
        features: each has a table.
        dimension: of the embeddings.
        dropout: in training, the share of histories that lack a feature, and of the activities of others that lack it.
            The model then answers as well as it can where an app does not know a value.
        seed: of these draws.
    """

    def __init__(self, features: Sequence[ActivityFeature], dimension: int, dropout: float = 0.0, seed: int = 0):
        super().__init__()
        self.features = tuple(features)
        self._dimension = dimension
        self._dropout = dropout
        self._seeds = keras.random.SeedGenerator(seed)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(feature.name for feature in self.features)

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the tables."""
        self.tables = {
            feature.name: self.add_weight(
                shape=(feature.rows, self._dimension), initializer="zeros", name=feature.input
            )
            for feature in self.features
        }

    def call(self, activities: dict[str, tf.Tensor], training: bool = False, latest_first: bool = False) -> tf.Tensor:
        """Activities, each [B, L] -> float32 [B, L, d]."""
        embeddings = []
        for feature in self.features:
            rows = feature.row_of(activities[feature.input], latest_first)
            if training and self._dropout:
                length, width = tf.unstack(tf.shape(rows))
                rows = tf.where(self._draw((length, width)) & self._draw((length, 1)), rows, NOT_GIVEN)
            embeddings.append(tf.gather(tf.convert_to_tensor(self.tables[feature.name]), rows))
        return tf.add_n(embeddings)

    def _draw(self, shape: tuple[tf.Tensor | int, ...]) -> tf.Tensor:
        """Which values stay, bool."""
        return keras.random.uniform(shape, seed=self._seeds) >= self._dropout


def _gaps(times: tf.Tensor, latest_first: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds since the activity before (int32 [B, L]), and whether both times are known."""
    before = tf.pad(times[:, 1:], [[0, 0], [0, 1]]) if latest_first else tf.pad(times[:, :-1], [[0, 0], [1, 0]])
    given = (times != PADDING) & (before != PADDING)
    return times - before, given


def number_feature(name: str, values: np.ndarray) -> ActivityFeature:
    """Returns a feature whose buckets suit some values.

    There is a bound between any two values where they are few; otherwise the bounds are quantiles.

    Args:
        name: of the feature.
        values: float32 [E], of the train split; NaN where missing.
    """
    most = MOST_RATING_BUCKETS if name == RATING_FEATURE else MOST_BUCKETS
    known = values[~np.isnan(values)].astype(np.float64)
    different = np.unique(known)
    if len(different) > most:
        edges = np.quantile(known, np.linspace(0, 1, most + 1)[1:-1])
    else:
        edges = (different[1:] + different[:-1]) / 2
    # Constants of a converted model may be stored in float16.
    scale = edge_scale(edges)
    return ActivityFeature(name, tuple(np.unique((edges / scale).astype(np.float16).astype(np.float64) * scale)))


def edge_scale(edges: np.ndarray) -> float:
    """Returns the power of two by which bounds are divided, so that they fit in float16."""
    largest = float(np.abs(edges).max(initial=0))
    return float(2.0 ** np.ceil(np.log2(largest / LARGEST_EDGE))) if largest > LARGEST_EDGE else 1.0


TIME_GAP = ActivityFeature(TIME_GAP_FEATURE, GAPS)
