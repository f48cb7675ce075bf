"""The recommender model: embedding tables, encoders, and the training step."""

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
from components.trainer.item_tower import FeatureValues, ItemTower, Tables
from components.trainer.settings import TrainerSettings
from components.trainer.similar_items import SimilarItems


class Member(keras.layers.Layer):
    """A part of a recommender, with its own embedding tables and encoder; a recommender has one or more members.

    The arguments are those of `RecommenderModel`, with the settings of the member.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        history_length: int,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray],
        activity_features: Sequence[ActivityFeature],
        similar: SimilarItems | None,
    ):
        super().__init__()
        self.item_tower = ItemTower(settings, counts, item_features, similar)
        self.activity_tower = ActivityTower(
            activity_features, settings.dimension, settings.activity_dropout, settings.seed
        )
        self.encoder = make_encoder(settings, history_length)
        self.widen = _kernel(settings.table_dimension, settings.dimension)
        self.narrow = _kernel(settings.dimension, settings.table_dimension)
        self._dropout = keras.layers.Dropout(settings.dropout)
        self.item_tower.build()
        self.activity_tower.build()
        self.encoder.build((1, 1, settings.dimension))
        self.built = True

    def call(self, embedded: tf.Tensor, activities: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns context vectors: item embeddings, float32 [B, L, d], and activities, [B, L] -> float32 [B, L, d].

        Here and in `latest`, `d` is the dimension of the tables.
        """
        embedded = self._dropout(self._add_activities(embedded, activities, training), training=training)
        return self.narrow(self.encoder(embedded, training=training))

    def latest(self, embed: Callable[[tf.Tensor], tf.Tensor], activities: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the context vectors after the latest activities.

        Args:
            embed: returns the embeddings of the items that the encoder looks back on: int32 [B, M] -> float32
                [B, M, d].
            activities: each [B, L], the latest first, then PADDING.

        Returns:
            float32 [B, d].
        """
        if (look_back := self.encoder.look_back) is not None:
            # The time gap of the oldest activity depends on the activity before it.
            look_back += TIME_GAP in self.activity_tower.features
            if look_back < activities[ITEMS].shape[1]:
                activities = {name: column[:, :look_back] for name, column in activities.items()}
        items = activities[ITEMS]
        embedded = self._add_activities(embed(items), activities, latest_first=True)
        real = tf.cast(items != features.PADDING, tf.float32)
        if self.encoder.look_back is not None and self.encoder.look_back < items.shape[1]:
            embedded, real = embedded[:, : self.encoder.look_back], real[:, : self.encoder.look_back]
        return self.narrow(self.encoder.latest(embedded, real))

    def _add_activities(
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


class RecommenderModel(keras.Model):
    """A model that predicts the next item of a user.

    The context vectors and tables of all members are concatenated, so that their dot product is the sum of the members'
    scores. Members that are trained jointly form a group. The scores of groups are averaged (an ensemble:
    Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017). Members have tables of size d; D is the sum of these sizes.

    Attributes:
        trained: number of item indices up to the last item with train events; later items never compete in training.

    Args:
        settings: the Trainer's settings.
        history_length: number of items N that the device sends.
        counts: int64 [V], number of train events of each item index; items without train events come last.
        item_features: see `ItemTower`.
        activity_features: the activity features that the settings name.
        similar: the items that are similar to each item; None: the settings do not use them.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        history_length: int,
        counts: np.ndarray,
        item_features: dict[str, FeatureValues | np.ndarray] | None = None,
        activity_features: Sequence[ActivityFeature] = (),
        similar: SimilarItems | None = None,
    ):
        super().__init__()
        assert tuple(feature.name for feature in activity_features) == settings.activity_features
        assert (similar is not None) == bool(settings.similar_items)
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings = settings.decided()
        self.activity_features = tuple(activity_features)
        self.history_length = history_length
        self.members = [
            Member(member_settings, history_length, counts, item_features or {}, activity_features, similar)
            for member_settings in settings.all_members()
        ]
        # Training would only lower the scores of items without train events.
        self.trained = int(np.flatnonzero(counts).max(initial=features.FIRST_INDEX)) + 1
        self._log_shares = losses.log_shares(tf.constant(counts[: self.trained]))
        self._negative_log_shares = losses.log_shares(tf.constant(counts[: self.trained]), settings.negative_power)
        self._negatives_seed = keras.random.SeedGenerator(settings.seed)
        self._loss = keras.metrics.Mean("loss")
        self.built = True  # The members have created their weights; Keras would trace the model twice to do so.

    @property
    def size(self) -> int:
        """Number of item indices V."""
        return int(self.members[0].item_tower.item_tables["item"].shape[0])

    @property
    def context_weights(self) -> list[keras.Variable]:
        """The weights that compute context vectors, without the tables."""
        layers = [
            layer
            for member in self.members
            for layer in (member.activity_tower, member.widen, member.encoder, member.narrow)
        ]
        return [weight for layer in layers for weight in layer.weights]

    def tables(self, training: bool = False, rows: tf.Tensor | None = None) -> Tables:
        """Returns the concatenated tables, float32 [V, D] each, or their rows at unique indices, int32 [R]."""
        member_tables = [member.item_tower.tables(training=training, rows=rows) for member in self.members]
        return Tables(*(tf.concat(columns, axis=1) for columns in zip(*member_tables, strict=True)))

    def call(self, activities: dict[str, tf.Tensor], training: bool = False, tables: Tables | None = None) -> tf.Tensor:
        """Returns context vectors: activities, each [B, L], then PADDING -> float32 [B, L, D]."""
        inputs = (self.tables() if tables is None else tables).inputs
        member_inputs = tf.split(tf.gather(inputs, activities[ITEMS]), len(self.members), axis=-1)
        contexts = [
            member(embedded, activities, training=training)
            for member, embedded in zip(self.members, member_inputs, strict=True)
        ]
        return tf.concat(contexts, axis=-1)

    def read_out(self, histories: dict[str, tf.Tensor], embed: Callable[..., tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the context vector after the last activity of each history.

        PADDING, UNKNOWN and indices out of range are skipped; they may occur anywhere in a history.

        Args:
            histories: activities, each [B, N].
            embed: returns the embeddings of items; see `Tables.embed`.

        Returns:
            The vectors, float32 [B, D], undefined for empty histories; and the number of known items, int32 [B].
        """
        items = histories[ITEMS]
        is_known = (items >= features.FIRST_INDEX) & (items < self.size)
        # The latest known item first: the sort key rises from 1 to N along the history, and is 0 for other items.
        key = tf.where(is_known, tf.range(1, self.history_length + 1), 0)
        _, order = tf.math.top_k(key, self.history_length)
        padding = tf.zeros_like(items)
        latest_first = {
            name: tf.gather(tf.where(is_known, values, tf.cast(padding, values.dtype)), order, batch_dims=1)
            for name, values in histories.items()
        }
        length = tf.reduce_sum(tf.cast(is_known, tf.int32), axis=1)
        width = self.settings.table_dimension
        contexts = [
            member.latest(functools.partial(embed, member=number, dimension=width), latest_first)
            for number, member in enumerate(self.members)
        ]
        vectors, groups = tf.concat(contexts, axis=-1), len(self.settings.group_sizes())
        if groups == 1:
            return vectors, length
        # Computed, because the converter would multiply a constant into a copy of the tables.
        share = tf.where(length[:, None] >= 0, 1 / groups, 0.0)
        return vectors * share, length

    def loss_of(
        self,
        activities: dict[str, tf.Tensor],
        targets: tf.Tensor,
        weights: tf.Tensor,
        teacher: losses.Teacher | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the loss in nats: the weighted mean over positions, summed over groups of members.

        Args:
            activities: inputs of the model, [B, L] each.
            targets: int32 [B, L].
            weights: float32 [B, L], 0 for positions without a target.
            teacher: the teacher's items and their probabilities, int32 and float [B, L, M]; `full_softmax` only.
            training: whether to apply dropout.
        """
        candidates = self._candidates(targets)
        if self.settings.takes_rows:
            # From here on, the number of an item is its place in `rows`, not its index.
            rows, (items, targets, candidates) = _renumber(activities[ITEMS], targets, candidates)
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
            is_full = self.settings.loss == "full_softmax"
            absent = seen.before(self.trained) if is_full else seen.among(candidates)
        targets, weights = tf.reshape(targets, [-1]), tf.reshape(weights, [-1])
        if teacher is not None:
            count = teacher[0].shape[-1]
            items, probabilities = (tf.reshape(part, [-1, count]) for part in teacher)
            teacher = items, tf.cast(probabilities, tf.float32) * self.settings.teacher_weight
        weights /= tf.maximum(_sum_of_replicas(tf.reduce_sum(weights)), 1.0)
        if self.settings.loss == "full_softmax" and not self.settings.jit_compile:
            # Skips the scores of positions without weight; XLA does not support the dynamic shapes.
            counted = tf.where(weights > 0)[:, 0]
            contexts, targets, weights = (tf.gather(values, counted) for values in (contexts, targets, weights))
            absent = None if absent is None else tf.gather(absent, counted)
            teacher = None if teacher is None else (tf.gather(teacher[0], counted), tf.gather(teacher[1], counted))
        widths = [size * self.settings.table_dimension for size in self.settings.group_sizes()]
        groups = zip(tf.split(contexts, widths, axis=-1), tf.split(labels, widths, axis=-1), strict=True)
        return tf.add_n(
            [
                self._loss_of_group((group_contexts, table, targets, weights), candidates, rows, absent, teacher)
                for group_contexts, table in groups
            ]
        )

    @contextlib.contextmanager
    def _training_precision(self) -> Iterator[None]:
        """Makes the encoders compute in bfloat16 inside the context, with `settings.mixed_precision`.

        Evaluation and the saved model use the same layers in float32.
        """
        encoders = [member.encoder for member in self.members if self.settings.mixed_precision]
        policies = {layer: layer.dtype_policy for encoder in encoders for layer in _nested_layers(encoder)}
        try:
            for layer in policies:
                layer.dtype_policy = "mixed_bfloat16"
            yield
        finally:
            for layer, policy in policies.items():
                layer.dtype_policy = policy

    def _candidates(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns the candidates that compete with the targets: int32 [B, L] -> int32 [S]."""
        if self.settings.loss == "full_softmax":
            return tf.range(features.FIRST_INDEX, self.trained)
        if self.settings.loss == "in_batch_softmax":
            return tf.reshape(targets, [-1])
        is_uniform = self.settings.loss == "gbce"
        return self._draw(tf.zeros_like(self._log_shares) if is_uniform else self._negative_log_shares)

    def _loss_of_group(
        self,
        positions: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor],
        candidates: tf.Tensor,
        rows: tf.Tensor,
        absent: tf.Tensor | None,
        teacher: losses.Teacher | None,
    ) -> tf.Tensor:
        """Returns the loss of a group of members.

        Args:
            positions: contexts, table, targets and weights, as in `losses.py`.
            candidates: int32 [S], the items that compete with the targets.
            rows: int32 [R], the item index of each row of the table.
            absent, teacher: as in `losses.py`.
        """
        settings = self.settings
        if settings.loss == "full_softmax":
            return losses.full_softmax(*positions, settings.label_smoothing, absent, teacher)
        if settings.loss == "in_batch_softmax":
            return losses.in_batch_softmax(*positions, tf.gather(self._log_shares, rows), absent)
        if settings.loss == "gbce":
            return losses.gbce(*positions, candidates, settings.gbce_calibration, absent, self.trained)
        log_expected = tf.gather(self._negative_log_shares, rows) + math.log(settings.negatives)
        return losses.sampled_softmax(*positions, candidates, log_expected, absent)

    def _draw(self, log_shares: tf.Tensor) -> tf.Tensor:
        """Draws negatives in proportion to the items' shares, int32 [S]."""
        cumulative = tf.cumsum(tf.nn.softmax(log_shares[features.FIRST_INDEX :]))
        # `tf.random.uniform` would ignore its seed in a step that XLA compiles.
        draws = keras.random.uniform([self.settings.negatives], seed=self._negatives_seed)
        places = tf.searchsorted(cumulative, draws * cumulative[-1], side="right")
        return tf.minimum(places, self.trained - features.FIRST_INDEX - 1) + features.FIRST_INDEX

    def train_step(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Runs a training step of `fit` on the arguments of `loss_of`, and returns the mean loss."""
        # At the end of an epoch, the data is missing; no part of the step, such as its counter, may run then.
        with tf.control_dependencies(tf.nest.flatten(data)):
            with tf.GradientTape() as tape:
                loss = self.loss_of(*data)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            self._loss.update_state(_sum_of_replicas(loss))
        # With several workers, Keras reduces logs along a batch dimension, which the metric does not have.
        has_workers = isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        return {"loss": self._loss.result()[None] if has_workers else self._loss.result()}

    def _maybe_symbolic_build(self, *unused: Any, **named: Any) -> None:
        """Does nothing: the constructor builds the model, and Keras cannot build it from a batch with a dict."""

    @property
    def metrics(self) -> list[keras.Metric]:
        """See the base class."""
        return [self._loss]


def _sum_of_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a value over all replicas of `tf.distribute`."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _kernel(size: int, units: int) -> keras.layers.Layer:
    """Returns a linear layer from vectors of one size to another; the identity if both sizes are equal."""
    if size == units:
        return keras.layers.Identity()
    layer = keras.layers.Dense(units, use_bias=False)
    layer.build((None, None, size))
    return layer


def _nested_layers(layer: keras.layers.Layer) -> set[keras.layers.Layer]:
    """Returns a layer and all layers in its attributes, at any depth."""
    attributes = keras.tree.flatten(list(vars(layer).values()))
    children = {value for value in attributes if isinstance(value, keras.layers.Layer)}
    return {layer}.union(*(_nested_layers(child) for child in children))


def _renumber(*indices: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Numbers items in the order of their first occurrence; PADDING and UNKNOWN keep their indices.

    Args:
        indices: item indices, int32 tensors of any shapes.

    Returns:
        The index of each number, int32 [R]; and the numbers, in tensors of the same shapes.
    """
    flat = [tf.range(features.FIRST_INDEX), *(tf.reshape(part, [-1]) for part in indices)]
    rows, numbers = tf.unique(tf.concat(flat, axis=0))
    _, *parts = tf.split(numbers, [tf.size(part) for part in flat], num=len(flat))
    return rows, [tf.reshape(part, tf.shape(like)) for part, like in zip(parts, indices, strict=True)]
