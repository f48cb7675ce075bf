"""The recommender: item table, encoder, and the step that trains them."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components import features
from components.trainer import losses
from components.trainer.activity import TIME_GAP, ActivityFeature, ActivityTower
from components.trainer.encoders import make_encoder
from components.trainer.input_pipeline import ITEMS
from components.trainer.item_tower import FeatureValues, ItemEmbeddings, ItemTower, Tables
from components.trainer.settings import TrainerSettings


class Member(keras.layers.Layer):
    """Item tables and an encoder: a whole recommender, or one of several.

    Args:
        settings: of the Trainer.
        history_length: number of items N that the device sends.
        counts: int64 [V], train events of each item index.
        item_features: of each item, as `ItemTower` takes them.
        activity_features: what is known of activities.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        history_length: int,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray],
        activity_features: Sequence[ActivityFeature],
    ):
        super().__init__()
        self.item_tower = ItemTower(settings, counts, item_features)
        self.activity_tower = ActivityTower(
            activity_features, settings.dimension, settings.activity_dropout, settings.seed
        )
        self.encoder = make_encoder(settings, history_length)
        self.widen = _kernel(settings.table_dimension, settings.dimension)
        self.narrow = _kernel(settings.dimension, settings.table_dimension)
        self._dropout = keras.layers.Dropout(settings.dropout)
        self.item_tower.build()
        self.activity_tower.build()

    def call(self, embedded: tf.Tensor, activities: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Context vectors: the embeddings of items, float32 [B, L, d], and their activities -> float32 [B, L, d].

        Here and in `latest`, `d` is the dimension of the tables.
        """
        embedded = self._dropout(self._enriched(embedded, activities, training), training=training)
        return self.narrow(self.encoder(embedded, training=training))

    def latest(self, embed: Callable[[tf.Tensor], tf.Tensor], activities: dict[str, tf.Tensor]) -> tf.Tensor:
        """The context vectors after the latest activities.

        Args:
            embed: items, int32 [B, M] -> float32 [B, M, d]; asked for no more than the encoder looks back on.
            activities: each [B, L], the latest first, then PADDING.

        Returns:
            float32 [B, d].
        """
        if (look_back := self.encoder.look_back) is not None:
            # The gap to the activity before is one more that a context vector depends on.
            look_back += TIME_GAP in self.activity_tower.features
            if look_back < activities[ITEMS].shape[1]:
                activities = {name: column[:, :look_back] for name, column in activities.items()}
        items = activities[ITEMS]
        embedded = self._enriched(embed(items), activities, latest_first=True)
        real = tf.cast(items != features.PADDING, tf.float32)
        if self.encoder.look_back is not None and self.encoder.look_back < items.shape[1]:
            embedded, real = embedded[:, : self.encoder.look_back], real[:, : self.encoder.look_back]
        return self.narrow(self.encoder.latest(embedded, real))

    def _enriched(
        self,
        embedded: tf.Tensor,
        activities: dict[str, tf.Tensor],
        training: bool = False,
        latest_first: bool = False,
    ) -> tf.Tensor:
        embedded = self.widen(embedded)
        if not self.activity_tower.features:
            return embedded
        return embedded + self.activity_tower(activities, training=training, latest_first=latest_first)


class Recommender(keras.Model):
    """Predicts a user's next item.

    With several members, their context vectors and tables lie side by side, so that the product of the two is the sum
    of their scores. Members that are trained as one make a group; the scores of groups are averaged (an ensemble:
    Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017). `D` is members times d, the dimension of the tables.

    Attributes:
        trained: number of item indices up to the last that has train events; those after it never compete in training.

    Args:
        settings: of the Trainer.
        history_length: number of items N that the device sends.
        counts: int64 [V], train events of each item index; items without any come last.
        item_features: of each item, as `ItemTower` takes them.
        activity_features: what is known of activities, those that the settings name.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        history_length: int,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray] | None = None,
        activity_features: Sequence[ActivityFeature] = (),
    ):
        super().__init__()
        assert tuple(feature.name for feature in activity_features) == settings.activity_features
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings = settings.decided()
        self.activity_features = tuple(activity_features)
        self.history_length = history_length
        self.members = [
            Member(of_member, history_length, counts, item_features or {}, activity_features)
            for of_member in settings.all_members()
        ]
        # Items without train events never compete in training: they would only be pushed down.
        self.trained = int(np.flatnonzero(counts).max(initial=features.FIRST_INDEX)) + 1
        self._log_shares = losses.log_shares(tf.constant(counts[: self.trained]))
        self._negative_log_shares = losses.log_shares(tf.constant(counts[: self.trained]), settings.negative_power)
        self._negatives_seed = keras.random.SeedGenerator(settings.seed)
        self._loss = keras.metrics.Mean("loss")
        nothing = {feature.input: tf.zeros((1, 2), feature.dtype) for feature in activity_features}
        self({ITEMS: tf.zeros((1, 2), tf.int32), **nothing})

    @property
    def size(self) -> int:
        """Number of item indices V."""
        return int(self.members[0].item_tower.item_tables["item"].shape[0])

    @property
    def context_weights(self) -> list[keras.Variable]:
        """The weights that make context vectors, besides the tables."""
        layers = [
            layer
            for member in self.members
            for layer in (member.activity_tower, member.widen, member.encoder, member.narrow)
        ]
        return [weight for layer in layers for weight in layer.weights]

    def tables(self, training: bool = False, rows: tf.Tensor | None = None) -> Tables:
        """The tables of all members side by side, float32 [V, D] each; or some of their rows, int32 [R], each once."""
        of_members = [member.item_tower.tables(training=training, rows=rows) for member in self.members]
        return Tables(*(tf.concat(columns, axis=1) for columns in zip(*of_members, strict=True)))

    def call(self, activities: dict[str, tf.Tensor], training: bool = False, tables: Tables | None = None) -> tf.Tensor:
        """Context vectors of activities, each [B, L], the real ones first and then PADDING: float32 [B, L, D]."""
        inputs = (self.tables() if tables is None else tables).inputs
        of_members = tf.split(tf.gather(inputs, activities[ITEMS]), len(self.members), axis=-1)
        contexts = [
            member(embedded, activities, training=training)
            for member, embedded in zip(self.members, of_members, strict=True)
        ]
        return tf.concat(contexts, axis=-1)

    def read_out(self, histories: dict[str, tf.Tensor], tables: ItemEmbeddings) -> tuple[tf.Tensor, tf.Tensor]:
        """The context vector after the last activity of each history.

        PADDING, UNKNOWN and indices out of range may stand anywhere: they are skipped, the order of the others counts.

        Args:
            histories: activities, each [B, N].
            tables: where items are looked up.

        Returns:
            float32 [B, D] and the number of items, int32 [B]; the vector of an empty history means nothing.
        """
        items = histories[ITEMS]
        known = (items >= features.FIRST_INDEX) & (items < tables.size)
        # The latest known item first: the sort key rises from 1 to N along the history, and is 0 for others.
        key = tf.where(known, tf.range(1, self.history_length + 1), 0)
        _, order = tf.math.top_k(key, self.history_length)
        blank = tf.zeros_like(items)
        compact = {
            name: tf.gather(tf.where(known, values, tf.cast(blank, values.dtype)), order, batch_dims=1)
            for name, values in histories.items()
        }
        length = tf.reduce_sum(tf.cast(known, tf.int32), axis=1)
        width = self.settings.table_dimension
        contexts = [
            member.latest(functools.partial(tables.embed, member=number, dimension=width), compact)
            for number, member in enumerate(self.members)
        ]
        summed, groups = tf.concat(contexts, axis=-1), len(self.settings.group_sizes())
        if groups == 1:
            return summed, length
        # Not a constant, which the converter would multiply into a copy of the tables that it shares with look-ups.
        share = tf.where(length[:, None] >= 0, 1 / groups, 0.0)
        return summed * share, length

    def loss_of(
        self,
        activities: dict[str, tf.Tensor],
        targets: tf.Tensor,
        weights: tf.Tensor,
        teacher: losses.Teacher | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Loss in nats, a weighted mean over positions and the sum over groups of members.

        Args:
            activities: each [B, L].
            targets: int32 [B, L].
            weights: float32 [B, L].
            teacher: what a teacher expects in place of the targets: items and their shares, int32 and float [B, L, M];
                `full_softmax` only.
            training: whether to drop out.
        """
        candidates = self._candidates(targets)
        if self.settings.takes_rows:
            # All that follows goes by the numbers that items have among these rows.
            rows, (items, targets, candidates) = _renumbered(activities[ITEMS], targets, candidates)
            activities = {**activities, ITEMS: items}
            tables = self.tables(training=training, rows=rows)
            labels = tables.labels
        else:
            rows = tf.range(self.trained)
            tables = self.tables(training=training)
            labels = tables.labels[: self.trained]
        with self._training_precision():
            contexts = tf.cast(self(activities, training=training, tables=tables), tf.float32)
        contexts = tf.reshape(contexts, [-1, contexts.shape[-1]])
        absent = None
        if self.settings.unseen_compete_alone and not self.settings.recommends_seen:
            seen = losses.Seen(activities[ITEMS])
            weights *= tf.cast(~seen.has(targets), tf.float32)
            everything = self.settings.loss == "full_softmax"
            absent = seen.before(self.trained) if everything else seen.among(candidates)
        flat, weights = tf.reshape(targets, [-1]), tf.reshape(weights, [-1])
        if teacher is not None:
            count = teacher[0].shape[-1]
            items, shares = (tf.reshape(part, [-1, count]) for part in teacher)
            teacher = items, tf.cast(shares, tf.float32) * self.settings.teacher_weight
        weights /= tf.maximum(_sum_of_replicas(tf.reduce_sum(weights)), 1.0)
        if self.settings.loss == "full_softmax" and not self.settings.jit_compile:
            # Where no target counts, scores of all items are not worth their time. XLA knows no such shapes.
            counted = tf.where(weights > 0)[:, 0]
            contexts, flat, weights = (tf.gather(values, counted) for values in (contexts, flat, weights))
            absent = None if absent is None else tf.gather(absent, counted)
            teacher = None if teacher is None else (tf.gather(teacher[0], counted), tf.gather(teacher[1], counted))
        widths = [size * self.settings.table_dimension for size in self.settings.group_sizes()]
        of_groups = zip(tf.split(contexts, widths, axis=-1), tf.split(labels, widths, axis=-1), strict=True)
        return tf.add_n(
            [
                self._loss_of_group((context, table, flat, weights), candidates, rows, absent, teacher)
                for context, table in of_groups
            ]
        )

    @contextlib.contextmanager
    def _training_precision(self) -> Iterator[None]:
        """Lets the encoders compute in bfloat16 where `settings.mixed_precision` says so.

        Only training does: the same layers rank and are saved in float32, as their weights are.
        """
        layers = [
            layer
            for member in self.members
            for layer in member.encoder._flatten_layers()
            if self.settings.mixed_precision
        ]
        before = [layer.dtype_policy for layer in layers]
        try:
            for layer in layers:
                layer.dtype_policy = "mixed_bfloat16"
            yield
        finally:
            for layer, policy in zip(layers, before, strict=True):
                layer.dtype_policy = policy

    def _candidates(self, targets: tf.Tensor) -> tf.Tensor:
        """What competes with targets, int32 [B, L], besides themselves: int32 [S]."""
        if self.settings.loss == "full_softmax":
            return tf.range(features.FIRST_INDEX, self.trained)
        if self.settings.loss == "in_batch_softmax":
            return tf.reshape(targets, [-1])
        evenly = self.settings.loss == "gbce"
        return self._draw(tf.zeros_like(self._log_shares) if evenly else self._negative_log_shares)

    def _loss_of_group(
        self,
        given: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor],
        candidates: tf.Tensor,
        rows: tf.Tensor,
        absent: tf.Tensor | None,
        teacher: losses.Teacher | None,
    ) -> tf.Tensor:
        """See `losses.py` for shapes; `rows`, int32 [R], are the item indices of the table's."""
        settings = self.settings
        if settings.loss == "full_softmax":
            return losses.full_softmax(*given, settings.label_smoothing, absent, teacher)
        if settings.loss == "in_batch_softmax":
            return losses.in_batch_softmax(*given, tf.gather(self._log_shares, rows), absent)
        if settings.loss == "gbce":
            return losses.gbce(*given, candidates, settings.gbce_calibration, absent, self.trained)
        log_expected = tf.gather(self._negative_log_shares, rows) + math.log(settings.negatives)
        return losses.sampled_softmax(*given, candidates, log_expected, absent)

    def _draw(self, log_shares: tf.Tensor) -> tf.Tensor:
        """Negatives, int32 [S], each item drawn with its share."""
        cumulative = tf.cumsum(tf.nn.softmax(log_shares[features.FIRST_INDEX :]))
        # Not tf.random.uniform: in an XLA-compiled step it heeds no seed.
        draws = keras.random.uniform([self.settings.negatives], seed=self._negatives_seed)
        places = tf.searchsorted(cumulative, draws * cumulative[-1], side="right")
        return tf.minimum(places, self.trained - features.FIRST_INDEX - 1) + features.FIRST_INDEX

    def train_step(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """A step of `fit`: activities, targets, weights and, where there is one, a teacher, as `loss_of` takes them."""
        # At the end of an epoch there is no data: nothing of the step may then run, such as counting it.
        with tf.control_dependencies(tf.nest.flatten(data)):
            with tf.GradientTape() as tape:
                loss = self.loss_of(*data)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            self._loss.update_state(_sum_of_replicas(loss))
        # Of several workers, Keras reduces along a batch, which a metric lacks.
        several = isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        return {"loss": self._loss.result()[None] if several else self._loss.result()}

    def _maybe_symbolic_build(self, *unused: Any, **named: Any) -> None:
        """See the base class; the constructor built the model, and Keras cannot reduce a batch that is a dict."""

    @property
    def metrics(self) -> list[keras.Metric]:
        """See the base class."""
        return [self._loss]


def _sum_of_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of a value of every replica of `tf.distribute`."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _kernel(size: int, units: int) -> keras.layers.Layer:
    """A matrix from vectors of one size to those of another; where they are the same there is none."""
    if size == units:
        return keras.layers.Identity()
    layer = keras.layers.Dense(units, use_bias=False)
    layer.build((None, None, size))
    return layer


def _renumbered(*indices: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Items by the order in which they come first; PADDING and UNKNOWN, which come before all, keep their numbers.

    Args:
        indices: of items, int32.

    Returns:
        The index of each number, int32 [R], and the numbers in the shapes of the indices.
    """
    flat = [tf.range(features.FIRST_INDEX), *(tf.reshape(part, [-1]) for part in indices)]
    rows, numbers = tf.unique(tf.concat(flat, axis=0))
    _, *parts = tf.split(numbers, [tf.size(part) for part in flat], num=len(flat))
    return rows, [tf.reshape(part, tf.shape(like)) for part, like in zip(parts, indices, strict=True)]
