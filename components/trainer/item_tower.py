"""Embeddings of items: of the item itself, of its genres and of its year of release."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components import features
from components.trainer.settings import TrainerSettings


class ItemTower(keras.layers.Layer):
    """The table of item embeddings, for histories and for scores alike (tied, as in SASRec).

    Args:
        settings: of the Trainer.
        genres: int32 [V, G], genre indices of each item, PADDING where fewer; None leaves genres out.
        years: int32 [V], year index of each item; None leaves years out.
        size: number of indices V, PADDING and UNKNOWN included.
    """

    def __init__(self, settings: TrainerSettings, genres: np.ndarray | None, years: np.ndarray | None, size: int):
        super().__init__()
        self._dimension = settings.dimension
        self._size = size
        self._years = years
        self._genre_weights = None if genres is None else _mean_weights(genres)

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the weights."""

        def embeddings(rows: int, name: str) -> keras.Variable:
            return self.add_weight(
                shape=(rows, self._dimension), initializer=keras.initializers.RandomNormal(stddev=0.05), name=name
            )

        self._item = embeddings(self._size, "item")
        if self._genre_weights is not None:
            self._genre = embeddings(self._genre_weights.shape[1], "genre")
        if self._years is not None:
            self._year = embeddings(int(self._years.max()) + 1, "year")

    def table(self) -> tf.Tensor:
        """The whole table, float32 [V, d]."""
        table = tf.convert_to_tensor(self._item)
        if self._genre_weights is not None:
            table += tf.matmul(tf.constant(self._genre_weights), self._genre)
        if self._years is not None:
            table += tf.matmul(tf.one_hot(self._years, int(self._years.max()) + 1), self._year)
        return table


def _mean_weights(genres: np.ndarray) -> np.ndarray:
    """Weights that average the genres of an item: int32 [V, G] -> float32 [V, number of genres]."""
    weights = np.zeros((len(genres), int(genres.max()) + 1), np.float32)
    rows, columns = np.nonzero(genres != features.PADDING)
    np.add.at(weights, (rows, genres[rows, columns]), 1.0)
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
