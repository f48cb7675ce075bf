"""The model of TensorFlow's 2021 on-device recommendation, reimplemented: CNN encoder, 10 activities, 16 dimensions.

As its sources have it: an embedding table that labels share, two convolutions of kernel 4 with twice and four times as
many filters, max-pooling over the history, two dense layers, the product with every item's embedding, and the best 100
of a softmax over it. The weights are trained for some seconds on generated histories: finding the best 100 takes longer
where scores are random than where popular items, which have low indices, tend to be first.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

HISTORY_LENGTH, DIMENSION, ITEMS, TOP_K = 10, 16, 3953, 100
SEED = 1
STEPS, BATCH, LEARNING_RATE = 150, 256, 0.01


class ReferenceModel(tf.Module):
    """The reference, made of TensorFlow's layers without optimisation for the device."""

    def __init__(self) -> None:
        super().__init__()
        keras.utils.set_random_seed(SEED)
        self._embeddings = keras.Variable(tf.random.normal([ITEMS, DIMENSION]))
        self.table = self._embeddings.value
        self._convolutions = [
            keras.layers.Conv1D(ratio * DIMENSION, 4, activation="relu", padding="causal") for ratio in (2, 4)
        ]
        self._dense = [keras.layers.Dense(2 * DIMENSION, activation="relu"), keras.layers.Dense(DIMENSION)]
        self.context(tf.zeros([1, HISTORY_LENGTH], tf.int32))
        # Variables are tracked, Keras layers are not.
        self._of_layers = [weight for layer in (*self._convolutions, *self._dense) for weight in layer.weights]
        self.weights = [weight.value for weight in self._of_layers]

    def train(self) -> None:
        """Fits the weights to histories of items that are drawn in proportion to 1 / (index + 10)."""
        random = np.random.default_rng(SEED)
        popularity = 1 / (np.arange(ITEMS) + 10)
        drawn = random.choice(ITEMS, (STEPS, BATCH, HISTORY_LENGTH + 1), p=popularity / popularity.sum())
        variables = [self._embeddings, *self._of_layers]
        optimizer = keras.optimizers.Adam(LEARNING_RATE)
        optimizer.build(variables)

        @tf.function
        def step(items: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                logits = tf.matmul(self.context(items[:, :-1]), self.table, transpose_b=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(items[:, -1], logits))
            optimizer.apply(tape.gradient(loss, [self.table, *self.weights]), variables)

        for items in drawn:
            step(tf.constant(items, tf.int32))

    def context(self, history: tf.Tensor) -> tf.Tensor:
        """int32 [B, N] -> float32 [B, d]."""
        x = tf.gather(self.table, history)
        for convolution in self._convolutions:
            x = convolution(x)
        x = tf.reduce_max(x, axis=1)
        for dense in self._dense:
            x = dense(x)
        return x

    def recommend(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """int32 [B, N] -> `ids` and `scores`, [1, K]; items of the history among them."""
        logits = tf.matmul(self.context(history), self.table, transpose_b=True)
        scores, ids = tf.math.top_k(tf.nn.softmax(logits), TOP_K)
        return {"ids": ids, "scores": scores}


def reference_file() -> bytes:
    """Returns the trained model as a TFLite file in float32, without optimisations of the converter."""
    model = ReferenceModel()
    model.train()
    history = tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history")
    function = tf.function(model.recommend).get_concrete_function(history)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert())
