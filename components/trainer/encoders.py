"""Encoders: the embeddings of a user's items -> a context vector after every item.

All have one interface. They are causal (the vector after item `t` depends on items up to `t`), so that one pass over a
window trains every position of it, and padding may follow the items without a mask.
"""

from __future__ import annotations

import math

import tensorflow as tf
from keras import layers

from components.trainer.masking import FORBIDDEN
from components.trainer.settings import TrainerSettings


def make_encoder(settings: TrainerSettings, history_length: int) -> Encoder:
    """The encoder that the settings name.

    Args:
        settings: of the Trainer.
        history_length: the number of items N that the device sends; encoders with a bounded view look back N items, or
            fewer where the settings say so.

    Returns:
        The encoder.
    """
    encoders = {"bow": BagOfWords, "cnn": Convolutional, "lstm": Recurrent, "transformer": Transformer}
    return encoders[settings.encoder](settings, min(settings.look_back or history_length, history_length))


class Encoder(layers.Layer):
    """A layer, float32 [B, L, d] -> float32 [B, L, d], called with `training`."""

    def at(self, x: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """The context vector after one position of each row alone: [B, L, d], int32 [B] -> float32 [B, d]."""
        return tf.gather(self(x), positions, batch_dims=1)


class BagOfWords(Encoder):
    """Average of the last N embeddings, weighted by how long ago they were, then a feed-forward layer."""

    def __init__(self, settings: TrainerSettings, history_length: int):
        super().__init__()
        self._history_length = history_length
        self._feed_forward = FeedForward(settings.dimension, settings.dropout)
        self._norm = layers.LayerNormalization(epsilon=1e-6)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._recency = self.add_weight(shape=(self._history_length,), initializer="zeros", name="recency")
        self._norm.build(shape)
        self._feed_forward.build(shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        weights = tf.nn.softmax(_by_lag(self._recency, tf.shape(x)[1], self._history_length), axis=-1)
        average = self._norm(tf.einsum("ij,bjd->bid", weights, x))
        return average + self._feed_forward(average, training=training)


class Convolutional(Encoder):
    """Causal 1-D convolutions, max-pooling over the last items, and the last item itself; looks back N items."""

    KERNEL = 3

    def __init__(self, settings: TrainerSettings, history_length: int):
        super().__init__()
        blocks = min(settings.blocks, max((history_length - 1) // (self.KERNEL - 1), 1))
        self._pool = max(history_length - blocks * (self.KERNEL - 1), 1)
        self._kernel = min(self.KERNEL, history_length)
        self._convolutions = [layers.Dense(settings.dimension * 2, activation="relu") for _ in range(blocks)]
        self._dropout = layers.Dropout(settings.dropout)
        self._project = layers.Dense(settings.dimension)
        self._norm = layers.LayerNormalization(epsilon=1e-6)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        y = x
        for convolution in self._convolutions:
            # A convolution as one product of matrices: XLA's own on a CPU takes several times as long.
            neighbours = tf.concat([_shifted(y, step) for step in range(self._kernel)], axis=-1)
            y = self._dropout(convolution(neighbours), training=training)
        return self._norm(self._project(tf.concat([_sliding_maximum(y, self._pool), y, x], axis=-1)))


class Recurrent(Encoder):
    """A stack of LSTMs (Hochreiter and Schmidhuber, 1997); remembers what came before the last N items too."""

    def __init__(self, settings: TrainerSettings, history_length: int):
        super().__init__()
        self._lstms = [layers.LSTM(settings.dimension * 2, return_sequences=True) for _ in range(settings.blocks)]
        self._dropout = layers.Dropout(settings.dropout)
        self._project = layers.Dense(settings.dimension)
        self._norm = layers.LayerNormalization(epsilon=1e-6)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        y = x
        for lstm in self._lstms:
            y = self._dropout(lstm(y), training=training)
        return self._norm(self._project(tf.concat([y, x], axis=-1)))


class Transformer(Encoder):
    """Pre-norm self-attention blocks with a learned bias by distance, which look back N items.

    Where windows in training are longer than N, all blocks together look back N items, so that no position sees more
    than the device will. Otherwise each block does.

    After SASRec (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018), with the relative position
    bias of T5 (Raffel et al., JMLR 2020) in place of absolute positions: how recent an item is matters, not where in
    the window it stands.
    """

    def __init__(self, settings: TrainerSettings, history_length: int):
        super().__init__()
        longer = settings.window > history_length
        look_back = (history_length - 1) // settings.blocks + 1 if longer else history_length
        self._blocks = [Block(settings, look_back) for _ in range(settings.blocks)]
        self._dropout = layers.Dropout(settings.dropout)
        self._norm = layers.LayerNormalization(epsilon=1e-6)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        x = self._dropout(x, training=training)
        for block in self._blocks:
            x = block(x, training=training)
        return self._norm(x)

    def at(self, x: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """See the base class; in the last block nothing but these positions asks."""
        for block in self._blocks[:-1]:
            x = block(x)
        return self._norm(self._blocks[-1].at(x, positions))


class Block(layers.Layer):
    """Causal multi-head self-attention and a feed-forward layer, each with a residual connection."""

    def __init__(self, settings: TrainerSettings, look_back: int):
        super().__init__()
        self._heads = settings.heads
        self._look_back = look_back
        self._attention_norm = layers.LayerNormalization(epsilon=1e-6)
        self._feed_forward_norm = layers.LayerNormalization(epsilon=1e-6)
        self._query_key_value = layers.Dense(3 * settings.dimension, use_bias=False)
        self._out = layers.Dense(settings.dimension)
        self._dropout = layers.Dropout(settings.dropout)
        self._feed_forward = FeedForward(settings.dimension, settings.dropout)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._bias = self.add_weight(shape=(self._heads, self._look_back), initializer="zeros", name="distance")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, L, d] -> float32 [B, L, d]."""
        bias = _by_lag(self._bias, x.shape[1], self._look_back)
        query, key, value = self._split(x)
        return self._after(x, self._attend(query, key, value, bias), training)

    def at(self, x: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """One position of each row alone: [B, L, d], int32 [B] -> float32 [B, d]."""
        query, key, value = self._split(x)
        asking = tf.gather(tf.transpose(query, [0, 2, 1, 3]), positions[:, None], batch_dims=1)
        bias = _by_lag(self._bias, x.shape[1], self._look_back)
        of_position = tf.transpose(tf.gather(bias, positions, axis=1), [1, 0, 2])[:, :, None, :]
        attended = self._attend(tf.transpose(asking, [0, 2, 1, 3]), key, value, of_position)
        return self._after(tf.gather(x, positions[:, None], batch_dims=1), attended, training=False)[:, 0]

    def _split(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Queries, keys and values of [B, L, d], each [B, heads, L, d / heads]."""
        split = tf.reshape(
            self._query_key_value(self._attention_norm(x)),
            [-1, x.shape[1], 3 * self._heads, x.shape[2] // self._heads],
        )
        return list(tf.split(tf.transpose(split, [0, 2, 1, 3]), 3, axis=1))

    def _attend(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """What Q positions read off L, [B, Q, d]."""
        logits = tf.matmul(query, key, transpose_b=True) / math.sqrt(key.shape[-1])
        attended = tf.transpose(tf.matmul(tf.nn.softmax(logits + bias), value), [0, 2, 1, 3])
        return tf.reshape(attended, [-1, query.shape[2], self._heads * key.shape[-1]])

    def _after(self, x: tf.Tensor, attended: tf.Tensor, training: bool) -> tf.Tensor:
        """Residual connections and the feed-forward layer, [B, Q, d]."""
        x = x + self._dropout(self._out(attended), training=training)
        return x + self._dropout(self._feed_forward(self._feed_forward_norm(x), training=training), training=training)


class FeedForward(layers.Layer):
    """Two dense layers around a ReLU, four times as wide between."""

    def __init__(self, dimension: int, dropout: float):
        super().__init__()
        self._expand = layers.Dense(4 * dimension, activation="relu")
        self._dropout = layers.Dropout(dropout)
        self._project = layers.Dense(dimension)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._expand.build(shape)
        self._project.build((*shape[:-1], self._expand.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [..., d] -> float32 [..., d]."""
        return self._project(self._dropout(self._expand(x), training=training))


def _by_lag(values: tf.Tensor, length: tf.Tensor | int, history_length: int) -> tf.Tensor:
    """Lay a value for each distance out as a matrix: [..., N] -> [..., L, L], FORBIDDEN where j > i or i - j >= N."""
    positions = tf.range(length)
    lag = positions[:, None] - positions[None, :]
    laid_out = tf.gather(values, tf.clip_by_value(lag, 0, history_length - 1), axis=-1)
    return tf.where((lag >= 0) & (lag < history_length), laid_out, FORBIDDEN)


def _sliding_maximum(x: tf.Tensor, size: int) -> tf.Tensor:
    """Maximum over the last `size` positions, [B, L, d] -> [B, L, d], by doubling the span that is covered."""
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        x = tf.maximum(x, _shifted(x, step, FORBIDDEN))
        covered += step
    return x


def _shifted(x: tf.Tensor, steps: int, filler: float = 0.0) -> tf.Tensor:
    """Each position has what stands `steps` before it, and `filler` where there is nothing; [B, L, d] -> [B, L, d]."""
    return tf.pad(x, [[0, 0], [steps, 0], [0, 0]], constant_values=filler)[:, : x.shape[1], :]
