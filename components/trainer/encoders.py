"""Encoders, which compute a context vector after every item of a user's history.

Encoders are causal: the vector after item `t` depends only on the items up to `t`. One pass over a window therefore
trains all of its positions, and padding after the items needs no mask. Encoders are ordinary Keras layers:
`keras.layers.serialize` saves them, and they accept Keras' arguments `name`, `dtype` and `trainable`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import initializers, layers, saving

from components.trainer.settings import TrainerSettings

serialisable = saving.register_keras_serializable("recommender")

RESIDUAL_STDDEV = 0.02  # of the initial kernel of the last layer of a residual branch
# Stands for minus infinity: far below any score. Exact in float16, in which a converted model may store its constants.
FORBIDDEN = -30_000.0


def make_encoder(settings: TrainerSettings, history_length: int) -> Encoder:
    """Returns the encoder that the settings name.

    Args:
        settings: the Trainer's settings.
        history_length: number of items N that the device sends. All encoders except `lstm` look back on N items, or on
            `settings.look_back` if that is less.
    """
    look_back = min(settings.look_back or history_length, history_length)
    dimension, dropout, blocks = settings.dimension, settings.dropout or 0.0, settings.blocks
    if settings.encoder == "bow":
        return BagOfWords(dimension, look_back, dropout=dropout)
    if settings.encoder == "cnn":
        return Convolutional(dimension, look_back, blocks, dropout=dropout)
    if settings.encoder == "lstm":
        return Recurrent(dimension, blocks, dropout=dropout)
    return Transformer(dimension, _look_backs(settings, look_back), settings.heads, dropout=dropout)


def _look_backs(settings: TrainerSettings, look_back: int) -> list[int]:
    """Returns the number of activities that each block of the `transformer` looks back on.

    Blocks after the first look back on at most `settings.upper_look_back`, so that the device evaluates lower blocks
    only at the positions that upper blocks use. Normally, the first block looks back on `look_back`. Where training
    windows are longer, it looks back on fewer: all blocks together then look back on `look_back`, as on the device.
    """
    upper_blocks = settings.blocks - 1
    first, upper = look_back, min(settings.upper_look_back or look_back, look_back)
    if settings.window > look_back:
        upper = min(upper, (look_back - 1) // settings.blocks + 1)
        first = look_back - upper_blocks * (upper - 1)
    return [first, *[upper] * upper_blocks]


class Encoder(layers.Layer):
    """A layer from item embeddings to context vectors: float32 [B, L, d] -> float32 [B, L, d].

    Attributes:
        look_back: maximum number of items that a context vector depends on, its own included; None: no limit.
    """

    look_back: int | None = None

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """Returns the context vector after the latest item, for serving.

        It equals the output of `call` at that position. The items come in reverse order: the latest has the index 0.

        Args:
            x: float32 [B, M, d], the latest item first, then padding; M is at most `look_back`.
            real: float32 [B, M], 1 for items and 0 for padding.

        Returns:
            float32 [B, d]; undefined for rows without items.
        """
        raise NotImplementedError


@serialisable
class BagOfWords(Encoder):
    """An average of the last embeddings with learned weights by recency, then a feed-forward layer.

    Args:
        dimension: size d of the embeddings.
        look_back: number of embeddings in the average.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    def __init__(self, dimension: int, look_back: int, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        self.look_back = look_back
        self._feed_forward = FeedForward(dimension, dropout, dtype=self.dtype_policy)
        self._norm = _norm(self)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._recency = self.add_weight(shape=(self.look_back,), initializer="zeros", name="recency")
        self._norm.build(shape)
        self._feed_forward.build(shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        weights = tf.nn.softmax(_by_lag(self._recency, _length(x)), axis=-1)  # [L, L]
        average = self._norm(tf.einsum("ij,bjd->bid", weights, x))
        return average + self._feed_forward(average, training=training)

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        logits = tf.convert_to_tensor(self._recency)[: x.shape[1]] + (1 - real) * FORBIDDEN
        average = self._norm(tf.reduce_sum(tf.nn.softmax(logits)[:, :, None] * x, axis=1))
        return average + self._feed_forward(average)


@serialisable
class Convolutional(Encoder):
    """Causal 1-D convolutions, max-pooling over the last positions, and a skip connection from the last item.

    Args:
        dimension: size d of the embeddings.
        look_back: number of items that a context vector depends on.
        blocks: maximum number of convolutions; lower where they would look back further than `look_back`.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    KERNEL = 3

    def __init__(self, dimension: int, look_back: int, blocks: int = 1, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        self.look_back = look_back
        blocks = min(blocks, max((look_back - 1) // (self.KERNEL - 1), 1))
        self._pool = max(look_back - blocks * (self.KERNEL - 1), 1)
        self._kernel = min(self.KERNEL, look_back)
        policy = self.dtype_policy
        self._convolutions = [layers.Dense(dimension * 2, activation="relu", dtype=policy) for _ in range(blocks)]
        self._dropout = layers.Dropout(dropout, dtype=policy)
        self._project = layers.Dense(dimension, dtype=policy)
        self._norm = _norm(self)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        width = shape[-1]
        for convolution in self._convolutions:
            convolution.build((*shape[:-1], self._kernel * width))
            width = convolution.units
        self._project.build((*shape[:-1], 2 * width + shape[-1]))
        self._norm.build((*shape[:-1], self._project.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        y = x
        for convolution in self._convolutions:
            # A convolution as one matrix product: several times faster than XLA's own on a CPU.
            neighbours = tf.concat([_shifted(y, step) for step in range(self._kernel)], axis=-1)
            y = self._dropout(convolution(neighbours), training=training)
        return self._norm(self._project(tf.concat([_sliding_maximum(y, self._pool), y, x], axis=-1)))

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        real = tf.reshape(real, [-1, x.shape[1], 1])
        if missing := self.look_back - x.shape[1]:
            x, real = (tf.pad(values, [[0, 0], [0, missing], [0, 0]]) for values in (x, real))
        x = y = x * real
        for convolution in self._convolutions:
            length = y.shape[1] - self._kernel + 1
            neighbours = tf.concat([y[:, step : step + length] for step in range(self._kernel)], axis=-1)
            real = real[:, :length]
            y = convolution(neighbours) * real
        pooled = tf.reduce_max(y + (1 - real) * FORBIDDEN, axis=1)
        return self._norm(self._project(tf.concat([pooled, y[:, 0], x[:, 0]], axis=-1)))


@serialisable
class Recurrent(Encoder):
    """A stack of LSTMs (Hochreiter and Schmidhuber, 1997), with context vectors that depend on all earlier items.

    Args:
        dimension: size d of the embeddings.
        blocks: number of LSTMs.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    def __init__(self, dimension: int, blocks: int = 1, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        policy = self.dtype_policy
        self._lstms = [layers.LSTM(dimension * 2, return_sequences=True, dtype=policy) for _ in range(blocks)]
        self._dropout = layers.Dropout(dropout, dtype=policy)
        self._project = layers.Dense(dimension, dtype=policy)
        self._norm = _norm(self)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        width = shape[-1]
        for lstm in self._lstms:
            lstm.build((*shape[:-1], width))
            width = lstm.units
        self._project.build((*shape[:-1], width + shape[-1]))
        self._norm.build((*shape[:-1], self._project.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        y = x
        for lstm in self._lstms:
            y = self._dropout(lstm(y), training=training)
        return self._norm(self._project(tf.concat([y, x], axis=-1)))

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        length = tf.cast(tf.reduce_sum(real, axis=1), tf.int32)
        last = tf.maximum(length - 1, 0)
        # The values after the latest item are arbitrary.
        oldest_first = tf.gather(x, tf.maximum(last[:, None] - tf.range(x.shape[1]), 0), batch_dims=1)
        return tf.gather(self(oldest_first), last, batch_dims=1)


@serialisable
class Transformer(Encoder):
    """Self-attention blocks with a learned relative position bias.

    After SASRec (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018), with the relative position
    bias of T5 (Raffel et al., JMLR 2020) in place of absolute positions: the recency of an item matters, not its place
    in the window. The caller applies dropout to the embeddings.

    Args:
        dimension: size d of the embeddings.
        look_backs: number of activities that each block looks back on, its own included.
        heads: number of attention heads.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    def __init__(
        self, dimension: int, look_backs: Sequence[int], heads: int = 1, dropout: float = 0.0, **arguments: Any
    ):
        super().__init__(**arguments)
        policy = self.dtype_policy
        self._blocks = [Block(dimension, look_back, heads, dropout, dtype=policy) for look_back in look_backs]
        # For each block, the number of its outputs that the blocks above it need in `latest`.
        reaches = [look_back - 1 for look_back in look_backs]
        self._needed = [1 + sum(reaches[number + 1 :]) for number in range(len(reaches))]
        self._norm = _norm(self)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        for layer in (*self._blocks, self._norm):
            layer.build(shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        for block in self._blocks:
            x = block(x, training=training)
        return self._norm(x)

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class; evaluates each block only at the positions that the blocks above it look back on."""
        hidden = (1 - real) * FORBIDDEN
        for block, needed in zip(self._blocks, self._needed, strict=True):
            count = min(needed, x.shape[1])
            x = block.latest(x, hidden, count)
            hidden = hidden if count == hidden.shape[1] else hidden[:, :count]
        return self._norm(x[:, 0])


@serialisable
class Block(layers.Layer):
    """Causal multi-head self-attention and a feed-forward layer, each with a residual connection.

    As in SASRec's code, queries are normalised but keys and values are not, and residual connections add to normalised
    values. An item's own embedding therefore has the same weight in every block, even while it is small. Residual
    branches have small initial outputs, so that the model first learns the similarity of items.

    Args:
        dimension: size d of the embeddings.
        look_back: number of activities that a position attends to, its own included.
        heads: number of attention heads.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    def __init__(self, dimension: int, look_back: int, heads: int = 1, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        policy = self.dtype_policy
        self._heads = heads
        self._look_back = look_back
        self._attention_norm = _norm(self)
        self._feed_forward_norm = _norm(self)
        self._query = layers.Dense(dimension, use_bias=False, dtype=policy)
        self._key_value = layers.Dense(2 * dimension, use_bias=False, dtype=policy)
        self._out = layers.Dense(dimension, kernel_initializer=_small(), dtype=policy)
        self._dropout = layers.Dropout(dropout, dtype=policy)
        self._feed_forward = FeedForward(dimension, dropout, dtype=policy)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._bias = self.add_weight(shape=(self._heads, self._look_back), initializer="zeros", name="distance")
        attention = (self._attention_norm, self._query, self._key_value, self._out)
        for layer in (*attention, self._feed_forward_norm, self._feed_forward):
            layer.build(shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the outputs at all positions: float32 [B, L, d] -> float32 [B, L, d]."""
        length, dimension = _length(x), x.shape[2]

        def split_heads(values: tf.Tensor) -> tf.Tensor:
            """Splits vectors into heads: [B, L, n d] -> [B, n heads, L, d / heads]."""
            split = tf.reshape(
                values, [-1, length, values.shape[2] * self._heads // dimension, dimension // self._heads]
            )
            return tf.transpose(split, [0, 2, 1, 3])

        normed = self._attention_norm(x)
        query = split_heads(self._query(normed))
        key, value = tf.split(split_heads(self._key_value(x)), 2, axis=1)
        bias = _by_lag(self._bias, length)
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(dimension // self._heads) + bias
        attended = tf.matmul(tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32)), value.dtype), value)
        attended = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, length, dimension])
        return self._add_residuals(normed, attended, training)

    def latest(self, x: tf.Tensor, hidden: tf.Tensor, count: int) -> tf.Tensor:
        """Returns the outputs of `call` at the latest positions.

        The products are those of `call` in another order: queries are multiplied by the kernel of the keys, and inputs
        are averaged before the kernel of the values. Kernels and norms then apply to the latest positions only.

        Args:
            x: float32 [B, M, d], the latest item first.
            hidden: float32 [B, M], FORBIDDEN for padding and 0 for items.
            count: number of positions Q.

        Returns:
            float32 [B, Q, d].
        """
        length, dimension = x.shape[1:]
        size = dimension // self._heads
        query_kernel = tf.reshape(self._query.kernel, [dimension, self._heads, size])
        key_value_kernel = tf.reshape(self._key_value.kernel, [dimension, 2, self._heads, size])
        key_kernel, value_kernel = tf.unstack(key_value_kernel, axis=1)
        normed = self._attention_norm(x[:, :count])
        query = tf.einsum("bqd,dhe->bhqe", normed, query_kernel)
        query = tf.einsum("bhqe,dhe->bhqd", query, key_kernel / math.sqrt(size))
        products = tf.matmul(tf.reshape(query, [-1, self._heads * count, dimension]), x, transpose_b=True)
        products = tf.reshape(products, [-1, self._heads, count, length])
        distances = tf.range(length) - tf.range(count)[:, None]
        bias = tf.gather(_with_forbidden(self._bias, length), length - 1 + distances, axis=1)
        attention = tf.nn.softmax(products + (bias + tf.reshape(hidden, [-1, 1, 1, length])))
        averages = tf.matmul(tf.reshape(attention, [-1, self._heads * count, length]), x)
        averages = tf.reshape(averages, [-1, self._heads, count, dimension])
        attended = tf.reshape(tf.einsum("bhqd,dhe->bqhe", averages, value_kernel), [-1, count, dimension])
        return self._add_residuals(normed, attended, training=False)

    def _add_residuals(self, normed: tf.Tensor, attended: tf.Tensor, training: bool) -> tf.Tensor:
        """Applies the feed-forward layer and both residual connections; all [B, L, d]."""
        x = self._feed_forward_norm(normed + self._dropout(self._out(attended), training=training))
        return x + self._dropout(self._feed_forward(x, training=training), training=training)


@serialisable
class FeedForward(layers.Layer):
    """Two dense layers; the hidden values between them have a ReLU and the size 4 d.

    Args:
        dimension: size d of the inputs and outputs.
        dropout: share of activations dropped in training.
        arguments: further arguments of a Keras layer.
    """

    def __init__(self, dimension: int, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        self._expand = layers.Dense(4 * dimension, activation="relu", dtype=self.dtype_policy)
        self._dropout = layers.Dropout(dropout, dtype=self.dtype_policy)
        self._project = layers.Dense(dimension, kernel_initializer=_small(), dtype=self.dtype_policy)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the weights."""
        self._expand.build(shape)
        self._project.build((*shape[:-1], self._expand.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the outputs: float32 [..., d] -> float32 [..., d]."""
        return self._project(self._dropout(self._expand(x), training=training))


def _norm(layer: layers.Layer) -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=1e-6, dtype=layer.dtype_policy)


def _small() -> initializers.Initializer:
    return initializers.RandomNormal(stddev=RESIDUAL_STDDEV)


def _by_lag(values: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Returns matrices with `values[i - j]` in row i, column j: [..., N] -> [..., L, L]; FORBIDDEN for other lags."""
    positions = tf.range(length)
    return tf.gather(_with_forbidden(values, length), length - 1 + positions[:, None] - positions, axis=-1)


def _with_forbidden(values: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Returns the values of the lags from 1 - L to L - 1: [..., N] -> [..., 2 L - 1]; FORBIDDEN outside 0 to N - 1."""
    values = tf.convert_to_tensor(values)[..., :length]
    ahead = [[0, 0]] * (len(values.shape) - 1)
    return tf.pad(values, [*ahead, [length - 1, length - tf.shape(values)[-1]]], constant_values=FORBIDDEN)


def _sliding_maximum(x: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the maximum over the last `size` positions, [B, L, d] -> [B, L, d], by doubling the covered span."""
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        x = tf.maximum(x, _shifted(x, step, FORBIDDEN))
        covered += step
    return x


def _shifted(x: tf.Tensor, steps: int, filler: float = 0.0) -> tf.Tensor:
    """Shifts values to `steps` positions later and fills the gap with `filler`: [B, L, d] -> [B, L, d]."""
    return tf.pad(x, [[0, 0], [steps, 0], [0, 0]], constant_values=filler)[:, : _length(x), :]


def _length(x: tf.Tensor) -> tf.Tensor | int:
    """Returns the length L of [B, L, d]: an integer if it is static, as in serving; otherwise a tensor."""
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
