"""Lazy Adam compared with Adam's formulas, and with Keras's Adam for gradients of all rows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.lazy_adam import LazyAdam

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.9, 0.98, 1e-7
START = np.arange(10, dtype=np.float32).reshape(5, 2)
# The rows of each step, and their gradients.
STEPS = [([3, 0], [[1, -2], [0.5, 0]]), ([3], [[4, 4]]), ([1, 3], [[-1, 2], [0.1, 0]])]


def make_optimizer(kind: type[keras.optimizers.Adam]) -> tuple[keras.optimizers.Adam, keras.Variable]:
    table = keras.Variable(START)
    optimizer = kind(RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    optimizer.build([table])
    return optimizer, table


def slices(rows: list[int], slopes: list[list[float]]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(slopes, tf.float32), tf.constant(rows), tf.constant([5, 2]))


@pytest.mark.parametrize("graph", [False, True])
def test_rows_with_a_gradient_follow_adam_and_other_rows_stay(graph):
    optimizer, table = make_optimizer(LazyAdam)
    expected, momentum, velocity = START.copy(), np.zeros((5, 2)), np.zeros((5, 2))
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [table])) if graph else None
    for number, (rows, slopes) in enumerate(STEPS, start=1):
        gradient = slices(rows, slopes)
        apply(gradient) if apply else optimizer.apply([gradient], [table])
        slope = np.array(slopes)
        momentum[rows] = BETA_1 * momentum[rows] + (1 - BETA_1) * slope
        velocity[rows] = BETA_2 * velocity[rows] + (1 - BETA_2) * slope**2
        unbiased = momentum[rows] / (1 - BETA_1**number), velocity[rows] / (1 - BETA_2**number)
        expected[rows] -= RATE * unbiased[0] / (np.sqrt(unbiased[1]) + EPSILON)
        np.testing.assert_allclose(table.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (table.numpy()[[2, 4]] == START[[2, 4]]).all()


@pytest.mark.parametrize("sparse", [False, True])
def test_a_gradient_of_all_rows_has_the_same_effect_as_in_keras(sparse):
    (lazy, table), (plain, plain_table) = make_optimizer(LazyAdam), make_optimizer(keras.optimizers.Adam)
    for seed in range(3):
        gradient = np.random.default_rng(seed).normal(size=(5, 2)).astype(np.float32)
        lazy.apply([slices(list(range(5)), gradient) if sparse else tf.constant(gradient)], [table])
        plain.apply([tf.constant(gradient)], [plain_table])
    np.testing.assert_allclose(table.numpy(), plain_table.numpy(), rtol=1e-5)
