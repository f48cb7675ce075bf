"""What is known of an activity besides its item, as an embedding that is added to the item's."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components import features
from components.trainer.input_pipeline import RATINGS, TIMES
from components.trainer.settings import TrainerSettings

RATING, TIME_GAP = "rating", "time_gap"
NOT_GIVEN = 0  # the bucket of what is not known
MOST_RATING_BUCKETS = 12
GAPS = tuple(2**power for power in range(31))  # seconds; one bucket between two of them


class ActivityTower(keras.layers.Layer):
    """Embeddings of the activity features that the settings name; their sum is 0 before training.

    - `rating`: what the user said of the item, in buckets. NaN where it is not known.
    - `time_gap`: the time since the activity before, in buckets that double. A time of 0 is not known.

    Args:
        settings: of the Trainer.
        rating_edges: float32 [R], bounds between buckets of ratings.
    """

    def __init__(self, settings: TrainerSettings, rating_edges: np.ndarray):
        super().__init__()
        self.names: tuple[str, ...] = settings.activity_features
        self._dimension = settings.dimension
        self._edges: dict[str, list[float]] = {RATING: rating_edges.tolist(), TIME_GAP: list(GAPS)}

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the weights."""
        self._embeddings = {
            name: self.add_weight(shape=(len(self._edges[name]) + 2, self._dimension), initializer="zeros", name=name)
            for name in self.names
        }

    def call(self, activities: dict[str, tf.Tensor]) -> tf.Tensor:
        """Activities, each [B, L] -> float32 [B, L, d]."""
        embeddings = []
        if RATING in self.names:
            ratings = activities[RATINGS]
            embeddings.append(self._embed(RATING, ratings, ratings == ratings))  # NaN equals nothing.
        if TIME_GAP in self.names:
            embeddings.append(self._embed(TIME_GAP, *_gaps(activities[TIMES])))
        return tf.add_n(embeddings)

    def _embed(self, name: str, values: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
        above = tf.cast(values[..., None] >= tf.constant(self._edges[name], values.dtype), tf.int32)
        bucket = tf.where(given, 1 + tf.reduce_sum(above, axis=-1), NOT_GIVEN)
        return tf.gather(tf.convert_to_tensor(self._embeddings[name]), bucket)


def _gaps(times: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds since the activity before (int32 [B, L]), and whether both times are known."""
    before = tf.pad(times, [[0, 0], [1, 0]])[:, :-1]
    given = (times != features.PADDING) & (before != features.PADDING)
    return times - before, given


def rating_edges(ratings: np.ndarray) -> np.ndarray:
    """Bounds between buckets: between all values where they are few, otherwise quantiles.

    Args:
        ratings: float32 [E], of the train split.

    Returns:
        float32 [R], rising, exact in float16, in which constants of a converted model may be stored.
    """
    values = np.unique(ratings)
    if len(values) > MOST_RATING_BUCKETS:
        edges = np.quantile(ratings, np.linspace(0, 1, MOST_RATING_BUCKETS + 1)[1:-1])
    else:
        edges = (values[1:] + values[:-1]) / 2
    largest = np.finfo(np.float16).max
    return np.unique(np.clip(edges, -largest, largest).astype(np.float16)).astype(np.float32)
