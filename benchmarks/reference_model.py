"""The model of TensorFlow's 2021 on-device recommendation, made again: CNN encoder, 10 activities, 16 dimensions.

As its sources have it: an embedding table that labels share, two convolutions of kernel 4 with twice and four times as
many filters, max-pooling over the history, two dense layers, the product with every item's embedding, and the best 100
of a softmax over it. The weights are random; how fast it is does not depend on them.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

HISTORY_LENGTH, DIMENSION, ITEMS, TOP_K = 10, 16, 3953, 100
SEED = 1


class ReferenceModel(tf.Module):
    """Made of TensorFlow's layers, without any thought of the device."""

    def __init__(self) -> None:
        super().__init__()
        keras.utils.set_random_seed(SEED)
        self.table = tf.Variable(tf.random.normal([ITEMS, DIMENSION]))
        self._convolutions = [
            keras.layers.Conv1D(ratio * DIMENSION, 4, activation="relu", padding="causal") for ratio in (2, 4)
        ]
        self._dense = [keras.layers.Dense(2 * DIMENSION, activation="relu"), keras.layers.Dense(DIMENSION)]
        self.context(tf.zeros([1, HISTORY_LENGTH], tf.int32))
        # Variables are tracked, Keras layers are not.
        self.weights = [weight.value for layer in (*self._convolutions, *self._dense) for weight in layer.weights]

    def context(self, history: tf.Tensor) -> tf.Tensor:
        """int32 [1, N] -> float32 [1, d]."""
        x = tf.gather(self.table, history)
        for convolution in self._convolutions:
            x = convolution(x)
        x = tf.reduce_max(x, axis=1)
        for dense in self._dense:
            x = dense(x)
        return x

    def recommend(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """int32 [1, N] -> `ids` and `scores`, [1, K]; items of the history among them."""
        logits = tf.matmul(self.context(history), self.table, transpose_b=True)
        scores, ids = tf.math.top_k(tf.nn.softmax(logits), TOP_K)
        return {"ids": ids, "scores": scores}


def reference_file() -> bytes:
    """The model as a TFLite file in float32, converted plainly."""
    model = ReferenceModel()
    history = tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history")
    return _converted(tf.function(model.recommend).get_concrete_function(history), model)


def ranking_file() -> bytes:
    """The last operator of the model as a file: the best 100 of `scores`, float32 [1, V]."""
    scores = tf.TensorSpec([1, ITEMS], tf.float32, "scores")
    return _converted(tf.function(lambda scores: tf.math.top_k(scores, TOP_K)).get_concrete_function(scores), None)


def _converted(function: Any, owner: tf.Module | None) -> bytes:
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], owner).convert())
