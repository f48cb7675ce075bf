"""Embeddings of items, for items in histories and for candidates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.trainer.settings import TrainerSettings
from components.trainer.similar_items import SimilarItems

INITIAL_STDDEV = 0.02  # of the initial values of embeddings


class Tables(NamedTuple):
    """The two embeddings of every item: those of one member, or those of all members, concatenated to size D.

    Attributes:
        inputs: float32 [V, D], embeddings of items in histories.
        labels: float32 [V, D], embeddings of candidates, whose dot product with a context vector is a score.
    """

    inputs: tf.Tensor
    labels: tf.Tensor

    def embed(self, items: tf.Tensor, member: int, dimension: int) -> tf.Tensor:
        """Returns a member's embeddings, of size `dimension`, of items: int32 [B, L] -> float32 [B, L, dimension]."""
        return tf.gather(self.inputs[:, member * dimension : (member + 1) * dimension], items)


class ItemTower(keras.layers.Layer):
    """The embedding tables of the items and their features.

    An item's embedding is the sum of its own embedding, the weighted mean of the own embeddings of similar items, and,
    for each feature, the mean embedding of its values or the projection of its vector. An item without train events has
    only the embeddings of its features. The mean over similar items is one step of LightGCN (He et al., SIGIR 2020) on
    a graph of items: items with few train events learn from those of similar ones.

    Histories and candidates share the embedding (tied, as in SASRec: Kang and McAuley, ICDM 2018). With
    `settings.transition`, items in histories have one more embedding, since the items that follow an item differ from
    those that are similar to it (after the factorised transitions of FPMC: Rendle, Freudenthaler and Schmidt-Thieme,
    WWW 2010).

    Attributes:
        has_transition: whether items have one more embedding in histories.
        scale: factor by which embeddings are multiplied in histories.

    Args:
        settings: the Trainer's settings.
        counts: int64 [V], number of train events of each item index.
        item_features: by the name of the feature, its values for every item, or a vector per item, float32 [V, W],
            which a linear layer projects.
        similar: the items that are similar to each item; None: no mean over similar items.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray],
        similar: SimilarItems | None = None,
    ):
        super().__init__()
        self._dimension = settings.table_dimension
        # Tensors, which all graphs share; each graph would have its own copy of an array.
        self._rated = tf.constant(counts[:, None] > 0, tf.float32)
        self._sizes: dict[str, int] = {}
        self._values: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
        self._vectors: dict[str, tf.Tensor] = {}
        for name, feature in item_features.items():
            if isinstance(feature, FeatureValues):
                self._sizes[name] = feature.size
                self._values[name] = (tf.constant(feature.values), tf.constant(feature.splits))
            else:
                self._sizes[name] = feature.shape[1]
                self._vectors[name] = tf.constant(feature)
        self._similar = None if similar is None else (tf.constant(similar.items), tf.constant(similar.weights))
        self._dropout = settings.item_dropout
        self.has_transition = settings.transition
        self.scale = math.sqrt(settings.table_dimension)
        self._seed = keras.random.SeedGenerator()  # Takes its seed from the global one, so that members differ.

    def build(self, shape: tuple[int, ...] | None = None) -> None:
        """Creates the weights."""
        initial = keras.initializers.RandomNormal(stddev=INITIAL_STDDEV)
        self._item = self.add_weight(shape=(len(self._rated), self._dimension), initializer=initial, name="item")
        self._of_feature = {
            name: self.add_weight(shape=(size, self._dimension), initializer=initial, name=name)
            for name, size in self._sizes.items()
        }
        if self.has_transition:
            initial = keras.initializers.RandomNormal(stddev=INITIAL_STDDEV)
            self._transition = self.add_weight(shape=self._item.shape, initializer=initial, name="transition")

    @property
    def item_tables(self) -> dict[str, keras.Variable]:
        """The weights with a row for each item index, float32 [V, d], by name."""
        transition = {"transition": self._transition} if self.has_transition else {}
        return {"item": self._item, **transition}

    @property
    def feature_tables(self) -> dict[str, tuple[keras.Variable, bool]]:
        """The weights of each item feature, and whether they project a vector; otherwise, they have a row per value."""
        return {name: (table, name in self._vectors) for name, table in self._of_feature.items()}

    def tables(self, training: bool = False, rows: tf.Tensor | None = None) -> Tables:
        """Returns both tables, or their rows at the given indices, int32 [R], which must be unique.

        In training, `settings.item_dropout` of the items lose their own embedding, so that features learn to represent
        an item without it (DropoutNet: Volkovs, Yu and Poutanen, NeurIPS 2017).
        """

        def rows_of(values: tf.Tensor | keras.Variable) -> tf.Tensor:
            if isinstance(values, keras.Variable):
                values = values.value  # From it, `tf.gather` reads only the rows.
            return tf.convert_to_tensor(values) if rows is None else tf.gather(values, rows)

        table = self._own(rows) * rows_of(self._rated)
        if training and self._dropout:
            size = table.shape[0] if rows is None else tf.shape(rows)[0]
            draws = keras.random.uniform([size, 1], seed=self._seed)
            table *= tf.cast(draws >= self._dropout, tf.float32)
        for name in self._values:
            table += self._mean_of(name, rows)
        for name, vectors in self._vectors.items():
            table += tf.matmul(rows_of(vectors), self._of_feature[name])
        inputs = table + rows_of(self._transition) if self.has_transition else table
        return Tables(inputs * self.scale, table)

    def _own(self, rows: tf.Tensor | None) -> tf.Tensor:
        """Returns each item's own embedding plus the mean over similar items, for all items or the given ones."""
        if self._similar is None:
            return tf.convert_to_tensor(self._item) if rows is None else tf.gather(self._item.value, rows)
        items, weights = self._similar
        if rows is None:
            own = source = tf.convert_to_tensor(self._item)
        else:
            items, weights = tf.gather(items, rows), tf.gather(weights, rows)
            # The optimizer needs a gradient with unique rows, hence one look-up of both items and similar items.
            source_rows, numbers = tf.unique(tf.concat([rows, tf.reshape(items, [-1])], axis=0))
            source = tf.gather(self._item.value, source_rows)
            own, items = tf.gather(source, numbers[: tf.size(rows)]), numbers[tf.size(rows) :]
            items = tf.reshape(items, [-1, weights.shape[1]])
        # One similar item at a time: the embeddings of all K would take K times the memory of the table.
        for rank in range(weights.shape[1]):
            own += weights[:, rank, None] * tf.gather(source, items[:, rank])
        return own

    def _mean_of(self, name: str, rows: tf.Tensor | None) -> tf.Tensor:
        """Returns the mean embedding of each item's values of a feature, for all items or the given ones."""
        values, splits = self._values[name]
        ragged = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        size = len(splits) - 1 if rows is None else tf.shape(rows)[0]
        if rows is not None:
            ragged = tf.gather(ragged, rows)
        embedded = _look_up(tf.convert_to_tensor(self._of_feature[name]), ragged.values)
        return tf.math.unsorted_segment_mean(embedded, ragged.value_rowids(), size)


