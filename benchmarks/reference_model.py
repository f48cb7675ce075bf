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


class ReferenceModel(keras.Model):
    """The reference, made of TensorFlow's layers without optimisation for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.table = self.add_weight(shape=(ITEMS, DIMENSION), initializer=keras.initializers.RandomNormal(stddev=1.0))
        self.convolutions = keras.Sequential(
            [keras.layers.Conv1D(ratio * DIMENSION, 4, activation="relu", padding="causal") for ratio in (2, 4)]
        )
        self.dense = keras.Sequential(
            [keras.layers.Dense(2 * DIMENSION, activation="relu"), keras.layers.Dense(DIMENSION)]
        )

    def call(self, history: tf.Tensor) -> tf.Tensor:
        """Returns the logits of all items: int32 [B, N] -> float32 [B, V]."""
        table = tf.convert_to_tensor(self.table)
        context = self.dense(tf.reduce_max(self.convolutions(tf.gather(table, history)), axis=1))
        return tf.matmul(context, table, transpose_b=True)

    def recommend(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """int32 [B, N] -> `ids` and `scores`, [B, K]; items of the history among them."""
        scores, ids = tf.math.top_k(tf.nn.softmax(self(history)), TOP_K)
        return {"ids": ids, "scores": scores}


def reference_file() -> bytes:
    """Returns the trained model as a TFLite file in float32, without optimisations of the converter.

    It is trained on histories of items that are drawn in proportion to 1 / (index + 10).
    """
    keras.utils.set_random_seed(SEED)
    popularity = 1 / (np.arange(ITEMS) + 10)
    shape = (STEPS * BATCH, HISTORY_LENGTH + 1)
    items = np.random.default_rng(SEED).choice(ITEMS, shape, p=popularity / popularity.sum()).astype(np.int32)
    model = ReferenceModel()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, jit_compile=False)
    model.fit(items[:, :-1], items[:, -1], BATCH, shuffle=False, verbose=0)
    history = tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history")
    function = tf.function(model.recommend).get_concrete_function(history)
    tracked = tf.Module()  # The converter cannot save a Keras model, and would leave out the signature.
    tracked.weights = [weight.value for weight in model.weights]
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], tracked).convert())
