"""Embeddings of items: as what may come next, and as what a user did."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from components.trainer.settings import TrainerSettings

INITIAL = 0.02  # standard deviation of the values of an embedding
INITIAL_TRANSITION = 0.02


class ItemEmbeddings(Protocol):
    """Where a recommender looks items up: its members' embeddings lie side by side, `D` is members times d."""

    @property
    def size(self) -> int:
        """Number of item indices V."""

    def embed(self, items: tf.Tensor, member: int, dimension: int) -> tf.Tensor:
        """Items in histories as one member sees them: int32 [B, L] -> float32 [B, L, d]."""


class Tables(NamedTuple):
    """Two embeddings of every item.

    Attributes:
        inputs: float32 [V, D], of an item in a history.
        labels: float32 [V, D], of an item that may come next: a score is its product with a context vector.
    """

    inputs: tf.Tensor
    labels: tf.Tensor

    @property
    def size(self) -> int:
        """See `ItemEmbeddings`."""
        return int(self.labels.shape[0])

    def embed(self, items: tf.Tensor, member: int, dimension: int) -> tf.Tensor:
        """See `ItemEmbeddings`."""
        return tf.gather(self.inputs[:, member * dimension : (member + 1) * dimension], items)


class ItemTower(keras.layers.Layer):
    """The tables of item embeddings.

    An item's embedding is the sum of its own and, for each feature, of the mean of those of its values, or of the
    projection of its vector. An item without train events has none of its own: it is what its features say. Histories
    and labels share it (tied, as in SASRec: Kang and McAuley, ICDM 2018). With `settings.transition`, a history's items
    have one more of their own, since what follows an item is not what is like it (after the factorised transitions of
    FPMC: Rendle, Freudenthaler and Schmidt-Thieme, WWW 2010).

    Attributes:
        has_transition: whether the two embeddings of an item differ by more than `scale`.
        scale: of an embedding in a history.

    Args:
        settings: of the Trainer.
        counts: int64 [V], train events of each item index.
        item_features: by name, the values of a feature of every item, or a vector of each, float32 [V, D], which is
            projected.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray],
    ):
        super().__init__()
        self._dimension = settings.table_dimension
        # Tensors, which the graphs of all steps share; arrays would be copied into each.
        self._rated = tf.constant(counts[:, None] > 0, tf.float32)
        self._sizes: dict[str, int] = {}
        self._values: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
        self._vectors: dict[str, tf.Tensor] = {}
        for name, known in item_features.items():
            if isinstance(known, FeatureValues):
                self._sizes[name] = known.size
                self._values[name] = (tf.constant(known.values), tf.constant(known.splits))
            else:
                self._sizes[name] = known.shape[1]
                self._vectors[name] = tf.constant(known)
        self._dropout = settings.item_dropout
        self.has_transition = settings.transition
        self.scale = math.sqrt(settings.table_dimension)
        self._seed = keras.random.SeedGenerator()  # another for each member, from the seed set before

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the weights."""
        initial = keras.initializers.RandomNormal(stddev=INITIAL)
        self._item = self.add_weight(shape=(len(self._rated), self._dimension), initializer=initial, name="item")
        self._of_feature = {
            name: self.add_weight(shape=(size, self._dimension), initializer=initial, name=name)
            for name, size in self._sizes.items()
        }
        if self.has_transition:
            initial = keras.initializers.RandomNormal(stddev=INITIAL_TRANSITION)
            self._transition = self.add_weight(shape=self._item.shape, initializer=initial, name="transition")

    @property
    def item_tables(self) -> dict[str, keras.Variable]:
        """The weights with a row for each item index, float32 [V, d], by name."""
        transition = {"transition": self._transition} if self.has_transition else {}
        return {"item": self._item, **transition}

    @property
    def feature_tables(self) -> dict[str, tuple[keras.Variable, bool]]:
        """The weights of each item feature, and whether they project a vector; else a row stands for a value."""
        return {name: (table, name in self._vectors) for name, table in self._of_feature.items()}

    def tables(self, training: bool = False, rows: tf.Tensor | None = None) -> Tables:
        """Both tables, or some of their rows: int32 [R], each once.

        In training `settings.item_dropout` of the items go without an embedding of their own, so that features alone
        learn to stand for an item (DropoutNet: Volkovs, Yu and Poutanen, NeurIPS 2017).
        """

        def of(values: tf.Tensor | keras.Variable) -> tf.Tensor:
            if isinstance(values, keras.Variable):
                values = values.value  # Of which a gather reads no more than it takes.
            return tf.convert_to_tensor(values) if rows is None else tf.gather(values, rows)

        table = of(self._item) * of(self._rated)
        if training and self._dropout:
            size = table.shape[0] if rows is None else tf.shape(rows)[0]
            draws = keras.random.uniform([size, 1], seed=self._seed)
            table *= tf.cast(draws >= self._dropout, tf.float32)
        for name in self._values:
            table += self._mean_of(name, rows)
        for name, vectors in self._vectors.items():
            table += tf.matmul(of(vectors), self._of_feature[name])
        inputs = table + of(self._transition) if self.has_transition else table
        return Tables(inputs * self.scale, table)

    def _mean_of(self, name: str, rows: tf.Tensor | None) -> tf.Tensor:
        """Returns the mean embedding of each item's values of a feature, of all items or those of some rows."""
        values, splits = self._values[name]
        known = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        size = len(splits) - 1 if rows is None else tf.shape(rows)[0]
        if rows is not None:
            known = tf.gather(known, rows)
        embedded = _look_up(tf.convert_to_tensor(self._of_feature[name]), known.values)
        return tf.math.unsorted_segment_mean(embedded, known.value_rowids(), size)


@tf.custom_gradient
def _look_up(table: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Returns rows of a small table, float32 [N, d], with a dense gradient: many items share a row."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.math.unsorted_segment_sum(upstream, rows, table.shape[0]), None

    return tf.gather(table, rows), gradient


@dataclass(frozen=True)
class FeatureValues:
    """The values of one feature of every item: sparse, since a catalogue may have thousands of brands.

    Attributes:
        values: int32 [N], numbers of values, item by item.
        splits: int64 [V + 1]; item `i` has the values from `splits[i]` to before `splits[i + 1]`.
        size: number of different values W.
    """

    values: np.ndarray
    splits: np.ndarray
    size: int


def feature_values(pairs: np.ndarray, of_feature: np.ndarray, size: int) -> FeatureValues:
    """Returns the values of one feature.

    Args:
        pairs: int32 [F, 2], an item index and the index of one of its tokens, of all features.
        of_feature: int32 [W], the tokens of this feature.
        size: number of item indices V.
    """
    chosen = pairs[np.isin(pairs[:, 1], of_feature)]
    chosen = chosen[np.argsort(chosen[:, 0], kind="stable")]
    order = np.argsort(of_feature)
    values = order[np.searchsorted(of_feature, chosen[:, 1], sorter=order)].astype(np.int32)
    splits = np.concatenate([[0], np.cumsum(np.bincount(chosen[:, 0], minlength=size))]).astype(np.int64)
    return FeatureValues(values, splits, len(of_feature))
