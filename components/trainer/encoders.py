"""Encoders: the embeddings of a user's items -> a context vector after every item.

All have one interface. They are causal (the vector after item `t` depends on items up to `t`), so that one pass over a
window trains every position of it, and padding may follow the items without a mask. They are Keras layers like any
other: `keras.layers.serialize` saves them, and `name`, `dtype` and `trainable` are Keras' own arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import initializers, layers, saving

from components.trainer.settings import TrainerSettings

serialisable = saving.register_keras_serializable("recommender")

RESIDUAL = 0.02  # initial standard deviation of the kernels that end a residual branch
# Far below any score, and exact in float16, in which constants of a converted model may be stored.
FORBIDDEN = -30_000.0


def make_encoder(settings: TrainerSettings, history_length: int) -> Encoder:
    """The encoder that the settings name.

    Args:
        settings: of the Trainer.
        history_length: the number of items N that the device sends; encoders with a bounded view look back N items, or
            fewer where the settings say so.

    Returns:
        The encoder.
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
    """Returns how many activities each block of the `transformer` looks back on.

    Blocks after the first look back on `settings.upper_look_back`, so that on the device the blocks before them are
    evaluated at that many positions only. Where windows in training are longer than N, all blocks together look back on
    N activities, so that no position sees more than the device will. Otherwise the first does.
    """
    above = settings.blocks - 1
    first, upper = look_back, min(settings.upper_look_back or look_back, look_back)
    if settings.window > look_back:
        upper = min(upper, (look_back - 1) // settings.blocks + 1)
        first = look_back - above * (upper - 1)
    return [first, *[upper] * above]


class Encoder(layers.Layer):
    """A layer, float32 [B, L, d] -> float32 [B, L, d], called with `training`.

    Attributes:
        look_back: how many items at most a context vector depends on, its own included; None has no bound.
    """

    look_back: int | None = None

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """Returns the context vector after the latest item, as the device asks for it.

        It equals the vector that `call` gives there. Items stand the other way round, so that all places are known in
        advance.

        Args:
            x: float32 [B, M, d], the latest item first, then padding; M is at most `look_back`.
            real: float32 [B, M], 1 for items and 0 for padding.

        Returns:
            float32 [B, d]; of a row without items it means nothing.
        """
        raise NotImplementedError


@serialisable
class BagOfWords(Encoder):
    """Average of the last embeddings, weighted by how long ago they were, then a feed-forward layer.

    Args:
        dimension: size d of the embeddings.
        look_back: how many of them are averaged.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
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
        weights = tf.nn.softmax(_by_lag(self._recency, _length(x)), axis=-1)  # of each item after each: [L, L]
        average = self._norm(tf.einsum("ij,bjd->bid", weights, x))
        return average + self._feed_forward(average, training=training)

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        logits = tf.convert_to_tensor(self._recency)[: x.shape[1]] + (1 - real) * FORBIDDEN
        average = self._norm(tf.reduce_sum(tf.nn.softmax(logits)[:, :, None] * x, axis=1))
        return average + self._feed_forward(average)


@serialisable
class Convolutional(Encoder):
    """Causal 1-D convolutions, max-pooling over the last items, and the last item itself.

    Args:
        dimension: size d of the embeddings.
        look_back: how many items a context vector depends on.
        blocks: most convolutions; fewer where they would look back further.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
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

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        y = x
        for convolution in self._convolutions:
            # A convolution as one product of matrices: XLA's own on a CPU takes several times as long.
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
    """A stack of LSTMs (Hochreiter and Schmidhuber, 1997), whose context vectors depend on all items before.

    Args:
        dimension: size d of the embeddings.
        blocks: number of LSTMs.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
    """

    def __init__(self, dimension: int, blocks: int = 1, dropout: float = 0.0, **arguments: Any):
        super().__init__(**arguments)
        policy = self.dtype_policy
        self._lstms = [layers.LSTM(dimension * 2, return_sequences=True, dtype=policy) for _ in range(blocks)]
        self._dropout = layers.Dropout(dropout, dtype=policy)
        self._project = layers.Dense(dimension, dtype=policy)
        self._norm = _norm(self)

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
        # The oldest first again; after the latest comes anything.
        oldest_first = tf.gather(x, tf.maximum(last[:, None] - tf.range(x.shape[1]), 0), batch_dims=1)
        return tf.gather(self(oldest_first), last, batch_dims=1)


@serialisable
class Transformer(Encoder):
    """Self-attention blocks with a learned bias by distance.

    After SASRec (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018), with the relative position
    bias of T5 (Raffel et al., JMLR 2020) in place of absolute positions: how recent an item is matters, not where in
    the window it stands. The embeddings are dropped out before they come here.

    Args:
        dimension: size d of the embeddings.
        look_backs: how many activities each block looks back on, its own included.
        heads: number of attention heads.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
    """

    def __init__(
        self, dimension: int, look_backs: Sequence[int], heads: int = 1, dropout: float = 0.0, **arguments: Any
    ):
        super().__init__(**arguments)
        policy = self.dtype_policy
        self._blocks = [Block(dimension, look_back, heads, dropout, dtype=policy) for look_back in look_backs]
        # The positions of each block that the blocks above it look back on.
        reaches = [look_back - 1 for look_back in look_backs]
        self._needed = [1 + sum(reaches[number + 1 :]) for number in range(len(reaches))]
        self._norm = _norm(self)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the base class."""
        for block in self._blocks:
            x = block(x, training=training)
        return self._norm(x)

    def latest(self, x: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """See the base class; each block is evaluated where the blocks above it look, and nowhere else."""
        hidden = (1 - real) * FORBIDDEN
        for block, needed in zip(self._blocks, self._needed, strict=True):
            asked = min(needed, x.shape[1])
            x = block.latest(x, hidden, asked)
            hidden = hidden if asked == hidden.shape[1] else hidden[:, :asked]
        return self._norm(x[:, 0])


@serialisable
class Block(layers.Layer):
    """Causal multi-head self-attention and a feed-forward layer, each with a residual connection.

    As in SASRec's code, queries are normed and keys and values are not, and residual connections begin behind a norm:
    an item's own embedding weighs as much in every block, however small it is at first. What is added to it starts
    small, so that the similarity of items is learned first.

    Args:
        dimension: size d of the embeddings.
        look_back: how many activities a position attends to, its own included.
        heads: number of attention heads.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
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

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, L, d] -> float32 [B, L, d]."""
        length, dimension = _length(x), x.shape[2]

        def of_heads(values: tf.Tensor) -> tf.Tensor:
            """[B, L, n d] -> [B, n heads, L, d / heads]."""
            split = tf.reshape(
                values, [-1, length, values.shape[2] * self._heads // dimension, dimension // self._heads]
            )
            return tf.transpose(split, [0, 2, 1, 3])

        normed = self._attention_norm(x)
        query = of_heads(self._query(normed))
        key, value = tf.split(of_heads(self._key_value(x)), 2, axis=1)
        bias = _by_lag(self._bias, length)
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(dimension // self._heads) + bias
        attended = tf.matmul(tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32)), value.dtype), value)
        attended = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, length, dimension])
        return self._after(normed, attended, training)

    def latest(self, x: tf.Tensor, hidden: tf.Tensor, asked: int) -> tf.Tensor:
        """Returns what `call` gives at the latest positions.

        The products are those of `call` in another order: queries are multiplied into the kernel of the keys, and what
        they attend to is averaged before it becomes values, so that no position but these meets a kernel or a norm.

        Args:
            x: float32 [B, M, d], the latest item first.
            hidden: float32 [B, M], FORBIDDEN for padding and 0 for items.
            asked: number of positions Q.

        Returns:
            float32 [B, Q, d].
        """
        length, dimension = x.shape[1:]
        size = dimension // self._heads
        of_query = tf.reshape(self._query.kernel, [dimension, self._heads, size])
        of_key, of_value = tf.unstack(tf.reshape(self._key_value.kernel, [dimension, 2, self._heads, size]), axis=1)
        normed = self._attention_norm(x[:, :asked])
        query = tf.einsum("bqd,dhe->bhqe", normed, of_query)
        of_x = tf.einsum("bhqe,dhe->bhqd", query, of_key / math.sqrt(size))
        products = tf.matmul(tf.reshape(of_x, [-1, self._heads * asked, dimension]), x, transpose_b=True)
        products = tf.reshape(products, [-1, self._heads, asked, length])
        distances = tf.range(length) - tf.range(asked)[:, None]
        bias = tf.gather(_with_forbidden(self._bias, length), length - 1 + distances, axis=1)
        attention = tf.nn.softmax(products + (bias + tf.reshape(hidden, [-1, 1, 1, length])))
        averages = tf.matmul(tf.reshape(attention, [-1, self._heads * asked, length]), x)
        averages = tf.reshape(averages, [-1, self._heads, asked, dimension])
        attended = tf.reshape(tf.einsum("bhqd,dhe->bqhe", averages, of_value), [-1, asked, dimension])
        return self._after(normed, attended, training=False)

    def _after(self, normed: tf.Tensor, attended: tf.Tensor, training: bool) -> tf.Tensor:
        """Residual connections and the feed-forward layer; all [B, L, d]."""
        x = self._feed_forward_norm(normed + self._dropout(self._out(attended), training=training))
        return x + self._dropout(self._feed_forward(x, training=training), training=training)


@serialisable
class FeedForward(layers.Layer):
    """Two dense layers around a ReLU, four times as wide between.

    Args:
        dimension: size d of what goes in and comes out.
        dropout: share of activations dropped in training.
        arguments: of a Keras layer.
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
        """float32 [..., d] -> float32 [..., d]."""
        return self._project(self._dropout(self._expand(x), training=training))


def _norm(layer: layers.Layer) -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=1e-6, dtype=layer.dtype_policy)


def _small() -> initializers.Initializer:
    return initializers.RandomNormal(stddev=RESIDUAL)


def _by_lag(values: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Lay a value for each distance out as a matrix: [..., N] -> [..., L, L], FORBIDDEN where j > i or i - j >= N."""
    positions = tf.range(length)
    return tf.gather(_with_forbidden(values, length), length - 1 + positions[:, None] - positions, axis=-1)


def _with_forbidden(values: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Values by distance, [..., N] -> [..., 2 L - 1]: from 1 - L, which lies ahead, to L - 1."""
    values = tf.convert_to_tensor(values)[..., :length]
    ahead = [[0, 0]] * (len(values.shape) - 1)
    return tf.pad(values, [*ahead, [length - 1, length - tf.shape(values)[-1]]], constant_values=FORBIDDEN)


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
    return tf.pad(x, [[0, 0], [steps, 0], [0, 0]], constant_values=filler)[:, : _length(x), :]


def _length(x: tf.Tensor) -> tf.Tensor | int:
    """The length L of [B, L, d]: a number where it is known, as on the device; a tensor in training."""
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