@tf.custom_gradient
def _look_up(table: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Returns rows of a small table, float32 [N, d]; the gradient is dense, because many items share a row."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.math.unsorted_segment_sum(upstream, rows, table.shape[0]), None

    return tf.gather(table, rows), gradient


@dataclass(frozen=True)
class FeatureValues:
    """The values of one feature for every item, as a ragged array, since a feature may have thousands of values.

    Attributes:
        values: int32 [N], value numbers, item by item.
        splits: int64 [V + 1]; item `i` has the values from `splits[i]` to before `splits[i + 1]`.
        size: number of distinct values W.
    """

    values: np.ndarray
    splits: np.ndarray
    size: int


def feature_values(pairs: np.ndarray, tokens: np.ndarray, size: int) -> FeatureValues:
    """Returns the values of one feature for every item.

    Args:
        pairs: int32 [F, 2], pairs of an item index and the index of one of its tokens, for all features.
        tokens: int32 [W], token indices of the feature to return.
        size: number of item indices V.
    """
    chosen = pairs[np.isin(pairs[:, 1], tokens)]
    chosen = chosen[np.argsort(chosen[:, 0], kind="stable")]
    order = np.argsort(tokens)
    values = order[np.searchsorted(tokens, chosen[:, 1], sorter=order)].astype(np.int32)
    splits = np.concatenate([[0], np.cumsum(np.bincount(chosen[:, 0], minlength=size))]).astype(np.int64)
    return FeatureValues(values, splits, len(tokens))
