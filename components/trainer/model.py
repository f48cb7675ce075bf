"""The recommender: item table, encoder, and the step that trains them."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from components import features
from components.trainer import losses
from components.trainer.encoders import make_encoder
from components.trainer.item_tower import ItemTower
from components.trainer.settings import TrainerSettings

ADAM_BETA_2 = 0.98  # as in SASRec: forgets rare items' squared gradients sooner than 0.999
MAX_GRADIENT_NORM = 1.0


class Recommender(keras.Model):
    """Predicts a user's next item.

    Args:
        settings: of the Trainer.
        history_length: number of items N that the device sends.
        counts: int64 [V], train events of each item index.
        genres: int32 [V, G] genre indices of each item, or None.
        years: int32 [V] year index of each item, or None.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        history_length: int,
        counts: np.ndarray,
        genres: np.ndarray | None = None,
        years: np.ndarray | None = None,
    ):
        super().__init__()
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings
        self.history_length = history_length
        self.item_tower = ItemTower(settings, genres, years, len(counts))
        self.encoder = make_encoder(settings, history_length)
        self.input_dropout = keras.layers.Dropout(settings.dropout)
        self._log_expected, self._cumulative = _negative_distribution(counts, settings)
        self._negatives_seed = keras.random.SeedGenerator(settings.seed)
        self.item_tower.build()
        self(tf.zeros([1, 2], tf.int32))

    def call(self, inputs: tf.Tensor, training: bool = False, table: tf.Tensor | None = None) -> tf.Tensor:
        """Context vectors: int32 [B, L] item indices, items first and then PADDING -> float32 [B, L, d]."""
        table = self.item_tower.table() if table is None else table
        embedded = tf.gather(table, inputs) * math.sqrt(self.settings.dimension)
        return self.encoder(self.input_dropout(embedded, training=training), training=training)

    def read_out(self, histories: tf.Tensor, table: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The context vector after the last item of each history.

        PADDING, UNKNOWN and indices out of range may stand anywhere: they are skipped, the order of the others counts.

        Args:
            histories: int32 [B, N].
            table: float32 [V, d].

        Returns:
            float32 [B, d] and the number of items, int32 [B]; the vector of an empty history means nothing.
        """
        known = (histories >= features.FIRST_INDEX) & (histories < table.shape[0])
        # Known items first, in their order: the sort key falls from N to 1 along the history, and is 0 for the others.
        key = tf.where(known, tf.range(self.history_length, 0, -1), 0)
        _, order = tf.math.top_k(key, self.history_length)
        compact = tf.gather(tf.where(known, histories, features.PADDING), order, batch_dims=1)
        length = tf.reduce_sum(tf.cast(known, tf.int32), axis=1)
        contexts = self(compact, table=table)
        return tf.gather(contexts, tf.maximum(length - 1, 0), batch_dims=1), length

    def loss_of(self, inputs: tf.Tensor, targets: tf.Tensor, training: bool = True) -> tf.Tensor:
        """Mean loss of the positions that have a real target, in nats; inputs and targets int32 [B, L]."""
        table = self.item_tower.table()
        contexts = tf.reshape(self(inputs, training=training, table=table), [-1, self.settings.dimension])
        flat = tf.reshape(targets, [-1])
        weights = tf.cast(flat >= features.FIRST_INDEX, tf.float32)
        if self.settings.loss == "full_softmax":
            return losses.full_softmax(contexts, table, flat, weights)
        # Not tf.random.uniform: in an XLA-compiled step it heeds no seed.
        draws = keras.random.uniform([self.settings.negatives], seed=self._negatives_seed)
        negatives = tf.searchsorted(self._cumulative, draws, side="right") + features.FIRST_INDEX
        return losses.sampled_softmax(contexts, table, flat, weights, negatives, self._log_expected)

    def make_train_step(self, optimizer: keras.optimizers.Optimizer) -> tf.types.experimental.PolymorphicFunction:
        """The compiled step: (inputs, targets) -> loss; one compilation for each shape."""

        @tf.function(jit_compile=True, reduce_retracing=False)
        def train_step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = self.loss_of(inputs, targets)
            gradients = tape.gradient(loss, self.trainable_variables)
            gradients, _ = tf.clip_by_global_norm(gradients, MAX_GRADIENT_NORM)
            optimizer.apply(gradients, self.trainable_variables)
            return loss

        return train_step


def _negative_distribution(counts: np.ndarray, settings: TrainerSettings) -> tuple[tf.Tensor, tf.Tensor]:
    """log(S * Q) of each index (float32 [V]) and the cumulative Q of the real items (float32 [V - 2])."""
    weights = np.maximum(counts[features.FIRST_INDEX :], 1).astype(np.float64) ** settings.negative_power
    share = weights / weights.sum()
    log_expected = np.concatenate([np.zeros(features.FIRST_INDEX), np.log(share * settings.negatives)])
    cumulative = np.minimum(np.cumsum(share), np.nextafter(np.float32(1), np.float32(0)))
    cumulative[-1] = 1.0
    return tf.constant(log_expected, tf.float32), tf.constant(cumulative, tf.float32)
